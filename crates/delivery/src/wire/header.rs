//! What all messages begin with, and the shape of a batch behind it.

use claviger_wire::{DecodeError, Reader, Writer};

use crate::{BatchId, Shape};

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
    pub(super) const fn code(self) -> u8 {
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
    let header = Header::decode_as(kind, u8::MAX, &mut Reader::new(octets)).ok()?;
    Some(header.batch)
}

/// The fields that all messages begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) round: u8,
    pub(super) flags: u8,
    pub(super) batch: BatchId,
}

impl Header {
    pub(super) fn encode(&self, kind: MessageType, w: &mut Writer) {
        w.u8(VERSION);
        w.u8(kind.code());
        w.u8(self.round);
        w.u8(self.flags);
        w.slice(&self.batch.spi);
        w.u32(self.batch.first_sequence);
    }

    /// Reads the header of a message of `kind`, in which only `flags` may be set.
    pub(super) fn decode_as(kind: MessageType, flags: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
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

pub(super) fn expect(found: u8, value: u8, field: &'static str) -> Result<(), DecodeError> {
    if found == value { Ok(()) } else { Err(DecodeError::Value { field, value: found.into() }) }
}

pub(super) fn encode_shape(shape: &Shape, w: &mut Writer) {
    w.u16(shape.datagrams());
    w.u16(shape.symbol_size());
    w.u16(shape.blocks());
    w.u8(shape.parts());
    w.u8(shape.bundle());
}

pub(super) fn decode_shape(r: &mut Reader<'_>) -> Result<Shape, DecodeError> {
    let (datagrams, symbol_size) = (r.u16("datagrams")?, r.u16("symbol size")?);
    let (blocks, parts, bundle) = (r.u16("blocks")?, r.u8("parts")?, r.u8("bundle")?);
    Shape::stated(datagrams, symbol_size, blocks, parts, bundle)
        .map_err(|_| DecodeError::Value { field: "shape of the batch", value: blocks.into() })
}
