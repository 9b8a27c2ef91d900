//! Keeps every key that a member ever held, and shows what such keys open.
//!
//! A member forgets keys at their end. What a host could decrypt, now or later, honest behaviour does not show: this is
//! for those who must. A [`Ledgers`] is the member's witness, which it tells of each key as it takes it up.
//!
//! | module | what |
//! |---|---|
//! | [`ledger`] | the keys of one group, as they came |
//! | [`ledgers`] | the witness of a member: a ledger for each of its groups |
//! | [`trial`] | every key against every datagram: what a ledger opens of a recording |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod ledger;
pub mod ledgers;
pub mod trial;

pub use ledger::Ledger;
pub use ledgers::Ledgers;
