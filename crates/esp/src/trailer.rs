//! Padding, pad length and next header (RFC 4303 sections 2.4 to 2.6).

use crate::{Error, layout::TRAILER_LEN};

/// The next header of a dummy packet: "no next header".
pub(crate) const NEXT_HEADER_NONE: u8 = 59;

/// Appends padding, pad length and next header to a packet whose encrypted part starts at `body_start`, so that
/// this part becomes a multiple of `block_len` octets.
pub(crate) fn append(esp: &mut Vec<u8>, body_start: usize, block_len: usize, next_header: u8) {
    let body_len = esp.len() - body_start + TRAILER_LEN;
    let pad_len =
        u8::try_from(body_len.next_multiple_of(block_len) - body_len).expect("a block has at most 16 octets");
    //= rfc4303#section-2.4
    //# The first padding byte appended to the plaintext is numbered 1, with subsequent padding bytes making up
    //# a monotonically increasing sequence: 1, 2, 3, ....
    esp.extend(1..=pad_len);
    esp.extend([pad_len, next_header]);
}

/// Cuts padding, pad length and next header off a decrypted body and returns the next header.
pub(crate) fn strip(body: &mut Vec<u8>) -> Result<u8, Error> {
    let &[ref rest @ .., pad_len, next_header] = &body[..] else {
        return Err(Error::Truncated);
    };
    let Some(payload_len) = rest.len().checked_sub(pad_len.into()) else {
        return Err(Error::Padding);
    };
    //= rfc4303#section-2.4
    //# When this padding scheme is employed, the receiver SHOULD inspect the Padding field.
    if !rest[payload_len..].iter().copied().eq(1..=pad_len) {
        return Err(Error::Padding);
    }
    body.truncate(payload_len);
    Ok(next_header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_up_to_the_boundary_and_strips_again() {
        for block_len in [4, 16] {
            for payload_len in 0..40 {
                let payload = vec![0xee; payload_len];
                let mut body = payload.clone();
                append(&mut body, 0, block_len, 17);
                assert!(body.len().is_multiple_of(block_len) && body.len() < payload_len + 2 + block_len);
                assert_eq!(strip(&mut body), Ok(17));
                assert_eq!(body, payload);
            }
        }
    }

    #[test]
    fn counts_padding_from_the_encrypted_part() {
        let mut esp = vec![0; 8 + 3];
        append(&mut esp, 8, 4, 41);
        assert_eq!(esp[11..], [1, 2, 3, 3, 41]);
    }

    #[test]
    fn accepts_the_longest_padding_and_refuses_wrong_ones() {
        let mut longest: Vec<u8> = (1..=255).collect();
        longest.extend([255, 6]);
        assert_eq!(strip(&mut longest), Ok(6));
        assert!(longest.is_empty());
        assert_eq!(strip(&mut vec![1, 2, 4, 3, 6]), Err(Error::Padding));
        assert_eq!(strip(&mut vec![0, 1, 6]), Err(Error::Padding));
        assert_eq!(strip(&mut vec![1, 2, 3, 6]), Err(Error::Padding), "more padding than there is");
        assert_eq!(strip(&mut vec![6]), Err(Error::Truncated));
    }
}
