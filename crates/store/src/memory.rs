//! The store of tests and simulations.

use std::collections::BTreeMap;

use claviger_crypto::SecretBytes;
use claviger_sansio::durable::{Change, Receipt, RecordKey, Table};

use crate::{
    Store, StoreError,
    store::{Each, check_lengths},
};

/// Keeps records in memory, for as long as it lives. A clone is what a crash at this instant would leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    tables: BTreeMap<Table, BTreeMap<RecordKey, SecretBytes>>,
}

impl MemoryStore {
    /// Starts with no record.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError> {
        check_lengths(changes)?;
        for change in changes {
            let records = self.tables.entry(change.table()).or_default();
            match change {
                Change::Put { key, value, .. } => {
                    records.insert(key.clone(), value.clone());
                }
                Change::Remove { key, .. } => {
                    records.remove(key);
                }
                Change::RemoveScope { scope, .. } => records.retain(|key, _| key.scope != *scope),
            }
        }
        Ok(Receipt::attest(changes))
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError> {
        for (key, value) in self.tables.get(&table).into_iter().flatten() {
            each(key, value.clone())?;
        }
        Ok(())
    }
}
