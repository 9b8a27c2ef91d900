//! What a change of the tree means for the members.
//!
//! One change is described twice. [`Rekey::wraps`] is the tree's own minimum: each new key once under each key
//! that has to open it, so that a departure from a full tree costs kd - 1 encryptions (RFC 2627 section 5.4.1).
//! [`Rekey::starts`] serves encodings that send whole paths, such as RFC 6407's LKH_UPDATE_ARRAY, which
//! culminates in the group's key: (k - 1)d messages of several keys each.

use claviger_keypath::{Degree, Handle, KeyLength, KeyRef, NodeId};
use claviger_keywrap::Job;

use crate::{
    Leaf, TreeConfig,
    keys::{Keys, roomy},
    mark::Mark,
};

/// One change of the tree: what to store, and what to send. It holds all keys that sending needs, and so does not
/// depend on the tree's later changes.
#[derive(Debug, Clone)]
pub struct Rekey {
    /// The epoch that this change began: that of the handle of each key it drew.
    pub epoch: u32,
    /// The root after the change.
    pub root: NodeId,
    /// The leaves of the members that joined, in the order of the joins asked for.
    pub joined: Vec<Leaf>,
    /// The nodes whose key was drawn anew, bottom up: to be stored.
    pub changed: Vec<NodeId>,
    /// The nodes whose key went through the one-way advance, bottom up: to be stored. Members who hold the key
    /// before compute the one after by themselves.
    pub advanced: Vec<NodeId>,
    /// The nodes that exist no more, bottom up: to be erased from the store.
    pub removed: Vec<NodeId>,
    /// The encryptions that bring the new keys to the remaining members, bottom up: a member that goes through
    /// them in this order has each key that it needs before it needs it.
    pub wraps: Vec<Wrap>,
    pub(crate) degree: Degree,
    /// The handle of each key of `changed`.
    pub(crate) drawn: Handle,
    /// The keys of `changed`; those of `advanced`; and those that members hold already, in the order of the wraps
    /// under them, each that of a child of the wrap's target or the target's own previous one. Behind these, zeros.
    pub(crate) keys: Keys,
    /// The handles of all these but the first. There may be more behind.
    pub(crate) handles: Vec<Handle>,
    /// For each key that members hold already, the child's place, or [`ITSELF`]. There may be more behind.
    pub(crate) places: Vec<u8>,
    /// Memory in which the change was planned. It is no part of what a rekey says.
    pub(crate) marks: Vec<Mark>,
}

/// The most children of a node.
pub(crate) const CHILDREN_MAX: usize = Degree::MAX.k() as usize;

/// Room that is kept behind what a rekey has, for what is written before it is known whether it is wanted.
const ROOM_BEHIND: usize = CHILDREN_MAX;

/// What stands for the target in place of a child.
pub(crate) const ITSELF: u8 = u8::MAX;

impl PartialEq for Rekey {
    /// Compares what two changes did, with which keys.
    fn eq(&self, other: &Self) -> bool {
        let [one, other_keys] = [self, other].map(|rekey| {
            let nodes = rekey.changed.iter().chain(&rekey.advanced).map(|node| rekey.key(*node));
            nodes.chain(rekey.wraps.iter().map(|wrap| Some(rekey.under(wrap).1)))
        });
        (self.epoch, self.root, self.degree) == (other.epoch, other.root, other.degree)
            && (&self.joined, &self.removed) == (&other.joined, &other.removed)
            && (&self.changed, &self.advanced, &self.wraps) == (&other.changed, &other.advanced, &other.wraps)
            && one.eq(other_keys)
    }
}

impl Eq for Rekey {}

impl Rekey {
    /// Describes a change that does nothing.
    pub(crate) fn none(epoch: u32, root: NodeId, degree: Degree, key_length: KeyLength) -> Self {
        Self {
            epoch,
            root,
            joined: Vec::new(),
            changed: Vec::new(),
            advanced: Vec::new(),
            removed: Vec::new(),
            wraps: Vec::new(),
            degree,
            drawn: Handle::from_u32(0),
            keys: Keys::none(key_length),
            handles: Vec::new(),
            places: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Says whether its memory serves a tree of this kind.
    pub(crate) fn fits(&self, config: TreeConfig) -> bool {
        self.degree == config.degree && self.keys.key_len() == config.key_length.octets()
    }

    /// Says how many keys it has room for. The rest of its memory is less.
    pub(crate) fn room(&self) -> usize {
        self.keys.room()
    }

    /// Erases all keys, and forgets everything else but the memory that it takes.
    pub(crate) fn clear(&mut self) {
        self.joined.clear();
        self.changed.clear();
        self.advanced.clear();
        self.removed.clear();
        self.marks.clear();
        self.keys.erase(0);
        // The lengths of the others stay: a change overwrites what it needs of them.
    }

    /// Makes room for what a change of so many wraps writes, under so many keys that members hold.
    pub(crate) fn make_room(&mut self, wraps: usize, held: usize) {
        let known = self.changed.len() + self.advanced.len();
        grow(&mut self.wraps, wraps + ROOM_BEHIND, Wrap { target: 0, under: 0 });
        grow(&mut self.handles, self.advanced.len() + held + ROOM_BEHIND, Handle::from_u32(0));
        grow(&mut self.places, held + ROOM_BEHIND, 0);
        self.keys.make_room(known + held + ROOM_BEHIND);
    }

    /// Cuts off what was not needed of the room for `wraps` wraps under `held` keys that members hold.
    pub(crate) fn trim(&mut self, wraps: usize, held: usize) {
        let known = self.changed.len() + self.advanced.len();
        self.wraps.truncate(wraps);
        self.keys.erase(known + held);
    }

    /// Shows the key that a node of [`Rekey::changed`] or [`Rekey::advanced`] has after the change.
    pub fn key(&self, node: NodeId) -> Option<KeyRef<'_>> {
        if let Ok(place) = self.changed.binary_search(&node) {
            return Some(self.known(place));
        }
        Some(self.known(self.changed.len() + self.advanced.binary_search(&node).ok()?))
    }

    /// Returns the node whose new key `wrap` encrypts; [`Rekey::key`] shows it.
    ///
    /// # Panics
    ///
    /// Perhaps, if the wrap is of another rekey.
    pub fn target(&self, wrap: &Wrap) -> NodeId {
        self.changed[wrap.target as usize]
    }

    /// Shows the key under which `wrap` encrypts, and the node that it belongs to.
    ///
    /// # Panics
    ///
    /// Perhaps, if the wrap is of another rekey.
    pub fn under(&self, wrap: &Wrap) -> (NodeId, KeyRef<'_>) {
        let number = wrap.under as usize;
        let (changed, advanced) = (self.changed.len(), self.advanced.len());
        let node = match self.under_kind(wrap) {
            UnderKey::New => self.changed[number],
            UnderKey::Advanced => self.advanced[number - changed],
            UnderKey::Held => match self.places[number - changed - advanced] {
                ITSELF => self.target(wrap),
                place => self.target(wrap).child(self.degree, place).expect("a child holds the key"),
            },
        };
        (node, self.known(number))
    }

    /// Says what kind of key `wrap` encrypts under.
    pub fn under_kind(&self, wrap: &Wrap) -> UnderKey {
        let number = wrap.under as usize;
        if number < self.changed.len() {
            UnderKey::New
        } else if number < self.changed.len() + self.advanced.len() {
            UnderKey::Advanced
        } else {
            UnderKey::Held
        }
    }

    /// Goes through the encryptions in the order of [`Rekey::wraps`]: each the bare new key of the target under the
    /// bare key that [`Rekey::under`] shows.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = Job<'_>> {
        self.wraps.iter().map(|wrap| Job {
            under: self.keys.key(wrap.under as usize),
            plaintext: self.keys.key(wrap.target as usize),
        })
    }

    /// Goes through the keys that remaining members have without any message, each with the new keys that they
    /// reach from it.
    pub fn starts(&self) -> impl Iterator<Item = Start<'_>> {
        let known = self.wraps.iter().filter(|wrap| self.under_kind(wrap) != UnderKey::New);
        known.map(|wrap| {
            let (node, key) = self.under(wrap);
            Start { node, key, chain: self.chain(self.target(wrap)) }
        })
    }

    /// Follows the replaced nodes from `first` upward.
    fn chain(&self, first: NodeId) -> Chain {
        let mut last = first;
        if self.advanced.is_empty() {
            // Then every node on the way to the root is replaced too.
            last = self.root;
        }
        while last != self.root {
            let replaced = |parent: &NodeId| self.changed.binary_search(parent).is_ok();
            let Some(parent) = last.parent(self.degree).filter(replaced) else { break };
            last = parent;
        }
        Chain { first, last, degree: self.degree }
    }

    /// Says whether no key changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.advanced.is_empty()
    }

    fn known(&self, number: usize) -> KeyRef<'_> {
        let handle = number.checked_sub(self.changed.len()).map_or(self.drawn, |number| self.handles[number]);
        KeyRef { handle, key: self.keys.key(number) }
    }
}

/// Grows a vector to at least `length`. What it holds does not matter, and is not copied.
fn grow<T: Copy>(vector: &mut Vec<T>, length: usize, blank: T) {
    if length > vector.capacity() {
        *vector = vec![blank; roomy(length, vector.capacity())];
    } else if length > vector.len() {
        vector.resize(length, blank);
    }
}

/// One encryption: a new key under a key that its receivers have. [`Rekey::target`] and [`Rekey::under`] say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap {
    /// The number of the key that is encrypted, among those of the rekey.
    pub(crate) target: u32,
    /// The number of the key that encrypts.
    pub(crate) under: u32,
}

/// The kinds of key under which a new one is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderKey {
    /// The key of a child after its one-way advance.
    Advanced,
    /// A key that remaining members hold already: that of an untouched child, or the target's own previous one.
    Held,
    /// The new key of a child.
    New,
}

/// A key that remaining members have without any message, and the new keys that they reach from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start<'a> {
    /// The node that the key belongs to: a child of a replaced node that is not itself replaced, or a replaced node
    /// itself.
    pub node: NodeId,
    /// The key that the members have: the child's own, advanced where it was, or the node's previous one.
    pub key: KeyRef<'a>,
    /// The replaced nodes whose new keys follow, each encrypted under the one before it, the first under
    /// [`Start::key`].
    pub chain: Chain,
}

/// The replaced nodes from a first one upward: to the root, or to below a node that was only advanced, whose members
/// need nothing more. In a tree that replaces at joins every chain ends at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    first: NodeId,
    last: NodeId,
    degree: Degree,
}

impl Chain {
    /// Goes through the nodes in order.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        self.first.upward(self.degree).take(self.len())
    }

    /// Returns the number of nodes, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a chain always has its first node")]
    pub fn len(self) -> usize {
        usize::from(self.last.level() - self.first.level()) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::node_at;

    #[test]
    fn a_chain_climbs_to_its_last_node() {
        let (first, last) = (node_at(1, 7), node_at(4, 0));
        let chain = Chain { first, last, degree: Degree::new(2).unwrap() };
        let nodes = [(1, 7), (2, 3), (3, 1), (4, 0)].map(|(level, index)| node_at(level, index));
        assert_eq!(chain.iter().collect::<Vec<_>>(), nodes);
        assert_eq!(chain.len(), 4);
    }
}
