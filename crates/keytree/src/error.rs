//! Why the tree refuses.

use std::{error, fmt};

use claviger_keypath::NodeId;

use crate::Leaf;

/// A change that the tree refuses. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeError {
    /// A batch names a leaf twice.
    DuplicateLeaf(Leaf),
    /// Every epoch has been used, so that a handle would be used twice: the group must be made anew.
    EpochsExhausted,
    /// The batch needs more leaves than the tree's capacity.
    Full {
        /// The most members that the tree may have.
        capacity: u32,
    },
    /// What was stored does not make a tree.
    Inconsistent(Inconsistency),
    /// A batch wants to seat a joiner at a leaf that has a member who stays.
    Occupied(Leaf),
    /// A batch names a leaf beyond the tree's capacity.
    Outside(Leaf),
    /// A batch names a leaf without a member.
    UnknownLeaf(Leaf),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateLeaf(leaf) => write!(f, "leaf {leaf} is named twice"),
            Self::EpochsExhausted => f.write_str("all epochs of the key tree are used"),
            Self::Full { capacity } => write!(f, "key tree is full at {capacity} members"),
            Self::Inconsistent(inconsistency) => {
                write!(f, "stored key tree is inconsistent: {inconsistency}")
            }
            Self::Occupied(leaf) => write!(f, "leaf {leaf} has a member already"),
            Self::Outside(leaf) => write!(f, "leaf {leaf} is beyond the capacity of the key tree"),
            Self::UnknownLeaf(leaf) => write!(f, "leaf {leaf} has no member"),
        }
    }
}

impl error::Error for TreeError {}

impl From<Inconsistency> for TreeError {
    fn from(inconsistency: Inconsistency) -> Self {
        Self::Inconsistent(inconsistency)
    }
}

/// How stored nodes fail to make a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inconsistency {
    /// The depth is not the least that holds the highest leaf.
    Depth {
        /// The depth that the header states.
        stated: u8,
        /// The depth that the leaves need.
        needed: u8,
    },
    /// A node is there twice.
    Duplicate(NodeId),
    /// A node above the leaves has no child.
    Empty(NodeId),
    /// A node's key handle is of no past epoch, or counts more advances than there can have been.
    Handle(NodeId),
    /// The stored header cannot be read, or states a depth that its capacity never needs.
    Header,
    /// A node's key does not have the tree's key length.
    KeyLength(NodeId),
    /// There are more or fewer leaves than the header states.
    Members {
        /// The number that the header states.
        stated: u32,
        /// The number of leaves that came.
        found: u32,
    },
    /// A node's parent is missing, or the root is.
    Orphan(NodeId),
    /// A node lies outside the tree that the header states.
    Outside(NodeId),
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth { stated, needed } => write!(f, "depth is {stated}, its leaves need {needed}"),
            Self::Duplicate(node) => write!(f, "node {node} is there twice"),
            Self::Empty(node) => write!(f, "node {node} has no child"),
            Self::Handle(node) => write!(f, "node {node} has a key handle that no past epoch gave"),
            Self::Header => f.write_str("header is malformed"),
            Self::KeyLength(node) => write!(f, "node {node} has a key of another length"),
            Self::Members { stated, found } => write!(f, "{found} leaves where there should be {stated}"),
            Self::Orphan(node) => write!(f, "node {node} hangs in the air"),
            Self::Outside(node) => write!(f, "node {node} lies outside the tree"),
        }
    }
}
