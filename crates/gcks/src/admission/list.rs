//! What is known of the hosts of one group: who may join, and who is gone.

use std::collections::BTreeMap;

use claviger_group::{GroupId, MemberId, Role};
use claviger_pki::Name;
use claviger_sansio::{Time, durable::Change};

use super::{
    admittance::Admittance,
    certified::Certified,
    departed::Departed,
    entries::Entries,
    owner::{Admits, Owned},
};
use crate::{event::Departure, group::Group, record};

/// How many evictions a group remembers. A command is repeated within minutes, and hardly after thousands of others.
const EVICTIONS_MAX: usize = 4_096;

/// What is known of the hosts of one group beside its members' keys.
#[derive(Default)]
pub(crate) struct List {
    /// The hosts that may register, and as what.
    pub(crate) access: Entries<Admittance>,
    /// The hosts that were put out of a group with an owner, whose certificates still hold.
    pub(crate) denied: Entries<()>,
    /// Whose certificates let hosts in too.
    pub(crate) owned: Option<Owned>,
    /// Who departed, as far as it is remembered.
    pub(crate) departed: BTreeMap<MemberId, Departed>,
    /// From when on nothing that is sent is readable to all those whose rekeys have left.
    pub(crate) unreadable_from: Time,
    /// From when on that holds whoever missed a rekey.
    pub(crate) silent_from: Time,
}

impl List {
    /// Says which role the list allows a host.
    pub(crate) fn allowed(&self, host: &MemberId) -> Option<Role> {
        self.access.get(host).map(|admittance| admittance.role)
    }

    /// Says as what a host may be in the group, by the list and by what a certificate has given it.
    pub(crate) fn authorised(&self, host: &MemberId, certified: Option<&Certified>) -> Option<Role> {
        let certificate = certified.map(|certified| (certified.chain.subject(), certified.role));
        self.role_of(host, certificate)
    }

    /// Says as what a host may be in the group that has a certificate about a subject, which gives it a role or none.
    pub(crate) fn role_of(
        &self,
        host: &MemberId,
        certificate: Option<(&Name, Option<Role>)>,
    ) -> Option<Role> {
        let listed = self.allowed(host);
        let Some(Owned { owner, .. }) = &self.owned else { return listed };
        let subject = certificate.map(|(subject, _)| subject);
        if self.is_denied(host, subject) {
            return None;
        }
        let named = subject.into_iter().flat_map(|subject| self.access.named(subject));
        let listed = named.map(|admittance| admittance.role).chain(listed).reduce(Role::union);
        let certified = certificate.and_then(|(_, role)| role);
        match owner.admits {
            Admits::ListAndCertificate => listed?.intersection(certified?),
            Admits::ListOrCertificate => listed.into_iter().chain(certified).reduce(Role::union),
        }
    }

    /// Says whether a host was put out, itself or whoever has a certificate about its subject.
    pub(crate) fn is_denied(&self, host: &MemberId, subject: Option<&Name>) -> bool {
        self.denied.contains_key(host)
            || subject.is_some_and(|subject| self.denied.named(subject).next().is_some())
    }

    /// Says whether the list names a host, or the subject of its certificate.
    pub(crate) fn names(&self, host: &MemberId, subject: Option<&Name>) -> bool {
        self.access.contains_key(host)
            || subject.is_some_and(|subject| self.access.named(subject).next().is_some())
    }

    /// Denies a host the group, or does so no more. Returns what is to be stored.
    pub(crate) fn deny(&mut self, id: &GroupId, host: &MemberId, is_denied: bool) -> Option<Change> {
        let key = record::host_key(id, host);
        if is_denied {
            self.denied.insert(host.clone(), ());
            return Some(Change::put(record::DENIED, key, record::member::encode_denial()));
        }
        self.denied.remove(host).map(|()| Change::remove(record::DENIED, key))
    }

    /// Writes or removes the owner, as it is now.
    pub(crate) fn owner_record(&self, id: &GroupId) -> Change {
        let key = record::owner::key(id);
        match &self.owned {
            Some(owned) => Change::put(record::GROUP_OWNER, key, record::owner::encode(&owned.owner)),
            None => Change::remove(record::GROUP_OWNER, key),
        }
    }

    /// Writes or removes a host's place on the list, as it is now.
    pub(crate) fn access_record(&self, id: &GroupId, host: &MemberId) -> Change {
        let key = record::host_key(id, host);
        match self.access.get(host) {
            Some(admittance) => {
                Change::put(record::ACCESS, key, record::member::encode_admittance(*admittance))
            }
            None => Change::remove(record::ACCESS, key),
        }
    }

    /// Lists those whose rekeys are on their way: they are no `members` any more.
    pub(crate) fn departing(&self, group: &Group) -> Vec<(MemberId, Departure, Time)> {
        let is_under_way = |(host, d): &(&MemberId, &Departed)| {
            d.unreadable_from.is_none() && !group.members.contains_key(host)
        };
        let departed = self.departed.iter().filter(is_under_way);
        departed.map(|(host, departed)| (host.clone(), departed.why, departed.at)).collect()
    }

    /// Notes that a host was evicted, member or not. Returns what is to be stored.
    pub(crate) fn note_eviction(
        &mut self,
        now: Time,
        id: &GroupId,
        host: &MemberId,
        member: bool,
    ) -> Vec<Change> {
        let earlier = self.departed.get(host).filter(|earlier| earlier.unreadable_from.is_none());
        let noted = match earlier {
            // It has gone by itself, and the rekey for it is on its way.
            Some(earlier) if !member => Departed { why: Departure::Evicted, ..*earlier },
            _ => Departed {
                why: Departure::Evicted,
                was_member: member,
                at: now,
                // It may have been a member until shortly before.
                unreadable_from: (!member).then_some(self.unreadable_from.max(now)),
                silent_from: (!member).then_some(self.silent_from.max(now)),
            },
        };
        self.departed.insert(host.clone(), noted);
        let mut changes = vec![self.departure_record(id, host)];
        if self.departed.len() > EVICTIONS_MAX {
            let through = self.departed.iter().filter(|(_, departed)| departed.unreadable_from.is_some());
            let oldest = through.min_by_key(|(_, departed)| departed.at).map(|(host, _)| host.clone());
            changes.extend(oldest.map(|oldest| self.forget_departure(id, &oldest)));
        }
        changes
    }

    /// Notes from when on nothing is readable to a host that departed; only an eviction of one that was not allowed again
    /// is remembered then.
    pub(crate) fn departed_for_good(
        &mut self,
        id: &GroupId,
        host: &MemberId,
        unreadable_from: Time,
    ) -> Option<Change> {
        let departed = self.departed.get_mut(host).filter(|departed| departed.unreadable_from.is_none())?;
        if departed.why != Departure::Evicted || self.access.contains_key(host) {
            return Some(self.forget_departure(id, host));
        }
        departed.unreadable_from = Some(unreadable_from);
        Some(self.departure_record(id, host))
    }

    /// Forgets that a host was evicted: it is allowed again. While the rekey is on its way it is still a departure.
    pub(crate) fn forget_eviction(&mut self, id: &GroupId, host: &MemberId) -> Option<Change> {
        let departed = self.departed.get(host)?;
        departed.unreadable_from.is_some().then(|| self.forget_departure(id, host))
    }

    fn forget_departure(&mut self, id: &GroupId, host: &MemberId) -> Change {
        self.departed.remove(host);
        self.departure_record(id, host)
    }

    /// Writes or removes how a host departed, as it is now.
    pub(crate) fn departure_record(&self, id: &GroupId, host: &MemberId) -> Change {
        let key = record::host_key(id, host);
        match self.departed.get(host) {
            Some(departed) => Change::put(record::DEPARTURE, key, record::departure::encode(departed)),
            None => Change::remove(record::DEPARTURE, key),
        }
    }
}
