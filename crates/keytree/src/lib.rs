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
//! becomes child 0 of a new one. The degree k and the depth d are named as in RFC 2627. The names of nodes and keys, and
//! what a member does with its path, are those of `claviger-keypath`.
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
//! | [`config`] | what a tree is made to be |
//! | [`node`] | the names of leaves |
//! | [`tree`] | the tree, and what can be asked of it |
//! | [`rekey`] | what a change of the tree means for the members |
//! | [`place`] | subtrees that follow places |
//! | [`header`] | the few figures that are stored beside the nodes |
//! | [`lkh_id`] | the 16-bit node identifiers of RFC 6407 |
//! | [`error`] | why the tree refuses |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod config;
pub mod error;
pub mod header;
pub mod lkh_id;
pub mod node;
pub mod place;
pub mod rekey;
pub mod tree;

mod batch;
mod bits;
mod deliver;
mod keys;
mod mark;
mod nodes;
mod plan;
mod restore;
mod sort;

pub use claviger_keypath::{Degree, Handle, KeyLength, KeyRef, NodeId, NodeKey};
pub use config::{Joining, TreeConfig};
pub use error::{Inconsistency, TreeError};
pub use header::Header;
pub use lkh_id::{LkhIds, capacity_16_bit};
pub use node::{CAPACITY_MAX, Leaf};
pub use rekey::{Chain, Rekey, Start, UnderKey, Wrap};
pub use tree::KeyTree;
