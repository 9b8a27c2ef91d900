//! Keeps the logical key hierarchy of a group (LKH, RFC 2627 section 5.4): a tree of keys with a member at each leaf.
//!
//! Each member holds the keys on the path from its leaf to the root, and the root is the group's key. When a
//! member departs, the keys that it held are replaced, and each replacement is encrypted under keys that it did
//! not hold; when a member joins, the keys that it will hold are replaced first. A [`Rekey`] says what was
//! replaced and what must be encrypted under what; the protocols encode and encrypt, this crate never does.
//!
//! ```text
//!   level 2                (2,0)                    the root: the group's key
//!                   ┌────────┴────────┐
//!   level 1       (1,0)             (1,1)           logical nodes
//!                ┌──┴──┐           ┌──┴──┐
//!   level 0    (0,0) (0,1)       (0,2) (0,3)        leaves: one member's own key each
//! ```
//!
//! Levels count from the leaves upward, so that a node keeps its [`NodeId`] when the tree grows: the old root
//! becomes child 0 of a new one. The degree k and the depth d are named as in RFC 2627.
//!
//! ```
//! use claviger_crypto::SeededRandom;
//! use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, TreeConfig};
//! use claviger_keywrap::{Engine, wrapped_len};
//!
//! let config = TreeConfig {
//!     degree: Degree::new(2)?,
//!     key_length: KeyLength::Octets32,
//!     capacity: 1000,
//!     joining: Joining::Advance,
//! };
//! let random = &mut SeededRandom::new(1);
//! let mut tree = KeyTree::new(config, random);
//! let joined = tree.batch(8, &[], random)?.joined;
//! let leave = tree.batch(0, &joined[5..6], random)?;
//! assert_eq!(leave.wraps.len(), 2 * 3 - 1); // kd - 1
//! assert_eq!(leave.starts().count(), 3); // (k - 1)d
//!
//! let mut wrapped = vec![0; leave.wraps.len() * wrapped_len(32)];
//! Engine::best().wrap(leave.jobs(), &mut wrapped)?;
//!
//! let join = tree.batch(1, &[], random)?;
//! assert!(join.wraps.is_empty() && join.advanced.len() == 3); // members compute their keys by themselves
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`config`], [`degree`] | what a tree is made to be |
//! | [`node`] | the names of nodes and leaves |
//! | [`key`], [`handle`] | one key of a node, and its name |
//! | [`tree`] | the tree, and what can be asked of it |
//! | [`rekey`] | what a change of the tree means for the members |
//! | [`place`] | subtrees that follow places |
//! | [`header`] | the few figures that are stored beside the nodes |
//! | [`lkh_id`] | the node identifiers of protocols |
//! | [`error`] | why the tree refuses |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod config;
pub mod degree;
pub mod error;
pub mod handle;
pub mod header;
pub mod key;
pub mod lkh_id;
pub mod node;
pub mod place;
pub mod rekey;
pub mod tree;

mod batch;
mod bits;
mod deliver;
mod keys;
mod nodes;
mod plan;
mod restore;
mod sort;

pub use config::{Joining, TreeConfig};
pub use degree::Degree;
pub use error::{ConfigError, Inconsistency, TreeError};
pub use handle::Handle;
pub use header::Header;
pub use key::{KeyLength, KeyRef, NodeKey};
pub use lkh_id::{CAPACITY_32_BIT, LkhIds, capacity_16_bit, id_32, node_32};
pub use node::{Leaf, NodeId};
pub use rekey::{Chain, Rekey, Start, UnderKey, Wrap};
pub use tree::KeyTree;
