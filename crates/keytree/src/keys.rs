//! Many keys of one length, one after the other.

use std::fmt;

use claviger_crypto::secret::ct_eq;
use zeroize::Zeroizing;

use crate::KeyLength;

/// Many keys of one length, erased when dropped. They never grow beyond their first room, so that no copy stays
/// behind.
#[derive(Clone)]
pub(crate) struct Keys {
    key_len: usize,
    octets: Zeroizing<Vec<u8>>,
}

impl Keys {
    /// Makes room for `count` keys.
    pub(crate) fn with_capacity(count: usize, key_length: KeyLength) -> Self {
        let key_len = key_length.octets();
        Self { key_len, octets: Zeroizing::new(Vec::with_capacity(count * key_len)) }
    }

    /// Makes `count` keys that `fill` writes in place, and hands on its error.
    pub(crate) fn filled<E>(
        count: usize,
        key_length: KeyLength,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let key_len = key_length.octets();
        let mut octets = Zeroizing::new(vec![0; count * key_len]);
        fill(&mut octets)?;
        Ok(Self { key_len, octets })
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
