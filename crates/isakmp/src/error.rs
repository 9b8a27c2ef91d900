//! What can go wrong, and whose fault it is.
//!
//! A protocol above has these among its own errors, and counts them with them.

use std::fmt;

use claviger_crypto::CryptoError;
use claviger_sansio::reasons;
use claviger_wire::DecodeError;

/// Why a message was not accepted, or not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The caller asked for something impossible.
    ApiMisuse(ApiMisuse),
    /// A HASH does not fit.
    Auth(AuthError),
    /// A cryptographic operation failed.
    Crypto(CryptoError),
    /// The octets are not the message that they claim to be.
    Decode(DecodeError),
    /// A limit was reached.
    Limit(Limit),
    /// The message was processed before.
    Replayed,
}

reasons! {
    /// What the caller did wrong.
    pub enum ApiMisuse in ApiMisuse {
        /// The cookies are in use, or one of them is zero.
        Cookies => "cookies_in_use", "cookies are in use or zero";
        /// The message would exceed 65,507 octets, or a part of it its length field.
        MessageTooLong => "message_too_long", "message exceeds its length field or 65507 octets";
        /// There is no SPI where one must be, or one is too long or not whole.
        Spis => "spis", "SPIs are missing, too long or not whole";
        /// The provider lacks an algorithm.
        UnsupportedAlgorithm => "unsupported_algorithm", "algorithm is not supported";
    }
}

reasons! {
    /// What failed to prove its origin.
    pub enum AuthError in Auth {
        /// The HASH payload of a message does not verify.
        Hash => "bad_hash", "HASH does not verify";
    }
}

reasons! {
    /// Which limit was reached; the constants are in [`crate::limits`].
    pub enum Limit in Limit {
        /// There are too many long messages under one cookie pair whose HASH does not verify.
        Decryptions => "too_many_decryptions", "too many long messages with a wrong HASH under these cookies";
        /// There were too many exchanges in the life of one cookie pair.
        MessageIds => "message_ids_exhausted", "message ids under these cookies are used up";
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiMisuse(misuse) => misuse.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::Crypto(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Limit(limit) => limit.fmt(f),
            Self::Replayed => f.write_str("message was processed before"),
        }
    }
}

impl std::error::Error for Error {}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
