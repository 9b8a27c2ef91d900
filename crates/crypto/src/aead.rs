//! AES in Galois/counter mode with a 16-octet tag.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use crate::CryptoError;

/// The octets of a nonce.
pub const NONCE_LEN: usize = 12;

/// The octets of a tag.
pub const TAG_LEN: usize = 16;

/// The AEADs that the protocols name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AeadAlgorithm {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
}

impl AeadAlgorithm {
    /// Says how many octets a key has.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm => 32,
        }
    }
}

/// An authenticated cipher.
pub trait Aead: Sync + Send {
    /// Says which cipher this is.
    fn algorithm(&self) -> AeadAlgorithm;

    /// Prepares a key of [`AeadAlgorithm::key_len`] octets.
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError>;
}

/// A key that is ready for use. The caller never repeats a nonce under it.
pub trait AeadKey: Sync + Send {
    /// Encrypts in place and returns the tag.
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], CryptoError>;

    /// Decrypts in place what ends in its tag, and returns the plaintext. Nothing is revealed on failure.
    fn open<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &'a mut [u8],
    ) -> Result<&'a mut [u8], CryptoError>;
}

struct AesGcm(AeadAlgorithm, &'static Algorithm);

impl Aead for AesGcm {
    fn algorithm(&self) -> AeadAlgorithm {
        self.0
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        let key = UnboundKey::new(self.1, key).map_err(|_| CryptoError::Key)?;
        Ok(Box::new(AesGcmKey(LessSafeKey::new(key))))
    }
}

struct AesGcmKey(LessSafeKey);

impl AeadKey for AesGcmKey {
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], CryptoError> {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), in_out)
            .map_err(|_| CryptoError::Length)?;
        tag.as_ref().try_into().map_err(|_| CryptoError::Length)
    }

    fn open<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &'a mut [u8],
    ) -> Result<&'a mut [u8], CryptoError> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), in_out)
            .map_err(|_| CryptoError::Authentication)
    }
}

/// Every AEAD of the default provider.
pub(crate) static AEADS: &[&dyn Aead] =
    &[&AesGcm(AeadAlgorithm::Aes128Gcm, &AES_128_GCM), &AesGcm(AeadAlgorithm::Aes256Gcm, &AES_256_GCM)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        for aead in AEADS {
            let key = aead.key(&vec![7; aead.algorithm().key_len()]).unwrap();
            let mut sealed = b"plaintext".to_vec();
            let tag = key.seal(&[1; 12], b"aad", &mut sealed).unwrap();
            sealed.extend_from_slice(&tag);
            for octet in 0..sealed.len() {
                let mut forged = sealed.clone();
                forged[octet] ^= 1;
                assert_eq!(key.open(&[1; 12], b"aad", &mut forged), Err(CryptoError::Authentication));
            }
            assert!(key.open(&[2; 12], b"aad", &mut sealed.clone()).is_err());
            assert!(key.open(&[1; 12], b"add", &mut sealed.clone()).is_err());
            assert_eq!(key.open(&[1; 12], b"aad", &mut sealed).unwrap(), b"plaintext");
        }
    }
}
