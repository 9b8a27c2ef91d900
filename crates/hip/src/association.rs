//! A HIP association: two hosts that have proven their identities to each other, and the keys between them.

use std::{collections::BTreeMap, net::SocketAddr};

use claviger_identity::{Hit, HostId};
use claviger_sansio::{Retransmit, Socket, Time};
use tracing::debug;

use crate::{
    certificates::{self, Certificates},
    error::{AuthError, Error},
    event::Event,
    exchange::{Shared, rekeying::Rekeying, task::Updates},
    iana::{CipherId, DhGroup, EspSuite, RegType},
    item::Item,
    keys::Keymat,
    path::Path,
    registration::{RegistrationAnswer, RegistrationRequest, Side},
    rules,
    security::Security,
    verification::{OfAssociation, Permit, UsedUp},
    wire::{Authentic, Cert, Encrypted, Maced, Packet, PacketBuilder, ParameterBlock, Parameters, RegInfo},
};

/// The states of RFC 7401 section 4.4.2 that a peer can be seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssociationState {
    /// I1 was sent, or the puzzle of its R1 is being solved.
    I1Sent,
    /// I2 was sent.
    I2Sent,
    /// R2 was sent; nothing has shown yet that it arrived.
    R2Sent,
    /// The association is in use.
    Established,
    /// CLOSE was sent.
    Closing,
    /// CLOSE_ACK was sent.
    Closed,
}

/// What can be shown of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociationInfo {
    /// The other side.
    pub peer: Hit,
    /// The state.
    pub state: AssociationState,
    /// Where the peer is reached: where it spoke from in the base exchange, or an address that was verified since.
    pub address: SocketAddr,
    /// How it is reached.
    pub socket: Socket,
    /// The cipher, once it is agreed.
    pub cipher: Option<CipherId>,
    /// The Diffie-Hellman group, once it is agreed.
    pub dh_group: Option<DhGroup>,
    /// When the association was established, if it was.
    pub established_at: Option<Time>,
    /// When the keys in force were made: then, or at their last renewal.
    pub keyed_at: Option<Time>,
    /// Whether this host began.
    pub initiator: bool,
    /// The registration types granted on it, in either direction.
    pub granted: Vec<RegType>,
    /// Whether the lifetime that the peer gave its address is over (RFC 8046 section 5.1, DEPRECATED); it is used until
    /// the peer announces another.
    pub is_deprecated: bool,
    /// The ESP SAs agreed beside it.
    pub esp: Option<EspAgreement>,
    /// Whether the peer calls its identity anonymous (RFC 7401 section 5.1.2): it is in no directory, and perhaps not used
    /// again. It is stored as long as something is registered, as others are, and no longer.
    pub anonymous: bool,
}

/// A pair of ESP SAs that was agreed in a base exchange (RFC 7402 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspAgreement {
    /// The suite.
    pub suite: EspSuite,
    /// The SPI of what this host receives.
    pub inbound_spi: u32,
    /// The SPI of what the peer receives.
    pub outbound_spi: u32,
    /// Where in KEYMAT the keys begin, in octets.
    pub keymat_index: u16,
}

/// A registration that is granted on a live association: what a service derives its keys from.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// Which side of it this host is.
    pub side: Side,
    /// What protects the association.
    pub security: &'a Security,
    /// The keys of the association.
    pub keymat: &'a Keymat,
}

/// What a host signs under the MAC of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignedUnderMac {
    /// UPDATE that acknowledges what this host must know the peer to have.
    Acknowledgement,
    /// CLOSE and CLOSE_ACK.
    Close,
    /// Any other UPDATE.
    Update,
}

/// How far the association is in its life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// R2 was sent; after this time the peer is taken to have it.
    R2Sent {
        until: Time,
    },
    Established,
    Closing(Closing),
    Closed(Closed),
}

/// A CLOSE that waits for its CLOSE_ACK.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) octets: Vec<u8>,
    pub(crate) echo: Vec<u8>,
    pub(crate) retransmit: Retransmit,
}

/// An association that the peer closed; it can repeat its CLOSE_ACK.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) until: Time,
    /// What the CLOSE asked to be echoed, and the CLOSE_ACK.
    pub(crate) echo: Vec<u8>,
    pub(crate) ack: Vec<u8>,
    /// The echo of an own CLOSE that crossed the peer's.
    pub(crate) own_echo: Option<Vec<u8>>,
}

/// What a base exchange agrees on, with which every association begins.
pub(crate) struct Agreed {
    pub(crate) peer: Hit,
    pub(crate) host_id: HostId,
    pub(crate) initiator: bool,
    /// Whether the peer's identity is anonymous, as its R1 or I2 said.
    pub(crate) anonymous: bool,
    pub(crate) path: Path,
    pub(crate) security: Security,
    pub(crate) keymat: Keymat,
    /// #I and #J.
    pub(crate) nonces: (Vec<u8>, Vec<u8>),
    pub(crate) esp: Option<EspAgreement>,
}

pub(crate) struct Association<I> {
    pub(crate) peer: Hit,
    pub(crate) host_id: HostId,
    pub(crate) initiator: bool,
    /// Whether the peer's identity is anonymous.
    pub(crate) anonymous: bool,
    pub(crate) path: Path,
    pub(crate) security: Security,
    /// The keys that this host uses, when they were made, and those beside them while they are renewed.
    pub(crate) keymat: Keymat,
    pub(crate) keyed_at: Time,
    pub(crate) rekeying: Rekeying,
    /// When they are renewed at the earliest, after an attempt that failed or a restart.
    pub(crate) rekey_not_before: Time,
    /// #I and #J, kept for the keys of a later Diffie-Hellman exchange (RFC 7401 section 6.5).
    pub(crate) nonces: (Vec<u8>, Vec<u8>),
    pub(crate) esp: Option<EspAgreement>,
    pub(crate) established_at: Time,
    pub(crate) used_at: Time,
    pub(crate) phase: Phase,
    /// What is granted, and until when.
    pub(crate) grants: BTreeMap<(Side, RegType), Time>,
    /// Whether the peer called this registrar and has never been granted anything: it may be forgotten at any time, and
    /// nothing of it is stored.
    pub(crate) is_stranger: bool,
    /// The services that the peer has announced.
    pub(crate) services: Option<RegInfo>,
    /// An own request that waits for that announcement: both sides called, and this one became Responder.
    pub(crate) deferred: Option<RegistrationRequest<I>>,
    pub(crate) updates: Updates<I>,
    pub(crate) budgets: OfAssociation,
    /// When the lifetime of the peer's address ends, if it does, and whether it has ended.
    pub(crate) locator_until: Option<Time>,
    pub(crate) is_deprecated: bool,
}

impl<I: Item> Association<I> {
    /// Begins the life of an association: nothing is granted and nothing announced.
    pub(crate) fn new(agreed: Agreed, now: Time, phase: Phase) -> Self {
        let Agreed { peer, host_id, initiator, anonymous, path, security, keymat, nonces, esp } = agreed;
        Self {
            peer,
            host_id,
            initiator,
            anonymous,
            path,
            security,
            keymat,
            keyed_at: now,
            rekeying: Rekeying::Idle,
            rekey_not_before: now,
            nonces,
            esp,
            established_at: now,
            used_at: now,
            phase,
            grants: BTreeMap::new(),
            is_stranger: false,
            services: None,
            deferred: None,
            updates: Updates::default(),
            budgets: OfAssociation::default(),
            locator_until: None,
            is_deprecated: false,
        }
    }

    /// Logs what the base exchange agreed on.
    pub(crate) fn log_established(&self) {
        let Security { cipher, dh_group, hit_suite, .. } = self.security;
        debug!(initiator = self.initiator, %cipher, %dh_group, ?hit_suite, "the association is established");
    }

    /// Whether messages and registrations run over it.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::R2Sent { .. } | Phase::Established)
    }

    pub(crate) fn state(&self) -> AssociationState {
        match self.phase {
            Phase::R2Sent { .. } => AssociationState::R2Sent,
            Phase::Established => AssociationState::Established,
            Phase::Closing(_) => AssociationState::Closing,
            Phase::Closed(_) => AssociationState::Closed,
        }
    }

    pub(crate) fn info(&self) -> AssociationInfo {
        AssociationInfo {
            peer: self.peer,
            state: self.state(),
            address: self.path.remote,
            socket: self.path.socket,
            cipher: Some(self.security.cipher),
            dh_group: Some(self.security.dh_group),
            established_at: Some(self.established_at),
            keyed_at: Some(self.keyed_at),
            initiator: self.initiator,
            granted: self.grants.keys().map(|(_, reg_type)| *reg_type).collect(),
            is_deprecated: self.is_deprecated,
            esp: self.esp,
            anonymous: self.anonymous,
        }
    }

    /// Shows a registration that is granted.
    pub(crate) fn registration(&self, reg_type: RegType) -> Option<Registration<'_>> {
        if !self.is_live() {
            return None;
        }
        let granted = |side: &Side| self.grants.contains_key(&(*side, reg_type));
        let side = [Side::Registrar, Side::Requester].into_iter().find(granted)?;
        Some(Registration { side, security: &self.security, keymat: &self.keymat })
    }

    /// Whether something is awaited of the peer that it could report on by NOTIFY: an acknowledgement, the end, or, where
    /// nothing is granted, that it asks for a registration or offers one (RFC 8003 section 3.3).
    pub(crate) fn awaits_peer(&self) -> bool {
        match self.phase {
            Phase::R2Sent { .. } | Phase::Established => {
                self.updates.outgoing.is_some() || self.grants.is_empty()
            }
            Phase::Closing(_) => true,
            Phase::Closed(_) => false,
        }
    }

    /// Notes what an answer grants or ends.
    pub(crate) fn apply(&mut self, now: Time, side: Side, answer: &RegistrationAnswer<I>) {
        let (granted, failure) = (answer.granted, answer.failure);
        debug!(?side, reg_type = %answer.reg_type, ?granted, ?failure, "a registration is answered");
        let key = (side, answer.reg_type);
        match answer.granted {
            Some(granted) if granted.is_zero() => {
                self.grants.remove(&key);
            }
            Some(_) => {
                self.is_stranger = false;
                let until = now + answer.longest();
                let grant = self.grants.entry(key).or_insert(until);
                *grant = until.max(*grant);
            }
            None => {}
        }
    }

    /// Ends grants, and the peer's address, whose time is over; returns whether there were any.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        let before = self.grants.len();
        self.grants.retain(|_, until| now < *until);
        let deprecated = self.locator_until.take_if(|until| *until <= now).is_some();
        self.is_deprecated |= deprecated;
        self.grants.len() != before || deprecated
    }

    /// Verifies the MAC of a packet under the association's keys: those in force, or those beside them while they are
    /// renewed.
    pub(crate) fn verify_mac<'p>(&self, packet: &'p Packet<'p>) -> Result<Maced<'p>, Error> {
        let mut sets = [Some(&self.keymat), self.rekeying.other()].into_iter().flatten();
        let maced = sets.find_map(|keys| packet.verify_mac(keys.prf(), &keys.incoming().integrity).ok());
        maced.ok_or(AuthError::Mac.into())
    }

    /// Verifies the signature of a packet whose MAC was verified, if the budgets permit.
    pub(crate) fn verify_signature<'p>(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        signed: SignedUnderMac,
        packet: Maced<'p>,
    ) -> Result<Authentic<'p>, Error> {
        let permit = self.permit(shared, now, signed)?;
        packet
            .verify_signature(permit, shared.config.provider, &self.host_id)
            .map_err(|_| AuthError::Signature.into())
    }

    /// Permits one verification. Hosts without a registration share a budget besides, for anybody can be one;
    /// none of them can bring about that this host awaits something.
    fn permit(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        signed: SignedUnderMac,
    ) -> Result<Permit, UsedUp> {
        let limits = &shared.config.public_key_limits;
        let (own, is_awaited) = match signed {
            SignedUnderMac::Acknowledgement => (&mut self.budgets.update, true),
            SignedUnderMac::Close => (&mut self.budgets.close, false),
            SignedUnderMac::Update => (&mut self.budgets.update, false),
        };
        let permit = own.permit(limits, now)?;
        match is_awaited || !self.grants.is_empty() {
            true => Ok(permit),
            false => shared.budgets.unregistered.permit(limits, now),
        }
    }

    /// Encrypts what services have to say, if anything.
    pub(crate) fn encrypt(&self, shared: &mut Shared<I>, items: &[I]) -> Result<Option<Encrypted>, Error> {
        self.encrypt_behind(shared, ParameterBlock::new(), items)
    }

    /// Encrypts the host's own certificates, and behind them what services have to say, if there is either.
    pub(crate) fn encrypt_with_certificates(
        &self,
        shared: &mut Shared<I>,
        items: &[I],
    ) -> Result<Option<Encrypted>, Error> {
        let mut block = ParameterBlock::new();
        certificates::add(&mut block, &shared.config.certificates);
        self.encrypt_behind(shared, block, items)
    }

    fn encrypt_behind(
        &self,
        shared: &mut Shared<I>,
        mut block: ParameterBlock,
        items: &[I],
    ) -> Result<Option<Encrypted>, Error> {
        for item in items {
            block.add(item);
        }
        if block.is_empty() {
            return Ok(None);
        }
        seal(shared, &self.keymat, &block).map(Some)
    }

    /// Adds MAC and signature, and ends the packet.
    pub(crate) fn finish(&self, shared: &Shared<I>, builder: &mut PacketBuilder) -> Result<Vec<u8>, Error> {
        builder.mac(self.keymat.prf(), &self.keymat.outgoing().integrity).sign(&shared.config.identity)?;
        Ok(builder.finish()?)
    }

    /// Takes note that the peer is there.
    pub(crate) fn heard(&mut self, now: Time) {
        self.used_at = now;
        if matches!(self.phase, Phase::R2Sent { .. }) {
            self.phase = Phase::Established;
        }
    }

    /// Says when the association itself has something to do.
    pub(crate) fn poll_timeout(&self, shared: &Shared<I>) -> Option<Time> {
        let expiry = self.grants.values().min().copied();
        let unused = self.unused_at(shared);
        let deferred = self.deferred.as_ref().map(|_| self.deferred_until(shared));
        let rekey = self.rekey_due(&shared.config);
        let live = [self.updates.poll_timeout(), expiry, unused, deferred, self.locator_until, rekey];
        let live = live.into_iter().flatten().min();
        match &self.phase {
            Phase::R2Sent { until } => live.into_iter().chain([*until]).min(),
            Phase::Established => live,
            Phase::Closing(closing) => Some(closing.retransmit.poll_timeout()),
            Phase::Closed(closed) => Some(closed.until),
        }
    }

    /// Says when the association is closed if nothing is heard of the peer: never while something is granted, nor before the
    /// peer was told that something was withdrawn, however long it was silent before that.
    pub(crate) fn unused_at(&self, shared: &Shared<I>) -> Option<Time> {
        let unused = self.grants.is_empty() && !self.updates.has_withdrawal();
        unused.then(|| self.used_at + shared.config.unused_lifetime)
    }

    /// Gives up a deferred request when no services were announced while the peer could have repeated itself.
    pub(crate) fn forgo_deferred(&mut self, shared: &mut Shared<I>, now: Time) {
        if now < self.deferred_until(shared) {
            return;
        }
        if let Some(request) = self.deferred.take() {
            debug!("the peer has announced no services; the request is given up");
            let (answer, certificates) = (RegistrationAnswer::nothing(request.reg_type), Certificates::None);
            shared.out.tell(Event::Registered { peer: self.peer, answer, certificates });
        }
    }

    fn deferred_until(&self, shared: &Shared<I>) -> Time {
        self.established_at + shared.patience()
    }

    /// Has the association stored again, unless it is a stranger's.
    pub(crate) fn tell_changed(&self, shared: &mut Shared<I>) {
        if self.is_stranger {
            return;
        }
        shared.out.tell(Event::Changed { peer: self.peer });
    }
}

/// Opens what a packet under the association's MAC encrypts, if it does. The cipher itself protects no integrity.
fn open<I: Item>(shared: &Shared<I>, keymat: &Keymat, packet: &Maced<'_>) -> Result<Option<Vec<u8>>, Error> {
    let Some(encrypted) = packet.find::<Encrypted>()? else {
        return Ok(None);
    };
    let key = &keymat.incoming().encryption;
    let opened = encrypted.open(shared.config.provider, keymat.cipher(), key);
    opened.map(Some).map_err(|_| AuthError::Decryption.into())
}

/// What an I2, R2 or UPDATE says inside ENCRYPTED, and the certificates in the open beside it.
pub(crate) struct Contents<I> {
    /// The Initiator's, in an I2 that does not show it openly.
    pub(crate) host_id: Option<HostId>,
    pub(crate) certificates: Certificates,
    /// What services say.
    pub(crate) items: Vec<I>,
}

impl<I: Item> Contents<I> {
    /// Reads what a packet says; it may be nothing.
    pub(crate) fn read(shared: &Shared<I>, keymat: &Keymat, packet: &Maced<'_>) -> Result<Self, Error> {
        let open_certs: Vec<Cert> = packet.all()?;
        let Some(opened) = open(shared, keymat, packet)? else {
            let certificates = Certificates::read(open_certs)?;
            return Ok(Self { host_id: None, certificates, items: Vec::new() });
        };
        let inner = Parameters::parse(&opened).map_err(|_| AuthError::Decryption)?;
        rules::check_encrypted::<I>(packet, &inner)?;
        let certs = inner.all::<Cert>()?.into_iter().chain(open_certs).collect();
        Ok(Self { host_id: inner.find()?, certificates: Certificates::read(certs)?, items: inner.all()? })
    }
}

/// Encrypts parameters for the peer.
pub(crate) fn seal<I: Item>(
    shared: &mut Shared<I>,
    keymat: &Keymat,
    block: &ParameterBlock,
) -> Result<Encrypted, Error> {
    let (provider, key) = (shared.config.provider, &keymat.outgoing().encryption);
    Ok(Encrypted::seal(provider, keymat.cipher(), key, block.octets()?, &mut *shared.random)?)
}
