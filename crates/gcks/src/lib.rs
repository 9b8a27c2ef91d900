//! Runs the key server of multicast groups (GCKS) as one machine without sockets, files or clock.
//!
//! The machine registers hosts by HIP, keys them by GDOI and keeps each group's key tree. It never writes to
//! disk and never sends by itself: every step is a value of [`Change`](claviger_sansio::durable::Change)s, datagrams
//! and events, which come out when the changes are durable:
//!
//! ```text
//! handle_datagram / handle_timeout / a command, as often as the program likes
//!   stage(now)                  -> Staged: what they changed and what is to be said
//!   staged.commit(...)          -> Durable: the program's store has given a Receipt for these changes
//!   release(durable)            -> Released: only now do datagrams and events come out
//!   released.poll_transmit()    -> Dispatch: of each datagram the program says what became of it
//! ```
//!
//! So a key server that is killed at any instant goes on from its store with nothing reused and nothing undone.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what the machine is told at its start |
//! | [`gcks`] | the machine: input, output, commands |
//! | `admission` | who a host is, whether it may join, whether it is gone: one roster, and an adapter for each registration |
//! | `groups` | all groups, and when each has something to do |
//! | `group` | what one group holds: members, key tree, keys; and how they change |
//! | `distribution` | how keys travel: GDOI, and what goes to whole groups |
//! | [`staged`] | a step: its changes, and what it says when they are durable |
//! | `dispatch` | a datagram on its way out, and what became of it |
//! | `record` | the octets of everything that is stored |
//! | [`restore`] | how the machine goes on after a restart |
//! | `clock` | what it makes of a clock that was ahead before that |
//! | [`view`] | what the machine shows of itself |
//! | [`event`], [`error`] | what it tells its program |
//! | [`counter`] | what it counts |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod config;
pub mod counter;
pub mod error;
pub mod event;
pub mod gcks;
pub mod restore;
pub mod staged;
pub mod view;

mod admission;
mod clock;
mod dispatch;
mod distribution;
mod group;
mod groups;
mod record;

pub use admission::{
    admittance::Admittance,
    departure::{Eviction, LaggardView, SilenceView},
    owner::{Admits, Owner, RevocationPolicy},
};
pub use config::GcksConfig;
pub use counter::{Counter, Counters};
pub use dispatch::Dispatch;
pub use error::{CommandError, Error, RestoreError};
pub use event::Event;
pub use gcks::{Gcks, RekeyWhat};
pub use group::kek_management_for;
pub use restore::Record;
pub use staged::{Durable, Released, Staged};
