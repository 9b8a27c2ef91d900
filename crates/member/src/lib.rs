//! Runs the member of multicast groups as one machine without sockets, files or clock.
//!
//! The machine registers to a key server by HIP, fetches each group's keys by GROUPKEY-PULL, and follows the
//! GROUPKEY-PUSHes. It protects no data: what becomes of the keys it says by
//! [`PlaneCommand`](claviger_group::PlaneCommand)s, and its program carries them to a data plane. What else it cannot do
//! itself, it asks by [`Event`]s: open sockets, join multicast groups, tell the user.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what the machine is told at its start |
//! | [`member`] | the machine: input, output, commands |
//! | [`subscription`] | one group: how it stands, its keys, and who follows them |
//! | `held` | the keys of a group, whichever protocol brought them, and what the data plane is asked for |
//! | `registration` | what it asks of its key server by HIP, and what it is told |
//! | `pull`, `push` | GROUPKEY-PULL and GROUPKEY-PUSH: fetching keys, being told of them, missing them |
//! | `plane` | what the data plane is asked for, and what is heard from it |
//! | `follower` | GDOI's own state of a group, between two messages |
//! | `rekey` | what a GROUPKEY-PUSH changes |
//! | [`tree_keys`] | the keys of the key tree, of either KEK management |
//! | `incoming` | a rekey that comes in many messages |
//! | `collecting` | the messages of a rekey that are repaired on request |
//! | `repull` | when to fetch the keys again |
//! | `acceptance` | which policy of a key server the member follows |
//! | [`witness`] | whom it tells of each key, for proofs |
//! | [`event`], [`error`] | what it tells its program |
//! | [`counter`] | what it counts |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod config;
pub mod counter;
pub mod error;
pub mod event;
pub mod member;
pub mod subscription;
pub mod tree_keys;
pub mod witness;

mod acceptance;
mod collecting;
mod download;
mod follower;
mod held;
mod incoming;
mod plane;
mod pull;
mod push;
mod registration;
mod rekey;
mod repull;

pub use config::{MemberConfig, PlaneKind};
pub use counter::{Counter, Counters};
pub use error::Error;
pub use event::Event;
pub use member::Member;
pub use tree_keys::TreeKeys;
pub use witness::KeyWitness;
