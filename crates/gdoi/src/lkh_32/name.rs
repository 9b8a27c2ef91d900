//! What nodes and their keys are called.

use std::fmt;

use claviger_wire::DecodeError;

/// The bits of a node's index.
const INDEX_BITS: u32 = 27;

/// The bits of a handle that count advances.
const ADVANCE_BITS: u32 = 4;

/// The most advances that a handle can count.
pub const ADVANCES_MAX: u8 = (1 << ADVANCE_BITS) - 1;

/// The last epoch that a handle can name.
pub const EPOCH_MAX: u32 = u32::MAX >> ADVANCE_BITS;

/// A node of the tree: its level, counted from the leaves, in the upper 5 bits, and its index there in the lower 27.
///
/// The children of the node at `index` are those at `k * index` to `k * index + k - 1` one level lower, in a tree of
/// degree `k`: who knows a leaf knows its path. The root is at index 0 of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The highest level.
    pub const LEVEL_MAX: u8 = 31;

    /// Names a node; none beyond level 31 or index 2^27 - 1.
    pub const fn new(level: u8, index: u32) -> Option<Self> {
        if level > Self::LEVEL_MAX || index >> INDEX_BITS != 0 {
            return None;
        }
        Some(Self((level as u32) << INDEX_BITS | index))
    }

    /// Says at which level it is; leaves are at 0.
    pub const fn level(self) -> u8 {
        (self.0 >> INDEX_BITS) as u8
    }

    /// Says which node of its level it is.
    pub const fn index(self) -> u32 {
        self.0 & ((1 << INDEX_BITS) - 1)
    }

    /// Names the node above; none above the highest level.
    pub const fn parent(self, degree: Degree) -> Option<Self> {
        Self::new(self.level() + 1, self.index() / degree.0 as u32)
    }

    /// Says which child of its parent it is, from 0.
    pub const fn place(self, degree: Degree) -> u8 {
        (self.index() % degree.0 as u32) as u8
    }

    /// Names the child in a place; none below a leaf or beyond the last index.
    pub const fn child(self, degree: Degree, place: u8) -> Option<Self> {
        if self.level() == 0 || place >= degree.0 {
            return None;
        }
        Self::new(self.level() - 1, self.index() * degree.0 as u32 + place as u32)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.level(), self.index())
    }
}

/// How many children a node has at most: 2 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degree(u8);

impl Degree {
    /// The largest.
    pub const MAX: u8 = 8;

    /// Takes a number from 2 to 8.
    pub const fn new(k: u8) -> Option<Self> {
        if k < 2 || k > Self::MAX { None } else { Some(Self(k)) }
    }

    /// Shows the number.
    pub const fn k(self) -> u8 {
        self.0
    }
}

/// Which of a node's successive keys: the epoch in which it was drawn, in the upper 28 bits, and how many one-way
/// advances were made since, in the lower 4. Handles of a node only grow. Zero is no handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

impl Handle {
    /// Names the key that was drawn in an epoch, from 1 to 2^28 - 1, and advanced 0 to 15 times.
    pub const fn new(epoch: u32, advances: u8) -> Option<Self> {
        if epoch == 0 || epoch > EPOCH_MAX || advances > ADVANCES_MAX {
            return None;
        }
        Some(Self(epoch << ADVANCE_BITS | advances as u32))
    }

    /// Says in which epoch the key was drawn.
    pub const fn epoch(self) -> u32 {
        self.0 >> ADVANCE_BITS
    }

    /// Says how many times it was advanced since.
    pub const fn advances(self) -> u8 {
        (self.0 & ADVANCES_MAX as u32) as u8
    }

    /// Says how many advances lead from this key to another of the same epoch; none to an earlier one or to that of
    /// another epoch.
    pub const fn advances_to(self, other: Self) -> Option<u8> {
        if self.epoch() != other.epoch() {
            return None;
        }
        other.advances().checked_sub(self.advances())
    }

    /// Takes a number that came from a peer.
    pub(crate) fn received(number: u32, field: &'static str) -> Result<Self, DecodeError> {
        match Self(number) {
            handle if handle.epoch() > 0 => Ok(handle),
            _ => Err(DecodeError::Value { field, value: number.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_children_agree() {
        for k in 2..=Degree::MAX {
            let degree = Degree::new(k).unwrap();
            let node = NodeId::new(3, 17).unwrap();
            for place in 0..k {
                let child = node.child(degree, place).unwrap();
                assert_eq!((child.parent(degree), child.place(degree)), (Some(node), place));
            }
            assert_eq!(node.child(degree, k), None);
        }
        let degree = Degree::new(8).unwrap();
        assert_eq!(NodeId::new(1, (1 << 27) - 1).unwrap().child(degree, 0), None);
        assert_eq!(NodeId::new(31, 0).unwrap().parent(degree), None);
        assert_eq!(NodeId::new(0, 9).unwrap().child(degree, 0), None);
    }

    #[test]
    fn names_have_their_bits() {
        let node = NodeId::new(10, 5).unwrap();
        assert_eq!((node.0, node.level(), node.index()), (0x5000_0005, 10, 5));
        assert_eq!((NodeId::new(32, 0), NodeId::new(0, 1 << 27)), (None, None));
        let handle = Handle::new(3, 2).unwrap();
        assert_eq!((handle.0, handle.epoch(), handle.advances()), (0x32, 3, 2));
        assert_eq!((Handle::new(0, 1), Handle::new(1, 16), Handle::new(1 << 28, 0)), (None, None, None));
        assert!(Degree::new(1).is_none() && Degree::new(9).is_none());
        assert_eq!(Handle::received(15, "handle").ok(), None);
    }

    #[test]
    fn advances_lead_forward_within_an_epoch() {
        let handle = |epoch, advances| Handle::new(epoch, advances).unwrap();
        assert_eq!(handle(3, 2).advances_to(handle(3, 7)), Some(5));
        assert_eq!(handle(3, 2).advances_to(handle(3, 2)), Some(0));
        assert_eq!(handle(3, 2).advances_to(handle(3, 1)), None);
        assert_eq!(handle(3, 2).advances_to(handle(4, 7)), None);
    }
}
