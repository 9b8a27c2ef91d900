//! Registration SAs whose keys are renewed with those of their association (binding section 4.1).
//!
//! A host has two of them meanwhile. When it has used the newer, the older takes what still comes under it until the
//! exchanges that had begun have had time to end.

use claviger_group::MemberId;
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
        let known: Vec<_> = [before].into_iter().chain(self.roster.renewals.get(&host).copied()).collect();
        let Some(renewal) = self.hip.renewal(&hit, GCKS_GDOI, &known) else { return };
        for ended in &renewal.ended {
            debug!(peer = %host, cookies = %ended, "a registration SA was followed by another");
            self.keyed.retire_registration(now, ended);
        }
        self.roster.registered(host.clone(), Registration::Hip(renewal.in_force));
        match renewal.other {
            Some(other) => self.roster.renewals.insert(host.clone(), other),
            None => self.roster.renewals.remove(&host),
        };
        for new in renewal.new {
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
