//! Every key that a member ever held.
//!
//! Every key enters once, in the order in which it came, whatever became of it at the member.

use std::collections::BTreeMap;

use claviger_crypto::sign::PublicKey;
use claviger_gdoi::{
    lkh::KeyArray,
    push::{KekMaterial, RekeySa},
};
use claviger_group::{PushAuthentication, Tek};
use claviger_keypath::{Handle, KeyPath, NodeId, NodeKey};
use claviger_member::TreeKeys;

/// The keys of one group, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Data keys.
    pub teks: Vec<Tek>,
    /// Rekey keys with the paths of the key tree that they came with.
    pub rekeys: Vec<LedgerRekey>,
    /// Keys of a tree with 32-bit node ids. A sound key server gives no name to two keys.
    pub nodes: BTreeMap<(NodeId, Handle), Vec<NodeKey>>,
}

/// A rekey SA that was held.
#[derive(Debug, Clone)]
pub struct LedgerRekey {
    /// What opens its messages.
    pub kek: KekMaterial,
    /// Whose signature they bear.
    pub signing_key: PublicKey,
    /// What their signatures are over.
    pub form: PushAuthentication,
    /// The path from the member's leaf to the root, at that time, of a tree as RFC 6407 has it.
    pub lkh: Option<KeyArray>,
}

impl Ledger {
    /// Enters a data key, once.
    pub fn enter_tek(&mut self, tek: &Tek) {
        if !self.teks.iter().any(|held| held.spi == tek.spi) {
            self.teks.push(tek.clone());
        }
    }

    /// Enters a rekey SA, once.
    pub fn enter_rekey(&mut self, sa: &RekeySa, tree: Option<&TreeKeys>) {
        let lkh = match tree {
            Some(TreeKeys::Lkh(array)) => Some(array.clone()),
            Some(TreeKeys::Lkh32(path)) => {
                self.enter_path(path);
                None
            }
            None => None,
        };
        if !self.rekeys.iter().any(|held| held.kek.spi == sa.kek().spi) {
            self.rekeys.push(LedgerRekey {
                kek: sa.kek().clone(),
                signing_key: sa.signing_key().clone(),
                form: sa.form(),
                lkh,
            });
        }
    }

    /// Enters a key of a node, once, and says whether it is new.
    pub fn enter_node(&mut self, node: NodeId, key: NodeKey) -> bool {
        let named = self.nodes.entry((node, key.handle)).or_default();
        let is_new = !named.contains(&key);
        if is_new {
            named.push(key);
        }
        is_new
    }

    /// Enters the keys of a path.
    pub fn enter_path(&mut self, path: &KeyPath) {
        for (node, key) in path.nodes().zip(path.keys()) {
            self.enter_node(node, key.clone());
        }
    }
}
