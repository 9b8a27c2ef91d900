//! Kinds of keys, and public keys.

use std::fmt;

/// The kinds of key that can sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, with SHA-256.
    EcdsaP256,
    /// ECDSA on NIST P-384, with SHA-384.
    EcdsaP384,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA; new keys have 3072 bits.
    Rsa,
}

/// How a key signs. ECDSA signatures are r | s at fixed length (RFC 4754 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 over SHA-256: 64 octets.
    EcdsaP256Sha256,
    /// ECDSA on P-384 over SHA-384: 96 octets.
    EcdsaP384Sha384,
    /// Ed25519: 64 octets.
    Ed25519,
    /// RSASSA-PKCS1-v1_5 over SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PSS over SHA-256, the salt as long as the digest.
    RsaPssSha256,
}

/// A public key, in the parts that the protocols carry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// A point x | y of 64 octets.
    EcdsaP256(Vec<u8>),
    /// A point x | y of 96 octets.
    EcdsaP384(Vec<u8>),
    /// 32 octets.
    Ed25519([u8; 32]),
    /// Modulus and public exponent, big-endian, without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// Says which kind of key this is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self {
            Self::EcdsaP256(_) => KeyAlgorithm::EcdsaP256,
            Self::EcdsaP384(_) => KeyAlgorithm::EcdsaP384,
            Self::Ed25519(_) => KeyAlgorithm::Ed25519,
            Self::Rsa { .. } => KeyAlgorithm::Rsa,
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithm())
    }
}
