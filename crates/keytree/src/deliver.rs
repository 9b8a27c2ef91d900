//! Who receives a new key under which other: the wraps of a rekey, written as they are found.

use claviger_keypath::Handle;

use crate::{
    Rekey, Wrap,
    bits::{count, places},
    mark::{Fate, Mark},
    nodes::{FamilyMut, HANDLE_LEN, Rows},
    rekey::{CHILDREN_MAX, ITSELF},
};

/// The wraps and keys of a rekey, to be written in order. Keys have `L` octets.
pub(crate) struct Delivery<'a, const L: usize> {
    drawn: Handle,
    /// The keys that are new, as many as `changed`, and those that were advanced.
    known: &'a [[u8; L]],
    changed: usize,
    advanced_handles: &'a [Handle],
    /// Room for the keys that members hold already: the key, its handle, and the place of its node.
    held: &'a mut [[u8; L]],
    held_handles: &'a mut [Handle],
    held_places: &'a mut [u8],
    wraps: &'a mut [Wrap],
    next_held: usize,
    next_wrap: usize,
    /// The number of the new key that the next child gets, when no key is advanced: they are drawn in the order of the
    /// visits.
    next_new: usize,
}

impl<'a, const L: usize> Delivery<'a, L> {
    /// Begins the wraps of a rekey, which has its new keys and the advanced ones, and room for the rest.
    pub(crate) fn new(rekey: &'a mut Rekey) -> Self {
        let changed = rekey.changed.len();
        let (known, held) = rekey.keys.all_mut().split_at_mut(changed + rekey.advanced.len());
        let (advanced_handles, held_handles) = rekey.handles.split_at_mut(rekey.advanced.len());
        Self {
            drawn: rekey.drawn,
            known,
            changed,
            advanced_handles,
            held,
            held_handles,
            held_places: &mut rekey.places,
            wraps: &mut rekey.wraps,
            next_held: 0,
            next_wrap: 0,
            next_new: 0,
        }
    }

    /// Finds the handle and the key that a node has after the change; none if it is not there.
    #[inline]
    pub(crate) fn key_after(&self, mark: &Mark) -> Option<(Handle, &[u8; L])> {
        let number = mark.key as usize;
        match mark.fate {
            Fate::Absent | Fate::Removed => None,
            Fate::Advanced => Some((self.advanced_handles[number - self.changed], &self.known[number])),
            Fate::Created | Fate::Replaced | Fate::UnderPrevious => Some((self.drawn, &self.known[number])),
        }
    }

    /// Says whether [`Delivery::visit_rows`] can do the next visit: no key is advanced, nobody but heirs gets new keys, and
    /// enough of these are left for a whole family.
    #[inline]
    pub(crate) fn is_plain(&self, target: &Mark, heirs: u8) -> bool {
        self.advanced_handles.is_empty()
            && (target.renewed & !heirs == 0 || heirs == 0)
            && self.known.len() - self.next_new >= CHILDREN_MAX
    }

    /// Sets the keys that the children of a node have after the change, and gives the node's own new key to those of them
    /// that are `heirs`: first under their new keys, then under those that they hold already. There is a row for each of
    /// `K` children, whether it is there or not. Rows of children that are gone are erased.
    ///
    /// How many children are what nobody can foretell, least of all a CPU: so as much is written as could be, and only
    /// what is wanted is counted.
    #[inline]
    pub(crate) fn visit_rows<const K: usize>(&mut self, target: &Mark, heirs: u8, rows: Rows<'_, K, L>) {
        let Rows { handles, keys } = rows;
        let (first_new, first_held) = (self.next_new as u32, (self.known.len() + self.next_held) as u32);
        let holding = heirs & !target.marked;
        let held = window(self.held, self.next_held);
        let held_handles = window(self.held_handles, self.next_held);
        let held_places = window(self.held_places, self.next_held);
        for (number, place) in places(holding).iter().enumerate().take(K) {
            let row = usize::from(*place) % K;
            held[number] = keys[row];
            held_handles[number] = Handle::from_u32(u32::from_ne_bytes(handles[row]));
            held_places[number] = *place;
        }
        let (renewed_count, held_count) = (count(target.renewed), count(holding));
        let wraps = window(self.wraps, self.next_wrap);
        for number in 0..K as u32 {
            wraps[number as usize] = Wrap { target: target.key, under: first_new + number };
        }
        self.next_wrap += if heirs == 0 { 0 } else { renewed_count };
        let wraps = window(self.wraps, self.next_wrap);
        for number in 0..K as u32 {
            wraps[number as usize] = Wrap { target: target.key, under: first_held + number };
        }
        self.next_wrap += held_count;

        if target.renewed != 0 {
            let new: &[[u8; L]; CHILDREN_MAX] =
                self.known[self.next_new..].first_chunk().expect("enough new keys are left");
            for (number, place) in places(target.renewed).iter().enumerate().take(K) {
                let row = usize::from(*place) % K;
                keys[row] = new[number.min(renewed_count - 1) % CHILDREN_MAX];
                handles[row] = self.drawn.as_u32().to_ne_bytes();
            }
        }
        let gone = target.marked & !target.renewed;
        if gone != 0 {
            for place in places(gone).iter().take(K) {
                let row = usize::from(*place) % K;
                keys[row] = [0; L];
                handles[row] = [0; HANDLE_LEN];
            }
        }
        self.next_new += renewed_count;
        self.next_held += held_count;
    }

    /// Does as [`Delivery::visit_rows`] does for any children, and any change of their keys; those that are gone have no
    /// row any more.
    pub(crate) fn visit(&mut self, target: &Mark, heirs: u8, marked: &[Mark], mut family: FamilyMut<'_, L>) {
        self.next_new += count(target.renewed);
        for (place, child) in places(target.marked).iter().zip(marked) {
            if let Some((handle, key)) = self.key_after(child) {
                family.set((*place).into(), handle, key);
            }
            if heirs >> place & 1 == 1 {
                self.push(Wrap { target: target.key, under: child.key });
            }
        }
        let holding = heirs & !target.marked;
        for place in &places(holding)[..count(holding)] {
            let (handle, key) = family.key((*place).into());
            let under = self.hold(*place, handle, key);
            self.push(Wrap { target: target.key, under });
        }
    }

    /// Gives the new key of a node to its heirs under its previous one.
    pub(crate) fn under_previous(&mut self, target: &Mark, handle: Handle, previous: &[u8; L]) {
        let under = self.hold(ITSELF, handle, previous);
        self.push(Wrap { target: target.key, under });
    }

    /// Keeps a key that members hold already, and returns its number.
    fn hold(&mut self, place: u8, handle: Handle, key: &[u8; L]) -> u32 {
        self.held[self.next_held] = *key;
        self.held_handles[self.next_held] = handle;
        self.held_places[self.next_held] = place;
        self.next_held += 1;
        (self.known.len() + self.next_held - 1) as u32
    }

    fn push(&mut self, wrap: Wrap) {
        self.wraps[self.next_wrap] = wrap;
        self.next_wrap += 1;
    }
}

/// Finds the room for one family.
#[inline]
fn window<T>(room: &mut [T], start: usize) -> &mut [T; CHILDREN_MAX] {
    room[start..].first_chunk_mut().expect("there is always room behind for a family")
}
