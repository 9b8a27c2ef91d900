//! GROUPKEY-PUSH: sealing by the key server, opening by a member (RFC 6407 section 4).
//!
//! ```text
//! HDR*, SEQ, [D...,] [SA, KD,] SIG        * encrypted under the KEK
//! ```
//!
//! The signature is over "rekey" | HDR | the payloads before SIG. RFC 6407 leaves open which HDR: it is the one
//! that is sent, the Encryption flag set, but with the Length that the message has before the padding of
//! encryption; so other implementations do it too.
//!
//! A rekey SA whose SA KEK announces a batch form (private use) has one signature over the root of a Merkle tree for
//! many messages; each carries the branch that leads from it to the root ([`seal_batch`]). Its members take the
//! messages in any order, each number once.

use claviger_crypto::{
    CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, CipherAlgorithm, CipherKey},
    sign::{Signer, Verifier},
};
use claviger_group::CookiePair;
use claviger_isakmp::{Route, route};

use crate::{
    error::{ApiMisuse, AuthError},
    wire::{Delete, KeyDownload, SaPayload, sa_kek::signature_algorithm},
};

mod batch;
mod control;
mod open;
mod seal;
mod window;

pub use batch::BatchPlace;
pub use control::{control_room, seal_controls};
pub use open::{RekeySa, VerifiedRekey};
pub use seal::{room, seal, seal_batch};

/// What encrypts the messages of a rekey SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KekMaterial {
    /// The cookies in the header of its messages.
    pub spi: CookiePair,
    /// The cipher.
    pub cipher: CipherAlgorithm,
    /// The IV of every message.
    pub iv: [u8; BLOCK_LEN],
    /// The KEK.
    pub key: SecretBytes,
}

impl KekMaterial {
    /// Takes a KEK of the cipher's key length.
    pub fn new(spi: CookiePair, cipher: CipherAlgorithm, iv: [u8; BLOCK_LEN], key: &[u8]) -> Self {
        Self { spi, cipher, iv, key: SecretBytes::copy_of(key) }
    }
}

/// A message to seal. SA and KD stand together or not at all.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// The rekey SA that it goes out under.
    pub kek: &'a KekMaterial,
    /// Its number under that SA: the first is 1.
    pub sequence: u32,
    /// Which SAs are no more. Neighbours of one protocol share a payload; there are at most 8.
    pub deletes: &'a [Delete],
    /// The policy of new SAs.
    pub sa: Option<&'a SaPayload>,
    /// Their keys.
    pub kd: Option<&'a KeyDownload>,
}

/// What precedes the header under the signature.
//= rfc6407#section-4
//# The HASH is taken over the string 'rekey', the
//# GROUPKEY-PUSH HDR, followed by all payloads preceding the SIG
//# payload.
const SIGNED_PREFIX: &[u8] = b"rekey";

/// Signs octets with the group's key.
fn sign(signer: &dyn Signer, octets: &[u8]) -> Result<Vec<u8>, ApiMisuse> {
    let algorithm = signature_algorithm(signer.public().algorithm());
    signer.sign(algorithm, octets).map_err(|_| ApiMisuse::UnsupportedAlgorithm)
}

/// Verifies what [`sign`] made.
fn verify(key: &Verifier, octets: &[u8], signature: &[u8]) -> Result<(), AuthError> {
    let algorithm = signature_algorithm(key.key().algorithm());
    key.verify(algorithm, octets, signature).map_err(|_| AuthError::Signature)
}

fn prepare(provider: &CryptoProvider, kek: &KekMaterial) -> Result<Box<dyn CipherKey>, ApiMisuse> {
    let cipher = provider.cipher(kek.cipher).map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
    cipher.key(kek.key.expose()).map_err(|_| ApiMisuse::UnsupportedAlgorithm)
}

/// Finds the rekey SA that a datagram belongs to; `None` if it is no GROUPKEY-PUSH.
pub fn cookies(datagram: &[u8]) -> Option<CookiePair> {
    if let Route::GroupkeyPush(cookies) = route(datagram) { Some(cookies) } else { None }
}
