//! What one key and one signature cost on this CPU: no tree can be cheaper.

use std::{fs, hint::black_box, time::Duration};

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use claviger_crypto::{
    Random, SeededRandom, SystemRandom, provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};
use claviger_keytree::KeyLength;
use claviger_keywrap::{Engine, Job, wrapped_len};

use crate::{clock, report};

/// Keys in a measurement: enough for every lane of an engine, few enough for the cache.
const KEYS: usize = 4096;
/// Octets that a signature is over: a datagram.
const SIGNED: usize = 1200;

/// What one key and one signature cost.
pub(crate) struct Limits {
    pub(crate) engine: Engine,
    pub(crate) key_length: KeyLength,
    /// [`KEYS`] keys that are wrapped at once and lie in the cache, which is the least that they can take.
    bulk: Duration,
    /// As many that aws-lc wraps one by one, their key schedules included.
    single: Duration,
    /// One signature with ECDSA on P-256.
    pub(crate) signature: Duration,
    signing_key: SigningKey,
}

impl Limits {
    /// Measures this CPU.
    pub(crate) fn measure(key_length: KeyLength) -> Self {
        let signing_key = SigningKey::generate(
            provider(),
            KeyAlgorithm::EcdsaP256,
            &mut SystemRandom::new().expect("randomness"),
        )
        .expect("aws-lc makes P-256 keys");
        let mut limits = Self {
            engine: Engine::best(),
            key_length,
            bulk: Duration::ZERO,
            single: Duration::ZERO,
            signature: Duration::ZERO,
            signing_key,
        };
        let keys = Pairs::new(KEYS, key_length);
        limits.bulk = limits.bulk_wrap_of(&keys, 101);
        let mut wrapped = vec![0; KEYS * wrapped_len(key_length.octets())];
        limits.single = clock::median_of(21, || wrap_one_by_one(key_length, keys.iter(), &mut wrapped));
        limits.signature = clock::median_of(501, || {
            black_box(limits.sign(&[7; SIGNED]));
        });
        limits
    }

    /// Signs a message as a key server does.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.signing_key
            .sign(SignatureAlgorithm::EcdsaP256Sha256, message)
            .expect("the key is of the signature's kind")
    }

    /// Returns the time of wrapping `keys` keys at once.
    pub(crate) fn bulk_wraps(&self, keys: f64) -> Duration {
        self.bulk.mul_f64(keys / KEYS as f64)
    }

    /// Returns the time of wrapping `count` keys at once that lie in memory as they are needed: more keys than the cache
    /// holds take longer.
    pub(crate) fn bulk_wraps_from_memory(&self, count: usize) -> Duration {
        self.bulk_wrap_of(&Pairs::new(count, self.key_length), 11)
    }

    fn bulk_wrap_of(&self, pairs: &Pairs, repetitions: usize) -> Duration {
        let mut wrapped = vec![0; pairs.iter().len() * wrapped_len(self.key_length.octets())];
        clock::median_of(repetitions, || {
            let jobs = pairs.iter().map(|(under, plaintext)| Job { under, plaintext });
            self.engine.wrap(jobs, black_box(&mut wrapped)).expect("the keys have one length");
        })
    }

    /// Returns the time of wrapping `keys` keys one by one with aws-lc.
    pub(crate) fn single_wraps(&self, keys: f64) -> Duration {
        self.single.mul_f64(keys / KEYS as f64)
    }

    /// Prints the CPU and what was measured.
    pub(crate) fn print(&self) {
        let bits = 8 * self.key_length.octets();
        println!("CPU: {}; engine: {}; one thread; medians of CPU time", cpu_model(), self.engine.name());
        println!(
            "AES-{bits} key wrap: {} a key in bulk ({KEYS} at once, in the cache), {} one by one with aws-lc ({:.1} times); ECDSA P-256 signature: {}",
            report::time(self.bulk / KEYS as u32),
            report::time(self.single / KEYS as u32),
            self.single.div_duration_f64(self.bulk),
            report::time(self.signature),
        );
    }
}

/// Keys in the order in which they are wrapped, each after the one that it goes under.
struct Pairs {
    key_len: usize,
    octets: Vec<u8>,
}

impl Pairs {
    fn new(count: usize, key_length: KeyLength) -> Self {
        let key_len = key_length.octets();
        let mut octets = vec![0; count * 2 * key_len];
        SeededRandom::new(1).fill(&mut octets);
        Self { key_len, octets }
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.octets.chunks_exact(2 * self.key_len).map(|pair| pair.split_at(self.key_len))
    }
}

fn wrap_one_by_one<'a>(
    key_length: KeyLength,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    out: &mut [u8],
) {
    let algorithm = if key_length == KeyLength::Octets16 { &AES_128 } else { &AES_256 };
    for ((under, plaintext), out) in pairs.zip(out.chunks_exact_mut(wrapped_len(key_length.octets()))) {
        let key = AesKek::new(algorithm, under).expect("the key has the algorithm's length");
        black_box(key.wrap(plaintext, out).expect("the output has room"));
    }
}

/// Returns the CPU's name, with what of it matters here.
fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line =
            info.lines().find(|line| line.split(':').next().is_some_and(|field| field.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown".to_owned());
    let number = |name| field(name).unwrap_or_else(|| "?".to_owned());
    let flags = field("flags").unwrap_or_default();
    let has: Vec<_> = ["aes", "vaes", "avx512f"]
        .into_iter()
        .filter(|flag| flags.split(' ').any(|known| known == *flag))
        .collect();
    format!("{model}, family {} model {} ({})", number("cpu family"), number("model"), has.join(" "))
}
