//! The seeded generator that keys come from.
//!
//! A call to the operating system's or the library's generator costs microseconds; a key server that replaces
//! thousands of keys at once cannot pay that for each. It draws from ChaCha20, seeded and regularly reseeded.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use zeroize::Zeroizing;

use crate::CryptoError;

/// A source of unpredictable octets. Machines own theirs; tests give them a [`SeededRandom`].
pub trait Random: Send {
    /// Fills `octets`.
    fn fill(&mut self, octets: &mut [u8]);
}

impl<R: Random + ?Sized> Random for Box<R> {
    fn fill(&mut self, octets: &mut [u8]) {
        (**self).fill(octets);
    }
}

/// Returns `N` unpredictable octets.
pub fn array<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut octets = [0; N];
    random.fill(&mut octets);
    octets
}

/// Makes a generator of its own for a part of a machine, under a 256-bit seed drawn from `parent`.
pub fn fork(parent: &mut dyn Random) -> Box<dyn Random> {
    let seed = Zeroizing::new(array::<32>(parent));
    Box::new(SeededRandom(ChaCha20Rng::from_seed(*seed)))
}

/// Octets drawn under one seed before a new seed is taken.
const RESEED_AFTER: u64 = 1 << 20;

/// The generator of the programs: ChaCha20 under a seed from aws-lc, replaced after each mebibyte.
pub struct SystemRandom {
    generator: ChaCha20Rng,
    drawn: u64,
    last_seed: Zeroizing<[u8; 32]>,
}

impl SystemRandom {
    /// Seeds a generator.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Random`] if the source fails, or fails its health check (a seed repeated or constant).
    pub fn new() -> Result<Self, CryptoError> {
        let first = system_seed()?;
        let second = system_seed()?;
        if *first == *second {
            return Err(CryptoError::Random);
        }
        Ok(Self { generator: ChaCha20Rng::from_seed(*second), drawn: 0, last_seed: second })
    }
}

impl Random for SystemRandom {
    /// # Panics
    ///
    /// If the system's source fails its health check at a reseed: no key may be made from then on.
    fn fill(&mut self, octets: &mut [u8]) {
        if self.drawn >= RESEED_AFTER {
            let seed = system_seed().expect("the system's random source works");
            assert!(*seed != *self.last_seed, "the system's random source repeats itself");
            self.generator = ChaCha20Rng::from_seed(*seed);
            self.last_seed = seed;
            self.drawn = 0;
        }
        self.generator.fill_bytes(octets);
        self.drawn += octets.len() as u64;
    }
}

fn system_seed() -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *seed).map_err(|_| CryptoError::Random)?;
    if seed.iter().all(|octet| *octet == seed[0]) {
        return Err(CryptoError::Random);
    }
    Ok(seed)
}

/// A generator that repeats itself under the same seed: the small seeds of [`SeededRandom::new`] are for tests and
/// simulations only.
pub struct SeededRandom(ChaCha20Rng);

impl SeededRandom {
    /// Starts the sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&mut self, octets: &mut [u8]) {
        self.0.fill_bytes(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_generators_differ_and_survive_reseeding() {
        let mut one = SystemRandom::new().unwrap();
        let mut other = SystemRandom::new().unwrap();
        assert_ne!(array::<32>(&mut one), array::<32>(&mut other));
        one.fill(&mut vec![0; RESEED_AFTER as usize]);
        let before = *one.last_seed;
        let _ = array::<1>(&mut one);
        assert_ne!(before, *one.last_seed);
    }

    #[test]
    fn forks_differ_from_each_other_and_repeat_under_the_parent_s_seed() {
        let forks = |seed| {
            let mut parent = SeededRandom::new(seed);
            [(); 2].map(|()| array::<32>(&mut *fork(&mut parent)))
        };
        assert_ne!(forks(1)[0], forks(1)[1]);
        assert_eq!(forks(1), forks(1));
    }

    #[test]
    fn seeded_generators_repeat() {
        assert_eq!(array::<32>(&mut SeededRandom::new(1)), array::<32>(&mut SeededRandom::new(1)));
        assert_ne!(array::<32>(&mut SeededRandom::new(1)), array::<32>(&mut SeededRandom::new(2)));
    }
}
