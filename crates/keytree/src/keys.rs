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

    /// Erases the keys, and makes room for `count` others.
    pub(crate) fn renew(&mut self, count: usize) {
        self.octets.zeroize();
        self.octets.reserve_exact(count * self.key_len);
    }

    /// Makes `count` keys in the place of those there were, and lends them to be written.
    pub(crate) fn draw(&mut self, count: usize) -> &mut [u8] {
        self.renew(count);
        self.octets.resize(count * self.key_len, 0);
        &mut self.octets
    }

    /// Adds a key, for which there is room. Keys have `L` octets.
    #[inline]
    pub(crate) fn push<const L: usize>(&mut self, key: &[u8; L]) {
        debug_assert_eq!(L, self.key_len, "keys have one length");
        debug_assert!(self.octets.len() + L <= self.octets.capacity(), "there is room for the key");
        self.octets.extend_from_slice(key);
    }

    /// Shows all keys, of `L` octets.
    pub(crate) fn all<const L: usize>(&self) -> &[[u8; L]] {
        debug_assert_eq!(L, self.key_len, "keys have one length");
        self.octets.as_chunks().0
    }

    /// Shows a key.
    pub(crate) fn key(&self, number: usize) -> &[u8] {
        &self.octets[number * self.key_len..(number + 1) * self.key_len]
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
