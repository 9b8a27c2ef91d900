//! How hard the puzzle is that a host solves to be heard (RFC 7401 section 4.1.2).

use std::fmt;

use serde::Deserialize;

/// The hardest puzzle, as bits of #K: 2^26 hashes keep a member busy for half a minute; more shuts everybody out.
const BITS_MAX: u8 = 26;

/// The puzzle of a server that is not under attack, as bits of #K: a thousand hashes, a millisecond of a member's time.
const BITS_DEFAULT: u8 = 10;

/// A puzzle's difficulty #K, 0 to 26 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Difficulty(u8);

impl Difficulty {
    /// Returns the bits of the solution that must be zero.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl Default for Difficulty {
    fn default() -> Self {
        Self(BITS_DEFAULT)
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits", self.0)
    }
}

impl TryFrom<u8> for Difficulty {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            0..=BITS_MAX => Ok(Self(bits)),
            _ => Err(format!("a puzzle's difficulty is 0 to {BITS_MAX} bits, not {bits}")),
        }
    }
}
