//! Registrations by Phase 1 of ISAKMP (RFC 6407 section 2), made by whoever speaks it.
//!
//! Such a registration proves who a peer is and names no group. The roster is asked when the peer's PULL comes, by that very
//! identity (RFC 6407 section 3.1): it is given the role that the list allows it. Nothing renews it, so it is a member until
//! it is put out. That its SA ends is no departure: the SA protects PULLs (RFC 6407 section 3), and what they brought has
//! lifetimes of its own.

use std::net::IpAddr;

use claviger_group::{GroupId, MemberId, RegistrationSa};
use claviger_sansio::Time;
use tracing::debug;

use super::{
    Admission,
    credentials::{Credentials, Refused},
    registration::{Registration, Strength},
    roster::Asked,
};
use crate::event::Refusal;

impl Admission<'_> {
    /// Takes a registration SA that Phase 1 has made, in place of the peer's earlier one. Says whether its keys are known:
    /// another registration may have its cookies.
    pub(crate) fn add_phase_1(&mut self, now: Time, sa: RegistrationSa) -> bool {
        let strength = if sa.cipher.key_len() >= 32 { Strength::Bits256 } else { Strength::Bits128 };
        let by = Registration::Phase1 { cookies: sa.cookies, strength };
        self.take_up(now, by, sa)
    }

    /// Forgets the registration SA of a peer, whose Phase 1 has ended. A member it stays.
    pub(crate) fn remove_phase_1(&mut self, peer: &MemberId) {
        match self.roster.registration(peer) {
            Some(Registration::Phase1 { cookies, .. }) => {
                self.roster.unregister(peer);
                self.keyed.remove_registration(&cookies);
            }
            Some(Registration::Hip(_)) | None => {}
        }
    }

    /// Says whether a host whose PULL has come may go on: it is authorised, and where its registration named no group, the
    /// roster is asked now.
    pub(crate) fn admits_pull(
        &mut self,
        now: Time,
        host: &MemberId,
        group: &GroupId,
        address: IpAddr,
    ) -> bool {
        let Some(role) = self.roster.authorised(now, host, group) else { return false };
        let strength = match self.roster.registration(host) {
            Some(Registration::Phase1 { strength, .. }) => strength,
            // It was asked when the host registered.
            Some(Registration::Hip(_)) | None => return true,
        };
        let asked = Asked { role, channel: None, strength };
        // It showed its certificates to Phase 1, if it has any.
        let credentials = &mut Credentials::none();
        match self.roster.ask(now, self.groups.get(group), host, asked, credentials) {
            Ok(_) => true,
            Err(Refused { reason, is_known: _ }) => {
                debug!(peer = %host, %group, reason = reason.as_str(), "the host is refused at its PULL");
                let (group, address) = (group.clone(), Some(address));
                self.refuse(Refusal { host: host.clone(), group, role, address, reason, at: now });
                false
            }
        }
    }
}
