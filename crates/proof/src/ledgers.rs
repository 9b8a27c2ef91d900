//! The witness of a member: a ledger for each of its groups.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use claviger_gdoi::push::RekeySa;
use claviger_group::{GroupId, Tek};
use claviger_keypath::KeyPath;
use claviger_member::{KeyWitness, TreeKeys};

use crate::Ledger;

/// The ledgers of one member. One clone goes to the member, the others read what it writes; a ledger outlives its
/// membership, and goes on if the member comes back.
#[derive(Debug, Clone, Default)]
pub struct Ledgers(Arc<Mutex<BTreeMap<GroupId, Ledger>>>);

impl Ledgers {
    /// Returns what was held of a group until now; nothing if no key of it ever came.
    pub fn of(&self, group: &GroupId) -> Option<Ledger> {
        self.ledgers().get(group).cloned()
    }

    /// Makes a witness that writes here.
    pub fn witness(&self) -> Box<dyn KeyWitness> {
        Box::new(self.clone())
    }

    fn write(&self, group: &GroupId, write: impl FnOnce(&mut Ledger)) {
        write(self.ledgers().entry(group.clone()).or_default());
    }

    fn ledgers(&self) -> MutexGuard<'_, BTreeMap<GroupId, Ledger>> {
        // Each entry is whole, whatever a thread that panicked did besides.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyWitness for Ledgers {
    fn tek(&mut self, group: &GroupId, tek: &Tek) {
        self.write(group, |ledger| ledger.enter_tek(tek));
    }

    fn rekey_sa(&mut self, group: &GroupId, sa: &RekeySa, tree: Option<&TreeKeys>) {
        self.write(group, |ledger| ledger.enter_rekey(sa, tree));
    }

    fn tree_path(&mut self, group: &GroupId, path: &KeyPath) {
        self.write(group, |ledger| ledger.enter_path(path));
    }
}
