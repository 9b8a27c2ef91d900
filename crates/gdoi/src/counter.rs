//! What a GDOI endpoint counts, of either side.

use claviger_sansio::counters;

use crate::error::{ApiMisuse, AuthError, Error, Limit, PeerMisbehaved};

counters! {
    /// Why messages were dropped.
    pub enum Counter of "gdoi" {
        ApiMisuse(ApiMisuse): Drop, Messages;
        Auth(AuthError): Drop, Messages;
        Limit(Limit): Drop, Messages;
        PeerMisbehaved(PeerMisbehaved): Drop, Messages;
        /// The cryptography refused.
        Crypto => "crypto": Drop, Messages;
        /// The octets are not the message that they claim to be.
        Malformed => "malformed": Drop, Messages;
        /// A message of a PULL was repeated from another address than it came from first; its answer goes only there.
        RepeatedElsewhere => "repeated_elsewhere": Drop, Messages;
        /// The message was processed before, or is older than the last one; copies of rekey messages are counted here.
        Replayed => "replayed": Drop, Messages;
        /// The cookies belong to no security association.
        UnknownCookies => "unknown_cookies": Drop, Messages;
        /// The message id belongs to no exchange in progress.
        UnknownExchange => "unknown_exchange": Drop, Messages;
        /// Something was asserted that is not implemented, or that this member was told to refuse.
        Unsupported => "unsupported": Drop, Messages;
    }
}

impl From<&Error> for Counter {
    fn from(error: &Error) -> Self {
        match error {
            Error::ApiMisuse(misuse) => Self::ApiMisuse(*misuse),
            Error::Auth(auth) => Self::Auth(*auth),
            Error::Crypto(_) => Self::Crypto,
            Error::Decode(_) => Self::Malformed,
            Error::Limit(limit) => Self::Limit(*limit),
            Error::PeerIncompatible(_) => Self::Unsupported,
            Error::PeerMisbehaved(rule) => Self::PeerMisbehaved(*rule),
            Error::RepeatedElsewhere => Self::RepeatedElsewhere,
            Error::Replayed => Self::Replayed,
            Error::UnknownCookies => Self::UnknownCookies,
            Error::UnknownExchange => Self::UnknownExchange,
        }
    }
}
