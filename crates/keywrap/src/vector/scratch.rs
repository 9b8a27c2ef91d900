//! Where round keys and half-wrapped keys live until a call returns.

use zeroize::Zeroize;

use crate::vector::{
    lanes::{Kernel, Lanes},
    schedule::ROUND_KEYS_MAX,
};

/// The most halves of a key that are wrapped side by side, 128 octets: no key in use is longer, and the memory below
/// stays in the first-level cache.
pub(super) const HALVES_MAX: usize = 16;

/// Memory for `R` registers' worth of jobs at a time, erased when dropped.
pub(super) struct Scratch<V: Lanes, const R: usize> {
    lanes: V,
    /// How many round keys, and halves, a call writes to.
    used: (usize, usize),
    round_keys: [[V::Register; R]; ROUND_KEYS_MAX],
    halves: [[V::Register; R]; HALVES_MAX],
}

impl<V: Lanes, const R: usize> Scratch<V, R> {
    pub(super) fn new(lanes: V, round_keys: usize, halves: usize) -> Self {
        let zeros = [lanes.zero(); R];
        Self {
            lanes,
            used: (round_keys, halves),
            round_keys: [zeros; ROUND_KEYS_MAX],
            halves: [zeros; HALVES_MAX],
        }
    }

    /// Lends the round keys and the halves, for as many registers as are wanted, but at most `R`.
    pub(super) fn lend<const N: usize>(&mut self) -> (&mut [[V::Register; N]], &mut [[V::Register; N]]) {
        let (round_keys, halves) = self.used;
        let round_keys_of_all = self.round_keys.as_flattened_mut().as_chunks_mut().0;
        let halves_of_all = self.halves.as_flattened_mut().as_chunks_mut().0;
        (&mut round_keys_of_all[..round_keys], &mut halves_of_all[..halves])
    }
}

impl<V: Lanes, const R: usize> Drop for Scratch<V, R> {
    fn drop(&mut self) {
        let lanes = self.lanes;
        let (round_keys, halves) = self.lend::<R>();
        lanes.enter(Erase { round_keys, halves });
    }
}

struct Erase<'a, V: Lanes, const R: usize> {
    round_keys: &'a mut [[V::Register; R]],
    halves: &'a mut [[V::Register; R]],
}

impl<V: Lanes, const R: usize> Kernel<V> for Erase<'_, V, R> {
    #[inline(always)]
    fn run(self, _lanes: V) {
        for registers in [self.round_keys, self.halves] {
            registers.as_flattened_mut().iter_mut().for_each(Zeroize::zeroize);
        }
    }
}
