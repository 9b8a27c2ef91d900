//! A key server and its hosts in memory, without a network between them.

#![allow(dead_code, reason = "each benchmark uses its own part")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use claviger_crypto::{SeededRandom, provider};
use claviger_gcks::{Event, Gcks, GcksConfig};
use claviger_group::{Channel, GroupId, GroupPolicy, Role};
use claviger_hip::{HostConfig, verification::Limits};
use claviger_identity::Hit;
use claviger_member::{Member, MemberConfig, PlaneKind};
use claviger_sansio::{Datagram, RetransmitPolicy, Socket, Time, Transmit, durable::Receipt};
use claviger_testkit::network::new_identity;

/// Where the key server's HIP is reached.
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 10500);

/// A key server and the wire to its hosts.
pub(crate) struct World {
    pub(crate) gcks: Gcks,
    server: Hit,
    pub(crate) group: GroupId,
    pub(crate) now: Time,
    made: u32,
    /// What hosts ask for.
    pub(crate) role: Role,
}

/// A host that is a member.
pub(crate) struct Host {
    pub(crate) hit: Hit,
    pub(crate) member: Member,
    pub(crate) address: SocketAddr,
}

impl World {
    /// Makes a key server with one group, whose hosts ask for a role.
    pub(crate) fn new(role: Role) -> Self {
        let identity = new_identity();
        let server = identity.hit();
        let mut hip = HostConfig::new(identity, provider());
        hip.puzzle_difficulty = 0;
        hip.puzzle_difficulty_under_load = 0;
        hip.public_key_limits = Limits::UNLIMITED;
        hip.r1_octets_per_second_max = u64::MAX;
        let config = GcksConfig {
            hip,
            provider: provider(),
            gdoi_port: 848,
            push_source_v4: None,
            push_source_v6: None,
        };
        let now = Time::from_secs(1_000_000);
        let mut gcks = Gcks::new(config, Box::new(SeededRandom::new(1)), now).expect("a sound configuration");
        let group: GroupId = "bench".parse().expect("a group's name");
        let channel = Channel::new([239, 192, 0, 1].into(), None).expect("a multicast address");
        gcks.add_group(now, group.clone(), GroupPolicy::new(channel)).expect("a coherent policy");
        Self { gcks, server, group, now, made: 0, role }
    }

    /// Makes a host and puts it on the group's list.
    pub(crate) fn host(&mut self) -> Host {
        self.made += 1;
        let identity = new_identity();
        let hit = identity.hit();
        self.gcks.allow(self.now, &self.group, &hit.into(), self.role).expect("the group exists");
        let config = MemberConfig {
            hip: HostConfig::new(identity, provider()),
            provider: provider(),
            owner: None,
            server: self.server,
            server_address: SERVER.into(),
            socket: Socket::HipUdp,
            gdoi_port: 848,
            extensions: Default::default(),
            plane: PlaneKind::Any,
            registration_lifetime: Duration::from_secs(86_400),
            retransmit: RetransmitPolicy::default(),
        };
        let random = Box::new(SeededRandom::new(u64::from(self.made) + 1));
        let member = Member::new(config, random, self.now).expect("a sound configuration");
        let address = SocketAddr::from(((0x0a01_0000 + self.made).to_be_bytes(), 4000));
        Host { hit, member, address }
    }

    /// Carries datagrams until nothing moves. Rekey messages to the group go nowhere.
    pub(crate) fn carry(&mut self, host: &mut Host) {
        loop {
            let mut moved = false;
            while let Some(transmit) = host.member.poll_transmit() {
                let (socket, destination, payload) =
                    (transmit.socket, transmit.destination, &transmit.payload);
                let datagram = Datagram { socket, source: host.address, destination, payload };
                self.gcks.handle_datagram(self.now, datagram).expect("an honest member");
                moved = true;
            }
            for transmit in self.commit().0 {
                if transmit.destination == host.address {
                    let (socket, destination, payload) = (transmit.socket, host.address, &transmit.payload);
                    let datagram = Datagram { socket, source: SERVER.into(), destination, payload };
                    host.member.handle_datagram(self.now, datagram).expect("an honest server");
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        while host.member.poll_event().is_some() {}
    }

    /// Takes what the key server has to say, as if a store had no cost.
    pub(crate) fn commit(&mut self) -> (Vec<Transmit>, Vec<Event>) {
        let Some(staged) = self.gcks.stage(self.now) else { return Default::default() };
        let Ok(durable) = staged.commit(|changes| Ok::<_, Infallible>(Receipt::attest(changes)));
        let mut released = self.gcks.release(durable);
        let mut sent = Vec::new();
        while let Some(dispatch) = released.poll_transmit() {
            sent.push(dispatch.send(self.now));
        }
        (sent, std::iter::from_fn(|| released.poll_event()).collect())
    }

    /// Lets time pass, so that the copies of rekey messages leave.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.gcks.handle_timeout(self.now);
        self.commit();
    }

    /// Registers and keys a host.
    pub(crate) fn join(&mut self) -> Host {
        let mut host = self.host();
        host.member.join(self.now, self.group.clone(), self.role);
        self.carry(&mut host);
        assert!(host.member.subscription(&self.group).is_some_and(|s| s.is_keyed()), "the host holds keys");
        self.pass(Duration::from_secs(2));
        host
    }
}

/// Measures how long something takes.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}
