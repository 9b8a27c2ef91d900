//! The node identifiers of protocols: the 16-bit ones of RFC 6407, and 32-bit ones.
//!
//! An LKH ID has two octets (RFC 6407 section 5.6.3.1), and the key server is free to choose it. Each level of the tree
//! gets a fixed range, laid out for the largest group that 65,536 identifiers can number, so that an identifier
//! never changes while the tree grows.
//!
//! An identifier of 32 bits holds the level and the index as they are, so that a member knows every parent.

use crate::{Degree, NodeId};

/// The identifiers that 16 bits can tell apart.
const IDS: u64 = 1 << 16;

/// The bits of a 32-bit identifier that hold the index. The five above them hold the level.
const INDEX_BITS: u32 = 27;

/// Returns the 32-bit identifier of a node, `level << 27 | index`; none for a level above 31 or an index of 2^27 or
/// more.
pub const fn id_32(node: NodeId) -> Option<u32> {
    if node.level() as u32 >= 1 << (u32::BITS - INDEX_BITS) || node.index() >= 1 << INDEX_BITS {
        return None;
    }
    Some((node.level() as u32) << INDEX_BITS | node.index())
}

/// Returns the node that a 32-bit identifier names.
pub const fn node_32(id: u32) -> NodeId {
    NodeId::new((id >> INDEX_BITS) as u8, id & ((1 << INDEX_BITS) - 1))
}

/// The most members of a tree so that all of its nodes have 32-bit identifiers, at any degree.
pub const CAPACITY_32_BIT: u32 = 1 << INDEX_BITS;

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
        Some(NodeId::new(u8::try_from(level).ok()?, id - self.offsets[level]))
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
    fn identifiers_of_32_bits_hold_level_and_index() {
        assert_eq!(id_32(NodeId::new(0, 0)), Some(0));
        assert_eq!(id_32(NodeId::new(3, 5)), Some(0x1800_0005));
        for (level, index) in [(0, 0x07ff_ffff), (31, 0), (31, 0x07ff_ffff), (10, 12_345)] {
            let node = NodeId::new(level, index);
            assert_eq!(node_32(id_32(node).unwrap()), node);
        }
        for (level, index) in [(32, 0), (0, 0x0800_0000), (5, u32::MAX)] {
            assert_eq!(id_32(NodeId::new(level, index)), None);
        }
    }

    #[test]
    fn every_node_has_an_identifier_of_its_own() {
        for degree in degrees() {
            let ids = LkhIds::new(degree);
            let mut expected = 0;
            for (level, width) in widths(degree, capacity_16_bit(degree)).enumerate() {
                for index in 0..width {
                    let node = NodeId::new(level as u8, index);
                    let id = ids.id(node).unwrap();
                    assert_eq!(u32::from(id), expected);
                    assert_eq!(ids.node(id), Some(node));
                    expected += 1;
                }
                assert_eq!(ids.id(NodeId::new(level as u8, width)), None);
            }
            for id in expected..IDS as u32 {
                assert_eq!(ids.node(id as u16), None);
            }
            assert_eq!(ids.id(NodeId::new(40, 0)), None);
            assert_eq!(ids.id(NodeId::new(1, u32::MAX)), None);
        }
    }
}
