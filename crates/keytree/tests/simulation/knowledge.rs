//! Every key that ever was, and who outside the group reaches it.
//!
//! A ciphertext opens with one key, and an advance has one source. So what a coalition reaches is what its members
//! reach one by one: it is found by following edges from each key that one of them ever had, and it suffices to
//! keep two marks on each key, which spread along the edges as edges and owners come.

use std::collections::HashMap;

use claviger_keytree::NodeId;

use crate::engines::{Engines, Octets};

/// The advances that outsiders compute beyond the last key that any tree held. A tree advances a key once in a
/// change; one that did it twice would be found as well.
const ADVANCES_BEYOND: u8 = 2;

/// What is wrong with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The present member at this leaf lacks the current key of a node on its path.
    Deaf { leaf: u32, node: NodeId },
    /// Those who departed reach the current key of this node.
    ReachedByDeparted { node: NodeId },
    /// One who joined in an epoch reaches a key that a tree held before it.
    ReachedByJoiner { joined: u32, held: u32 },
    /// Two nodes have the same key.
    Twice { node: NodeId },
}

/// Names a key by its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId(u32);

struct Key {
    octets: Octets,
    /// The keys that this one brings out of ciphertexts, and its successor.
    opens: Vec<KeyId>,
    successor: Option<KeyId>,
    /// The advances since a key that some tree held.
    beyond: u8,
    /// The first epoch in which the tree held it.
    first_held: Option<u32>,
    /// The node whose current key it is.
    node: Option<NodeId>,
    /// Whether one who departed reaches it.
    departed_reach: bool,
    /// The latest epoch in which somebody joined who reaches it.
    latest_joiner: u32,
}

pub(crate) struct Knowledge {
    engines: Engines,
    ids: HashMap<Octets, KeyId>,
    keys: Vec<Key>,
    violation: Option<Violation>,
}

impl Knowledge {
    pub(crate) fn new(key_len: usize) -> Self {
        Self { engines: Engines::new(key_len), ids: HashMap::new(), keys: Vec::new(), violation: None }
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Says what was found wrong first.
    pub(crate) fn verdict(&self) -> Result<(), Violation> {
        self.violation.map_or(Ok(()), Err)
    }

    /// Counts the keys that the departed reach.
    pub(crate) fn reached_by_departed(&self) -> usize {
        self.keys.iter().filter(|key| key.departed_reach).count()
    }

    /// Names a key that was seen before or not.
    pub(crate) fn name(&mut self, octets: &Octets) -> KeyId {
        let next = KeyId(self.keys.len() as u32);
        let id = *self.ids.entry(*octets).or_insert(next);
        if id == next {
            self.keys.push(Key {
                octets: *octets,
                opens: Vec::new(),
                successor: None,
                beyond: 0,
                first_held: None,
                node: None,
                departed_reach: false,
                latest_joiner: 0,
            });
        }
        id
    }

    /// Takes note that nodes have new current keys from `epoch` on. Their old ones have left before.
    pub(crate) fn enter(&mut self, epoch: u32, keys: &[(NodeId, Octets)]) -> Vec<KeyId> {
        let ids: Vec<KeyId> = keys.iter().map(|(_, octets)| self.name(octets)).collect();
        let fresh: Vec<KeyId> = ids.iter().copied().filter(|id| self.key(*id).successor.is_none()).collect();
        let octets: Vec<Octets> = fresh.iter().map(|id| self.key(*id).octets).collect();
        let successors = self.engines.advance(&octets);
        for (id, successor) in fresh.into_iter().zip(&successors) {
            self.succeed(id, successor, 1);
        }
        for (id, (node, _)) in ids.iter().zip(keys) {
            let key = self.key_mut(*id);
            key.beyond = 0;
            key.first_held.get_or_insert(epoch);
            let twice = key.node.replace(*node).is_some();
            let reached = key.departed_reach;
            if twice {
                self.found(Violation::Twice { node: *node });
            }
            if reached {
                self.found(Violation::ReachedByDeparted { node: *node });
            }
        }
        ids
    }

    /// Takes note that a key is the current one of its node no more.
    pub(crate) fn leave(&mut self, id: KeyId) {
        self.key_mut(id).node = None;
    }

    /// Takes note that a ciphertext was sent which `under` opens.
    pub(crate) fn sent(&mut self, under: KeyId, target: KeyId) {
        self.key_mut(under).opens.push(target);
        self.spread_from(under, target);
    }

    /// Takes note that one who got `keys` at its join departed.
    pub(crate) fn depart(&mut self, keys: &[KeyId]) {
        self.spread_departed(keys.to_vec());
    }

    /// Takes note that one who joined in `epoch` got `keys`.
    pub(crate) fn join(&mut self, epoch: u32, keys: &[KeyId]) {
        self.spread_joiner(epoch, keys.to_vec());
    }

    /// Advances a key `times` times.
    pub(crate) fn advanced(&mut self, mut id: KeyId, times: u8) -> KeyId {
        for _ in 0..times {
            id = self.successor(id, 0);
        }
        id
    }

    fn successor(&mut self, id: KeyId, beyond: u8) -> KeyId {
        if let Some(successor) = self.key(id).successor {
            return successor;
        }
        let successor = self.engines.advance(&[self.key(id).octets])[0];
        self.succeed(id, &successor, beyond)
    }

    fn succeed(&mut self, id: KeyId, successor: &Octets, beyond: u8) -> KeyId {
        let seen = self.keys.len() as u32;
        let successor = self.name(successor);
        if successor.0 >= seen {
            self.key_mut(successor).beyond = beyond;
        }
        let key = self.key_mut(id);
        key.successor = Some(successor);
        key.opens.push(successor);
        self.spread_from(id, successor);
        successor
    }

    /// Spreads the marks of a key over a new edge from it.
    fn spread_from(&mut self, from: KeyId, to: KeyId) {
        let Key { departed_reach, latest_joiner, .. } = *self.key(from);
        if departed_reach {
            self.spread_departed(vec![to]);
        }
        self.spread_joiner(latest_joiner, vec![to]);
    }

    fn spread_departed(&mut self, mut new: Vec<KeyId>) {
        while let Some(id) = new.pop() {
            let key = self.key_mut(id);
            if key.departed_reach {
                continue;
            }
            key.departed_reach = true;
            let (node, beyond) = (key.node, key.beyond);
            if let Some(node) = node {
                self.found(Violation::ReachedByDeparted { node });
            }
            if beyond < ADVANCES_BEYOND {
                self.successor(id, beyond + 1);
            }
            new.extend(&self.key(id).opens);
        }
    }

    fn spread_joiner(&mut self, epoch: u32, mut new: Vec<KeyId>) {
        while let Some(id) = new.pop() {
            let key = self.key_mut(id);
            if key.latest_joiner >= epoch {
                continue;
            }
            key.latest_joiner = epoch;
            if let Some(held) = key.first_held.filter(|first| *first < epoch) {
                self.found(Violation::ReachedByJoiner { joined: epoch, held });
            }
            new.extend(&self.key(id).opens);
        }
    }

    fn found(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    fn key(&self, id: KeyId) -> &Key {
        &self.keys[id.0 as usize]
    }

    fn key_mut(&mut self, id: KeyId) -> &mut Key {
        &mut self.keys[id.0 as usize]
    }
}
