//! Two hosts in memory: time jumps, and the test stands on the wire between them.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

pub(crate) mod counting;
pub(crate) mod forge;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use claviger_crypto::{SeededRandom, SystemRandom, provider, sign::KeyAlgorithm};
use claviger_group::{GroupId, Role};
use claviger_hip::{
    CertificateChain, Error, HostConfig,
    iana::{PacketType, ParameterType, RegFailure, RegType},
    wire::{Lifetime, Packet},
};
pub(crate) use claviger_hip_groups::GroupHost;
use claviger_hip_groups::{
    Event, Host, McastChannel, RegistrationAnswer, RegistrationRequest,
    iana::{ChannelStatus, GCKS_GDOI},
};
use claviger_identity::{Hit, HostIdentity};
use claviger_sansio::{Datagram, Socket, Time, Transmit};

pub(crate) const START: Time = Time::from_secs(1_800_000_000);
pub(crate) const GDOI: RegType = GCKS_GDOI;

/// One host, its address, and what it told.
pub(crate) struct Side {
    pub(crate) host: Host,
    pub(crate) address: SocketAddr,
    pub(crate) events: Vec<Event>,
    pub(crate) errors: Vec<Error>,
}

impl Side {
    pub(crate) fn hit(&self) -> Hit {
        self.host.hit()
    }

    /// Takes the events that came so far.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        while let Some(event) = self.host.poll_event() {
            self.events.push(event);
        }
        std::mem::take(&mut self.events)
    }

    pub(crate) fn transmits(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.host.poll_transmit()).collect()
    }
}

/// A member and a key server; either may be the other.
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) member: Side,
    pub(crate) server: Side,
    /// The server's identity, for who plays the server.
    pub(crate) server_identity: Arc<HostIdentity>,
    /// Octets that travelled, in order.
    pub(crate) log: Vec<(Hit, Vec<u8>)>,
    /// What the registrar says to requests, unless a test answers itself.
    pub(crate) decide: Option<fn(&RegistrationRequest) -> RegistrationAnswer>,
}

pub(crate) fn identity(algorithm: KeyAlgorithm) -> Arc<HostIdentity> {
    let mut random = SystemRandom::new().expect("the system has randomness");
    Arc::new(HostIdentity::generate(provider(), algorithm, &mut random).expect("keys can be made"))
}

/// A configuration that is quick to test: one curve, an easy puzzle.
pub(crate) fn config(identity: Arc<HostIdentity>, local: IpAddr) -> HostConfig {
    let mut config = HostConfig::new(identity, provider());
    config.dh_groups.truncate(1);
    config.puzzle_difficulty = 2;
    config.puzzle_difficulty_under_load = 2;
    config.local_addresses = vec![local];
    config
}

pub(crate) fn member_config() -> HostConfig {
    config(identity(KeyAlgorithm::EcdsaP256), [192, 0, 2, 1].into())
}

pub(crate) fn server_config() -> HostConfig {
    let mut config = config(identity(KeyAlgorithm::EcdsaP256), [192, 0, 2, 2].into());
    config.services = vec![GDOI];
    config
}

pub(crate) fn side(config: HostConfig, address: [u8; 4], port: u16, seed: u64) -> Side {
    let host = Host::new(config, Box::new(SeededRandom::new(seed)), START).expect("configuration is usable");
    Side { host, address: (address, port).into(), events: Vec::new(), errors: Vec::new() }
}

impl Pair {
    pub(crate) fn new(member: HostConfig, server: HostConfig) -> Self {
        Self {
            now: START,
            server_identity: server.identity.clone(),
            member: side(member, [192, 0, 2, 1], 10500, 1),
            server: side(server, [192, 0, 2, 2], 10500, 2),
            log: Vec::new(),
            decide: Some(grant),
        }
    }

    pub(crate) fn default_pair() -> Self {
        Self::new(member_config(), server_config())
    }

    /// A pair in which the member has the greater or the smaller HIT.
    pub(crate) fn ordered(member_is_greater: bool) -> Self {
        loop {
            let pair = Self::default_pair();
            if (pair.member.hit() > pair.server.hit()) == member_is_greater {
                return pair;
            }
        }
    }

    /// Forgets what both sides told so far.
    pub(crate) fn take_all_events(&mut self) {
        self.member.take_events();
        self.server.take_events();
    }

    /// The member calls the server.
    pub(crate) fn connect(&mut self, request: Option<RegistrationRequest>) {
        let (peer, address) = (self.server.hit(), self.server.address);
        self.member.host.connect(self.now, peer, address, Socket::HipUdp, request).unwrap();
    }

    /// Delivers everything until nobody has anything to say.
    pub(crate) fn run(&mut self) {
        self.run_with(|_, _| true);
    }

    /// Delivers what `passes` lets through.
    pub(crate) fn run_with(&mut self, mut passes: impl FnMut(Hit, &[u8]) -> bool) {
        loop {
            let mut wire: VecDeque<Transmit> = VecDeque::new();
            self.decide_requests();
            wire.extend(self.member.transmits());
            let from_member = wire.len();
            wire.extend(self.server.transmits());
            if wire.is_empty() {
                break;
            }
            for (position, transmit) in wire.into_iter().enumerate() {
                let sender = if position < from_member { self.member.hit() } else { self.server.hit() };
                self.log.push((sender, transmit.payload.clone()));
                if passes(sender, &transmit.payload) {
                    self.deliver(sender, &transmit);
                }
            }
        }
        self.member.events.extend(std::iter::from_fn(|| self.member.host.poll_event()));
        self.server.events.extend(std::iter::from_fn(|| self.server.host.poll_event()));
    }

    /// Answers what the server is asked.
    pub(crate) fn decide_requests(&mut self) {
        while let Some(event) = self.server.host.poll_event() {
            if let (Event::RegistrationRequested { ticket, request, .. }, Some(decide)) =
                (&event, self.decide)
            {
                self.server.host.answer(self.now, *ticket, decide(request)).unwrap();
            }
            self.server.events.push(event);
        }
    }

    pub(crate) fn deliver(&mut self, sender: Hit, transmit: &Transmit) {
        let (from, to) = if sender == self.member.hit() {
            (self.member.address, &mut self.server)
        } else {
            (self.server.address, &mut self.member)
        };
        if transmit.destination != to.address {
            return;
        }
        let datagram = Datagram {
            socket: transmit.socket,
            source: from,
            destination: to.address,
            payload: &transmit.payload,
        };
        if let Err(error) = to.host.handle_datagram(self.now, datagram) {
            to.errors.push(error);
        }
    }

    /// Hands octets to the server as if the member had sent them.
    pub(crate) fn server_hears(&mut self, octets: &[u8]) -> Result<(), Error> {
        let datagram = Datagram {
            socket: Socket::HipUdp,
            source: self.member.address,
            destination: self.server.address,
            payload: octets,
        };
        self.server.host.handle_datagram(self.now, datagram)
    }

    /// Hands octets to the member as if the server had sent them.
    pub(crate) fn member_hears(&mut self, octets: &[u8]) -> Result<(), Error> {
        let datagram = Datagram {
            socket: Socket::HipUdp,
            source: self.server.address,
            destination: self.member.address,
            payload: octets,
        };
        self.member.host.handle_datagram(self.now, datagram)
    }

    /// Lets time pass, timer by timer, with everything delivered that `passes` lets through.
    pub(crate) fn pass(&mut self, duration: Duration, mut passes: impl FnMut(Hit, &[u8]) -> bool) {
        let end = self.now + duration;
        self.run_with(&mut passes);
        loop {
            let timers = [self.member.host.poll_timeout(), self.server.host.poll_timeout()];
            let next = timers.into_iter().flatten().min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.member.host.handle_timeout(self.now);
            self.server.host.handle_timeout(self.now);
            self.run_with(&mut passes);
        }
        self.now = end;
    }

    /// Connects, with the request, to the end.
    pub(crate) fn establish(&mut self, request: Option<RegistrationRequest>) {
        self.connect(request);
        self.run();
        assert!(self.is_established(), "{:?} {:?}", self.member.errors, self.server.errors);
    }

    pub(crate) fn is_established(&self) -> bool {
        self.member.host.association(&self.server.hit()).is_some_and(|info| info.established_at.is_some())
            && self
                .server
                .host
                .association(&self.member.hit())
                .is_some_and(|info| info.established_at.is_some())
    }

    /// The packets of a type that one side sent.
    pub(crate) fn sent(&self, sender: Hit, packet_type: PacketType) -> Vec<Vec<u8>> {
        let wanted = |(from, octets): &&(Hit, Vec<u8>)| *from == sender && octets[2] == packet_type.0;
        self.log.iter().filter(wanted).map(|(_, octets)| octets.clone()).collect()
    }

    /// Whether both sides derive the same registration keys.
    pub(crate) fn keys_agree(&self) -> bool {
        let member = self.member.host.registration_sa(&self.server.hit(), GDOI);
        let server = self.server.host.registration_sa(&self.member.hit(), GDOI);
        match (member, server) {
            (Some(member), Some(server)) => {
                member.cookies == server.cookies
                    && member.skeyid_a == server.skeyid_a
                    && member.skeyid_e == server.skeyid_e
                    && member.phase1_iv == server.phase1_iv
            }
            _ => false,
        }
    }
}

pub(crate) fn group(name: &str, lifetime: Duration) -> McastChannel {
    McastChannel {
        reg_type: GDOI,
        role: Role::Receiver,
        group: name.parse::<GroupId>().unwrap(),
        channel: None,
        lifetime: if lifetime.is_zero() { Lifetime::CANCEL } else { Lifetime::at_most(lifetime) },
        status: ChannelStatus::GRANTED,
    }
}

/// A chain of certificates of a length, which nobody need understand; each begins with the same octets.
pub(crate) fn chain(seed: u8, count: u8, len: usize) -> CertificateChain {
    let certificate = |id: u8| {
        let octet =
            |position: usize| seed.wrapping_mul(31) ^ id.wrapping_mul(7) ^ (position as u8).wrapping_mul(13);
        (0..len).map(octet).collect()
    };
    CertificateChain((1..=count).map(certificate).collect())
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn join(names: &[&str]) -> RegistrationRequest {
    let items = names.iter().map(|name| group(name, HOUR)).collect();
    RegistrationRequest { reg_type: GDOI, lifetime: HOUR, items }
}

/// Grants everything as asked.
pub(crate) fn grant(request: &RegistrationRequest) -> RegistrationAnswer {
    RegistrationAnswer {
        reg_type: request.reg_type,
        granted: Some(request.lifetime),
        failure: None,
        items: request.items.clone(),
    }
}

/// Refuses everything: nobody is authorised.
pub(crate) fn refuse(request: &RegistrationRequest) -> RegistrationAnswer {
    let refused = |channel: &McastChannel| {
        channel.answer(ChannelStatus::NOT_AUTHORISED, channel.role, channel.lifetime)
    };
    RegistrationAnswer {
        reg_type: request.reg_type,
        granted: None,
        failure: Some(RegFailure::ADDITIONAL_CREDENTIALS),
        items: request.items.iter().map(refused).collect(),
    }
}

/// The variants of events, for assertions.
pub(crate) fn names(events: &[Event]) -> Vec<&'static str> {
    events
        .iter()
        .map(|event| match event {
            Event::Established { .. } => "established",
            Event::RegistrationRequested { .. } => "requested",
            Event::Registered { .. } => "registered",
            Event::Revoked { .. } => "revoked",
            Event::RevokeAcknowledged { .. } => "revoke_acknowledged",
            Event::Closed { .. } => "closed",
            Event::Failed { .. } => "failed",
            Event::Lost { .. } => "lost",
            Event::Moved { .. } => "moved",
            Event::MoveAcknowledged { .. } => "move_acknowledged",
            Event::Rekeying { .. } => "rekeying",
            Event::Rekeyed { .. } => "rekeyed",
            Event::Changed { .. } => "changed",
            Event::Notified { .. } => "notified",
        })
        .collect()
}

/// Everything of a host that must not change: what it says of the peer, what it would store, which keys it has.
pub(crate) fn fingerprint(side: &Side, peer: &Hit) -> (String, Option<Vec<u8>>, Option<[u8; 16]>) {
    (
        format!("{:?}", side.host.association(peer)),
        side.host.snapshot(peer).map(|snapshot| snapshot.expose().to_vec()),
        side.host.registration_sa(peer, GDOI).map(|sa| sa.cookies.0),
    )
}

/// The padding behind a parameter.
pub(crate) fn padding(packet: &Packet<'_>, parameter: ParameterType) -> std::ops::Range<usize> {
    let raw = packet.parameters().raw(parameter).unwrap();
    raw.offset() + 4 + raw.contents().len()..raw.offset() + raw.octets().len()
}

pub(crate) fn signature_padding(packet: &Packet<'_>) -> std::ops::Range<usize> {
    padding(packet, ParameterType::HIP_SIGNATURE)
}

/// Whether a side told an event of this name.
pub(crate) fn told(side: &mut Side, name: &str) -> bool {
    names(&side.take_events()).contains(&name)
}
