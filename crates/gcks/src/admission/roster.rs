//! Lists, grants, refusals and limits: one look-up for each question.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use claviger_group::{Channel, GroupId, Role};
use claviger_identity::Hit;
use claviger_sansio::{Time, durable::Change};

use super::{Registration, departure::Departed, grants::Grants, limiter::JoinLimiter};
use crate::{
    event::{REFUSED_MAX, Refusal, RefusalReason},
    group::Group,
    record,
};

/// Who may join, who may not, and who is gone.
#[derive(Default)]
pub(crate) struct Roster {
    lists: BTreeMap<GroupId, List>,
    pub(crate) grants: Grants,
    pub(crate) limiter: JoinLimiter,
    refused: VecDeque<Refusal>,
    registrations: BTreeMap<Hit, Registration>,
}

/// What is known of the hosts of one group beside its members' keys.
#[derive(Default)]
pub(crate) struct List {
    /// The hosts that may register, and as what.
    pub(crate) access: BTreeMap<Hit, Role>,
    /// Who departed, as far as it is remembered.
    pub(crate) departed: BTreeMap<Hit, Departed>,
    /// From when on nothing that is sent is readable to all those whose rekeys have left.
    pub(crate) unreadable_from: Time,
}

/// What a host asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) role: Role,
    /// Where it expects the group, if it says so.
    pub(crate) channel: Option<Channel>,
    pub(crate) strength: Strength,
}

/// Which keys a registration can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// Keys of 128 bits.
    Bits128,
    /// Keys of 256 bits too.
    Bits256,
}

impl Roster {
    pub(crate) fn add_group(&mut self, now: Time, id: GroupId) {
        self.lists.insert(id, List { unreadable_from: now, ..List::default() });
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

    /// Puts a host on a list, in place of an earlier role: it was neither refused nor evicted then.
    pub(crate) fn allow(&mut self, id: &GroupId, hit: Hit, role: Role) -> Vec<Change> {
        self.refused.retain(|refusal| refusal.hit != hit || refusal.group != *id);
        let Some(list) = self.lists.get_mut(id) else { return Vec::new() };
        list.access.insert(hit, role);
        let mut changes = vec![list.access_record(id, &hit)];
        changes.extend(list.forget_eviction(id, &hit));
        changes
    }

    /// Says whether a host may register to a group, and for how long.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        group: Option<&Group>,
        hit: Hit,
        asked: Asked,
    ) -> Result<Duration, RefusalReason> {
        let group = group.ok_or(RefusalReason::GroupUnknown)?;
        let allowed = self.lists.get(&group.id).and_then(|list| list.access.get(&hit));
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
        if !group.members.contains_key(&hit) {
            if group.is_full() {
                return Err(RefusalReason::GroupFull);
            }
            if !self.limiter.admit(now, hit, &group.id) {
                return Err(RefusalReason::TooOften);
            }
        }
        Ok(group.policy.access.registration_lifetime)
    }

    /// Says in which role a host may have a group's keys at this moment.
    pub(crate) fn authorised(&self, now: Time, hit: &Hit, group: &GroupId) -> Option<Role> {
        let allowed = *self.lists.get(group)?.access.get(hit)?;
        match self.registrations.get(hit) {
            Some(Registration::Phase1 { .. }) => Some(allowed),
            Some(Registration::Hip(_)) | None => {
                let grant = self.grants.find(hit, group).filter(|grant| grant.expires > now)?;
                allowed.covers(grant.role).then_some(grant.role)
            }
        }
    }

    /// Says whether a member stays one after a restart: by a grant, or because it is on the list.
    pub(crate) fn holds(&self, hit: &Hit, group: &GroupId) -> bool {
        self.grants.find(hit, group).is_some()
    }

    /// Notes how a host has registered. Returns the registration that it had before.
    pub(crate) fn registered(&mut self, hit: Hit, by: Registration) -> Option<Registration> {
        self.registrations.insert(hit, by)
    }

    /// Forgets how a host has registered.
    pub(crate) fn unregister(&mut self, hit: &Hit) -> Option<Registration> {
        self.registrations.remove(hit)
    }

    pub(crate) fn registration(&self, hit: &Hit) -> Option<Registration> {
        self.registrations.get(hit).copied()
    }

    /// Notes that a host was refused, so that an administrator finds the one to allow.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refused.retain(|earlier| earlier.hit != refusal.hit || earlier.group != refusal.group);
        self.refused.truncate(REFUSED_MAX - 1);
        self.refused.push_front(refusal);
    }

    /// Lists those who were refused, the latest first.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter()
    }
}

impl List {
    /// Says which role the list allows a host.
    pub(crate) fn allowed(&self, hit: &Hit) -> Option<Role> {
        self.access.get(hit).copied()
    }

    /// Writes or removes a host's place on the list, as it is now.
    pub(crate) fn access_record(&self, id: &GroupId, hit: &Hit) -> Change {
        let key = record::host_key(id, hit);
        match self.access.get(hit) {
            Some(role) => Change::put(record::ACCESS, key, record::member::encode_role(*role)),
            None => Change::remove(record::ACCESS, key),
        }
    }
}
