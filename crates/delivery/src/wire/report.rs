//! What a receiver misses.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use super::header::{Header, MessageType};
use crate::{BatchId, limits::REPORT_ENTRIES_MAX};

/// Tells the sender what a receiver misses: for repair how many repairs, for unicast which datagrams.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Header (24 octets)                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                       Received Datagrams                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |      SBN      |     First     |      Last     |    Missing    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                              ...                              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// Round is the last round of which the receiver has heard. Received Datagrams counts what arrived of the batch by
/// multicast, repairs included: with what was sent it tells the loss. An entry says that datagrams First to
/// Last (counted from the block's first) of block SBN are wanted, and that Missing repairs of the block would bring
/// them, 255 meaning that many or more. Entries stand in ascending order and do not overlap; those of one block state the same
/// Missing. A report without entries says that the receiver knows of the batch but not what it misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The batch that it is about.
    pub batch: BatchId,
    /// The last round that the receiver has heard of, from 1.
    pub round: u8,
    /// How many datagrams of the batch arrived by multicast, repairs included.
    pub received: u32,
    /// What is wanted, ascending.
    pub entries: Vec<Entry>,
}

/// What a receiver wants of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The source block number.
    pub block: u8,
    /// The first wanted datagram of the block.
    pub first: u8,
    /// The last wanted datagram of the block.
    pub last: u8,
    /// How many more repairs of the block would do; not zero.
    pub missing: u8,
}

impl Encode for Report {
    fn encode(&self, w: &mut Writer) {
        Header { round: self.round, flags: 0, batch: self.batch }.encode(MessageType::Report, w);
        w.u32(self.received);
        for entry in &self.entries {
            w.slice(&[entry.block, entry.first, entry.last, entry.missing]);
        }
    }
}

impl<'a> Decode<'a> for Report {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let header = Header::decode_as(MessageType::Report, 0, r)?;
        let received = r.u32("received datagrams")?;
        let mut entries: Vec<Entry> = Vec::new();
        while !r.is_empty() {
            let [block, first, last, missing] = r.array("entry")?;
            let entry = Entry { block, first, last, missing };
            if first > last {
                return Err(DecodeError::Value { field: "last wanted datagram", value: last.into() });
            }
            if missing == 0 {
                return Err(DecodeError::Value { field: "missing repairs", value: 0 });
            }
            if let Some(before) = entries.last() {
                if block < before.block || block == before.block && first <= before.last {
                    return Err(DecodeError::Unexpected { what: "entry" });
                }
                if block == before.block && missing != before.missing {
                    return Err(DecodeError::Value { field: "missing repairs", value: missing.into() });
                }
            }
            if entries.len() == REPORT_ENTRIES_MAX {
                return Err(DecodeError::TooMany { what: "entries", limit: REPORT_ENTRIES_MAX });
            }
            entries.push(entry);
        }
        Ok(Self { batch: header.batch, round: header.round, received, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::{BATCH, survives};

    fn report(entries: &[[u8; 4]]) -> Report {
        let entries =
            entries.iter().map(|&[block, first, last, missing]| Entry { block, first, last, missing });
        Report { batch: BATCH, round: 1, received: 500, entries: entries.collect() }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_it_cut_inside_an_entry() {
        survives(&report(&[]), &[]);
        survives(&report(&[[0, 3, 3, 1], [4, 0, 2, 7], [4, 5, 9, 7]]), &[28, 32, 36]);
    }

    #[test]
    fn refuses_entries_out_of_order_overlapping_or_at_odds() {
        for entries in [
            &[[1, 0, 0, 1], [0, 0, 0, 1]][..],
            &[[1, 0, 4, 1], [1, 4, 5, 1]],
            &[[1, 0, 4, 1], [1, 5, 5, 2]],
            &[[1, 5, 4, 1]],
            &[[1, 4, 4, 0]],
        ] {
            assert!(Report::from_octets(&report(entries).to_octets()).is_err(), "{entries:?}");
        }
    }

    #[test]
    fn refuses_more_entries_than_a_report_has() {
        let entries: Vec<_> = (0..REPORT_ENTRIES_MAX as u8).map(|block| [block, 0, 0, 1]).collect();
        assert!(Report::from_octets(&report(&entries).to_octets()).is_ok());
        let more: Vec<_> = (0..=REPORT_ENTRIES_MAX as u8).map(|block| [block, 0, 0, 1]).collect();
        let refused = Report::from_octets(&report(&more).to_octets());
        assert_eq!(refused, Err(DecodeError::TooMany { what: "entries", limit: REPORT_ENTRIES_MAX }));
    }
}
