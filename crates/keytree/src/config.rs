//! What a tree is made to be.

use claviger_keypath::{Degree, KeyLength};

/// The settings of a tree. They stay as they are while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeConfig {
    /// The degree k: the most children of a node.
    pub degree: Degree,
    /// The length of every key.
    pub key_length: KeyLength,
    /// The most members, and one more than the highest leaf; above [`CAPACITY_MAX`](crate::CAPACITY_MAX) it counts as
    /// that. Memory follows the members, not the capacity.
    pub capacity: u32,
    /// What becomes of the keys above a joiner.
    pub joining: Joining,
}

/// What becomes of the keys that a joiner will hold, so that it cannot read what was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Joining {
    /// They are replaced, and members get the new ones under the previous ones: what any member of RFC 6407
    /// follows.
    Replace,
    /// They go through a one-way function, which members compute by themselves: nobody but the joiner needs a
    /// message.
    Advance,
}
