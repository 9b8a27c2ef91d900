//! How senders that share an association are told apart.

use std::{fmt, net::IpAddr};

pub use claviger_group::SenderId;

use crate::Error;

/// The numbers of bits that a sender id may have.
///
//= rfc6054#section-3
//# To facilitate interoperability, a conforming implementation MUST support SID lengths of 8, 12, and 16 bits.
const SENDER_ID_BITS: [u8; 3] = [8, 12, 16];

/// Forms an initialization vector of 8 octets: the id, then the sender-specific counter (SSIV).
///
/// `counter` is below 2^48, which every length of id leaves room for.
pub(crate) fn iv(id: SenderId, counter: u32) -> [u8; 8] {
    (u64::from(id.value()) << (64 - id.bits()) | u64::from(counter)).to_be_bytes()
}

/// Reads the id back from an initialization vector.
pub(crate) fn of_iv(bits: SenderIdBits, iv: [u8; 8]) -> SenderId {
    let value = u64::from_be_bytes(iv) >> (64 - bits.0);
    let value = u32::try_from(value).expect("a sender id has at most 16 bits");
    SenderId::new(bits.0, value).expect("what is left of the shift fits the bits")
}

/// A number of bits that a sender id may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderIdBits(u8);

impl SenderIdBits {
    pub(crate) fn new(bits: u8) -> Result<Self, Error> {
        if SENDER_ID_BITS.contains(&bits) { Ok(Self(bits)) } else { Err(Error::SenderIdBits) }
    }
}

/// Whose packet it is, as far as the association can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SenderKey {
    /// In counter mode: the sender id, which the packet's integrity check covers.
    Id(SenderId),
    /// With AES-CBC: the source address, which nothing authenticates in transport mode.
    Address(IpAddr),
}

impl fmt::Display for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_leftmost_bits_of_the_iv() {
        let iv = |bits, value| iv(SenderId::new(bits, value).unwrap(), 0x0102_0304);
        assert_eq!(iv(8, 0xab), [0xab, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(iv(12, 0xabc), [0xab, 0xc0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(iv(16, 0xabcd), [0xab, 0xcd, 0, 0, 1, 2, 3, 4]);
        for (bits, value) in [(8, 0xff), (12, 0), (12, 0xfff), (16, 0x8001)] {
            let id = SenderId::new(bits, value).unwrap();
            assert_eq!(of_iv(SenderIdBits::new(bits).unwrap(), super::iv(id, u32::MAX)), id);
        }
    }

    #[test]
    fn refuses_values_and_lengths_that_rfc_6054_does_not_know() {
        assert_eq!(SenderId::new(8, 0x100), None);
        assert_eq!(SenderId::new(12, 0x1000), None);
        assert_eq!(SenderId::new(16, 0x1_0000), None);
        assert_eq!(SenderId::new(24, 1), None);
        assert_eq!(SenderIdBits::new(0), Err(Error::SenderIdBits));
    }
}
