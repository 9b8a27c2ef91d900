//! What hosts were granted by their registrations, and when that ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_group::{GroupId, MemberId, Role};
use claviger_sansio::Time;

use super::certified::Certified;

/// A grant: which role, until when, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) lifetime: Duration,
    pub(crate) expires: Time,
    /// What a certificate gave, if the list alone does not give the role.
    pub(crate) certified: Option<Certified>,
}

/// The grants of all hosts.
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

    /// Says whether a host has a grant, whatever group it is for.
    pub(crate) fn has_any(&self, host: &MemberId) -> bool {
        self.by_host.contains_key(host)
    }

    /// Goes through the grants of a host.
    pub(crate) fn of(&self, host: &MemberId) -> impl Iterator<Item = (&GroupId, &Grant)> {
        self.by_host.get(host).into_iter().flatten().map(|(group, grant)| (group, grant))
    }

    /// Goes through every grant.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&MemberId, &GroupId, &Grant)> {
        self.by_host
            .iter()
            .flat_map(|(host, groups)| groups.iter().map(move |(group, grant)| (host, group, grant)))
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
            let of_group = |(group, grant): &(GroupId, Grant)| (host.clone(), group.clone(), grant.clone());
            groups.iter().map(of_group).collect::<Vec<_>>()
        };
        self.by_host.iter().flat_map(of_host).collect()
    }

    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.by_expiry.first().map(|(time, ..)| *time)
    }

    pub(crate) fn take_expired(&mut self, now: Time) -> Option<(MemberId, GroupId, Grant)> {
        let (time, host, group) = self.by_expiry.first()?;
        if *time > now {
            return None;
        }
        let (host, group) = (host.clone(), group.clone());
        let grant = self.remove(&host, &group)?;
        Some((host, group, grant))
    }
}
