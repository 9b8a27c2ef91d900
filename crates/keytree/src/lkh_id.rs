//! The 16-bit node identifiers of RFC 6407.
//!
//! An LKH ID has two octets (RFC 6407 section 5.6.3.1), and the key server is free to choose it. Each level of the tree
//! gets a fixed range, laid out for the largest group that 65,536 identifiers can number, so that an identifier
//! never changes while the tree grows.

use claviger_keypath::{Degree, NodeId};

/// The identifiers that 16 bits can tell apart.
const IDS: u64 = 1 << 16;

/// The layout of 16-bit identifiers for trees of one degree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LkhIds {
    /// The first identifier of each level, and the one after the last level's range.
    offsets: Vec<u32>,
}

impl LkhIds {
    /// Lays out the identifiers for trees of `degree`.
    pub fn new(degree: Degree) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        for width in widths(degree, capacity_16_bit(degree)) {
            end += width;
            offsets.push(end);
        }
        Self { offsets }
    }

    /// Returns the identifier of a node; none beyond the group size that [`capacity_16_bit`] states.
    pub fn id(&self, node: NodeId) -> Option<u16> {
        let level = usize::from(node.level());
        let (start, end) = (*self.offsets.get(level)?, *self.offsets.get(level + 1)?);
        let id = start.checked_add(node.index())?;
        if id >= end {
            return None;
        }
        u16::try_from(id).ok()
    }

    /// Returns the node that an identifier names; none for the few identifiers that are left over.
    pub fn node(&self, id: u16) -> Option<NodeId> {
        let id = u32::from(id);
        let level = self.offsets.partition_point(|start| *start <= id).checked_sub(1)?;
        if level + 1 == self.offsets.len() {
            return None;
        }
        NodeId::new(u8::try_from(level).ok()?, id - self.offsets[level])
    }
}

/// Returns the most members that a tree of `degree` may have so that all of its nodes have 16-bit identifiers.
pub fn capacity_16_bit(degree: Degree) -> u32 {
    let (mut fits, mut exceeds) = (1, IDS as u32);
    while exceeds - fits > 1 {
        let leaves = fits + (exceeds - fits) / 2;
        let nodes: u64 = widths(degree, leaves).map(u64::from).sum();
        if nodes <= IDS {
            fits = leaves;
        } else {
            exceeds = leaves;
        }
    }
    fits
}

/// Goes through the number of nodes of each level of a tree with `leaves` leaves, from the leaves to the root.
fn widths(degree: Degree, leaves: u32) -> impl Iterator<Item = u32> {
    let depth = usize::from(degree.depth_for(leaves));
    std::iter::successors(Some(leaves), move |width| Some(width.div_ceil(u32::from(degree.k()))))
        .take(depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::node_at;

    fn degrees() -> impl Iterator<Item = Degree> {
        (2..=8).map(|k| Degree::new(k).unwrap())
    }

    #[test]
    fn capacities_are_the_largest_that_fit() {
        for degree in degrees() {
            let capacity = capacity_16_bit(degree);
            let nodes = |leaves| widths(degree, leaves).map(u64::from).sum::<u64>();
            assert!(nodes(capacity) <= IDS && nodes(capacity + 1) > IDS, "{degree:?} {capacity}");
        }
        assert_eq!(capacity_16_bit(Degree::new(2).unwrap()), 32_768);
    }

    #[test]
    fn every_node_has_an_identifier_of_its_own() {
        for degree in degrees() {
            let ids = LkhIds::new(degree);
            let mut expected = 0;
            for (level, width) in widths(degree, capacity_16_bit(degree)).enumerate() {
                for index in 0..width {
                    let node = node_at(level as u8, index);
                    let id = ids.id(node).unwrap();
                    assert_eq!(u32::from(id), expected);
                    assert_eq!(ids.node(id), Some(node));
                    expected += 1;
                }
                assert_eq!(ids.id(node_at(level as u8, width)), None);
            }
            for id in expected..IDS as u32 {
                assert_eq!(ids.node(id as u16), None);
            }
            assert_eq!(ids.id(node_at(NodeId::LEVEL_MAX, 0)), None);
            assert_eq!(ids.id(node_at(1, NodeId::INDEX_MAX)), None);
        }
    }
}
