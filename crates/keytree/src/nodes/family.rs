//! The rows of siblings.

use claviger_keypath::Handle;

use super::HANDLE_LEN;

/// Where the children of one node were found.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    pub(super) slab: u32,
    /// Where in the slab their rows begin, if the block is direct.
    pub(super) handles_at: u32,
    pub(super) keys_at: u32,
    /// The moves when they were found.
    pub(super) moves: u32,
    /// A set bit i stands for a child in place i.
    pub(crate) occupied: u8,
    pub(super) is_direct: bool,
}

/// The rows of the `K` places of a family, with `L` octets of key each, to be changed.
pub(crate) struct Rows<'a, const K: usize, const L: usize> {
    pub(crate) handles: &'a mut [[u8; HANDLE_LEN]; K],
    pub(crate) keys: &'a mut [[u8; L]; K],
}

/// The children of one node, and their rows of `L` octets of key, to be changed.
pub(crate) struct FamilyMut<'a, const L: usize> {
    pub(super) occupied: u8,
    pub(super) direct: bool,
    pub(super) handles: &'a mut [[u8; HANDLE_LEN]],
    pub(super) keys: &'a mut [[u8; L]],
}

impl<const L: usize> FamilyMut<'_, L> {
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
