//! What of a group is stored.

use claviger_group::MemberId;
use claviger_keytree::{Rekey, place::Place};
use claviger_sansio::durable::{Change, RecordKey};

use super::Group;
use crate::record::{self, group::GroupParts};

impl Group {
    /// Writes the group's own record: policy, KEK, TEKs, counters.
    pub(crate) fn record(&self) -> Change {
        let parts = GroupParts {
            policy: &self.policy,
            signing_key: &self.signing_key,
            tree: self.tree.header(),
            kek: self.kek,
            distribution: self.distribution,
            teks: &self.teks,
            sender_ids: self.sender_ids.spent(),
        };
        let key = RecordKey::new(record::scope(&self.id), Vec::new());
        Change::put(record::GROUP, key, record::group::encode(&parts))
    }

    /// Writes the whole tree, once, when the group is made.
    pub(crate) fn tree_records(&self) -> impl Iterator<Item = Change> {
        self.tree.nodes().map(|(node, key)| {
            Change::put(record::NODE, record::node::key(&self.id, node), record::node::encode(key))
        })
    }

    /// Writes the nodes that a rekey replaced and removes those that it dissolved.
    pub(crate) fn node_changes(&self, rekey: &Rekey) -> impl Iterator<Item = Change> {
        let changed = rekey.changed.iter().chain(&rekey.advanced).filter_map(|node| {
            let key = record::node::key(&self.id, *node);
            rekey.key(*node).map(|value| Change::put(record::NODE, key, record::node::encode(value)))
        });
        let removed =
            rekey.removed.iter().map(|node| Change::remove(record::NODE, record::node::key(&self.id, *node)));
        changed.chain(removed)
    }

    /// Writes which subtrees a place has.
    pub(crate) fn place_record(&self, place: Place) -> Change {
        let binding = self.places.as_ref().and_then(|places| places.binding(place));
        let binding = binding.expect("a place stays bound as long as its group lives");
        Change::put(record::PLACE, record::place::key(&self.id, place), record::place::encode(&binding))
    }

    /// Writes which subtrees all places have, once, when the group is made.
    pub(crate) fn place_records(&self) -> impl Iterator<Item = Change> {
        let bindings = self.places.iter().flat_map(|places| places.bindings());
        bindings.map(|binding| self.place_record(binding.place))
    }

    /// Writes or removes a member's record, as it is now.
    pub(crate) fn member_record(&self, host: &MemberId) -> Change {
        let key = record::host_key(&self.id, host);
        match self.members.get(host) {
            Some(member) => Change::put(record::MEMBER, key, record::member::encode_member(member)),
            None => Change::remove(record::MEMBER, key),
        }
    }

    /// Removes everything that is stored of the group.
    pub(crate) fn removal(&self) -> impl Iterator<Item = Change> {
        let scope = record::scope(&self.id);
        [
            record::GROUP,
            record::NODE,
            record::PLACE,
            record::GROUP_OWNER,
            record::ACCESS,
            record::DENIED,
            record::MEMBER,
            record::CERTIFICATE,
            record::GRANT,
            record::DEPARTURE,
            record::PUSH,
        ]
        .into_iter()
        .map(move |table| Change::remove_scope(table, scope.clone()))
    }
}
