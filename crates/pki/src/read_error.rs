//! Why octets are no certificate, or no list of revoked ones.

use std::fmt;

use crate::rights::RightsError;

/// Why octets are no certificate, or no list of revoked ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// They are no DER of this form.
    Der,
    /// An extension stands twice (RFC 5280 section 4.2), or is malformed.
    Extension,
    /// The extension that gives rights in groups is malformed.
    GroupRights(RightsError),
    /// They are longer than [`limits`](crate::limits) say.
    Length,
    /// The algorithm beside the signature is not the one inside (RFC 5280 sections 4.1.1.2, 5.1.1.2).
    SignatureAlgorithm,
    /// The version does not allow what is there (RFC 5280 sections 4.1.2.1, 5.1.2.1).
    Version,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Der => "is not valid DER",
            Self::Extension => "has an extension twice or in a wrong form",
            Self::GroupRights(error) => return error.fmt(f),
            Self::Length => "is too long",
            Self::SignatureAlgorithm => "names two different signature algorithms",
            Self::Version => "has fields that its version does not allow",
        })
    }
}

impl std::error::Error for ReadError {}
