//! PUZZLE (RFC 7401 section 5.2.4).

use std::time::Duration;

use claviger_crypto::hash::DIGEST_LEN_MAX;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// A Lifetime code of a puzzle is an exponent of 2 seconds, raised by this.
const LIFETIME_BIAS: u8 = 32;
/// The largest exponent that is taken as it is: 2^32 seconds are 136 years.
const LIFETIME_EXPONENT_MAX: u8 = 32;

/// What a Responder asks an Initiator to solve. Opaque and #I are not covered by HIP_SIGNATURE_2.
///
/// ```text
/// |  #K, 1 byte   |    Lifetime   |        Opaque, 2 bytes        |
/// |                      Random #I, RHASH_len / 8 bytes           |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Puzzle {
    /// #K: how many low-order bits of the hash must be zero.
    pub k: u8,
    /// The lifetime, as a power of two seconds: 2^(value - 32).
    pub lifetime: u8,
    /// Echoed in SOLUTION.
    pub opaque: [u8; 2],
    /// #I, as long as RHASH's output.
    pub i: Vec<u8>,
}

impl Puzzle {
    /// Returns for how long a solution is accepted.
    pub fn lifetime(&self) -> Duration {
        match self.lifetime.checked_sub(LIFETIME_BIAS) {
            Some(exponent) => Duration::from_secs(1 << exponent.min(LIFETIME_EXPONENT_MAX)),
            None => Duration::from_secs(1) / (1 << (LIFETIME_BIAS - self.lifetime).min(31)),
        }
    }

    /// Returns the code of the longest lifetime that does not exceed `seconds`; at least one second.
    pub fn lifetime_code(seconds: u32) -> u8 {
        LIFETIME_BIAS + seconds.max(1).ilog2() as u8
    }
}

impl Parameter for Puzzle {
    const TYPE: ParameterType = ParameterType::PUZZLE;
}

impl Encode for Puzzle {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.k);
        w.u8(self.lifetime);
        w.slice(&self.opaque);
        w.slice(&self.i);
    }
}

impl<'a> Decode<'a> for Puzzle {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (k, lifetime, opaque) = (r.u8("#K")?, r.u8("puzzle lifetime")?, r.array("opaque")?);
        let i = r.take_rest();
        if i.is_empty() || i.len() > DIGEST_LEN_MAX {
            return Err(DecodeError::Length { field: "#I" });
        }
        Ok(Self { k, lifetime, opaque, i: i.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&Puzzle { k: 12, lifetime: 37, opaque: [1, 2], i: vec![7; 48] });
        assert!(Puzzle::from_octets(&[1; 4]).is_err(), "#I is missing");
        assert!(Puzzle::from_octets(&[1; 69]).is_err(), "#I is longer than any digest");
    }

    #[test]
    fn lifetimes_are_powers_of_two_seconds() {
        let lifetime = |lifetime| Puzzle { k: 0, lifetime, opaque: [0; 2], i: vec![0; 32] }.lifetime();
        assert_eq!(lifetime(32), Duration::from_secs(1));
        assert_eq!(lifetime(37), Duration::from_secs(32));
        assert_eq!(lifetime(31), Duration::from_millis(500));
        assert!(lifetime(0) < Duration::from_nanos(2));
        assert_eq!(lifetime(255), lifetime(64), "no overflow");
        for (seconds, code) in [(0, 32), (1, 32), (31, 36), (32, 37), (u32::MAX, 63)] {
            assert_eq!(Puzzle::lifetime_code(seconds), code);
        }
    }
}
