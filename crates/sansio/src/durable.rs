//! What a core wants written before anything it said is sent.
//!
//! A core never writes. It hands its program a list of [`Change`]s together with its outputs; the program commits them
//! to a store as one transaction and gives the outputs free against the [`Receipt`]. Killed before the commit, nothing
//! was said; killed after it, the next start remembers what may have been said.

use std::marker::PhantomData;

use claviger_crypto::SecretBytes;

/// A named table of records. A core declares each of its tables once, as a constant.
///
/// ```
/// use claviger_sansio::durable::Table;
///
/// const MEMBER: Table = Table::new("member");
/// assert_eq!(MEMBER.name(), "member");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(&'static str);

impl Table {
    /// The longest name, in octets: a store binds the name into each record behind a length of one octet.
    pub const NAME_LEN_MAX: usize = 255;

    /// Names a table, with lower-case letters, digits and hyphens only: other names are the store's own.
    ///
    /// # Panics
    ///
    /// If the name is empty, too long or has another character; in a constant this fails to compile.
    pub const fn new(name: &'static str) -> Self {
        let octets = name.as_bytes();
        assert!(
            !octets.is_empty() && octets.len() <= Self::NAME_LEN_MAX,
            "a table's name has 1 to 255 octets"
        );
        let mut position = 0;
        while position < octets.len() {
            assert!(
                matches!(octets[position], b'a'..=b'z' | b'0'..=b'9' | b'-'),
                "a table's name has lower-case letters, digits and hyphens"
            );
            position += 1;
        }
        Self(name)
    }

    /// Returns the name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The name of a record in its table: a scope that can be removed as a whole, and the item within it.
///
/// The scope is what the record dies with, mostly a group; it is empty for what belongs to the server. Two parts
/// rather than one string of octets, so that a store can hide both on the disk and still remove a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// What the record dies with; at most [`RecordKey::PART_LEN_MAX`] octets.
    pub scope: Vec<u8>,
    /// Which record it is within its scope; at most [`RecordKey::PART_LEN_MAX`] octets.
    pub item: Vec<u8>,
}

impl RecordKey {
    /// The octets that either part may have: a store keeps their lengths in two octets.
    pub const PART_LEN_MAX: usize = 65_535;

    /// Names the record `item` of `scope`.
    pub fn new(scope: impl Into<Vec<u8>>, item: impl Into<Vec<u8>>) -> Self {
        Self { scope: scope.into(), item: item.into() }
    }
}

/// One change of durable state. The changes of a commit take effect in their order, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a record, in place of one with the same name if there is one.
    Put {
        /// Where.
        table: Table,
        /// The record's name.
        key: RecordKey,
        /// The core's own versioned octets. All of it is treated as secret.
        value: SecretBytes,
    },
    /// Removes a record if it is there.
    Remove {
        /// Where.
        table: Table,
        /// The record's name.
        key: RecordKey,
    },
    /// Removes every record of a scope from one table.
    RemoveScope {
        /// Where.
        table: Table,
        /// Exactly this scope; not those that begin alike.
        scope: Vec<u8>,
    },
}

impl Change {
    /// Writes a record.
    pub fn put(table: Table, key: RecordKey, value: impl Into<SecretBytes>) -> Self {
        Self::Put { table, key, value: value.into() }
    }

    /// Removes a record.
    pub fn remove(table: Table, key: RecordKey) -> Self {
        Self::Remove { table, key }
    }

    /// Removes a scope from a table.
    pub fn remove_scope(table: Table, scope: impl Into<Vec<u8>>) -> Self {
        Self::RemoveScope { table, scope: scope.into() }
    }

    /// Says which table is changed.
    pub fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Remove { table, .. } | Self::RemoveScope { table, .. } => *table,
        }
    }
}

/// Evidence that changes are durable: outputs that rest on them may leave.
///
/// It is neither `Clone` nor `Copy`, and it bears the lifetime of the very changes that it attests. A core that asks for
/// a commit of changes of any lifetime, `impl for<'c> FnOnce(&'c [Change]) -> Receipt<'c>`, can be given no receipt
/// from before:
///
/// ```compile_fail
/// use claviger_sansio::durable::{Change, Receipt};
///
/// fn release(commit: impl for<'c> FnOnce(&'c [Change]) -> Receipt<'c>) {
///     let changes = Vec::new();
///     let _ = commit(&changes);
/// }
///
/// let earlier = Vec::new();
/// let receipt = Receipt::attest(&earlier);
/// release(|_| receipt);
/// ```
///
/// What was attested for these changes is taken:
///
/// ```
/// # use claviger_sansio::durable::{Change, Receipt};
/// # fn release(commit: impl for<'c> FnOnce(&'c [Change]) -> Receipt<'c>) {
/// #     let changes = Vec::new();
/// #     let _ = commit(&changes);
/// # }
/// release(|changes| Receipt::attest(changes));
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "outputs that wait for this commit can be released now"]
pub struct Receipt<'c> {
    changes: usize,
    /// Makes the lifetime invariant: a receipt for longer-lived changes is none for these.
    of: PhantomData<fn(&'c ()) -> &'c ()>,
}

impl<'c> Receipt<'c> {
    /// Attests a commit of these changes. Made by a store after its commit, and by nobody else.
    pub fn attest(changes: &'c [Change]) -> Self {
        Self { changes: changes.len(), of: PhantomData }
    }

    /// Says how many changes were committed.
    pub fn changes(&self) -> usize {
        self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Table = Table::new("group-2");

    #[test]
    fn a_change_names_its_table_and_hides_its_value() {
        let put = Change::put(GROUP, RecordKey::new(*b"g", *b"i"), vec![0x2a; 4]);
        assert_eq!(put.table(), GROUP);
        assert_eq!(Change::remove(GROUP, RecordKey::new(*b"g", *b"i")).table(), GROUP);
        assert_eq!(Change::remove_scope(GROUP, *b"g").table(), GROUP);
        assert!(format!("{put:?}").contains("SecretBytes(..)"));
    }

    #[test]
    fn refuses_table_names_that_could_meet_a_store_s_own() {
        for name in ["", "$header", "Member", "a b", "a\0"] {
            assert!(std::panic::catch_unwind(|| Table::new(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(RecordKey::new(*b"ab", *b"c"), RecordKey::new(*b"a", *b"bc"));
    }
}
