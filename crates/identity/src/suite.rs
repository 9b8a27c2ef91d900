//! Which hash and which signatures a HIT stands for (RFC 7401 section 5.2.10).

use claviger_crypto::hash::HashAlgorithm;

use crate::{HiAlgorithm, Hit};

/// The HIT suites: the four-bit OGA ID of a HIT, its hash RHASH, and the MAC over that hash.
///
/// The MAC is the prf that `claviger_crypto` names by the same [`HashAlgorithm`]: HMAC, or KMAC128 for cSHAKE128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HitSuite {
    /// RSA or DSA with SHA-256.
    RsaDsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA_LOW with SHA-1: recognised so that it can be refused by name.
    EcdsaLowSha1,
    /// EdDSA with cSHAKE128 (RFC 9374).
    EddsaCshake128,
}

impl HitSuite {
    /// Every suite.
    pub const ALL: [Self; 4] =
        [Self::RsaDsaSha256, Self::EcdsaSha384, Self::EcdsaLowSha1, Self::EddsaCshake128];

    /// Finds the suite of a four-bit OGA ID.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// Finds the suite of an octet of HIT_SUITE_LIST; its four low-order bits must be zero.
    pub fn from_list_octet(octet: u8) -> Option<Self> {
        (octet & 0x0f == 0).then(|| Self::from_id(octet >> 4)).flatten()
    }

    /// Finds the suite that a HIT names.
    pub fn of_hit(hit: Hit) -> Option<Self> {
        hit.is_orchid().then(|| Self::from_id(hit.suite_id())).flatten()
    }

    /// Finds the suite that hashes keys of an algorithm.
    pub fn of_algorithm(algorithm: HiAlgorithm) -> Option<Self> {
        match algorithm {
            HiAlgorithm::DSA | HiAlgorithm::RSA => Some(Self::RsaDsaSha256),
            HiAlgorithm::ECDSA => Some(Self::EcdsaSha384),
            HiAlgorithm::ECDSA_LOW => Some(Self::EcdsaLowSha1),
            HiAlgorithm::EDDSA => Some(Self::EddsaCshake128),
            _ => None,
        }
    }

    /// Returns the four-bit OGA ID.
    pub const fn id(self) -> u8 {
        match self {
            Self::RsaDsaSha256 => 1,
            Self::EcdsaSha384 => 2,
            Self::EcdsaLowSha1 => 3,
            Self::EddsaCshake128 => 5,
        }
    }

    /// Returns the octet that names the suite in HIT_SUITE_LIST: the OGA ID in the four high-order bits.
    pub const fn list_octet(self) -> u8 {
        self.id() << 4
    }

    /// Returns RHASH, the hash of a Responder with a HIT of this suite.
    pub const fn rhash(self) -> HashAlgorithm {
        match self {
            Self::RsaDsaSha256 => HashAlgorithm::Sha256,
            Self::EcdsaSha384 => HashAlgorithm::Sha384,
            Self::EcdsaLowSha1 => HashAlgorithm::Sha1,
            Self::EddsaCshake128 => HashAlgorithm::CShake128,
        }
    }

    /// Says how many octets RHASH puts out: the size of #I, #J and a HIP_MAC.
    pub const fn rhash_len(self) -> usize {
        match self {
            Self::RsaDsaSha256 | Self::EddsaCshake128 => 32,
            Self::EcdsaSha384 => 48,
            Self::EcdsaLowSha1 => 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::provider;

    use super::*;

    #[test]
    fn ids_and_octets_name_their_suite() {
        for suite in HitSuite::ALL {
            assert_eq!(HitSuite::from_id(suite.id()), Some(suite));
            assert_eq!(HitSuite::from_list_octet(suite.list_octet()), Some(suite));
            assert_eq!(HitSuite::from_list_octet(suite.list_octet() | 1), None);
            assert_eq!(provider().hash(suite.rhash()).unwrap().output_len(), suite.rhash_len());
            assert_eq!(provider().prf(suite.rhash()).unwrap().output_len(), suite.rhash_len());
        }
        assert_eq!(HitSuite::from_id(0), None);
        assert_eq!(HitSuite::of_hit(Hit::NULL), None);
    }
}
