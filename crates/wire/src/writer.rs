//! A growing buffer for octets to send.

use std::fmt;

use zeroize::Zeroize;

/// Appends integers (big-endian) and slices; lengths of nested parts are repaired when the part is complete.
///
/// What is written may be keys, so nothing of it is left behind: the buffer is wiped when it is dropped, and when it has
/// to be replaced by a longer one. It prints none of it.
#[derive(Default)]
pub struct Writer {
    octets: Vec<u8>,
}

/// The room of a first buffer, in octets: small payloads fit.
const ROOM_MIN: usize = 64;

impl Writer {
    /// Starts with nothing written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes one octet.
    pub fn u8(&mut self, value: u8) {
        self.slice(&[value]);
    }

    /// Writes two octets.
    pub fn u16(&mut self, value: u16) {
        self.slice(&value.to_be_bytes());
    }

    /// Writes four octets.
    pub fn u32(&mut self, value: u32) {
        self.slice(&value.to_be_bytes());
    }

    /// Writes eight octets.
    pub fn u64(&mut self, value: u64) {
        self.slice(&value.to_be_bytes());
    }

    /// Writes `octets` as they are.
    pub fn slice(&mut self, octets: &[u8]) {
        self.make_room(octets.len());
        self.octets.extend_from_slice(octets);
    }

    /// Writes `count` zero octets.
    pub fn zeros(&mut self, count: usize) {
        self.make_room(count);
        self.octets.resize(self.octets.len() + count, 0);
    }

    /// Makes room for so many octets more. A vector that grows by itself may leave what it had in memory that it gives
    /// back.
    fn make_room(&mut self, more: usize) {
        let length = self.octets.len() + more;
        if length <= self.octets.capacity() {
            return;
        }
        let mut larger = Vec::with_capacity(length.max(2 * self.octets.capacity()).max(ROOM_MIN));
        larger.extend_from_slice(&self.octets);
        self.octets.zeroize();
        self.octets = larger;
    }

    /// Pads with zeros until the length written since `start` is a multiple of `block` octets.
    pub fn pad_to(&mut self, start: usize, block: usize) {
        let length = self.octets.len() - start;
        self.zeros(length.next_multiple_of(block) - length);
    }

    /// Writes a part behind its two-octet length, which counts the part only.
    ///
    /// # Panics
    ///
    /// If the part exceeds 65,535 octets, which constructors of encodable types rule out.
    pub fn nested_u16(&mut self, part: impl FnOnce(&mut Self)) {
        self.u16(0);
        let start = self.octets.len();
        part(self);
        let length = u16::try_from(self.octets.len() - start)
            .expect("constructors bound nested parts to 65,535 octets");
        self.patch_u16(start - 2, length);
    }

    /// Overwrites the octet at `position`.
    pub fn patch_u8(&mut self, position: usize, value: u8) {
        self.octets[position] = value;
    }

    /// Overwrites two octets at `position`.
    pub fn patch_u16(&mut self, position: usize, value: u16) {
        self.octets[position..position + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Overwrites four octets at `position`.
    pub fn patch_u32(&mut self, position: usize, value: u32) {
        self.octets[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// Gives the octets away; to wipe them is the caller's care.
    pub fn into_octets(mut self) -> Vec<u8> {
        std::mem::take(&mut self.octets)
    }

    /// Shows the octets written so far.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Says how many octets were written.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Says whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} octets)", self.octets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_prints_nothing_of_what_it_has() {
        let mut w = Writer::new();
        for value in 0..2_000u16 {
            w.u16(value);
        }
        assert_eq!(w.octets()[2 * 1_999..], 1_999u16.to_be_bytes());
        assert_eq!(format!("{w:?}"), "Writer(4000 octets)");
        assert_eq!(w.into_octets().len(), 4_000);
    }

    #[test]
    fn nested_lengths_repair_themselves() {
        let mut w = Writer::new();
        w.u8(7);
        w.nested_u16(|w| {
            w.u8(1);
            w.nested_u16(|w| w.slice(b"ab"));
        });
        assert_eq!(w.octets(), [7, 0, 5, 1, 0, 2, b'a', b'b']);
    }

    #[test]
    fn padding_counts_from_its_start() {
        let mut w = Writer::new();
        w.slice(&[1, 2, 3]);
        w.slice(&[9]);
        w.pad_to(3, 4);
        assert_eq!(w.octets(), [1, 2, 3, 9, 0, 0, 0]);
        w.pad_to(3, 4);
        assert_eq!(w.len(), 7, "nothing is added on a boundary");
    }
}
