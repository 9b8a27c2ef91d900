//! What a change of the tree means for the members.
//!
//! One change is described twice. [`Rekey::wraps`] is the tree's own minimum: each new key once under each key
//! that has to open it, so that a departure from a full tree costs kd - 1 encryptions (RFC 2627 §5.4.1).
//! [`Rekey::starts`] serves encodings that send whole paths, such as RFC 6407's LKH_UPDATE_ARRAY, which
//! culminates in the group's key: (k - 1)d messages of several keys each.

use claviger_keywrap::Job;

use crate::{Degree, Handle, KeyLength, KeyRef, Leaf, NodeId, TreeConfig, keys::Keys, plan::Mark};

/// One change of the tree: what to store, and what to send. It holds all keys that sending needs, and so does not
/// depend on the tree's later changes.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The keys of `changed`, in its order.
    pub(crate) new: Keys,
    /// The handles and keys of `advanced`, in its order.
    pub(crate) advanced_handles: Vec<Handle>,
    pub(crate) advanced_keys: Keys,
    /// Keys that members hold already, in the order of the wraps under them.
    pub(crate) held: Held,
    pub(crate) scratch: Scratch,
}

/// Memory in which the change was planned. It is no part of what a rekey says, and no copy needs it.
#[derive(Debug, Default)]
pub(crate) struct Scratch(pub(crate) Vec<Mark>);

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Scratch {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Scratch {}

/// Keys that members hold already: each that of a child of the wrap's target, or the target's own previous one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The child's place, or [`ITSELF`].
    places: Vec<u8>,
    handles: Vec<Handle>,
    keys: Keys,
}

/// What stands for the target in place of a child.
const ITSELF: u8 = u8::MAX;

impl Held {
    /// Holds no keys.
    fn none(key_length: KeyLength) -> Self {
        Self { places: Vec::new(), handles: Vec::new(), keys: Keys::none(key_length) }
    }

    /// Erases the keys, and makes room for `count` others.
    pub(crate) fn renew(&mut self, count: usize) {
        self.places.clear();
        self.places.reserve_exact(count);
        self.handles.clear();
        self.handles.reserve_exact(count);
        self.keys.renew(count);
    }

    /// Adds the key of a child, and returns what a wrap under it says.
    #[inline]
    pub(crate) fn push_child<const L: usize>(
        &mut self,
        place: u8,
        handle: Handle,
        key: &[u8; L],
    ) -> UnderKey {
        let number = self.places.len() as u32;
        self.places.push(place);
        self.handles.push(handle);
        self.keys.push(key);
        UnderKey::Held(number)
    }

    /// Adds the previous key of the target itself.
    pub(crate) fn push_previous<const L: usize>(&mut self, handle: Handle, key: &[u8; L]) -> UnderKey {
        self.push_child(ITSELF, handle, key)
    }
}

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
            new: Keys::none(key_length),
            advanced_handles: Vec::new(),
            advanced_keys: Keys::none(key_length),
            held: Held::none(key_length),
            scratch: Scratch::default(),
        }
    }

    /// Says whether its memory serves a tree of this kind.
    pub(crate) fn fits(&self, config: TreeConfig) -> bool {
        self.degree == config.degree && self.new.key_len() == config.key_length.octets()
    }

    /// Erases all keys, and everything else but the memory that it takes.
    pub(crate) fn clear(&mut self) {
        self.joined.clear();
        self.changed.clear();
        self.advanced.clear();
        self.removed.clear();
        self.wraps.clear();
        self.new.renew(0);
        self.advanced_handles.clear();
        self.advanced_keys.renew(0);
        self.held.renew(0);
        self.scratch.0.clear();
    }

    /// Shows the key that a node of [`Rekey::changed`] or [`Rekey::advanced`] has after the change.
    pub fn key(&self, node: NodeId) -> Option<KeyRef<'_>> {
        if let Ok(place) = self.changed.binary_search(&node) {
            return Some(self.new_key(place));
        }
        Some(self.advanced_key(self.advanced.binary_search(&node).ok()?))
    }

    /// Shows the key under which `wrap` encrypts, and the node that it belongs to.
    ///
    /// # Panics
    ///
    /// Perhaps, if the wrap is of another rekey.
    pub fn under(&self, wrap: &Wrap) -> (NodeId, KeyRef<'_>) {
        match wrap.under {
            UnderKey::Advanced(place) => (self.advanced[place as usize], self.advanced_key(place as usize)),
            UnderKey::Held(place) => {
                let node = match self.held.places[place as usize] {
                    ITSELF => wrap.target,
                    child => wrap.target.child(self.degree, child).expect("a child holds the key"),
                };
                let handle = self.held.handles[place as usize];
                (node, KeyRef { handle, key: self.held.keys.key(place as usize) })
            }
            UnderKey::New(place) => (self.changed[place as usize], self.new_key(place as usize)),
        }
    }

    /// Goes through the encryptions in the order of [`Rekey::wraps`]: each the bare new key of the target under the
    /// bare key that [`Rekey::under`] shows.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = Job<'_>> {
        let mut target = 0;
        self.wraps.iter().map(move |wrap| {
            while self.changed[target] != wrap.target {
                target += 1;
            }
            let under = match wrap.under {
                UnderKey::Advanced(place) => self.advanced_keys.key(place as usize),
                UnderKey::Held(place) => self.held.keys.key(place as usize),
                UnderKey::New(place) => self.new.key(place as usize),
            };
            Job { under, plaintext: self.new.key(target) }
        })
    }

    /// Goes through the keys that remaining members have without any message, each with the new keys that they
    /// reach from it.
    pub fn starts(&self) -> impl Iterator<Item = Start<'_>> {
        let known = self.wraps.iter().filter(|wrap| !matches!(wrap.under, UnderKey::New(_)));
        known.map(|wrap| {
            let (node, key) = self.under(wrap);
            Start { node, key, chain: self.chain(wrap.target) }
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
            let parent = last.parent(self.degree);
            if self.changed.binary_search(&parent).is_err() {
                break;
            }
            last = parent;
        }
        Chain { first, last, degree: self.degree }
    }

    /// Says whether no key changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.advanced.is_empty()
    }

    fn new_key(&self, place: usize) -> KeyRef<'_> {
        KeyRef { handle: self.drawn, key: self.new.key(place) }
    }

    fn advanced_key(&self, place: usize) -> KeyRef<'_> {
        KeyRef { handle: self.advanced_handles[place], key: self.advanced_keys.key(place) }
    }
}

/// One encryption: a new key under a key that its receivers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap {
    /// The node whose new key is encrypted; [`Rekey::key`] shows it.
    pub target: NodeId,
    /// The key under which it is encrypted; [`Rekey::under`] shows it.
    pub under: UnderKey,
}

/// The key under which a new one is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderKey {
    /// The key of a child after its one-way advance: that of the node at this place in [`Rekey::advanced`].
    Advanced(u32),
    /// A key that remaining members hold already, of an untouched child or the target's own previous one: the one
    /// with this number, counted along the wraps.
    Held(u32),
    /// The new key of a child: that of the node at this place in [`Rekey::changed`].
    New(u32),
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
        std::iter::successors(Some(self.first), move |node| Some(node.parent(self.degree))).take(self.len())
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

    #[test]
    fn a_chain_climbs_to_its_last_node() {
        let (first, last) = (NodeId::new(1, 7), NodeId::new(4, 0));
        let chain = Chain { first, last, degree: Degree::new(2).unwrap() };
        let nodes = [(1, 7), (2, 3), (3, 1), (4, 0)].map(|(level, index)| NodeId::new(level, index));
        assert_eq!(chain.iter().collect::<Vec<_>>(), nodes);
        assert_eq!(chain.len(), 4);
    }
}
