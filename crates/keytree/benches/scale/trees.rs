//! Trees of a given size.

use claviger_crypto::{Random, SeededRandom, random};
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, TreeConfig};

/// Builds a tree with members at the first leaves, who join so many at once.
pub(crate) fn grown(
    members: u32,
    at_once: u32,
    degree: Degree,
    key_length: KeyLength,
    joining: Joining,
    random: &mut dyn Random,
) -> KeyTree {
    let config = TreeConfig { degree, key_length, capacity: members, joining };
    let mut tree = KeyTree::new(config, random);
    let mut left = members;
    while left > 0 {
        let joins = left.min(at_once);
        tree.batch(joins as usize, &[], random).expect("the tree has room");
        left -= joins;
    }
    tree
}

/// Picks members at random, each once.
pub(crate) struct Dice(SeededRandom);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(u32::from_be_bytes(random::array(&mut self.0)));
        ((wide * u64::from(bound)) >> 32) as u32
    }

    /// Picks `count` of the first `members` leaves, in no order.
    pub(crate) fn leaves(&mut self, count: u32, members: u32) -> Vec<Leaf> {
        let mut taken = vec![false; members as usize];
        let mut picked = Vec::with_capacity(count as usize);
        while picked.len() < count as usize {
            let leaf = self.below(members);
            if !std::mem::replace(&mut taken[leaf as usize], true) {
                picked.push(Leaf::new(leaf));
            }
        }
        picked
    }
}
