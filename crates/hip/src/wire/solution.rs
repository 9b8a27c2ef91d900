//! SOLUTION (RFC 7401 section 5.2.5).

use claviger_crypto::hash::DIGEST_LEN_MAX;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// A solved puzzle.
///
/// ```text
/// |  #K, 1 byte   |   Reserved    |        Opaque, 2 bytes        |
/// |                      Random #I, n bytes                       |
/// |            Puzzle solution #J, RHASH_len / 8 bytes            |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// #K of the puzzle.
    pub k: u8,
    /// Opaque of the puzzle.
    pub opaque: [u8; 2],
    /// #I of the puzzle.
    pub i: Vec<u8>,
    /// #J, as long as #I.
    pub j: Vec<u8>,
}

impl Parameter for Solution {
    const TYPE: ParameterType = ParameterType::SOLUTION;
}

impl Encode for Solution {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.k);
        w.u8(0);
        w.slice(&self.opaque);
        w.slice(&self.i);
        w.slice(&self.j);
    }
}

impl<'a> Decode<'a> for Solution {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let k = r.u8("#K")?;
        r.u8("reserved")?;
        let opaque = r.array("opaque")?;
        let both = r.take_rest();
        if both.is_empty() || !both.len().is_multiple_of(2) || both.len() > 2 * DIGEST_LEN_MAX {
            return Err(DecodeError::Length { field: "#I and #J" });
        }
        let (i, j) = both.split_at(both.len() / 2);
        Ok(Self { k, opaque, i: i.to_vec(), j: j.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&Solution { k: 12, opaque: [1, 2], i: vec![7; 32], j: vec![8; 32] });
        assert!(Solution::from_octets(&[0; 4 + 63]).is_err(), "#I and #J of different lengths");
        assert!(Solution::from_octets(&[0; 4 + 130]).is_err(), "longer than any digest");
        assert!(Solution::from_octets(&[0; 4]).is_err(), "empty");
    }
}
