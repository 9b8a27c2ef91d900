//! A member inside the test: it registers and follows rekeys as any other, and hands out every key that it ever held. One
//! that is greedy asks for new sender ids as soon as it has got some.
//!
//! The real member's core on plain sockets of a host: what tshark is given is what a member was given.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use claviger_crypto::{SystemRandom, provider};
use claviger_group::{GroupId, PlaneEvent, Role, Tek};
use claviger_hip::HostConfig;
use claviger_identity::{Hit, HostIdentity};
use claviger_member::{Event, Member, MemberConfig, PlaneKind, event::Source};
use claviger_net::Clock;
use claviger_proof::{Ledger, Ledgers};
use claviger_sansio::{Datagram, RetransmitPolicy, Socket, Time};
use claviger_testkit::{lab::Host, network::new_identity};

use super::PATIENCE;

/// What marks HIP on UDP (RFC 5770 section 5.1).
const HIP_MARKER: [u8; 4] = [0; 4];

/// How often sockets and timers are looked at.
const ROUND: Duration = Duration::from_millis(2);

/// How a member inside the test behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conduct {
    pub role: Role,
    /// Whether it says that its sender ids are spent as soon as it has got some.
    pub greedy: bool,
    /// How many times as fast as time its clock goes: whoever waits for nothing asks as often as it is answered.
    pub hurry: u32,
}

impl Conduct {
    /// One that listens to keys only.
    pub const HONEST: Self = Self { role: Role::Receiver, greedy: false, hurry: 1 };
}

/// A member inside the test.
pub struct Listener {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    ledgers: Ledgers,
    group: GroupId,
    push: SocketAddr,
    pulls: Arc<AtomicU64>,
}

impl Listener {
    /// Makes an identity for it.
    pub fn identity() -> (Arc<HostIdentity>, String) {
        let identity = new_identity();
        let hit = identity.hit().to_string();
        (identity, hit)
    }

    /// Registers at an IPv4 host, and returns when it holds keys.
    pub fn join(host: &Host, identity: Arc<HostIdentity>, server: (Hit, Ipv4Addr), group: &str) -> Self {
        Self::join_as(host, identity, server, group, Conduct::HONEST)
    }

    /// Does what [`Listener::join`] does, as a member of any conduct.
    pub fn join_as(
        host: &Host,
        identity: Arc<HostIdentity>,
        server: (Hit, Ipv4Addr),
        group: &str,
        conduct: Conduct,
    ) -> Self {
        let group: GroupId = group.parse().expect("a group's name");
        let bind = |address| host.enter(|| UdpSocket::bind(address)).expect("the port is free");
        let any: IpAddr = Ipv4Addr::UNSPECIFIED.into();
        let [hip, gdoi] = [bind((any, 0).into()), bind(SocketAddr::new(any, 0))];
        let host_address = host.ipv4();
        let config = MemberConfig {
            hip: HostConfig::new(identity, provider()),
            provider: provider(),
            owner: None,
            server: server.0,
            server_address: (server.1, 10_500).into(),
            socket: Socket::HipUdp,
            gdoi_port: 848,
            extensions: Default::default(),
            plane: PlaneKind::Any,
            registration_lifetime: Duration::from_secs(3600),
            retransmit: RetransmitPolicy::default(),
        };
        let clock = Hurried { clock: Clock::starting_at(Time::EPOCH), times: conduct.hurry };
        let random = Box::new(SystemRandom::new().expect("the system has randomness"));
        let ledgers = Ledgers::default();
        let core = Member::new(config, random, clock.now()).expect("the configuration is sound");
        let mut core = core.witnessed(ledgers.witness());
        core.join(clock.now(), group.clone(), conduct.role);
        let mut sockets = vec![(Socket::HipUdp, hip), (Socket::Port848, gdoi)];
        for (_, socket) in &sockets {
            socket.set_nonblocking(true).expect("a socket");
        }

        let ended = Arc::new(AtomicBool::new(false));
        let (keyed, wait) = mpsc::channel();
        // The thread makes no socket: the one of GROUPKEY-PUSH, whose place the server names, comes by this channel.
        let (places, wanted) = mpsc::channel::<SocketAddr>();
        let (made, push) = mpsc::channel::<UdpSocket>();
        let pulls = Arc::new(AtomicU64::new(0));
        let thread = thread::spawn({
            let (ended, pulls) = (Arc::clone(&ended), Arc::clone(&pulls));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    sockets.extend(push.try_iter().map(|socket| (Socket::Port848, socket)));
                    round(&mut core, &clock, &sockets);
                    while let Some(event) = core.poll_event() {
                        match event {
                            Event::Listen { places: place, .. } => {
                                places
                                    .send(place.push.expect("the group has a rekey SA"))
                                    .expect("it is waited for");
                            }
                            Event::Rekeyed { group, by, tek, .. } => {
                                // It is waited for once.
                                let _ = keyed.send(());
                                pulls.fetch_add(u64::from(by == Source::Pull), Ordering::Relaxed);
                                if let Some(tek) = tek.filter(|_| conduct.greedy) {
                                    core.handle_plane_event(
                                        clock.now(),
                                        &group,
                                        PlaneEvent::SenderIdSpent(tek),
                                    );
                                }
                            }
                            // Greed may be refused.
                            Event::Refused { refusal, .. } if !conduct.greedy => {
                                panic!("refused: {refusal:?}")
                            }
                            _ => {}
                        }
                    }
                    thread::sleep(ROUND);
                }
            }
        });
        let place = wanted.recv_timeout(PATIENCE).expect("the server names the group's places");
        let socket = bind(place);
        let IpAddr::V4(address) = place.ip() else { panic!("{place} is IPv6") };
        socket.join_multicast_v4(&address, &host_address).expect("the host may join");
        socket.set_nonblocking(true).expect("a socket");
        made.send(socket).expect("the member runs");
        wait.recv_timeout(PATIENCE).expect("the member gets keys");
        Self { ended, thread: Some(thread), ledgers, group, push: place, pulls }
    }

    /// Where the group's rekey messages come.
    pub fn push_address(&self) -> SocketAddr {
        self.push
    }

    /// How often it has pulled.
    pub fn pulls(&self) -> u64 {
        self.pulls.load(Ordering::Relaxed)
    }

    /// Hands out every key that it has held until now.
    pub fn ledger(&self) -> Ledger {
        self.ledgers.of(&self.group).unwrap_or_default()
    }

    /// Ends it without a word, and hands out every traffic key that it ever held.
    pub fn stop(mut self) -> Vec<Tek> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("the member did not panic");
        self.ledger().teks
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// A clock that goes faster than time.
struct Hurried {
    clock: Clock,
    times: u32,
}

impl Hurried {
    fn now(&self) -> Time {
        Time::from_micros(self.clock.now().as_micros() * u64::from(self.times))
    }
}

/// Takes in what has arrived, looks at the timers, and sends what is to be sent.
fn round(core: &mut Member, clock: &Hurried, sockets: &[(Socket, UdpSocket)]) {
    let mut buffer = [0; 65_535];
    for (socket, open) in sockets {
        let destination = open.local_addr().expect("a bound socket has an address");
        loop {
            let (length, source) = match open.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{socket:?}: {error}"),
            };
            let payload = match socket {
                Socket::HipUdp => buffer[..length].strip_prefix(&HIP_MARKER).unwrap_or_default(),
                _ => &buffer[..length],
            };
            // A message that is refused is counted by the core; the test looks at what it comes to hold.
            let _ =
                core.handle_datagram(clock.now(), Datagram { socket: *socket, source, destination, payload });
        }
    }
    core.handle_timeout(clock.now());
    while let Some(transmit) = core.poll_transmit() {
        let (_, socket) =
            sockets.iter().find(|(socket, _)| *socket == transmit.socket).expect("both are there");
        let marker = if transmit.socket == Socket::HipUdp { &HIP_MARKER[..] } else { &[] };
        socket
            .send_to(&[marker, &transmit.payload].concat(), transmit.destination)
            .expect("the host may send");
    }
}
