//! A HIP host whose services are key servers of groups.

use claviger_group::{CookiePair, RegistrationSa};
use claviger_hip::{ApiMisuse, Registration, iana::RegType};
use claviger_identity::Hit;
use claviger_sansio::Time;

use crate::{McastChannel, Renewal, Withdrawal, keys};

/// A HIP host that registers to key servers of groups, or is one.
pub type Host = claviger_hip::Host<McastChannel>;

/// Something that happened to an association.
pub type Event = claviger_hip::Event<McastChannel>;

/// What a member asks of a key server: groups, each with its own lifetime, or none, which speaks of all that it has.
pub type RegistrationRequest = claviger_hip::RegistrationRequest<McastChannel>;

/// What a key server says to a request: the groups that it names, each with its status.
pub type RegistrationAnswer = claviger_hip::RegistrationAnswer<McastChannel>;

/// What a [`Host`] does besides for groups.
pub trait GroupHost {
    /// Withdraws groups from a peer for a reason, or the whole service if none is named, and tells it until it
    /// acknowledges. If it never does the association is lost, unless the registration had merely ended.
    ///
    /// Each channel is sent with lifetime zero and the status of the reason, whatever it holds.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if there is no live association or the channels make no sense.
    fn withdraw(
        &mut self,
        now: Time,
        peer: Hit,
        reg_type: RegType,
        why: Withdrawal,
        channels: Vec<McastChannel>,
    ) -> Result<(), ApiMisuse>;

    /// Withdraws groups from a peer that is not authorised any more, or the whole service if none is named, and tells
    /// it until it acknowledges.
    ///
    /// # Errors
    ///
    /// Those of [`GroupHost::withdraw`].
    fn revoke(
        &mut self,
        now: Time,
        peer: Hit,
        reg_type: RegType,
        channels: Vec<McastChannel>,
    ) -> Result<(), ApiMisuse> {
        self.withdraw(now, peer, reg_type, Withdrawal::Revoked, channels)
    }

    /// Derives the keys of a registration that is granted on a live association, in either direction.
    fn registration_sa(&self, peer: &Hit, reg_type: RegType) -> Option<RegistrationSa>;

    /// Derives those that the registration has under the other set of keys, while an association's keys are renewed.
    fn other_registration_sa(&self, peer: &Hit, reg_type: RegType) -> Option<RegistrationSa>;

    /// Compares both with those whose cookies were known; `None` if there is no registration.
    fn renewal(&self, peer: &Hit, reg_type: RegType, known: &[CookiePair]) -> Option<Renewal> {
        let in_force = self.registration_sa(peer, reg_type)?;
        Some(Renewal::of(known, in_force, self.other_registration_sa(peer, reg_type)))
    }
}

impl GroupHost for Host {
    fn withdraw(
        &mut self,
        now: Time,
        peer: Hit,
        reg_type: RegType,
        why: Withdrawal,
        channels: Vec<McastChannel>,
    ) -> Result<(), ApiMisuse> {
        let withdrawn = channels.into_iter().map(|channel| why.of(channel));
        self.cancel(now, peer, reg_type, withdrawn.collect())
    }

    fn registration_sa(&self, peer: &Hit, reg_type: RegType) -> Option<RegistrationSa> {
        derive(self.registration(peer, reg_type)?, reg_type)
    }

    fn other_registration_sa(&self, peer: &Hit, reg_type: RegType) -> Option<RegistrationSa> {
        derive(self.other_registration(peer, reg_type)?, reg_type)
    }
}

fn derive(registration: Registration<'_>, reg_type: RegType) -> Option<RegistrationSa> {
    if !keys::allows_keys(registration.security) {
        return None;
    }
    let sa = keys::registration_keys(registration.keymat, reg_type, registration.side).ok()?;
    (!sa.cookies.has_zero()).then_some(sa)
}
