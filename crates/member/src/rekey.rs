//! What a GROUPKEY-PUSH changes.
//!
//! The message proves itself first ([`RekeySa::open`](claviger_gdoi::push::RekeySa::open)); then its deletes, its
//! new rekey SA and its new data SAs take effect, in this order.

use claviger_crypto::{CryptoProvider, Random};
use claviger_gdoi::{
    error::{Error as GdoiError, PeerMisbehaved},
    push::{RekeySa, VerifiedRekey},
    wire::Delete,
};
use claviger_group::{CookiePair, Spi};
use claviger_sansio::Time;

use crate::{
    Error, Ledger,
    repull::Sign,
    subscription::{Delays, Keys, Rekey, Subscription, tek_of},
};

/// What a message brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) kek: Option<CookiePair>,
    pub(crate) tek: Option<Spi>,
    pub(crate) activates: Option<Time>,
}

impl Subscription {
    /// Says whether a message under these cookies is for this group: in force, or superseded.
    pub(crate) fn knows_rekey_sa(&self, cookies: &CookiePair) -> Option<Standing> {
        let keys = self.keys.as_ref()?;
        if keys.rekey.as_ref().is_some_and(|rekey| rekey.sa.kek().spi == *cookies) {
            Some(Standing::InForce)
        } else if keys.retired.contains(cookies) {
            Some(Standing::Superseded)
        } else {
            None
        }
    }

    /// Follows a message under the rekey SA in force.
    pub(crate) fn follow(
        &mut self,
        now: Time,
        provider: &'static CryptoProvider,
        random: &mut dyn Random,
        datagram: &[u8],
    ) -> Result<Brought, Error> {
        let keys = self.keys.as_mut().ok_or_else(|| Error::NotKeyed(self.group.clone()))?;
        let rekey = keys.rekey.as_mut().ok_or(Error::RekeySaUnknown)?;
        let message = rekey.sa.open(datagram)?;
        rekey.sa.commit(&message);
        keys.last_rekey = now;
        if message.gap() > 0 {
            self.repull.note(now, Sign::Gap, random);
        }

        let mut brought = Brought::default();
        if keys.delete(now, &message) {
            self.repull.note(now, Sign::Deleted, random);
            return Ok(brought);
        }
        match keys.follow_kek(now, provider, &message)? {
            KekStep::Absent => {}
            KekStep::NotForUs => self.repull.note(now, Sign::NotForUs, random),
            KekStep::TakenUp(spi) => {
                brought.kek = Some(spi);
                if let (Some(ledger), Some(rekey)) = (&mut self.ledger, &keys.rekey) {
                    ledger.enter_rekey(&rekey.sa, rekey.lkh.as_ref());
                }
                self.repull.rekeyed(now, spi, random);
            }
        }
        let under = message.spi();
        keys.follow_teks(now, &message, self.ledger.as_mut(), &mut brought)?;
        if let Some(spi) = brought.tek {
            self.repull.installed(spi, under);
        }
        if let Some(expires) = self.expires() {
            self.repull.lifetime(now, expires, random);
        }
        Ok(brought)
    }
}

/// Where a rekey SA stands with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    InForce,
    Superseded,
}

/// What became of a message's new KEK.
enum KekStep {
    Absent,
    /// None of its arrays starts at a key that this member holds: another message of the same rekey may.
    NotForUs,
    TakenUp(CookiePair),
}

impl Keys {
    /// Deletes what the message says. Returns whether the rekey SA itself is gone: a new PULL is expected then.
    fn delete(&mut self, now: Time, message: &VerifiedRekey) -> bool {
        let delay = message.sa().map(|sa| Delays::from(sa).deactivation).unwrap_or_default();
        for delete in message.deletes() {
            match delete {
                Delete::Tek(spi) => self.plane.deactivate(now, *spi, now + delay),
                Delete::AllTeks => self.plane.delete_all(),
                Delete::AllKeks => self.rekey = None,
                Delete::Kek(spi) => {
                    if self.rekey.as_ref().is_some_and(|rekey| rekey.sa.kek().spi == *spi) {
                        self.rekey = None;
                    }
                }
            }
        }
        self.rekey.is_none()
    }

    /// Opens the new KEK with the LKH keys held (RFC 6407 section 4.4).
    fn follow_kek(
        &mut self,
        now: Time,
        provider: &'static CryptoProvider,
        message: &VerifiedRekey,
    ) -> Result<KekStep, Error> {
        let Some(policy) = message.sa().and_then(|sa| sa.kek.as_ref()) else { return Ok(KekStep::Absent) };
        let Some(rekey) = &self.rekey else { return Ok(KekStep::Absent) };
        let updates = message.kd().and_then(|kd| kd.lkh.as_ref()).filter(|lkh| lkh.spi == policy.spi);
        let (Some(updates), Some(held)) = (updates, &rekey.lkh) else { return Ok(KekStep::NotForUs) };
        let staged = match held.apply(&updates.updates, provider, policy.cipher) {
            Ok(staged) => staged,
            Err(GdoiError::PeerMisbehaved(PeerMisbehaved::UpdateArrayNotForUs)) => {
                return Ok(KekStep::NotForUs);
            }
            Err(error) => return Err(error.into()),
        };
        let signing_key = updates.signing_key.clone().unwrap_or_else(|| rekey.sa.signing_key().clone());
        let sa = RekeySa::new(provider, staged.kek(policy.spi), signing_key, policy.signature, 0)?;
        let mut lkh = held.clone();
        lkh.commit(staged);
        self.take_up_rekey(Rekey { sa, lkh: Some(lkh), since: now, expires: now + policy.lifetime });
        Ok(KekStep::TakenUp(policy.spi))
    }

    /// Installs new data SAs: they receive at once and send when the activation delay ends.
    fn follow_teks(
        &mut self,
        now: Time,
        message: &VerifiedRekey,
        mut ledger: Option<&mut Ledger>,
        brought: &mut Brought,
    ) -> Result<(), Error> {
        let (Some(sa), Some(kd)) = (message.sa(), message.kd()) else { return Ok(()) };
        let delays = Delays::from(sa);
        for policy in &sa.teks {
            let Ok(tek) = tek_of(policy, kd) else { continue };
            if tek.channel != self.places.channel || tek.encapsulation != self.places.encapsulation {
                continue;
            }
            if let Some(ledger) = &mut ledger {
                ledger.enter_tek(&tek);
            }
            let (spi, activate_at) = (tek.spi, now + delays.activation);
            self.plane.install(now, tek, activate_at, &self.sender_ids)?;
            brought.tek = Some(spi);
            brought.activates = Some(activate_at);
        }
        Ok(())
    }
}
