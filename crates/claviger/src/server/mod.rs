//! The key server: sockets, store and control around the core.
//!
//! One event loop: packets, calls and timers go into the core; what they changed is committed to the store beside the
//! loop (`disk`); only then does what the core said go out. Whatever comes while a commit is under way shares the next.

mod control;
mod disk;
mod lists;
mod log;
mod view;
mod waiting;
mod way_out;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use claviger_api::{Call, ControlSocket};
use claviger_crypto::{SystemRandom, provider};
use claviger_gcks::{Event, Gcks, GcksConfig, Record, event::Rekeyed};
use claviger_group::GroupId;
use claviger_hip::{CertificateChain, HostConfig, TransportFormats, iana::EspSuite};
use claviger_identity::HostIdentity;
use claviger_net::{Clock, Interface, MulticastSocket, Protocol, RawOptions, RawSocket};
use claviger_sansio::{Socket, Time};
use claviger_store::{FileStore, Store};
use tokio::sync::mpsc;

use crate::{
    carrier::{Carrier, Packet, bind_udp},
    counters::CarrierCounts,
    exit::Failure,
    output::instant,
    route::{address_towards, is_link_local},
    settings::{
        association_rekey::AssociationRekey,
        difficulty::Puzzle,
        hip::{self as hip_offers, Ciphers, DhGroups},
    },
    signal::{Stop, sleep_until},
};

use disk::{Answers, Disk, DurableStep, Step};
use lists::{Lists, Watch};
use waiting::Waiting;

/// Packets that are taken in at a time: beyond them calls, timers and the disk would have to wait.
const BATCH_MAX: usize = 256;

/// Packets that are taken in while a commit is under way; what they are answered waits in memory. A disk that takes this
/// long is the bottleneck: further packets wait with the sockets, and calls are answered as before.
const STEP_PACKETS_MAX: usize = 4_096;

/// What the key server is started with.
pub struct ServerOptions {
    /// Who the key server is.
    pub identity: Arc<HostIdentity>,
    /// Where the store lies.
    pub state_dir: PathBuf,
    /// Where it is controlled.
    pub socket: PathBuf,
    /// The addresses it listens on; unspecified ones are any.
    pub listen: Vec<IpAddr>,
    /// HIP's UDP port.
    pub hip_port: u16,
    /// GDOI's UDP port.
    pub gdoi_port: u16,
    /// Whether it also speaks HIP on IP protocol 139.
    pub raw: bool,
    /// The interface that GROUPKEY-PUSHes leave by; otherwise that of the listening address, or the route's.
    pub interface: Option<String>,
    /// How hard R1's puzzle is.
    pub puzzle: Puzzle,
    /// HIP's Diffie-Hellman groups.
    pub dh_groups: DhGroups,
    /// HIP's ciphers.
    pub ciphers: Ciphers,
    /// When the keys of HIP associations are renewed.
    pub association_rekey: AssociationRekey,
    /// The certificates that it shows to hosts.
    pub certificates: Vec<CertificateChain>,
    /// Where lists of revoked certificates are.
    pub revocation_lists: Option<PathBuf>,
}

/// Runs the key server until it is told to stop.
pub async fn run(options: ServerOptions) -> Result<(), Failure> {
    let store = FileStore::open(&options.state_dir)?;
    for notice in store.notices() {
        tracing::warn!("{notice}");
    }
    run_on(options, store).await
}

/// Runs the key server on any store.
pub async fn run_on(options: ServerOptions, store: impl Store + 'static) -> Result<(), Failure> {
    let control = ControlSocket::bind(&options.socket)?;
    let hit = options.identity.hit();
    let mut server = Server::start(&options, store).await?;
    let (calls, mut queue) = claviger_api::call::channel();
    let api = tokio::spawn(claviger_api::serve(control, calls));
    tracing::info!(%hit, socket = %options.socket.display(), "key server runs");
    let result = server.serve(&mut queue).await;
    api.abort();
    result
}

/// The loop's state.
struct Server<S> {
    disk: Disk<S>,
    core: Gcks,
    clock: Clock,
    carrier: Carrier,
    packets: mpsc::Receiver<Packet>,
    counts: CarrierCounts,
    /// Packets that were taken in since the commit that is under way began.
    taken: usize,
    started: Time,
    about: view::About,
    /// The answers that rest on the next step.
    answers: Answers,
    /// Who waits until rekey messages have left.
    waiting: Waiting,
    /// The interface that multicast leaves by, if one is chosen.
    interface: Option<Interface>,
    last_rekeys: BTreeMap<GroupId, Rekeyed>,
    /// What is read of the directory of revocation lists.
    lists: Lists,
    /// Who looks at that directory, if there is one.
    watch: Option<Watch>,
}

impl<S: Store + 'static> Server<S> {
    async fn start(options: &ServerOptions, store: S) -> Result<Self, Failure> {
        let mut records: Vec<Record> = Vec::new();
        for table in Gcks::TABLES {
            store.scan(table, &mut |key, value| {
                records.push((table, key.clone(), value));
                Ok(())
            })?;
        }
        let clock = start_clock(&records)?;
        let now = clock.now();
        let interface = push_interface(options)?;
        let lists = options.revocation_lists.as_deref().map(Lists::read).transpose()?.unwrap_or_default();
        let config = core_config(options, interface.as_ref());
        let mut core = Gcks::restore(config, Box::new(SystemRandom::new()?), now, &records)?;
        drop(records);
        // Before anybody is admitted.
        core.set_revocation_lists(now, lists.all());

        let counts = CarrierCounts::default();
        let (mut carrier, packets) = Carrier::new(counts.clone());
        let mut listens = Vec::new();
        for address in &options.listen {
            let hip = bind_udp(SocketAddr::new(*address, options.hip_port), "--hip-port")?;
            let gdoi = bind_udp(SocketAddr::new(*address, options.gdoi_port), "--gdoi-port")?;
            if let Some(interface) = &interface {
                gdoi.set_multicast_interface(interface)?;
            }
            gdoi.set_multicast_hops(PUSH_HOPS)?;
            listens.push(("hip-udp", hip.local_address()));
            listens.push(("gdoi", gdoi.local_address()));
            carrier.carry_udp(Socket::HipUdp, hip);
            carrier.carry_udp(Socket::Port848, gdoi);
            if options.raw {
                let raw = RawSocket::bind(Protocol::Hip, *address, &RawOptions::new("--raw"))?;
                listens.push(("hip-raw", SocketAddr::new(*address, 0)));
                carrier.carry_raw(Socket::HipRaw, raw);
            }
        }
        let server = Self {
            disk: Disk::new(store),
            core,
            clock,
            carrier,
            packets,
            counts,
            taken: 0,
            started: now,
            about: view::About {
                hit: options.identity.hit(),
                listens,
                hip_port: options.hip_port,
                gdoi_port: options.gdoi_port,
                certificates: view::certified(&options.certificates),
            },
            answers: Answers::default(),
            waiting: Waiting::default(),
            interface,
            last_rekeys: BTreeMap::new(),
            watch: options.revocation_lists.clone().map(|directory| Watch::start(directory, lists.clone())),
            lists,
        };
        server.core.groups(now).iter().for_each(|group| server.warn_without_way_out(group));
        Ok(server)
    }

    async fn serve(&mut self, calls: &mut mpsc::Receiver<Call>) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        // Whoever is answered at all can rely on what the start noted: whose store it is, and what time it is.
        self.settle().await?;
        loop {
            self.advance().await;
            let now = self.clock.now();
            self.waiting.answer(now, &self.core);
            let waiting = self.waiting.poll_timeout(now);
            let timeout = self.core.poll_timeout().into_iter().chain(waiting).min();
            let has_room = self.taken < STEP_PACKETS_MAX;
            tokio::select! {
                () = stop.wait() => return self.settle().await,
                durable = self.disk.finished() => self.release(durable?).await,
                Some(packet) = self.packets.recv(), if has_room => self.take_packets(packet),
                Some(call) = calls.recv() => self.take_call(call),
                lists = Watch::changed(&mut self.watch) => self.take_lists(lists),
                () = sleep_until(&self.clock, timeout) => {}
            }
            self.core.handle_timeout(self.clock.now());
        }
    }

    /// Begins to commit the next step, unless an earlier one is under way. A step without changes is released at once.
    async fn advance(&mut self) {
        while self.disk.is_idle() {
            self.taken = 0;
            let Some(staged) = self.core.stage(self.clock.now()) else {
                // What the answers rest on is durable: nothing is under way, and nothing has changed.
                return std::mem::take(&mut self.answers).give(&mut self.waiting);
            };
            let step = Step { staged, answers: std::mem::take(&mut self.answers) };
            match step.without_changes() {
                Ok(durable) => self.release(durable).await,
                Err(step) => self.disk.begin(step),
            }
        }
    }

    /// Lets out what a durable step says. What becomes of its rekey messages belongs to the next step.
    async fn release(&mut self, step: DurableStep) {
        let DurableStep { durable, answers } = step;
        let mut released = self.core.release(durable);
        while let Some(dispatch) = released.poll_transmit() {
            let outcome = self.carrier.send(dispatch.transmit()).await;
            dispatch.report(self.clock.now(), outcome);
        }
        let events: Vec<Event> = std::iter::from_fn(|| released.poll_event()).collect();
        drop(released);
        // Callers wait for events from the next step on at the earliest.
        answers.give(&mut self.waiting);
        events.into_iter().for_each(|event| self.report(event));
    }

    /// Makes durable and lets out what there is, until nothing changes. Nothing is taken in meanwhile.
    async fn settle(&mut self) -> Result<(), Failure> {
        self.advance().await;
        while !self.disk.is_idle() {
            let durable = self.disk.finished().await?;
            self.release(durable).await;
            self.advance().await;
        }
        self.waiting.answer(self.clock.now(), &self.core);
        Ok(())
    }

    fn take_packets(&mut self, first: Packet) {
        let mut next = Some(first);
        for _ in 0..BATCH_MAX.min(STEP_PACKETS_MAX - self.taken) {
            let Some(packet) = next.take().or_else(|| self.packets.try_recv().ok()) else { break };
            self.taken += 1;
            let Some(datagram) = packet.as_datagram() else { continue };
            // Why one is dropped the machines have logged and counted.
            let _ = self.core.handle_datagram(self.clock.now(), datagram);
        }
    }

    /// Goes by other revocation lists from now on: whoever is revoked is put out.
    fn take_lists(&mut self, lists: Lists) {
        self.core.set_revocation_lists(self.clock.now(), lists.all());
        self.lists = lists;
    }

    fn report(&mut self, event: Event) {
        match event {
            Event::Registered { host, group, role } => {
                tracing::info!(%group, peer = %host, %role, "registered")
            }
            Event::Refused(refusal) => {
                tracing::info!(group = %refusal.group, peer = %refusal.host, reason = refusal.reason.as_str(), "refused");
            }
            Event::Narrowed { host, group, role } => {
                tracing::info!(%group, peer = %host, %role, "lost a role");
            }
            Event::Joined { host, group } => tracing::info!(%group, peer = %host, "joined"),
            Event::Relocated { host, group } => {
                tracing::info!(%group, peer = %host, "moved to another place")
            }
            Event::Returned { host, group } => {
                tracing::info!(%group, peer = %host, "registered anew, or used its share of sender ids: began anew")
            }
            Event::Silent { host, group, .. } => {
                tracing::info!(%group, peer = %host, "no sender goes on under the keys of a host that was evicted");
            }
            Event::Departed { host, group, departure, deaf_at, .. } => {
                tracing::info!(%group, peer = %host, ?departure, %deaf_at, "departed");
                self.waiting.departed(&group, &host, deaf_at);
            }
            Event::PushesDropped { group, messages } => {
                tracing::warn!(
                    %group, messages,
                    "rekey messages that could not leave for long are dropped; newer ones make members fetch their keys"
                );
            }
            Event::PushesResumed { group, since } => {
                let since = instant(since);
                tracing::warn!(%group, since, "rekey messages leave again");
            }
            Event::PushesStopped { group, destination, reason } => {
                tracing::warn!(
                    %group, %destination, error = %reason,
                    "rekey messages do not leave this host; they are tried again until they do"
                );
            }
            Event::RekeySent { rekey, at, .. } => self.waiting.sent(rekey, at),
            Event::Moved { hit, from, to } => tracing::info!(peer = %hit, %from, %to, "moved"),
            Event::Rekeyed(rekeyed) => {
                log::rekeyed(&rekeyed);
                self.last_rekeys.insert(rekeyed.group.clone(), rekeyed);
            }
        }
    }
}

/// Starts the clock of a key server that goes on from its records, and says so if the host's was ahead before.
fn start_clock(records: &[Record]) -> Result<Clock, Failure> {
    let wall = Clock::starting_at(Time::EPOCH).now();
    let clock = Clock::starting_at(Gcks::start_at(provider(), records, wall)?);
    let behind = Gcks::last_change(records)?.since(clock.now());
    if !behind.is_zero() {
        tracing::warn!(
            seconds = behind.as_secs(),
            "the wall clock is behind what the store has seen; every stored time is moved back by so much"
        );
    }
    if clock.now() > wall + CLOCK_AHEAD_MAX {
        tracing::warn!(%wall, time = %clock.now(), "the wall clock is so near to 1970 that the age of what is stored does not fit; the key server's time is ahead of it");
    }
    Ok(clock)
}

/// How far a key server's time may be ahead of the wall clock at its start without a word in the log.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(2);

/// The hops that a GROUPKEY-PUSH may travel: group addresses limit their own scope (RFC 2365), routers the rest.
const PUSH_HOPS: u8 = 32;

/// Finds the interface that multicast leaves by: the one named, or that of the one address listened on.
fn push_interface(options: &ServerOptions) -> Result<Option<Interface>, Failure> {
    if let Some(name) = &options.interface {
        return Ok(Some(Interface::by_name(name, "--interface")?));
    }
    match options.listen.iter().find(|address| !address.is_unspecified()) {
        Some(address) => Ok(Some(Interface::by_address(*address, "--interface")?)),
        None => Ok(None),
    }
}

/// Addresses of the organisation's scope, which stand for any group when a route is looked up (RFC 2365, RFC 4291).
const ANY_GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 1);
const ANY_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff18, 0, 0, 0, 0, 0, 0, 1);

fn core_config(options: &ServerOptions, interface: Option<&Interface>) -> GcksConfig {
    let mut hip = HostConfig::new(options.identity.clone(), provider());
    hip.puzzle_difficulty = options.puzzle.difficulty.bits();
    hip.puzzle_difficulty_under_load = options.puzzle.difficulty_max.bits();
    hip.certificates.clone_from(&options.certificates);
    // A generic HIP host wants a data transport (RFC 7401 section 5.2.11); members that only register name none.
    hip.transport =
        TransportFormats::Esp(vec![EspSuite::AES_128_CBC_HMAC_SHA_256, EspSuite::AES_256_CBC_HMAC_SHA_256]);
    hip.rekey_after = options.association_rekey.after();
    hip_offers::choose(&mut hip, &options.dh_groups, &options.ciphers);
    let addresses = interface.and_then(|interface| interface.addresses().ok()).unwrap_or_default();
    let named = options.listen.iter().copied().filter(|address| !address.is_unspecified());
    // Where nothing names the way out, the route to multicast addresses does.
    let routed =
        [IpAddr::V4(ANY_GROUP_V4), IpAddr::V6(ANY_GROUP_V6)].map(|group| address_towards(group).ok());
    let sources: Vec<IpAddr> = named
        .chain(addresses)
        .chain(routed.into_iter().flatten())
        .filter(|address| !is_link_local(address))
        .collect();
    let v4 = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    };
    let v6 = |address: &IpAddr| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    };
    GcksConfig {
        hip,
        provider: provider(),
        gdoi_port: options.gdoi_port,
        push_source_v4: sources.iter().find_map(v4).filter(|a: &Ipv4Addr| !a.is_unspecified()),
        push_source_v6: sources.iter().find_map(v6).filter(|a: &Ipv6Addr| !a.is_unspecified()),
    }
}
