//! The Nonce payload (RFC 2408 section 3.13).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

/// Octets that were drawn for one exchange: Ni_b or Nr_b, 8 to 256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(pub Vec<u8>);

//= rfc2409#section-5
//# The length of nonce payload MUST be between 8 and 256
//# bytes inclusive.
/// The fewest and the most octets of a nonce. A protocol may ask for fewer.
pub const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 8..=256;

impl Decode<'_> for Nonce {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if !NONCE_LENGTHS.contains(&r.remaining()) {
            return Err(DecodeError::Length { field: "nonce" });
        }
        Ok(Self(r.take_rest().to_vec()))
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
    fn nonces_have_8_to_256_octets() {
        for length in 0..300 {
            let octets = vec![1; length];
            assert_eq!(Nonce::from_octets(&octets).is_ok(), (8..=256).contains(&length), "{length}");
        }
    }
}
