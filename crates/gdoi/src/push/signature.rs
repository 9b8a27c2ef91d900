//! Signatures by the group's key.

use claviger_crypto::sign::{PublicKey, Signer, Verifier};

use crate::{
    error::{ApiMisuse, AuthError},
    wire::sa_kek::signature_algorithm,
};

/// Signs octets with the group's key.
pub(super) fn sign(signer: &dyn Signer, octets: &[u8]) -> Result<Vec<u8>, ApiMisuse> {
    let algorithm = signature_algorithm(signer.public().algorithm());
    signer.sign(algorithm, octets).map_err(|_| ApiMisuse::UnsupportedAlgorithm)
}

/// Verifies what [`sign`] made.
pub(super) fn verify(key: &Verifier, octets: &[u8], signature: &[u8]) -> Result<(), AuthError> {
    let algorithm = signature_algorithm(key.key().algorithm());
    key.verify(algorithm, octets, signature).map_err(|_| AuthError::Signature)
}

/// Says how long the signatures of a key are; all kinds here have one length.
pub(super) fn signature_len(key: &PublicKey) -> usize {
    match key {
        PublicKey::EcdsaP256(point) | PublicKey::EcdsaP384(point) => point.len(),
        PublicKey::Ed25519(_) => 64,
        PublicKey::Rsa { modulus, .. } => modulus.len(),
    }
}
