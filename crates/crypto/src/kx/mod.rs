//! Diffie-Hellman key exchange.
//!
//! Public values travel as RFC 5903 section 7 (x | y, without a leading octet) and RFC 3526 groups (an unsigned
//! integer as long as the prime) have them; shared secrets are the x coordinate, or the integer at full length.

mod ecp;
mod modp;

use crate::{CryptoError, Random, curve};

crate::secret_type! {
    /// What two sides of an exchange have in common.
    pub struct SharedSecret;
}

/// The groups that the protocols name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KxAlgorithm {
    /// 1536-bit MODP group; only where configured for old peers.
    Modp1536,
    /// 2048-bit MODP group.
    Modp2048,
    /// 3072-bit MODP group.
    Modp3072,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl KxAlgorithm {
    /// Says how many bits of symmetric strength the group is reckoned to have (NIST SP 800-57).
    pub const fn strength_bits(self) -> u32 {
        match self {
            Self::Modp1536 => 90,
            Self::Modp2048 => 112,
            Self::Modp3072 | Self::P256 => 128,
            Self::P384 => 192,
            Self::P521 => 256,
        }
    }
}

/// A Diffie-Hellman group.
pub trait KxGroup: Sync + Send {
    /// Says which group this is.
    fn algorithm(&self) -> KxAlgorithm;

    /// Says how many octets a public value has.
    fn public_len(&self) -> usize;

    /// Makes a key pair from `random` and nothing else.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Random`] if `random` yields no key.
    fn generate(&self, random: &mut dyn Random) -> Result<Box<dyn KxPrivate>, CryptoError>;
}

/// A key pair; it may serve several exchanges, as a precomputed R1 demands.
pub trait KxPrivate: Sync + Send {
    /// Shows the public value.
    fn public(&self) -> &[u8];

    /// Computes the shared secret with a peer's public value.
    ///
    /// # Errors
    ///
    /// [`CryptoError::PublicValue`] if the peer's value is not a member of the group.
    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError>;
}

/// Every group of the default provider.
pub(crate) static KX_GROUPS: &[&dyn KxGroup] = &[
    &modp::Modp { algorithm: KxAlgorithm::Modp1536, prime_hex: modp::PRIME_1536 },
    &modp::Modp { algorithm: KxAlgorithm::Modp2048, prime_hex: modp::PRIME_2048 },
    &modp::Modp { algorithm: KxAlgorithm::Modp3072, prime_hex: modp::PRIME_3072 },
    &ecp::Ecp { algorithm: KxAlgorithm::P256, curve: &curve::P256, public_len: 64 },
    &ecp::Ecp { algorithm: KxAlgorithm::P384, curve: &curve::P384, public_len: 96 },
    &ecp::Ecp { algorithm: KxAlgorithm::P521, curve: &curve::P521, public_len: 132 },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    #[test]
    fn both_sides_agree_in_every_group() {
        let mut random = SeededRandom::new(1);
        for group in KX_GROUPS {
            let one = group.generate(&mut random).unwrap();
            let other = group.generate(&mut random).unwrap();
            assert_eq!(one.public().len(), group.public_len());
            let shared = one.agree(other.public()).unwrap();
            assert_eq!(shared, other.agree(one.public()).unwrap());
            assert!(!shared.expose().is_empty());
        }
    }

    #[test]
    fn key_pairs_repeat_under_a_seed_in_every_group() {
        for group in KX_GROUPS {
            let draw = |seed| group.generate(&mut SeededRandom::new(seed)).unwrap().public().to_vec();
            assert_eq!(draw(1), draw(1), "{:?}", group.algorithm());
            assert_ne!(draw(1), draw(2), "{:?}", group.algorithm());
        }
    }

    #[test]
    fn refuses_values_outside_the_group() {
        let mut random = SeededRandom::new(2);
        for group in KX_GROUPS {
            let private = group.generate(&mut random).unwrap();
            let length = group.public_len();
            let mut one = vec![0; length];
            one[length - 1] = 1;
            for value in [vec![0; length], one, vec![0xff; length], vec![2; length - 1], vec![]] {
                assert_eq!(
                    private.agree(&value).err(),
                    Some(CryptoError::PublicValue),
                    "{:?}",
                    group.algorithm()
                );
            }
        }
    }
}
