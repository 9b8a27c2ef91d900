//! What a data plane counts.

use claviger_sansio::counters;

use crate::Error;

counters! {
    /// How many packets passed, and why others did not.
    pub enum Counter of "esp" {
        /// Authentic packets that only hide traffic (RFC 4303 section 2.6).
        Dummies => "dummies": Done, Packets;
        /// Packets that were authenticated, decrypted and handed on.
        Opened => "opened": Done, Packets;
        /// Packets that were protected.
        Sealed => "sealed": Done, Packets;
        /// The encrypted part does not end on the boundary that RFC 4303 section 2.4 asks for.
        Alignment => "alignment": Drop, Packets;
        /// The integrity check value does not fit the packet.
        Authentication => "authentication": Drop, Packets;
        /// The cryptography refused.
        Crypto => "crypto": Drop, Packets;
        /// The sequence numbers under every sender id at hand are spent (RFC 4303 section 3.3.3).
        Exhausted => "exhausted": Drop, Packets;
        /// Another SA has the same key: counter modes would repeat their nonces (RFC 6407 section 3.5).
        KeyReused => "key_reused": Drop, Packets;
        /// The number is far ahead of what was heard of its sender, and too few others are there yet.
        Leap => "leap": Drop, Packets;
        /// The key server has not confirmed the keys for as long as their lease lasts.
        LeaseEnded => "lease_ended": Drop, Packets;
        /// A counter mode has no sender id to send with (RFC 6407 section 5.6.4.3).
        NoSenderId => "no_sender_id": Drop, Packets;
        /// No SA is active for sending.
        NotActive => "not_active": Drop, Packets;
        /// The member's role does not include sending.
        NotSender => "not_sender": Drop, Packets;
        /// The decrypted padding is not 1, 2, 3, ... (RFC 4303 section 2.4).
        Padding => "padding": Drop, Packets;
        /// The sender's sequence number was seen before, is too old to know, or is zero.
        Replayed => "replayed": Drop, Packets;
        /// The packet names an SA that this member held until its time was over.
        RetiredSpi => "retired_spi": Drop, Packets;
        /// A sender id does not have the number of bits of the SA.
        SenderIdBits => "sender_id_bits": Drop, Packets;
        /// Another SA has the same SPI and other keys.
        SpiInUse => "spi_in_use": Drop, Packets;
        /// The payload is longer than any IP packet.
        TooLong => "too_long": Drop, Packets;
        /// The member already holds as many SAs as it may.
        TooManySas => "too_many_sas": Drop, Packets;
        /// The SA already tracks as many senders as it may.
        TooManySenders => "too_many_senders": Drop, Packets;
        /// The packet ends before the fields that every packet of the SA has.
        Truncated => "truncated": Drop, Packets;
        /// The packet names an SA that this member does not hold.
        UnknownSpi => "unknown_spi": Drop, Packets;
        /// The packet does not come from the channel's one source (RFC 4607).
        WrongSource => "wrong_source": Drop, Packets;
    }
}

impl From<&Error> for Counter {
    fn from(error: &Error) -> Self {
        match error {
            Error::Alignment => Self::Alignment,
            Error::Authentication => Self::Authentication,
            Error::Crypto(_) => Self::Crypto,
            Error::Dummy => Self::Dummies,
            Error::Exhausted => Self::Exhausted,
            Error::KeyReused(_) => Self::KeyReused,
            Error::Leap => Self::Leap,
            Error::LeaseEnded => Self::LeaseEnded,
            Error::NoSenderId => Self::NoSenderId,
            Error::NotActive => Self::NotActive,
            Error::NotSender => Self::NotSender,
            Error::Padding => Self::Padding,
            Error::Replayed => Self::Replayed,
            Error::RetiredSpi(_) => Self::RetiredSpi,
            Error::SenderIdBits => Self::SenderIdBits,
            Error::SpiInUse(_) => Self::SpiInUse,
            Error::TooLong => Self::TooLong,
            Error::TooManySas => Self::TooManySas,
            Error::TooManySenders => Self::TooManySenders,
            Error::Truncated => Self::Truncated,
            Error::UnknownSpi(_) => Self::UnknownSpi,
            Error::WrongSource => Self::WrongSource,
        }
    }
}
