//! Why places refuse.

use std::{error, fmt};

use claviger_keypath::NodeId;

use super::Place;
use crate::{Leaf, TreeError};

/// A change of places or members that is refused. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceError {
    /// The place is bound already.
    Bound(Place),
    /// No aligned subtree is free for the place to grow into.
    Full(Place),
    /// A stored binding cannot be read.
    Malformed,
    /// The place still has members.
    Occupied(Place),
    /// A stored subtree lies outside the tree's capacity or overlaps another.
    Overlap(NodeId),
    /// The subtrees of the place would be larger than the tree's capacity.
    TooLarge(Place),
    /// The tree refuses.
    Tree(TreeError),
    /// A member's leaf lies in no place's subtree.
    Unbound(Leaf),
    /// The place is not bound.
    Unknown(Place),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound(place) => write!(f, "place {place} is bound already"),
            Self::Full(place) => write!(f, "no subtree is free for place {place}"),
            Self::Malformed => f.write_str("stored binding is malformed"),
            Self::Occupied(place) => write!(f, "place {place} has members"),
            Self::Overlap(subtree) => {
                write!(f, "subtree {subtree} overlaps another or lies outside the tree")
            }
            Self::TooLarge(place) => write!(f, "subtrees of place {place} are larger than the tree"),
            Self::Tree(error) => error.fmt(f),
            Self::Unbound(leaf) => write!(f, "leaf {leaf} is in no place"),
            Self::Unknown(place) => write!(f, "place {place} is not bound"),
        }
    }
}

impl error::Error for PlaceError {}

impl From<TreeError> for PlaceError {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}
