//! How hard the puzzle is that a host solves to be heard (RFC 7401 section 4.1.2), without and under load.

use std::{fmt, str::FromStr};

use serde::Deserialize;

/// The hardest puzzle, as bits of #K: 2^26 hashes keep a member busy for half a minute; more shuts everybody out.
const BITS_MAX: u8 = 26;

/// The puzzle of a server that is not under attack, as bits of #K: a thousand hashes, a millisecond of a member's time.
const BITS_DEFAULT: u8 = 10;

/// The puzzle of a server under load, as bits of #K: 65,000 hashes, a fifteenth of a second of a member's time on average.
/// A host that is to join within a second can solve no harder one.
const BITS_UNDER_LOAD_DEFAULT: u8 = 16;

/// A puzzle's difficulty #K, 0 to 26 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u8")]
pub struct Difficulty(u8);

impl Difficulty {
    /// Returns the bits of the solution that must be zero.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// How hard puzzles are; in the file, `[puzzle]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Puzzle {
    /// The difficulty #K of HIP's puzzle in bits (RFC 7401 section 4.1.2), 0 to 26. Default: 10. Raise it where each host
    /// shall pay more even without load: each bit doubles what a sender pays.
    pub difficulty: Difficulty,
    /// The difficulty up to which it rises by itself under a flood of I2 packets, 0 to 26. Default: 16. Not above
    /// `difficulty`, it stays the same.
    pub difficulty_max: Difficulty,
}

impl Default for Puzzle {
    fn default() -> Self {
        Self { difficulty: Difficulty(BITS_DEFAULT), difficulty_max: Difficulty(BITS_UNDER_LOAD_DEFAULT) }
    }
}

impl fmt::Display for Puzzle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { difficulty, difficulty_max } = self;
        write!(f, "{difficulty}, up to {} under load", difficulty.max(difficulty_max))
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits", self.0)
    }
}

impl FromStr for Difficulty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text} is no number of bits")).and_then(u8::try_into)
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
