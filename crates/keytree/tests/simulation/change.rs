//! One change as the members see it, and how a faulty tree would have made it.

use claviger_keytree::{Handle, NodeId, Rekey};

use crate::engines::{Engines, Octets, Pair};

/// Names one key of a node, as a message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) node: NodeId,
    pub(crate) handle: Handle,
}

/// One key that is sent under another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) target: Name,
    pub(crate) under: Name,
    pub(crate) pair: Pair,
}

/// One change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) epoch: u32,
    pub(crate) root: NodeId,
    pub(crate) joined: Vec<u32>,
    pub(crate) departed: Vec<u32>,
    pub(crate) removed: Vec<NodeId>,
    /// The nodes with another key than before, bottom up, whether it was drawn or advanced.
    pub(crate) keys: Vec<(Name, Octets)>,
    /// What is sent, bottom up.
    pub(crate) entries: Vec<Entry>,
}

impl Change {
    pub(crate) fn new(rekey: &Rekey, departed: &[u32]) -> Self {
        let new = |node| {
            let key = rekey.key(node).unwrap();
            (Name { node, handle: key.handle }, Engines::octets(key.key))
        };
        let entry = |wrap| {
            let (node, held) = rekey.under(wrap);
            let (target, key) = new(rekey.target(wrap));
            let pair = Pair { under: Engines::octets(held.key), key };
            Entry { target, under: Name { node, handle: held.handle }, pair }
        };
        let mut keys: Vec<_> = rekey.changed.iter().chain(&rekey.advanced).map(|node| new(*node)).collect();
        keys.sort_by_key(|(name, _)| name.node);
        Self {
            epoch: rekey.epoch,
            root: rekey.root,
            joined: rekey.joined.iter().map(|leaf| leaf.index()).collect(),
            departed: departed.to_vec(),
            removed: rekey.removed.clone(),
            keys,
            entries: rekey.wraps.iter().map(entry).collect(),
        }
    }

    /// Makes of this change what a tree would have made that left a node its key.
    pub(crate) fn keep(&mut self, node: NodeId, kept: (Name, Octets)) {
        let position = self.keys.iter().position(|(name, _)| name.node == node);
        self.keys.remove(position.expect("the node was to have another key"));
        self.entries.retain(|entry| entry.target.node != node);
        for entry in self.entries.iter_mut().filter(|entry| entry.under.node == node) {
            entry.under = kept.0;
            entry.pair.under = kept.1;
        }
    }

    /// Makes of this change what a tree would have made that sends a node's new key under one key more.
    pub(crate) fn leak(&mut self, node: NodeId, under: (Name, Octets)) {
        let (target, key) = *self.keys.iter().find(|(name, _)| name.node == node).unwrap();
        self.entries.push(Entry { target, under: under.0, pair: Pair { under: under.1, key } });
    }

    /// Makes of this change what a tree would have made that gives a node another key.
    pub(crate) fn replace(&mut self, node: NodeId, key: Octets) {
        let new = self.keys.iter_mut().find(|(name, _)| name.node == node).unwrap();
        new.1 = key;
        for entry in self.entries.iter_mut().filter(|entry| entry.target.node == node) {
            entry.pair.key = key;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.under.node == node) {
            entry.pair.under = key;
        }
    }
}
