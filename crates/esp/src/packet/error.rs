//! Why a packet around ESP was dropped.

use std::fmt;

use claviger_wire::DecodeError;

/// Why the octets around ESP are not what they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// A header is malformed.
    Decode(DecodeError),
    /// A checksum does not fit.
    Checksum,
    /// A fragment, which transport mode cannot carry (RFC 4303 section 3.3.4).
    Fragment,
    /// The packet's protocol is another one than ESP.
    NotEsp(u8),
    /// What was inside tunnel mode is no IP packet of the outer packet's version.
    NotTunnelled(u8),
    /// The addresses outside and inside a tunnel differ (RFC 5374 section 5.2).
    AddressMismatch,
    /// The two addresses are of different families.
    Family,
    /// The packet would be longer than its length field can say.
    TooLong,
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Checksum => f.write_str("checksum does not fit"),
            Self::Fragment => f.write_str("transport mode cannot carry a fragment"),
            Self::NotEsp(protocol) => write!(f, "protocol {protocol} is not ESP"),
            Self::NotTunnelled(protocol) => write!(f, "protocol {protocol} is not the tunnel's IP version"),
            Self::AddressMismatch => f.write_str("addresses outside and inside the tunnel differ"),
            Self::Family => f.write_str("addresses are of different families"),
            Self::TooLong => f.write_str("packet is too long for its length field"),
        }
    }
}

impl std::error::Error for PacketError {}

impl From<DecodeError> for PacketError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
