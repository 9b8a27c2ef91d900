//! RSA: RSASSA-PKCS1-v1_5 and RSASSA-PSS over SHA-256 (RFC 8017).

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{self, KeySize, PublicKeyComponents},
    signature::{
        KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
        RsaEncoding, RsaParameters,
    },
};

use super::{
    key::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    signer::{SignatureScheme, Signer, SigningKey},
};
use crate::{CryptoError, Random, SecretBytes};

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

/// Makes a new RSA key of a given size, from aws-lc's own randomness: it takes no other for primes.
pub(super) fn generate(size: RsaSize) -> Result<SigningKey, CryptoError> {
    let size = match size {
        RsaSize::Bits2048 => KeySize::Rsa2048,
        RsaSize::Bits3072 => KeySize::Rsa3072,
        RsaSize::Bits4096 => KeySize::Rsa4096,
    };
    let pair = rsa::KeyPair::generate(size).map_err(|_| CryptoError::Random)?;
    let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| CryptoError::Key)?;
    Rsa.read(SecretBytes::copy_of(document.as_ref()))
}

pub(super) struct Rsa;

impl SignatureScheme for Rsa {
    fn algorithm(&self) -> KeyAlgorithm {
        KeyAlgorithm::Rsa
    }

    fn generate(&self, _random: &mut dyn Random) -> Result<SigningKey, CryptoError> {
        generate(RsaSize::Bits3072)
    }

    fn read(&self, pkcs8: SecretBytes) -> Result<SigningKey, CryptoError> {
        let pair = rsa::KeyPair::from_pkcs8(pkcs8.expose()).map_err(|_| CryptoError::Key)?;
        let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
        let exponent = pair.public_key().exponent().big_endian_without_leading_zero().to_vec();
        let signer = RsaSigner { pair, public: PublicKey::Rsa { modulus, exponent } };
        Ok(SigningKey::new(Box::new(signer), pkcs8))
    }

    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        let (PublicKey::Rsa { modulus, exponent }, Some(parameters)) = (key, parameters(algorithm)) else {
            return Err(CryptoError::Unsupported);
        };
        PublicKeyComponents { n: modulus, e: exponent }
            .verify(parameters, message, tag)
            .map_err(|_| CryptoError::Authentication)
    }
}

struct RsaSigner {
    pair: rsa::KeyPair,
    public: PublicKey,
}

impl Signer for RsaSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let encoding = encoding(algorithm).ok_or(CryptoError::Unsupported)?;
        let mut tag = vec![0; self.pair.public_modulus_len()];
        // aws-lc ignores the source that it is given here, and draws the salt of PSS from its own.
        let signed = self.pair.sign(encoding, &SystemRandom::new(), message, &mut tag);
        signed.map_err(|_| CryptoError::Key)?;
        Ok(tag)
    }
}

fn parameters(algorithm: SignatureAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        SignatureAlgorithm::RsaPssSha256 => Some(&RSA_PSS_2048_8192_SHA256),
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::Ed25519 => None,
    }
}

fn encoding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&RSA_PKCS1_SHA256),
        SignatureAlgorithm::RsaPssSha256 => Some(&RSA_PSS_SHA256),
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::Ed25519 => None,
    }
}
