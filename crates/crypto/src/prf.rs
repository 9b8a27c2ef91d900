//! Keyed digests: HMAC (RFC 2104) and KMAC128 (NIST SP 800-185).

use std::fmt;

use aws_lc_rs::hmac;

use crate::{
    hash::{Digest, HashAlgorithm, cshake128},
    secret::ct_eq,
};

/// A keyed pseudo-random function, also used as a MAC.
pub trait Prf: Sync + Send {
    /// Says which hash function stands behind it.
    fn algorithm(&self) -> HashAlgorithm;

    /// Says how many octets the output has.
    fn output_len(&self) -> usize;

    /// Computes the function over the concatenation of `parts`.
    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest;

    /// Says whether `tag` is the output's first `tag.len()` octets, at least `tag_len_min` of them.
    fn verify(&self, key: &[u8], parts: &[&[u8]], tag: &[u8], tag_len_min: usize) -> bool {
        let expected = self.prf(key, parts);
        tag.len() >= tag_len_min && tag.len() <= expected.len() && ct_eq(&expected[..tag.len()], tag)
    }
}

impl fmt::Debug for dyn Prf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prf({:?})", self.algorithm())
    }
}

struct Hmac(HashAlgorithm, hmac::Algorithm);

impl Prf for Hmac {
    fn algorithm(&self) -> HashAlgorithm {
        self.0
    }

    fn output_len(&self) -> usize {
        self.1.digest_algorithm().output_len()
    }

    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&hmac::Key::new(self.1, key));
        for part in parts {
            context.update(part);
        }
        Digest::from_slice(context.sign().as_ref())
    }
}

/// KMAC128 with a 256-bit output and empty customisation.
struct Kmac128;

/// The rate of Keccak\[256\] in octets, to which KMAC pads its key.
const KMAC128_RATE: usize = 168;

impl Prf for Kmac128 {
    fn algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::CShake128
    }

    fn output_len(&self) -> usize {
        32
    }

    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest {
        let mut padded_key = zeroize::Zeroizing::new(Vec::with_capacity(key.len() + KMAC128_RATE + 16));
        padded_key.extend_from_slice(&left_encode(KMAC128_RATE));
        padded_key.extend_from_slice(&left_encode(key.len() * 8));
        padded_key.extend_from_slice(key);
        let padded_len = padded_key.len().next_multiple_of(KMAC128_RATE);
        padded_key.resize(padded_len, 0);

        let output_bits = [1, 0, 2]; // right_encode(256)
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 2);
        all.push(&padded_key);
        all.extend_from_slice(parts);
        all.push(&output_bits);
        let mut output = [0; 32];
        cshake128(b"KMAC", b"", &all, &mut output);
        Digest::from_slice(&output)
    }
}

/// Encodes an integer behind its length in octets (NIST SP 800-185 section 2.3.1).
fn left_encode(value: usize) -> Vec<u8> {
    let octets = value.to_be_bytes();
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count().min(octets.len() - 1);
    let mut encoded = vec![(octets.len() - zeros) as u8];
    encoded.extend_from_slice(&octets[zeros..]);
    encoded
}

/// Every prf of the default provider, named by the hash behind it.
pub(crate) static PRFS: &[&dyn Prf] = &[
    &Hmac(HashAlgorithm::Sha1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
    &Hmac(HashAlgorithm::Sha256, hmac::HMAC_SHA256),
    &Hmac(HashAlgorithm::Sha384, hmac::HMAC_SHA384),
    &Hmac(HashAlgorithm::Sha512, hmac::HMAC_SHA512),
    &Kmac128,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-185 KMAC sample #1.
    #[test]
    fn kmac128_sample_1() {
        let key: Vec<u8> = (0x40..0x60).collect();
        let tag = Kmac128.prf(&key, &[&[0, 1], &[2, 3]]);
        let expected = [
            0xE5, 0x78, 0x0B, 0x0D, 0x3E, 0xA6, 0xF7, 0xD3, 0xA4, 0x29, 0xC5, 0x70, 0x6A, 0xA4, 0x3A, 0x00,
            0xFA, 0xDB, 0xD7, 0xD4, 0x96, 0x28, 0x83, 0x9E, 0x31, 0x87, 0x24, 0x3F, 0x45, 0x6E, 0xE1, 0x4E,
        ];
        assert!(tag.ct_eq(&expected));
    }

    #[test]
    fn verifies_full_and_truncated_tags_only() {
        for prf in PRFS {
            let tag = prf.prf(b"key", &[b"message"]);
            assert!(prf.verify(b"key", &[b"mess", b"age"], &tag, tag.len()));
            assert!(prf.verify(b"key", &[b"message"], &tag[..16], 16));
            assert!(!prf.verify(b"key", &[b"message"], &tag[..15], 16));
            assert!(!prf.verify(b"key", &[b"massage"], &tag, 16));
            assert!(!prf.verify(b"kez", &[b"message"], &tag, 16));
            assert!(!prf.verify(b"key", &[b"message"], &[&tag[..], &[0]].concat(), 16));
        }
    }
}
