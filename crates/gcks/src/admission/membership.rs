//! What becomes of a member whose standing changes: it leaves, is narrowed, stays.

use claviger_group::{GroupId, MemberId, RegistrationSa, Role};
use claviger_hip_groups::Withdrawal;
use claviger_sansio::{Time, durable::Change};
use tracing::debug;

use super::{Admission, grants::Grant, registration::Registration};
use crate::{
    event::{Departure, Event, Refusal},
    record,
};

impl Admission<'_> {
    /// Ends the grants whose lifetime ran out: it counts as leaving (binding section 6). A host that is there, and took
    /// itself for registered, is told so and asks again: clocks can be wrong.
    pub(crate) fn expire_grants(&mut self, now: Time) {
        while let Some((host, group, grant)) = self.roster.grants.take_expired(now) {
            debug!(peer = %host, %group, role = %grant.role, "a grant has expired");
            self.forget_stored(&host, &group, &grant);
            self.tell_withdrawn(now, &host, &group, grant.role, Withdrawal::Ended);
            self.depart(now, &group, &host, Departure::Expired);
        }
    }

    /// Narrows what a host was granted, or is a member as, to what it is allowed; a host with a grant is told. One that
    /// loses the sender role loses its sender ids, and the TEK under which they were its own: says whether that is to be
    /// replaced. A host that gains a role registers again for it, or pulls where its registration grants nothing.
    pub(crate) fn narrow(
        &mut self,
        now: Time,
        host: &MemberId,
        group: &GroupId,
        allowed: Option<Role>,
    ) -> bool {
        let grant = self.roster.grants.find(host, group).cloned();
        let held = grant.as_ref().map(|grant| grant.role);
        let Some(held) = held.or_else(|| self.role_of_member(host, group)) else {
            return false;
        };
        if allowed.is_some_and(|allowed| allowed.covers(held)) {
            return false;
        }
        let Some(role) = allowed.and_then(|allowed| held.intersection(allowed)) else {
            self.withdraw_grant(now, host, group);
            self.depart(now, group, host, Departure::Evicted);
            return false;
        };
        debug!(peer = %host, %group, %role, "what a host may do is narrowed");
        if let Some(grant) = grant {
            self.store_grant(host, group.clone(), Grant { role, ..grant });
            self.tell_withdrawn(now, host, group, role, Withdrawal::Narrowed);
        }
        self.events.push_back(Event::Narrowed { host: host.clone(), group: group.clone(), role });
        self.narrow_member(host, group, role)
    }

    /// Says as what a host is a member, unless it is about to depart.
    fn role_of_member(&self, host: &MemberId, group: &GroupId) -> Option<Role> {
        let group = self.groups.get(group)?;
        let member = group.members.get(host)?;
        (!group.waiting.departures.contains(host)).then_some(member.role)
    }

    /// Takes from a member, and from a host whose keys wait, what its role does not cover any more. Says whether it was
    /// given sender ids that it has lost by that; nobody else gets them while it is a member.
    pub(crate) fn narrow_member(&mut self, host: &MemberId, group: &GroupId, granted: Role) -> bool {
        let Some(mut state) = self.groups.get_mut(group) else { return false };
        let joins = state.waiting.all_joins_mut().filter(|join| join.host == *host);
        joins.for_each(|join| join.role = granted);
        let Some(member) = state.members.get_mut(host).filter(|member| !granted.covers(member.role)) else {
            return false;
        };
        let could_send = member.role.sends();
        member.role = member.role.intersection(granted).unwrap_or(granted);
        let loses_sending = could_send && !member.role.sends();
        if loses_sending {
            member.sender_ids.withdraw();
        }
        let change = state.member_record(host);
        drop(state);
        self.changes.push(change);
        loses_sending
    }

    /// Takes a grant away and tells the host so.
    pub(crate) fn withdraw_grant(&mut self, now: Time, host: &MemberId, group: &GroupId) {
        let Some(grant) = self.drop_grant(host, group) else { return };
        debug!(peer = %host, %group, role = %grant.role, "a grant is withdrawn");
        self.tell_withdrawn(now, host, group, grant.role, Withdrawal::Revoked);
    }

    /// Notes and tells that a host was refused.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.counters.count(refusal.reason.into());
        self.roster.refuse(refusal.clone());
        self.events.push_back(Event::Refused(refusal));
    }

    /// Plans the departure of a member; a host that never completed a PULL changes nothing.
    pub(crate) fn depart(&mut self, now: Time, group: &GroupId, host: &MemberId, departure: Departure) {
        let Some(mut state) = self.groups.get_mut(group) else { return };
        state.waiting.forget_join(host);
        if state.members.contains_key(host) {
            debug!(peer = %host, %group, ?departure, "a departure waits for its rekey");
            state.waiting.departures.insert(host.clone());
            state.waiting.evicts |= departure == Departure::Evicted;
            state.schedule_rekey(now);
            self.departures.insert((group.clone(), host.clone()), departure);
        }
    }

    /// Takes back a departure that has not been rekeyed yet: the host is there again, and authorised. It may have deleted its
    /// keys, so that it is given none of before.
    pub(crate) fn stay(&mut self, host: &MemberId, group: &GroupId) {
        if let Some(mut state) = self.groups.get_mut(group)
            && state.waiting.departures.remove(host)
        {
            debug!(peer = %host, %group, "a departure is taken back");
            if let Some(member) = state.members.get_mut(host) {
                member.registered_anew = true;
            }
            self.changes.push(state.member_record(host));
            self.departures.remove(&(group.clone(), host.clone()));
        }
    }

    pub(crate) fn leave(&mut self, now: Time, host: &MemberId, group: &GroupId, departure: Departure) {
        self.drop_grant(host, group);
        self.depart(now, group, host, departure);
    }

    pub(crate) fn drop_grant(&mut self, host: &MemberId, group: &GroupId) -> Option<Grant> {
        let grant = self.roster.grants.remove(host, group)?;
        self.forget_stored(host, group, &grant);
        Some(grant)
    }

    /// Removes what is stored of a grant.
    fn forget_stored(&mut self, host: &MemberId, group: &GroupId, grant: &Grant) {
        let key = record::host_key(group, host);
        if grant.certified.is_some() {
            self.changes.push(Change::remove(record::CERTIFICATE, key.clone()));
        }
        self.changes.push(Change::remove(record::GRANT, key));
    }

    pub(crate) fn store_grant(&mut self, host: &MemberId, group: GroupId, grant: Grant) {
        let key = record::host_key(&group, host);
        let earlier = self.roster.grants.find(host, &group).and_then(|grant| grant.certified.as_ref());
        match (earlier, &grant.certified) {
            (Some(earlier), Some(certified)) if earlier.chain == certified.chain => {}
            (_, Some(certified)) => {
                let chain = record::certificate::encode(certified.chain.octets());
                self.changes.push(Change::put(record::CERTIFICATE, key.clone(), chain));
            }
            (Some(_), None) => self.changes.push(Change::remove(record::CERTIFICATE, key.clone())),
            (None, None) => {}
        }
        self.changes.push(Change::put(record::GRANT, key, record::member::encode_grant(&grant)));
        self.roster.grants.insert(host, group, grant);
    }

    /// Makes the keys of a registration known to the protocols that run under one, in place of the host's earlier ones.
    /// Where they are new, the host has registered anew. Says whether they are known: cookies may be in use.
    pub(crate) fn take_up(&mut self, now: Time, by: Registration, sa: RegistrationSa) -> bool {
        let host = sa.peer.clone();
        if self.roster.registration(&host).is_some_and(|earlier| earlier.cookies() == sa.cookies) {
            return true;
        }
        self.note_registered_anew(&host, by);
        self.restore_registration(now, by, sa)
    }

    /// Makes the keys of a registration known as [`Admission::take_up`] does, after a restart: the host has not registered
    /// anew by that.
    pub(crate) fn restore_registration(&mut self, now: Time, by: Registration, sa: RegistrationSa) -> bool {
        let host = sa.peer.clone();
        if let Some(earlier) = self.roster.registered(host.clone(), by) {
            self.keyed.remove_registration(&earlier.cookies());
            self.forget_renewal(&host);
        }
        let is_known = self.keyed.add_registration(now, sa);
        if !is_known {
            debug!(peer = %host, "the cookies of the registration SA are in use");
            self.roster.unregister(&host);
        }
        is_known
    }

    /// Notes, of each group that a host is a member of, that it has registered anew: it is given no TEK of before.
    fn note_registered_anew(&mut self, host: &MemberId, by: Registration) {
        let groups = match by {
            Registration::Hip(_) => self.roster.grants.groups_of(host),
            Registration::Phase1 { .. } => self.groups.iter().map(|(id, _)| id.clone()).collect(),
        };
        for id in groups {
            let Some(mut group) = self.groups.get_mut(&id) else { continue };
            let Some(member) = group.members.get_mut(host) else { continue };
            if !std::mem::replace(&mut member.registered_anew, true) {
                debug!(peer = %host, group = %id, "a member has registered anew");
                self.changes.push(group.member_record(host));
            }
        }
    }
}
