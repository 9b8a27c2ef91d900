//! Very many hosts in one process, which join a group over real sockets.
//!
//! Rekey messages are heard by one socket and noted with the time at which they came. Hosts that have joined are handed
//! them when nobody joins, with that time: a host that joins does not wait until a thousand others have opened a message,
//! which they would do on machines of their own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use claviger_crypto::{SystemRandom, provider};
use claviger_group::{GroupId, MemberId, Role};
use claviger_hip::HostConfig;
use claviger_identity::Hit;
use claviger_member::{Event, Member, MemberConfig, PlaneKind, event::Places};
use claviger_net::{Clock, Interface, UdpOptions, UdpSocket, udp::MAX_DATAGRAM};
use claviger_sansio::{Datagram, RetransmitPolicy, Socket, Time};
use claviger_testkit::network::new_identity;

/// What marks HIP on UDP (RFC 5770 section 5.1).
const HIP_MARKER: [u8; 4] = [0; 4];

/// How long the hosts listen for what still comes: longer than copies take, and than a host waits that has missed something.
const REST: Duration = Duration::from_millis(3_500);

/// How often the timers of hosts that join are looked at: the first of them runs for half a second.
const TIMERS_EVERY: Duration = Duration::from_millis(5);

/// A key server, as hosts reach it.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) hit: Hit,
    pub(crate) hip: SocketAddr,
    pub(crate) gdoi_port: u16,
}

/// A rekey message that came.
struct Heard {
    at: Time,
    source: SocketAddr,
    destination: SocketAddr,
    octets: Vec<u8>,
}

/// A host.
struct Host {
    member: Member,
    began: Time,
    is_keyed: bool,
    /// The first rekey message that it has not been handed.
    next: usize,
    refused: bool,
}

/// The hosts, and their sockets.
pub(crate) struct Crowd {
    server: Server,
    group: GroupId,
    clock: Clock,
    hip: UdpSocket,
    gdoi: UdpSocket,
    push: Option<UdpSocket>,
    hosts: Vec<Host>,
    /// How many of the hosts have begun to join.
    begun: usize,
    /// Those that have and hold no keys.
    joining: Vec<usize>,
    heard: Vec<Heard>,
    times: Vec<Duration>,
    pulls_again: usize,
    copies: usize,
    timers_at: Time,
}

impl Crowd {
    pub(crate) fn new(server: Server, group: GroupId) -> Self {
        let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into(), &UdpOptions::new("the bench"));
        Self {
            server,
            group,
            clock: Clock::starting_at(Time::EPOCH),
            hip: bind().expect("a port is free"),
            gdoi: bind().expect("a port is free"),
            push: None,
            hosts: Vec::new(),
            begun: 0,
            joining: Vec::new(),
            heard: Vec::new(),
            times: Vec::new(),
            pulls_again: 0,
            copies: 0,
            timers_at: Time::EPOCH,
        }
    }

    /// Adds so many hosts, and names them.
    pub(crate) fn add(&mut self, count: usize) -> Vec<MemberId> {
        (0..count).map(|_| self.add_one()).collect()
    }

    fn add_one(&mut self) -> MemberId {
        let identity = new_identity();
        let random = Box::new(SystemRandom::new().expect("randomness"));
        let hit = identity.hit();
        let config = MemberConfig {
            hip: HostConfig::new(identity, provider()),
            provider: provider(),
            owner: None,
            server: self.server.hit,
            server_address: self.server.hip,
            socket: Socket::HipUdp,
            gdoi_port: self.server.gdoi_port,
            extensions: Default::default(),
            plane: PlaneKind::Any,
            registration_lifetime: Duration::from_secs(86_400),
            retransmit: RetransmitPolicy::default(),
        };
        let now = self.clock.now();
        let member = Member::new(config, random, now).expect("a sound configuration");
        self.hosts.push(Host { member, began: now, is_keyed: false, next: 0, refused: false });
        hit.into()
    }

    /// Lets so many more hosts join, so many at once, until all hold keys.
    pub(crate) async fn join(&mut self, count: usize, together: usize, pause: Duration) {
        let last = self.begun + count;
        let (mut wait_until, mut buffer) = (self.clock.now(), vec![0; MAX_DATAGRAM]);
        while self.begun < last || !self.joining.is_empty() {
            let now = self.clock.now();
            while self.begun < last && self.joining.len() < together && wait_until <= now {
                self.begin(now);
            }
            let joining = self.joining.len();
            self.turn(&mut buffer, false).await;
            if self.joining.len() < joining {
                wait_until = self.clock.now() + pause;
            }
        }
    }

    /// Takes in what still comes, until nothing more is expected.
    pub(crate) async fn rest(&mut self) {
        let (end, mut buffer) = (self.clock.now() + REST, vec![0; MAX_DATAGRAM]);
        while self.clock.now() < end || self.hosts.iter().any(|host| self.is_behind_time(host)) {
            self.turn(&mut buffer, true).await;
        }
        let now = self.clock.now();
        for host in 0..self.begun {
            self.pass(host, now);
            self.settle(host).await;
        }
    }

    /// Begins to count anew.
    pub(crate) fn forget(&mut self) {
        self.times.clear();
        (self.pulls_again, self.copies) = (0, 0);
    }

    /// Shows how long each host waited, from the first packet of its base exchange on.
    pub(crate) fn times(&self) -> &[Duration] {
        &self.times
    }

    /// Says how often hosts that had joined fetched their keys again.
    pub(crate) fn pulls_again(&self) -> usize {
        self.pulls_again
    }

    /// Says how many rekey messages were heard, copies included.
    pub(crate) fn copies(&self) -> usize {
        self.copies
    }

    /// Says how many hosts were refused.
    pub(crate) fn lost(&self) -> usize {
        self.hosts.iter().filter(|host| host.refused).count()
    }

    /// Says how many hosts that have joined do not hold this KEK.
    pub(crate) fn behind(&self, newest: [u8; 16]) -> usize {
        let holds = |host: &Host| {
            let subscription = host.member.subscription(&self.group);
            subscription.and_then(|s| s.epoch()).is_some_and(|(kek, _)| kek.0 == newest)
        };
        self.hosts[..self.begun].iter().filter(|host| !holds(host)).count()
    }

    fn begin(&mut self, now: Time) {
        let host = &mut self.hosts[self.begun];
        host.began = now;
        host.member.join(now, self.group.clone(), Role::Both);
        self.joining.push(self.begun);
        self.begun += 1;
        self.timers_at = now;
    }

    /// Takes in what has come; if nothing has, hands one rekey message on if it `hands_on`, or waits a moment.
    async fn turn(&mut self, buffer: &mut [u8], hands_on: bool) {
        let now = self.clock.now();
        if now >= self.timers_at {
            self.timers_at = now + TIMERS_EVERY;
            for host in self.joining.clone() {
                self.pass(host, now);
                self.settle(host).await;
            }
        }
        let mut is_idle = true;
        for kind in [Socket::HipUdp, Socket::Port848] {
            loop {
                let socket = if kind == Socket::HipUdp { &self.hip } else { &self.gdoi };
                let Some(received) = socket.try_recv(buffer).expect("the socket works") else { break };
                is_idle = false;
                let octets = &buffer[..received.length];
                let payload =
                    if kind == Socket::HipUdp { octets.strip_prefix(&HIP_MARKER) } else { Some(octets) };
                let Some(payload) = payload else { continue };
                let Some(host) = number_of(received.destination).filter(|host| *host < self.begun) else {
                    continue;
                };
                self.catch_up(host).await;
                let (source, destination) = (received.source, received.destination);
                let datagram = Datagram { socket: kind, source, destination, payload };
                // What is refused the core has counted.
                let _ = self.hosts[host].member.handle_datagram(self.clock.now(), datagram);
                self.settle(host).await;
            }
        }
        self.listen(buffer);
        if is_idle && !(hands_on && self.hand_on().await) {
            // The runtime's own timers are ten times as coarse.
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn listen(&mut self, buffer: &mut [u8]) {
        let Some(push) = &self.push else { return };
        while let Some(received) = push.try_recv(buffer).expect("the socket works") {
            self.copies += 1;
            let octets = buffer[..received.length].to_vec();
            let (source, destination) = (received.source, received.destination);
            self.heard.push(Heard { at: self.clock.now(), source, destination, octets });
        }
    }

    fn is_behind_time(&self, host: &Host) -> bool {
        host.is_keyed && host.next < self.heard.len()
    }

    /// Hands a rekey message to a host that has not had it. Says whether there was one.
    async fn hand_on(&mut self) -> bool {
        let Some(host) = self.hosts[..self.begun].iter().position(|host| self.is_behind_time(host)) else {
            return false;
        };
        self.hand_next(host).await;
        true
    }

    async fn catch_up(&mut self, host: usize) {
        while self.is_behind_time(&self.hosts[host]) {
            self.hand_next(host).await;
        }
    }

    async fn hand_next(&mut self, host: usize) {
        let number = self.hosts[host].next;
        self.hosts[host].next += 1;
        self.pass(host, self.heard[number].at);
        let Heard { at, source, destination, octets } = &self.heard[number];
        let datagram =
            Datagram { socket: Socket::Port848, source: *source, destination: *destination, payload: octets };
        let _ = self.hosts[host].member.handle_datagram(*at, datagram);
        self.settle(host).await;
    }

    /// Lets a host do what is due until `now`, each at its time.
    fn pass(&mut self, host: usize, now: Time) {
        let member = &mut self.hosts[host].member;
        while let Some(at) = member.poll_timeout().filter(|at| *at <= now) {
            member.handle_timeout(at);
        }
    }

    /// Lets out what a host has to say.
    async fn settle(&mut self, number: usize) {
        let now = self.clock.now();
        let host = &mut self.hosts[number];
        while let Some(transmit) = host.member.poll_transmit() {
            let source = Some(address_of(number));
            let sent = match transmit.socket {
                Socket::HipUdp => {
                    let marked = [&HIP_MARKER[..], &transmit.payload].concat();
                    self.hip.send(&marked, transmit.destination, source).await
                }
                Socket::Port848 | Socket::HipRaw => {
                    self.gdoi.send(&transmit.payload, transmit.destination, source).await
                }
            };
            sent.expect("loopback takes it");
        }
        while host.member.poll_plane().is_some() {}
        while let Some(event) = host.member.poll_event() {
            match event {
                Event::Listen { places, .. } if self.push.is_none() => self.push = Some(listen_at(places)),
                Event::Rekeyed { .. } if !host.is_keyed => {
                    host.is_keyed = true;
                    host.next = self.heard.len();
                    self.times.push(now.since(host.began));
                    self.joining.retain(|joining| *joining != number);
                }
                Event::PullAgain { .. } if host.is_keyed => self.pulls_again += 1,
                Event::Refused { .. } | Event::Evicted { .. } => {
                    host.refused = true;
                    self.joining.retain(|joining| *joining != number);
                }
                _ => {}
            }
        }
    }
}

/// Hears what the key server tells the group.
fn listen_at(places: Places) -> UdpSocket {
    let place = places.push.expect("the group has a rekey SA");
    let interface = Interface::by_name("lo", "the bench").expect("there is loopback");
    let socket =
        UdpSocket::bind_group(place.ip(), place.port(), &interface, None, &UdpOptions::new("the bench"));
    socket.expect("any number of sockets may listen")
}

/// The address of a host, by its number.
fn address_of(number: usize) -> IpAddr {
    Ipv4Addr::from(0x7f01_0001 + number as u32).into()
}

fn number_of(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(address) => u32::from(address).checked_sub(0x7f01_0001).map(|number| number as usize),
        IpAddr::V6(_) => None,
    }
}
