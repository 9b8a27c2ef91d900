//! What is fed to the key derivation function of NIST SP 800-108r1 in counter mode, with AES-CMAC (RFC 4493) as
//! its pseudorandom function.
//!
//! A derivation is `AES-CMAC(k, [i] || Label || 0x00 || [L])` for `i` from 1, with `[i]` and `[L]`, the length of
//! what is derived in bits, as 32 bits each and no context. The labels here have seven octets, so each such
//! message is exactly one block.

use crate::job::BLOCK_LEN;

/// The label under which a key's successor is derived.
pub(crate) const ADVANCE: &[u8; 7] = b"advance";

/// The label under which the IV of a key is derived.
pub(crate) const IV: &[u8; 7] = b"lkh iv ";

/// The message of block `counter` when `length` octets are derived under `label`.
pub(crate) fn message(counter: u32, label: &[u8; 7], length: usize) -> [u8; BLOCK_LEN] {
    let bits = u32::try_from(8 * length).expect("a key has at most 256 bits");
    let mut block = [0; BLOCK_LEN];
    block[..4].copy_from_slice(&counter.to_be_bytes());
    block[4..11].copy_from_slice(label);
    block[12..].copy_from_slice(&bits.to_be_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_block_each() {
        assert_eq!(&message(1, ADVANCE, 16), b"\0\0\0\x01advance\0\0\0\0\x80");
        assert_eq!(&message(2, ADVANCE, 32), b"\0\0\0\x02advance\0\0\0\x01\0");
        assert_eq!(&message(1, IV, 16), b"\0\0\0\x01lkh iv \0\0\0\0\x80");
    }
}
