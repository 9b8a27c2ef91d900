//! Requests for leases, answered: which keys of a group are in force, and whether a member may go on (binding section 7.8).

use claviger_gdoi::{InForce, LeaseTicket, LeaseVerdict};
use claviger_group::{GroupId, MemberId};
use claviger_sansio::Time;
use tracing::trace;

use super::{Gdoi, pull::Answering};
use crate::group::{Group, lease::LeaseNeed};

impl Answering<'_> {
    /// Answers for one group. A host that departs, or has no role that needs a lease, is told nothing else. Says whether it
    /// states something new.
    pub(crate) fn confirm_lease(
        &mut self,
        now: Time,
        (host, id): (&MemberId, &GroupId),
        need: LeaseNeed,
        held: InForce,
    ) -> ((LeaseVerdict, InForce), bool) {
        let refused = (LeaseVerdict::Refused, InForce::default());
        let Some(mut group) = self.groups.get_mut(id) else { return (refused, false) };
        let is_member = group.members.contains_key(host) && !group.waiting.departures.contains(host);
        let is_new = held.tek.is_some_and(|tek| group.lease_stated(now, host, tek));
        match need {
            LeaseNeed::Leased | LeaseNeed::Exempt if is_member => {
                group.lease_answered(now, host);
                trace!(peer = %host, group = %id, "a lease is given");
                ((LeaseVerdict::Granted, in_force(&group)), is_new)
            }
            LeaseNeed::None | LeaseNeed::Leased | LeaseNeed::Exempt => (refused, is_new),
        }
    }
}

impl Gdoi {
    /// Answers a request for leases.
    pub(crate) fn answer_leases(
        &mut self,
        ticket: LeaseTicket,
        groups: Vec<(GroupId, LeaseVerdict, InForce)>,
    ) {
        // Whose registration has ended meanwhile asks under another.
        let _ = self.server.answer_leases(ticket, groups);
    }
}

/// Names the keys of a group that are in force.
fn in_force(group: &Group) -> InForce {
    InForce {
        rekey_sa: group.kek.map(|kek| kek.spi),
        sequence: group.kek.map_or(0, |kek| kek.sequence),
        tek: Some(group.current_tek().tek.spi),
    }
}
