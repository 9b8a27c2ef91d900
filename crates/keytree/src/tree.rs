//! The tree, and what can be asked of it.

use std::fmt;

use claviger_crypto::{Random, SecretBytes};
use claviger_keypath::{Degree, Handle, KeyLength, KeyRef, NodeId};

use crate::{CAPACITY_MAX, Header, Leaf, Rekey, TreeConfig, node::node_at, nodes::Nodes};

/// A group's key tree, as its key server keeps it.
///
/// It changes by [`KeyTree::batch`], [`KeyTree::batch_at`] and [`KeyTree::refresh`] only, each of which returns a
/// [`Rekey`]. The depth is the least that the highest leaf allows; a node exists while there is a
/// member below it, and the root always.
pub struct KeyTree {
    pub(crate) config: TreeConfig,
    pub(crate) epoch: u32,
    pub(crate) depth: u8,
    pub(crate) members: u32,
    /// One more than the highest occupied leaf.
    pub(crate) extent: u32,
    pub(crate) nodes: Nodes,
    /// The memory of a rekey that is done with.
    pub(crate) spare: Option<Rekey>,
}

impl KeyTree {
    /// Makes a tree without members, whose only node is the root: the group's first key.
    pub fn new(config: TreeConfig, random: &mut dyn Random) -> Self {
        let mut tree = Self::vacant(Header { config, depth: 1, epoch: 1, members: 0 });
        let key = SecretBytes::with(config.key_length.octets(), |octets| random.fill(octets));
        let handle = Handle::drawn(tree.epoch).expect("the first epoch has handles");
        tree.nodes.set(tree.root_id(), handle, key.expose());
        tree
    }

    /// Makes a tree without any node, not even the root.
    pub(crate) fn vacant(header: Header) -> Self {
        let Header { mut config, depth, epoch, .. } = header;
        config.capacity = config.capacity.min(CAPACITY_MAX);
        let nodes = Nodes::new(config.degree, config.key_length, usize::from(depth) + 1);
        Self { config, epoch, depth, members: 0, extent: 0, nodes, spare: None }
    }

    /// Returns the keys that the member at `leaf` holds, from its leaf to the root; none without a member there.
    pub fn path(&self, leaf: Leaf) -> Option<Vec<(NodeId, KeyRef<'_>)>> {
        if !self.contains(leaf) {
            return None;
        }
        leaf.node()?
            .upward(self.config.degree)
            .take(usize::from(self.depth) + 1)
            .map(|node| Some((node, self.key(node)?)))
            .collect()
    }

    /// Returns the root and its key, which is the group's.
    pub fn root(&self) -> (NodeId, KeyRef<'_>) {
        let root = self.root_id();
        (root, self.key(root).expect("a tree always has its root"))
    }

    /// Returns the current key of a node.
    pub fn key(&self, node: NodeId) -> Option<KeyRef<'_>> {
        self.nodes.key(node)
    }

    /// Says whether there is a member at `leaf`.
    pub fn contains(&self, leaf: Leaf) -> bool {
        leaf.node().is_some_and(|leaf| self.nodes.is_occupied(leaf))
    }

    /// Goes through the leaves of all members, lowest first.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf> {
        self.leaves_from(Leaf::new(0))
    }

    /// Goes through the leaves of the members at `first` and above, lowest first.
    pub fn leaves_from(&self, first: Leaf) -> impl Iterator<Item = Leaf> {
        self.nodes.indices_from(0, first.index()).map(Leaf::new)
    }

    /// Goes through the leaves without member at `first` and above, lowest first, up to the capacity.
    pub fn vacancies_from(&self, first: Leaf) -> impl Iterator<Item = Leaf> {
        let capacity = self.config.capacity;
        let mut from = first.index();
        std::iter::from_fn(move || {
            if from >= capacity {
                return None;
            }
            let vacant = u32::try_from(self.nodes.next_vacant_leaf(from)).ok();
            let vacant = vacant.filter(|vacant| *vacant < capacity)?;
            from = vacant + 1;
            Some(Leaf::new(vacant))
        })
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members as usize
    }

    /// Says whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Returns the settings.
    pub fn config(&self) -> TreeConfig {
        self.config
    }

    /// Returns the degree k.
    pub fn degree(&self) -> Degree {
        self.config.degree
    }

    /// Returns the depth d: a member holds d + 1 keys.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// Returns the length of every key.
    pub fn key_length(&self) -> KeyLength {
        self.config.key_length
    }

    /// Returns the most members that the tree accepts.
    pub fn capacity(&self) -> u32 {
        self.config.capacity
    }

    /// Returns the number of key changes so far, counted from 1 for the first root key.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns what the store keeps beside the nodes.
    pub fn header(&self) -> Header {
        Header { config: self.config, depth: self.depth, epoch: self.epoch, members: self.members }
    }

    /// Goes through all nodes, bottom up.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, KeyRef<'_>)> {
        (0..=self.depth)
            .flat_map(|level| self.nodes.iter(level).map(move |(index, key)| (node_at(level, index), key)))
    }

    pub(crate) fn root_id(&self) -> NodeId {
        node_at(self.depth, 0)
    }
}

impl fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyTree").field(&self.header()).finish()
    }
}
