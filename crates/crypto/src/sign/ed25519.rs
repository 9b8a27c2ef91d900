//! Ed25519 (RFC 8032).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair};

use super::{
    key::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    signer::{SignatureScheme, Signer, SigningKey, verify_by},
};
use crate::{CryptoError, Random, SecretBytes};

/// The octets of a private key, the seed of RFC 8032 section 5.1.5.
const SEED_LEN: usize = 32;

pub(super) struct Ed25519;

impl SignatureScheme for Ed25519 {
    fn algorithm(&self) -> KeyAlgorithm {
        KeyAlgorithm::Ed25519
    }

    fn generate(&self, random: &mut dyn Random) -> Result<SigningKey, CryptoError> {
        let seed = SecretBytes::with(SEED_LEN, |octets| random.fill(octets));
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| CryptoError::Key)?;
        let document = pair.to_pkcs8().map_err(|_| CryptoError::Key)?;
        self.read(SecretBytes::copy_of(document.as_ref()))
    }

    fn read(&self, pkcs8: SecretBytes) -> Result<SigningKey, CryptoError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.expose()).map_err(|_| CryptoError::Key)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| CryptoError::Key)?;
        let signer = Ed25519Signer { pair, public: PublicKey::Ed25519(public) };
        Ok(SigningKey::new(Box::new(signer), pkcs8))
    }

    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        match (key, algorithm) {
            (PublicKey::Ed25519(key), SignatureAlgorithm::Ed25519) => verify_by(&ED25519, key, message, tag),
            _ => Err(CryptoError::Unsupported),
        }
    }
}

struct Ed25519Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Signer for Ed25519Signer {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match algorithm {
            SignatureAlgorithm::Ed25519 => Ok(self.pair.sign(message).as_ref().to_vec()),
            SignatureAlgorithm::EcdsaP256Sha256
            | SignatureAlgorithm::EcdsaP384Sha384
            | SignatureAlgorithm::RsaPkcs1Sha256
            | SignatureAlgorithm::RsaPssSha256 => Err(CryptoError::Unsupported),
        }
    }
}
