//! What a decoder can meet.

use std::fmt;

/// Why octets are not the message they claim to be. Each variant names the field at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The octets end inside this field.
    Truncated {
        /// The field that was being read.
        field: &'static str,
    },
    /// Octets remain behind the last field.
    Trailing {
        /// How many octets remain.
        octets: usize,
    },
    /// A length field contradicts what it measures.
    Length {
        /// The field whose length is wrong.
        field: &'static str,
    },
    /// A field holds a value that its definition forbids.
    Value {
        /// The field at fault.
        field: &'static str,
        /// The value found, as far as it fits.
        value: u64,
    },
    /// An element that must be there is absent.
    Missing {
        /// The element.
        what: &'static str,
    },
    /// An element stands where it must not, or more often than it may.
    Unexpected {
        /// The element.
        what: &'static str,
    },
    /// More elements than this implementation is willing to hold.
    TooMany {
        /// The element.
        what: &'static str,
        /// The limit that was passed.
        limit: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { field } => write!(f, "message ends inside {field}"),
            Self::Trailing { octets } => write!(f, "{octets} octets follow the end of the message"),
            Self::Length { field } => write!(f, "length of {field} contradicts its content"),
            Self::Value { field, value } => write!(f, "{field} has the forbidden value {value}"),
            Self::Missing { what } => write!(f, "{what} is missing"),
            Self::Unexpected { what } => write!(f, "{what} is out of place"),
            Self::TooMany { what, limit } => write!(f, "more than {limit} of {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}
