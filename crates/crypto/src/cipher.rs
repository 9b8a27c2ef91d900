//! AES in cipher block chaining mode, without padding of its own.

use aws_lc_rs::{
    cipher::{
        AES_128, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptionContext,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    iv::FixedLength,
};
use zeroize::Zeroizing;

use crate::CryptoError;

/// The block of every cipher here, in octets.
pub const BLOCK_LEN: usize = 16;

/// The CBC ciphers that the protocols name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CipherAlgorithm {
    /// AES-128 in CBC mode.
    Aes128Cbc,
    /// AES-256 in CBC mode.
    Aes256Cbc,
}

impl CipherAlgorithm {
    /// Says how many octets a key has.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Cbc => 16,
            Self::Aes256Cbc => 32,
        }
    }
}

/// A CBC cipher.
pub trait Cipher: Sync + Send {
    /// Says which cipher this is.
    fn algorithm(&self) -> CipherAlgorithm;

    /// Prepares a key of [`CipherAlgorithm::key_len`] octets.
    fn key(&self, key: &[u8]) -> Result<Box<dyn CipherKey>, CryptoError>;
}

/// A key that is ready for use.
pub trait CipherKey: Sync + Send {
    /// Encrypts whole blocks in place.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] unless `in_out` is a multiple of [`BLOCK_LEN`].
    fn encrypt(&self, iv: &[u8; BLOCK_LEN], in_out: &mut [u8]) -> Result<(), CryptoError>;

    /// Decrypts whole blocks in place.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] unless `in_out` is a multiple of [`BLOCK_LEN`].
    fn decrypt(&self, iv: &[u8; BLOCK_LEN], in_out: &mut [u8]) -> Result<(), CryptoError>;
}

struct AesCbc(CipherAlgorithm, &'static Algorithm);

impl Cipher for AesCbc {
    fn algorithm(&self) -> CipherAlgorithm {
        self.0
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn CipherKey>, CryptoError> {
        let unbound = || UnboundCipherKey::new(self.1, key).map_err(|_| CryptoError::Key);
        Ok(Box::new(AesCbcKey {
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?).map_err(|_| CryptoError::Key)?,
            decrypting: DecryptingKey::ecb(unbound()?).map_err(|_| CryptoError::Key)?,
        }))
    }
}

/// aws-lc-rs offers CBC with PKCS #7 padding only. Over whole blocks that padding is one block of its own, so it
/// is cut off after encryption; decryption undoes the single blocks at once and then the chaining.
struct AesCbcKey {
    encrypting: PaddedBlockEncryptingKey,
    decrypting: DecryptingKey,
}

impl CipherKey for AesCbcKey {
    fn encrypt(&self, iv: &[u8; BLOCK_LEN], in_out: &mut [u8]) -> Result<(), CryptoError> {
        if !in_out.len().is_multiple_of(BLOCK_LEN) {
            return Err(CryptoError::Length);
        }
        // Wiped also where the encryption fails; the room is exact, so that nothing is left behind by growing.
        let mut padded = Zeroizing::new(Vec::with_capacity(in_out.len() + BLOCK_LEN));
        padded.extend_from_slice(in_out);
        self.encrypting
            .less_safe_encrypt(&mut *padded, EncryptionContext::Iv128(FixedLength::from(iv)))
            .map_err(|_| CryptoError::Length)?;
        in_out.copy_from_slice(&padded[..in_out.len()]);
        Ok(())
    }

    fn decrypt(&self, iv: &[u8; BLOCK_LEN], in_out: &mut [u8]) -> Result<(), CryptoError> {
        if !in_out.len().is_multiple_of(BLOCK_LEN) {
            return Err(CryptoError::Length);
        }
        if in_out.is_empty() {
            return Ok(());
        }
        let ciphertext = in_out.to_vec();
        self.decrypting.decrypt(in_out, DecryptionContext::None).map_err(|_| CryptoError::Length)?;
        let previous = iv.iter().chain(&ciphertext);
        for (octet, mask) in in_out.iter_mut().zip(previous) {
            *octet ^= mask;
        }
        Ok(())
    }
}

/// Every CBC cipher of the default provider.
pub(crate) static CIPHERS: &[&dyn Cipher] =
    &[&AesCbc(CipherAlgorithm::Aes128Cbc, &AES_128), &AesCbc(CipherAlgorithm::Aes256Cbc, &AES_256)];

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A section F.2.1, first two blocks.
    #[test]
    fn aes128_cbc_sample() {
        let key =
            [0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c];
        let iv: [u8; 16] = std::array::from_fn(|i| i as u8);
        let plain = [
            0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a,
            0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51,
        ];
        let mut octets = plain;
        let key = CIPHERS[0].key(&key).unwrap();
        key.encrypt(&iv, &mut octets).unwrap();
        assert_eq!(octets[..4], [0x76, 0x49, 0xab, 0xac]);
        assert_eq!(octets[16..20], [0x50, 0x86, 0xcb, 0x9b]);
        key.decrypt(&iv, &mut octets).unwrap();
        assert_eq!(octets, plain);
    }

    #[test]
    fn refuses_wrong_keys_and_partial_blocks() {
        for cipher in CIPHERS {
            let length = cipher.algorithm().key_len();
            assert!(cipher.key(&vec![0; length - 1]).is_err());
            let key = cipher.key(&vec![0; length]).unwrap();
            assert_eq!(key.encrypt(&[0; 16], &mut [0; 15]), Err(CryptoError::Length));
            assert_eq!(key.decrypt(&[0; 16], &mut [0; 17]), Err(CryptoError::Length));
            assert_eq!(key.encrypt(&[0; 16], &mut []), Ok(()));
            assert_eq!(key.decrypt(&[0; 16], &mut []), Ok(()));
        }
    }
}
