//! The keys of an association are renewed (docs/hip-gdoi-binding.md section 4.1): a new Diffie-Hellman exchange by UPDATE,
//! as RFC 7402 section 6.8 has it beside ESP_INFO, for associations that carry registrations alone.
//!
//! ```text
//! under the old keys:  UPDATE { SEQ, DIFFIE_HELLMAN, HIP_MAC, HIP_SIGNATURE }                    -->
//!                             <--    UPDATE { ACK, DIFFIE_HELLMAN, HIP_MAC, HIP_SIGNATURE }
//! under the new keys:  UPDATE { SEQ, HIP_MAC, HIP_SIGNATURE }                                    -->
//!                             <--    UPDATE { ACK, HIP_MAC, HIP_SIGNATURE }
//! ```
//!
//! Each host takes packets under either set of keys until the other has used the new one, and forgets the old one then. A
//! Diffie-Hellman key lives in memory only: a host that is started again in between begins anew, or lets the other do so.

use std::time::Duration;

use claviger_crypto::{CryptoError, kx::KxPrivate};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    association::{Association, Registration},
    config::HostConfig,
    error::{ApiMisuse, Error, LimitError, PeerMisbehaved},
    event::Event,
    exchange::{
        Shared,
        task::{Outgoing, Task},
    },
    iana::{ParameterType, RegType},
    item::Item,
    keys::{Keymat, Prk},
    wire::{Authentic, DiffieHellman, Packet},
};

/// The part of the time of policy that chance takes off, so that those who registered together do not renew together; and
/// how long a host waits before it asks again one that has refused, or not answered.
const SPREAD_PART: u32 = 8;

/// The part of [`SPREAD_PART`] over which a host that was started again spreads what is overdue.
const RESTART_PART: u32 = 8;

/// The least time between two renewals that a peer begins: each costs a Diffie-Hellman computation. What comes sooner is
/// dropped, and will be repeated.
const REKEY_PAUSE: Duration = Duration::from_secs(1);

/// How far a renewal is.
pub(crate) enum Rekeying {
    /// There is one set of keys.
    Idle,
    /// This host has asked, or is about to, with the key whose public value it offers.
    Begun(Box<dyn KxPrivate>),
    /// The peer was answered at this time; the next keys are in force when it uses them.
    Answered { next: Box<Keymat>, at: Time },
    /// The peer has answered: this host uses the new keys, and takes packets under the old ones until the peer does too.
    Confirming { old: Box<Keymat> },
    /// The peer has used the new keys; it may still repeat, under the old ones, what it said to the outstanding UPDATE.
    Retiring { old: Box<Keymat> },
}

/// What an UPDATE says of a renewal.
pub(crate) enum Offer {
    /// It answers the one that this host began.
    Answers(DiffieHellman),
    /// It begins one.
    Begins(DiffieHellman),
    /// Nothing.
    None,
    /// It acknowledges the one that this host began, and offers nothing to it.
    Refuses,
}

impl Rekeying {
    /// Shows the set of keys beside the one in force.
    pub(crate) fn other(&self) -> Option<&Keymat> {
        match self {
            Self::Answered { next: other, .. }
            | Self::Confirming { old: other }
            | Self::Retiring { old: other } => Some(other),
            Self::Begun(_) | Self::Idle => None,
        }
    }
}

impl<I: Item> Association<I> {
    /// Begins a renewal.
    pub(crate) fn rekey(&mut self, shared: &mut Shared<I>, now: Time) -> Result<(), Error> {
        if self.esp.is_some() {
            return Err(ApiMisuse::EspAgreed.into());
        }
        if !matches!(self.rekeying, Rekeying::Idle) {
            return Err(ApiMisuse::ExchangeRunning.into());
        }
        self.rekeying = Rekeying::Begun(self.key_pair(shared)?);
        self.enqueue(shared, now, Task::Rekey).inspect_err(|_| self.rekeying = Rekeying::Idle)
    }

    /// Begins a renewal if one is due.
    pub(crate) fn rekey_if_due(&mut self, shared: &mut Shared<I>, now: Time) {
        if self.rekey_due(&shared.config).is_none_or(|due| now < due) {
            return;
        }
        if let Err(error) = self.rekey(shared, now) {
            debug!(%error, "the keys cannot be renewed now");
            self.put_off_rekey(&shared.config, now);
        }
    }

    /// Says when a renewal is due: never while one is under way, nor where nothing is registered, for such an association
    /// does not last.
    pub(crate) fn rekey_due(&self, config: &HostConfig) -> Option<Time> {
        let after = config.rekey_after?;
        let renews = matches!(self.rekeying, Rekeying::Idle) && self.esp.is_none() && !self.grants.is_empty();
        renews.then(|| (self.keyed_at + (after - self.rekey_spread(after))).max(self.rekey_not_before))
    }

    /// Spreads what is overdue after a restart.
    pub(crate) fn spread_rekey(&mut self, config: &HostConfig, now: Time) {
        if let Some(after) = config.rekey_after {
            self.rekey_not_before = now + self.rekey_spread(after) / RESTART_PART;
        }
    }

    /// Returns this association's part of chance, which #J has drawn: less than an eighth of the time of policy.
    fn rekey_spread(&self, after: Duration) -> Duration {
        let drawn = self.nonces.1.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
        after / SPREAD_PART * u32::from(drawn) / (u32::from(u16::MAX) + 1)
    }

    fn put_off_rekey(&mut self, config: &HostConfig, now: Time) {
        let pause = config.rekey_after.unwrap_or_default() / SPREAD_PART;
        self.rekey_not_before = now + pause;
    }

    /// Takes note that nothing comes of the renewal that this host began. The association goes on as it is.
    pub(crate) fn rekey_failed(&mut self, config: &HostConfig, now: Time) {
        debug!("the peer does not renew the keys; the association keeps them");
        self.rekeying = Rekeying::Idle;
        self.put_off_rekey(config, now);
    }

    /// Puts the renewal that this host asked for behind what else there is to say: it is in no hurry, and a peer need not
    /// understand it.
    pub(crate) fn rekey_gives_way(&mut self) {
        let is_rekey = |outgoing: &mut Outgoing<I>| matches!(outgoing.task, Task::Rekey);
        if self.updates.outgoing.take_if(is_rekey).is_some() {
            self.updates.queue.push_back(Task::Rekey);
        }
    }

    /// Shows the public value that this host offers.
    pub(crate) fn offered_value(&self) -> Option<DiffieHellman> {
        match &self.rekeying {
            Rekeying::Begun(private) => Some(self.public_value(&**private)),
            Rekeying::Answered { .. }
            | Rekeying::Confirming { .. }
            | Rekeying::Idle
            | Rekeying::Retiring { .. } => None,
        }
    }

    /// Reads what an UPDATE says of a renewal. `own` is the UPDATE of this host that it acknowledges; `alone` says whether
    /// it speaks of nothing else. Beside a request, an answer, a move or ESP, DIFFIE_HELLMAN has no effect.
    pub(crate) fn read_offer(
        &self,
        packet: &Authentic<'_>,
        own: Option<&Task<I>>,
        alone: bool,
    ) -> Result<Offer, Error> {
        let asked = matches!(own, Some(Task::Rekey));
        let refused = if asked { Offer::Refuses } else { Offer::None };
        let carries_esp = self.esp.is_some() || packet.parameters().raw(ParameterType::ESP_INFO).is_some();
        let Some(value) = packet.find::<DiffieHellman>()? else { return Ok(refused) };
        if !alone || carries_esp {
            return Ok(refused);
        }
        //= rfc7402#section-6.8
        //# the Diffie-Hellman Group ID must be
        //# unchanged from that used in the initial handshake
        if value.group != self.security.dh_group {
            return Err(PeerMisbehaved::DhGroupNotOffered.into());
        }
        let begins = packet.parameters().raw(ParameterType::SEQ).is_some();
        Ok(match (asked, begins) {
            (true, _) => Offer::Answers(value),
            (false, true) => Offer::Begins(value),
            (false, false) => Offer::None,
        })
    }

    /// Answers a peer that begins a renewal with a value of this host's; `None` if that is to be left unanswered.
    ///
    /// Of two that begin at once the one with the greater HIT goes on, as of two that call each other the one with the
    /// greater HIT answers.
    pub(crate) fn answer_rekey(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        theirs: &DiffieHellman,
    ) -> Result<Option<DiffieHellman>, Error> {
        let answered_at = match &self.rekeying {
            Rekeying::Begun(_) if self.has_sent_rekey() && shared.config.identity.hit() > self.peer => {
                debug!("the renewals cross; the peer answers this host's");
                return Ok(None);
            }
            Rekeying::Confirming { .. } => {
                debug!("the renewals cross; the peer has answered this host's");
                return Ok(None);
            }
            Rekeying::Answered { at, .. } => *at,
            Rekeying::Begun(_) | Rekeying::Idle | Rekeying::Retiring { .. } => self.keyed_at,
        };
        if now < answered_at + REKEY_PAUSE {
            return Err(LimitError::Rekeys.into());
        }
        let private = self.key_pair(shared)?;
        let next = Box::new(self.renewed(shared, &*private, theirs)?);
        self.updates.outgoing.take_if(|outgoing| matches!(outgoing.task, Task::Rekey));
        self.updates.queue.retain(|task| !matches!(task, Task::Rekey));
        debug!("the peer renews the keys");
        self.rekeying = Rekeying::Answered { next, at: now };
        shared.out.tell(Event::Rekeying { peer: self.peer });
        Ok(Some(self.public_value(&*private)))
    }

    /// Takes the new keys into use, which the peer's answer makes, and has it hear so.
    pub(crate) fn confirm_rekey(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        theirs: &DiffieHellman,
    ) -> Result<(), Error> {
        let Rekeying::Begun(private) = &self.rekeying else { return Ok(()) };
        let new = self.renewed(shared, &**private, theirs)?;
        debug!("the peer has answered with its value; the new keys are used");
        let old = Box::new(std::mem::replace(&mut self.keymat, new));
        self.keyed_at = now;
        self.rekeying = Rekeying::Confirming { old };
        self.updates.queue.push_front(Task::Confirm);
        shared.out.tell(Event::Rekeying { peer: self.peer });
        Ok(())
    }

    /// Takes note under which keys an authentic packet came: when the peer uses the new ones, the old ones have had their
    /// time.
    pub(crate) fn note_keys(&mut self, shared: &mut Shared<I>, now: Time, packet: &Authentic<'_>) {
        self.rekeying = match std::mem::replace(&mut self.rekeying, Rekeying::Idle) {
            Rekeying::Answered { next, .. } if is_under(packet, &next) => {
                let old = Box::new(std::mem::replace(&mut self.keymat, *next));
                self.keyed_at = now;
                self.reseal_outgoing(shared);
                match &self.updates.outgoing {
                    Some(_) => Rekeying::Retiring { old },
                    None => Rekeying::Idle,
                }
            }
            Rekeying::Confirming { .. } if is_under(packet, &self.keymat) => Rekeying::Idle,
            unchanged @ (Rekeying::Answered { .. }
            | Rekeying::Begun(_)
            | Rekeying::Confirming { .. }
            | Rekeying::Idle
            | Rekeying::Retiring { .. }) => {
                self.rekeying = unchanged;
                return;
            }
        };
        debug!("the peer uses the new keys; the old ones are forgotten");
        shared.out.tell(Event::Rekeyed { peer: self.peer });
        self.tell_changed(shared);
    }

    /// Puts the outstanding UPDATE under the new keys, which alone the peer will know. It stays the same UPDATE.
    fn reseal_outgoing(&mut self, shared: &mut Shared<I>) {
        let Some(mut outgoing) = self.updates.outgoing.take() else { return };
        // It was built before: if the signer fails now, what the peer does not know any more is repeated in vain.
        if let Ok(octets) = self.build(shared, outgoing.id, &outgoing.task) {
            outgoing.octets = octets;
        }
        self.updates.outgoing = Some(outgoing);
    }

    /// Forgets the old keys when nothing is outstanding any more that the peer may have answered under them.
    pub(crate) fn retire_old_keys(&mut self) {
        if matches!(self.rekeying, Rekeying::Retiring { .. }) && self.updates.outgoing.is_none() {
            self.rekeying = Rekeying::Idle;
        }
    }

    /// Shows the keys that an authentic packet is under.
    pub(crate) fn keys_of(&self, packet: &Packet<'_>) -> &Keymat {
        self.rekeying.other().filter(|other| is_under(packet, other)).unwrap_or(&self.keymat)
    }

    /// Shows a registration that is granted under the other set of keys, while both sets live.
    pub(crate) fn other_registration(&self, reg_type: RegType) -> Option<Registration<'_>> {
        let other = match &self.rekeying {
            Rekeying::Answered { next: other, .. } | Rekeying::Confirming { old: other } => other,
            Rekeying::Begun(_) | Rekeying::Idle | Rekeying::Retiring { .. } => return None,
        };
        Some(Registration { keymat: other, ..self.registration(reg_type)? })
    }

    fn has_sent_rekey(&self) -> bool {
        matches!(&self.updates.outgoing, Some(Outgoing { task: Task::Rekey, .. }))
    }

    fn key_pair(&self, shared: &mut Shared<I>) -> Result<Box<dyn KxPrivate>, Error> {
        let algorithm = self.security.dh_group.kx().ok_or(CryptoError::Unsupported)?;
        Ok(shared.config.provider.kx_group(algorithm)?.generate(&mut *shared.random)?)
    }

    fn public_value(&self, private: &dyn KxPrivate) -> DiffieHellman {
        DiffieHellman { group: self.security.dh_group, public_value: private.public().to_vec() }
    }

    /// Derives the keys of the association from a new Kij, and #I and #J of its base exchange (RFC 7401 section 6.5).
    fn renewed(
        &self,
        shared: &Shared<I>,
        private: &dyn KxPrivate,
        theirs: &DiffieHellman,
    ) -> Result<Keymat, Error> {
        let (provider, rhash) = (shared.config.provider, self.security.hit_suite.rhash());
        let kij = private.agree(&theirs.public_value)?;
        let prk = Prk::extract(provider, rhash, &self.nonces.0, &self.nonces.1, &kij)?;
        Ok(Keymat::derive(provider, rhash, self.security.cipher, prk, self.keymat.hosts())?)
    }
}

/// Says whether the MAC of a packet is one of the peer's under these keys.
fn is_under(packet: &Packet<'_>, keymat: &Keymat) -> bool {
    packet.verify_mac(keymat.prf(), &keymat.incoming().integrity).is_ok()
}
