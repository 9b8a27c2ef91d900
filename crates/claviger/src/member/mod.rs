//! The member daemon: sockets, data plane and control around the core.
//!
//! One event loop, as the key server's. Data goes one of two ways, as the group says: ESP in UDP between this
//! process's sockets, its payloads from and to the streams of `send` and `recv`; or ESP as IP protocol 50 between
//! raw sockets, its packets from and to a TUN device.

mod change_over;
mod control;
pub(crate) mod counter;
mod dropped;
mod gaps;
mod group_keys;
mod guard;
mod ip_plane;
mod streams;
mod udp_plane;
mod view;
mod whereabouts;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use claviger_api::Call;
use claviger_crypto::{SystemRandom, provider};
use claviger_dataplane::DataPlane;
use claviger_group::{GroupId, PlaneEvent, Role};
use claviger_hip::HostConfig;
use claviger_identity::{Hit, HostIdentity};
use claviger_member::{Event, KeyWitness, Member, MemberConfig, PlaneKind, event::Places};
use claviger_net::{
    Clock, Interface, InterfaceError, Protocol, RawOptions, RawSocket, UdpOptions, UdpSocket, VmGeneration,
};
use claviger_pki::{GroupOwner, Revocation};
use claviger_sansio::{Counts, RetransmitPolicy, Socket, Time, multicast::is_source_specific};
use tokio::sync::mpsc;

use crate::{
    carrier::{Carrier, Inlet, Listening, Packet, bind_udp},
    certificates,
    counters::CarrierCounts,
    exit::{Exit, Failure},
    route::{address_towards, unspecified},
    sentences,
    settings::{
        hip::{self as hip_offers, Ciphers},
        member::MemberSettings,
    },
    signal::{Stop, sleep_until},
};
use change_over::ChangeOver;
use dropped::Dropped;
use group_keys::GroupKeys;
use guard::GroupGuard;
use ip_plane::IpPlane;
use streams::Receivers;
use udp_plane::UdpPlane;
use whereabouts::Whereabouts;

/// Packets that are taken before the loop looks at anything else.
const BATCH_MAX: usize = 256;

/// Attempts to register after which a member that was never registered gives up.
const FIRST_ATTEMPTS_MAX: u32 = 3;

/// How long the daemon waits for CLOSE_ACK at its end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// The loop's state.
pub(crate) struct MemberDaemon {
    core: Member,
    /// What protects the group's packets.
    data_plane: DataPlane,
    clock: Clock,
    identity: Arc<HostIdentity>,
    settings: MemberSettings,
    /// What the member may do: what was asked for, or what the key server has left of it.
    role: Role,
    carrier: Carrier,
    packets: mpsc::Receiver<Packet>,
    plane: Option<Plane>,
    /// What is told the member once nothing waits in the sockets of the data plane that is under older keys.
    changing_over: ChangeOver,
    /// Hears that this machine goes on from an earlier state.
    generation: VmGeneration,
    places: Option<Places>,
    /// The sockets that hear the group.
    listening: Vec<Listening>,
    whereabouts: Whereabouts,
    guard: GroupGuard,
    /// Whether the sockets of the data plane still are those of another network, or its route was taken away.
    is_displaced: bool,
    receivers: Receivers,
    streams: streams::Senders,
    view: view::Observed,
    carrier_counts: CarrierCounts,
    data_counts: Counts<counter::Counter>,
    /// Set once the association is being closed.
    closing: Option<Time>,
    leave_replies: Vec<claviger_api::Reply<claviger_api::LeftView>>,
}

/// The sockets of the data plane.
enum Plane {
    Udp(UdpPlane),
    Ip(IpPlane),
}

impl Plane {
    /// Says how much of what was sent has not left this host.
    fn unsent(&self) -> io::Result<usize> {
        match self {
            Self::Udp(plane) => plane.unsent(),
            Self::Ip(plane) => plane.unsent(),
        }
    }
}

impl MemberDaemon {
    /// Guards the group's address if it is known, opens the control sockets and asks for the group.
    pub(crate) fn start(identity: Arc<HostIdentity>, settings: MemberSettings) -> Result<Self, Failure> {
        let clock = Clock::starting_at(Time::EPOCH);
        let now = clock.now();
        let guard = GroupGuard::begin(&settings, now)?;
        let carrier_counts = CarrierCounts::default();
        let (mut carrier, packets) = Carrier::new(carrier_counts.clone());
        let any = unspecified(settings.server.address.ip());
        if settings.raw {
            let raw = RawSocket::bind(Protocol::Hip, any, &RawOptions::new("--raw"))?;
            carrier.carry_raw(Socket::HipRaw, raw);
        } else {
            carrier.carry_udp(Socket::HipUdp, bind_udp(SocketAddr::new(any, 0), "--server")?);
        }
        carrier.carry_udp(Socket::Port848, bind_udp(SocketAddr::new(any, 0), "--gdoi-port")?);

        let mut core =
            Member::new(config(identity.clone(), &settings)?, Box::new(SystemRandom::new()?), now)?;
        core.join(now, settings.group.clone(), settings.role);
        Ok(Self {
            view: view::Observed::new(now),
            carrier_counts,
            data_counts: Counts::default(),
            core,
            data_plane: DataPlane::userspace(provider()),
            clock,
            carrier,
            packets,
            plane: None,
            changing_over: ChangeOver::default(),
            generation: VmGeneration::listen(),
            places: None,
            listening: Vec::new(),
            whereabouts: Whereabouts::new(now, settings.server.address.ip()),
            guard,
            is_displaced: false,
            receivers: Receivers::default(),
            streams: streams::Senders::new(),
            closing: None,
            leave_replies: Vec::new(),
            role: settings.role,
            identity,
            settings,
        })
    }

    /// Has a witness be told of each key that comes.
    pub(crate) fn witnessed(self, witness: Box<dyn KeyWitness>) -> Self {
        Self { core: self.core.witnessed(witness), ..self }
    }

    /// Runs until the member has left, was put out, or is told to stop by a signal.
    pub(crate) async fn run(&mut self, calls: &mut mpsc::Receiver<Call>) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        loop {
            if self.settle().await? {
                return Ok(());
            }
            let look_at = Some(self.whereabouts.poll_timeout());
            let machines = [self.core.poll_timeout(), self.data_plane.poll_timeout()];
            let own = [self.closing, look_at, self.guard.poll_timeout(), self.changing_over.poll_timeout()];
            let timeout = machines.into_iter().chain(own).flatten().min();
            tokio::select! {
                () = stop.wait() => self.leave(),
                Some(packet) = self.packets.recv() => self.take_packets(packet).await,
                Some(call) = calls.recv() => self.take_call(call),
                Some(piece) = self.streams.next(), if self.may_send() => self.take_piece(piece).await,
                packet = Self::tun_packet(&self.plane), if self.changing_over.is_over() => {
                    self.send_tun_packet(packet).await;
                }
                () = self.generation.changed() => {
                    tracing::warn!("this machine goes on from an earlier state: nothing is sent until the keys are fetched again");
                    self.core.machine_restored(self.clock.now());
                }
                () = self.guard.changed() => self.guard.hurry(),
                () = sleep_until(&self.clock, timeout) => {}
            }
            self.core.handle_timeout(self.clock.now());
            self.data_plane.handle_timeout(self.clock.now());
            self.look_around();
            self.is_displaced |= self.guard.look(self.clock.now());
        }
    }

    /// Leaves by CLOSE and waits for its end.
    pub(crate) async fn leave_now(&mut self) {
        self.leave();
        let (_calls, mut queue) = claviger_api::call::channel();
        if let Err(failure) = self.run(&mut queue).await {
            tracing::warn!("{}", failure.message);
        }
    }

    /// Says, at the end, what of the daemon's doing stays.
    pub(crate) fn say_what_stays(&self) {
        self.guard.say_that_it_stays();
    }

    /// Says how many of the group's datagrams the kernel dropped because the receive buffer was full.
    pub(crate) fn kernel_drops(&self) -> u32 {
        self.view.kernel_drop_count()
    }

    /// Says whether there is an association to send under, and a lease where one is needed; payloads wait until there is.
    fn may_send(&self) -> bool {
        self.changing_over.is_over() && self.data_plane.sends(self.clock.now(), &self.settings.group)
    }

    /// Leaves by CLOSE.
    fn leave(&mut self) {
        if self.closing.is_none() {
            let now = self.clock.now();
            self.core.leave(now);
            self.closing = Some(now + CLOSE_PATIENCE);
        }
    }

    /// Sends what is to be sent and acts on events. Says whether the member is at its end.
    async fn settle(&mut self) -> Result<bool, Failure> {
        self.carry_keys();
        while let Some(transmit) = self.core.poll_transmit() {
            if self.carrier.send(&transmit).await.is_err() {
                self.whereabouts.hurry(self.clock.now());
            }
        }
        while let Some(event) = self.core.poll_event() {
            if self.act(event)? {
                return Ok(true);
            }
        }
        if self.closing.is_some_and(|until| until <= self.clock.now()) {
            tracing::warn!("the key server did not acknowledge CLOSE");
            self.answer_leave(false);
            return Ok(true);
        }
        Ok(false)
    }

    /// Carries what the member says of its keys to the data plane, and what that has met back.
    fn carry_keys(&mut self) {
        let now = self.clock.now();
        loop {
            while let Some((group, command)) = self.core.poll_plane() {
                self.data_plane.apply(now, &group, command);
            }
            let Some((group, event)) = self.data_plane.poll_event() else { break };
            match event {
                PlaneEvent::ChangedOver(_) => self.changing_over.begin(group, event),
                PlaneEvent::Refused(_) | PlaneEvent::SenderIdSpent(_) | PlaneEvent::UnknownSpi(_) => {
                    self.core.handle_plane_event(now, &group, event);
                }
            }
        }
        let unsent = || self.plane.as_ref().map_or(Ok(0), Plane::unsent);
        for (group, event) in self.changing_over.take(now, unsent) {
            self.core.handle_plane_event(now, &group, event);
        }
    }

    fn act(&mut self, event: Event) -> Result<bool, Failure> {
        self.view.note(&event);
        match event {
            Event::Registered { group, role } => tracing::info!(%group, %role, "registered"),
            Event::Listen { group, places } => {
                tracing::info!(%group, channel = %places.channel, encapsulation = %places.encapsulation, "listening");
                // Before the device is made: programs begin to send when it is there.
                self.guard.agree(places.channel.group())?;
                self.listen(places)?;
            }
            Event::Rekeyed { group, by, sequence, tek, .. } => {
                let tek = tek.map(|spi| spi.to_string());
                tracing::info!(%group, ?by, sequence, tek, "rekeyed");
            }
            Event::PullAgain { group, reason } => {
                tracing::info!(%group, reason = reason.as_str(), "pulls again")
            }
            Event::Refused { group, refusal } => {
                let hit = self.identity.hit();
                return Err(refused(&group, &hit, self.role, &refusal));
            }
            Event::Moved => tracing::info!("the key server knows of the move"),
            Event::Narrowed { group, role } => {
                tracing::warn!(%group, %role, "the key server has taken a role from this host");
                self.narrow(role)?;
            }
            Event::RegistrationEnded { group } => {
                tracing::info!(%group, "the registration has ended at the key server; registers again");
            }
            Event::LeaseEnded { group } => {
                tracing::warn!(%group, "the key server has not confirmed the keys for too long: nothing is sent until it does");
            }
            Event::LeaseResumed { group } => {
                tracing::warn!(%group, "the key server has confirmed the keys: data is sent again");
            }
            Event::Evicted { group } => {
                self.plane = None;
                self.listening.clear();
                let message =
                    format!("the key server has put this host out of group {group}; its keys are deleted");
                return Err(Failure::new(Exit::Refused, message));
            }
            Event::Unreachable { attempts, cause } => {
                let reason = sentences::failed_attempt(&cause);
                tracing::warn!(attempts, reason, "cannot register");
                if attempts >= FIRST_ATTEMPTS_MAX && self.places.is_none() {
                    let server = self.settings.server.address;
                    let message = format!("the key server at {server} cannot be reached: {reason}");
                    return Err(Failure::new(Exit::Unreachable, message));
                }
            }
            Event::Closed if self.closing.is_some() => {
                tracing::info!("left");
                self.answer_leave(true);
                return Ok(true);
            }
            // The key server has closed it, and the member registers again.
            Event::Closed => {}
        }
        Ok(false)
    }

    /// Goes on in what remains of the role: streams that need the rest end, with the reason.
    fn narrow(&mut self, role: Role) -> Result<(), Failure> {
        self.role = role;
        if let Some(error) = self.role_refusal(true) {
            self.streams.refuse_all(&error);
        }
        if role.receives() {
            return Ok(());
        }
        self.receivers = Receivers::default();
        self.places.map_or(Ok(()), |places| self.listen(places))
    }

    /// Tells the key server if this host is in another network, and takes the data plane there.
    fn look_around(&mut self) {
        let now = self.clock.now();
        let is_time = self.whereabouts.poll_timeout() <= now;
        if let Some((from, to)) = self.whereabouts.look(now) {
            tracing::info!(%from, %to, "this host has moved");
            self.core.readdress(now, from, to);
            self.is_displaced = true;
        }
        if !(is_time && self.is_displaced) {
            return;
        }
        let Some(places) = self.places else { return };
        match self.listen(places) {
            Ok(()) => self.is_displaced = false,
            // The route to the group comes a little later than the one to the key server.
            Err(failure) => tracing::debug!(reason = %failure.message, "cannot listen there yet"),
        }
    }

    /// Opens the sockets that a group's places ask for, in place of the earlier ones. A TUN device stays: the programs
    /// behind it are bound to it.
    fn listen(&mut self, places: Places) -> Result<(), Failure> {
        let interface = match &self.settings.interface {
            Some(name) => Interface::by_name(name, "--interface")?,
            None => self.interface_of(&places)?,
        };
        let mut listening = Vec::new();
        let place = places.place.filter(|place| places.push != Some(*place));
        for push in places.push.into_iter().chain(place) {
            let source = places.push_source.filter(|_| is_source_specific(push.ip()));
            let options = UdpOptions::new("--gdoi-port");
            let socket = UdpSocket::bind_group(push.ip(), push.port(), &interface, source, &options)?;
            listening.push(self.carrier.listen_udp(Inlet::Control(Socket::Port848), Arc::new(socket)));
        }
        let receives = self.role.receives();
        if places.encapsulation.is_udp() {
            let plane = UdpPlane::open(&places, &interface)?;
            if receives {
                listening.push(self.carrier.listen_udp(Inlet::Esp, plane.receive(&places, &interface)?));
            }
            self.plane = Some(Plane::Udp(plane));
        } else {
            let tun = self.settings.tun.clone().unwrap_or_default();
            if !matches!(self.plane, Some(Plane::Ip(_))) {
                self.plane = Some(Plane::Ip(IpPlane::open(&places, &interface, &tun)?));
            }
            if let Some(Plane::Ip(plane)) = &self.plane {
                plane.leave_by(&places, &interface, &tun)?;
                if receives {
                    listening.push(self.carrier.listen_raw(Inlet::Esp, plane.receive(&places, &interface)?));
                }
            }
        }
        self.listening = listening;
        self.places = Some(places);
        Ok(())
    }

    /// Finds the interface that a group is on: by its route, or, once that leads to the TUN device, the one that leads to
    /// the key server.
    fn interface_of(&self, places: &Places) -> Result<Interface, InterfaceError> {
        match (&self.plane, self.whereabouts.address()) {
            (Some(Plane::Ip(_)), Some(address)) => Interface::by_address(address, "--interface"),
            _ => Interface::towards(places.channel.group(), "--interface"),
        }
    }

    async fn take_packets(&mut self, first: Packet) {
        let mut next = Some(first);
        for _ in 0..BATCH_MAX {
            let Some(packet) = next.take().or_else(|| self.packets.try_recv().ok()) else { break };
            match packet.as_datagram() {
                Some(datagram) => {
                    // Why one is dropped the machines have logged and counted.
                    let _ = self.core.handle_datagram(self.clock.now(), datagram);
                    // What comes behind it may be under its keys.
                    self.carry_keys();
                }
                None => self.take_esp(&packet).await,
            }
        }
    }

    /// Opens a packet of the group and hands on what was inside.
    async fn take_esp(&mut self, packet: &Packet) {
        let now = self.clock.now();
        self.view.kernel_drops(packet.dropped);
        if let Err(dropped) = self.open_esp(now, packet).await {
            self.note_drop(&dropped);
        }
        self.carry_keys();
    }

    async fn open_esp(&mut self, now: Time, packet: &Packet) -> Result<(), Dropped> {
        let places = self.places.ok_or(Dropped::NotKeyed)?;
        let keys = GroupKeys { now, group: &self.settings.group, plane: &mut self.data_plane };
        let (source, destination) = (packet.source.ip(), packet.destination.ip());
        match &self.plane {
            Some(Plane::Udp(plane)) => {
                let taken = plane.take(keys, &places, source, destination, &packet.octets)?;
                if let Some(delivery) = taken {
                    self.receivers.deliver(&delivery, &mut self.data_counts);
                }
                Ok(())
            }
            Some(Plane::Ip(plane)) => plane.take(keys, &places, source, destination, &packet.octets).await,
            None => Err(Dropped::NotKeyed),
        }
    }

    fn note_drop(&mut self, dropped: &Dropped) {
        if let Some(counter) = dropped.counter() {
            self.data_counts.count(counter);
        }
        tracing::trace!(%dropped, "packet dropped");
    }

    async fn tun_packet(plane: &Option<Plane>) -> Vec<u8> {
        match plane {
            Some(Plane::Ip(plane)) => plane.next_packet().await,
            _ => std::future::pending().await,
        }
    }

    async fn send_tun_packet(&mut self, packet: Vec<u8>) {
        let (Some(Plane::Ip(plane)), Some(places)) = (&self.plane, self.places) else { return };
        let now = self.clock.now();
        let keys = GroupKeys { now, group: &self.settings.group, plane: &mut self.data_plane };
        if let Err(dropped) = plane.seal(keys, &places, &packet).await {
            self.note_drop(&dropped);
        }
    }

    /// Protects a payload of a `send` stream and sends it.
    async fn take_piece(&mut self, piece: streams::Piece) {
        let (Some(Plane::Udp(plane)), Some(places)) = (&self.plane, self.places) else {
            return self.streams.failed(&piece);
        };
        let now = self.clock.now();
        let keys = GroupKeys { now, group: &self.settings.group, plane: &mut self.data_plane };
        match plane.send(keys, &places, piece.port, &piece.payload).await {
            Ok(()) => self.streams.sent(&piece),
            Err(dropped) => {
                self.note_drop(&dropped);
                self.streams.failed(&piece);
            }
        }
    }
}

fn config(identity: Arc<HostIdentity>, settings: &MemberSettings) -> Result<MemberConfig, Failure> {
    let now = certificates::now();
    let chains = certificates::chains(&settings.certificate, &identity, now)?;
    let roots = settings.owner.as_deref().map(|file| certificates::roots(file, now)).transpose()?;
    let mut hip = HostConfig::new(identity, provider());
    hip.certificates = chains;
    hip.anonymous = settings.anonymous;
    hip_offers::choose(&mut hip, &settings.dh_groups, &Ciphers::default());
    if settings.raw {
        hip.local_addresses = vec![address_towards(settings.server.address.ip()).map_err(|error| {
            let server = settings.server.address.ip();
            Failure::new(Exit::Unreachable, format!("the key server at {server} cannot be reached: {error}"))
        })?];
    }
    Ok(MemberConfig {
        hip,
        provider: provider(),
        // A member has no lists: it goes by what the owner certified, until that expires.
        owner: roots.map(|roots| GroupOwner::new(provider(), roots, Revocation::NotChecked)),
        server: settings.server.hit,
        server_address: settings.server.address,
        socket: if settings.raw { Socket::HipRaw } else { Socket::HipUdp },
        gdoi_port: settings.gdoi_port,
        extensions: settings.extensions,
        plane: if settings.tun.is_some() { PlaneKind::Ip } else { PlaneKind::Udp },
        registration_lifetime: Duration::from_secs(86_400),
        retransmit: RetransmitPolicy::default(),
    })
}

fn refused(group: &GroupId, hit: &Hit, role: Role, refusal: &claviger_member::event::Refusal) -> Failure {
    use claviger_member::event::Refusal;

    match refusal {
        Refusal::NotAuthorised | Refusal::NotForRole => {
            Failure::new(Exit::Refused, claviger_api::command::refused(group, hit, role))
        }
        Refusal::KeyServer(_) => Failure::new(Exit::Untrusted, sentences::refusal(refusal)),
        other @ (Refusal::CertificateExpired
        | Refusal::CertificateForOtherGroups
        | Refusal::CertificateForOtherRoles
        | Refusal::CertificateMalformed
        | Refusal::CertificateMissing
        | Refusal::CertificateOfOtherKey
        | Refusal::CertificateOther
        | Refusal::CertificateRevoked
        | Refusal::CertificateUnknownCa
        | Refusal::CertificateUnsupported
        | Refusal::Elsewhere
        | Refusal::Encapsulation(_)
        | Refusal::GroupFull
        | Refusal::Incompatible(_)
        | Refusal::NoService
        | Refusal::Policy(_)
        | Refusal::RevocationUnknown
        | Refusal::Status(_)
        | Refusal::WeakAssociation) => {
            Failure::new(Exit::Refused, format!("refused: {}", sentences::refusal(other)))
        }
    }
}
