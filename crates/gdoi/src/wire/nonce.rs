//! The Nonce payload (RFC 2408 section 3.13).

use claviger_wire::DecodeError;

/// The fewest and the most octets of a nonce.
pub const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 8..=128;

/// Reads the body of a Nonce payload.
pub fn decode(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    //= rfc6407#section-5.8
    //# The data portion of the Nonce payload (i.e., Ni_b and Nr_b included
    //# in the HASHs) MUST be a value between 8 and 128 octets.
    if NONCE_LENGTHS.contains(&body.len()) {
        Ok(body.to_vec())
    } else {
        Err(DecodeError::Length { field: "nonce" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_have_8_to_128_octets() {
        for length in 0..200 {
            assert_eq!(decode(&vec![1; length]).is_ok(), (8..=128).contains(&length), "{length}");
        }
    }
}
