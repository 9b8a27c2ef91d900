//! Which datagrams are for whom.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use super::header::{HEADER_LEN, Header, MessageType, decode_shape, encode_shape};
use crate::{BatchId, Shape, limits::LABELS_MAX};

/// Octets of a directory beside what it says of datagrams.
const DIRECTORY_OVERHEAD: usize = HEADER_LEN + 8 + 2;

/// Tells receivers which datagrams are for whom, so that they collect, repair and ask for what is theirs only.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Header (24 octets)                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        Shape (8 octets)                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |             First             |    Labels     |               ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        Label (4 octets)                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// First is the index in the batch of the first datagram that it speaks of. For this and each following datagram, until
/// the end, follow the number of its labels and the labels in ascending order. What labels are the layer above agrees
/// on: a receiver has some, and a datagram is for those that have one of its labels. Of a datagram that no directory
/// speaks of nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The batch that it belongs to.
    pub batch: BatchId,
    /// The round in which it was sent, from 1.
    pub round: u8,
    /// How the batch is divided.
    pub shape: Shape,
    /// The index of the first datagram that it speaks of.
    pub first: u16,
    /// The labels of this datagram and of each that follows, ascending; one datagram at least.
    pub labels: Vec<Vec<u32>>,
}

impl Directory {
    /// Makes the directories of a batch, each of at most `len_max` octets: of each datagram the labels are given,
    /// ascending, and fit one directory.
    pub(crate) fn all(
        batch: BatchId,
        shape: Shape,
        labels: &[Vec<u32>],
        len_max: usize,
    ) -> impl Iterator<Item = Self> {
        let mut rest = labels;
        std::iter::from_fn(move || {
            let mut room = len_max.saturating_sub(DIRECTORY_OVERHEAD);
            let fits = |labels: &&Vec<u32>| match room.checked_sub(Self::entry_len(labels)) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            };
            let count = rest.iter().take_while(fits).count();
            let first = (labels.len() - rest.len()) as u16;
            let (head, tail) = rest.split_at(count);
            rest = tail;
            let directory = Self { batch, round: 1, shape, first, labels: head.to_vec() };
            (!directory.labels.is_empty()).then_some(directory)
        })
    }

    /// Says whether what is to be said of one datagram fits a directory of at most `len_max` octets.
    pub(crate) fn holds(labels: &[u32], len_max: usize) -> bool {
        labels.len() <= LABELS_MAX && DIRECTORY_OVERHEAD + Self::entry_len(labels) <= len_max
    }

    fn entry_len(labels: &[u32]) -> usize {
        1 + 4 * labels.len()
    }
}

impl Encode for Directory {
    fn encode(&self, w: &mut Writer) {
        Header { round: self.round, flags: 0, batch: self.batch }.encode(MessageType::Directory, w);
        encode_shape(&self.shape, w);
        w.u16(self.first);
        for labels in &self.labels {
            w.u8(labels.len() as u8);
            labels.iter().for_each(|label| w.u32(*label));
        }
    }
}

impl<'a> Decode<'a> for Directory {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let header = Header::decode_as(MessageType::Directory, 0, r)?;
        let shape = decode_shape(r)?;
        let first = r.u16("first datagram")?;
        let most = usize::from(shape.datagrams().saturating_sub(first));
        let mut all = Vec::new();
        while !r.is_empty() || all.is_empty() {
            if all.len() == most {
                return Err(DecodeError::TooMany { what: "datagrams of a directory", limit: most });
            }
            let mut labels: Vec<u32> = Vec::new();
            for _ in 0..r.u8("number of labels")? {
                let label = r.u32("label")?;
                if labels.last().is_some_and(|last| *last >= label) {
                    return Err(DecodeError::Value { field: "label", value: label.into() });
                }
                labels.push(label);
            }
            all.push(labels);
        }
        Ok(Self { batch: header.batch, round: header.round, shape, first, labels: all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::{BATCH, survives};

    fn directory(first: u16, labels: &[&[u32]]) -> Directory {
        let shape = Shape::stated(70, 20, 3, 1, 1).unwrap();
        let labels = labels.iter().map(|labels| labels.to_vec()).collect();
        Directory { batch: BATCH, round: 1, shape, first, labels }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_it_cut_inside_an_entry() {
        survives(&directory(67, &[&[1, 0x0800_0000], &[], &[3]]), &[43, 44]);
    }

    #[test]
    fn refuses_labels_out_of_order_and_datagrams_beyond_the_last() {
        for wrong in [
            directory(0, &[&[2, 1]]),
            directory(0, &[&[1, 1]]),
            directory(0, &[]),
            directory(69, &[&[1], &[1]]),
            directory(70, &[&[1]]),
        ] {
            assert!(Directory::from_octets(&wrong.to_octets()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn as_many_as_it_takes_speak_of_every_datagram_once() {
        let shape = Shape::stated(70, 20, 3, 1, 1).unwrap();
        let labels: Vec<Vec<u32>> = (0..70).map(|index| (0..index % 9).collect()).collect();
        for len_max in [DIRECTORY_OVERHEAD + 33, 100, 500, 5000] {
            let all: Vec<_> = Directory::all(BATCH, shape, &labels, len_max).collect();
            assert!(all.iter().all(|directory| directory.to_octets().len() <= len_max));
            let firsts: Vec<_> = all.iter().map(|directory| usize::from(directory.first)).collect();
            let said: Vec<_> = all.into_iter().flat_map(|directory| directory.labels).collect();
            assert_eq!(said, labels);
            assert!(firsts.is_sorted() && firsts[0] == 0);
        }
        assert!(Directory::holds(&[1; 8], DIRECTORY_OVERHEAD + 33));
        assert!(!Directory::holds(&[1; 9], DIRECTORY_OVERHEAD + 33));
    }
}
