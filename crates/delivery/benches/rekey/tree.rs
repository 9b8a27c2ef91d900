//! A group, a batch of departures from it, and what that asks to be sent.

use claviger_crypto::SeededRandom;
use claviger_gdoi::lkh_32::Wrap;
use claviger_keypath::{NodeId, UpdateHead};
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, TreeConfig};

/// The octets of a key as AES key wrap leaves it. What is in them matters to nobody here.
const WRAPPED: [u8; 40] = [0x5a; 40];

/// What a rekey asks to be sent.
pub(crate) struct Batch {
    pub(crate) head: UpdateHead,
    pub(crate) wraps: Vec<Wrap<'static>>,
    /// The leaves of the members that remain.
    pub(crate) members: Vec<NodeId>,
}

/// Fills a tree with `members`, and lets `departures` of them, spread at random, leave in one batch.
pub(crate) fn batch(degree: u8, members: u32, departures: u32) -> Batch {
    let random = &mut SeededRandom::new(1);
    let config = TreeConfig {
        degree: Degree::new(degree).expect("the degree is 2 to 8"),
        key_length: KeyLength::Octets32,
        capacity: members,
        joining: Joining::Advance,
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
    let (root, root_key) = tree.root();
    let wraps = rekey.wraps.iter().map(|wrap| {
        let (under, key) = rekey.under(wrap);
        Wrap { target: rekey.target(wrap), under, handle: key.handle, wrapped: &WRAPPED }
    });
    let head = UpdateHead {
        degree: tree.degree(),
        key_len: 32,
        epoch: rekey.epoch,
        root,
        root_handle: root_key.handle,
    };
    Batch { head, wraps: wraps.collect(), members: tree.leaves().filter_map(Leaf::node).collect() }
}
