//! A key server and its members in memory: time jumps from timer to timer, the network loses, repeats and reorders,
//! and everything that was on the wire is recorded.
//!
//! The key server runs on a store in memory, as a program runs it: changes are committed before what rests on them
//! leaves. [`Network::restart`] is a SIGKILL between any two steps.
//!
//! ```text
//! server  192.0.2.1     HIP 10500   GDOI 848
//! members 198.51.100.1, .2, ...
//! ```
//!
//! A machine whose timer is due again and again at one instant without end fails the test: it would spin.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use claviger_crypto::{
    CryptoProvider, Random, SecretBytes, SeededRandom, SystemRandom, provider, random, sign::KeyAlgorithm,
};
use claviger_dataplane::DataPlane;
use claviger_gcks::{Event as ServerEvent, Gcks, Record};
use claviger_group::{Channel, GroupId, GroupPolicy, Role};
use claviger_hip::{CertificateChain, HostConfig};
use claviger_identity::{Hit, HostIdentity};
use claviger_member::{MemberConfig, PlaneKind, event::Places, member::Member};
use claviger_proof::Ledgers;
use claviger_sansio::{
    Datagram, NotSent, RetransmitPolicy, Socket, Time, Transmit,
    durable::{Change, RecordKey, Table},
};
use claviger_store::{MemoryStore, Store as _};

mod listening;
mod node;
mod phase_1;
mod serving;

pub use node::{Node, OtherPlane};
pub use phase_1::{Keys as Phase1Keys, Phase1Host};

/// When every network begins.
pub const START: Time = Time::from_secs(1_800_000_000);

/// Where the key server is.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// How often one machine may ask for its timer at one instant before it is taken to spin.
const SPINS_MAX: u32 = 64;

/// The next header of UDP.
const UDP: u8 = 17;

/// What the network does to datagrams; each copy has its own fate.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// How many of a thousand are lost.
    pub loss_permille: u32,
    /// How many of a thousand arrive twice.
    pub duplication_permille: u32,
    /// The least time on the way.
    pub latency_min: Duration,
    /// The most; if it is more than the least, datagrams overtake each other.
    pub latency_max: Duration,
}

impl Conditions {
    /// Loses nothing; everything takes a millisecond.
    pub const PERFECT: Self = Self {
        loss_permille: 0,
        duplication_permille: 0,
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(1),
    };
}

/// Who sent a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A member, by its place.
    Member(usize),
    /// The key server.
    Server,
}

/// What kind of datagram it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HIP or ISAKMP.
    Control(Socket),
    /// Data of a group.
    Esp,
}

/// A datagram that was put on the wire.
#[derive(Debug, Clone)]
pub struct Sent {
    /// When.
    pub at: Time,
    /// By whom.
    pub origin: Origin,
    /// What it is.
    pub kind: Kind,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What it holds.
    pub octets: Vec<u8>,
}

struct Flight {
    to: Target,
    source: SocketAddr,
    destination: SocketAddr,
    kind: Kind,
    octets: Arc<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Member(usize),
    Server,
}

/// One key server, any number of members, and what lies between.
pub struct Network {
    /// The instant that it is.
    pub now: Time,
    /// The key server.
    pub server: Gcks,
    /// What the key server has stored.
    pub store: MemoryStore,
    /// The members.
    pub members: Vec<Node>,
    /// What the network does.
    pub conditions: Conditions,
    /// Everything that was put on the wire.
    pub wire: Vec<Sent>,
    /// Which member heard a copy of which GROUPKEY-PUSH, by the message's last block.
    pub heard: BTreeSet<(usize, Vec<u8>)>,
    /// How many copies of datagrams were lost.
    pub lost: u64,
    /// What the key server told, and when.
    pub told: Vec<(Time, ServerEvent)>,
    /// What the key server said to where no member is.
    unclaimed: Vec<Transmit>,
    /// Why datagrams were dropped by those that received them.
    pub drops: BTreeMap<&'static str, u32>,
    /// Looks at what the server commits, and may change it: a store that is not to be trusted.
    pub tamper: Option<Tamper>,
    /// Makes damaged copies of a control datagram, each of which arrives just before it and must change nothing.
    pub damage: Option<Damage>,
    /// Says which datagrams pass at all.
    pub passes: Option<Filter>,
    /// Says which of them a member hears.
    pub hears: Option<Hears>,
    /// Says what the system of the key server refuses to send.
    pub refuses: Option<Refuses>,
    /// How long the key server's disk takes for a commit. The others go on meanwhile.
    pub disk: Duration,
    /// Whether hosts that are added have a ledger of their keys.
    pub keeps_keys: bool,
    /// Whether the key server runs; while it does not, what is sent to it is lost.
    pub running: bool,
    /// How far the key server's clock is ahead of the members'.
    pub server_ahead: Duration,
    /// Where the key server has its cryptography from.
    provider: &'static CryptoProvider,
    /// What the key server shows of certificates when it is started again; a running one is told.
    pub server_certificates: Vec<CertificateChain>,
    /// Within which time the key server renews the keys of associations.
    rekey_after: Option<Duration>,
    signature: KeyAlgorithm,
    identities: SeededRandom,
    identity: Arc<HostIdentity>,
    random: SeededRandom,
    flights: BTreeMap<(Time, u64), Flight>,
    serial: u64,
}

/// What a store does to changes before it keeps them.
pub type Tamper = Box<dyn FnMut(Vec<Change>) -> Vec<Change>>;

/// Makes damaged copies of a datagram.
pub type Damage = Box<dyn FnMut(Socket, &[u8]) -> Vec<Vec<u8>>>;

/// Says at an instant why a datagram of the key server does not leave it, if it does not.
pub type Refuses = Box<dyn FnMut(Time, &Transmit) -> Option<NotSent>>;

/// Says whether a member, by its place, hears a datagram.
pub type Hears = Box<dyn FnMut(usize, &Sent) -> bool>;

/// Says whether a datagram passes.
pub type Filter = Box<dyn FnMut(&Sent) -> bool>;

/// Makes the identifier of a group.
pub fn group_id(name: &str) -> GroupId {
    name.parse().expect("the name is a group's")
}

/// Makes the default policy of the `number`th group: an address of its own.
pub fn policy(number: u8) -> GroupPolicy {
    let address = IpAddr::from([239, 192, 0, number]);
    let mut policy = GroupPolicy::new(Channel::new(address, None).expect("239/8 is multicast"));
    policy.rekey.address = Some(IpAddr::from([239, 192, 1, number]));
    policy
}

fn hip_config(identity: Arc<HostIdentity>) -> HostConfig {
    let mut hip = HostConfig::new(identity, provider());
    // Quick to test: one curve, an easy puzzle.
    hip.dh_groups.truncate(1);
    hip.puzzle_difficulty = 1;
    hip.puzzle_difficulty_under_load = 1;
    hip
}

/// Makes a host identity from the system's randomness.
///
/// # Panics
///
/// If the system has no randomness.
pub fn new_identity() -> Arc<HostIdentity> {
    identity(KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().expect("the system has randomness"))
}

fn identity(algorithm: KeyAlgorithm, random: &mut dyn Random) -> Arc<HostIdentity> {
    Arc::new(HostIdentity::generate(provider(), algorithm, random).expect("keys can be made"))
}

impl Network {
    /// Begins with a key server that has no group, and no member.
    pub fn new(seed: u64) -> Self {
        Self::signing_by(KeyAlgorithm::EcdsaP256, seed)
    }

    /// Begins with a key server that renews the keys of associations.
    pub fn renewing(rekey_after: Duration, seed: u64) -> Self {
        Self::begin(KeyAlgorithm::EcdsaP256, Some(rekey_after), seed, provider())
    }

    /// Begins with a key server that has its cryptography from this provider.
    pub fn provided(provider: &'static CryptoProvider, seed: u64) -> Self {
        Self::begin(KeyAlgorithm::EcdsaP256, None, seed, provider)
    }

    /// Does what [`Network::new`] does, with host identities of one kind. Under Ed25519, whose signatures need no
    /// randomness, everything on the wire follows from the seed, if the groups sign by such keys too.
    pub fn signing_by(signature: KeyAlgorithm, seed: u64) -> Self {
        Self::begin(signature, None, seed, provider())
    }

    fn begin(
        signature: KeyAlgorithm,
        rekey_after: Option<Duration>,
        seed: u64,
        provider: &'static CryptoProvider,
    ) -> Self {
        let mut random = SeededRandom::new(seed);
        // A source apart: what the network does to datagrams does not depend on the kind of key.
        let mut identities = SeededRandom::new(!seed);
        let identity = identity(signature, &mut identities);
        let config = Self::server_config(&identity, rekey_after, provider);
        let server =
            Gcks::new(config, random::fork(&mut random), START).expect("the configuration is usable");
        Self {
            now: START,
            server,
            store: MemoryStore::new(),
            members: Vec::new(),
            conditions: Conditions::PERFECT,
            wire: Vec::new(),
            heard: BTreeSet::new(),
            lost: 0,
            told: Vec::new(),
            unclaimed: Vec::new(),
            drops: BTreeMap::new(),
            tamper: None,
            damage: None,
            passes: None,
            hears: None,
            refuses: None,
            disk: Duration::ZERO,
            keeps_keys: true,
            running: true,
            server_ahead: Duration::ZERO,
            provider,
            server_certificates: Vec::new(),
            rekey_after,
            signature,
            identities,
            identity,
            random,
            flights: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Returns the key server's HIT.
    pub fn server_hit(&self) -> Hit {
        self.identity.hit()
    }

    /// Returns who the key server is.
    pub fn server_identity(&self) -> &Arc<HostIdentity> {
        &self.identity
    }

    /// Says what time it is by the key server's clock.
    pub fn server_now(&self) -> Time {
        self.now + self.server_ahead
    }

    /// Adds a group and takes it into the store.
    pub fn add_group(&mut self, id: &GroupId, policy: GroupPolicy) {
        self.server.add_group(self.server_now(), id.clone(), policy).expect("the policy is coherent");
        self.settle();
    }

    /// Connects one more host, which has asked for nothing yet; returns its place.
    pub fn add_member(&mut self) -> usize {
        let identity = identity(self.signature, &mut self.identities);
        self.add_member_as(identity)
    }

    /// Does what [`Network::add_member`] does with an identity that may be in use already.
    pub fn add_member_as(&mut self, identity: Arc<HostIdentity>) -> usize {
        self.add_member_with(identity, |_| ())
    }

    /// Does what [`Network::add_member_as`] does, after a change of the configuration.
    pub fn add_member_with(
        &mut self,
        identity: Arc<HostIdentity>,
        configure: impl FnOnce(&mut MemberConfig),
    ) -> usize {
        let place = self.members.len();
        let number = place as u32 + 1;
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number);
        let mut config = MemberConfig {
            hip: hip_config(identity.clone()),
            provider: provider(),
            owner: None,
            server: self.server_hit(),
            server_address: (SERVER, HIP_PORT).into(),
            socket: Socket::HipUdp,
            gdoi_port: GDOI_PORT,
            extensions: Default::default(),
            plane: PlaneKind::Udp,
            registration_lifetime: Duration::from_secs(86_400),
            retransmit: RetransmitPolicy::default(),
        };
        configure(&mut config);
        let mut member = Member::new(config, random::fork(&mut self.random), self.now)
            .expect("the configuration is usable");
        let ledgers = Ledgers::default();
        if self.keeps_keys {
            member = member.witnessed(ledgers.witness());
        }
        self.members.push(Node {
            member,
            plane: DataPlane::userspace(provider()),
            other_plane: None,
            identity,
            address,
            events: Vec::new(),
            received: Vec::new(),
            connected: true,
            ledgers,
            places: BTreeMap::new(),
            due: None,
        });
        self.settle_member(place);
        place
    }

    /// Has a host be at another address from now on, and say so.
    pub fn readdress(&mut self, place: usize, to: Ipv4Addr) {
        let node = &mut self.members[place];
        let from = std::mem::replace(&mut node.address, to);
        node.member.readdress(self.now, from.into(), to.into());
        self.settle();
    }

    /// Allows a host in a group and has it join.
    pub fn join(&mut self, place: usize, group: &GroupId, role: Role) {
        let host = self.members[place].id();
        self.server.allow(self.server_now(), group, &host, role).expect("the group exists");
        self.ask(place, group, role);
    }

    /// Has a host ask for a group, allowed or not.
    pub fn ask(&mut self, place: usize, group: &GroupId, role: Role) {
        let now = self.now;
        self.members[place].member.join(now, group.clone(), role);
        self.settle();
    }

    /// Adds a host that joins in a role, and waits until it has keys.
    pub fn joined(&mut self, group: &GroupId, role: Role) -> usize {
        let place = self.add_member();
        self.join(place, group, role);
        self.until(Duration::from_secs(30), |network| network.is_keyed(place, group));
        place
    }

    /// Says whether a member holds keys of a group.
    pub fn is_keyed(&self, place: usize, group: &GroupId) -> bool {
        self.members[place].member.subscription(group).is_some_and(|s| s.is_keyed())
    }

    /// Says whether a member holds the KEK and the TEK in force.
    pub fn is_current(&self, place: usize, group: &GroupId) -> bool {
        let Some((kek, tek)) = self.server.newest_keys(group) else { return false };
        let Node { member, plane, .. } = &self.members[place];
        let Some(subscription) = member.subscription(group) else { return false };
        subscription.epoch().map(|(spi, _)| spi) == kek && plane.status(group).iter().any(|sa| sa.spi == tek)
    }

    /// Has a member send a payload to a group, if it can.
    ///
    /// # Errors
    ///
    /// The reason why it cannot.
    pub fn send(
        &mut self,
        place: usize,
        group: &GroupId,
        payload: &[u8],
    ) -> Result<(), claviger_dataplane::Error> {
        let now = self.now;
        let node = &mut self.members[place];
        let places = node.member.subscription(group).and_then(|subscription| subscription.places());
        let places = places.ok_or_else(|| claviger_dataplane::Error::NotKeyed(group.clone()))?;
        let octets = node.plane.seal(now, group, UDP, &[payload])?;
        let destination = SocketAddr::new(places.channel.group(), places.encapsulation_port);
        let source = SocketAddr::from((node.address, 40_000));
        self.fly(Origin::Member(place), source, Kind::Esp, destination, octets);
        self.settle_member(place);
        Ok(())
    }

    /// Kills the key server and starts another on its store, at once.
    pub fn restart(&mut self) {
        self.restart_ahead(self.server_ahead);
    }

    /// Does what [`Network::restart`] does, on a host whose clock is so far ahead of the members'.
    pub fn restart_ahead(&mut self, ahead: Duration) {
        let records = self.records();
        let random = random::fork(&mut self.random);
        let wall = self.now + ahead;
        let start = Gcks::start_at(provider(), &records, wall).expect("the stored times are whole");
        self.server_ahead = start.since(self.now);
        let mut config = Self::server_config(&self.identity, self.rekey_after, self.provider);
        config.hip.certificates = self.server_certificates.clone();
        self.server = Gcks::restore(config, random, start, &records).expect("the stored state is whole");
        self.settle();
    }

    /// Reads everything that is stored.
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        for table in Gcks::TABLES {
            let each = &mut |key: &RecordKey, value: SecretBytes| {
                records.push((table, key.clone(), value));
                Ok(())
            };
            self.store.scan(table, each).expect("memory can be read");
        }
        records
    }

    /// Counts what is stored in each table.
    pub fn stored(&self) -> BTreeMap<Table, usize> {
        let mut counts = BTreeMap::new();
        for (table, ..) in self.records() {
            *counts.entry(table).or_default() += 1;
        }
        counts
    }

    /// Lets time pass.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step_before(end) {}
        // A disk that writes may have taken longer.
        self.now = self.now.max(end);
    }

    /// Lets time pass until something is so.
    ///
    /// # Panics
    ///
    /// If it is not so within `limit`.
    pub fn until(&mut self, limit: Duration, mut wanted: impl FnMut(&Self) -> bool) {
        assert!(
            self.reaches(limit, &mut wanted),
            "it did not happen within {limit:?}; drops: {:?}",
            self.drops
        );
    }

    /// Lets time pass until something is so, or `limit` has passed; says which.
    pub fn reaches(&mut self, limit: Duration, mut wanted: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if wanted(self) {
                return true;
            }
            if !self.step_before(end) {
                self.now = end;
                return wanted(self);
            }
        }
    }

    /// Goes to the next arrival or timer, if there is one until `end`.
    pub fn step_before(&mut self, end: Time) -> bool {
        let arrival = self.flights.first_key_value().map(|((at, _), _)| *at);
        let server = self.server.poll_timeout().filter(|_| self.running).map(|at| at - self.server_ahead);
        let members = self.members.iter().filter_map(|node| node.due);
        let next = members.chain(arrival).chain(server).min().filter(|next| *next <= end);
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        self.handle_timers();
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let flight = entry.remove();
            self.deliver(flight);
        }
        true
    }

    fn handle_timers(&mut self) {
        let now = self.now;
        for spins in 0.. {
            assert!(spins < SPINS_MAX, "the key server's timer spins at {now}");
            let server_now = self.server_now();
            if !self.running || self.server.poll_timeout().is_none_or(|at| at > server_now) {
                break;
            }
            self.server.handle_timeout(server_now);
            self.settle();
        }
        self.handle_member_timers();
    }

    fn handle_member_timers(&mut self) {
        let now = self.now;
        for place in 0..self.members.len() {
            for spins in 0.. {
                assert!(spins < SPINS_MAX, "the timer of member {place} spins at {now}");
                let node = &mut self.members[place];
                if node.due.is_none_or(|at| at > now) {
                    break;
                }
                node.member.handle_timeout(now);
                node.plane.handle_timeout(now);
                self.settle_member(place);
            }
        }
    }

    /// Lets out what the machines have to say.
    pub fn settle(&mut self) {
        self.settle_server();
        for place in 0..self.members.len() {
            self.settle_member(place);
        }
    }

    fn settle_member(&mut self, place: usize) {
        let node = &mut self.members[place];
        node.carry_keys(self.now);
        let mut transmits = Vec::new();
        while let Some(transmit) = node.member.poll_transmit() {
            transmits.push(transmit);
        }
        while let Some(event) = node.member.poll_event() {
            listening::follow(&mut node.places, &event);
            node.events.push((self.now, event));
        }
        node.due = node.member.poll_timeout().into_iter().chain(node.plane.poll_timeout()).min();
        let address = node.address;
        for transmit in transmits {
            let port = listening::port_of(transmit.socket);
            self.put(Origin::Member(place), (address, port).into(), transmit);
        }
    }

    fn put(&mut self, origin: Origin, source: SocketAddr, transmit: Transmit) {
        let Transmit { socket, destination, payload, .. } = transmit;
        self.fly(origin, source, Kind::Control(socket), destination, payload);
    }

    /// Puts a datagram on the wire, whoever made it.
    pub fn fly(
        &mut self,
        origin: Origin,
        source: SocketAddr,
        kind: Kind,
        destination: SocketAddr,
        octets: Vec<u8>,
    ) {
        let shared: Arc<[u8]> = octets.clone().into();
        let sent = Sent { at: self.now, origin, kind, destination, octets };
        let passes = self.passes.as_mut().is_none_or(|passes| passes(&sent));
        let mut targets = self.targets(origin, kind, destination);
        if let Some(hears) = &mut self.hears {
            targets.retain(|to| match to {
                Target::Member(place) => hears(*place, &sent),
                Target::Server => true,
            });
        }
        self.wire.push(sent);
        if !passes {
            self.lost += 1;
            return;
        }
        if let Origin::Member(place) = origin
            && !self.members[place].connected
        {
            return;
        }
        for to in targets {
            let copies = 1 + u32::from(self.chance(self.conditions.duplication_permille));
            for _ in 0..copies {
                if self.chance(self.conditions.loss_permille) {
                    self.lost += 1;
                    continue;
                }
                let arrival = self.now + self.latency();
                self.serial += 1;
                let flight = Flight { to, source, destination, kind, octets: Arc::clone(&shared) };
                self.flights.insert((arrival, self.serial), flight);
            }
        }
    }

    fn targets(&self, origin: Origin, kind: Kind, destination: SocketAddr) -> Vec<Target> {
        if destination.ip() == IpAddr::V4(SERVER) {
            return vec![Target::Server];
        }
        let hears = |(place, node): &(usize, &Node)| {
            let groups = node.places.values().any(|places| match kind {
                Kind::Control(_) => [places.push, places.place].contains(&Some(destination)),
                Kind::Esp => {
                    SocketAddr::new(places.channel.group(), places.encapsulation_port) == destination
                        && origin != Origin::Member(*place)
                }
            });
            groups || destination.ip() == IpAddr::V4(node.address)
        };
        self.members.iter().enumerate().filter(hears).map(|(place, _)| Target::Member(place)).collect()
    }

    fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && u32::from_be_bytes(random::array(&mut self.random)) % 1000 < permille
    }

    fn latency(&mut self) -> Duration {
        let Conditions { latency_min, latency_max, .. } = self.conditions;
        let spread = latency_max.saturating_sub(latency_min).as_micros() as u64;
        if spread == 0 {
            return latency_min;
        }
        latency_min + Duration::from_micros(u64::from_be_bytes(random::array(&mut self.random)) % spread)
    }

    fn deliver(&mut self, flight: Flight) {
        if let (Some(mut damage), Kind::Control(socket)) = (self.damage.take(), flight.kind) {
            for octets in damage(socket, &flight.octets) {
                let before = self.fingerprint();
                let damaged = Flight { octets: octets.into(), ..flight };
                self.arrive(damaged);
                let after = self.fingerprint();
                assert!(before == after, "a damaged {socket:?} datagram changed something");
            }
            self.damage = Some(damage);
        }
        self.arrive(flight);
    }

    /// Everything that a datagram which is not genuine must not change: what is stored, who is in, who holds what.
    pub fn fingerprint(&self) -> (MemoryStore, String) {
        let now = self.server_now();
        let groups = self.server.groups(now);
        let hosts: Vec<_> = groups.iter().map(|group| self.server.hosts(now, &group.id)).collect();
        let held = |node: &Node| {
            let held = node
                .member
                .subscriptions()
                .map(|s| (s.group().clone(), s.epoch(), node.plane.status(s.group()), s.pulls()));
            format!("{:?}", held.collect::<Vec<_>>())
        };
        let members: Vec<String> = self.members.iter().map(held).collect();
        (self.store.clone(), format!("{groups:?} {hosts:?} {members:?}"))
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight { to, source, destination, kind, octets } = flight;
        let datagram = |socket| Datagram { socket, source, destination, payload: &octets };
        let now = self.server_now();
        match (to, kind) {
            (Target::Server, Kind::Control(socket)) if self.running => {
                if let Err(error) = self.server.handle_datagram(now, datagram(socket)) {
                    *self.drops.entry(error.reason()).or_default() += 1;
                }
                self.settle_server();
            }
            (Target::Member(place), kind) if self.members[place].connected => {
                self.deliver_to_member(place, kind, &datagram);
            }
            _ => self.lost += 1,
        }
    }

    fn deliver_to_member<'a>(&mut self, place: usize, kind: Kind, datagram: &dyn Fn(Socket) -> Datagram<'a>) {
        let now = self.now;
        let node = &mut self.members[place];
        match kind {
            Kind::Control(socket) => {
                let Datagram { destination, payload, .. } = datagram(socket);
                if destination.ip().is_multicast() {
                    self.heard.insert((place, last_block(payload).to_vec()));
                }
                if let Err(error) = node.member.handle_datagram(now, datagram(socket)) {
                    *self.drops.entry(error.reason()).or_default() += 1;
                }
            }
            Kind::Esp => {
                let Datagram { source, destination, payload, .. } = datagram(Socket::Port848);
                let here = |places: &Places| {
                    SocketAddr::new(places.channel.group(), places.encapsulation_port) == destination
                };
                let groups: Vec<GroupId> =
                    node.places.iter().filter(|(_, places)| here(places)).map(|(id, _)| id.clone()).collect();
                for group in groups {
                    let Some(subscription) = node.member.subscription(&group) else { continue };
                    if !subscription.role().receives() {
                        continue;
                    }
                    if let Ok(opened) = node.plane.open(now, &group, source.ip(), payload) {
                        node.received.push((now, opened.payload));
                    }
                }
            }
        }
        self.settle_member(place);
    }

    /// Goes through the GROUPKEY-PUSHes that were on the wire, each number once.
    pub fn pushes(&self) -> Vec<&Sent> {
        let mut seen = BTreeSet::new();
        self.wire
            .iter()
            .filter(|sent| {
                sent.kind == Kind::Control(Socket::Port848)
                    && sent.destination.ip().is_multicast()
                    && sent.octets.get(EXCHANGE_TYPE_AT) == Some(&GROUPKEY_PUSH)
            })
            .filter(|sent| seen.insert(&sent.octets))
            .collect()
    }

    /// Goes through the data that was on the wire to a group.
    pub fn data(&self, group: &GroupId) -> Vec<&Sent> {
        let channel =
            self.server.group(self.server_now(), group).map(|view| view.policy.data.channel.group());
        let wanted = |sent: &&Sent| sent.kind == Kind::Esp && Some(sent.destination.ip()) == channel;
        self.wire.iter().filter(wanted).collect()
    }

    /// Has chance choose a number below `limit`, which is not zero.
    pub fn draw(&mut self, limit: u64) -> u64 {
        u64::from_be_bytes(random::array(&mut self.random as &mut dyn Random)) % limit
    }
}

/// Returns the end of a message, which names it well enough.
pub(crate) fn last_block(message: &[u8]) -> &[u8] {
    &message[message.len().saturating_sub(16)..]
}

/// Where an ISAKMP header has the exchange type (RFC 2408 section 3.1).
const EXCHANGE_TYPE_AT: usize = 18;

/// The exchange type of GROUPKEY-PUSH (RFC 6407 section 4.2).
const GROUPKEY_PUSH: u8 = 33;

/// The port of HIP.
pub const HIP_PORT: u16 = 10_500;

/// The port of GDOI.
pub const GDOI_PORT: u16 = 848;
