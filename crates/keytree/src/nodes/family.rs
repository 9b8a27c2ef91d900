//! The rows of siblings.

use super::HANDLE_LEN;
use crate::Handle;

/// The children of one node, and their rows of `L` octets of key, to be changed.
pub(crate) struct FamilyMut<'a, const L: usize> {
    pub(super) occupied: u8,
    pub(super) direct: bool,
    pub(super) handles: &'a mut [[u8; HANDLE_LEN]],
    pub(super) keys: &'a mut [[u8; L]],
}

impl<'a, const L: usize> FamilyMut<'a, L> {
    /// Says whether there is a row for each place of the family, rather than for each child that is there.
    #[inline]
    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Shows the rows: handles, and keys.
    #[inline]
    pub(crate) fn rows(self) -> (&'a mut [[u8; HANDLE_LEN]], &'a mut [[u8; L]]) {
        (self.handles, self.keys)
    }

    /// Shows the handle and the key of the child in `place`, which is there.
    #[inline]
    pub(crate) fn key(&self, place: u32) -> (Handle, &[u8; L]) {
        let row = row(self.occupied, self.direct, place);
        (Handle::from_u32(u32::from_ne_bytes(self.handles[row])), &self.keys[row])
    }

    /// Sets the key of the child in `place`, which is there.
    #[inline]
    pub(crate) fn set(&mut self, place: u32, handle: Handle, key: &[u8; L]) {
        let row = row(self.occupied, self.direct, place);
        self.handles[row] = handle.as_u32().to_ne_bytes();
        self.keys[row] = *key;
    }
}

#[inline]
fn row(occupied: u8, direct: bool, place: u32) -> usize {
    if direct { place as usize } else { (occupied & ((1 << place) - 1)).count_ones() as usize }
}
