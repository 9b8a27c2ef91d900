//! The Sequence Number payload (RFC 6407 section 5.7).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                      Sequence Number                          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

/// The number of a GROUPKEY-PUSH under its KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceNumber(pub u32);

impl Decode<'_> for SequenceNumber {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.u32("sequence number")?))
    }
}

impl Encode for SequenceNumber {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_four_octets() {
        assert_eq!(SequenceNumber::from_octets(&[0, 0, 1, 2]), Ok(SequenceNumber(258)));
        for length in [0, 1, 2, 3, 5] {
            assert!(SequenceNumber::from_octets(&vec![0; length]).is_err());
        }
    }
}
