//! A host: every association of one identity, in both roles.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use claviger_crypto::{Random, SecretBytes};
use claviger_identity::{Hit, HostId};
use claviger_sansio::{Datagram, Socket, Time, Transmit};
use claviger_wire::{DecodeError, Reader};
use tracing::{Span, debug, debug_span, trace};

use crate::{
    association::{Association, AssociationInfo, AssociationState, Registration},
    certificates::CertificateChain,
    config::HostConfig,
    error::{ApiMisuse, Error, PeerMisbehaved},
    event::{Event, Ticket},
    exchange::{Shared, initiate::Initiation, mobility, notify, respond::Acceptance},
    iana::{PacketType, RegType},
    item::{Item, NoItem},
    path::{Outbox, Path},
    rate::RateLimit,
    registration::{self, RegistrationAnswer, RegistrationRequest},
    responder::Responder,
    rules, snapshot,
    strangers::Strangers,
    verification::OfHost,
    wire::Packet,
};

/// A HIP host without sockets and clock: it is fed with datagrams and time, and drained of both kinds of output.
///
/// ```
/// use std::sync::Arc;
/// use claviger_crypto::{SeededRandom, provider, sign::KeyAlgorithm};
/// use claviger_hip::{Host, HostConfig, NoItem};
/// use claviger_identity::HostIdentity;
/// use claviger_sansio::{Socket, Time};
///
/// let identity = |seed| {
///     let mut random = SeededRandom::new(seed);
///     Arc::new(HostIdentity::generate(provider(), KeyAlgorithm::EcdsaP256, &mut random).unwrap())
/// };
/// let host = |seed| {
///     let config = HostConfig::new(identity(seed), provider());
///     Host::<NoItem>::new(config, Box::new(SeededRandom::new(seed)), Time::EPOCH)
/// };
/// let (mut caller, called) = (host(1)?, host(2)?);
/// let address = "192.0.2.1:10500".parse().unwrap();
/// caller.connect(Time::EPOCH, called.hit(), address, Socket::HipUdp, None)?;
/// assert_eq!(caller.poll_transmit().unwrap().destination, address, "I1 is on its way");
/// # Ok::<(), claviger_hip::Error>(())
/// ```
pub struct Host<I: Item = NoItem> {
    pub(crate) shared: Shared<I>,
    pub(crate) responder: Responder,
    pub(crate) peers: BTreeMap<Hit, Peer<I>>,
    timers: BTreeSet<(Time, Hit)>,
    pub(crate) strangers: Strangers,
}

/// What a host has to do with one other. Each part is allocated by itself: a server has very many peers, of which few
/// are in an exchange.
pub(crate) struct Peer<I> {
    /// The association that exists.
    pub(crate) association: Option<Box<Association<I>>>,
    /// A base exchange that this host began; it replaces the association when it succeeds.
    pub(crate) initiation: Option<Box<Initiation<I>>>,
    /// A base exchange that the peer began and that waits for the registrar; it replaces the association too.
    pub(crate) acceptance: Option<Box<Acceptance<I>>>,
    /// When the peer's timer stands in the host's list.
    timer: Option<Time>,
    /// Since when the peer stands in the host's list of strangers.
    stranger_since: Option<Time>,
}

impl<I> Default for Peer<I> {
    fn default() -> Self {
        Self { association: None, initiation: None, acceptance: None, timer: None, stranger_since: None }
    }
}

impl<I: Item> Peer<I> {
    fn is_empty(&self) -> bool {
        self.association.is_none() && self.initiation.is_none() && self.acceptance.is_none()
    }

    fn poll_timeout(&self, shared: &Shared<I>) -> Option<Time> {
        let association = self.association.as_ref().and_then(|association| association.poll_timeout(shared));
        let initiation = self.initiation.as_ref().map(|initiation| initiation.poll_timeout());
        let acceptance = self.acceptance.as_ref().map(|acceptance| acceptance.until);
        association.into_iter().chain(initiation).chain(acceptance).min()
    }

    fn info(&self, peer: Hit) -> Option<AssociationInfo> {
        if let Some(association) = &self.association {
            return Some(association.info());
        }
        let initiation = self.initiation.as_ref()?;
        let sent_i2 = initiation.has_sent_i2();
        Some(AssociationInfo {
            peer,
            state: if sent_i2 { AssociationState::I2Sent } else { AssociationState::I1Sent },
            address: initiation.path.remote,
            socket: initiation.path.socket,
            cipher: initiation.security().map(|security| security.cipher),
            dh_group: initiation.security().map(|security| security.dh_group),
            established_at: None,
            keyed_at: None,
            initiator: true,
            granted: Vec::new(),
            is_deprecated: false,
            esp: None,
            anonymous: false,
        })
    }
}

impl<I: Item> Host<I> {
    /// Makes a host and its first R1s.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::Config`] if the configuration cannot be worked with, [`ApiMisuse::Certificates`] if its certificates
    /// cannot, [`Error::Crypto`] if keys cannot be made.
    pub fn new(config: HostConfig, mut random: Box<dyn Random>, now: Time) -> Result<Self, Error> {
        config.check()?;
        registration::check_certificates(&config, &config.certificates)?;
        let responder = Responder::new(&config, &mut *random, now)?;
        let notifies = RateLimit::new(config.notify_per_second_max, notify::NOTIFIES_PER_SECOND_MAX);
        let probes = RateLimit::new(config.probes_per_second_max, mobility::PROBES_PER_SECOND_MAX);
        let budgets = OfHost::default();
        let shared = Shared { config, random, out: Outbox::default(), notifies, probes, budgets, tickets: 0 };
        Ok(Self {
            shared,
            responder,
            peers: BTreeMap::new(),
            timers: BTreeSet::new(),
            strangers: Strangers::default(),
        })
    }

    /// Begins a base exchange with a peer, and asks for a registration in it. An association that exists goes on until
    /// the new one replaces it.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the peer cannot be called, a base exchange with it is running, or the request makes no sense.
    /// The NULL HIT of opportunistic mode is never called.
    pub fn connect(
        &mut self,
        now: Time,
        peer: Hit,
        address: SocketAddr,
        socket: Socket,
        request: Option<RegistrationRequest<I>>,
    ) -> Result<(), ApiMisuse> {
        let _peer = peer_span(peer).entered();
        if !peer.is_orchid() || peer == self.hit() {
            return Err(ApiMisuse::PeerHit);
        }
        if let Some(request) = &request {
            request.check()?;
        }
        let local = match socket {
            Socket::HipRaw => {
                let same_family = |local: &&IpAddr| local.is_ipv4() == address.is_ipv4();
                let local = self.shared.config.local_addresses.iter().find(same_family);
                Some(SocketAddr::new(*local.ok_or(ApiMisuse::LocalAddress)?, 0))
            }
            Socket::HipUdp => None,
            Socket::Port848 => return Err(ApiMisuse::Socket),
        };
        let entry = self.peers.entry(peer).or_default();
        if entry.initiation.is_some() || entry.acceptance.is_some() {
            return Err(ApiMisuse::ExchangeRunning);
        }
        let path = Path { socket, local, remote: address };
        let initiation = Initiation::start(&mut self.shared, now, peer, path, request);
        let result = initiation.map(|initiation| entry.initiation = Some(Box::new(initiation)));
        self.settle(peer);
        result.map_err(misuse)
    }

    /// Asks for a registration on a live association: to register more, to renew, or to leave.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if there is no live association, a request is outstanding, or this one makes no sense.
    pub fn request(
        &mut self,
        now: Time,
        peer: Hit,
        request: RegistrationRequest<I>,
    ) -> Result<(), ApiMisuse> {
        self.with_live(peer, |association, shared| association.request(shared, now, request))
    }

    /// Answers an [`Event::RegistrationRequested`]: R2 or an UPDATE goes out with it.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownTicket`] if the request is not outstanding any more, [`ApiMisuse::AnswerMismatch`] if the
    /// answer is not to it.
    pub fn answer(
        &mut self,
        now: Time,
        ticket: Ticket,
        answer: RegistrationAnswer<I>,
    ) -> Result<(), ApiMisuse> {
        let _peer = peer_span(ticket.peer).entered();
        let Some(peer) = self.peers.get_mut(&ticket.peer) else {
            return Err(ApiMisuse::UnknownTicket);
        };
        let result = if let Some(acceptance) =
            peer.acceptance.as_mut().filter(|acceptance| acceptance.awaits(ticket))
        {
            acceptance.answer(answer).and_then(|()| self.decide_acceptance(now, ticket.peer))
        } else if let Some(association) =
            peer.association.as_mut().filter(|association| association.updates.awaits(ticket))
        {
            association.answer_update(&mut self.shared, now, answer)
        } else {
            Err(ApiMisuse::UnknownTicket.into())
        };
        self.settle(ticket.peer);
        result.map_err(misuse)
    }

    /// Withdraws items from a peer, each with lifetime zero, or the whole service if none is named, and tells the peer
    /// until it acknowledges. If it never does the association is lost, unless no item must be acknowledged.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if there is no live association or the items make no sense.
    pub fn cancel(
        &mut self,
        now: Time,
        peer: Hit,
        reg_type: RegType,
        items: Vec<I>,
    ) -> Result<(), ApiMisuse> {
        self.with_live(peer, |association, shared| association.cancel(shared, now, reg_type, items))
    }

    /// Renews the keys of a live association, in agreement with the peer. A peer that does not know how leaves them as they
    /// are. [`HostConfig::rekey_after`] has a host do so by itself.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if there is no live association, ESP was agreed on beside it, or its keys are being renewed.
    pub fn rekey(&mut self, now: Time, peer: Hit) -> Result<(), ApiMisuse> {
        self.with_live(peer, |association, shared| association.rekey(shared, now))
    }

    /// Ends an association by CLOSE, and a base exchange that is running at once.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NoAssociation`] if there is neither.
    pub fn close(&mut self, now: Time, peer: Hit) -> Result<(), ApiMisuse> {
        let _peer = peer_span(peer).entered();
        let Some(entry) = self.peers.get_mut(&peer) else {
            return Err(ApiMisuse::NoAssociation);
        };
        let running = entry.initiation.take().is_some() | entry.acceptance.take().is_some();
        let result = match entry.association.as_mut().filter(|association| association.is_live()) {
            Some(association) => association.close(&mut self.shared, now).map_err(misuse),
            None if running => Ok(()),
            None => Err(ApiMisuse::NoAssociation),
        };
        self.settle(peer);
        result
    }

    /// Replaces the chains of certificates that the host shows, from the next request or answer on: what is sent again stays
    /// as it was sent.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::Certificates`] if they cannot be shown ([`HostConfig::certificates`]); nothing is replaced then.
    pub fn set_certificates(&mut self, chains: Vec<CertificateChain>) -> Result<(), ApiMisuse> {
        registration::check_certificates(&self.shared.config, &chains)?;
        self.shared.config.certificates = chains;
        Ok(())
    }

    /// Says that this host's address towards a peer was `from` and is `to`, on the same carriage: the peer is told by
    /// UPDATE, from the new address, until it acknowledges ([`Event::MoveAcknowledged`]); it makes sure by itself that
    /// this host is reached there. A base exchange that is running goes on from the new address.
    ///
    /// Who moves often waits some seconds before it says so: RFC 8046 section 5.2 wants no rapid announcements.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::LocalAddress`] if `to` is no unicast address of the peer's family, [`ApiMisuse::NoAssociation`] if
    /// there is nobody to tell; later calls on IP protocol 139 leave from `to` all the same.
    pub fn readdress(&mut self, now: Time, peer: Hit, from: IpAddr, to: IpAddr) -> Result<(), ApiMisuse> {
        let _peer = peer_span(peer).entered();
        if !mobility::is_unicast(to) || from.is_ipv4() != to.is_ipv4() {
            return Err(ApiMisuse::LocalAddress);
        }
        let own = self.shared.config.local_addresses.iter_mut().find(|local| **local == from);
        if let Some(own) = own {
            *own = to;
        }
        let Some(entry) = self.peers.get_mut(&peer) else {
            return Err(ApiMisuse::NoAssociation);
        };
        let calling = entry.initiation.as_mut().map(|initiation| initiation.path.leave_from(to)).is_some();
        let result = match &mut entry.association {
            Some(association) => association.readdress(&mut self.shared, now, to).map_err(misuse),
            None if calling => Ok(()),
            None => Err(ApiMisuse::NoAssociation),
        };
        self.settle(peer);
        result
    }

    /// Processes a received datagram.
    ///
    /// # Errors
    ///
    /// Why it was dropped; nothing has changed then but counters of attempts.
    pub fn handle_datagram(&mut self, now: Time, d: Datagram<'_>) -> Result<(), Error> {
        self.responder.handle_timeout(&self.shared.config, &mut *self.shared.random, now);
        let parsed = Packet::parse(d.payload).map_err(Error::from);
        let span = parsed.as_ref().map_or_else(|_| Span::none(), |packet| peer_span(packet.sender()));
        let _peer = span.entered();
        if let Ok(packet) = &parsed {
            let packet_type = packet.packet_type();
            trace!(source = %d.source, socket = ?d.socket, %packet_type, length = d.payload.len(), "packet in");
        }
        let result = parsed.and_then(|packet| self.handle_packet(now, &d, &packet));
        if let Err(error) = &result {
            debug!(source = %d.source, length = d.payload.len(), reason = error.reason(), %error, "dropped");
        }
        result
    }

    /// Processes what has the form of a packet.
    fn handle_packet(&mut self, now: Time, d: &Datagram<'_>, packet: &Packet<'_>) -> Result<(), Error> {
        let intact = match d.socket {
            Socket::HipRaw => packet.verify_checksum(d.source.ip(), d.destination.ip()),
            Socket::HipUdp => packet.has_zero_checksum(),
            Socket::Port848 => return Err(ApiMisuse::Socket.into()),
        };
        if !intact {
            return Err(PeerMisbehaved::Checksum.into());
        }
        let own = self.hit();
        if packet.sender() == own {
            return Err(PeerMisbehaved::OwnHit.into());
        }
        // RFC 7401 section 6.7 step 1 and section 5.3.6: only I1 and NOTIFY may leave the receiver open.
        let open = matches!(packet.packet_type(), PacketType::I1 | PacketType::NOTIFY);
        if packet.receiver() != own && !(open && packet.receiver().is_null()) {
            return Err(PeerMisbehaved::NotForUs.into());
        }
        rules::check::<I>(packet)?;
        let back = Path::back(d);
        let result = self.dispatch(now, &back, packet);
        self.settle(packet.sender());
        result
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.responder.handle_timeout(&self.shared.config, &mut *self.shared.random, now);
        let due: Vec<Hit> =
            self.timers.iter().take_while(|(due, _)| *due <= now).map(|(_, peer)| *peer).collect();
        for peer in due {
            let _peer = peer_span(peer).entered();
            self.handle_peer_timeout(now, peer);
            self.settle(peer);
        }
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.shared.out.poll_transmit()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event<I>> {
        self.shared.out.poll_event()
    }

    /// Says when [`Host::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let rotation = self.responder.poll_timeout(&self.shared.config);
        let peers = self.timers.first().map(|(due, _)| *due);
        Some(peers.map_or(rotation, |due| due.min(rotation)))
    }

    /// Returns the host's HIT.
    pub fn hit(&self) -> Hit {
        self.shared.config.identity.hit()
    }

    /// Shows a registration that is granted on a live association, in either direction.
    pub fn registration(&self, peer: &Hit, reg_type: RegType) -> Option<Registration<'_>> {
        self.peers.get(peer)?.association.as_ref()?.registration(reg_type)
    }

    /// Shows a registration under the keys beside those in force, while an association's keys are renewed
    /// ([`Event::Rekeying`]): what the peer says under either is to be taken.
    pub fn other_registration(&self, peer: &Hit, reg_type: RegType) -> Option<Registration<'_>> {
        self.peers.get(peer)?.association.as_ref()?.other_registration(reg_type)
    }

    /// Shows how things stand with a peer.
    pub fn association(&self, peer: &Hit) -> Option<AssociationInfo> {
        self.peers.get(peer)?.info(*peer)
    }

    /// Shows the public key of a peer that there is an association with.
    pub fn host_id(&self, peer: &Hit) -> Option<&HostId> {
        Some(&self.peers.get(peer)?.association.as_ref()?.host_id)
    }

    /// Shows every association and every base exchange that this host began.
    pub fn associations(&self) -> impl Iterator<Item = AssociationInfo> {
        self.peers.iter().filter_map(|(hit, peer)| peer.info(*hit))
    }

    /// Writes an association so that [`Host::restore`] can go on with it: secret octets, with the association's keys
    /// in them but no Diffie-Hellman key. `None` if there is nothing to go on with, or to be kept: the association is
    /// that of a stranger, who has never been granted anything.
    pub fn snapshot(&self, peer: &Hit) -> Option<SecretBytes> {
        let association = self.peers.get(peer)?.association.as_ref()?;
        snapshot::write(&self.shared.config, association)
    }

    /// Goes on with an association of an earlier life of this host.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the octets are no snapshot of this version, or one of another identity.
    pub fn restore(&mut self, now: Time, snapshot: &[u8]) -> Result<Hit, DecodeError> {
        let mut association = snapshot::read(&self.shared.config, now, snapshot)?;
        association.spread_rekey(&self.shared.config, now);
        let peer = association.peer;
        self.peers.entry(peer).or_default().association = Some(Box::new(association));
        self.settle(peer);
        Ok(peer)
    }

    /// Reads which host a snapshot belongs to.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the octets are no snapshot of this version.
    pub fn snapshot_owner(snapshot: &[u8]) -> Result<Hit, DecodeError> {
        snapshot::read_owner(&mut Reader::new(snapshot))
    }

    /// Moves every instant of the associations back: they were restored from a time when this host's clock was ahead.
    pub fn move_back(&mut self, by: Duration) {
        let peers: Vec<Hit> = self.peers.keys().copied().collect();
        for peer in peers {
            let association = self.peers.get_mut(&peer).and_then(|peer| peer.association.as_mut());
            if let Some(association) = association {
                snapshot::move_back(association, by);
            }
            self.settle(peer);
        }
    }

    /// Runs a command on a live association.
    fn with_live(
        &mut self,
        peer: Hit,
        command: impl FnOnce(&mut Association<I>, &mut Shared<I>) -> Result<(), Error>,
    ) -> Result<(), ApiMisuse> {
        let _peer = peer_span(peer).entered();
        let association = self.peers.get_mut(&peer).and_then(|peer| peer.association.as_mut());
        let association = association.filter(|association| association.is_live());
        let association = association.ok_or(ApiMisuse::NoAssociation)?;
        let result = command(association, &mut self.shared);
        self.settle(peer);
        result.map_err(misuse)
    }

    /// Forgets a peer that nothing is left of, and keeps its timer and the list of strangers in step.
    fn settle(&mut self, peer: Hit) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let due = entry.poll_timeout(&self.shared);
        if due != entry.timer {
            if let Some(old) = entry.timer {
                self.timers.remove(&(old, peer));
            }
            if let Some(due) = due {
                self.timers.insert((due, peer));
            }
            entry.timer = due;
        }
        let stranger = entry.association.as_ref().filter(|association| association.is_stranger);
        let since = stranger.map(|association| association.established_at);
        self.strangers.note(peer, entry.stranger_since, since);
        entry.stranger_since = since;
        if entry.is_empty() {
            self.peers.remove(&peer);
        }
        self.forget_strangers();
    }

    /// Forgets strangers until they are as few as they may be. Nothing is stored of them, and nobody is told.
    fn forget_strangers(&mut self) {
        while let Some(oldest) = self.strangers.surplus(self.shared.config.strangers_max) {
            debug!(peer = %oldest, "a stranger makes room");
            if let Some(entry) = self.peers.get_mut(&oldest) {
                entry.association = None;
            }
            self.settle(oldest);
        }
    }
}

/// Names the peer in the log of what is done with it.
fn peer_span(peer: Hit) -> Span {
    debug_span!("peer", peer = %peer)
}

/// Says what a failed command means to the program.
fn misuse(error: Error) -> ApiMisuse {
    match error {
        Error::ApiMisuse(error) => error,
        Error::Limit(_) => ApiMisuse::RequestOutstanding,
        Error::Decode(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerIncompatible(_)
        | Error::Auth(_)
        | Error::Crypto(_) => ApiMisuse::Config,
    }
}
