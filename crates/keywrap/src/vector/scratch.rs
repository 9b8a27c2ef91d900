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

    /// Lends the memory to as many registers as are wanted, at most `R`.
    pub(super) fn lend<const N: usize>(&mut self) -> Room<'_, V, N> {
        let (round_keys, halves) = self.used;
        Room {
            round_keys: &mut self.round_keys.as_flattened_mut().as_chunks_mut().0[..round_keys],
            halves: &mut self.halves.as_flattened_mut().as_chunks_mut().0[..halves],
        }
    }
}

impl<V: Lanes, const R: usize> Drop for Scratch<V, R> {
    fn drop(&mut self) {
        let lanes = self.lanes;
        lanes.enter(Erase(self.lend::<R>()));
    }
}

/// The memory of one batch in `N` registers.
pub(super) struct Room<'a, V: Lanes, const N: usize> {
    /// As many as a key has.
    pub(super) round_keys: &'a mut [[V::Register; N]],
    /// As many as are wrapped, or none.
    pub(super) halves: &'a mut [[V::Register; N]],
}

struct Erase<'a, V: Lanes, const N: usize>(Room<'a, V, N>);

impl<V: Lanes, const N: usize> Kernel<V> for Erase<'_, V, N> {
    #[inline(always)]
    fn run(self, _lanes: V) {
        for registers in [self.0.round_keys, self.0.halves] {
            registers.as_flattened_mut().iter_mut().for_each(Zeroize::zeroize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::aes_ni::AesNi;

    #[test]
    fn what_was_used_is_erased() {
        let Some(lanes) = AesNi::detect() else {
            println!("this CPU has no AES-NI");
            return;
        };
        let mut scratch = Scratch::<AesNi, 4>::new(lanes, 11, 3);
        let octets = |scratch: &mut Scratch<AesNi, 4>| {
            let Room { round_keys, halves } = scratch.lend::<2>();
            assert_eq!((round_keys.len(), halves.len()), (11, 3));
            let mut sum = 0;
            for register in round_keys.as_flattened().iter().chain(halves.as_flattened()) {
                lanes.scatter(*register, |_, block| {
                    sum += block.iter().map(|octet| u32::from(*octet)).sum::<u32>()
                });
            }
            sum
        };
        let Room { round_keys, halves } = scratch.lend::<2>();
        round_keys.fill([lanes.splat(&[1; 16]); 2]);
        halves.fill([lanes.splat(&[1; 16]); 2]);
        assert_eq!(octets(&mut scratch), 16 * 2 * (11 + 3));
        lanes.enter(Erase(scratch.lend::<4>()));
        assert_eq!(octets(&mut scratch), 0);
    }
}
