//! Which members a message of a large rekey is for.

use std::collections::BTreeSet;

use super::{Degree, NodeId};
use crate::wire::lkh_32::{Under, Update};

/// Names the nodes below which, and at which, members need a message with these keys: as few as say it, ascending.
/// Members anywhere else need nothing of it.
pub fn audience(update: &Update) -> Vec<NodeId> {
    let degree = update.head().degree;
    let needed = update.entries().filter_map(|(entry, _)| match entry.under {
        Under::Child(place) => entry.target.child(degree, place),
        Under::Itself => Some(entry.target),
    });
    let needed: BTreeSet<NodeId> = needed.collect();
    let is_told = |node: &&NodeId| path(**node, degree).skip(1).any(|above| needed.contains(&above));
    needed.iter().filter(|node| !is_told(node)).copied().collect()
}

/// Goes from a node upward through all that may be above it, however high the tree is or grows.
pub fn path(node: NodeId, degree: Degree) -> impl Iterator<Item = NodeId> {
    std::iter::successors(Some(node), move |node| node.parent(degree))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lkh_32::Handle,
        wire::lkh_32::{Entry, UpdateHead},
    };

    #[test]
    fn names_the_tops_and_not_what_is_below_them() {
        let node = |level, index| NodeId::new(level, index).unwrap();
        let head = UpdateHead {
            degree: Degree::new(2).unwrap(),
            key_len: 16,
            epoch: 9,
            root: node(4, 0),
            root_handle: Handle::new(9, 0).unwrap(),
        };
        let mut update = Update::new(head).unwrap();
        assert_eq!(audience(&update), []);
        let handle = Handle::new(3, 0).unwrap();
        for (target, under) in [
            (node(1, 2), Under::Child(0)),
            (node(1, 2), Under::Child(1)),
            (node(1, 7), Under::Child(1)),
            (node(2, 1), Under::Child(0)),
            (node(3, 1), Under::Itself),
        ] {
            update.push(Entry { target, under, handle }, &[0; 24]).unwrap();
        }
        // (1,2) is needed below; the leaf 15 is below (3,1).
        assert_eq!(audience(&update), [node(1, 2), node(3, 1)]);
    }

    #[test]
    fn a_path_leads_from_a_leaf_to_the_highest_level() {
        let path: Vec<_> = path(NodeId::new(0, 5).unwrap(), Degree::new(2).unwrap()).collect();
        assert_eq!(path.len(), usize::from(NodeId::LEVEL_MAX) + 1);
        assert_eq!(path[..4].iter().map(|node| node.index()).collect::<Vec<_>>(), [5, 2, 1, 0]);
    }
}
