//! Holds what protocols that run under ISAKMP share: the form of their messages (RFC 2408), and what protects an exchange
//! under a security association that a Phase 1 made (RFC 2409), or a registration in its place.
//!
//! No machine is in here. A protocol above has its own payloads, tables and states, and says what a DOI means by the
//! contents of an Identification, Notification or Delete payload.
//!
//! | module | what |
//! |---|---|
//! | [`mod@route`] | for which machine a datagram is, before any is asked |
//! | [`iana`] | code points |
//! | [`wire`] | the header, the chain of payloads, attributes, and the payloads that every DOI has |
//! | [`rules`] | which payload, how often |
//! | [`keys`] | the key schedule of exchanges under a security association |
//! | [`exchange`] | one message sealed or authenticated; message ids; the security associations of an endpoint |
//! | [`limits`] | how much of anything is held |
//! | [`error`] | what can go wrong, and whose fault it is |
//! | [`counter`] | what is counted of datagrams that no machine reads |
//!
//! Several protocols share a port, and are told apart by their first octets:
//!
//! ```
//! use claviger_isakmp::{Route, route};
//!
//! fn reader(datagram: &[u8]) -> &'static str {
//!     match route(datagram) {
//!         Route::Phase1(_) => "IKEv1",
//!         Route::GroupkeyPull(_) | Route::Informational(_) => "GDOI, by registration SA",
//!         Route::DeliveryReport(_) | Route::Lease(_) => "GDOI, by registration SA, not encrypted",
//!         Route::GroupkeyPush(_) | Route::DeliveryControl(_) => "GDOI, by rekey SA",
//!         Route::Ikev2 => "IKEv2",
//!         Route::Marked(message) => reader(message),
//!         Route::Unknown => "nobody",
//!     }
//! }
//! assert_eq!(reader(b"junk"), "nobody");
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod counter;
pub mod error;
pub mod exchange;
pub mod iana;
pub mod keys;
pub mod limits;
pub mod route;
pub mod rules;
pub mod wire;

pub use counter::Counter;
pub use error::{ApiMisuse, Error};
pub use iana::{ExchangeType, NotifyType, PayloadType};
pub use route::{Route, Unread, route};
pub use wire::Header;
