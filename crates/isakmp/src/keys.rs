//! The key schedule of exchanges under a security association (RFC 2409 section 5.5 and appendix B).

use claviger_crypto::{
    CryptoError, CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, Cipher, CipherKey},
    hash::{Digest, Hash},
    prf::Prf,
};
use claviger_group::{CookiePair, RegistrationSa};

/// What SKEYID_l is derived with.
const LEASE_LABEL: &[u8] = b"lease";

/// What protects the exchanges under one registration SA.
pub struct ExchangeKeys {
    cookies: CookiePair,
    skeyid_a: SecretBytes,
    /// The key of what is said of leases, which is told from everything under SKEYID_a by that.
    skeyid_l: SecretBytes,
    phase1_iv: [u8; BLOCK_LEN],
    prf: &'static dyn Prf,
    hash: &'static dyn Hash,
    cipher: &'static dyn Cipher,
    /// Expanded when a message comes or goes: a server has a registration for each member, and few of them pull.
    encryption_key: SecretBytes,
}

impl ExchangeKeys {
    /// Prepares the keys of a registration SA.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the provider lacks one of its algorithms.
    pub fn new(provider: &CryptoProvider, sa: &RegistrationSa) -> Result<Self, CryptoError> {
        let prf = provider.prf(sa.hash)?;
        let encryption_key = encryption_key(prf, &sa.skeyid_e, sa.cipher.key_len());
        Ok(Self {
            cookies: sa.cookies,
            skeyid_a: sa.skeyid_a.clone(),
            skeyid_l: SecretBytes::copy_of(&prf.prf(sa.skeyid_d.expose(), &[LEASE_LABEL])),
            phase1_iv: sa.phase1_iv,
            prf,
            hash: provider.hash(sa.hash)?,
            cipher: provider.cipher(sa.cipher)?,
            encryption_key,
        })
    }

    /// Shows the cookies of the registration SA.
    pub fn cookies(&self) -> CookiePair {
        self.cookies
    }

    /// Computes a HASH payload: prf(SKEYID_a, M-ID | nonces... | everything behind the HASH payload).
    pub fn hash(&self, message_id: u32, nonces: &[&[u8]], behind: &[u8]) -> Digest {
        let message_id = message_id.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&message_id];
        parts.extend_from_slice(nonces);
        parts.push(behind);
        self.prf.prf(self.skeyid_a.expose(), &parts)
    }

    /// Computes the HASH payload of a lease message, private use: prf(SKEYID_l, HDR | everything behind the HASH payload),
    /// where SKEYID_l is prf(SKEYID_d, "lease").
    pub fn lease_hash(&self, header: &[u8], behind: &[u8]) -> Digest {
        self.prf.prf(self.skeyid_l.expose(), &[header, behind])
    }

    /// Says how many octets a HASH payload carries.
    pub fn hash_len(&self) -> usize {
        self.prf.output_len()
    }

    /// Derives the IV of an exchange's first message: hash(last Phase 1 block | M-ID), shortened.
    pub fn first_iv(&self, message_id: u32) -> [u8; BLOCK_LEN] {
        let digest = self.hash.digest(&[&self.phase1_iv, &message_id.to_be_bytes()]);
        *digest.first_chunk().expect("every hash function here has at least 20 octets")
    }

    /// Prepares the cipher.
    ///
    /// # Errors
    ///
    /// [`CryptoError`] if the provider cannot.
    pub fn cipher(&self) -> Result<Box<dyn CipherKey>, CryptoError> {
        self.cipher.key(self.encryption_key.expose())
    }
}

/// Takes SKEYID_e's first octets, or expands it: Ka = K1 | K2 | ..., K1 = prf(SKEYID_e, 0), K2 = prf(SKEYID_e, K1).
fn encryption_key(prf: &dyn Prf, skeyid_e: &SecretBytes, length: usize) -> SecretBytes {
    if let Some(key) = skeyid_e.expose().get(..length) {
        return SecretBytes::copy_of(key);
    }
    SecretBytes::with(length, |key| {
        let mut previous: Option<Digest> = None;
        for part in key.chunks_mut(prf.output_len()) {
            let next = prf.prf(skeyid_e.expose(), &[previous.as_deref().unwrap_or(&[0])]);
            part.copy_from_slice(&next[..part.len()]);
            previous = Some(next);
        }
    })
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{hash::HashAlgorithm, provider};

    use super::*;

    #[test]
    fn short_key_material_is_expanded_as_appendix_b_says() {
        let prf = provider().prf(HashAlgorithm::Sha1).unwrap();
        let material = SecretBytes::new(vec![7; 20]);
        assert_eq!(encryption_key(prf, &material, 16).expose(), [7; 16]);
        let key = encryption_key(prf, &material, 32);
        let k1 = prf.prf(&[7; 20], &[&[0]]);
        let k2 = prf.prf(&[7; 20], &[&k1]);
        assert_eq!(key.expose(), &[&k1[..], &k2[..12]].concat()[..]);
    }
}
