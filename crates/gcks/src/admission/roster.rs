//! Lists, grants, refusals and limits: one look-up for each question.

use std::{collections::BTreeMap, time::Duration};

use claviger_group::{Channel, CookiePair, GroupId, MemberId, Role};
use claviger_sansio::{Time, durable::Change};

use super::{
    admittance::Admittance,
    grants::Grants,
    limiter::JoinLimiter,
    list::List,
    refusals::Refusals,
    registration::{Registration, Strength},
};
use crate::{
    event::{Refusal, RefusalReason},
    group::Group,
};

/// Who may join, who may not, and who is gone.
#[derive(Default)]
pub(crate) struct Roster {
    lists: BTreeMap<GroupId, List>,
    pub(crate) grants: Grants,
    pub(crate) limiter: JoinLimiter,
    refused: Refusals,
    registrations: BTreeMap<MemberId, Registration>,
    /// The other registration SAs of hosts whose keys are being renewed.
    pub(crate) renewals: BTreeMap<MemberId, CookiePair>,
}

/// What a host asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) role: Role,
    /// Where it expects the group, if it says so.
    pub(crate) channel: Option<Channel>,
    pub(crate) strength: Strength,
}

impl Roster {
    pub(crate) fn add_group(&mut self, now: Time, id: GroupId) {
        self.lists.insert(id, List { unreadable_from: now, silent_from: now, ..List::default() });
    }

    pub(crate) fn remove_group(&mut self, id: &GroupId) {
        self.lists.remove(id);
    }

    pub(crate) fn list(&self, id: &GroupId) -> Option<&List> {
        self.lists.get(id)
    }

    pub(crate) fn list_mut(&mut self, id: &GroupId) -> Option<&mut List> {
        self.lists.get_mut(id)
    }

    pub(crate) fn lists_mut(&mut self) -> impl Iterator<Item = (&GroupId, &mut List)> {
        self.lists.iter_mut()
    }

    /// Puts a host on a list, in place of what it was allowed before: it was neither refused nor evicted then.
    pub(crate) fn allow(&mut self, id: &GroupId, host: &MemberId, admittance: Admittance) -> Vec<Change> {
        self.refused.forget(host, id);
        let Some(list) = self.lists.get_mut(id) else { return Vec::new() };
        list.access.insert(host.clone(), admittance);
        let mut changes = vec![list.access_record(id, host)];
        changes.extend(list.forget_eviction(id, host));
        changes
    }

    /// Says whether a host may register to a group, and for how long.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        group: Option<&Group>,
        host: &MemberId,
        asked: Asked,
    ) -> Result<Duration, RefusalReason> {
        let group = group.ok_or(RefusalReason::GroupUnknown)?;
        let allowed = self.lists.get(&group.id).and_then(|list| list.allowed(host));
        let allowed = allowed.ok_or(RefusalReason::NotAuthorised)?;
        if !allowed.covers(asked.role) {
            return Err(RefusalReason::RoleNotAuthorised);
        }
        if asked.channel.is_some_and(|channel| channel != group.policy.data.channel) {
            return Err(RefusalReason::ChannelUnknown);
        }
        if group.policy.data.transform.key_bits() > 128 && asked.strength < Strength::Bits256 {
            return Err(RefusalReason::WeakAssociation);
        }
        if !group.members.contains_key(host) {
            if group.is_full() {
                return Err(RefusalReason::GroupFull);
            }
            if !self.limiter.admit(now, host, &group.id) {
                return Err(RefusalReason::TooOften);
            }
        }
        Ok(group.policy.access.registration_lifetime)
    }

    /// Says in which role a host may have a group's keys at this moment.
    pub(crate) fn authorised(&self, now: Time, host: &MemberId, group: &GroupId) -> Option<Role> {
        let allowed = self.lists.get(group)?.allowed(host)?;
        match self.registrations.get(host) {
            Some(Registration::Phase1 { .. }) => Some(allowed),
            Some(Registration::Hip(_)) | None => {
                let grant = self.grants.find(host, group).filter(|grant| grant.expires > now)?;
                allowed.covers(grant.role).then_some(grant.role)
            }
        }
    }

    /// Says whether a host may send in a group without a lease.
    pub(crate) fn sends_without_lease(&self, id: &GroupId, host: &MemberId) -> bool {
        let admittance = self.lists.get(id).and_then(|list| list.access.get(host));
        admittance.is_some_and(|admittance| admittance.without_lease)
    }

    /// Says whether a member stays one after a restart: where its registration grants, by a grant, and otherwise because
    /// it is on the list.
    pub(crate) fn holds(&self, host: &MemberId, group: &GroupId) -> bool {
        match host {
            MemberId::Hit(_) => self.grants.find(host, group).is_some(),
            MemberId::Address(_)
            | MemberId::DomainName(_)
            | MemberId::KeyId(_)
            | MemberId::Subject(_)
            | MemberId::UserName(_) => {
                self.lists.get(group).is_some_and(|list| list.access.contains_key(host))
            }
        }
    }

    /// Notes how a host has registered. Returns the registration that it had before.
    pub(crate) fn registered(&mut self, host: MemberId, by: Registration) -> Option<Registration> {
        self.registrations.insert(host, by)
    }

    /// Forgets how a host has registered.
    pub(crate) fn unregister(&mut self, host: &MemberId) -> Option<Registration> {
        self.registrations.remove(host)
    }

    pub(crate) fn registration(&self, host: &MemberId) -> Option<Registration> {
        self.registrations.get(host).copied()
    }

    /// Notes that a host was refused, so that an administrator finds the one to allow.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        let is_listed = |host: &MemberId| self.lists.values().any(|list| list.access.contains_key(host));
        self.refused.note(refusal, is_listed);
    }

    /// Lists those who were refused, the latest first.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter()
    }
}
