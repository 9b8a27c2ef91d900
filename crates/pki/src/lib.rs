//! Judges X.509 certificates: chains, constraints and revocation (RFC 5280).
//!
//! A [`Certificate`] is read once, and keeps the octets that were signed. [`Authority::judge`] takes one that a peer
//! showed, with the certificates that it sent along, and finds a chain from it to a pinned root, or says which
//! certificate broke which [`Rule`]. Time is an argument; nothing is fetched.
//!
//! | module | what |
//! |---|---|
//! | [`certificate`] | a certificate, with its extensions as types |
//! | [`name`] | distinguished names: how they compare and how they are shown |
//! | [`crl`] | lists of revoked certificates |
//! | [`issue`] | certificates and lists made and signed |
//! | [`authority`] | pinned roots and lists: the judge |
//! | [`rights`] | the extension that says who may do what in which groups |
//! | [`owner`] | a group owner: pinned roots, and what they say of a host |
//! | [`public_key`] | public keys as files |
//! | [`limits`] | how much of what is looked at |
//!
//! What it does not do: certificate policies (RFC 5280 section 6.1.1 c to f), indirect lists, lists for some reasons
//! only, and delta lists. A certificate or list in which one of these is critical is refused.
//!
//! ```
//! use claviger_pki::{Authority, Certificate, Purpose, Revocation};
//!
//! # fn judge(root: &[u8], shown: &[u8], now: u64) -> Result<(), Box<dyn std::error::Error>> {
//! let root = Certificate::from_der(root)?;
//! let authority = Authority::new(claviger_crypto::provider(), vec![root], Revocation::NotChecked);
//! let shown = Certificate::from_der(shown)?;
//! let chain = authority.judge(&shown, &[], &Purpose::default(), now)?;
//! assert_eq!(chain.len(), 2);
//! # Ok(())
//! # }
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod authority;
pub mod certificate;
pub mod crl;
pub mod issue;
pub mod limits;
pub mod name;
pub mod owner;
pub mod public_key;
pub mod rights;

mod algorithm;
mod constraints;
mod distribution_point;
mod error;
mod extension;
mod extensions;
mod general_name;
mod octets;
mod oid;
mod path;
mod read_error;
mod revocation;
mod rfc4514;
mod tbs_certificate;

pub use authority::{Authority, Purpose, Revocation};
pub use certificate::Certificate;
pub use crl::Crl;
pub use error::{Error, Named, Rule};
pub use extension::Extension;
pub use extensions::{BasicConstraints, Extensions, KeyUsage};
pub use general_name::{GeneralName, OtherForm};
pub use issue::{Issuer, Request};
pub use name::Name;
pub use oid::Oid;
pub use owner::{GroupOwner, OwnerError, Warrant};
pub use read_error::ReadError;
pub use rfc4514::NameError;
pub use rights::{GroupRight, GroupRights, RightsError, Roles};
