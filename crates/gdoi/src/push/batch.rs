//! What one signature says about many messages.

use std::collections::VecDeque;

use claviger_crypto::{
    hash_tree::{self, Node},
    sign::{Signer, Verifier},
};
use claviger_group::CookiePair;
use claviger_wire::{Decode, DecodeError, Writer};

use super::signature;
use crate::{
    error::{ApiMisuse, Error},
    wire::batch_signature::BatchSignature,
};

/// What precedes the statement under the signature. No message that is signed for itself begins like it.
const STATEMENT_PREFIX: &[u8] = b"batch";

/// Where a message stands among those that share a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// The number of the batch's first message.
    pub first: u32,
    /// Which message this is, from 0.
    pub index: u16,
    /// How many there are.
    pub count: u16,
}

impl BatchPlace {
    /// Says which number the batch's last message has.
    pub fn last(&self) -> u32 {
        self.first.saturating_add(u32::from(self.count.saturating_sub(1)))
    }
}

/// The messages that a signature speaks for: so many, from this number on, under this rekey SA, in this tree.
///
/// ```text
/// "batch" (5) | SPI (16) | number of the first message (4) | count (2) | root (32)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) spi: CookiePair,
    pub(super) first: u32,
    pub(super) count: u16,
    pub(super) root: Node,
}

impl Statement {
    pub(super) fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, ApiMisuse> {
        signature::sign(signer, &self.to_octets())
    }

    fn to_octets(self) -> Vec<u8> {
        let mut w = Writer::new();
        w.slice(STATEMENT_PREFIX);
        w.slice(&self.spi.0);
        w.u32(self.first);
        w.u16(self.count);
        w.slice(&self.root.0);
        w.into_octets()
    }
}

/// A statement whose signature was verified: the other messages of its batch need no public-key work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VerifiedBatch {
    statement: Statement,
    signature: Vec<u8>,
}

/// Verifies that the message of a number, whose leaf is given, belongs to a batch that the key server signed.
///
/// # Errors
///
/// [`DecodeError`] if the SIG payload is malformed or places the batch before the first number,
/// [`Error::Auth`] if branch, place or signature is not the key server's.
pub(super) fn verify(
    spi: CookiePair,
    sequence: u32,
    leaf: Node,
    sig: &[u8],
    key: &Verifier,
    known: &VecDeque<VerifiedBatch>,
) -> Result<(BatchPlace, VerifiedBatch), Error> {
    let BatchSignature { index, count, branch, signature } = BatchSignature::from_octets(sig)?;
    let misplaced = DecodeError::Value { field: "batch index", value: index.into() };
    // Numbers begin with 1, and the batch's last one must exist.
    let first = sequence.checked_sub(index.into()).filter(|first| *first > 0).ok_or(misplaced)?;
    first.checked_add(u32::from(count - 1)).ok_or(misplaced)?;
    let root = hash_tree::root_of(leaf, index.into(), count.into(), &branch)
        .map_err(|_| DecodeError::Length { field: "batch branch" })?;
    let verified =
        VerifiedBatch { statement: Statement { spi, first, count, root }, signature: signature.to_vec() };
    if !known.contains(&verified) {
        signature::verify(key, &verified.statement.to_octets(), signature).map_err(Error::Auth)?;
    }
    Ok((BatchPlace { first, index, count }, verified))
}
