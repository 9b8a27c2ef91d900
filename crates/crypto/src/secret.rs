//! Octets that are zeroized, compared in constant time and never printed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::locked::Slot;

/// Secret octets. They are erased when dropped, and seen only through [`SecretBytes::expose`]. Short ones, which all keys
/// are, lie in locked pages ([`locked`](crate::locked)).
pub struct SecretBytes(Custody);

/// Where secret octets lie.
enum Custody {
    /// In a part of a locked page; that many of its octets count.
    Locked { slot: Slot, length: usize },
    /// In memory like any other: they are too many for a slot, or nothing more can be locked.
    Ordinary(Zeroizing<Box<[u8]>>),
}

impl SecretBytes {
    /// Takes `octets` into custody. The vector's spare capacity, if any, is erased too.
    pub fn new(mut octets: Vec<u8>) -> Self {
        let secret = Self::copy_of(&octets);
        octets.zeroize();
        secret
    }

    /// Copies `octets` into custody. The caller's copy stays the caller's care.
    pub fn copy_of(octets: &[u8]) -> Self {
        Self::with(octets.len(), |secret| secret.copy_from_slice(octets))
    }

    /// Joins octets in custody.
    pub fn concat(parts: &[&[u8]]) -> Self {
        Self::with(parts.iter().map(|part| part.len()).sum(), |secret| {
            let mut rest = secret;
            for part in parts {
                let (now, behind) = rest.split_at_mut(part.len());
                now.copy_from_slice(part);
                rest = behind;
            }
        })
    }

    /// Makes a secret of `length` octets that `fill` writes in place.
    pub fn with(length: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut custody = match Slot::take(length) {
            Some(slot) => Custody::Locked { slot, length },
            None => Custody::Ordinary(Zeroizing::new(vec![0; length].into())),
        };
        match &mut custody {
            Custody::Locked { slot, length } => fill(&mut slot.octets_mut()[..*length]),
            Custody::Ordinary(octets) => fill(octets),
        }
        Self(custody)
    }

    /// Shows the octets. Every call site is a place to audit.
    pub fn expose(&self) -> &[u8] {
        match &self.0 {
            Custody::Locked { slot, length } => &slot.octets()[..*length],
            Custody::Ordinary(octets) => octets,
        }
    }

    /// Says how many octets there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Custody::Locked { length, .. } => *length,
            Custody::Ordinary(octets) => octets.len(),
        }
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Clone for SecretBytes {
    fn clone(&self) -> Self {
        Self::copy_of(self.expose())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        ct_eq(self.expose(), other.expose())
    }
}

impl Eq for SecretBytes {}

/// Compares octets in a time that depends on their length only.
pub fn ct_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Declares a type for one role of secret, so that a TEK cannot stand where a KEK is asked for.
///
/// ```
/// claviger_crypto::secret_type! {
///     /// A group's key encryption key.
///     pub struct Kek;
/// }
/// let kek = Kek::new(vec![1, 2, 3]);
/// assert_eq!(kek.expose(), [1, 2, 3]);
/// assert_eq!(format!("{kek:?}"), "Kek(..)");
/// ```
#[macro_export]
macro_rules! secret_type {
    ($(#[$meta:meta])* $vis:vis struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq)]
        $vis struct $name($crate::SecretBytes);

        impl $name {
            /// Takes octets into custody.
            $vis fn new(octets: impl Into<$crate::SecretBytes>) -> Self {
                Self(octets.into())
            }

            /// Shows the octets.
            $vis fn expose(&self) -> &[u8] {
                self.0.expose()
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

impl From<Vec<u8>> for SecretBytes {
    fn from(octets: Vec<u8>) -> Self {
        Self::new(octets)
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(octets: &[u8]) -> Self {
        Self::copy_of(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_printed() {
        let secret = SecretBytes::new(vec![0xab; 4]);
        assert_eq!(format!("{secret:?}"), "SecretBytes(..)");
        assert_eq!(secret, SecretBytes::copy_of(&[0xab; 4]));
        assert_ne!(secret, SecretBytes::copy_of(&[0xab; 5]));
    }

    #[test]
    fn secrets_of_every_length_are_what_they_were_made_of() {
        for length in [0, 1, 16, 33, 2048, 2049, 70_000] {
            let octets = vec![0xab; length];
            let secret = SecretBytes::new(octets.clone());
            assert_eq!(
                (secret.expose(), secret.len(), secret.is_empty()),
                (&octets[..], length, length == 0)
            );
            assert_eq!(SecretBytes::concat(&[&octets, b"", secret.expose()]).len(), 2 * length);
            assert_eq!(secret.clone(), secret);
        }
        assert_eq!(SecretBytes::concat(&[b"a", b"", b"bc"]).expose(), b"abc");
    }
}
