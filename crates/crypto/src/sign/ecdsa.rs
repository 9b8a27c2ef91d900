//! ECDSA on the NIST curves (RFC 4754): signatures are r | s at fixed length.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm,
        KeyPair,
    },
};

use super::{
    key::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    signer::{SignatureScheme, Signer, SigningKey, verify_by},
};
use crate::{
    CryptoError, Random, SecretBytes,
    curve::{self, Curve, uncompressed},
};

/// ECDSA on one curve, with the digest that RFC 4754 gives it.
pub(super) struct Ecdsa {
    key: KeyAlgorithm,
    signature: SignatureAlgorithm,
    curve: &'static Curve,
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static EcdsaVerificationAlgorithm,
}

pub(super) static P256: Ecdsa = Ecdsa {
    key: KeyAlgorithm::EcdsaP256,
    signature: SignatureAlgorithm::EcdsaP256Sha256,
    curve: &curve::P256,
    signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
    verification: &ECDSA_P256_SHA256_FIXED,
};

pub(super) static P384: Ecdsa = Ecdsa {
    key: KeyAlgorithm::EcdsaP384,
    signature: SignatureAlgorithm::EcdsaP384Sha384,
    curve: &curve::P384,
    signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
    verification: &ECDSA_P384_SHA384_FIXED,
};

impl Ecdsa {
    fn public(&self, pair: &EcdsaKeyPair) -> Result<PublicKey, CryptoError> {
        let point = pair.public_key().as_ref().strip_prefix(&[curve::UNCOMPRESSED]);
        let point = point.ok_or(CryptoError::Key)?.to_vec();
        match self.key {
            KeyAlgorithm::EcdsaP256 => Ok(PublicKey::EcdsaP256(point)),
            KeyAlgorithm::EcdsaP384 => Ok(PublicKey::EcdsaP384(point)),
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa => Err(CryptoError::Unsupported),
        }
    }
}

impl SignatureScheme for Ecdsa {
    fn algorithm(&self) -> KeyAlgorithm {
        self.key
    }

    fn generate(&self, random: &mut dyn Random) -> Result<SigningKey, CryptoError> {
        let drawn = self.curve.draw(random)?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            self.signing,
            drawn.scalar.expose(),
            &uncompressed(&drawn.public),
        );
        let document = pair.map_err(|_| CryptoError::Key)?.to_pkcs8v1().map_err(|_| CryptoError::Key)?;
        self.read(SecretBytes::copy_of(document.as_ref()))
    }

    fn read(&self, pkcs8: SecretBytes) -> Result<SigningKey, CryptoError> {
        let pair = EcdsaKeyPair::from_pkcs8(self.signing, pkcs8.expose()).map_err(|_| CryptoError::Key)?;
        let signer = EcdsaSigner { public: self.public(&pair)?, algorithm: self.signature, pair };
        Ok(SigningKey::new(Box::new(signer), pkcs8))
    }

    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        match key {
            PublicKey::EcdsaP256(point) | PublicKey::EcdsaP384(point)
                if key.algorithm() == self.key && algorithm == self.signature =>
            {
                verify_by(self.verification, &uncompressed(point), message, tag)
            }
            PublicKey::EcdsaP256(_)
            | PublicKey::EcdsaP384(_)
            | PublicKey::Ed25519(_)
            | PublicKey::Rsa { .. } => Err(CryptoError::Unsupported),
        }
    }
}

struct EcdsaSigner {
    pair: EcdsaKeyPair,
    algorithm: SignatureAlgorithm,
    public: PublicKey,
}

impl Signer for EcdsaSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if algorithm != self.algorithm {
            return Err(CryptoError::Unsupported);
        }
        // aws-lc ignores the source that it is given here, and draws the nonce from its own.
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| CryptoError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}
