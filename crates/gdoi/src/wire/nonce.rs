//! The Nonce payload of a GROUPKEY-PULL (RFC 6407 section 5.8), which may be no longer than half of ISAKMP's longest.

use claviger_isakmp::wire as isakmp;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

/// Octets that were drawn for one exchange: Ni_b or Nr_b, 8 to 128.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(pub Vec<u8>);

/// The fewest and the most octets of a nonce.
pub const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 8..=128;

impl Decode<'_> for Nonce {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let isakmp::Nonce(nonce) = isakmp::Nonce::decode(r)?;
        //= rfc6407#section-5.8
        //# The data portion of the Nonce payload (i.e., Ni_b and Nr_b included
        //# in the HASHs) MUST be a value between 8 and 128 octets.
        if !NONCE_LENGTHS.contains(&nonce.len()) {
            return Err(DecodeError::Length { field: "nonce" });
        }
        Ok(Self(nonce))
    }
}

impl Encode for Nonce {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_have_8_to_128_octets() {
        for length in 0..200 {
            let octets = vec![1; length];
            assert_eq!(Nonce::from_octets(&octets).is_ok(), (8..=128).contains(&length), "{length}");
        }
    }
}
