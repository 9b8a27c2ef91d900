//! Encrypts many keys under many keys at once.
//!
//! A key server that replaces the keys of a tree encrypts each new key once for each child, under a key of its own:
//! thousands of independent jobs of one or a few blocks, where a key schedule counts as much as the encryption.
//! An [`Engine`] does several of them side by side in the lanes and registers of the CPU. What comes out does not
//! depend on the engine.
//!
//! | operation | what | octets out, for `n` in |
//! |---|---|---|
//! | [`Engine::wrap`], [`Engine::unwrap`] | AES key wrap, RFC 3394 | `n + 8`, [`wrapped_len`] |
//! | [`Engine::wrap_padded`], [`Engine::unwrap_padded`] | AES key wrap with padding, RFC 5649 | [`padded_len`] |
//! | [`Engine::encrypt_cbc`], [`Engine::decrypt_cbc`] | AES-CBC with an explicit IV, as RFC 6407 section 5.6.3 uses it | `n` |
//! | [`Engine::advance`] | the next key after a key, by a one-way function | the key's length |
//! | [`Engine::derive_iv`] | an IV that belongs to a key | 16 |
//!
//! The keys of one call have one length, 16 or 32 octets, and its inputs have one length. Outputs stand one after
//! the other, in the order of the jobs.
//!
//! ```
//! use claviger_keywrap::{Engine, Job, Wrapped};
//!
//! let engine = Engine::best();
//! let (parent, children) = ([7; 32], [[1; 32], [2; 32], [3; 32]]);
//! let mut wrapped = [0; 3 * 40];
//! engine.wrap(children.iter().map(|under| Job { under, plaintext: &parent }), &mut wrapped)?;
//!
//! let second = Wrapped { under: &children[1], ciphertext: &wrapped[40..80] };
//! assert_eq!(engine.unwrap_one(second)?.expose(), parent);
//! # Ok::<(), claviger_crypto::CryptoError>(())
//! ```
//!
//! Nothing here branches on a secret or looks one up in a table, but for the verdict on an unwrapped key and its
//! length. Key schedules are erased when a call returns; blocks under way are in registers, which the compiler may
//! spill to the stack and nobody erases.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod engine;
pub mod job;

mod check;
mod kdf;
mod one;
mod portable;
mod shape;
#[cfg(target_arch = "x86_64")]
mod vector;

pub use engine::Engine;
pub use job::{CbcEncrypted, CbcJob, Job, Wrapped, padded_len, wrapped_len};

/// Asks the CPU, if it can be asked, to fetch `octets` from memory while it does something else: keys that lie far
/// apart and will be wrapped, or wrapped under, soon. It changes nothing but the time that this takes.
#[inline]
pub fn fetch_ahead(octets: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    vector::ahead::fetch(octets);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = octets;
}
