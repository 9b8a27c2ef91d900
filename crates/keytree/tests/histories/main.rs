//! Groups with real members that live through arbitrary histories: who can read what, and what a store must keep.
//!
//! | module | what |
//! |---|---|
//! | `group` | a tree, the people who are or were in its group, and a recording of all that was sent |
//! | `history` | arbitrary joins, departures, moves, batches and refreshes |
//! | `checker` | judges by the recording alone who can reach which key |
//! | `secrecy` | members read, nobody else does; the checker fails on faulty trees |
//! | `restore` | stored trees continue identically |

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod checker;
mod group;
mod history;
mod restore;
mod secrecy;
