//! What signs, and what makes, reads and verifies by keys of a kind.

use std::fmt;

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};

use super::key::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use crate::{CryptoError, Random, SecretBytes};

/// A kind of key that signs: how its keys are made and read, and its signatures verified.
pub trait SignatureScheme: Sync + Send {
    /// Says which kind of key this is.
    fn algorithm(&self) -> KeyAlgorithm;

    /// Makes a key from `random`.
    ///
    /// RSA keys are the exception: aws-lc draws their primes from its own generator, and takes no other.
    fn generate(&self, random: &mut dyn Random) -> Result<SigningKey, CryptoError>;

    /// Reads a key from its PKCS #8 octets.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if they do not hold a key of this kind.
    fn read(&self, pkcs8: SecretBytes) -> Result<SigningKey, CryptoError>;

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the key is of another kind or cannot sign in this way,
    /// [`CryptoError::Authentication`] if the signature is not by this key over this message.
    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError>;
}

/// A private key that signs, wherever it is: in memory as a [`SigningKey`], or in a hardware module that does not give
/// it away.
pub trait Signer: Sync + Send {
    /// Shows the public half.
    fn public(&self) -> &PublicKey;

    /// Signs `message`. The caller waits as long as that takes.
    ///
    /// No randomness is passed in. Ed25519 and RSASSA-PKCS1-v1_5 signatures are determined by key and message; what
    /// ECDSA and RSASSA-PSS need comes from where the key is: aws-lc draws it from its own generator and takes no
    /// other, and neither does a hardware module.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the key cannot sign in this way, [`CryptoError::Signer`] if it could and does not
    /// now: its module is gone, or refuses.
    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Shows the key as PKCS #8 octets, for a file of mode 0600 or an encrypted record; `None` if it stays where it
    /// is.
    fn pkcs8(&self) -> Option<&SecretBytes> {
        None
    }
}

impl fmt::Debug for dyn Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?}, ..)", self.public().algorithm())
    }
}

/// A private key in memory: it signs, and can be kept as octets.
pub struct SigningKey {
    signer: Box<dyn Signer>,
    pkcs8: SecretBytes,
}

impl SigningKey {
    /// Puts what signs with a key beside the key's octets: for the schemes of a provider.
    pub fn new(signer: Box<dyn Signer>, pkcs8: SecretBytes) -> Self {
        Self { signer, pkcs8 }
    }

    /// Signs `message`; see [`Signer::sign`].
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the key cannot sign in this way.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.signer.sign(algorithm, message)
    }

    /// Shows the public half.
    pub fn public(&self) -> &PublicKey {
        self.signer.public()
    }

    /// Shows the key as PKCS #8 octets, for a file of mode 0600 or an encrypted record.
    pub fn pkcs8(&self) -> &SecretBytes {
        &self.pkcs8
    }
}

impl Signer for SigningKey {
    fn public(&self) -> &PublicKey {
        self.signer.public()
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.signer.sign(algorithm, message)
    }

    fn pkcs8(&self) -> Option<&SecretBytes> {
        Some(&self.pkcs8)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.signer.fmt(f)
    }
}

/// Says whether a key of raw octets made a signature.
pub(super) fn verify_by(
    verification: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    tag: &[u8],
) -> Result<(), CryptoError> {
    UnparsedPublicKey::new(verification, key).verify(message, tag).map_err(|_| CryptoError::Authentication)
}
