//! One key of a node.

use std::fmt;

use claviger_crypto::SecretBytes;

/// The initialization vector that belongs to a key, in octets: one AES block.
pub const IV_LEN: usize = 16;

/// The length of every key of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyLength {
    /// 16 octets, for AES-128.
    Octets16,
    /// 32 octets, for AES-256.
    Octets32,
}

impl KeyLength {
    /// Returns the length of a key in octets.
    pub const fn octets(self) -> usize {
        match self {
            Self::Octets16 => 16,
            Self::Octets32 => 32,
        }
    }

    /// Returns the length in octets of a key with its initialization vector.
    pub const fn material_len(self) -> usize {
        IV_LEN + self.octets()
    }
}

/// One key of a node, with the initialization vector that is used with it.
///
/// RFC 6407 §5.6.3.1 puts the vector into the Key Data field, before the key. Both are as unpredictable as each
/// other; what a key encrypts here is always another [`NodeKey::material`], whose first block is itself random,
/// so that one vector may serve for several encryptions.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeKey {
    /// Tells the successive keys of one node apart: the epoch in which the key was made, never 0 and never used
    /// twice for a node.
    pub handle: u32,
    material: SecretBytes,
}

impl NodeKey {
    /// Takes a key into custody: `material` is the initialization vector of 16 octets, then the key of 16 or 32.
    /// Returns nothing for any other length.
    pub fn new(handle: u32, material: SecretBytes) -> Option<Self> {
        let lengths = [KeyLength::Octets16, KeyLength::Octets32];
        lengths
            .iter()
            .any(|length| length.material_len() == material.len())
            .then_some(Self { handle, material })
    }

    /// Returns the length of the key without its initialization vector.
    pub fn length(&self) -> KeyLength {
        if self.material.len() == KeyLength::Octets16.material_len() {
            KeyLength::Octets16
        } else {
            KeyLength::Octets32
        }
    }

    /// Shows the initialization vector.
    pub fn iv(&self) -> &[u8; IV_LEN] {
        self.material.expose().first_chunk().expect("the constructor asks for an initialization vector")
    }

    /// Shows the key.
    pub fn key(&self) -> &[u8] {
        &self.material.expose()[IV_LEN..]
    }

    /// Shows the initialization vector and the key after it: the plaintext of a Key Data field.
    pub fn material(&self) -> &[u8] {
        self.material.expose()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_into_vector_and_key() {
        let octets: Vec<u8> = (0..48).collect();
        let key = NodeKey::new(7, SecretBytes::copy_of(&octets)).unwrap();
        assert_eq!(
            (key.iv().as_slice(), key.key(), key.material()),
            (&octets[..16], &octets[16..], &octets[..])
        );
        assert_eq!(key.length(), KeyLength::Octets32);
        assert_eq!(NodeKey::new(7, SecretBytes::new(vec![0; 32])).unwrap().length(), KeyLength::Octets16);
    }

    #[test]
    fn refuses_other_lengths() {
        for length in (0..64).filter(|length| ![32, 48].contains(length)) {
            assert_eq!(NodeKey::new(1, SecretBytes::new(vec![0; length])), None, "{length}");
        }
    }

    #[test]
    fn is_never_printed() {
        let key = NodeKey::new(7, SecretBytes::new(vec![0xab; 32])).unwrap();
        assert_eq!(format!("{key:?}"), "NodeKey { handle: 7, .. }");
    }
}
