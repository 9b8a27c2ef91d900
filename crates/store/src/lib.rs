//! Keeps the key server's state in an encrypted, crash-safe file.
//!
//! The server's core hands over [`Change`]s; [`Store::commit`] makes them durable, all or none, and answers with the
//! [`Receipt`] against which the core's outputs are sent. [`FileStore`] keeps them in a directory, [`MemoryStore`]
//! in memory.
//!
//! [`Change`]: claviger_sansio::durable::Change
//! [`Receipt`]: claviger_sansio::durable::Receipt
//!
//! | module | what |
//! |---|---|
//! | [`store`] | what every store does |
//! | [`mod@file`] | the store in a directory |
//! | `first_start`, `directory` | how its files are made, so that a kill leaves nothing half made |
//! | `key_file`, `seal` | where the key lies, and how records are sealed under it |
//! | `mark` | how a database that lost commits is noticed |
//! | [`notice`] | what is taken up and may still be a loss |
//! | [`memory`] | the store of tests and simulations |
//! | [`error`] | why a store refuses |
//!
//! # Files
//!
//! | file | what |
//! |---|---|
//! | `store.key` | 32 random octets, mode 0600, made at first start and never again |
//! | `store.redb` | the database, mode 0600: one redb table for each [`Table`], and `$store` with format, key check and number of commits |
//! | `store.mark` | the number of commits that were answered, 8 octets, and a proof of it, 16 |
//! | `store.lock` | empty; locked by the process that has the store open |
//! | `store.*.new` | files in the making; what a kill left of them is removed at the next start |
//!
//! The directory is made with mode 0700. The first start writes key, database and mark in this order, each beside
//! its final name, synced, and then given that name, synced. So a key without database and without mark is a
//! first start that was interrupted, and is taken up where it stopped; a key or a database that is missing beside
//! a mark is an error, never an occasion to begin anew. Where somebody may have removed files without leaving more of a
//! trace than an interrupted first start does, the store is taken up and says so ([`FileStore::notices`]).
//!
//! [`Table`]: claviger_sansio::durable::Table
//!
//! # A record
//!
//! ```text
//!  key   | HMAC-SHA-256(index key, 1, table, scope), 16 octets | HMAC-SHA-256(index key, 2, table, scope, item), 16 |
//!  value | format 1 | epoch, 16 octets | counter 8 | AES-256-GCM(scope, item, value) | tag 16 |
//! ```
//!
//! Names are inside the seal, and outside are keyed digests of them: a scope can be removed without being read, and
//! nobody without the key can test whether a group of some name is there. The additional data are the format, the
//! table's name and the record's key, so a record cannot be moved, renamed or carried to another table.
//!
//! # Why no nonce repeats
//!
//! Each opening of the store draws an epoch of 128 random bits and derives its own AES key from it by HKDF. Under that
//! key the nonce is a counter in the process's memory that only grows; it is not taken back when a commit fails. A
//! killed process takes its key's counter with it, and its successor has another key. An epoch counter on the disk
//! would be worth less: a directory restored from a backup brings the old count back, and the next record would
//! meet a key and nonce that already sealed another. Random epochs have no memory that could be restored.
//! Among 2^32 openings two epochs are alike with a probability below 2^-64.
//!
//! # What is protected
//!
//! * Who reads the database without the key learns the tables' names, how many records and scopes each has, their
//!   sizes, and which pages change when: no content, no group's name, no HIT.
//! * Who alters the database without the key is found out: pages by redb's checksums as the store is opened
//!   ([`StoreError::Damaged`]), records by their tags as they are read ([`StoreError::Corrupt`]).
//! * Nothing is taken back by damage or by a database restored alone: commits are made in redb's two phases, so
//!   that a damaged page is never taken for an interrupted commit, and the mark tells when commits are missing
//!   that were answered ([`StoreError::RolledBack`]). Who goes on without them on purpose removes the mark.
//! * A wrong, missing, cut, foreign or too widely readable key file is an error.
//! * A commit that was answered survives `kill -9` at any instant; one that was not is there as a whole or not at all.
//!
//! # What is not
//!
//! * Who reads the key file as well reads everything, also removed records whose sealed octets still lie in free
//!   pages of the database. Backups of the database and of the key belong in different places.
//! * Rollback of the whole directory by somebody who may write there, or by a backup restored whole. Every record is
//!   then genuine, and nothing here can know better; the server would hand out again what it handed out since.
//!   Whoever restores a backup has to replace the groups.
//! * A record deleted, or exchanged for an older one of the same name, by somebody who may write there and makes the
//!   checksums valid again.
//! * A disk that acknowledges a sync and did not do it.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod error;
pub mod file;
pub mod memory;
pub mod notice;
pub mod store;

mod directory;
mod first_start;
mod key_file;
mod mark;
mod seal;

pub use error::StoreError;
pub use file::{FileStore, is_begun};
pub use memory::MemoryStore;
pub use notice::Notice;
pub use store::Store;
