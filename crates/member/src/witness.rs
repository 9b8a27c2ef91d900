//! Whom a member tells of each key as it takes it up.

use claviger_crypto::{CryptoProvider, Random};
use claviger_gdoi::push::RekeySa;
use claviger_group::{GroupId, Tek};
use claviger_keypath::KeyPath;

use crate::TreeKeys;

/// Is told of each key as the member takes it up, before anything comes of it: for those who prove what keys can open.
pub trait KeyWitness: Send {
    /// The keys of a data SA came.
    fn tek(&mut self, group: &GroupId, tek: &Tek);

    /// A rekey SA came, with the keys of the tree that lead to it.
    fn rekey_sa(&mut self, group: &GroupId, sa: &RekeySa, tree: Option<&TreeKeys>);

    /// Keys of the tree came behind their rekey SA.
    fn tree_path(&mut self, group: &GroupId, path: &KeyPath);
}

/// What following keys takes besides keys: all of it is the member's.
pub(crate) struct Means<'a> {
    pub(crate) provider: &'static CryptoProvider,
    pub(crate) random: &'a mut dyn Random,
    pub(crate) witness: &'a mut Witness,
}

/// The witness of a member. It is empty unless one was given, and then nothing is kept.
#[derive(Default)]
pub(crate) struct Witness(pub(crate) Option<Box<dyn KeyWitness>>);

impl Witness {
    pub(crate) fn tek(&mut self, group: &GroupId, tek: &Tek) {
        if let Some(witness) = &mut self.0 {
            witness.tek(group, tek);
        }
    }

    pub(crate) fn rekey_sa(&mut self, group: &GroupId, sa: &RekeySa, tree: Option<&TreeKeys>) {
        if let Some(witness) = &mut self.0 {
            witness.rekey_sa(group, sa, tree);
        }
    }

    pub(crate) fn tree_path(&mut self, group: &GroupId, path: &KeyPath) {
        if let Some(witness) = &mut self.0 {
            witness.tree_path(group, path);
        }
    }
}
