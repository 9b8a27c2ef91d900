//! What hosts were granted by their registrations, and when that ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_group::{GroupId, Role};
use claviger_identity::Hit;
use claviger_sansio::Time;

/// A grant: which role, until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) lifetime: Duration,
    pub(crate) expires: Time,
}

/// The grants of all hosts.
#[derive(Default)]
pub(crate) struct Grants {
    /// Nearly every host has one, so that a list is smaller than a map.
    by_host: BTreeMap<Hit, Vec<(GroupId, Grant)>>,
    by_expiry: BTreeSet<(Time, Hit, GroupId)>,
}

impl Grants {
    pub(crate) fn insert(&mut self, hit: Hit, group: GroupId, grant: Grant) {
        self.remove(&hit, &group);
        self.by_expiry.insert((grant.expires, hit, group.clone()));
        let groups = self.by_host.entry(hit).or_default();
        groups.reserve_exact(1);
        groups.push((group, grant));
    }

    pub(crate) fn remove(&mut self, hit: &Hit, group: &GroupId) -> Option<Grant> {
        let groups = self.by_host.get_mut(hit)?;
        let place = groups.iter().position(|(granted, _)| granted == group)?;
        let (_, grant) = groups.swap_remove(place);
        if groups.is_empty() {
            self.by_host.remove(hit);
        }
        self.by_expiry.remove(&(grant.expires, *hit, group.clone()));
        Some(grant)
    }

    pub(crate) fn find(&self, hit: &Hit, group: &GroupId) -> Option<&Grant> {
        self.by_host.get(hit)?.iter().find(|(granted, _)| granted == group).map(|(_, grant)| grant)
    }

    pub(crate) fn groups_of(&self, hit: &Hit) -> Vec<GroupId> {
        self.by_host.get(hit).into_iter().flatten().map(|(group, _)| group.clone()).collect()
    }

    pub(crate) fn hosts_of(&self, group: &GroupId) -> Vec<Hit> {
        let granted = |groups: &[(GroupId, Grant)]| groups.iter().any(|(granted, _)| granted == group);
        self.by_host.iter().filter(|(_, groups)| granted(groups)).map(|(hit, _)| *hit).collect()
    }

    /// Lists every grant.
    pub(crate) fn all(&self) -> Vec<(Hit, GroupId, Grant)> {
        let of_host = |(hit, groups): (&Hit, &Vec<(GroupId, Grant)>)| {
            let hit = *hit;
            groups.iter().map(move |(group, grant)| (hit, group.clone(), *grant)).collect::<Vec<_>>()
        };
        self.by_host.iter().flat_map(of_host).collect()
    }

    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.by_expiry.first().map(|(time, ..)| *time)
    }

    pub(crate) fn take_expired(&mut self, now: Time) -> Option<(Hit, GroupId, Grant)> {
        let (time, hit, group) = self.by_expiry.first()?;
        if *time > now {
            return None;
        }
        let (hit, group) = (*hit, group.clone());
        let grant = self.remove(&hit, &group)?;
        Some((hit, group, grant))
    }
}
