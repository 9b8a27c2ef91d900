//! Reads and writes protocol octets on bounds-checked cursors.
//!
//! Every protocol crate encodes by hand on [`Writer`] and decodes by hand on [`Reader`], so that each error
//! names the field it met and each length is checked once, in one place.
//!
//! | module | what |
//! |---|---|
//! | [`reader`] | a cursor over received octets; nothing is copied and nothing can read past the end |
//! | [`writer`] | a growing buffer with nested lengths that repair themselves |
//! | [`rules`] | tables of what may stand in a message |
//! | [`error`] | what a decoder can meet |
//!
//! ```
//! use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};
//!
//! struct SequenceNumber(u32);
//!
//! impl<'a> Decode<'a> for SequenceNumber {
//!     fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
//!         Ok(Self(r.u32("sequence number")?))
//!     }
//! }
//!
//! impl Encode for SequenceNumber {
//!     fn encode(&self, w: &mut Writer) {
//!         w.u32(self.0);
//!     }
//! }
//!
//! assert_eq!(SequenceNumber(7).to_octets(), [0, 0, 0, 7]);
//! assert!(SequenceNumber::from_octets(&[0, 0, 0]).is_err());
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod error;
pub mod reader;
pub mod rules;
pub mod writer;

pub use error::DecodeError;
pub use reader::Reader;
pub use writer::Writer;

/// A value that can be read from octets it may borrow from.
///
/// `E` is what the octets can be at fault for. A value that also asserts something, which a reader may know or not,
/// has an error of its protocol here.
pub trait Decode<'a, E: From<DecodeError> = DecodeError>: Sized {
    /// Reads one value and leaves the cursor behind it.
    fn decode(r: &mut Reader<'a>) -> Result<Self, E>;

    /// Reads one value that fills `octets` exactly.
    fn from_octets(octets: &'a [u8]) -> Result<Self, E> {
        let mut r = Reader::new(octets);
        let value = Self::decode(&mut r)?;
        r.finish()?;
        Ok(value)
    }
}

/// A value that can be written as octets. Encoding cannot fail: constructors enforce sizes.
pub trait Encode {
    /// Appends the value's octets.
    fn encode(&self, w: &mut Writer);

    /// Returns the value's octets.
    fn to_octets(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.encode(&mut w);
        w.into_octets()
    }
}
