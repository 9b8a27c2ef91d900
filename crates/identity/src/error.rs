//! Why a host identity cannot be used.

use std::fmt;

use claviger_crypto::CryptoError;

/// What is wrong with a host identity or the file that keeps it. It never carries a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityError {
    /// The HI algorithm, curve or HIT suite is none that this implementation knows.
    Algorithm,
    /// The cryptography refused.
    Crypto(CryptoError),
    /// A domain identifier exceeds the 4,095 octets that its length field can say.
    DomainIdentifier,
    /// The octets are no public key of the algorithm that they name.
    PublicKey,
    /// The text is no PKCS #8 private key between `-----BEGIN PRIVATE KEY-----` and its end line.
    Pem,
    /// A signature is made by another algorithm than the host's.
    SignatureAlgorithm,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("host identity algorithm is not supported"),
            Self::Crypto(error) => error.fmt(f),
            Self::DomainIdentifier => f.write_str("a domain identifier has at most 4095 octets"),
            Self::PublicKey => f.write_str("host identity is no public key of its algorithm"),
            Self::Pem => f.write_str("text is no PKCS #8 private key in PEM form"),
            Self::SignatureAlgorithm => f.write_str("signature is of another algorithm than the host's"),
        }
    }
}

impl std::error::Error for IdentityError {}

impl From<CryptoError> for IdentityError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}
