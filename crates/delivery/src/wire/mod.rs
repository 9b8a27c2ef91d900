//! The four messages: repair, announcement and directory from the sender to all, report from one receiver to the sender.
//!
//! All begin alike:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    Version    |     Type      |     Round     |     Flags     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                                                               |
//! |                                                               |
//! |                              SPI                              |
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     First Sequence Number                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Version is 1. Type is 1 for a repair, 2 for an announcement, 3 for a report, 4 for a directory. Rounds are counted
//! from 1. Flags is zero but for an announcement's. SPI and First Sequence Number name the batch.
//!
//! In all but the report follows the shape of the batch:
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           Datagrams           |        Symbol Size (T)        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          Blocks (Z)           |     Parts     |    Bundle     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Parts is the number of source symbols of a datagram, Bundle that of symbols in a repair, 1 to Parts.
//!
//! None of them carries proof of its origin: the layer above wraps and unwraps them (see [`crate::seal`]).

pub mod announcement;
pub mod directory;
pub mod repair;
pub mod report;

use claviger_wire::{DecodeError, Reader, Writer};

use crate::{BatchId, Shape};

pub use announcement::{Announcement, Heard};
pub use directory::Directory;
pub use repair::Repair;
pub use report::{Entry, Report};

/// Octets before the fields of each type.
pub const HEADER_LEN: usize = 24;

const VERSION: u8 = 1;

/// Which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Repair symbols.
    Repair,
    /// The end of a round, and what was heard of it.
    Announcement,
    /// What a receiver misses.
    Report,
    /// Which datagrams are for whom.
    Directory,
}

impl MessageType {
    const fn code(self) -> u8 {
        match self {
            Self::Repair => 1,
            Self::Announcement => 2,
            Self::Report => 3,
            Self::Directory => 4,
        }
    }

    /// Names it in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Announcement => "announcement",
            Self::Report => "report",
            Self::Directory => "directory",
        }
    }

    /// Says which type the octets claim to be; none if they have no known type.
    pub fn of(octets: &[u8]) -> Option<Self> {
        [Self::Repair, Self::Announcement, Self::Report, Self::Directory]
            .into_iter()
            .find(|kind| octets.get(1) == Some(&kind.code()))
    }
}

/// Says which batch a message claims to be about; none if it is no message.
pub fn batch_of(octets: &[u8]) -> Option<BatchId> {
    let kind = MessageType::of(octets)?;
    let header = Header::decode(kind, u8::MAX, &mut Reader::new(octets)).ok()?;
    Some(header.batch)
}

/// The fields that all messages begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    round: u8,
    flags: u8,
    batch: BatchId,
}

impl Header {
    fn encode(&self, kind: MessageType, w: &mut Writer) {
        w.u8(VERSION);
        w.u8(kind.code());
        w.u8(self.round);
        w.u8(self.flags);
        w.slice(&self.batch.spi);
        w.u32(self.batch.first_sequence);
    }

    /// Reads the header of a message of `kind`, in which only `flags` may be set.
    fn decode(kind: MessageType, flags: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect(r.u8("version")?, VERSION, "version")?;
        expect(r.u8("type")?, kind.code(), "type")?;
        let round = r.u8("round")?;
        if round == 0 {
            return Err(DecodeError::Value { field: "round", value: 0 });
        }
        let set = r.u8("flags")?;
        expect(set & !flags, 0, "flags")?;
        let batch = BatchId { spi: r.array("SPI")?, first_sequence: r.u32("first sequence number")? };
        Ok(Self { round, flags: set, batch })
    }
}

fn expect(found: u8, value: u8, field: &'static str) -> Result<(), DecodeError> {
    if found == value { Ok(()) } else { Err(DecodeError::Value { field, value: found.into() }) }
}

fn encode_shape(shape: &Shape, w: &mut Writer) {
    w.u16(shape.datagrams());
    w.u16(shape.symbol_size());
    w.u16(shape.blocks());
    w.u8(shape.parts());
    w.u8(shape.bundle());
}

fn decode_shape(r: &mut Reader<'_>) -> Result<Shape, DecodeError> {
    let (datagrams, symbol_size) = (r.u16("datagrams")?, r.u16("symbol size")?);
    let (blocks, parts, bundle) = (r.u16("blocks")?, r.u8("parts")?, r.u8("bundle")?);
    Shape::stated(datagrams, symbol_size, blocks, parts, bundle)
        .map_err(|_| DecodeError::Value { field: "shape of the batch", value: blocks.into() })
}

#[cfg(test)]
pub(crate) mod test {
    use std::fmt::Debug;

    use claviger_wire::{Decode, Encode};

    use super::*;

    pub(crate) const BATCH: BatchId = BatchId { spi: [7; 16], first_sequence: 0x0102_0304 };

    /// Encodes and decodes the value, refuses it cut at every length, and survives every flipped bit.
    pub(crate) fn survives<T: Encode + for<'a> Decode<'a> + PartialEq + Debug>(
        value: &T,
        may_be_cut_at: &[usize],
    ) {
        let octets = value.to_octets();
        assert_eq!(T::from_octets(&octets).as_ref(), Ok(value));
        for length in 0..octets.len() {
            let cut = T::from_octets(&octets[..length]);
            assert_eq!(cut.is_ok(), may_be_cut_at.contains(&length), "cut at {length}: {cut:?}");
        }
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = T::from_octets(&flipped) {
                assert_ne!(&other, value, "bit {bit} means something");
                assert_eq!(T::from_octets(&other.to_octets()).as_ref(), Ok(&other));
            }
        }
    }
}
