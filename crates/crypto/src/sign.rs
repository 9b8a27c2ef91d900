//! Signatures: RSA, ECDSA, Ed25519.

use std::fmt;

use aws_lc_rs::{
    rsa::{self, KeySize, PublicKeyComponents},
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair, RsaEncoding, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
    },
};

use crate::{CryptoError, SecretBytes};

/// The kinds of key that can sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
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
#[non_exhaustive]
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
#[non_exhaustive]
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

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the key cannot sign in this way, [`CryptoError::Authentication`] if the
    /// signature is not by this key over this message.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        let by_octets = |verification: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(verification, key)
                .verify(message, tag)
                .map_err(|_| CryptoError::Authentication)
        };
        match (self, algorithm) {
            (Self::EcdsaP256(point), SignatureAlgorithm::EcdsaP256Sha256) => {
                by_octets(&ECDSA_P256_SHA256_FIXED, &uncompressed(point))
            }
            (Self::EcdsaP384(point), SignatureAlgorithm::EcdsaP384Sha384) => {
                by_octets(&ECDSA_P384_SHA384_FIXED, &uncompressed(point))
            }
            (Self::Ed25519(key), SignatureAlgorithm::Ed25519) => by_octets(&ED25519, key),
            (Self::Rsa { modulus, exponent }, algorithm) => {
                let parameters = rsa_parameters(algorithm).ok_or(CryptoError::Unsupported)?;
                PublicKeyComponents { n: modulus, e: exponent }
                    .verify(parameters, message, tag)
                    .map_err(|_| CryptoError::Authentication)
            }
            _ => Err(CryptoError::Unsupported),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithm())
    }
}

/// A private key that signs.
pub struct SigningKey {
    inner: Inner,
    public: PublicKey,
    pkcs8: SecretBytes,
}

enum Inner {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

impl SigningKey {
    /// Makes a new key; RSA keys have 3072 bits.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, CryptoError> {
        let pkcs8 = match algorithm {
            KeyAlgorithm::EcdsaP256 => generate_ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            KeyAlgorithm::EcdsaP384 => generate_ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            KeyAlgorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(|_| CryptoError::Random)?;
                SecretBytes::copy_of(pair.to_pkcs8().map_err(|_| CryptoError::Key)?.as_ref())
            }
            KeyAlgorithm::Rsa => return Self::generate_rsa(RsaSize::Bits3072),
        };
        Self::from_pkcs8(algorithm, pkcs8)
    }

    /// Makes a new RSA key of a given size.
    pub fn generate_rsa(size: RsaSize) -> Result<Self, CryptoError> {
        let size = match size {
            RsaSize::Bits2048 => KeySize::Rsa2048,
            RsaSize::Bits3072 => KeySize::Rsa3072,
            RsaSize::Bits4096 => KeySize::Rsa4096,
        };
        let pair = rsa::KeyPair::generate(size).map_err(|_| CryptoError::Random)?;
        let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
            aws_lc_rs::encoding::AsDer::as_der(&pair).map_err(|_| CryptoError::Key)?;
        Self::from_pkcs8(KeyAlgorithm::Rsa, SecretBytes::copy_of(document.as_ref()))
    }

    /// Reads a key from its PKCS #8 octets.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if they do not hold a key of this kind.
    pub fn from_pkcs8(algorithm: KeyAlgorithm, pkcs8: SecretBytes) -> Result<Self, CryptoError> {
        let octets = pkcs8.expose();
        let ecdsa = |signing: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_pkcs8(signing, octets).map_err(|_| CryptoError::Key)
        };
        let point = |pair: &EcdsaKeyPair| pair.public_key().as_ref()[1..].to_vec();
        let (inner, public) = match algorithm {
            KeyAlgorithm::EcdsaP256 => {
                let pair = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
                let public = PublicKey::EcdsaP256(point(&pair));
                (Inner::Ecdsa(pair), public)
            }
            KeyAlgorithm::EcdsaP384 => {
                let pair = ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)?;
                let public = PublicKey::EcdsaP384(point(&pair));
                (Inner::Ecdsa(pair), public)
            }
            KeyAlgorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(octets).map_err(|_| CryptoError::Key)?;
                let public = pair.public_key().as_ref().try_into().map_err(|_| CryptoError::Key)?;
                (Inner::Ed25519(pair), PublicKey::Ed25519(public))
            }
            KeyAlgorithm::Rsa => {
                let pair = rsa::KeyPair::from_pkcs8(octets).map_err(|_| CryptoError::Key)?;
                let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
                let exponent = pair.public_key().exponent().big_endian_without_leading_zero().to_vec();
                (Inner::Rsa(pair), PublicKey::Rsa { modulus, exponent })
            }
        };
        Ok(Self { inner, public, pkcs8 })
    }

    /// Signs `message`.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the key cannot sign in this way.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        match (&self.inner, algorithm, self.public.algorithm()) {
            (Inner::Ecdsa(pair), SignatureAlgorithm::EcdsaP256Sha256, KeyAlgorithm::EcdsaP256)
            | (Inner::Ecdsa(pair), SignatureAlgorithm::EcdsaP384Sha384, KeyAlgorithm::EcdsaP384) => {
                Ok(pair.sign(&random, message).map_err(|_| CryptoError::Random)?.as_ref().to_vec())
            }
            (Inner::Ed25519(pair), SignatureAlgorithm::Ed25519, _) => {
                Ok(pair.sign(message).as_ref().to_vec())
            }
            (Inner::Rsa(pair), algorithm, _) => {
                let encoding = rsa_encoding(algorithm).ok_or(CryptoError::Unsupported)?;
                let mut tag = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut tag).map_err(|_| CryptoError::Key)?;
                Ok(tag)
            }
            _ => Err(CryptoError::Unsupported),
        }
    }

    /// Shows the public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Shows the key as PKCS #8 octets, for a file of mode 0600 or an encrypted record.
    pub fn pkcs8(&self) -> &SecretBytes {
        &self.pkcs8
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?}, ..)", self.public.algorithm())
    }
}

/// The sizes of new RSA keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaSize {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

fn generate_ecdsa(signing: &'static EcdsaSigningAlgorithm) -> Result<SecretBytes, CryptoError> {
    let pair = EcdsaKeyPair::generate(signing).map_err(|_| CryptoError::Random)?;
    Ok(SecretBytes::copy_of(pair.to_pkcs8v1().map_err(|_| CryptoError::Key)?.as_ref()))
}

fn uncompressed(point: &[u8]) -> Vec<u8> {
    [&[4], point].concat()
}

fn rsa_parameters(algorithm: SignatureAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        SignatureAlgorithm::RsaPssSha256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        _ => None,
    }
}

fn rsa_encoding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&signature::RSA_PKCS1_SHA256),
        SignatureAlgorithm::RsaPssSha256 => Some(&signature::RSA_PSS_SHA256),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [(KeyAlgorithm, SignatureAlgorithm); 5] = [
        (KeyAlgorithm::EcdsaP256, SignatureAlgorithm::EcdsaP256Sha256),
        (KeyAlgorithm::EcdsaP384, SignatureAlgorithm::EcdsaP384Sha384),
        (KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519),
        (KeyAlgorithm::Rsa, SignatureAlgorithm::RsaPkcs1Sha256),
        (KeyAlgorithm::Rsa, SignatureAlgorithm::RsaPssSha256),
    ];

    #[test]
    fn every_key_signs_verifies_and_survives_storage() {
        for (key_algorithm, algorithm) in PAIRS {
            let key = SigningKey::generate(key_algorithm).unwrap();
            let key = SigningKey::from_pkcs8(key_algorithm, key.pkcs8().clone()).unwrap();
            let mut tag = key.sign(algorithm, b"message").unwrap();
            let public = key.public();
            assert_eq!(public.verify(algorithm, b"message", &tag), Ok(()));
            assert_eq!(public.verify(algorithm, b"massage", &tag), Err(CryptoError::Authentication));
            tag[5] ^= 1;
            assert_eq!(public.verify(algorithm, b"message", &tag), Err(CryptoError::Authentication));
            assert_eq!(public.verify(algorithm, b"message", &[]), Err(CryptoError::Authentication));
        }
    }

    #[test]
    fn keys_do_not_sign_in_ways_that_are_not_theirs() {
        let key = SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        assert_eq!(key.sign(SignatureAlgorithm::EcdsaP384Sha384, b""), Err(CryptoError::Unsupported));
        assert_eq!(
            key.public().verify(SignatureAlgorithm::RsaPssSha256, b"", b""),
            Err(CryptoError::Unsupported)
        );
        assert!(SigningKey::from_pkcs8(KeyAlgorithm::EcdsaP384, key.pkcs8().clone()).is_err());
    }
}
