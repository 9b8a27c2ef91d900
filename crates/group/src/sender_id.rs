//! How a key server tells apart senders that share an association.

use std::fmt;

/// The sender id (SID) that a key server gives to one sender for its exclusive use: the leftmost bits of every
/// initialization vector that it forms (RFC 6054 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId {
    bits: u8,
    value: u32,
}

/// How many bits an id can have (RFC 6054 section 3).
pub const SENDER_ID_BITS: [u8; 3] = [8, 12, 16];

impl SenderId {
    /// Takes a value of 8, 12 or 16 bits; `None` if the value has more, or `bits` is another number.
    pub const fn new(bits: u8, value: u32) -> Option<Self> {
        match bits {
            8 | 12 | 16 if value < 1 << bits => Some(Self { bits, value }),
            _ => None,
        }
    }

    /// Says how many bits the id takes in an initialization vector.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Shows the number.
    pub const fn value(&self) -> u32 {
        self.value
    }
}

impl fmt::Display for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.value, self.bits)
    }
}
