//! Signatures as certificates have them: an algorithm names the digest, the key the curve, and ECDSA signatures are
//! SEQUENCEs of two INTEGERs (RFC 3279 section 2.2.3, RFC 4055, RFC 5758, RFC 8410).

use std::fmt;

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
        ECDSA_P521_SHA512_ASN1, ED25519, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    },
};

use super::{key::PublicKey, signer::verify_by};
use crate::{CryptoError, curve::uncompressed};

/// How a certificate or a list of revoked ones is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateSignature {
    /// ECDSA over SHA-256, on any curve.
    EcdsaSha256,
    /// ECDSA over SHA-384, on any curve.
    EcdsaSha384,
    /// ECDSA over SHA-512, on any curve.
    EcdsaSha512,
    /// Ed25519.
    Ed25519,
    /// RSASSA-PKCS1-v1_5 over SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 over SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 over SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS over SHA-256, the salt as long as the digest.
    RsaPssSha256,
    /// RSASSA-PSS over SHA-384, the salt as long as the digest.
    RsaPssSha384,
    /// RSASSA-PSS over SHA-512, the salt as long as the digest.
    RsaPssSha512,
}

/// A public key that a certificate is about: one that signs in a protocol, or one that signs certificates only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateKey {
    /// A point x | y of 132 octets on P-521.
    EcdsaP521(Vec<u8>),
    /// A key of a kind that signs in protocols too.
    Signing(PublicKey),
}

impl CertificateKey {
    /// Shows the key, if it is of a kind that signs in protocols.
    pub fn signing(&self) -> Option<&PublicKey> {
        match self {
            Self::EcdsaP521(_) => None,
            Self::Signing(key) => Some(key),
        }
    }
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP521(_) => f.write_str("CertificateKey(EcdsaP521)"),
            Self::Signing(key) => write!(f, "CertificateKey({:?})", key.algorithm()),
        }
    }
}

/// What verifies the signatures of certificates.
pub trait CertificateVerifier: Sync + Send {
    /// Verifies a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if such a key does not sign in this way,
    /// [`CryptoError::Authentication`] if the signature is not by this key over this message.
    fn verify(
        &self,
        key: &CertificateKey,
        signature: CertificateSignature,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError>;
}

/// Verification by aws-lc. RSA keys have 2048 to 8192 bits.
pub(crate) struct AwsLc;

impl CertificateVerifier for AwsLc {
    fn verify(
        &self,
        key: &CertificateKey,
        signature: CertificateSignature,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        let [p256, p384, p521] = match signature {
            CertificateSignature::EcdsaSha256 => {
                [&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA256_ASN1, &ECDSA_P521_SHA256_ASN1]
            }
            CertificateSignature::EcdsaSha384 => {
                [&ECDSA_P256_SHA384_ASN1, &ECDSA_P384_SHA384_ASN1, &ECDSA_P521_SHA384_ASN1]
            }
            CertificateSignature::EcdsaSha512 => {
                [&ECDSA_P256_SHA512_ASN1, &ECDSA_P384_SHA512_ASN1, &ECDSA_P521_SHA512_ASN1]
            }
            CertificateSignature::Ed25519 => return ed25519(key, message, tag),
            CertificateSignature::RsaPkcs1Sha256 => {
                return rsa(&RSA_PKCS1_2048_8192_SHA256, key, message, tag);
            }
            CertificateSignature::RsaPkcs1Sha384 => {
                return rsa(&RSA_PKCS1_2048_8192_SHA384, key, message, tag);
            }
            CertificateSignature::RsaPkcs1Sha512 => {
                return rsa(&RSA_PKCS1_2048_8192_SHA512, key, message, tag);
            }
            CertificateSignature::RsaPssSha256 => return rsa(&RSA_PSS_2048_8192_SHA256, key, message, tag),
            CertificateSignature::RsaPssSha384 => return rsa(&RSA_PSS_2048_8192_SHA384, key, message, tag),
            CertificateSignature::RsaPssSha512 => return rsa(&RSA_PSS_2048_8192_SHA512, key, message, tag),
        };
        match key {
            CertificateKey::EcdsaP521(point) => ecdsa(p521, point, message, tag),
            CertificateKey::Signing(PublicKey::EcdsaP256(point)) => ecdsa(p256, point, message, tag),
            CertificateKey::Signing(PublicKey::EcdsaP384(point)) => ecdsa(p384, point, message, tag),
            CertificateKey::Signing(PublicKey::Ed25519(_) | PublicKey::Rsa { .. }) => {
                Err(CryptoError::Unsupported)
            }
        }
    }
}

fn ecdsa(
    verification: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    tag: &[u8],
) -> Result<(), CryptoError> {
    verify_by(verification, &uncompressed(point), message, tag)
}

fn ed25519(key: &CertificateKey, message: &[u8], tag: &[u8]) -> Result<(), CryptoError> {
    match key {
        CertificateKey::Signing(PublicKey::Ed25519(key)) => verify_by(&ED25519, key, message, tag),
        CertificateKey::EcdsaP521(_)
        | CertificateKey::Signing(
            PublicKey::EcdsaP256(_) | PublicKey::EcdsaP384(_) | PublicKey::Rsa { .. },
        ) => Err(CryptoError::Unsupported),
    }
}

fn rsa(
    parameters: &'static RsaParameters,
    key: &CertificateKey,
    message: &[u8],
    tag: &[u8],
) -> Result<(), CryptoError> {
    match key {
        CertificateKey::Signing(PublicKey::Rsa { modulus, exponent }) => {
            PublicKeyComponents { n: modulus, e: exponent }
                .verify(parameters, message, tag)
                .map_err(|_| CryptoError::Authentication)
        }
        CertificateKey::EcdsaP521(_)
        | CertificateKey::Signing(
            PublicKey::EcdsaP256(_) | PublicKey::EcdsaP384(_) | PublicKey::Ed25519(_),
        ) => Err(CryptoError::Unsupported),
    }
}
