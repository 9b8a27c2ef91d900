//! Octets that are zeroized, compared in constant time and never printed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Secret octets. They are erased when dropped, and seen only through [`SecretBytes::expose`].
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Box<[u8]>>);

impl SecretBytes {
    /// Takes `octets` into custody. The vector's spare capacity, if any, is erased too.
    pub fn new(mut octets: Vec<u8>) -> Self {
        let secret = Self::copy_of(&octets);
        octets.zeroize();
        secret
    }

    /// Copies `octets` into custody. The caller's copy stays the caller's care.
    pub fn copy_of(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    /// Makes a secret of `length` octets that `fill` writes in place.
    pub fn with(length: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut secret = Self(Zeroizing::new(vec![0; length].into()));
        fill(&mut secret.0);
        secret
    }

    /// Shows the octets. Every call site is a place to audit.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Says how many octets there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
}
