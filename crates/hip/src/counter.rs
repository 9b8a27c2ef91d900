//! What the HIP endpoint counts.

use claviger_sansio::counters;
use claviger_wire::DecodeError;

use crate::error::{ApiMisuse, AuthError, Error, LimitError, PeerIncompatible, PeerMisbehaved};

counters! {
    /// Why packets were dropped.
    pub enum Counter of "hip" {
        ApiMisuse(ApiMisuse): Drop, Packets;
        Auth(AuthError): Drop, Packets;
        Limit(LimitError): Drop, Packets;
        PeerIncompatible(PeerIncompatible): Drop, Packets;
        PeerMisbehaved(PeerMisbehaved): Drop, Packets;
        /// The cryptography refused.
        Crypto => "crypto": Drop, Packets;
        /// A field holds a value that its definition forbids.
        ForbiddenValue => "forbidden_value": Drop, Packets;
        /// A parameter that must be there is absent.
        MissingParameter => "missing_parameter": Drop, Packets;
        /// There are more elements than this host is willing to hold.
        TooManyElements => "too_many_elements": Drop, Packets;
        /// Octets remain behind the last field.
        TrailingOctets => "trailing_octets": Drop, Packets;
        /// The packet ends inside a field.
        Truncated => "truncated": Drop, Packets;
        /// A parameter stands where it must not, or more often than it may.
        UnexpectedParameter => "unexpected_parameter": Drop, Packets;
        /// A length contradicts what it measures.
        WrongLength => "wrong_length": Drop, Packets;
    }
}

impl From<&Error> for Counter {
    fn from(error: &Error) -> Self {
        match error {
            Error::ApiMisuse(misuse) => Self::ApiMisuse(*misuse),
            Error::Auth(auth) => Self::Auth(*auth),
            Error::Crypto(_) => Self::Crypto,
            Error::Decode(error) => match error {
                DecodeError::Length { .. } => Self::WrongLength,
                DecodeError::Missing { .. } => Self::MissingParameter,
                DecodeError::TooMany { .. } => Self::TooManyElements,
                DecodeError::Trailing { .. } => Self::TrailingOctets,
                DecodeError::Truncated { .. } => Self::Truncated,
                DecodeError::Unexpected { .. } => Self::UnexpectedParameter,
                DecodeError::Value { .. } => Self::ForbiddenValue,
            },
            Error::Limit(limit) => Self::Limit(*limit),
            Error::PeerIncompatible(reason) => Self::PeerIncompatible(*reason),
            Error::PeerMisbehaved(rule) => Self::PeerMisbehaved(*rule),
        }
    }
}
