//! The lists of algorithms that protocols choose from.

use crate::{
    CryptoError,
    aead::{AEADS, Aead, AeadAlgorithm},
    cipher::{CIPHERS, Cipher, CipherAlgorithm},
    hash::{HASHES, Hash, HashAlgorithm},
    kx::{KX_GROUPS, KxAlgorithm, KxGroup},
    prf::{PRFS, Prf},
    sign::{
        CERTIFICATES, CertificateVerifier, KeyAlgorithm, PublicKey, SIGNATURES, SignatureAlgorithm,
        SignatureScheme,
    },
};

/// The algorithms at hand. A plain struct of lists: a provider with fewer or other ones is another value.
#[derive(Clone, Copy)]
pub struct CryptoProvider {
    /// Hash functions.
    pub hashes: &'static [&'static dyn Hash],
    /// Keyed pseudo-random functions.
    pub prfs: &'static [&'static dyn Prf],
    /// CBC ciphers.
    pub ciphers: &'static [&'static dyn Cipher],
    /// Authenticated ciphers.
    pub aeads: &'static [&'static dyn Aead],
    /// Diffie-Hellman groups.
    pub kx_groups: &'static [&'static dyn KxGroup],
    /// Kinds of key that sign.
    pub signatures: &'static [&'static dyn SignatureScheme],
    /// What verifies the signatures of certificates.
    pub certificates: &'static dyn CertificateVerifier,
}

impl CryptoProvider {
    /// Finds a hash function.
    pub fn hash(&self, algorithm: HashAlgorithm) -> Result<&'static dyn Hash, CryptoError> {
        self.hashes.iter().copied().find(|h| h.algorithm() == algorithm).ok_or(CryptoError::Unsupported)
    }

    /// Finds the prf that stands on a hash function.
    pub fn prf(&self, algorithm: HashAlgorithm) -> Result<&'static dyn Prf, CryptoError> {
        self.prfs.iter().copied().find(|p| p.algorithm() == algorithm).ok_or(CryptoError::Unsupported)
    }

    /// Finds a CBC cipher.
    pub fn cipher(&self, algorithm: CipherAlgorithm) -> Result<&'static dyn Cipher, CryptoError> {
        self.ciphers.iter().copied().find(|c| c.algorithm() == algorithm).ok_or(CryptoError::Unsupported)
    }

    /// Finds an authenticated cipher.
    pub fn aead(&self, algorithm: AeadAlgorithm) -> Result<&'static dyn Aead, CryptoError> {
        self.aeads.iter().copied().find(|a| a.algorithm() == algorithm).ok_or(CryptoError::Unsupported)
    }

    /// Finds a Diffie-Hellman group.
    pub fn kx_group(&self, algorithm: KxAlgorithm) -> Result<&'static dyn KxGroup, CryptoError> {
        self.kx_groups.iter().copied().find(|g| g.algorithm() == algorithm).ok_or(CryptoError::Unsupported)
    }

    /// Finds what makes, reads and verifies by keys of a kind.
    pub fn signature(&self, algorithm: KeyAlgorithm) -> Result<&'static dyn SignatureScheme, CryptoError> {
        self.signatures.iter().copied().find(|s| s.algorithm() == algorithm).ok_or(CryptoError::Unsupported)
    }

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the key, or its way of signing, is not among the provider's,
    /// [`CryptoError::Authentication`] if the signature is not by this key over this message.
    pub fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.signature(key.algorithm())?.verify(key, algorithm, message, tag)
    }
}

static DEFAULT: CryptoProvider = CryptoProvider {
    hashes: HASHES,
    prfs: PRFS,
    ciphers: CIPHERS,
    aeads: AEADS,
    kx_groups: KX_GROUPS,
    signatures: SIGNATURES,
    certificates: CERTIFICATES,
};

/// Returns the provider that the programs use.
pub fn provider() -> &'static CryptoProvider {
    &DEFAULT
}
