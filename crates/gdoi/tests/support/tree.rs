//! A key tree for tests: small, slow and plain. It keeps every node that has a member below it.

use std::collections::{BTreeMap, BTreeSet};

use claviger_crypto::{Random, SecretBytes, SeededRandom};
use claviger_gdoi::{
    lkh_32::{Wrap, pack},
    wire::lkh_32::{PathArray, Update},
};
use claviger_keypath::{Degree, Handle, NodeId, UpdateHead};
use claviger_keywrap::{Engine, Job};

pub(crate) struct Tree {
    pub(crate) degree: Degree,
    pub(crate) levels: u8,
    key_len: u8,
    pub(crate) epoch: u32,
    pub(crate) keys: BTreeMap<NodeId, (Handle, SecretBytes)>,
    random: SeededRandom,
}

/// A new key, wrapped, with octets of its own.
pub(crate) struct OwnWrap {
    pub(crate) target: NodeId,
    pub(crate) under: NodeId,
    pub(crate) handle: Handle,
    pub(crate) wrapped: Vec<u8>,
}

impl OwnWrap {
    pub(crate) fn borrow(&self) -> Wrap<'_> {
        Wrap { target: self.target, under: self.under, handle: self.handle, wrapped: &self.wrapped }
    }
}

/// One change of the tree.
pub(crate) struct Rekey {
    pub(crate) head: UpdateHead,
    pub(crate) wraps: Vec<OwnWrap>,
}

impl Rekey {
    pub(crate) fn updates(&self, room: usize) -> Vec<Update> {
        pack(self.head, self.wraps.iter().map(OwnWrap::borrow), room).unwrap()
    }
}

pub(crate) fn leaf(index: u32) -> NodeId {
    NodeId::new(0, index).unwrap()
}

impl Tree {
    /// Makes a tree with members at these leaves.
    pub(crate) fn new(k: u8, levels: u8, key_len: u8, leaves: impl IntoIterator<Item = u32>) -> Self {
        let mut tree = Self {
            degree: Degree::new(k).unwrap(),
            levels,
            key_len,
            epoch: 0,
            keys: BTreeMap::new(),
            random: SeededRandom::new(u64::from(k) << 8 | u64::from(levels)),
        };
        tree.epoch += 1;
        for leaf in leaves {
            tree.add_leaf(leaf);
        }
        let bare: BTreeSet<_> = tree.keys.keys().copied().collect();
        for leaf in bare {
            for node in tree.above(leaf) {
                if !tree.keys.contains_key(&node) {
                    tree.draw(node);
                }
            }
        }
        tree
    }

    pub(crate) fn root(&self) -> NodeId {
        NodeId::new(self.levels, 0).unwrap()
    }

    /// The keys of a member, as a GROUPKEY-PULL brings them.
    pub(crate) fn path(&self, index: u32) -> PathArray {
        let first = leaf(index);
        let nodes = std::iter::once(first).chain(self.above(first));
        let keys = nodes.map(|node| self.keys[&node].clone()).collect();
        PathArray { degree: self.degree, first, keys }
    }

    /// The root's key.
    pub(crate) fn kek(&self) -> SecretBytes {
        self.keys[&self.root()].1.clone()
    }

    pub(crate) fn above(&self, node: NodeId) -> Vec<NodeId> {
        let up = |node: &NodeId| node.parent(self.degree).filter(|node| node.level() <= self.levels);
        std::iter::successors(up(&node), up).collect()
    }

    fn fresh_key(&mut self) -> SecretBytes {
        let random = &mut self.random;
        SecretBytes::with(self.key_len.into(), |octets| random.fill(octets))
    }

    fn draw(&mut self, node: NodeId) {
        let key = self.fresh_key();
        self.keys.insert(node, (Handle::new(self.epoch, 0).unwrap(), key));
    }

    fn add_leaf(&mut self, index: u32) {
        self.draw(leaf(index));
    }

    /// Lets members come and go at once: what only newcomers came under is advanced, the rest is replaced.
    pub(crate) fn change(&mut self, joins: &[u32], leaves: &[u32]) -> Rekey {
        self.epoch += 1;
        let before = self.keys.clone();
        let mut replaced: BTreeSet<NodeId> = BTreeSet::new();
        for &index in leaves {
            self.keys.remove(&leaf(index)).expect("a member leaves");
            replaced.extend(self.above(leaf(index)));
        }
        // A node without members has no key.
        for node in replaced.clone() {
            let has_child = (0..self.degree.k()).any(|place| {
                node.child(self.degree, place).is_some_and(|child| self.keys.contains_key(&child))
            });
            if !has_child && !joins.iter().any(|&index| self.above(leaf(index)).contains(&node)) {
                self.keys.remove(&node);
                replaced.remove(&node);
            }
        }
        let mut advanced = BTreeSet::new();
        for &index in joins {
            self.add_leaf(index);
            advanced.extend(self.above(leaf(index)).into_iter().filter(|node| !replaced.contains(node)));
        }
        // Of nodes that were there before only; the 16th advance is a replacement under the previous key.
        let mut own = BTreeSet::new();
        for node in advanced {
            match self.keys.get(&node).cloned() {
                None => self.draw(node),
                Some((handle, _)) if handle.advances() == Handle::ADVANCES_MAX => {
                    own.insert(node);
                }
                Some((handle, key)) => {
                    let next = Handle::new(handle.epoch(), handle.advances() + 1).unwrap();
                    let key = Engine::best().advance_one(key.expose()).unwrap();
                    self.keys.insert(node, (next, key));
                }
            }
        }
        for &node in replaced.iter().chain(&own) {
            self.draw(node);
        }
        let mut wraps = Vec::new();
        for &target in &replaced {
            for place in 0..self.degree.k() {
                let child = target.child(self.degree, place).filter(|child| self.keys.contains_key(child));
                // Newcomers have their path already.
                let Some(under) = child.filter(|child| before.contains_key(child)) else { continue };
                let (handle, key) = self.keys[&under].clone();
                wraps.push(self.wrap(target, under, handle, &key));
            }
        }
        for &target in &own {
            let (handle, key) = before[&target].clone();
            wraps.push(self.wrap(target, target, handle, &key));
        }
        Rekey { head: self.head(), wraps }
    }

    /// Puts a level on top, or takes one off, and replaces the root's key.
    pub(crate) fn resize(&mut self, levels: u8) -> Rekey {
        self.epoch += 1;
        let was = self.root();
        let (handle, key) = self.keys[&was].clone();
        self.levels = levels;
        let target = self.root();
        if levels < was.level() {
            self.keys.remove(&was);
            self.draw(target);
        } else {
            self.draw(target);
            let wraps = vec![self.wrap(target, was, handle, &key)];
            return Rekey { head: self.head(), wraps };
        }
        let under = |place| target.child(self.degree, place).filter(|child| self.keys.contains_key(child));
        let unders: Vec<_> = (0..self.degree.k()).filter_map(under).collect();
        let wraps = unders
            .into_iter()
            .map(|under| {
                let (handle, key) = self.keys[&under].clone();
                self.wrap(target, under, handle, &key)
            })
            .collect();
        Rekey { head: self.head(), wraps }
    }

    pub(crate) fn head(&self) -> UpdateHead {
        UpdateHead {
            degree: self.degree,
            key_len: self.key_len,
            epoch: self.epoch,
            root: self.root(),
            root_handle: self.keys[&self.root()].0,
        }
    }

    fn wrap(&self, target: NodeId, under: NodeId, handle: Handle, key: &SecretBytes) -> OwnWrap {
        let job = Job { under: key.expose(), plaintext: self.keys[&target].1.expose() };
        OwnWrap { target, under, handle, wrapped: Engine::best().wrap_one(job).unwrap() }
    }
}
