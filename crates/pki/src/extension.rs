//! An extension as octets.

use crate::oid::Oid;

/// An extension that not everybody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Which one it is.
    pub id: Oid,
    /// A certificate with a critical extension that its reader does not know is refused.
    pub critical: bool,
    /// Its DER.
    pub value: Vec<u8>,
}
