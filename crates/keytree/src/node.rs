//! The names of leaves, and of the nodes that a tree has.

use std::fmt;

use claviger_keypath::NodeId;

/// The most members of a tree: the leaves that have names. At any degree, all nodes above them have names too.
pub const CAPACITY_MAX: u32 = NodeId::INDEX_MAX + 1;

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

    /// Returns the leaf as a node; none beyond [`CAPACITY_MAX`].
    pub const fn node(self) -> Option<NodeId> {
        NodeId::new(0, self.0)
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names a node at or above a leaf of a tree.
#[inline]
pub(crate) const fn node_at(level: u8, index: u32) -> NodeId {
    NodeId::new(level, index).expect("a tree has no more than CAPACITY_MAX leaves")
}

#[cfg(test)]
mod tests {
    use claviger_keypath::Degree;

    use super::*;

    #[test]
    fn the_largest_tree_of_every_degree_has_names_for_its_nodes() {
        for k in Degree::MIN.k()..=Degree::MAX.k() {
            let degree = Degree::new(k).unwrap();
            let last = Leaf::new(CAPACITY_MAX - 1).node().unwrap();
            let root = last.upward(degree).nth(degree.depth_for(CAPACITY_MAX).into()).unwrap();
            assert_eq!(root.index(), 0, "{k}");
        }
        assert_eq!(Leaf::new(CAPACITY_MAX).node(), None);
    }
}
