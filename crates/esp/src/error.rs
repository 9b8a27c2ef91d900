//! Why a packet was dropped or a key refused.

use std::fmt;

use claviger_crypto::CryptoError;
use claviger_group::Spi;
use claviger_sansio::Counted;

use crate::Counter;

/// Why the data plane did not do what it was asked. A dropped packet changes nothing but counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Received octets end before the fields that every ESP packet of the association has.
    Truncated,
    /// The encrypted part of a received packet does not end on the boundary that RFC 4303 section 2.4 asks for.
    Alignment,
    /// The packet names an association that this member does not hold.
    UnknownSpi(u32),
    /// The packet names an association that this member held until its time was over.
    RetiredSpi(Spi),
    /// The packet does not come from the channel's one source (RFC 4607).
    WrongSource,
    /// The association already tracks as many senders as it may.
    TooManySenders,
    /// The sender's sequence number was seen before, is too old to know, or is zero.
    Replayed,
    /// The sender's sequence number is far ahead of what was heard of it, and too few other packets came from there
    /// ([`LEAP_PROOF`](crate::inbound::LEAP_PROOF)).
    Leap,
    /// The integrity check value does not fit the packet.
    Authentication,
    /// The decrypted padding is not 1, 2, 3, ... (RFC 4303 section 2.4).
    Padding,
    /// The packet was a dummy that hides traffic (RFC 4303 section 2.6). Nobody is at fault.
    Dummy,

    /// The sequence numbers under every sender id at hand are spent (RFC 4303 section 3.3.3).
    Exhausted,
    /// The lease of the keys has ended: neither is anything sent, nor accepted where the lease is for that too.
    LeaseEnded,
    /// No association is active for sending.
    NotActive,
    /// The member's role does not include sending.
    NotSender,
    /// A counter-mode association has no sender id to send with (RFC 6407 section 5.6.4.3).
    NoSenderId,
    /// The payload is longer than any IP packet.
    TooLong,

    /// A sender id does not have the number of bits of the association, or that number is not 8, 12 or 16.
    SenderIdBits,
    /// Another association has the same SPI and other keys.
    SpiInUse(Spi),
    /// Another association has the same key: counter modes would repeat their nonces (RFC 6407 section 3.5).
    KeyReused(Spi),
    /// The member already holds as many associations as it may.
    TooManySas,
    /// The cryptographic provider refused.
    Crypto(CryptoError),
}

impl Error {
    /// Names the reason in `snake_case`, as its counter is named.
    pub fn reason(&self) -> &'static str {
        Counter::from(self).name()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("packet is too short for ESP"),
            Self::Alignment => f.write_str("ciphertext does not end on its boundary"),
            Self::UnknownSpi(spi) => write!(f, "no security association has SPI {spi:08x}"),
            Self::RetiredSpi(spi) => write!(f, "the security association {spi} has ended"),
            Self::WrongSource => f.write_str("packet does not come from the channel's source"),
            Self::TooManySenders => f.write_str("no room to track another sender"),
            Self::Replayed => f.write_str("sequence number was seen or is too old"),
            Self::Leap => f.write_str("sequence number is far ahead of its sender"),
            Self::Authentication => f.write_str("integrity check failed"),
            Self::Padding => f.write_str("padding is not what it must be"),
            Self::Dummy => f.write_str("dummy packet"),
            Self::Exhausted => f.write_str("sequence numbers are exhausted"),
            Self::LeaseEnded => f.write_str("the key server has not confirmed the keys for too long"),
            Self::NotActive => f.write_str("no security association is active for sending"),
            Self::NotSender => f.write_str("this member is not a sender"),
            Self::NoSenderId => f.write_str("no sender id to send with"),
            Self::TooLong => f.write_str("payload is longer than an IP packet"),
            Self::SenderIdBits => f.write_str("sender id has the wrong number of bits"),
            Self::SpiInUse(spi) => write!(f, "SPI {spi} is in use with other keys"),
            Self::KeyReused(spi) => write!(f, "the key is in use under SPI {spi}"),
            Self::TooManySas => f.write_str("no room for another security association"),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::Authentication => Self::Authentication,
            CryptoError::Key
            | CryptoError::Length
            | CryptoError::PublicValue
            | CryptoError::Random
            | CryptoError::Signer
            | CryptoError::Unsupported => Self::Crypto(error),
        }
    }
}
