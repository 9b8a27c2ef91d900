//! One key of a node.

use std::fmt;

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, secret::ct_eq};
use claviger_keywrap::{Engine, Wrapped};

use crate::{Handle, PathError};

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
}

impl From<CipherAlgorithm> for KeyLength {
    /// Returns the length of the cipher's keys.
    fn from(cipher: CipherAlgorithm) -> Self {
        match cipher {
            CipherAlgorithm::Aes128Cbc => Self::Octets16,
            CipherAlgorithm::Aes256Cbc => Self::Octets32,
        }
    }
}

/// One key of a node, in its holder's custody. It is the bare key: what goes with it on the wire, such as the
/// initialization vector of RFC 6407 section 5.6.3.1, is derived from it.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeKey {
    /// Tells the successive keys of one node apart.
    pub handle: Handle,
    key: SecretBytes,
}

impl NodeKey {
    /// Takes a key of 16 or 32 octets into custody. Returns nothing for any other length.
    pub fn new(handle: Handle, key: SecretBytes) -> Option<Self> {
        let lengths = [KeyLength::Octets16, KeyLength::Octets32];
        lengths.iter().any(|length| length.octets() == key.len()).then_some(Self { handle, key })
    }

    /// Returns the length of the key.
    pub fn length(&self) -> KeyLength {
        if self.key.len() == KeyLength::Octets16.octets() { KeyLength::Octets16 } else { KeyLength::Octets32 }
    }

    /// Shows the key.
    pub fn key(&self) -> &[u8] {
        self.key.expose()
    }

    /// Computes the key that a handle names: this one, or one that it becomes by advances; none otherwise.
    pub fn advanced_to(&self, handle: Handle) -> Option<Self> {
        let advances = self.handle.advances_to(handle)?;
        let mut key = self.key.clone();
        for _ in 0..advances {
            key = Engine::best().advance_one(key.expose()).expect("a node's key has 16 or 32 octets");
        }
        Some(Self { handle, key })
    }

    /// Unwraps the key with this handle, which is wrapped under this one (RFC 3394).
    ///
    /// # Errors
    ///
    /// [`PathError::Content`] if it is wrapped under another key, or is none.
    pub fn unwrap_key(&self, handle: Handle, wrapped: &[u8]) -> Result<Self, PathError> {
        let wrapped = Wrapped { under: self.key.expose(), ciphertext: wrapped };
        let key = Engine::best().unwrap_one(wrapped).map_err(|_| PathError::Content)?;
        Self::new(handle, key).ok_or(PathError::Content)
    }

    /// Lends the key with its handle.
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { handle: self.handle, key: self.key.expose() }
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// One key of a node, as its keeper lends it.
#[derive(Clone, Copy)]
pub struct KeyRef<'a> {
    /// Tells the successive keys of one node apart.
    pub handle: Handle,
    /// The bare key, 16 or 32 octets.
    pub key: &'a [u8],
}

impl KeyRef<'_> {
    /// Copies the key into custody.
    pub fn to_owned(self) -> NodeKey {
        NodeKey { handle: self.handle, key: SecretBytes::copy_of(self.key) }
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle && ct_eq(self.key, other.key)
    }
}

impl Eq for KeyRef<'_> {}

impl PartialEq<KeyRef<'_>> for NodeKey {
    fn eq(&self, other: &KeyRef<'_>) -> bool {
        self.as_ref() == *other
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRef").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use claviger_keywrap::Job;

    use super::*;

    const HANDLE: Handle = Handle::from_u32(0x70);

    #[test]
    fn has_16_or_32_octets() {
        for length in 0..64 {
            let key = NodeKey::new(HANDLE, SecretBytes::new(vec![3; length]));
            assert_eq!(key.is_some(), [16, 32].contains(&length), "{length}");
            if let Some(key) = key {
                assert_eq!((key.length().octets(), key.key()), (length, &[3; 64][..length]));
                assert_eq!(key.as_ref().to_owned(), key);
            }
        }
    }

    #[test]
    fn is_never_printed() {
        let key = NodeKey::new(HANDLE, SecretBytes::new(vec![0xab; 32])).unwrap();
        assert_eq!(format!("{key:?}"), "NodeKey { handle: Handle(112), .. }");
        assert_eq!(format!("{:?}", key.as_ref()), "KeyRef { handle: Handle(112), .. }");
    }
    #[test]
    fn is_advanced_as_often_as_the_handles_say() {
        let key = NodeKey::new(HANDLE, SecretBytes::new(vec![3; 32])).unwrap();
        assert_eq!(key.advanced_to(HANDLE).as_ref(), Some(&key));
        let [once, twice] = [1, 2].map(|advances| Handle::new(HANDLE.epoch(), advances).unwrap());
        let engine = Engine::best();
        let expected = engine.advance_one(engine.advance_one(&[3; 32]).unwrap().expose()).unwrap();
        assert_eq!(key.advanced_to(twice).unwrap().key(), expected.expose());
        assert_eq!(key.advanced_to(once).unwrap().advanced_to(twice), key.advanced_to(twice));
        assert_eq!(key.advanced_to(twice).unwrap().advanced_to(once), None);
        assert_eq!(key.advanced_to(Handle::drawn(HANDLE.epoch() + 1).unwrap()), None);
    }

    #[test]
    fn unwraps_what_is_wrapped_under_it_alone() {
        let [one, other] = [3, 4].map(|n| NodeKey::new(HANDLE, SecretBytes::new(vec![n; 16])).unwrap());
        let engine = Engine::best();
        let wrapped = engine.wrap_one(Job { under: one.key(), plaintext: &[5; 32] }).unwrap();
        let handle = Handle::drawn(9).unwrap();
        let new = one.unwrap_key(handle, &wrapped).unwrap();
        assert_eq!((new.handle, new.key()), (handle, &[5; 32][..]));
        assert_eq!(other.unwrap_key(handle, &wrapped), Err(PathError::Content));
        let no_key = engine.wrap_one(Job { under: one.key(), plaintext: &[5; 24] }).unwrap();
        assert_eq!(one.unwrap_key(handle, &no_key), Err(PathError::Content));
    }
}
