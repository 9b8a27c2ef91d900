//! The seeded generator that keys come from.
//!
//! A call to the operating system's or the library's generator costs microseconds; a key server that replaces
//! thousands of keys at once cannot pay that for each. It draws from ChaCha20, seeded and regularly reseeded, which
//! forgets what it gave out (`forgetful`). What is drawn in bulk is the key stream of AES-256 in Galois/Counter Mode,
//! ten times as fast, under keys from ChaCha20 that serve once.

mod forgetful;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use zeroize::Zeroizing;

use self::forgetful::Forgetful;
use crate::{
    CryptoError,
    hash::{Digest, HashAlgorithm},
    secret::ct_eq,
};

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
    Seed::draw(parent).generator()
}

/// What a generator of a part of a machine is made from, where that part is made elsewhere. It is as secret as what the
/// generator makes, and prints nothing of itself.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Draws 256 bits from `parent`.
    pub fn draw(parent: &mut dyn Random) -> Self {
        Self(Zeroizing::new(array(parent)))
    }

    /// Makes the generator.
    pub fn generator(&self) -> Box<dyn Random> {
        Box::new(Forgetful::new(&self.0))
    }
}

impl PartialEq for Seed {
    fn eq(&self, other: &Self) -> bool {
        ct_eq(&*self.0, &*other.0)
    }
}

impl Eq for Seed {}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Requests of this many octets and more are drawn in bulk: fewer take longer to prepare than to draw.
const BULK_MIN: usize = 4 << 10;
/// Octets drawn in bulk under one key. 2^16 blocks of a counter mode are told from random octets with a chance of
/// 2^-97 at most.
const BULK_PART: usize = 1 << 20;

/// Fills `octets` with what `draw` yields, in bulk where that is worth it.
fn fill(mut draw: impl FnMut(&mut [u8]), octets: &mut [u8]) {
    if octets.len() < BULK_MIN {
        draw(octets);
        return;
    }
    for part in octets.chunks_mut(BULK_PART) {
        let mut key = Zeroizing::new([0; 32]);
        draw(&mut *key);
        key_stream(&key, part).expect("AES-256 takes 32 octets of key, and GCM texts of this length");
    }
}

/// Fills `octets` with the key stream of AES-256-GCM: what it encrypts zeros to. The key must not serve again. (Plain
/// counter mode yields the same at half the speed on CPUs with VAES; the tag is the price of it elsewhere.)
fn key_stream(key: &[u8; 32], octets: &mut [u8]) -> Result<(), CryptoError> {
    octets.fill(0);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| CryptoError::Key)?);
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let sealed = key.seal_in_place_separate_tag(nonce, Aad::empty(), octets);
    sealed.map(drop).map_err(|_| CryptoError::Length)
}

/// Octets drawn under one seed before a new seed is taken.
const RESEED_AFTER: u64 = 1 << 20;

/// The generator of the programs: ChaCha20 under a seed from aws-lc, and another seed mixed in after each mebibyte.
pub struct SystemRandom {
    generator: Forgetful,
    drawn: u64,
    /// What the last seed is known again by.
    last_seed: Digest,
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
        let mut generator = Forgetful::new(&first);
        generator.reseed(&second);
        Ok(Self { generator, drawn: 0, last_seed: commitment(&second) })
    }
}

impl Random for SystemRandom {
    /// # Panics
    ///
    /// If the system's source fails its health check at a reseed: no key may be made from then on.
    fn fill(&mut self, octets: &mut [u8]) {
        if self.drawn >= RESEED_AFTER {
            let seed = system_seed().expect("the system's random source works");
            let commitment = commitment(&seed);
            assert!(!commitment.ct_eq(&self.last_seed), "the system's random source repeats itself");
            self.generator.reseed(&seed);
            self.last_seed = commitment;
            self.drawn = 0;
        }
        fill(|octets| self.generator.give(octets), octets);
        self.drawn += octets.len() as u64;
    }
}

/// Computes what a seed is known again by, and is not learned from: the seed itself would yield what was drawn under it.
fn commitment(seed: &[u8; 32]) -> Digest {
    let hash = crate::provider().hash(HashAlgorithm::Sha256).expect("the default provider has SHA-256");
    hash.digest(&[b"seed", seed])
}

fn system_seed() -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *seed).map_err(|_| CryptoError::Random)?;
    if seed.iter().all(|octet| *octet == seed[0]) {
        return Err(CryptoError::Random);
    }
    Ok(seed)
}

impl Random for Forgetful {
    fn fill(&mut self, octets: &mut [u8]) {
        fill(|octets| self.give(octets), octets);
    }
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
        fill(|octets| self.0.fill_bytes(octets), octets);
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
        let before = one.last_seed.clone();
        let _ = array::<1>(&mut one);
        assert!(!before.ct_eq(&one.last_seed));
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
    fn bulk_draws_repeat_under_a_seed_and_never_within() {
        let draw = |seed, length| {
            let mut octets = vec![0xff; length];
            let mut random = SeededRandom::new(seed);
            random.fill(&mut octets);
            (octets, array::<32>(&mut random))
        };
        for length in [BULK_MIN - 1, BULK_MIN, BULK_PART, 2 * BULK_PART + 3] {
            let (octets, after) = draw(1, length);
            assert_eq!((octets.len(), after), (length, draw(1, length).1));
            assert_eq!(octets, draw(1, length).0);
            assert_ne!(octets, draw(2, length).0);
            let mut blocks: Vec<&[u8; 16]> = octets.as_chunks().0.iter().collect();
            blocks.sort_unstable();
            assert!(blocks.windows(2).all(|pair| pair[0] != pair[1]), "{length}");
        }
    }

    /// The GCM specification (McGrew and Viega), appendix B, test case 14: a key, an IV and a block of zeros.
    #[test]
    fn the_key_stream_is_that_of_gcm() {
        let mut octets = [0xff; 48];
        key_stream(&[0; 32], &mut octets).unwrap();
        let expected =
            [0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18];
        assert_eq!(octets[..16], expected);
        assert_ne!(octets[16..32], octets[32..]);
    }

    #[test]
    fn seeded_generators_repeat() {
        assert_eq!(array::<32>(&mut SeededRandom::new(1)), array::<32>(&mut SeededRandom::new(1)));
        assert_ne!(array::<32>(&mut SeededRandom::new(1)), array::<32>(&mut SeededRandom::new(2)));
    }
}
