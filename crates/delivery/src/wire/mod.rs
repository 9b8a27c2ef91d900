//! The four messages: repair, announcement and directory from the sender to all, report from one receiver to the sender.
//!
//! All begin alike:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    Version    |     Type      |     Round     |     Flags     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                                                               |
//! |                                                               |
//! |                              SPI                              |
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     First Sequence Number                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Version is 1. Type is 1 for a repair, 2 for an announcement, 3 for a report, 4 for a directory. Rounds are counted
//! from 1. Flags is zero but for an announcement's. SPI and First Sequence Number name the batch.
//!
//! In all but the report follows the shape of the batch:
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           Datagrams           |        Symbol Size (T)        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          Blocks (Z)           |     Parts     |    Bundle     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Parts is the number of source symbols of a datagram, Bundle that of symbols in a repair, 1 to Parts.
//!
//! None of them carries proof of its origin: the layer above wraps and unwraps them (see [`crate::seal`]).

pub mod announcement;
pub mod directory;
mod header;
pub mod repair;
pub mod report;

pub use announcement::{Announcement, Heard};
pub use directory::Directory;
pub use header::{HEADER_LEN, MessageType, batch_of};
pub use repair::Repair;
pub use report::{Entry, Report};

#[cfg(test)]
pub(crate) mod test {
    use std::fmt::Debug;

    use claviger_wire::{Decode, Encode};

    use crate::BatchId;

    pub(crate) const BATCH: BatchId = BatchId { spi: [7; 16], first_sequence: 0x0102_0304 };

    /// Encodes and decodes the value, refuses it cut at every length, and survives every flipped bit.
    pub(crate) fn survives<T: Encode + for<'a> Decode<'a> + PartialEq + Debug>(
        value: &T,
        may_be_cut_at: &[usize],
    ) {
        let octets = value.to_octets();
        assert_eq!(T::from_octets(&octets).as_ref(), Ok(value));
        for length in 0..octets.len() {
            let cut = T::from_octets(&octets[..length]);
            assert_eq!(cut.is_ok(), may_be_cut_at.contains(&length), "cut at {length}: {cut:?}");
        }
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = T::from_octets(&flipped) {
                assert_ne!(&other, value, "bit {bit} means something");
                assert_eq!(T::from_octets(&other.to_octets()).as_ref(), Ok(&other));
            }
        }
    }
}
