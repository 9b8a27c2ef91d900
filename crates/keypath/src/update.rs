//! What a rekey of the tree says of new keys, and which members need it.

use std::collections::BTreeSet;

use crate::{Degree, Handle, NodeId};

/// What all messages of one rekey say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateHead {
    /// The degree of the tree.
    pub degree: Degree,
    /// The octets of each new key: 16 or 32.
    pub key_len: u8,
    /// The epoch of this change of the tree: that of every new key. 1 to [`Handle::EPOCH_MAX`].
    pub epoch: u32,
    /// The root.
    pub root: NodeId,
    /// The handle of the root's key, which is the group KEK, after this change.
    pub root_handle: Handle,
}

/// Which new key, and under which key it is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The node whose new key it is.
    pub target: NodeId,
    /// Whose key it is wrapped under.
    pub under: Under,
    /// The handle of that key.
    pub handle: Handle,
}

/// Whose key a new key is wrapped under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Under {
    /// A child of the node, by its place.
    Child(u8),
    /// The node itself: its previous key.
    Itself,
}

impl Entry {
    /// Names the node whose key the new one is wrapped under; none if the target has no such child.
    pub const fn holder(&self, degree: Degree) -> Option<NodeId> {
        match self.under {
            Under::Child(place) => self.target.child(degree, place),
            Under::Itself => Some(self.target),
        }
    }
}

/// Names the nodes below which, and at which, members need a message with these keys: as few as say it, ascending.
/// Members anywhere else need nothing of it.
pub fn audience<'a>(degree: Degree, entries: impl IntoIterator<Item = &'a Entry>) -> Vec<NodeId> {
    let needed: BTreeSet<NodeId> = entries.into_iter().filter_map(|entry| entry.holder(degree)).collect();
    let is_below_another = |node: &&NodeId| node.upward(degree).skip(1).any(|above| needed.contains(&above));
    needed.iter().filter(|node| !is_below_another(node)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_tops_and_not_what_is_below_them() {
        let node = |level, index| NodeId::new(level, index).unwrap();
        let degree = Degree::new(2).unwrap();
        assert_eq!(audience(degree, []), []);
        let handle = Handle::drawn(3).unwrap();
        let entries = [
            (node(1, 2), Under::Child(0)),
            (node(1, 2), Under::Child(1)),
            (node(1, 7), Under::Child(1)),
            (node(2, 1), Under::Child(0)),
            (node(3, 1), Under::Itself),
        ]
        .map(|(target, under)| Entry { target, under, handle });
        // (1,2) is needed below; the leaf 15 is below (3,1).
        assert_eq!(audience(degree, &entries), [node(1, 2), node(3, 1)]);
    }

    #[test]
    fn a_key_is_wrapped_under_that_of_a_child_or_its_own() {
        let (target, degree) = (NodeId::new(1, 2).unwrap(), Degree::new(3).unwrap());
        let entry = |under| Entry { target, under, handle: Handle::drawn(1).unwrap() };
        assert_eq!(entry(Under::Child(2)).holder(degree), NodeId::new(0, 8));
        assert_eq!(entry(Under::Child(3)).holder(degree), None);
        assert_eq!(entry(Under::Itself).holder(degree), Some(target));
    }
}
