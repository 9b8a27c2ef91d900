//! Who may register to which group: the HIP side of the key server.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use claviger_group::{GroupId, MemberId, Role};
use claviger_hip::{
    AssociationInfo, Event as HipEvent, HostConfig, RegistrationAnswer, RegistrationRequest, Security,
    Ticket, Withdrawal,
    iana::{ChannelStatus, RegFailure, RegType, carries_256_bit_keys},
    wire::{Lifetime, McastChannel},
};
use claviger_identity::Hit;
use claviger_sansio::{Time, durable::Change};
use tracing::{debug, debug_span};

use crate::{
    Counter, Event, Gcks, RekeyWhat,
    event::{Departure, REFUSED_MAX, Refusal, RefusalReason, RekeyCause},
    record::{self, member::Grant},
};

/// How many times a host may join a group in [`JOIN_PERIOD`], so that one host cannot make it rekey for ever.
const JOINS_MAX: usize = 16;

/// The period over which joins are counted.
const JOIN_PERIOD: Duration = Duration::from_secs(60);

/// The services of this key server (binding section 2).
pub(crate) fn services() -> Vec<RegType> {
    vec![RegType::GCKS_GDOI]
}

/// Says whether hosts can associate strongly enough for 256-bit groups (binding section 4).
pub(crate) fn offers_256_bits(hip: &HostConfig) -> bool {
    hip.ciphers.iter().any(|cipher| hip.dh_groups.iter().any(|group| carries_256_bit_keys(*cipher, *group)))
}

/// The grants of all hosts, and when they end.
#[derive(Default)]
pub(crate) struct Grants {
    /// Nearly every host has one, so that a list is smaller than a map.
    by_host: BTreeMap<MemberId, Vec<(GroupId, Grant)>>,
    by_expiry: BTreeSet<(Time, MemberId, GroupId)>,
}

impl Grants {
    pub(crate) fn insert(&mut self, host: &MemberId, group: GroupId, grant: Grant) {
        self.remove(host, &group);
        self.by_expiry.insert((grant.expires, host.clone(), group.clone()));
        let groups = self.by_host.entry(host.clone()).or_default();
        groups.reserve_exact(1);
        groups.push((group, grant));
    }

    pub(crate) fn remove(&mut self, host: &MemberId, group: &GroupId) -> Option<Grant> {
        let groups = self.by_host.get_mut(host)?;
        let place = groups.iter().position(|(granted, _)| granted == group)?;
        let (_, grant) = groups.swap_remove(place);
        if groups.is_empty() {
            self.by_host.remove(host);
        }
        self.by_expiry.remove(&(grant.expires, host.clone(), group.clone()));
        Some(grant)
    }

    pub(crate) fn find(&self, host: &MemberId, group: &GroupId) -> Option<&Grant> {
        self.by_host.get(host)?.iter().find(|(granted, _)| granted == group).map(|(_, grant)| grant)
    }

    pub(crate) fn groups_of(&self, host: &MemberId) -> Vec<GroupId> {
        self.by_host.get(host).into_iter().flatten().map(|(group, _)| group.clone()).collect()
    }

    pub(crate) fn hosts_of(&self, group: &GroupId) -> Vec<MemberId> {
        let granted = |groups: &[(GroupId, Grant)]| groups.iter().any(|(granted, _)| granted == group);
        self.by_host.iter().filter(|(_, groups)| granted(groups)).map(|(host, _)| host.clone()).collect()
    }

    /// Lists every grant.
    pub(crate) fn all(&self) -> Vec<(MemberId, GroupId, Grant)> {
        let of_host = |(host, groups): (&MemberId, &Vec<(GroupId, Grant)>)| {
            let of_group = |(group, grant): &(GroupId, Grant)| (host.clone(), group.clone(), *grant);
            groups.iter().map(of_group).collect::<Vec<_>>()
        };
        self.by_host.iter().flat_map(of_host).collect()
    }

    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.by_expiry.first().map(|(time, ..)| *time)
    }

    fn take_expired(&mut self, now: Time) -> Option<(MemberId, GroupId, Grant)> {
        let (time, host, group) = self.by_expiry.first()?;
        if *time > now {
            return None;
        }
        let (host, group) = (host.clone(), group.clone());
        let grant = self.remove(&host, &group)?;
        Some((host, group, grant))
    }
}

/// Counts the joins of each host to each group.
#[derive(Default)]
pub(crate) struct JoinLimiter {
    /// How many of the recent joins are whose.
    counts: BTreeMap<(MemberId, GroupId), usize>,
    /// The joins of the last period, the oldest first.
    recent: VecDeque<(Time, (MemberId, GroupId))>,
}

impl JoinLimiter {
    /// Counts one join, or one move, unless there were too many of late.
    pub(crate) fn admit(&mut self, now: Time, host: &MemberId, group: &GroupId) -> bool {
        self.forget(now);
        let who = (host.clone(), group.clone());
        let count = self.counts.entry(who.clone()).or_default();
        if *count >= JOINS_MAX {
            return false;
        }
        *count += 1;
        self.recent.push_back((now, who));
        true
    }

    /// Forgets the joins that are a period old.
    fn forget(&mut self, now: Time) {
        while let Some((_, who)) = self.recent.pop_front_if(|(at, _)| *at + JOIN_PERIOD <= now) {
            if let Some(count) = self.counts.get_mut(&who) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&who);
                }
            }
        }
    }
}

impl Gcks {
    pub(crate) fn handle_hip_event(&mut self, now: Time, event: HipEvent) {
        match event {
            HipEvent::RegistrationRequested { ticket, peer, request, security, fresh, .. } => {
                self.register(now, ticket, peer, &request, &security, fresh);
            }
            HipEvent::Closed { peer, .. } => self.forget_association(now, peer),
            HipEvent::Moved { peer, from, to } => {
                self.counters.gcks.count(Counter::Moves);
                // It is newer than what the last PULL has shown.
                self.forget_address(&MemberId::Hit(peer));
                self.events.push_back(Event::Moved { hit: peer, from, to });
            }
            HipEvent::Changed { peer } | HipEvent::Lost { peer } => self.touch(peer),
            // The key server asks for no registration, begins no exchange and does not move.
            HipEvent::Registered { .. }
            | HipEvent::Revoked { .. }
            | HipEvent::Failed { .. }
            | HipEvent::MoveAcknowledged { .. } => {}
            // An association without a registration gives nothing, a revocation stands whether it is confirmed or not,
            // and a NOTIFY changes nothing.
            HipEvent::Established { .. }
            | HipEvent::RevokeAcknowledged { .. }
            | HipEvent::Notified { .. } => {}
        }
    }

    /// Returns the role in which a host may pull a group's keys at this moment.
    pub(crate) fn authorised(&self, now: Time, host: &MemberId, group: &GroupId) -> Option<Role> {
        let grant = self.grants.find(host, group).filter(|grant| grant.expires > now)?;
        let allowed = self.groups.get(group)?.allowed(host)?;
        allowed.covers(grant.role).then_some(grant.role)
    }

    /// Ends the grants whose lifetime ran out: it counts as leaving (binding section 6). A host that is there, and took
    /// itself for registered, is told so and asks again: clocks can be wrong.
    pub(crate) fn expire_grants(&mut self, now: Time) {
        while let Some((host, group, grant)) = self.grants.take_expired(now) {
            debug!(peer = %host, %group, role = %grant.role, "a grant has expired");
            self.changes.push(Change::remove(record::GRANT, record::host_key(&group, &host)));
            self.tell_withdrawn(now, &host, &group, grant.role, Withdrawal::Ended);
            self.depart(now, &group, &host, Departure::Expired);
        }
    }

    /// Narrows a grant that exceeds the list, and tells the host so. One that loses the sender role loses its sender ids,
    /// and the TEK under which they were its own. A host that gains a role registers again for it.
    pub(crate) fn narrow_grant(&mut self, now: Time, host: &MemberId, group: &GroupId, allowed: Role) {
        let Some(grant) = self.grants.find(host, group).copied().filter(|g| !allowed.covers(g.role)) else {
            return;
        };
        let Some(role) = grant.role.intersection(allowed) else {
            self.withdraw_grant(now, host, group);
            return self.depart(now, group, host, Departure::Evicted);
        };
        debug!(peer = %host, %group, %role, "a grant is narrowed");
        self.store_grant(host, group.clone(), Grant { role, ..grant });
        self.tell_withdrawn(now, host, group, role, Withdrawal::Narrowed);
        self.events.push_back(Event::Narrowed { host: host.clone(), group: group.clone(), role });
        if self.narrow_member(host, group, role) {
            // The group was found a moment ago.
            let _ = self.rekey_because(now, group, RekeyWhat::Tek, RekeyCause::NarrowedRole);
        }
    }

    /// Takes from a member, and from a host whose keys wait, what its grant does not hold any more. Says whether it was
    /// given sender ids that it has lost by that; they are nobody's from now on.
    fn narrow_member(&mut self, host: &MemberId, group: &GroupId, granted: Role) -> bool {
        let Some(mut state) = self.groups.get_mut(group) else { return false };
        let joins = state.waiting.joins.iter_mut().filter(|join| join.host == *host);
        joins.for_each(|join| join.role = granted);
        let Some(member) = state.members.get_mut(host).filter(|member| !granted.covers(member.role)) else {
            return false;
        };
        let could_send = member.role.sends();
        member.role = member.role.intersection(granted).unwrap_or(granted);
        let loses_sending = could_send && !member.role.sends();
        if loses_sending {
            member.sender_ids.clear();
        }
        let change = state.member_record(host);
        drop(state);
        self.changes.push(change);
        loses_sending
    }

    /// Takes a grant away and tells the host so. Says whether there was one.
    pub(crate) fn withdraw_grant(&mut self, now: Time, host: &MemberId, group: &GroupId) -> bool {
        let Some(grant) = self.grants.remove(host, group) else { return false };
        debug!(peer = %host, %group, role = %grant.role, "a grant is withdrawn");
        self.changes.push(Change::remove(record::GRANT, record::host_key(group, host)));
        self.tell_withdrawn(now, host, group, grant.role, Withdrawal::Revoked);
        true
    }

    fn tell_withdrawn(&mut self, now: Time, host: &MemberId, group: &GroupId, role: Role, why: Withdrawal) {
        let channel = McastChannel {
            reg_type: RegType::GCKS_GDOI,
            role,
            group: group.clone(),
            channel: None,
            lifetime: Lifetime::CANCEL,
            status: why.status(),
        };
        let Some(hit) = hit_of(host) else { return };
        // Without an association there is nobody to tell.
        let _ = self.hip.withdraw(now, *hit, RegType::GCKS_GDOI, why, vec![channel]);
    }

    /// Plans the departure of a member; who never completed a PULL changes nothing.
    pub(crate) fn depart(&mut self, now: Time, group: &GroupId, host: &MemberId, departure: Departure) {
        let Some(mut state) = self.groups.get_mut(group) else { return };
        state.waiting.joins.retain(|join| join.host != *host);
        if state.members.contains_key(host) {
            debug!(peer = %host, %group, ?departure, "a departure waits for its rekey");
            state.waiting.departures.insert(host.clone());
            state.schedule_rekey(now, departure == Departure::Evicted);
            self.departures.insert((group.clone(), host.clone()), departure);
        }
    }

    /// Takes back a departure that has not been rekeyed yet: the host is there again, and authorised.
    fn stay(&mut self, host: &MemberId, group: &GroupId) {
        if let Some(mut state) = self.groups.get_mut(group)
            && state.waiting.departures.remove(host)
        {
            debug!(peer = %host, %group, "a departure is taken back");
            self.departures.remove(&(group.clone(), host.clone()));
        }
    }

    /// Answers a registration, group by group.
    fn register(
        &mut self,
        now: Time,
        ticket: Ticket,
        hit: Hit,
        request: &RegistrationRequest,
        security: &Security,
        fresh: bool,
    ) {
        let host = MemberId::Hit(hit);
        let answer = if request.reg_type == RegType::GCKS_GDOI {
            self.decide(now, &host, request, security, fresh)
        } else {
            let failure = Some(RegFailure::TYPE_UNAVAILABLE);
            RegistrationAnswer { reg_type: request.reg_type, granted: None, failure, channels: Vec::new() }
        };
        let granted = answer.granted.is_some();
        debug!(peer = %host, fresh, channels = answer.channels.len(), granted, "a registration is decided");
        // The peer may have closed meanwhile; its grants end with the association.
        if self.hip.answer(now, ticket, answer).is_ok() && granted {
            self.take_up_keys(now, hit);
        }
        self.touch(hit);
    }

    fn decide(
        &mut self,
        now: Time,
        host: &MemberId,
        request: &RegistrationRequest,
        security: &Security,
        fresh: bool,
    ) -> RegistrationAnswer {
        let mut lifetime = request.lifetime;
        let channels: Vec<McastChannel> = request
            .channels
            .iter()
            .map(|channel| self.decide_channel(now, host, channel, security))
            .collect();
        if fresh {
            let named = |group: &GroupId| request.channels.iter().any(|channel| channel.group == *group);
            for group in self.grants.groups_of(host).into_iter().filter(|group| !named(group)) {
                self.leave(now, host, &group, Departure::NotNamedAgain);
            }
        } else if request.channels.is_empty() && request.lifetime.is_zero() {
            for group in self.grants.groups_of(host) {
                self.leave(now, host, &group, Departure::Left);
            }
        } else if request.channels.is_empty() {
            lifetime = self.renew_all(now, host, request.lifetime);
        }
        answer(request, lifetime, channels)
    }

    /// Decides on one group and repeats its channel with the status.
    fn decide_channel(
        &mut self,
        now: Time,
        host: &MemberId,
        channel: &McastChannel,
        security: &Security,
    ) -> McastChannel {
        let _group = debug_span!("group", group = %channel.group).entered();
        if channel.lifetime == Lifetime::CANCEL {
            debug!(peer = %host, "the host leaves");
            self.leave(now, host, &channel.group, Departure::Left);
            return channel.answer(ChannelStatus::GRANTED, channel.role, Lifetime::CANCEL);
        }
        match self.admit(now, host, channel, security) {
            Ok(longest) => {
                let lifetime = Lifetime::at_most(channel.lifetime.duration().min(longest));
                let duration = lifetime.duration();
                let grant = Grant { role: channel.role, lifetime: duration, expires: now + duration };
                debug!(peer = %host, role = %channel.role, lifetime = ?duration, "the host is admitted");
                self.store_grant(host, channel.group.clone(), grant);
                let group = channel.group.clone();
                self.stay(host, &group);
                // What it does not ask for any more it has given up, and its sender ids with it.
                self.narrow_member(host, &group, channel.role);
                self.events.push_back(Event::Registered { host: host.clone(), group, role: channel.role });
                channel.answer(ChannelStatus::GRANTED, channel.role, lifetime)
            }
            Err(reason) => {
                debug!(peer = %host, role = %channel.role, reason = reason.as_str(), "the host is refused");
                self.remember_refusal(now, host, channel, reason);
                channel.answer(status(reason), channel.role, Lifetime::CANCEL)
            }
        }
    }

    /// Says how long a host may register to a group, or why not at all.
    fn admit(
        &mut self,
        now: Time,
        host: &MemberId,
        channel: &McastChannel,
        security: &Security,
    ) -> Result<Duration, RefusalReason> {
        let group = self.groups.get(&channel.group).ok_or(RefusalReason::GroupUnknown)?;
        let allowed = group.allowed(host).ok_or(RefusalReason::NotAuthorised)?;
        if !allowed.covers(channel.role) {
            return Err(RefusalReason::RoleNotAuthorised);
        }
        if channel.channel.is_some_and(|asked| asked != group.policy.data.channel) {
            return Err(RefusalReason::ChannelUnknown);
        }
        if group.policy.data.transform.key_bits() > 128
            && !carries_256_bit_keys(security.cipher, security.dh_group)
        {
            return Err(RefusalReason::WeakAssociation);
        }
        if !group.members.contains_key(host) {
            if group.is_full() {
                return Err(RefusalReason::GroupFull);
            }
            if !self.limiter.admit(now, host, &channel.group) {
                return Err(RefusalReason::TooOften);
            }
        }
        Ok(group.policy.access.registration_lifetime)
    }

    fn leave(&mut self, now: Time, host: &MemberId, group: &GroupId, departure: Departure) {
        if self.grants.remove(host, group).is_some() {
            self.changes.push(Change::remove(record::GRANT, record::host_key(group, host)));
        }
        self.depart(now, group, host, departure);
    }

    /// Renews every group that a host may still have. Returns the shortest of their lifetimes, which is what the
    /// answer says: a group's own may be shorter than what was asked for.
    fn renew_all(&mut self, now: Time, host: &MemberId, lifetime: Duration) -> Duration {
        let mut shortest = lifetime;
        for group in self.grants.groups_of(host) {
            let Some(grant) = self.grants.find(host, &group).copied() else { continue };
            let Some(longest) = self.groups.get(&group).map(|g| g.policy.access.registration_lifetime) else {
                continue;
            };
            if self.authorised(now, host, &group).is_some() {
                let lifetime = lifetime.min(longest);
                shortest = shortest.min(lifetime);
                self.store_grant(host, group, Grant { lifetime, expires: now + lifetime, ..grant });
            }
        }
        shortest
    }

    pub(crate) fn store_grant(&mut self, host: &MemberId, group: GroupId, grant: Grant) {
        let key = record::host_key(&group, host);
        self.changes.push(Change::put(record::GRANT, key, record::member::encode_grant(&grant)));
        self.grants.insert(host, group, grant);
    }

    /// Shows the HIP association of a host, if it has one.
    pub(crate) fn association(&self, host: &MemberId) -> Option<AssociationInfo> {
        self.hip.association(hit_of(host)?)
    }

    /// Makes the keys of a registration known to GDOI, in place of the host's earlier ones.
    pub(crate) fn take_up_keys(&mut self, now: Time, hit: Hit) {
        let Some(sa) = self.hip.registration_sa(&hit, RegType::GCKS_GDOI) else { return };
        let host = sa.peer.clone();
        match self.cookies.insert(host.clone(), sa.cookies) {
            Some(earlier) if earlier == sa.cookies => {}
            earlier => {
                if let Some(earlier) = earlier {
                    self.gdoi.remove_registration(&earlier);
                }
                if self.gdoi.add_registration(now, sa).is_err() {
                    debug!(peer = %host, "the cookies of the registration SA are in use");
                    // The cookies are in use: the host makes a new base exchange (binding section 4).
                    self.cookies.remove(&host);
                }
            }
        }
    }

    fn forget_association(&mut self, now: Time, hit: Hit) {
        let host = &MemberId::Hit(hit);
        debug!(peer = %host, "the association has ended");
        for group in self.grants.groups_of(host) {
            self.leave(now, host, &group, Departure::Left);
        }
        if let Some(cookies) = self.cookies.remove(host) {
            self.gdoi.remove_registration(&cookies);
        }
        self.forget_address(host);
        self.touch(hit);
    }

    fn remember_refusal(
        &mut self,
        now: Time,
        host: &MemberId,
        channel: &McastChannel,
        reason: RefusalReason,
    ) {
        let address = self.association(host).map(|association| association.address.ip());
        let group = channel.group.clone();
        self.refused.retain(|earlier| earlier.host != *host || earlier.group != group);
        let refusal = Refusal { host: host.clone(), group, role: channel.role, address, reason, at: now };
        self.refused.truncate(REFUSED_MAX - 1);
        self.refused.push_front(refusal.clone());
        self.counters.gcks.count(reason.into());
        self.events.push_back(Event::Refused(refusal));
    }
}

/// Says under which HIT a host has its HIP association, if that is how it registers.
const fn hit_of(host: &MemberId) -> Option<&Hit> {
    match host {
        MemberId::Hit(hit) => Some(hit),
        MemberId::Address(_)
        | MemberId::DomainName(_)
        | MemberId::KeyId(_)
        | MemberId::Subject(_)
        | MemberId::UserName(_) => None,
    }
}

/// Sums up: the service is granted if any group is, or if no group was named (binding section 2).
fn answer(
    request: &RegistrationRequest,
    lifetime: Duration,
    channels: Vec<McastChannel>,
) -> RegistrationAnswer {
    let first_refusal =
        channels.iter().map(|channel| channel.status).find(|status| *status != ChannelStatus::GRANTED);
    let any_granted = channels.iter().any(|channel| channel.status == ChannelStatus::GRANTED);
    let granted = (any_granted || channels.is_empty()).then_some(lifetime);
    let failure = match first_refusal {
        Some(ChannelStatus::GROUP_FULL | ChannelStatus::INSUFFICIENT_RESOURCES) => {
            RegFailure::INSUFFICIENT_RESOURCES
        }
        _ => RegFailure::ADDITIONAL_CREDENTIALS,
    };
    let failure = Some(failure).filter(|_| granted.is_none());
    RegistrationAnswer { reg_type: request.reg_type, granted, failure, channels }
}

/// Tells a refusal so that a host that is not on the list learns nothing of the group (binding section 2).
fn status(reason: RefusalReason) -> ChannelStatus {
    match reason {
        RefusalReason::GroupUnknown | RefusalReason::NotAuthorised => ChannelStatus::NOT_AUTHORISED,
        RefusalReason::ChannelUnknown => ChannelStatus::GROUP_UNKNOWN,
        RefusalReason::RoleNotAuthorised => ChannelStatus::ROLE_NOT_AUTHORISED,
        RefusalReason::GroupFull => ChannelStatus::GROUP_FULL,
        RefusalReason::TooOften => ChannelStatus::INSUFFICIENT_RESOURCES,
        RefusalReason::WeakAssociation => ChannelStatus::ADDITIONAL_CREDENTIALS,
    }
}
