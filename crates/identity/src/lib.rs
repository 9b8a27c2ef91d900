//! Holds host identities: public keys as HIP carries them, the HITs that name them, and their private halves.
//!
//! | module | what |
//! |---|---|
//! | [`hit`] | the 128-bit Host Identity Tag |
//! | [`suite`] | which hash and which signatures a HIT stands for |
//! | [`orchid`] | how a HIT is made from a key (RFC 7343) |
//! | [`host_id`] | a public key with its domain identifier, as HOST_ID carries it (RFC 7401 section 5.2.9) |
//! | [`host_identity`] | a key pair, in memory or in a hardware module, with its HOST_ID and HIT |
//! | [`pem`] | the text form that keeps a private key in a file |
//!
//! ```
//! use claviger_crypto::{SystemRandom, provider, sign::KeyAlgorithm};
//! use claviger_identity::HostIdentity;
//!
//! let host = HostIdentity::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new()?)?;
//! assert_eq!(host.host_id().hit(provider()), Ok(host.hit()));
//! let signature = host.sign(b"message")?;
//! assert!(host.host_id().verify(provider(), b"message", host.host_id().algorithm(), &signature).is_ok());
//! # Ok::<(), claviger_identity::IdentityError>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod error;
pub mod hit;
pub mod host_id;
pub mod host_identity;
pub mod orchid;
pub mod pem;
pub mod suite;

pub use error::IdentityError;
pub use hit::Hit;
pub use host_id::{DomainIdentifier, HiAlgorithm, HostId};
pub use host_identity::HostIdentity;
pub use suite::HitSuite;
