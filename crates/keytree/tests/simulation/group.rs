//! A tree with members that follow what is sent to them, and nothing else.

use std::collections::BTreeMap;

use claviger_crypto::SeededRandom;
use claviger_keytree::{
    KeyTree, Leaf, NodeId, Rekey, TreeConfig,
    place::{Place, Places},
};

use crate::{
    change::{Change, Name},
    engines::{Engines, Octets},
    knowledge::{KeyId, Knowledge, Violation},
};

/// The changes after which every member's whole path is compared, and the group's record with the tree. In between
/// it is everybody's root, and one member's path.
const CHANGES_BETWEEN_FULL_CHECKS: u32 = 64;

/// One who is in the group.
struct Member {
    /// The keys that it got at its join. All that it ever has follows from these and from what was sent.
    start: Vec<KeyId>,
    /// The keys that it has, by level.
    path: Vec<Option<(Name, KeyId)>>,
}

pub(crate) struct Group {
    pub(crate) tree: KeyTree,
    pub(crate) random: SeededRandom,
    knowledge: Knowledge,
    members: BTreeMap<u32, Member>,
    /// The current keys, by the changes alone.
    current: BTreeMap<NodeId, (Name, KeyId, Octets)>,
    root: NodeId,
    /// Whether the tree is believed to be what the changes said.
    sound: bool,
    changes: u32,
}

impl Group {
    pub(crate) fn new(config: TreeConfig, seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let key_len = config.key_length.octets();
        let tree = KeyTree::new(config, &mut random);
        let root = tree.root().0;
        Self {
            tree,
            random,
            knowledge: Knowledge::new(key_len),
            members: BTreeMap::new(),
            current: BTreeMap::new(),
            root,
            sound: true,
            changes: 0,
        }
    }

    /// Lets `joins` members join at the lowest vacant leaves, and those at `leaves` depart.
    pub(crate) fn batch(&mut self, joins: usize, leaves: &[u32]) -> Result<(), Violation> {
        let departing: Vec<Leaf> = leaves.iter().copied().map(Leaf::new).collect();
        let rekey = self.tree.batch(joins, &departing, &mut self.random).unwrap();
        self.carry_out(&rekey, leaves)
    }

    /// Lets members join at places, move to others, and depart.
    pub(crate) fn batch_at_places(
        &mut self,
        places: &mut Places,
        joins: &[Place],
        moves: &[(u32, Place)],
        leaves: &[u32],
    ) -> Result<(), Violation> {
        let departing: Vec<Leaf> = leaves.iter().copied().map(Leaf::new).collect();
        let moving: Vec<(Leaf, Place)> =
            moves.iter().map(|(leaf, place)| (Leaf::new(*leaf), *place)).collect();
        let placed = places.batch(&mut self.tree, joins, &moving, &departing, &mut self.random).unwrap();
        let left: Vec<u32> = moves.iter().map(|(leaf, _)| *leaf).chain(leaves.iter().copied()).collect();
        self.carry_out(&placed.rekey, &left)
    }

    /// Lets members join at the vacant leaves `joined`, and those at `leaves` depart.
    pub(crate) fn batch_at(&mut self, joined: &[u32], leaves: &[u32]) -> Result<(), Violation> {
        let departing: Vec<Leaf> = leaves.iter().copied().map(Leaf::new).collect();
        let joining: Vec<Leaf> = joined.iter().copied().map(Leaf::new).collect();
        let rekey = self.tree.batch_at(&joining, &departing, &mut self.random).unwrap();
        self.carry_out(&rekey, leaves)
    }

    pub(crate) fn refresh(&mut self) -> Result<(), Violation> {
        let rekey = self.tree.refresh(&mut self.random).unwrap();
        self.carry_out(&rekey, &[])
    }

    /// Lets members join and depart as [`Group::batch`], but in a tree that a fault makes of the one at hand.
    pub(crate) fn faulty_batch(
        &mut self,
        joins: usize,
        leaves: &[u32],
        fault: impl FnOnce(&mut Change),
    ) -> Result<(), Violation> {
        let departing: Vec<Leaf> = leaves.iter().copied().map(Leaf::new).collect();
        let rekey = self.tree.batch(joins, &departing, &mut self.random).unwrap();
        let mut change = Change::new(&rekey, leaves);
        fault(&mut change);
        self.sound = false;
        self.apply(&change)
    }

    /// Returns the current key of a node.
    pub(crate) fn key(&self, node: NodeId) -> (Name, Octets) {
        let (name, _, octets) = self.current[&node];
        (name, octets)
    }

    /// Derives the successor of a key.
    pub(crate) fn advance(&self, key: Octets) -> Octets {
        self.knowledge.engines().advance(&[key])[0]
    }

    /// Goes through the leaves of the present members, lowest first.
    pub(crate) fn leaves(&self) -> impl ExactSizeIterator<Item = u32> {
        self.members.keys().copied()
    }

    pub(crate) fn is_occupied(&self, leaf: u32) -> bool {
        self.members.contains_key(&leaf)
    }

    /// Counts the keys that the departed reach, of all that ever were.
    pub(crate) fn reached_by_departed(&self) -> usize {
        self.knowledge.reached_by_departed()
    }

    fn carry_out(&mut self, rekey: &Rekey, leaves: &[u32]) -> Result<(), Violation> {
        self.apply(&Change::new(rekey, leaves))
    }

    /// Lets a change happen, first to the record of keys, then to those who left, stay and come.
    fn apply(&mut self, change: &Change) -> Result<(), Violation> {
        self.changes += 1;
        self.root = change.root;
        self.replace_keys(change);
        let opened = self.send(change);
        for leaf in &change.departed {
            let member = self.members.remove(leaf).expect("who departs was there");
            self.knowledge.depart(&member.start);
        }
        self.receive(change, &opened);
        for leaf in &change.joined {
            self.admit(change.epoch, *leaf);
        }
        self.knowledge.verdict()?;
        self.everyone_reads()
    }

    fn replace_keys(&mut self, change: &Change) {
        let left = change.removed.iter().copied().chain(change.keys.iter().map(|(name, _)| name.node));
        for node in left {
            if let Some((_, id, _)) = self.current.remove(&node) {
                self.knowledge.leave(id);
            }
        }
        let keys: Vec<_> = change.keys.iter().map(|(name, octets)| (name.node, *octets)).collect();
        let ids = self.knowledge.enter(change.epoch, &keys);
        for ((name, octets), id) in change.keys.iter().zip(ids) {
            self.current.insert(name.node, (*name, id, *octets));
        }
    }

    /// Encrypts what is sent and unwraps it again. Returns for each entry the key that opens it and what comes out.
    fn send(&mut self, change: &Change) -> Vec<(KeyId, KeyId)> {
        let pairs: Vec<_> = change.entries.iter().map(|entry| entry.pair).collect();
        let sent = self.knowledge.engines().wrap(&pairs);
        let opened = self.knowledge.engines().unwrap(&pairs, &sent);
        let mut ids = Vec::with_capacity(opened.len());
        for (pair, octets) in pairs.iter().zip(&opened) {
            let (under, target) = (self.knowledge.name(&pair.under), self.knowledge.name(octets));
            self.knowledge.sent(under, target);
            ids.push((under, target));
        }
        ids
    }

    /// Lets the present members take from the entries, in their order, every key that one at hand opens.
    fn receive(&mut self, change: &Change, opened: &[(KeyId, KeyId)]) {
        let degree = self.tree.degree();
        for (entry, (under, target)) in change.entries.iter().zip(opened) {
            let span = u64::from(degree.k()).pow(u32::from(entry.under.node.level()));
            let first = u64::from(entry.under.node.index()) * span;
            for (_, member) in self.members.range_mut(first as u32..(first + span) as u32) {
                let held = member.hold(entry.under, &mut self.knowledge);
                if held == Some(*under) {
                    member.take(entry.target, *target);
                }
            }
        }
        let root = self.current[&self.root].0;
        for member in self.members.values_mut() {
            member.path.truncate(usize::from(root.node.level()) + 1);
            member.hold(root, &mut self.knowledge);
        }
    }

    /// Gives a joiner its path, by other means than a rekey.
    fn admit(&mut self, epoch: u32, leaf: u32) {
        let degree = self.tree.degree();
        let nodes = NodeId::new(0, leaf).unwrap().upward(degree);
        let path: Vec<_> = nodes
            .take(usize::from(self.root.level()) + 1)
            .map(|node| {
                let (name, id, _) = self.current[&node];
                Some((name, id))
            })
            .collect();
        let start: Vec<_> = path.iter().flatten().map(|(_, id)| *id).collect();
        self.knowledge.join(epoch, &start);
        let before = self.members.insert(leaf, Member { start, path });
        assert!(before.is_none(), "leaf {leaf} was vacant");
    }

    fn everyone_reads(&mut self) -> Result<(), Violation> {
        let full = self.changes.is_multiple_of(CHANGES_BETWEEN_FULL_CHECKS);
        let (_, root, _) = self.current[&self.root];
        let turn = self.changes as usize % self.members.len().max(1);
        for (number, (leaf, member)) in self.members.iter_mut().enumerate() {
            let reads = member.path.get(usize::from(self.root.level()));
            if reads.copied().flatten().map(|(_, id)| id) != Some(root) {
                return Err(Violation::Deaf { leaf: *leaf, node: self.root });
            }
            if full || number == turn {
                let path = NodeId::new(0, *leaf).unwrap().upward(self.tree.degree());
                for node in path.take(usize::from(self.root.level()) + 1) {
                    let (name, id, _) = self.current[&node];
                    if member.hold(name, &mut self.knowledge) != Some(id) {
                        return Err(Violation::Deaf { leaf: *leaf, node });
                    }
                }
            }
        }
        if full && self.sound {
            self.compare_with_tree();
        }
        Ok(())
    }

    /// Checks that the tree is what its changes said.
    fn compare_with_tree(&self) {
        let mut nodes = 0;
        for (node, key) in self.tree.nodes() {
            let (name, octets) = self.key(node);
            assert_eq!((name.handle, octets), (key.handle, Engines::octets(key.key)), "{node}");
            nodes += 1;
        }
        assert_eq!(nodes, self.current.len());
        assert_eq!(self.root, self.tree.root().0);
        assert!(self.tree.leaves().map(|leaf| leaf.index()).eq(self.leaves()));
    }
}

impl Member {
    /// Returns the key that the member has for a name, which it advances as far as the name says.
    fn hold(&mut self, name: Name, knowledge: &mut Knowledge) -> Option<KeyId> {
        let (held, id) = self.path.get_mut(usize::from(name.node.level()))?.as_mut()?;
        let advances = held.handle.advances_to(name.handle).filter(|_| held.node == name.node)?;
        if advances > 0 {
            *id = knowledge.advanced(*id, advances);
            *held = name;
        }
        Some(*id)
    }

    fn take(&mut self, name: Name, id: KeyId) {
        let level = usize::from(name.node.level());
        if self.path.len() <= level {
            self.path.resize(level + 1, None);
        }
        self.path[level] = Some((name, id));
    }
}
