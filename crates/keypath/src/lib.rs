//! Names the nodes and keys of a group's key tree (LKH, RFC 2627 section 5.4), and follows a member's path through it.
//!
//! The names are those of everybody: the key server's tree (`claviger-keytree`), the protocols that carry its keys, and
//! the members. What a member does with its path needs nothing of the tree's memory, and so stands here: a member
//! holds the keys from its leaf to the root, and gathers new ones out of rekeys ([`KeyPath::gather`]).
//!
//! ```
//! use claviger_crypto::SecretBytes;
//! use claviger_keypath::{Degree, Entry, Handle, KeyLength, KeyPath, NodeId, Under, UpdateHead};
//! use claviger_keywrap::{Engine, Job};
//!
//! // Leaf 2 of a tree of degree 2, two levels high: its own key, that of (1,1), and the root's.
//! let degree = Degree::new(2)?;
//! let node = |level, index| NodeId::new(level, index).unwrap();
//! let first = Handle::drawn(1).unwrap();
//! let keys = [1, 2, 3].map(|octet| (first, SecretBytes::new(vec![octet; 16])));
//! let mut path = KeyPath::new(degree, node(0, 2), KeyLength::Octets16, keys)?;
//!
//! // A member below (1,0) departs: the root has a new key, wrapped under that of (1,1).
//! let root_handle = Handle::drawn(2).unwrap();
//! let head = UpdateHead { degree, key_len: 16, epoch: 2, root: node(2, 0), root_handle };
//! let entry = Entry { target: head.root, under: Under::Child(1), handle: first };
//! let wrapped = Engine::best().wrap_one(Job { under: &[2; 16], plaintext: &[4; 16] })?;
//! let (_, staged) = path.gather(&head, [(&entry, &wrapped[..])], KeyLength::Octets16)?;
//! path.commit(staged.unwrap());
//! assert_eq!(path.root().key(), [4; 16]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`degree`] | how many children a node has |
//! | [`node`] | the names of nodes |
//! | [`handle`], [`key`] | the names of a node's successive keys, and one of them |
//! | [`update`] | what a rekey says of new keys, and which members need it |
//! | [`path`] | a member's keys |
//! | [`gathering`] | how a member gathers new ones |
//! | [`error`] | why a path refuses |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod degree;
pub mod error;
pub mod gathering;
pub mod handle;
pub mod key;
pub mod node;
pub mod path;
pub mod update;

pub use degree::{Degree, DegreeError};
pub use error::PathError;
pub use gathering::Gathering;
pub use handle::Handle;
pub use key::{KeyLength, KeyRef, NodeKey};
pub use node::NodeId;
pub use path::{KeyPath, StagedPath};
pub use update::{Entry, Under, UpdateHead, audience};
