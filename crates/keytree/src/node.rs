//! The names of nodes and leaves.

use std::fmt;

use crate::Degree;

/// The place of a node: its level, counted from the leaves upward, and its index within that level.
///
/// It stays the same while the tree grows and shrinks at the top. Its order is bottom up: leaves before their
/// parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    level: u8,
    index: u32,
}

impl NodeId {
    /// Names the node at `index` of `level`.
    pub const fn new(level: u8, index: u32) -> Self {
        Self { level, index }
    }

    /// Returns the level, 0 for leaves.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Returns the index within the level.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Says whether this is a leaf.
    pub const fn is_leaf(self) -> bool {
        self.level == 0
    }

    /// Returns the node above. Above a root this names a node that its tree does not have.
    pub const fn parent(self, degree: Degree) -> Self {
        Self { level: self.level.saturating_add(1), index: self.index / degree.k() as u32 }
    }

    /// Returns the child in `place`, counted from 0; none below a leaf, beyond the degree, or beyond the last index.
    pub fn child(self, degree: Degree, place: u8) -> Option<Self> {
        if place >= degree.k() {
            return None;
        }
        let level = self.level.checked_sub(1)?;
        let index = self.index.checked_mul(u32::from(degree.k()))?.checked_add(u32::from(place))?;
        Some(Self { level, index })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.level, self.index)
    }
}

/// The index of a member's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf(u32);

impl Leaf {
    /// Names the leaf at `index`.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Returns the index.
    pub const fn index(self) -> u32 {
        self.0
    }

    /// Returns the leaf as a node.
    pub const fn node(self) -> NodeId {
        NodeId::new(0, self.0)
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_children_agree() {
        for k in 2..=8 {
            let degree = Degree::new(k).unwrap();
            let node = NodeId::new(3, 17);
            for place in 0..k {
                assert_eq!(node.child(degree, place).unwrap().parent(degree), node);
            }
            assert_eq!(node.child(degree, k), None);
        }
    }

    #[test]
    fn children_beyond_the_last_index_do_not_exist() {
        let degree = Degree::new(8).unwrap();
        assert_eq!(NodeId::new(1, u32::MAX / 8).child(degree, 7), Some(NodeId::new(0, u32::MAX)));
        assert_eq!(NodeId::new(1, u32::MAX / 8 + 1).child(degree, 0), None);
        assert_eq!(NodeId::new(0, 0).child(degree, 0), None);
    }
}
