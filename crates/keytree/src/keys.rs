//! Many keys of one length, one after the other.

use std::fmt;

use claviger_keypath::KeyLength;
use zeroize::{Zeroize, Zeroizing};

/// Room for many keys of one length, erased when dropped.
#[derive(Clone)]
pub(crate) struct Keys {
    key_len: usize,
    octets: Zeroizing<Vec<u8>>,
}

impl Keys {
    /// Holds no keys.
    pub(crate) fn none(key_length: KeyLength) -> Self {
        Self { key_len: key_length.octets(), octets: Zeroizing::new(Vec::new()) }
    }

    /// Returns the length of each key in octets.
    pub(crate) fn key_len(&self) -> usize {
        self.key_len
    }

    /// Says how many keys there is room for.
    pub(crate) fn room(&self) -> usize {
        self.octets.capacity() / self.key_len
    }

    /// Erases the keys from the one numbered `first` on. Their room stays.
    pub(crate) fn erase(&mut self, first: usize) {
        self.octets[first * self.key_len..].zeroize();
    }

    /// Makes room for `count` keys in the place of those there are, which are erased.
    pub(crate) fn make_room(&mut self, count: usize) {
        let length = count * self.key_len;
        if length > self.octets.capacity() {
            self.octets = Zeroizing::new(vec![0; roomy(length, self.octets.capacity())]);
        } else if length > self.octets.len() {
            self.octets.resize(length, 0);
        }
    }

    /// Shows a key.
    #[inline]
    pub(crate) fn key(&self, number: usize) -> &[u8] {
        &self.octets[number * self.key_len..(number + 1) * self.key_len]
    }

    /// Shows the first `count` keys, and the others.
    pub(crate) fn octets_mut(&mut self, count: usize) -> (&mut [u8], &mut [u8]) {
        self.octets.split_at_mut(count * self.key_len)
    }

    /// Shows all keys, of `L` octets each.
    pub(crate) fn all_mut<const L: usize>(&mut self) -> &mut [[u8; L]] {
        debug_assert_eq!(L, self.key_len, "keys have one length");
        self.octets.as_chunks_mut().0
    }
}

/// Returns how much room to make for `length` where there was some for less: a little more than asked for, so that
/// changes that are each a little larger than the one before do not each make it anew.
pub(crate) fn roomy(length: usize, before: usize) -> usize {
    if before == 0 { length } else { length + length / 8 }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}
