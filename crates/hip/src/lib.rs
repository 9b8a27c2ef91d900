//! Speaks the Host Identity Protocol (RFC 7401), its certificates (RFC 8002), its registration extension (RFC 8003) and
//! mobility (RFC 8046).
//!
//! | module | what |
//! |---|---|
//! | [`iana`] | code points |
//! | [`wire`] | packets and parameters; [`wire::Packet::parse`] is where received octets enter |
//! | [`rules`] | which parameter may stand in which packet, and how often |
//! | [`keys`] | KEYMAT, and what services derive from the same key |
//! | [`puzzle`] | solving and verifying puzzles |
//! | [`verification`] | how much public-key work others can bring about |
//! | [`host`] | the endpoint: every association of one identity, in both roles |
//! | [`config`], [`event`], [`error`] | how a host behaves, what it tells, what goes wrong |
//! | [`counter`] | what it counts |
//! | [`registration`] | what is asked for and granted |
//! | [`item`] | what a service puts into its registrations |
//! | [`certificates`] | the certificates that a host shows, and is shown |
//! | [`association`], [`security`] | what can be seen of an association, and what protects it |
//!
//! Behind [`Host`] stand one file for each exchange (`exchange/`), the precomputed R1s and stateless puzzles
//! (`responder.rs`), who gets one (`calls.rs`), how their difficulty follows the load (`difficulty.rs`), the hosts that
//! nothing is granted to (`strangers.rs`), and the form in which an association survives a restart (`snapshot.rs`).

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod association;
pub mod certificates;
pub mod config;
pub mod counter;
pub mod error;
pub mod event;
pub mod host;
pub mod iana;
pub mod item;
pub mod keys;
pub mod puzzle;
pub mod registration;
pub mod rules;
pub mod security;
pub mod verification;
pub mod wire;

mod accepted;
mod calls;
mod difficulty;
mod exchange;
mod path;
mod proof;
mod rate;
mod responder;
mod share;
mod snapshot;
mod strangers;

pub use association::{AssociationInfo, AssociationState, EspAgreement, Registration};
pub use certificates::{CertRefusal, CertificateChain, Certificates};
pub use config::{HostConfig, TransportFormats};
pub use counter::Counter;
pub use error::{ApiMisuse, AuthError, Error, FailReason, LimitError, PeerIncompatible, PeerMisbehaved};
pub use event::{Event, Ticket};
pub use host::Host;
pub use item::{Item, NoItem};
pub use registration::{RegistrationAnswer, RegistrationRequest, Side};
pub use security::Security;
