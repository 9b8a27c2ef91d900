//! Who receives a new key under which other: the wraps of a rekey, written as they are found.

use std::hint::select_unpredictable;

use crate::{
    Handle, Rekey, Wrap,
    nodes::{FamilyMut, HANDLE_LEN},
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

    /// Sets the keys that the children of a node have after the change, and gives the node's own new key to those of
    /// them that are `heirs`.
    #[inline]
    pub(crate) fn visit(&mut self, target: &Mark, heirs: u8, marked: &[Mark], family: FamilyMut<'_, L>) {
        if marked.is_empty() {
            return self.visit_packed(target, heirs, marked, family);
        }
        match family.into_rows() {
            Ok((handles, keys)) => self.visit_rows(target, heirs, marked, handles, keys),
            Err(family) => self.visit_packed(target, heirs, marked, family),
        }
    }

    /// Visits a family whose children have a row each, whether they are there or not. Which of them are marked or heirs
    /// nobody can foretell, least of all a CPU: so everything is written for every child, and counted only where it is
    /// wanted.
    #[inline]
    fn visit_rows(
        &mut self,
        target: &Mark,
        heirs: u8,
        marked: &[Mark],
        handles: &mut [[u8; HANDLE_LEN]],
        keys: &mut [[u8; L]],
    ) {
        let Self { drawn, keys: all_keys, handles: all_handles, places, wraps, changed, known, .. } = self;
        let (mut next_marked, mut next_key, mut next_wrap) = (0, self.next_key, self.next_wrap);
        let drawn = drawn.as_u32();
        for (place, (row_handle, row_key)) in (0..).zip(handles.iter_mut().zip(keys)) {
            let [is_marked, is_heir] = [target.marked, heirs].map(|mask| mask >> place & 1);
            let child = &marked[next_marked.min(marked.len() - 1)];
            next_marked += usize::from(is_marked);

            let is_advanced = child.fate == Fate::Advanced;
            let position = child.position as usize;
            let new = position + select_unpredictable(is_advanced, *changed, 0);
            let held = next_key;
            let held_handle = u32::from_ne_bytes(*row_handle);
            all_keys[held] = *row_key;
            all_handles[held - *changed] = Handle::from_u32(held_handle);
            places[held - *known] = place;
            next_key += usize::from(is_heir & !is_marked);

            let under = select_unpredictable(is_marked == 1, new, held);
            wraps[next_wrap] = Wrap { target: target.position, under: under as u32 };
            next_wrap += usize::from(is_heir);

            // A child that does not change gets what it had.
            let changes = (is_marked == 1) & child.is_there();
            *row_key = all_keys[select_unpredictable(changes, new, held)];
            let advanced_handle = all_handles[select_unpredictable(is_advanced, position, 0)].as_u32();
            let new_handle = select_unpredictable(is_advanced, advanced_handle, drawn);
            *row_handle = select_unpredictable(changes, new_handle, held_handle).to_ne_bytes();
        }
        (self.next_key, self.next_wrap) = (next_key, next_wrap);
    }

    /// Visits a family whose children have rows only where they are there.
    fn visit_packed(&mut self, target: &Mark, heirs: u8, marked: &[Mark], mut family: FamilyMut<'_, L>) {
        let mut marked = marked.iter();
        for place in 0..u8::BITS {
            let child = if target.marked >> place & 1 == 1 { marked.next() } else { None };
            if let Some((handle, key)) = child.and_then(|child| self.key_after(child)) {
                family.set(place, handle, key);
            }
            if heirs >> place & 1 == 1 {
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
