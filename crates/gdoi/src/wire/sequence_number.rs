//! The Sequence Number payload (RFC 6407 section 5.7).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                      Sequence Number                          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_wire::{DecodeError, Reader};

/// Reads the body of a SEQ payload.
pub fn decode(body: &[u8]) -> Result<u32, DecodeError> {
    let mut r = Reader::new(body);
    let number = r.u32("sequence number")?;
    r.finish()?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_four_octets() {
        assert_eq!(decode(&[0, 0, 1, 2]), Ok(258));
        for length in [0, 1, 2, 3, 5] {
            assert!(decode(&vec![0; length]).is_err());
        }
    }
}
