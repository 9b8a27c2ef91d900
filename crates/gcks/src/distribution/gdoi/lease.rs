//! What members ask about their keys and leases, answered: which keys of a group are in force, whether a member has missed
//! some, and whether it may go on (binding section 7.8).

use claviger_gdoi::{InForce, LeaseQuestion, LeaseTicket, LeaseVerdict};
use claviger_group::{GroupId, MemberId};
use claviger_sansio::Time;
use tracing::trace;

use super::{Gdoi, pull::Answering};
use crate::group::{Group, lease::LeaseNeed};

impl Answering<'_> {
    /// Answers for one group. A host that is no member or departs, or asks for a lease and has no role that needs one, is told
    /// nothing else. Says whether it states something new.
    pub(crate) fn confirm_keys(
        &mut self,
        now: Time,
        (host, id): (&MemberId, &GroupId),
        need: LeaseNeed,
        (question, held): (LeaseQuestion, InForce),
    ) -> ((LeaseVerdict, InForce), bool) {
        let refused = (LeaseVerdict::Refused, InForce::default());
        let Some(mut group) = self.groups.get_mut(id) else { return (refused, false) };
        let is_member = group.members.contains_key(host) && !group.waiting.departures.contains(host);
        let is_new = held.tek.is_some_and(|tek| group.lease_stated(now, host, tek));
        if !is_member || !may_ask(question, need) {
            return (refused, is_new);
        }
        let in_force = in_force(&group);
        if is_behind(held, in_force) {
            trace!(peer = %host, group = %id, "a member has missed keys");
            return ((LeaseVerdict::Behind, in_force), is_new);
        }
        if question == LeaseQuestion::Lease {
            group.lease_answered(now, host);
            trace!(peer = %host, group = %id, "a lease is given");
        }
        ((LeaseVerdict::Granted, in_force), is_new)
    }
}

/// Says whether a member may ask that.
fn may_ask(question: LeaseQuestion, need: LeaseNeed) -> bool {
    match (question, need) {
        (LeaseQuestion::Keys, LeaseNeed::None | LeaseNeed::Leased | LeaseNeed::Exempt)
        | (LeaseQuestion::Lease, LeaseNeed::Leased | LeaseNeed::Exempt) => true,
        (LeaseQuestion::Lease, LeaseNeed::None) => false,
    }
}

/// Says whether a member has not followed all messages until now. Which TEKs it has it does not say, only under which it
/// protects.
fn is_behind(held: InForce, in_force: InForce) -> bool {
    held.rekey_sa != in_force.rekey_sa || held.sequence < in_force.sequence
}

impl Gdoi {
    /// Answers a request about keys and leases.
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
