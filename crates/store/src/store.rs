//! What every store does.

use claviger_crypto::SecretBytes;
use claviger_sansio::durable::{Change, Receipt, RecordKey, Table};

use crate::StoreError;

/// What [`Store::scan`] calls for each record.
pub type Each<'a> = dyn FnMut(&RecordKey, SecretBytes) -> Result<(), StoreError> + 'a;

/// The octets that a value may have: it is sealed and read as a whole, in memory.
pub const VALUE_LEN_MAX: usize = 16 << 20;

/// Durable state. It is small on purpose, so that a wrapper which fails, delays or forgets is a page of code.
pub trait Store: Send {
    /// Makes `changes` durable, in their order, all or none. When it returns, they outlive the process and the
    /// machine's power; without changes there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// After an error that came from the disk it is unknown whether the changes are there. The caller sends
    /// nothing, and starts again from the store.
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError>;

    /// Reads every record of a table, in no order that means anything. An error of `each` ends the scan.
    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError> {
        (**self).commit(changes)
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError> {
        (**self).scan(table, each)
    }
}

/// Refuses what a record has no room for, before anything is written.
pub(crate) fn check_lengths(changes: &[Change]) -> Result<(), StoreError> {
    for change in changes {
        let (scope, item, value) = match change {
            Change::Put { key, value, .. } => (key.scope.len(), key.item.len(), value.len()),
            Change::Remove { key, .. } => (key.scope.len(), key.item.len(), 0),
            Change::RemoveScope { scope, .. } => (scope.len(), 0, 0),
        };
        if scope.max(item) > RecordKey::PART_LEN_MAX || value > VALUE_LEN_MAX {
            return Err(StoreError::TooLong { table: change.table() });
        }
    }
    Ok(())
}
