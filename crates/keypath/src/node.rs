//! The names of nodes.

use std::fmt;

use crate::Degree;

/// The bits of a node's number that hold its index. The five above them hold the level.
const INDEX_BITS: u32 = 27;

/// A node of the tree: its level, counted from the leaves upward, and its index within that level.
///
/// The children of the node at `index` are those at `k * index` to `k * index + k - 1` one level lower, in a tree of
/// degree `k`, so that whoever knows a leaf knows its path. The root is at index 0 of its level. A node keeps its name
/// while the tree grows and shrinks at the top. The order is bottom up: leaves before their parents.
///
/// Protocols carry it as one number: the level in the upper 5 bits, the index in the lower 27.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The highest level.
    pub const LEVEL_MAX: u8 = 31;
    /// The last index of a level.
    pub const INDEX_MAX: u32 = (1 << INDEX_BITS) - 1;

    /// Names the node at `index` of `level`; none beyond [`NodeId::LEVEL_MAX`] or [`NodeId::INDEX_MAX`].
    #[inline]
    pub const fn new(level: u8, index: u32) -> Option<Self> {
        if level > Self::LEVEL_MAX || index > Self::INDEX_MAX {
            return None;
        }
        Some(Self((level as u32) << INDEX_BITS | index))
    }

    /// Takes a node from its number. Every number names one, though perhaps none that a tree has.
    pub const fn from_u32(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Returns the level, 0 for leaves.
    pub const fn level(self) -> u8 {
        (self.0 >> INDEX_BITS) as u8
    }

    /// Returns the index within the level.
    pub const fn index(self) -> u32 {
        self.0 & Self::INDEX_MAX
    }

    /// Says whether this is a leaf.
    pub const fn is_leaf(self) -> bool {
        self.level() == 0
    }

    /// Names the node above; none above the highest level. Above a root this names a node that its tree does not have.
    pub const fn parent(self, degree: Degree) -> Option<Self> {
        Self::new(self.level() + 1, self.index() / degree.k() as u32)
    }

    /// Returns which child of its parent it is, from 0.
    pub const fn place(self, degree: Degree) -> u8 {
        (self.index() % degree.k() as u32) as u8
    }

    /// Names the child in `place`, counted from 0; none below a leaf, beyond the degree, or beyond the last index.
    pub const fn child(self, degree: Degree, place: u8) -> Option<Self> {
        if self.level() == 0 || place >= degree.k() {
            return None;
        }
        // An index of 27 bits times 8 stays within 32.
        Self::new(self.level() - 1, self.index() * degree.k() as u32 + place as u32)
    }

    /// Goes from the node itself upward through all that may be above it, however high the tree is or grows.
    pub fn upward(self, degree: Degree) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), move |node| node.parent(degree))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.level(), self.index())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_children_agree() {
        for k in Degree::MIN.k()..=Degree::MAX.k() {
            let degree = Degree::new(k).unwrap();
            let node = NodeId::new(3, 17).unwrap();
            for place in 0..k {
                let child = node.child(degree, place).unwrap();
                assert_eq!((child.parent(degree), child.place(degree)), (Some(node), place));
            }
            assert_eq!(node.child(degree, k), None);
        }
    }

    #[test]
    fn nodes_beyond_the_last_index_or_level_do_not_exist() {
        let degree = Degree::MAX;
        let last = NodeId::new(0, NodeId::INDEX_MAX).unwrap();
        assert_eq!(NodeId::new(1, NodeId::INDEX_MAX / 8).unwrap().child(degree, 7), Some(last));
        assert_eq!(NodeId::new(1, NodeId::INDEX_MAX / 8 + 1).unwrap().child(degree, 0), None);
        assert_eq!(NodeId::new(1, NodeId::INDEX_MAX).unwrap().child(degree, 0), None);
        assert_eq!(NodeId::new(31, 0).unwrap().parent(degree), None);
        assert_eq!(NodeId::new(0, 0).unwrap().child(degree, 0), None);
        assert_eq!(NodeId::new(0, 9).unwrap().child(degree, 0), None);
    }

    #[test]
    fn numbers_hold_level_and_index() {
        let node = NodeId::new(10, 5).unwrap();
        assert_eq!((node.as_u32(), node.level(), node.index()), (0x5000_0005, 10, 5));
        assert_eq!(NodeId::new(0, 0).unwrap().as_u32(), 0);
        assert_eq!(NodeId::new(3, 5).unwrap().as_u32(), 0x1800_0005);
        for (level, index) in [(0, 0x07ff_ffff), (31, 0), (31, 0x07ff_ffff), (10, 12_345)] {
            let node = NodeId::new(level, index).unwrap();
            assert_eq!(NodeId::from_u32(node.as_u32()), node);
            assert_eq!((node.level(), node.index()), (level, index));
        }
        for (level, index) in [(32, 0), (0, 0x0800_0000), (5, u32::MAX)] {
            assert_eq!(NodeId::new(level, index), None);
        }
        assert_eq!((node.to_string(), format!("{node:?}")), ("(10,5)".into(), "NodeId(10,5)".into()));
    }

    #[test]
    fn a_path_leads_from_a_leaf_to_the_highest_level() {
        let path: Vec<_> = NodeId::new(0, 5).unwrap().upward(Degree::new(2).unwrap()).collect();
        assert_eq!(path.len(), usize::from(NodeId::LEVEL_MAX) + 1);
        assert_eq!(path[..4].iter().map(|node| node.index()).collect::<Vec<_>>(), [5, 2, 1, 0]);
    }
}
