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

impl<const L: usize> FamilyMut<'_, L> {
    /// Shows the handles and keys of a family of `K` places that has a row for each, rather than for each child that is
    /// there.
    #[inline]
    pub(crate) fn rows<const K: usize>(&mut self) -> Option<(&mut [[u8; HANDLE_LEN]; K], &mut [[u8; L]; K])> {
        if !self.direct {
            return None;
        }
        Some((self.handles.first_chunk_mut()?, self.keys.first_chunk_mut()?))
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
