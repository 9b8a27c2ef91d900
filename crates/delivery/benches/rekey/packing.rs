//! Wraps into datagrams: subtrees are kept whole, from the bottom up, and laid out in the order of the tree.

use std::collections::BTreeMap;

use super::tree::{Batch, Node};

/// Wraps of 44 octets that fit one datagram.
const WRAPS_MAX: usize = 27;
const WRAP_LEN: usize = 44;
/// Octets of a datagram beside the wraps: header, sequence number, authentication.
const OVERHEAD: usize = 100;

/// A batch cut into datagrams.
pub(crate) struct Packed {
    /// The length of each datagram in octets.
    pub(crate) lengths: Vec<usize>,
    /// For each member the datagrams that it needs, ascending.
    pub(crate) needs: Vec<Vec<u16>>,
    /// For each datagram how many members need it.
    pub(crate) audience: Vec<u32>,
}

pub(crate) fn pack(batch: &Batch) -> Packed {
    let mut wraps: BTreeMap<Node, usize> = BTreeMap::new();
    for target in &batch.wraps {
        *wraps.entry(*target).or_default() += 1;
    }
    let datagram_of = datagrams(batch, &wraps);
    let mut lengths = vec![OVERHEAD; datagram_of.values().max().map_or(0, |last| usize::from(*last) + 1)];
    for (node, datagram) in &datagram_of {
        lengths[usize::from(*datagram)] += wraps[node] * WRAP_LEN;
    }
    let mut audience = vec![0; lengths.len()];
    let mut needs = Vec::with_capacity(batch.members.len());
    for leaf in &batch.members {
        let path =
            (1..=batch.depth).map(|level| Node { level, index: leaf / batch.degree.pow(level.into()) });
        let mut datagrams: Vec<u16> = path.filter_map(|node| datagram_of.get(&node).copied()).collect();
        datagrams.sort_unstable();
        datagrams.dedup();
        for datagram in &datagrams {
            audience[usize::from(*datagram)] += 1;
        }
        needs.push(datagrams);
    }
    Packed { lengths, needs, audience }
}

/// Finds for each replaced node the datagram that carries its wraps.
fn datagrams(batch: &Batch, wraps: &BTreeMap<Node, usize>) -> BTreeMap<Node, u16> {
    // Bottom up: what fits together with its parent stays with it; otherwise the largest children become units.
    let mut sizes: BTreeMap<Node, usize> = BTreeMap::new();
    let mut cut: Vec<Node> = Vec::new();
    for (node, own) in wraps {
        let first = node.index * batch.degree;
        let children = (first..first + batch.degree).map(|index| Node { level: node.level - 1, index });
        let mut children: Vec<_> = children.filter_map(|child| Some((*sizes.get(&child)?, child))).collect();
        children.sort_unstable();
        let mut size = own + children.iter().map(|(size, _)| size).sum::<usize>();
        while size > WRAPS_MAX {
            let (largest, child) = children.pop().expect("a node's own wraps fit a datagram");
            cut.push(child);
            size -= largest;
        }
        sizes.insert(*node, size);
    }
    cut.extend(wraps.keys().last());
    // In the order of the tree: a unit follows what lies below it.
    cut.sort_by_key(|node| {
        let after = u64::from(node.index + 1) * u64::from(batch.degree).pow(node.level.into());
        (after, node.level)
    });
    let mut datagram_of_unit: BTreeMap<Node, u16> = BTreeMap::new();
    let (mut datagram, mut filled) = (0, 0);
    for unit in cut {
        if filled + sizes[&unit] > WRAPS_MAX {
            (datagram, filled) = (datagram + 1, 0);
        }
        filled += sizes[&unit];
        datagram_of_unit.insert(unit, datagram);
    }
    let find = |node: &Node| {
        let mut unit = *node;
        while !datagram_of_unit.contains_key(&unit) {
            unit = Node { level: unit.level + 1, index: unit.index / batch.degree };
        }
        (*node, datagram_of_unit[&unit])
    };
    wraps.keys().map(find).collect()
}
