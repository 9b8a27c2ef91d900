//! Registration SAs whose keys are renewed with those of their association (binding section 4.1).
//!
//! A host has two of them meanwhile. When it has used the newer, the older takes what still comes under it until the
//! exchanges that had begun have had time to end.

use claviger_group::{CookiePair, MemberId};
use claviger_hip_groups::{GroupHost, iana::GCKS_GDOI};
use claviger_identity::Hit;
use claviger_sansio::Time;
use tracing::debug;

use super::{Admission, registration::Registration};

impl Admission<'_> {
    /// Makes known the registration SAs that a host has now, and has others end.
    pub(crate) fn follow_keys(&mut self, now: Time, hit: Hit) {
        let host = MemberId::Hit(hit);
        let Some(Registration::Hip(before)) = self.roster.registration(&host) else { return };
        let Some(in_force) = self.hip.registration_sa(&hit, GCKS_GDOI) else { return };
        let other = self.hip.other_registration_sa(&hit, GCKS_GDOI);
        let known: Vec<CookiePair> = [before].into_iter().chain(self.roster.renewals.remove(&host)).collect();
        let held = |cookies: &CookiePair| {
            in_force.cookies == *cookies || other.as_ref().is_some_and(|other| other.cookies == *cookies)
        };
        for ended in known.iter().filter(|cookies| !held(cookies)) {
            debug!(peer = %host, cookies = %ended, "a registration SA was followed by another");
            self.keyed.retire_registration(now, ended);
        }
        self.roster.registered(host.clone(), Registration::Hip(in_force.cookies));
        if let Some(other) = &other {
            self.roster.renewals.insert(host.clone(), other.cookies);
        }
        for new in [in_force].into_iter().chain(other).filter(|sa| !known.contains(&sa.cookies)) {
            // Where the cookies are in use its PULLs go unanswered, and the host makes a new base exchange.
            let is_known = self.keyed.add_registration(now, new);
            debug!(peer = %host, is_known, "the registration SA is renewed");
        }
    }

    /// Forgets the other registration SA of a host: its association is no more.
    pub(crate) fn forget_renewal(&mut self, host: &MemberId) {
        if let Some(cookies) = self.roster.renewals.remove(host) {
            self.keyed.remove_registration(&cookies);
        }
    }
}
