//! Why a datagram, a report or a batch was refused.

use std::fmt;

use claviger_sansio::Counted;
use claviger_wire::DecodeError;

use crate::Counter;

/// Why something was refused. A refused datagram changes nothing but counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The octets are not the message that they claim to be.
    Decode(DecodeError),
    /// The message belongs to another batch.
    OtherBatch,
    /// The message contradicts what is known of the batch: how many datagrams, of what size, in how many blocks.
    OtherShape,
    /// The message names a block or a symbol that the batch does not have.
    OutOfRange,
    /// What it brings is here already.
    Duplicate,
    /// The receiver needs nothing from it.
    Unneeded,
    /// A decoded symbol does not hold a datagram: some symbol that was passed as authentic is not.
    Damaged,
    /// The receiver's buffer is full.
    BufferFull,
    /// More receivers report than are remembered, or more datagrams wait than may.
    TooMany,
    /// The report is about a round that has passed.
    Stale,
    /// The sender has ended, or the receiver has what it needs.
    Ended,
    /// A batch has no datagram, or more than [`DATAGRAMS_MAX`](crate::limits::DATAGRAMS_MAX).
    BatchSize,
    /// A datagram of the batch is empty or longer than
    /// [`DATAGRAM_LEN_MAX`](crate::limits::DATAGRAM_LEN_MAX).
    DatagramLength,
    /// The configuration has a zero where something must be, or exceeds a limit.
    Config,
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
            Self::Decode(error) => write!(f, "{error}"),
            Self::OtherBatch => f.write_str("the message belongs to another batch"),
            Self::OtherShape => f.write_str("the message contradicts the batch's shape"),
            Self::OutOfRange => f.write_str("the batch has no such block or symbol"),
            Self::Duplicate => f.write_str("what it brings is here already"),
            Self::Unneeded => f.write_str("nothing in it is needed"),
            Self::Damaged => f.write_str("a decoded symbol holds no datagram"),
            Self::BufferFull => f.write_str("the receiver's buffer is full"),
            Self::TooMany => f.write_str("more receivers or datagrams than are remembered"),
            Self::Stale => f.write_str("the report is about a round that has passed"),
            Self::Ended => f.write_str("the delivery has ended"),
            Self::BatchSize => f.write_str("a batch has one datagram at least and a limited number at most"),
            Self::DatagramLength => f.write_str("a datagram is empty or too long"),
            Self::Config => f.write_str("the configuration has a value out of its range"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Decode(error) => Some(error),
            Self::OtherBatch
            | Self::OtherShape
            | Self::OutOfRange
            | Self::Duplicate
            | Self::Unneeded
            | Self::Damaged
            | Self::BufferFull
            | Self::TooMany
            | Self::Stale
            | Self::Ended
            | Self::BatchSize
            | Self::DatagramLength
            | Self::Config => None,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
