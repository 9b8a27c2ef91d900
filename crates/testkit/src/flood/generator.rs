//! Sends frames at a rate, and says which rate it reached.

use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg, socket,
};

use crate::lab::Host;

/// How many frames one system call sends: enough to spare calls, and far fewer than a device queues (1,000).
const BATCH: usize = 64;

/// How long the generator sleeps when nothing is due.
const PAUSE: Duration = Duration::from_micros(300);

/// What is due for longer than this is never sent: it would make a burst of what was to be a rate.
const BEHIND_MAX: Duration = Duration::from_millis(20);

/// How much of its rate a flood reaches that counts, in percent.
const REACHED_PERCENT: u64 = 90;

/// Frames that are sent one after the other, and again from the first, at a rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    frames: Vec<Vec<u8>>,
    per_second: u32,
}

/// What a flood came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many frames were sent.
    pub frames: u64,
    /// How long it took.
    pub duration: Duration,
    /// How many a second were to be sent.
    pub per_second_wanted: u32,
}

impl Flood {
    /// Prepares a flood.
    ///
    /// # Panics
    ///
    /// If there is no frame.
    pub fn new(frames: Vec<Vec<u8>>, per_second: u32) -> Self {
        assert!(!frames.is_empty(), "a flood has a frame");
        Self { frames, per_second }
    }

    /// Floods from a host for as long as a closure runs.
    ///
    /// # Panics
    ///
    /// If the closure does, or if the host may not send frames of its own making.
    pub fn during<T>(&self, host: &Host, meanwhile: impl FnOnce() -> T) -> (T, Sent) {
        let over = AtomicBool::new(false);
        let ended = Ended(&over);
        thread::scope(|scope| {
            let sending = scope.spawn(|| host.enter(|| self.send_until(&over)));
            // Also where the closure panics, or the generator would be waited for without end.
            let result = {
                let _ended = ended;
                meanwhile()
            };
            let sent = sending.join().expect("a generator does not panic");
            (result, sent.expect("who may make interfaces may send frames by them"))
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a flood has a rate by the real clock")]
    fn send_until(&self, over: &AtomicBool) -> io::Result<Sent> {
        let socket = open()?;
        let start = Instant::now();
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        let (mut sent, mut booked) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            let due = self.due_after(start.elapsed());
            booked = booked.max(due.saturating_sub(self.due_after(BEHIND_MAX)));
            let count = usize::try_from(due - booked).map_or(BATCH, |count| count.min(BATCH));
            if count == 0 {
                thread::sleep(PAUSE);
                continue;
            }
            let next = (sent % self.frames.len() as u64) as usize;
            let left = send(&socket, &mut headers, &self.frames, next, count)?;
            sent += left;
            booked += count as u64;
        }
        Ok(Sent { frames: sent, duration: start.elapsed(), per_second_wanted: self.per_second })
    }

    /// How many frames are due after a time.
    fn due_after(&self, elapsed: Duration) -> u64 {
        let frames = elapsed.as_micros() * u128::from(self.per_second) / 1_000_000;
        u64::try_from(frames).expect("no test lasts so long")
    }
}

impl Sent {
    /// How many frames a second were sent.
    pub fn per_second(&self) -> u64 {
        let frames = u128::from(self.frames) * 1_000_000 / self.duration.as_micros().max(1);
        u64::try_from(frames).expect("fewer than were sent in all")
    }

    /// Whether the flood was as strong as it was to be: a weak one shows nothing.
    pub fn is_full(&self) -> bool {
        self.per_second() * 100 >= u64::from(self.per_second_wanted) * REACHED_PERCENT
    }
}

/// Says that a flood is over when it is dropped.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Opens a socket for frames on the laboratory's interface, which receives none: its protocol is zero.
fn open() -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &crate::lab::link_address()?)?;
    Ok(socket)
}

/// Sends some frames, of which the one behind the last is the first, and says how many left.
fn send(
    socket: &OwnedFd,
    headers: &mut MultiHeaders<LinkAddr>,
    frames: &[Vec<u8>],
    next: usize,
    count: usize,
) -> io::Result<u64> {
    let numbers = (next..next + count).map(|number| number % frames.len());
    let batch: Vec<_> = numbers.map(|number| [IoSlice::new(&frames[number])]).collect();
    let nowhere = [const { None }; BATCH];
    let sent = sendmmsg(socket.as_raw_fd(), headers, &batch, &nowhere[..count], [], MsgFlags::empty());
    match sent {
        Ok(results) => Ok(results.count() as u64),
        // The device's queue is full: what does not leave is missing in the rate.
        Err(nix::errno::Errno::ENOBUFS | nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(frames: u64) -> Sent {
        Sent { frames, duration: Duration::from_secs(2), per_second_wanted: 60_000 }
    }

    #[test]
    fn a_flood_that_misses_its_rate_is_known_as_weak() {
        assert_eq!(sent(120_000).per_second(), 60_000);
        assert!(sent(120_000).is_full() && sent(108_000).is_full());
        assert!(!sent(107_000).is_full() && !sent(0).is_full());
    }
}
