//! The end of a round, and what was heard of it.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use super::header::{HEADER_LEN, Header, MessageType, decode_shape, encode_shape, expect};
use crate::{BatchId, Shape};

/// The flag of the last multicast round: whoever misses something reports, whatever others have said.
const LAST: u8 = 0x01;

/// Tells receivers that a round has been sent, so that who misses something reports now, and what others have
/// reported already, so that who needs no more than that keeps silent.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~              Header (24 octets); Flags: 0x01 LAST             ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        Shape (8 octets)                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Window (milliseconds)     |           Receivers           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           Receivers           |      SBN      |    Missing    ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// Window is the time in which the reports of this round are welcome. Receivers is how many the sender thinks there
/// are; they draw their delays accordingly. Then follows, until the end, for each block that was reported, in
/// ascending order, the most repairs that were said to be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The batch that it belongs to.
    pub batch: BatchId,
    /// The round that has been sent, from 1.
    pub round: u8,
    /// Whether repair by multicast ends with this round.
    pub last: bool,
    /// How the batch is divided.
    pub shape: Shape,
    /// The window for reports in milliseconds.
    pub window_ms: u16,
    /// The number of receivers, as the sender thinks.
    pub receivers: u32,
    /// What was reported already, in ascending order of blocks.
    pub heard: Vec<Heard>,
}

/// What was reported of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The source block number.
    pub block: u8,
    /// The most repairs that a receiver said it misses; not zero.
    pub missing: u8,
}

impl Announcement {
    /// Says of how many blocks an announcement of at most `len_max` octets speaks.
    pub(crate) const fn heard_max(len_max: usize) -> usize {
        const OVERHEAD: usize = HEADER_LEN + 8 + 6;
        len_max.saturating_sub(OVERHEAD) / 2
    }
}

impl Encode for Announcement {
    fn encode(&self, w: &mut Writer) {
        let flags = if self.last { LAST } else { 0 };
        Header { round: self.round, flags, batch: self.batch }.encode(MessageType::Announcement, w);
        encode_shape(&self.shape, w);
        w.u16(self.window_ms);
        w.u32(self.receivers);
        for heard in &self.heard {
            w.u8(heard.block);
            w.u8(heard.missing);
        }
    }
}

impl<'a> Decode<'a> for Announcement {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let header = Header::decode_as(MessageType::Announcement, LAST, r)?;
        let shape = decode_shape(r)?;
        let (window_ms, receivers) = (r.u16("window")?, r.u32("receivers")?);
        let mut heard: Vec<Heard> = Vec::new();
        while !r.is_empty() {
            let entry = Heard { block: r.u8("source block number")?, missing: r.u8("missing repairs")? };
            if !shape.has_block(entry.block) || heard.last().is_some_and(|last| last.block >= entry.block) {
                return Err(DecodeError::Value { field: "source block number", value: entry.block.into() });
            }
            if entry.missing == 0 {
                expect(entry.missing, 1, "missing repairs")?;
            }
            heard.push(entry);
        }
        let last = header.flags & LAST != 0;
        Ok(Self { batch: header.batch, round: header.round, last, shape, window_ms, receivers, heard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::{BATCH, survives};

    fn announcement(heard: &[(u8, u8)]) -> Announcement {
        Announcement {
            batch: BATCH,
            round: 1,
            last: true,
            shape: Shape::stated(70, 20, 3, 1, 1).unwrap(),
            window_ms: 500,
            receivers: 100_000,
            heard: heard.iter().map(|&(block, missing)| Heard { block, missing }).collect(),
        }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_it_cut_inside_an_entry() {
        survives(&announcement(&[]), &[]);
        survives(&announcement(&[(0, 3), (2, 255)]), &[38, 40]);
    }

    #[test]
    fn refuses_blocks_out_of_order_or_range_and_nothing_missing() {
        for heard in [&[(1, 1), (1, 2)][..], &[(1, 1), (0, 2)], &[(3, 1)], &[(0, 0)]] {
            assert!(Announcement::from_octets(&announcement(heard).to_octets()).is_err(), "{heard:?}");
        }
    }
}
