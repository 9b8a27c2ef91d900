//! The one place that knows the key tree: a group, and a batch of departures from it.

use claviger_crypto::SeededRandom;
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, TreeConfig};

/// A node of the tree: its level, counted from the leaves, and its index within that level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) level: u8,
    pub(crate) index: u32,
}

/// What a rekey asks to be sent.
pub(crate) struct Batch {
    pub(crate) degree: u32,
    pub(crate) depth: u8,
    /// For each encrypted key the node whose new key it is, bottom up.
    pub(crate) wraps: Vec<Node>,
    /// The leaves of the members that remain.
    pub(crate) members: Vec<u32>,
}

/// Fills a tree with `members`, and lets `departures` of them, spread at random, leave in one batch.
pub(crate) fn batch(degree: u8, members: u32, departures: u32) -> Batch {
    let random = &mut SeededRandom::new(1);
    let config = TreeConfig {
        degree: Degree::new(degree).expect("the degree is 2 to 8"),
        key_length: KeyLength::Octets32,
        capacity: members,
        joining: Joining::Replace,
    };
    let mut tree = KeyTree::new(config, random);
    tree.batch(members as usize, &[], random).expect("the tree has room");
    let mut draw = super::loss::Dice::new(1);
    let mut leaves = std::collections::BTreeSet::new();
    while leaves.len() < departures as usize {
        leaves.insert(draw.below(members));
    }
    let leaves: Vec<_> = leaves.into_iter().map(Leaf::new).collect();
    let rekey = tree.batch(0, &leaves, random).expect("the leaves have members");
    let node = |id: claviger_keytree::NodeId| Node { level: id.level(), index: id.index() };
    Batch {
        degree: degree.into(),
        depth: tree.depth(),
        wraps: rekey.wraps.iter().map(|wrap| node(rekey.target(wrap))).collect(),
        members: tree.leaves().map(|leaf| leaf.node().index()).collect(),
    }
}
