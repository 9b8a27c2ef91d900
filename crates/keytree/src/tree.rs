//! The tree, and what can be asked of it.

use std::{collections::BTreeSet, fmt};

use claviger_crypto::{Random, SecretBytes};

use crate::{Degree, Header, KeyLength, Leaf, NodeId, NodeKey, level::Level};

/// A group's key tree, as its key server keeps it.
///
/// It changes by [`KeyTree::batch`] and [`KeyTree::refresh`] only, each of which returns a
/// [`Rekey`](crate::Rekey). Leaves are taken lowest first, so that the depth is the least that the highest leaf
/// allows; a node exists while there is a member below it, and the root always.
pub struct KeyTree {
    pub(crate) degree: Degree,
    pub(crate) key_length: KeyLength,
    pub(crate) capacity: u32,
    pub(crate) epoch: u32,
    pub(crate) depth: u8,
    pub(crate) members: u32,
    /// One more than the highest occupied leaf.
    pub(crate) extent: u32,
    /// The vacant leaves below `extent`.
    pub(crate) holes: BTreeSet<u32>,
    /// The keys of each level, leaves first.
    pub(crate) levels: Vec<Level>,
}

impl KeyTree {
    /// Makes a tree without members, whose only node is the root: the group's first key.
    ///
    /// `capacity` is the most members that the tree will accept. Memory follows the members, not the capacity.
    pub fn new(degree: Degree, key_length: KeyLength, capacity: u32, random: &mut dyn Random) -> Self {
        let mut tree = Self::vacant(Header { degree, key_length, capacity, depth: 1, epoch: 1, members: 0 });
        let material = SecretBytes::with(key_length.material_len(), |octets| random.fill(octets));
        tree.set_key(tree.root_id(), tree.epoch, material.expose());
        tree
    }

    /// Makes a tree without any node, not even the root.
    pub(crate) fn vacant(header: Header) -> Self {
        Self {
            degree: header.degree,
            key_length: header.key_length,
            capacity: header.capacity,
            epoch: header.epoch,
            depth: header.depth,
            members: 0,
            extent: 0,
            holes: BTreeSet::new(),
            levels: (0..=header.depth).map(|_| Level::new(header.key_length)).collect(),
        }
    }

    /// Returns the keys that the member at `leaf` holds, from its leaf to the root; none without a member there.
    pub fn path(&self, leaf: Leaf) -> Option<Vec<(NodeId, NodeKey)>> {
        if !self.contains(leaf) {
            return None;
        }
        std::iter::successors(Some(leaf.node()), |node| Some(node.parent(self.degree)))
            .take(usize::from(self.depth) + 1)
            .map(|node| Some((node, self.key(node)?)))
            .collect()
    }

    /// Returns the root and its key, which is the group's.
    pub fn root(&self) -> (NodeId, NodeKey) {
        let root = self.root_id();
        (root, self.key(root).expect("a tree always has its root"))
    }

    /// Returns the current key of a node.
    pub fn key(&self, node: NodeId) -> Option<NodeKey> {
        self.levels.get(usize::from(node.level()))?.key(node.index())
    }

    /// Says whether there is a member at `leaf`.
    pub fn contains(&self, leaf: Leaf) -> bool {
        self.is_occupied(leaf.node())
    }

    /// Goes through the leaves of all members, lowest first.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf> {
        self.levels.iter().take(1).flat_map(Level::indices).map(Leaf::new)
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members as usize
    }

    /// Says whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Returns the degree k.
    pub fn degree(&self) -> Degree {
        self.degree
    }

    /// Returns the depth d: a member holds d + 1 keys.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// Returns the length of every key.
    pub fn key_length(&self) -> KeyLength {
        self.key_length
    }

    /// Returns the most members that the tree accepts.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Returns the number of key changes so far, counted from 1 for the first root key.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns what the store keeps beside the nodes.
    pub fn header(&self) -> Header {
        Header {
            degree: self.degree,
            key_length: self.key_length,
            capacity: self.capacity,
            depth: self.depth,
            epoch: self.epoch,
            members: self.members,
        }
    }

    /// Goes through all nodes, bottom up.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, NodeKey)> {
        (0u8..)
            .zip(&self.levels)
            .flat_map(|(level, nodes)| nodes.iter().map(move |(index, key)| (NodeId::new(level, index), key)))
    }

    pub(crate) fn root_id(&self) -> NodeId {
        NodeId::new(self.depth, 0)
    }

    pub(crate) fn is_occupied(&self, node: NodeId) -> bool {
        self.levels.get(usize::from(node.level())).is_some_and(|level| level.is_occupied(node.index()))
    }

    /// Sets the key of a node, whose level exists.
    pub(crate) fn set_key(&mut self, node: NodeId, handle: u32, material: &[u8]) {
        self.levels[usize::from(node.level())].set(node.index(), handle, material);
    }
}

impl fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyTree").field(&self.header()).finish()
    }
}
