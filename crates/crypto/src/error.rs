//! Why a cryptographic operation failed.

use std::fmt;

/// A cryptographic failure. It never carries a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoError {
    /// A tag, MAC or signature does not fit its message.
    Authentication,
    /// A key has a wrong length or form.
    Key,
    /// An input is not a multiple of the cipher's block, or otherwise of a wrong length.
    Length,
    /// A Diffie-Hellman public value is not a member of its group, or the shared secret is degenerate.
    PublicValue,
    /// The source of randomness failed its health check.
    Random,
    /// What holds the key, such as a hardware module, does not sign now.
    Signer,
    /// The algorithm is not among the provider's.
    Unsupported,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication => "authentication failed",
            Self::Key => "key has a wrong length or form",
            Self::Length => "input has a wrong length",
            Self::PublicValue => "diffie-hellman public value is not in its group",
            Self::Random => "random source failed its health check",
            Self::Signer => "what holds the key does not sign",
            Self::Unsupported => "algorithm is not supported",
        })
    }
}

impl std::error::Error for CryptoError {}
