//! Programs behind a TUN device: plain UDP, and no idea of keys.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use claviger_net::Clock;
use claviger_sansio::Time;
use claviger_testkit::lab::Host;

/// The port of the film.
pub const PORT: u16 = 5004;

/// What stands in every datagram in the clear, and must never be seen on the wire.
pub const MARK: &[u8] = b"the film in the clear, picture ";

/// The pause between two pictures.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a program waits for a datagram before it looks whether it is to end.
const READ_PATIENCE: Duration = Duration::from_millis(50);

/// The time since 1970, by the clock that daemons use.
pub fn now() -> Duration {
    Duration::from_micros(Clock::starting_at(Time::EPOCH).now().as_micros())
}

/// A program that sends numbered pictures until it is stopped.
pub struct Film {
    ended: Arc<AtomicBool>,
    sender: Option<JoinHandle<Vec<Duration>>>,
}

impl Film {
    /// Starts it at a host. It names no interface: the route to the group decides.
    pub fn start(host: &Host, group: IpAddr) -> Self {
        let any: IpAddr =
            if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = host.enter(|| UdpSocket::bind((any, 0))).expect("any port is free");
        let ended = Arc::new(AtomicBool::new(false));
        let sender = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut sent = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    let picture = [MARK, sent.len().to_string().as_bytes()].concat();
                    sent.push(now());
                    socket.send_to(&picture, (group, PORT)).expect("the device takes packets");
                    thread::sleep(PAUSE);
                }
                sent
            }
        });
        Self { ended, sender: Some(sender) }
    }

    /// Stops it, and says when it sent each picture.
    pub fn stop(mut self) -> Vec<Duration> {
        self.ended.store(true, Ordering::Relaxed);
        let sender = self.sender.take().expect("a film is stopped once");
        sender.join().expect("the sender did not panic")
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// A program that notes which pictures arrive, until it is dropped.
pub struct Screen {
    seen: Arc<Mutex<BTreeSet<usize>>>,
    ended: Arc<AtomicBool>,
}

impl Screen {
    /// Starts it at a host. It names no interface: the route to the group decides.
    pub fn start(host: &Host, group: IpAddr) -> Self {
        let socket = host.enter(|| {
            let socket = UdpSocket::bind(SocketAddr::new(group, PORT))?;
            match group {
                IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
                IpAddr::V6(group) => socket.join_multicast_v6(&group, 0)?,
            }
            socket.set_read_timeout(Some(READ_PATIENCE))?;
            Ok::<_, std::io::Error>(socket)
        });
        let socket = socket.expect("a program may join the group");
        let (seen, ended) = (Arc::<Mutex<BTreeSet<usize>>>::default(), Arc::new(AtomicBool::new(false)));
        thread::spawn({
            let (seen, ended) = (Arc::clone(&seen), Arc::clone(&ended));
            move || {
                let mut buffer = [0; 2048];
                while !ended.load(Ordering::Relaxed) {
                    let Ok(length) = socket.recv(&mut buffer) else { continue };
                    let number = buffer[..length].strip_prefix(MARK).expect("nobody else sends to this port");
                    let number = str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                    seen.lock()
                        .expect("nobody panics with it")
                        .insert(number.expect("pictures are numbered"));
                }
            }
        });
        Self { seen, ended }
    }

    /// The numbers of the pictures that it has seen so far.
    pub fn seen(&self) -> BTreeSet<usize> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
