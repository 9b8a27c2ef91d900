//! What a change of the tree means for the members.
//!
//! One change is described twice. [`Rekey::wraps`] is the tree's own minimum: each new key once under each key
//! that has to open it, so that a departure from a full tree costs kd - 1 encryptions (RFC 2627 §5.4.1).
//! [`Rekey::starts`] serves encodings that send whole paths, such as RFC 6407's LKH_UPDATE_ARRAY, which
//! culminates in the group's key: (k - 1)d messages of several keys each.

use crate::{Degree, Leaf, NodeId, NodeKey};

/// One change of the tree: what to store, and what to send. It holds all keys that sending needs, and so does not
/// depend on the tree's later changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekey {
    /// The epoch that this change began; the handle of each new key.
    pub epoch: u32,
    /// The root after the change.
    pub root: NodeId,
    /// The leaves of the members that joined, in the order of the joins asked for.
    pub joined: Vec<Leaf>,
    /// The nodes whose key is new, bottom up: to be stored.
    pub changed: Vec<NodeId>,
    /// The nodes that exist no more, bottom up: to be erased from the store.
    pub removed: Vec<NodeId>,
    /// The encryptions that bring the new keys to the remaining members, bottom up: a member that goes through
    /// them in this order has each key that it needs before it needs it.
    pub wraps: Vec<Wrap>,
    /// The keys that remaining members hold already, from which the new keys up to the root can be reached.
    pub starts: Vec<Start>,
    keys: Vec<(NodeId, NodeKey)>,
}

impl Rekey {
    pub(crate) fn new(epoch: u32, root: NodeId) -> Self {
        Self {
            epoch,
            root,
            joined: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            wraps: Vec::new(),
            starts: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Adds a new key. Nodes come bottom up.
    pub(crate) fn push_key(&mut self, node: NodeId, key: NodeKey) {
        self.changed.push(node);
        self.keys.push((node, key));
    }

    /// Adds a key that remaining members hold, and the encryption of `first` under it.
    pub(crate) fn push_start(&mut self, node: NodeId, key: NodeKey, chain: Chain) {
        self.wraps.push(Wrap { target: chain.first, under: UnderKey::Held(self.starts.len()) });
        self.starts.push(Start { node, key, chain });
    }

    /// Shows the new key of a node of [`Rekey::changed`].
    pub fn key(&self, node: NodeId) -> Option<&NodeKey> {
        let place = self.keys.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        Some(&self.keys[place].1)
    }

    /// Shows the key under which `wrap` encrypts, and the node that it belongs to. Returns nothing for a wrap of
    /// another rekey.
    pub fn under(&self, wrap: &Wrap) -> Option<(NodeId, &NodeKey)> {
        match wrap.under {
            UnderKey::New(node) => Some((node, self.key(node)?)),
            UnderKey::Held(place) => self.starts.get(place).map(|start| (start.node, &start.key)),
        }
    }

    /// Says whether no key changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }
}

/// One encryption: a new key under a key that its receivers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap {
    /// The node whose new key is encrypted; [`Rekey::key`] shows it.
    pub target: NodeId,
    /// The key under which it is encrypted; [`Rekey::under`] shows it.
    pub under: UnderKey,
}

/// The key under which a new one is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderKey {
    /// The new key of a child.
    New(NodeId),
    /// A key that remaining members hold already: that of the [`Start`] at this place in [`Rekey::starts`].
    Held(usize),
}

/// A key that remaining members hold already, and the new keys that they reach from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The node that the key belongs to: an unreplaced child of a replaced node, or a replaced node itself.
    pub node: NodeId,
    /// The key that the members hold: the child's own, or the node's previous one.
    pub key: NodeKey,
    /// The replaced nodes whose new keys follow, each encrypted under the one before it, the first under
    /// [`Start::key`].
    pub chain: Chain,
}

/// The replaced nodes from a first one up to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    first: NodeId,
    root: NodeId,
    degree: Degree,
}

impl Chain {
    pub(crate) const fn new(first: NodeId, root: NodeId, degree: Degree) -> Self {
        Self { first, root, degree }
    }

    /// Goes through the nodes in order; the last is the root.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let levels = usize::from(self.root.level() - self.first.level()) + 1;
        std::iter::successors(Some(self.first), move |node| Some(node.parent(self.degree))).take(levels)
    }

    /// Returns the number of nodes, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a chain always has its first node")]
    pub fn len(self) -> usize {
        usize::from(self.root.level() - self.first.level()) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_climbs_to_the_root() {
        let chain = Chain::new(NodeId::new(1, 7), NodeId::new(4, 0), Degree::new(2).unwrap());
        let nodes = [(1, 7), (2, 3), (3, 1), (4, 0)].map(|(level, index)| NodeId::new(level, index));
        assert_eq!(chain.iter().collect::<Vec<_>>(), nodes);
        assert_eq!(chain.len(), 4);
    }
}
