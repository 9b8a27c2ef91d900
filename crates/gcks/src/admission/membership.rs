//! What becomes of a member whose standing changes: it leaves, is narrowed, stays.

use claviger_group::{GroupId, RegistrationSa, Role};
use claviger_hip::Withdrawal;
use claviger_identity::Hit;
use claviger_sansio::{Time, durable::Change};
use tracing::debug;

use super::{Registration, grants::Grant};
use crate::{
    Event, Gcks, RekeyWhat,
    event::{Departure, Refusal, RekeyCause},
    record,
};

impl Gcks {
    /// Ends the grants whose lifetime ran out: it counts as leaving (binding section 6). A host that is there, and took
    /// itself for registered, is told so and asks again: clocks can be wrong.
    pub(crate) fn expire_grants(&mut self, now: Time) {
        while let Some((hit, group, grant)) = self.roster.grants.take_expired(now) {
            debug!(peer = %hit, %group, role = %grant.role, "a grant has expired");
            self.changes.push(Change::remove(record::GRANT, record::host_key(&group, &hit)));
            self.tell_withdrawn(now, &hit, &group, grant.role, Withdrawal::Ended);
            self.depart(now, &group, hit, Departure::Expired);
        }
    }

    /// Narrows a grant that exceeds the list, and tells the host so. One that loses the sender role loses its sender ids,
    /// and the TEK under which they were its own. A host that gains a role registers again for it.
    pub(crate) fn narrow_grant(&mut self, now: Time, hit: &Hit, group: &GroupId, allowed: Role) {
        let Some(grant) = self.roster.grants.find(hit, group).copied().filter(|g| !allowed.covers(g.role))
        else {
            return;
        };
        let Some(role) = grant.role.intersection(allowed) else {
            self.withdraw_grant(now, hit, group);
            return self.depart(now, group, *hit, Departure::Evicted);
        };
        debug!(peer = %hit, %group, %role, "a grant is narrowed");
        self.store_grant(*hit, group.clone(), Grant { role, ..grant });
        self.tell_withdrawn(now, hit, group, role, Withdrawal::Narrowed);
        self.events.push_back(Event::Narrowed { hit: *hit, group: group.clone(), role });
        if self.narrow_member(hit, group, role) {
            // The group was found a moment ago.
            let _ = self.rekey_because(now, group, RekeyWhat::Tek, RekeyCause::NarrowedRole);
        }
    }

    /// Takes from a member, and from a host whose keys wait, what its grant does not hold any more. Says whether it was
    /// given sender ids that it has lost by that; they are nobody's from now on.
    pub(crate) fn narrow_member(&mut self, hit: &Hit, group: &GroupId, granted: Role) -> bool {
        let Some(mut state) = self.groups.get_mut(group) else { return false };
        let joins = state.waiting.joins.iter_mut().filter(|join| join.hit == *hit);
        joins.for_each(|join| join.role = granted);
        let Some(member) = state.members.get_mut(hit).filter(|member| !granted.covers(member.role)) else {
            return false;
        };
        let could_send = member.role.sends();
        member.role = member.role.intersection(granted).unwrap_or(granted);
        let loses_sending = could_send && !member.role.sends();
        if loses_sending {
            member.sender_ids.clear();
        }
        let change = state.member_record(hit);
        drop(state);
        self.changes.push(change);
        loses_sending
    }

    /// Takes a grant away and tells the host so. Says whether there was one.
    pub(crate) fn withdraw_grant(&mut self, now: Time, hit: &Hit, group: &GroupId) -> bool {
        let Some(grant) = self.roster.grants.remove(hit, group) else { return false };
        debug!(peer = %hit, %group, role = %grant.role, "a grant is withdrawn");
        self.changes.push(Change::remove(record::GRANT, record::host_key(group, hit)));
        self.tell_withdrawn(now, hit, group, grant.role, Withdrawal::Revoked);
        true
    }

    /// Notes and tells that a host was refused.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.counters.gcks.count(refusal.reason.into());
        self.roster.refuse(refusal.clone());
        self.events.push_back(Event::Refused(refusal));
    }

    /// Plans the departure of a member; a host that never completed a PULL changes nothing.
    pub(crate) fn depart(&mut self, now: Time, group: &GroupId, hit: Hit, departure: Departure) {
        let Some(mut state) = self.groups.get_mut(group) else { return };
        state.waiting.joins.retain(|join| join.hit != hit);
        if state.members.contains_key(&hit) {
            debug!(peer = %hit, %group, ?departure, "a departure waits for its rekey");
            state.waiting.departures.insert(hit);
            state.schedule_rekey(now, departure == Departure::Evicted);
            self.departures.insert((group.clone(), hit), departure);
        }
    }

    /// Takes back a departure that has not been rekeyed yet: the host is there again, and authorised.
    pub(crate) fn stay(&mut self, hit: &Hit, group: &GroupId) {
        if let Some(mut state) = self.groups.get_mut(group)
            && state.waiting.departures.remove(hit)
        {
            debug!(peer = %hit, %group, "a departure is taken back");
            self.departures.remove(&(group.clone(), *hit));
        }
    }

    pub(crate) fn leave(&mut self, now: Time, hit: Hit, group: &GroupId, departure: Departure) {
        if self.roster.grants.remove(&hit, group).is_some() {
            self.changes.push(Change::remove(record::GRANT, record::host_key(group, &hit)));
        }
        self.depart(now, group, hit, departure);
    }

    pub(crate) fn store_grant(&mut self, hit: Hit, group: GroupId, grant: Grant) {
        let key = record::host_key(&group, &hit);
        self.changes.push(Change::put(record::GRANT, key, record::member::encode_grant(&grant)));
        self.roster.grants.insert(hit, group, grant);
    }

    /// Makes the keys of a registration known to the protocols that run under one, in place of the host's earlier ones.
    /// Says whether they are: cookies may be in use.
    pub(crate) fn take_up(&mut self, now: Time, hit: Hit, by: Registration, sa: RegistrationSa) -> bool {
        match self.roster.registered(hit, by) {
            Some(earlier) if earlier.cookies() == sa.cookies => return true,
            Some(earlier) => self.gdoi.server.remove_registration(&earlier.cookies()),
            None => {}
        }
        let is_known = self.gdoi.server.add_registration(now, sa).is_ok();
        if !is_known {
            debug!(peer = %hit, "the cookies of the registration SA are in use");
            self.roster.unregister(&hit);
        }
        is_known
    }
}
