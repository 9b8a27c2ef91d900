//! Many keys of one length, one after the other.

use std::fmt;

use claviger_crypto::secret::ct_eq;
use zeroize::{Zeroize, Zeroizing};

use crate::KeyLength;

/// Many keys of one length, erased when dropped. They never outgrow the room made for them, so that no copy stays
/// behind.
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

    /// Erases the keys.
    pub(crate) fn clear(&mut self) {
        self.octets.as_mut_slice().zeroize();
    }

    /// Makes room for `count` keys, in the place of those that [`Keys::clear`] erased, to be written.
    pub(crate) fn renew(&mut self, count: usize) {
        let length = count * self.key_len;
        if length > self.octets.capacity() {
            self.octets = Zeroizing::new(vec![0; length]);
        }
        // Nothing of what is cut off or added is more than zeros.
        self.octets.resize(length, 0);
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

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        ct_eq(&self.octets, &other.octets)
    }
}

impl Eq for Keys {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}
