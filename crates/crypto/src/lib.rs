//! Gives the protocols their cryptography behind small traits, and their secrets a type.
//!
//! Protocols never name a library: they ask a [`CryptoProvider`] for an algorithm and hold the trait object.
//! [`provider()`] is the one that the programs use: aws-lc for almost everything, RustCrypto for what it lacks
//! (MODP Diffie-Hellman, cSHAKE, KMAC).
//!
//! | module | what |
//! |---|---|
//! | [`secret`] | octets that are zeroized, compared in constant time and never printed |
//! | [`hash`], [`prf`], [`hkdf`] | digests, keyed digests, key derivation |
//! | [`hash_tree`] | Merkle trees: one signature for many messages |
//! | [`cipher`], [`aead`] | AES-CBC; AES-GCM |
//! | [`kx`] | Diffie-Hellman over ECP and MODP groups |
//! | [`sign`] | RSA, ECDSA, Ed25519; keys in memory or behind a [`sign::Signer`] |
//! | [`random`] | the seeded generator that keys come from |
//! | [`locked`], [`stack`] | pages that secrets lie in; what calls leave on the stack |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod aead;
pub mod cipher;
pub mod error;
pub mod hash;
pub mod hash_tree;
pub mod hkdf;
pub mod kx;
pub mod locked;
pub mod prf;
pub mod random;
pub mod secret;
pub mod sign;
pub mod stack;

mod curve;
mod provider;

pub use error::CryptoError;
pub use provider::{CryptoProvider, provider};
pub use random::{Random, SeededRandom, SystemRandom};
pub use secret::SecretBytes;
pub use stack::erase_stack;
