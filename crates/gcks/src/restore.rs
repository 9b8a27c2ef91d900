//! Takes up the stored state after a restart.

use std::collections::BTreeMap;

use claviger_crypto::{Random, SecretBytes};
use claviger_group::{GroupId, MemberId};
use claviger_keytree::{
    KeyTree, NodeId, NodeKey,
    place::{Binding, Places},
};
use claviger_sansio::{
    Time, Transmit,
    durable::{Change, RecordKey, Table},
};
use claviger_wire::DecodeError;

use crate::{
    Gcks, GcksConfig, RestoreError,
    admission::list::List,
    distribution::{SealedRekey, push_queue::UnderWay},
    event::Departure,
    group::{self, Group},
    groups::GroupMut,
    record::{self, TABLES},
};

/// A record as the store gives it back.
pub type Record = (Table, RecordKey, SecretBytes);

impl Gcks {
    /// The tables that the key server keeps, for the program to read them all.
    pub const TABLES: [Table; TABLES.len()] = TABLES;

    /// Makes a key server that goes on where the stored one stopped. Messages that may not have left are sent again.
    ///
    /// `now` is what [`Gcks::start_at`] says. If that is before the last stored change, everything stored is moved back
    /// by the difference; the first commit holds it all.
    pub fn restore(
        config: GcksConfig,
        random: Box<dyn Random>,
        now: Time,
        records: &[Record],
    ) -> Result<Self, RestoreError> {
        let mut gcks = Self::new(config, random, now).map_err(RestoreError::Hip)?;
        gcks.check_owner(records)?;
        gcks.restore_groups(now, records)?;
        gcks.restore_grants(records)?;
        for (_, value) in table(records, record::ASSOCIATION) {
            let hit = decode(record::ASSOCIATION, gcks.hip.restore(now, value))?;
            gcks.admission().restore_keys(now, hit);
        }
        gcks.restore_message_ids(now, records)?;
        let ahead = Self::last_change(records)?.since(now);
        if !ahead.is_zero() {
            gcks.move_back(ahead);
        }
        gcks.restore_pushes(now, records)?;
        gcks.resume_departures(now);
        let ids: Vec<GroupId> = gcks.groups.iter().map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| gcks.renew_unaccounted(now, id));
        gcks.settle(now);
        Ok(gcks)
    }

    /// Notes whose store it is, or refuses another host's. A store from before that was noted takes the host that
    /// comes, if its associations are that host's.
    fn check_owner(&mut self, records: &[Record]) -> Result<(), RestoreError> {
        let own = self.hip.hit();
        let noted = table(records, record::OWNER).next();
        let noted =
            noted.map(|(_, value)| decode(record::OWNER, record::member::decode_owner(value))).transpose()?;
        let associations = table(records, record::ASSOCIATION);
        let owners = associations
            .map(|(_, value)| decode(record::ASSOCIATION, claviger_hip_groups::Host::snapshot_owner(value)));
        for owner in noted.map(Ok).into_iter().chain(owners) {
            let stored = owner?;
            if stored != own {
                return Err(RestoreError::OtherIdentity { stored, own });
            }
        }
        if noted.is_none() {
            let owner = record::member::encode_owner(&own);
            self.changes.push(Change::put(record::OWNER, RecordKey::new(Vec::new(), Vec::new()), owner));
        }
        Ok(())
    }

    fn restore_groups(&mut self, now: Time, records: &[Record]) -> Result<(), RestoreError> {
        let mut nodes: BTreeMap<&[u8], Vec<(NodeId, NodeKey)>> = BTreeMap::new();
        for (key, value) in table(records, record::NODE) {
            let node = decode(record::NODE, record::node::node_of(&key.item))?;
            let node_key = decode(record::NODE, record::node::decode(value))?;
            nodes.entry(&key.scope).or_default().push((node, node_key));
        }
        let mut bindings: BTreeMap<&[u8], Vec<Binding>> = BTreeMap::new();
        for (key, value) in table(records, record::PLACE) {
            let binding = decode(record::PLACE, record::place::decode(value))?;
            bindings.entry(&key.scope).or_default().push(binding);
        }
        for (key, value) in table(records, record::GROUP) {
            let id = decode(record::GROUP, record::group_of(&key.scope))?;
            let stored = decode(record::GROUP, record::group::decode(self.provider, value))?;
            if stored.teks.is_empty() {
                return Err(RestoreError::Inconsistent { table: record::GROUP.name() });
            }
            let tree = KeyTree::restore(stored.tree, nodes.remove(&key.scope[..]).unwrap_or_default())
                .map_err(|_| RestoreError::Inconsistent { table: record::NODE.name() })?;
            let bindings = bindings.remove(&key.scope[..]).unwrap_or_default();
            let places = (!stored.policy.tree.places.is_empty()).then(|| Places::restore(&tree, bindings));
            let places = places.transpose().ok().filter(|places| {
                places.as_ref().is_none_or(|places| group::place::fits(&stored.policy, places))
            });
            let Some(places) = places else {
                return Err(RestoreError::Inconsistent { table: record::PLACE.name() });
            };
            let group = Group::restore(id.clone(), stored, tree, places, &mut self.random);
            self.roster.add_group(now, group.id.clone());
            self.groups.insert(group);
        }
        for (key, value) in table(records, record::GROUP_OWNER) {
            let id = decode(record::GROUP_OWNER, record::group_of(&key.scope))?;
            let owner = decode(record::GROUP_OWNER, record::owner::decode(value))?;
            // It is stored as it was.
            let change = self.roster.set_owner(self.provider, &id, Some(owner));
            change.ok_or(RestoreError::Inconsistent { table: record::GROUP_OWNER.name() })?;
        }
        for (key, value) in table(records, record::DENIED) {
            let (group, host) = host_of(record::DENIED, key)?;
            decode(record::DENIED, record::member::decode_denial(value))?;
            self.restored_list(record::DENIED, &group)?.denied.insert(host, ());
        }
        for (key, value) in table(records, record::ACCESS) {
            let (group, host) = host_of(record::ACCESS, key)?;
            let admittance = decode(record::ACCESS, record::member::decode_admittance(value))?;
            self.restored_list(record::ACCESS, &group)?.access.insert(host, admittance);
        }
        for (key, value) in table(records, record::DEPARTURE) {
            let (group, host) = host_of(record::DEPARTURE, key)?;
            let departed = decode(record::DEPARTURE, record::departure::decode(value))?;
            self.restored_list(record::DEPARTURE, &group)?.departed.insert(host, departed);
        }
        for (key, value) in table(records, record::MEMBER) {
            let (group, host) = host_of(record::MEMBER, key)?;
            let member = decode(record::MEMBER, record::member::decode_member(value))?;
            let mut group = self.restored_group(record::MEMBER, &group)?;
            if !group.tree.contains(member.leaf) {
                return Err(RestoreError::Inconsistent { table: record::MEMBER.name() });
            }
            group.members.insert(host, member);
        }
        let ids: Vec<GroupId> = self.groups.iter().map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(mut group) = self.groups.get_mut(&id) else { continue };
            group.assume_leases(now, |host| self.roster.sends_without_lease(&id, host));
            group.take_up_sender_ids();
        }
        Ok(())
    }

    /// Takes up what hosts were granted, and the certificates that it rests on.
    fn restore_grants(&mut self, records: &[Record]) -> Result<(), RestoreError> {
        let mut chains: BTreeMap<&RecordKey, &[u8]> = table(records, record::CERTIFICATE).collect();
        for (key, value) in table(records, record::GRANT) {
            let (group, host) = host_of(record::GRANT, key)?;
            let (mut grant, given) = decode(record::GRANT, record::member::decode_grant(value))?;
            if let Some(given) = given {
                let missing = RestoreError::Inconsistent { table: record::CERTIFICATE.name() };
                let chain = chains.remove(key).ok_or(missing)?;
                let chain = decode(record::CERTIFICATE, record::certificate::decode(chain))?;
                grant.certified = Some(self.roster.restore_certified(&host, given, &chain));
            }
            self.roster.grants.insert(&host, group, grant);
        }
        Ok(())
    }

    /// Takes up which M-IDs were taken. Those of a registration that has ended are forgotten.
    fn restore_message_ids(&mut self, now: Time, records: &[Record]) -> Result<(), RestoreError> {
        for (key, value) in table(records, record::MESSAGE_ID) {
            let (cookies, message_id) = decode(record::MESSAGE_ID, record::message_id::name_of(key))?;
            let began = decode(record::MESSAGE_ID, record::message_id::decode(value))?;
            if !self.gdoi.server.restore_message_id(now, &cookies, message_id, began) {
                self.changes.push(record::message_id::forgotten(&cookies));
            }
        }
        Ok(())
    }

    /// Plans every message anew whose last copy was not seen to leave, in the order in which they were made.
    fn restore_pushes(&mut self, now: Time, records: &[Record]) -> Result<(), RestoreError> {
        let mut pushes: BTreeMap<GroupId, BTreeMap<u64, (RecordKey, Transmit)>> = BTreeMap::new();
        for (key, value) in table(records, record::PUSH) {
            let id = decode(record::PUSH, record::group_of(&key.scope))?;
            let (order, transmit) = decode(record::PUSH, record::push::decode(value))?;
            pushes.entry(id).or_default().insert(order, (key.clone(), transmit));
        }
        for (id, queued) in pushes {
            let sealed = |(key, transmit): (RecordKey, Transmit)| {
                let (under, sequence) = decode(record::PUSH, record::push::name_of(&key.item))?;
                Ok(SealedRekey { key, under, sequence, transmit, audience: Vec::new() })
            };
            let queued: Vec<SealedRekey> =
                queued.into_values().map(sealed).collect::<Result<_, RestoreError>>()?;
            let mut group =
                self.groups.get_mut(&id).ok_or(RestoreError::Inconsistent { table: record::PUSH.name() })?;
            let rekey = self.push_queue.name_rekey();
            let what = UnderWay::new(id, queued.len(), 0);
            let departed = self.roster.list(&group.id).map(|list| list.departing(&group)).unwrap_or_default();
            self.push_queue.follow(rekey, UnderWay { departed, ..what });
            let authentication = group.policy.rekey.authentication;
            group.quiet_at = self.push_queue.schedule(now, now, rekey, authentication, queued, true);
            // It may be among them.
            group.tek_under_way = Some(rekey);
        }
        self.end_departures_without_messages(now);
        Ok(())
    }

    /// Ends the departures of which no message remains: nobody was left to be told.
    fn end_departures_without_messages(&mut self, now: Time) {
        let of_group = |(id, group): (&GroupId, &Group)| {
            (id.clone(), self.roster.list(id).map(|list| list.departing(group)).unwrap_or_default())
        };
        let without: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, group)| group.tek_under_way.is_none())
            .map(of_group)
            .filter(|(_, departed)| !departed.is_empty())
            .collect();
        for (id, departed) in without {
            let rekey = self.push_queue.name_rekey();
            self.rekey_is_through(now, rekey, UnderWay { departed, ..UnderWay::new(id, 0, 0) });
        }
    }

    /// Plans the departures that were planned before: of members without a grant, which is taken at once.
    fn resume_departures(&mut self, now: Time) {
        let members =
            self.groups.iter().flat_map(|(id, group)| group.members.keys().map(move |host| (id, host)));
        let departed: Vec<(GroupId, MemberId, Departure)> = members
            .filter(|(id, host)| !self.roster.holds(host, id))
            .map(|(id, host)| {
                let noted = self.roster.list(id).and_then(|list| list.departed.get(host));
                (id.clone(), host.clone(), noted.map_or(Departure::Left, |noted| noted.why))
            })
            .collect();
        for (id, host, why) in departed {
            self.admission().depart(now, &id, &host, why);
        }
    }

    fn restored_list(&mut self, table: Table, id: &GroupId) -> Result<&mut List, RestoreError> {
        self.roster.list_mut(id).ok_or(RestoreError::Inconsistent { table: table.name() })
    }

    fn restored_group(&mut self, table: Table, id: &GroupId) -> Result<GroupMut<'_>, RestoreError> {
        self.groups.get_mut(id).ok_or(RestoreError::Inconsistent { table: table.name() })
    }
}

pub(crate) fn table(records: &[Record], wanted: Table) -> impl Iterator<Item = (&RecordKey, &[u8])> {
    records.iter().filter(move |(table, ..)| *table == wanted).map(|(_, key, value)| (key, value.expose()))
}

fn host_of(table: Table, key: &RecordKey) -> Result<(GroupId, MemberId), RestoreError> {
    Ok((decode(table, record::group_of(&key.scope))?, decode(table, record::host_of(&key.item))?))
}

pub(crate) fn decode<T>(table: Table, result: Result<T, DecodeError>) -> Result<T, RestoreError> {
    result.map_err(|error| RestoreError::Decode { table: table.name(), error })
}
