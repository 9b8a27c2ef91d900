//! The SIG payload of a message in a batch (private use; docs/hip-gdoi-binding.md section 7.4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !             Index             !             Count             !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~     Branch: 32 octets a node, the sibling of the leaf first   ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                           Signature                           ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! How many nodes the branch has follows from index and count; the rest is the signature.

use claviger_crypto::hash_tree::{self, NODE_LEN, Node};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

/// The place of a message in its batch, and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSignature<'a> {
    /// Which message of the batch this is, from 0.
    pub index: u16,
    /// How many messages the batch has.
    pub count: u16,
    /// The siblings on the way from the message's leaf to the root, the leaf's first.
    pub branch: Vec<Node>,
    /// The signature over the root, the same in every message.
    pub signature: &'a [u8],
}

/// The octets of index and count.
const HEAD_LEN: usize = 4;

impl<'a> Decode<'a> for BatchSignature<'a> {
    /// Reads the proof of a message that is in a batch; its branch has the length that its place asks for.
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let index = r.u16("batch index")?;
        let count = r.u16("batch count")?;
        let length = hash_tree::branch_len(index.into(), count.into())
            .ok_or(DecodeError::Value { field: "batch index", value: index.into() })?;
        let branch = (0..length).map(|_| r.array("batch branch").map(Node)).collect::<Result<_, _>>()?;
        let signature = r.take_rest();
        if signature.is_empty() {
            return Err(DecodeError::Missing { what: "batch signature" });
        }
        Ok(Self { index, count, branch, signature })
    }
}

impl Encode for BatchSignature<'_> {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.index);
        w.u16(self.count);
        self.branch.iter().for_each(|node| w.slice(&node.0));
        w.slice(self.signature);
    }
}

impl BatchSignature<'_> {
    /// Says how many octets the body has; none if no such message is in such a batch.
    pub fn encoded_len(index: usize, count: usize, signature_len: usize) -> Option<usize> {
        Some(HEAD_LEN + hash_tree::branch_len(index, count)? * NODE_LEN + signature_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: u16, count: u16) -> Vec<u8> {
        let length = hash_tree::branch_len(index.into(), count.into()).unwrap();
        let branch = (0..length).map(|level| Node([level as u8; NODE_LEN])).collect();
        let mut w = Writer::new();
        BatchSignature { index, count, branch, signature: &[9; 64] }.encode(&mut w);
        w.into_octets()
    }

    #[test]
    fn reads_what_it_writes() {
        for (index, count, nodes) in [(0, 1, 0), (4, 5, 1), (0, 5, 3), (9, 1000, 10), (0, u16::MAX, 16)] {
            let octets = sample(index, count);
            let read = BatchSignature::from_octets(&octets).unwrap();
            assert_eq!((read.index, read.count, read.branch.len()), (index, count, nodes));
            assert_eq!(read.signature, [9; 64]);
            let mut w = Writer::new();
            read.encode(&mut w);
            assert_eq!(w.octets(), octets);
            let length = BatchSignature::encoded_len(index.into(), count.into(), 64);
            assert_eq!(length, Some(octets.len()));
        }
    }

    #[test]
    fn refuses_a_cut_branch_a_missing_signature_and_places_that_do_not_exist() {
        let octets = sample(2, 5);
        for length in 0..=octets.len() - 64 {
            assert!(BatchSignature::from_octets(&octets[..length]).is_err(), "cut at {length}");
        }
        for (index, count) in [(0u16, 0u16), (5, 5), (u16::MAX, 5), (u16::MAX, u16::MAX)] {
            let mut octets = octets.clone();
            octets[..2].copy_from_slice(&index.to_be_bytes());
            octets[2..4].copy_from_slice(&count.to_be_bytes());
            assert_eq!(
                BatchSignature::from_octets(&octets),
                Err(DecodeError::Value { field: "batch index", value: index.into() })
            );
        }
    }
}
