//! The registration SA, whose keys are renewed with those of the association (binding section 4.1).
//!
//! The key server's messages are taken under either of two meanwhile. What the member begins is under the keys in force, and
//! what it had begun under the older ones may end under them.

use claviger_hip_groups::{GroupHost, iana::GCKS_GDOI};
use claviger_sansio::Time;
use tracing::debug;

use crate::Member;

impl Member {
    /// Takes the registration SAs that HIP yields now into use, and has others end.
    pub(crate) fn follow_keys(&mut self, now: Time) {
        let known: Vec<_> = self.cookies.into_iter().chain(self.other_cookies).collect();
        let Some(renewal) = self.hip.renewal(&self.server, GCKS_GDOI, &known) else { return };
        for ended in &renewal.ended {
            debug!(cookies = %ended, "the registration SA was followed by another");
            self.retire_registration(now, ended);
        }
        self.cookies = Some(renewal.in_force);
        self.other_cookies = renewal.other;
        for new in renewal.new {
            debug!("the registration SA is renewed");
            // If it cannot be used, PULLs fail, and after some of them a new association is made.
            let _ = self.gdoi.add_registration(now, new);
        }
    }

    /// Forgets the other registration SA: the association is no more.
    pub(crate) fn forget_renewal(&mut self) {
        if let Some(cookies) = self.other_cookies.take() {
            self.gdoi.remove_registration(&cookies);
        }
    }
}
