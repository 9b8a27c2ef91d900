//! Records what passes an interface, and when.
//!
//! It does so by a packet socket of its own: tcpdump gives its privileges up, which a user namespace forbids, and a
//! socket records from the instant that it is there.

use std::{
    fs, io,
    io::IoSliceMut,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    cmsg_space,
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
            recvmsg, setsockopt, socket, sockopt,
        },
        time::{TimeSpec, TimeVal},
    },
};

use crate::pcap::{self, IpPacket};

/// How long a packet that was just sent may take through the switch and to the recorder.
const TRANSIT: Duration = Duration::from_millis(100);

/// How long the recorder waits for a packet before it looks whether it is to end.
const READ_PATIENCE_US: i64 = 20_000;

/// The buffer of the recorder's socket in octets: a few seconds of what tests send.
const BUFFER_LEN: usize = 8 * 1024 * 1024;

/// The longest frame: an IP packet and its Ethernet header.
const FRAME_LEN_MAX: usize = 65_535 + 14;

/// A recording that goes on.
#[derive(Debug)]
pub struct Capture {
    recorder: Option<JoinHandle<io::Result<Recording>>>,
    ended: Arc<AtomicBool>,
}

/// A recording.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    frames: Vec<Frame>,
}

#[derive(Debug, Clone)]
struct Frame {
    at: Duration,
    octets: Vec<u8>,
}

impl Capture {
    /// Begins to record an interface of the namespace that the calling thread is in.
    pub(crate) fn start(interface: &str) -> io::Result<Self> {
        let index = if_nametoindex(interface)?;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        // Without root outside of a user namespace the host's own limit stands.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_LEN).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER_LEN)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, READ_PATIENCE_US))?;
        let ended = Arc::new(AtomicBool::new(false));
        let recorder = thread::spawn({
            let ended = Arc::clone(&ended);
            move || record(&socket, index as usize, &ended)
        });
        Ok(Self { recorder: Some(recorder), ended })
    }

    /// Ends the recording.
    ///
    /// # Panics
    ///
    /// If the kernel dropped packets that belong into it.
    pub fn stop(mut self) -> Recording {
        thread::sleep(TRANSIT);
        self.ended.store(true, Ordering::Relaxed);
        let recorder = self.recorder.take().expect("a recording is ended once");
        recorder.join().expect("the recorder does not panic").expect("the recording is whole")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Recording {
    /// Reads every IP packet and the instant at which it passed, since 1970; IP fragments are left out.
    pub fn packets(&self) -> Vec<(Duration, IpPacket)> {
        self.frames.iter().filter_map(|frame| Some((frame.at, pcap::ip_packet(&frame.octets)?))).collect()
    }

    /// Writes it as a classic capture file.
    ///
    /// # Errors
    ///
    /// What writing the file says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let frames = self.frames.iter().map(|frame| (frame.at, &frame.octets[..]));
        fs::write(path, pcap::file(frames))
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel adds only what was asked for")]
fn record(socket: &OwnedFd, interface: usize, ended: &AtomicBool) -> io::Result<Recording> {
    let mut recording = Recording::default();
    let mut buffer = vec![0; FRAME_LEN_MAX];
    let mut control = cmsg_space!(TimeSpec, u32);
    loop {
        let parts = &mut [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<LinkAddr>(socket.as_raw_fd(), parts, Some(&mut control), MsgFlags::empty());
        let message = match received {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN) if ended.load(Ordering::Relaxed) => return Ok(recording),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let mut at = Duration::ZERO;
        for attached in message.cmsgs()? {
            match attached {
                ControlMessageOwned::ScmTimestampns(time) => at = time.into(),
                ControlMessageOwned::RxqOvfl(0) => {}
                ControlMessageOwned::RxqOvfl(dropped) => {
                    return Err(io::Error::other(format!("the kernel dropped {dropped} packets")));
                }
                _ => {}
            }
        }
        let (length, from) = (message.bytes, message.address.map(|address| address.ifindex()));
        if from == Some(interface) {
            recording.frames.push(Frame { at, octets: buffer[..length].to_vec() });
        }
    }
}
