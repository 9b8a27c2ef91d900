//! A GROUPKEY-PUSH before it is sealed, and what encrypts it.

use claviger_crypto::{
    CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, CipherAlgorithm, CipherKey},
};
use claviger_group::CookiePair;
use claviger_isakmp::{Route, route};

use crate::{
    error::ApiMisuse,
    wire::{Delete, KeyDownload, SaPayload},
};

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

    /// Readies the cipher.
    pub(super) fn prepare(&self, provider: &CryptoProvider) -> Result<Box<dyn CipherKey>, ApiMisuse> {
        let cipher = provider.cipher(self.cipher).map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
        cipher.key(self.key.expose()).map_err(|_| ApiMisuse::UnsupportedAlgorithm)
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

/// Finds the rekey SA that a datagram belongs to; `None` if it is no GROUPKEY-PUSH.
pub fn cookies(datagram: &[u8]) -> Option<CookiePair> {
    if let Route::GroupkeyPush(cookies) = route(datagram) { Some(cookies) } else { None }
}

/// What precedes the header under the signature.
//= rfc6407#section-4
//# The HASH is taken over the string 'rekey', the
//# GROUPKEY-PUSH HDR, followed by all payloads preceding the SIG
//# payload.
pub(super) const SIGNED_PREFIX: &[u8] = b"rekey";
