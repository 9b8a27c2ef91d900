//! Digests.

use std::{fmt, ops::Deref};

use aws_lc_rs::digest;
use cshake::{
    CShake128,
    digest::{ExtendableOutput, Update, XofReader},
};
use zeroize::Zeroize;

/// The longest digest in octets.
pub const DIGEST_LEN_MAX: usize = 64;

/// The hash functions that the protocols name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-1, 20 octets; only where an old peer's format demands it.
    Sha1,
    /// SHA-256, 32 octets.
    Sha256,
    /// SHA-384, 48 octets.
    Sha384,
    /// SHA-512, 64 octets.
    Sha512,
    /// cSHAKE128 with a 256-bit output and empty customisation (NIST SP 800-185), 32 octets.
    CShake128,
}

/// A hash function.
pub trait Hash: Sync + Send {
    /// Says which function this is.
    fn algorithm(&self) -> HashAlgorithm;

    /// Says how many octets a digest has.
    fn output_len(&self) -> usize;

    /// Hashes the concatenation of `parts`.
    fn digest(&self, parts: &[&[u8]]) -> Digest;
}

/// The output of a hash function or prf. It may be a key, so it is erased when dropped and not printed.
#[derive(Clone)]
pub struct Digest {
    octets: [u8; DIGEST_LEN_MAX],
    length: usize,
}

impl Digest {
    /// Copies a digest of at most [`DIGEST_LEN_MAX`] octets.
    pub(crate) fn from_slice(octets: &[u8]) -> Self {
        let mut digest = Self { octets: [0; DIGEST_LEN_MAX], length: octets.len() };
        digest.octets[..octets.len()].copy_from_slice(octets);
        digest
    }

    /// Compares in constant time.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        crate::secret::ct_eq(self, other)
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({} octets)", self.length)
    }
}

struct Sha(HashAlgorithm, &'static digest::Algorithm);

impl Hash for Sha {
    fn algorithm(&self) -> HashAlgorithm {
        self.0
    }

    fn output_len(&self) -> usize {
        self.1.output_len()
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = digest::Context::new(self.1);
        for part in parts {
            context.update(part);
        }
        Digest::from_slice(context.finish().as_ref())
    }
}

struct CShake128Hash;

impl Hash for CShake128Hash {
    fn algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::CShake128
    }

    fn output_len(&self) -> usize {
        32
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut octets = [0; 32];
        cshake128(b"", b"", parts, &mut octets);
        Digest::from_slice(&octets)
    }
}

/// Computes cSHAKE128(parts, 8 · |output|, function name, customisation) (NIST SP 800-185 section 3).
pub fn cshake128(function_name: &[u8], customization: &[u8], parts: &[&[u8]], output: &mut [u8]) {
    let mut state = CShake128::new_with_function_name(function_name, customization);
    for part in parts {
        state.update(part);
    }
    state.finalize_xof().read(output);
}

/// Every hash function of the default provider.
pub(crate) static HASHES: &[&dyn Hash] = &[
    &Sha(HashAlgorithm::Sha1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
    &Sha(HashAlgorithm::Sha256, &digest::SHA256),
    &Sha(HashAlgorithm::Sha384, &digest::SHA384),
    &Sha(HashAlgorithm::Sha512, &digest::SHA512),
    &CShake128Hash,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_the_concatenation() {
        for hash in HASHES {
            let whole = hash.digest(&[b"abcdef"]);
            assert_eq!(whole.len(), hash.output_len());
            assert!(whole.ct_eq(&hash.digest(&[b"ab", b"", b"cdef"])));
            assert!(!whole.ct_eq(&hash.digest(&[b"abcdeg"])));
        }
    }

    /// NIST SP 800-185 sample #1.
    #[test]
    fn cshake128_sample_1() {
        let mut output = [0; 32];
        cshake128(b"", b"Email Signature", &[&[0, 1, 2, 3]], &mut output);
        let expected = [
            0xC1, 0xC3, 0x69, 0x25, 0xB6, 0x40, 0x9A, 0x04, 0xF1, 0xB5, 0x04, 0xFC, 0xBC, 0xA9, 0xD8, 0x2B,
            0x40, 0x17, 0x27, 0x7C, 0xB5, 0xED, 0x2B, 0x20, 0x65, 0xFC, 0x1D, 0x38, 0x14, 0xD5, 0xAA, 0xF5,
        ];
        assert_eq!(output, expected);
    }
}
