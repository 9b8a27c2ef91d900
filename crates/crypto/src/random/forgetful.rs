//! A generator that cannot be asked what it said (fast key erasure).
//!
//! ```text
//! key ─ ChaCha20 ─> next key (32 octets) | octets to give out (992)
//! ```
//!
//! The next key takes the place of the key at once, and octets are wiped where they are given out. Whoever takes the
//! memory of the process later finds what will be drawn, until new entropy is mixed in, and nothing of what was drawn.

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use zeroize::{Zeroize, Zeroizing};

/// The octets of a key.
pub(super) const KEY_LEN: usize = 32;

/// The octets that one key yields beside its successor: 1,024 in all, four calls of the vectorised ChaCha20.
const READY_LEN: usize = 1024 - KEY_LEN;

/// A sequence of octets that belongs to a seed, and forgets its past.
pub(super) struct Forgetful {
    key: Zeroizing<[u8; KEY_LEN]>,
    /// Octets to give out; those given out are zero.
    ready: Zeroizing<[u8; READY_LEN]>,
    /// Where the octets begin that are not given out.
    at: usize,
}

impl Forgetful {
    /// Starts the sequence that belongs to a seed.
    pub(super) fn new(seed: &[u8; KEY_LEN]) -> Self {
        Self { key: Zeroizing::new(*seed), ready: Zeroizing::new([0; READY_LEN]), at: READY_LEN }
    }

    /// Makes the sequence go on from its own next key and a new seed: who knows only one of them knows nothing.
    pub(super) fn reseed(&mut self, seed: &[u8; KEY_LEN]) {
        let mut next = Zeroizing::new([0; KEY_LEN]);
        self.give(&mut *next);
        self.key.iter_mut().zip(next.iter().zip(seed)).for_each(|(key, (next, seed))| *key = next ^ seed);
        self.ready.zeroize();
        self.at = READY_LEN;
    }

    /// Fills `octets` with what comes next, and forgets it.
    pub(super) fn give(&mut self, octets: &mut [u8]) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.at == READY_LEN {
                self.refill();
            }
            let length = rest.len().min(READY_LEN - self.at);
            let given;
            (given, rest) = rest.split_at_mut(length);
            let ready = &mut self.ready[self.at..self.at + length];
            given.copy_from_slice(ready);
            ready.zeroize();
            self.at += length;
        }
    }

    /// Draws the next key over the one there is, and octets to give out.
    fn refill(&mut self) {
        // It wipes itself when it is dropped.
        let mut stream = ChaCha20Rng::from_seed(*self.key);
        stream.fill_bytes(&mut *self.key);
        stream.fill_bytes(&mut *self.ready);
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that the generator has in memory.
    fn state(generator: &Forgetful) -> Vec<u8> {
        [&generator.key[..], &generator.ready[..]].concat()
    }

    fn holds(state: &[u8], octets: &[u8]) -> bool {
        state.windows(octets.len()).any(|window| window == octets)
    }

    #[test]
    fn what_was_drawn_is_not_in_the_state_and_cannot_be_drawn_again() {
        let mut generator = Forgetful::new(&[7; KEY_LEN]);
        let mut earlier = Vec::new();
        for draw in 0..200 {
            let mut octets = [0; 48];
            let key = *generator.key;
            generator.give(&mut octets);
            earlier.push(octets);
            let state = state(&generator);
            assert!(earlier.iter().all(|octets| !holds(&state, &octets[..16])), "after draw {draw}");
            // A key that yielded what was drawn is gone when the next one has taken its place.
            assert!(*generator.key == key || !holds(&state, &key[..16]), "after draw {draw}");
        }
        // Going on from the state of now yields nothing of the past.
        let mut later =
            Forgetful { key: generator.key.clone(), ready: generator.ready.clone(), at: generator.at };
        let mut octets = vec![0; 1 << 16];
        later.give(&mut octets);
        assert!(earlier.iter().all(|earlier| !holds(&octets, &earlier[..16])));
    }

    #[test]
    fn the_sequence_does_not_depend_on_how_it_is_asked_for() {
        let mut whole = vec![0; 5000];
        Forgetful::new(&[7; KEY_LEN]).give(&mut whole);
        let mut generator = Forgetful::new(&[7; KEY_LEN]);
        let mut parts = vec![0; 5000];
        for part in parts.chunks_mut(7) {
            generator.give(part);
        }
        assert_eq!(whole, parts);
        let mut blocks: Vec<&[u8; 8]> = whole.as_chunks().0.iter().collect();
        blocks.sort_unstable();
        assert!(blocks.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_new_seed_takes_part_and_does_not_replace_what_was_there() {
        let drawn = |first: u8, second: u8| {
            let mut generator = Forgetful::new(&[first; KEY_LEN]);
            generator.give(&mut [0; 10]);
            generator.reseed(&[second; KEY_LEN]);
            let mut octets = [0; 16];
            generator.give(&mut octets);
            octets
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
        assert_ne!(drawn(1, 2), drawn(2, 2));
    }
}
