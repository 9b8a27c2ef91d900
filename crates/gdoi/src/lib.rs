//! Speaks the Group Domain of Interpretation (RFC 6407) over any registration.
//!
//! A member pulls a group's policy and keys under its registration SA ([`member`], [`server`]); afterwards the
//! key server pushes new ones to the whole group at once ([`push`]). No endpoint here has a socket, clock or
//! group: the cores above decide what is offered, accepted and sent.
//!
//! | module | what |
//! |---|---|
//! | [`iana`] | code points |
//! | [`wire`] | one file for each payload |
//! | [`rules`] | which payload, how often, in which message |
//! | [`policy`] | whether a policy asks for nothing that is not accepted, and whether keys fit it |
//! | [`exchange`] | the states that a GROUPKEY-PULL goes through, on either side |
//! | [`member`] | sans-IO endpoint, member side |
//! | [`server`] | sans-IO endpoint, key server side |
//! | [`push`] | GROUPKEY-PUSH and the controls of its delivery: sealing and opening |
//! | [`lkh`] | the member's array of tree keys, and the arrays that replace them |
//! | [`lkh_32`] | the arrays of trees with 32-bit node ids, for private use |
//! | [`message_ids`] | which M-IDs a key server is to remember beyond a restart |
//! | [`config`], [`event`] | how a member behaves, what the endpoints tell |
//! | [`extensions`] | which private extensions a member accepts |
//! | [`limits`] | how much of anything is held |
//! | [`error`] | what can go wrong, and whose fault it is |
//! | [`counter`] | what is counted |
//!
//! Header, chain of payloads, key schedule and message ids are those of every protocol under ISAKMP: `claviger_isakmp`, which
//! also says for whom a datagram of port 848 is:
//!
//! ```
//! use claviger_isakmp::{Route, route};
//!
//! fn reader(datagram: &[u8]) -> &'static str {
//!     match route(datagram) {
//!         Route::GroupkeyPush(_rekey_sa) | Route::DeliveryControl(_rekey_sa) => "push::RekeySa",
//!         Route::GroupkeyPull(_registration) | Route::Informational(_registration) => "Member or Server",
//!         Route::Lease(_registration) => "Member or Server",
//!         Route::DeliveryReport(_registration) => "Server",
//!         Route::Phase1(_) | Route::Ikev2 | Route::Marked(_) | Route::Unknown => "nobody",
//!     }
//! }
//! assert_eq!(reader(b"junk"), "nobody");
//! ```
//!
//! Documents: RFC 6407; RFC 2407, 2408 and 2409 for what it builds on; RFC 2627 section 5.4 for LKH; docs/hip-gdoi-binding.md for
//! what is of private use.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod config;
pub mod counter;
pub mod error;
pub mod event;
pub mod exchange;
pub mod extensions;
pub mod iana;
pub mod limits;
pub mod lkh;
pub mod lkh_32;
mod log;
pub mod member;
pub mod message_ids;
pub mod policy;
pub mod push;
pub mod rules;
pub mod server;
pub mod wire;

pub use claviger_isakmp::iana::NotifyType;

pub use config::MemberConfig;
pub use counter::Counter;
pub use error::{ApiMisuse, Error};
pub use event::{MemberEvent, PullFailure, ServerEvent};
pub use exchange::{LeaseId, LeaseTicket, PullId};
pub use extensions::{Extension, Extensions};
pub use member::Member;
pub use message_ids::MessageIdChange;
pub use server::Server;
pub use wire::{
    Delete, Dialect, Exchange, Gap, InForce, KeyDownload, LeaseQuestion, LeaseVerdict, SaKek, SaPayload,
    SaTek,
};
