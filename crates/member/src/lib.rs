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
//! | `admission` | how it is admitted to groups, by HIP |
//! | [`follow`] | how its keys travel: GDOI |
//! | `lease` | until when a group's keys may be used, and when more is asked for |
//! | `held` | the keys of a group, whichever protocol brought them |
//! | `plane` | what the data plane is asked for, and what is heard from it |
//! | `repull` | when to fetch the keys again |
//! | [`witness`] | whom it tells of each key, for proofs |
//! | [`event`], [`error`] | what it tells its program |
//! | [`counter`] | what it counts |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod config;
pub mod counter;
pub mod error;
pub mod event;
pub mod follow;
pub mod member;
pub mod subscription;
pub mod witness;

mod admission;
mod doubt;
mod held;
mod lease;
mod plane;
mod repull;

pub use config::{MemberConfig, PlaneKind};
pub use counter::{Counter, Counters};
pub use error::Error;
pub use event::Event;
pub use follow::tree_keys::TreeKeys;
pub use member::Member;
pub use witness::KeyWitness;
