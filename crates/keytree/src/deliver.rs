//! Who receives a new key under which other: the wraps of a rekey, written as they are found.

use crate::{
    Handle, Rekey, Wrap,
    nodes::FamilyMut,
    plan::{Fate, Mark},
    rekey::ITSELF,
};

/// The wraps and keys of a rekey, to be written in order. Keys have `L` octets.
pub(crate) struct Delivery<'a, const L: usize> {
    drawn: Handle,
    /// The keys that are new, as many as `changed`; those that were advanced; those that members hold already.
    keys: &'a mut [[u8; L]],
    /// The handles of all these but the first.
    handles: &'a mut [Handle],
    places: &'a mut [u8],
    wraps: &'a mut [Wrap],
    changed: usize,
    /// The next key to be written.
    next_key: usize,
    /// The keys before those that members hold already.
    known: usize,
    next_wrap: usize,
}

impl<'a, const L: usize> Delivery<'a, L> {
    /// Begins the wraps of a rekey, which has its new keys and the advanced ones, and room for the rest.
    pub(crate) fn new(rekey: &'a mut Rekey) -> Self {
        let changed = rekey.changed.len();
        let known = changed + rekey.advanced.len();
        Self {
            drawn: rekey.drawn,
            keys: rekey.keys.all_mut(),
            handles: &mut rekey.handles,
            places: &mut rekey.places,
            wraps: &mut rekey.wraps,
            changed,
            next_key: known,
            known,
            next_wrap: 0,
        }
    }

    /// Finds the handle and the key that a node has after the change; none if it is not there.
    #[inline]
    pub(crate) fn key_after(&self, mark: &Mark) -> Option<(Handle, &[u8; L])> {
        let position = mark.position as usize;
        match mark.fate {
            Fate::Absent | Fate::Removed => None,
            Fate::Advanced => Some((self.handles[position], &self.keys[self.changed + position])),
            Fate::Created | Fate::Replaced | Fate::UnderPrevious => Some((self.drawn, &self.keys[position])),
        }
    }

    /// Gives the new key of a node to its heirs under their keys.
    #[inline]
    pub(crate) fn to_heirs(&mut self, target: &Mark, marked: &[Mark], family: &FamilyMut<'_, L>) {
        let mut marked = marked.iter();
        let mut children = target.heirs | target.marked;
        while children != 0 {
            let place = children.trailing_zeros();
            children &= children - 1;
            let child = if target.marked >> place & 1 == 1 { marked.next() } else { None };
            if target.heirs >> place & 1 == 0 {
                continue;
            }
            let under = match child {
                Some(child) if child.fate == Fate::Advanced => self.changed as u32 + child.position,
                Some(child) => child.position,
                None => {
                    let (handle, key) = family.key(place);
                    self.hold(place as u8, handle, key)
                }
            };
            self.push(Wrap { target: target.position, under });
        }
    }

    /// Gives the new key of a node to its heirs under its previous one.
    pub(crate) fn under_previous(&mut self, target: &Mark, handle: Handle, previous: &[u8; L]) {
        let under = self.hold(ITSELF, handle, previous);
        self.push(Wrap { target: target.position, under });
    }

    /// Keeps a key that members hold already, and returns its number.
    #[inline]
    fn hold(&mut self, place: u8, handle: Handle, key: &[u8; L]) -> u32 {
        let number = self.next_key;
        self.keys[number] = *key;
        self.handles[number - self.changed] = handle;
        self.places[number - self.known] = place;
        self.next_key += 1;
        number as u32
    }

    #[inline]
    fn push(&mut self, wrap: Wrap) {
        self.wraps[self.next_wrap] = wrap;
        self.next_wrap += 1;
    }
}
