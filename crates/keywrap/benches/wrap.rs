//! What each operation costs by each engine that this CPU can run, beside aws-lc doing one job after the other.
//!
//! Everything in a row is measured in turns in the same run, in short pieces of which the fastest counts: whatever
//! else the machine does can only slow a piece. Key schedules are included, since every job has its own key.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    cipher::{
        AES_128 as CBC_128, AES_256 as CBC_256, DecryptingKey, DecryptionContext, EncryptionContext,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    cmac,
    iv::FixedLength,
    key_wrap::{AES_128, AES_256, AesKek, KeyWrap, KeyWrapPadded},
};
use claviger_crypto::{Random, SeededRandom};
use claviger_keywrap::{CbcEncrypted, CbcJob, Engine, Job, Wrapped, padded_len, wrapped_len};

/// How many jobs a call has in the first table.
const JOBS: usize = 1024;

/// How many pieces are measured, each of a call or of as many calls as have [`JOBS`] jobs.
const ROUNDS: usize = 150;

/// How many jobs a call has in the second table.
const COUNTS: [usize; 9] = [1, 2, 4, 5, 8, 16, 24, 32, 33];

fn main() {
    // Without this argument cargo only tries whether benchmarks run.
    let is_short = !std::env::args().any(|argument| argument == "--bench");
    let (jobs, rounds) = if is_short { (40, 1) } else { (JOBS, ROUNDS) };
    println!("{}, engine {}", cpu(), Engine::best().name());
    println!(
        "\nnanoseconds a job, {jobs} jobs with a key of their own each, and how many times faster than aws-lc"
    );
    print!("{:<34} {:>8}", "", "aws-lc");
    for engine in Engine::available() {
        print!(" {:>9} {:>6}", engine.name(), "ratio");
    }
    println!();
    for key_len in [16, 32] {
        for operation in Operation::ALL {
            let text_lens: &[usize] = if operation.is_derivation() { &[0] } else { &[16, 32, 48] };
            for &text_len in text_lens {
                row(&Sample::new(operation, jobs, key_len, text_len), rounds);
            }
        }
    }

    println!("\nnanoseconds a job when a call has few: AES-256 key wrap of 32 octets");
    print!("{:<34} {:>8}", "", "aws-lc");
    for engine in Engine::available() {
        print!(" {:>9} {:>6}", engine.name(), "ratio");
    }
    println!();
    for count in COUNTS {
        row(&Sample::new(Operation::Wrap, count, 32, 32), rounds);
    }
}

/// Measures one operation and prints what it costs.
fn row(sample: &Sample, rounds: usize) {
    let engines: Vec<Engine> = Engine::available().collect();
    let mut out = vec![0; sample.jobs * sample.output_len()];
    let mut expected = out.clone();
    sample.one_by_one(&mut expected);
    let repeats = (JOBS / sample.jobs).max(1);
    let mut alone = Duration::MAX;
    let mut fastest = vec![Duration::MAX; engines.len()];
    for _ in 0..rounds {
        alone = alone.min(timed(repeats, || sample.one_by_one(black_box(&mut out))));
        for (engine, fastest) in engines.iter().zip(&mut fastest) {
            *fastest = (*fastest).min(timed(repeats, || sample.in_bulk(*engine, black_box(&mut out))));
            assert_eq!(out, expected, "{} yields what aws-lc yields", engine.name());
        }
    }
    let a_job = |time: Duration| time.as_secs_f64() * 1e9 / (repeats * sample.jobs) as f64;
    let alone = a_job(alone);
    print!("{:<34} {alone:>8.1}", sample.name());
    for cost in fastest.into_iter().map(a_job) {
        print!(" {cost:>9.1} {:>6.1}", alone / cost);
    }
    println!();
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Wrap,
    WrapPadded,
    EncryptCbc,
    Unwrap,
    UnwrapPadded,
    DecryptCbc,
    Advance,
    DeriveIv,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::Wrap,
        Self::WrapPadded,
        Self::EncryptCbc,
        Self::Unwrap,
        Self::UnwrapPadded,
        Self::DecryptCbc,
        Self::Advance,
        Self::DeriveIv,
    ];

    fn is_derivation(self) -> bool {
        matches!(self, Self::Advance | Self::DeriveIv)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Wrap => "key wrap",
            Self::WrapPadded => "padded wrap",
            Self::EncryptCbc => "CBC",
            Self::Unwrap => "key unwrap",
            Self::UnwrapPadded => "padded unwrap",
            Self::DecryptCbc => "CBC decryption",
            Self::Advance => "advance",
            Self::DeriveIv => "derived IV",
        }
    }
}

/// Jobs of one shape, in flat arrays as a key tree has them.
struct Sample {
    operation: Operation,
    jobs: usize,
    key_len: usize,
    input_len: usize,
    text_len: usize,
    keys: Vec<u8>,
    inputs: Vec<u8>,
}

const IV: [u8; 16] = [9; 16];

impl Sample {
    fn new(operation: Operation, jobs: usize, key_len: usize, text_len: usize) -> Self {
        let mut random = SeededRandom::new(1);
        let mut octets = |length| {
            let mut octets = vec![0; length];
            random.fill(&mut octets);
            octets
        };
        let (keys, inputs) = (octets(jobs * key_len), octets(jobs * text_len));
        let mut sample = Self { operation, jobs, key_len, input_len: text_len, text_len, keys, inputs };
        // What is unwrapped was wrapped before.
        let (wrapping, input_len) = match operation {
            Operation::Unwrap => (Operation::Wrap, wrapped_len(text_len)),
            Operation::UnwrapPadded => (Operation::WrapPadded, padded_len(text_len)),
            _ => return sample,
        };
        sample.operation = wrapping;
        let mut wrapped = vec![0; jobs * input_len];
        sample.one_by_one(&mut wrapped);
        Self { operation, input_len, inputs: wrapped, ..sample }
    }

    fn name(&self) -> String {
        let name = format!("AES-{} {}", 8 * self.key_len, self.operation.name());
        if self.jobs < 40 {
            format!("{name}, {}", self.jobs)
        } else if self.operation.is_derivation() {
            name
        } else {
            format!("{name}, {} octets", self.text_len)
        }
    }

    fn output_len(&self) -> usize {
        match self.operation {
            Operation::Wrap => wrapped_len(self.text_len),
            Operation::WrapPadded => padded_len(self.text_len),
            Operation::Advance => self.key_len,
            Operation::DeriveIv => 16,
            _ => self.text_len,
        }
    }

    fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.keys.chunks_exact(self.key_len)
    }

    fn keyed(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.keys().zip(self.inputs.chunks_exact(self.input_len))
    }

    fn in_bulk(&self, engine: Engine, out: &mut [u8]) {
        let jobs = || self.keyed().map(|(under, plaintext)| Job { under, plaintext });
        let wrapped = || self.keyed().map(|(under, ciphertext)| Wrapped { under, ciphertext });
        let all_right = |verdicts: Vec<Result<usize, _>>| assert!(verdicts.iter().all(Result::is_ok));
        let result = match self.operation {
            Operation::Wrap => engine.wrap(jobs(), out),
            Operation::WrapPadded => engine.wrap_padded(jobs(), out),
            Operation::EncryptCbc => {
                let jobs = jobs().map(|Job { under, plaintext }| CbcJob { under, iv: &IV, plaintext });
                engine.encrypt_cbc(jobs, out)
            }
            Operation::Unwrap => engine.unwrap(wrapped(), out).map(all_right),
            Operation::UnwrapPadded => engine.unwrap_padded(wrapped(), out).map(all_right),
            Operation::DecryptCbc => {
                let jobs = wrapped().map(|Wrapped { under, ciphertext }| CbcEncrypted {
                    under,
                    iv: &IV,
                    ciphertext,
                });
                engine.decrypt_cbc(jobs, out)
            }
            Operation::Advance => engine.advance(self.keys(), out),
            Operation::DeriveIv => engine.derive_iv(self.keys(), out),
        };
        result.expect("the jobs have one shape");
    }

    fn one_by_one(&self, out: &mut [u8]) {
        let outputs = out.chunks_exact_mut(self.output_len());
        if self.operation.is_derivation() {
            let is_advance = self.operation == Operation::Advance;
            let label = if is_advance { b"advance" } else { b"lkh iv " };
            self.keys().zip(outputs).for_each(|(key, out)| derive(key, label, out));
            return;
        }
        let mut room = Vec::with_capacity(self.input_len + 16);
        for ((under, input), out) in self.keyed().zip(outputs) {
            match self.operation {
                Operation::Wrap => drop(kek(under).wrap(input, out).expect("aws-lc wraps")),
                Operation::WrapPadded => {
                    room.resize(self.input_len + 16, 0);
                    let wrapped = kek(under).wrap_with_padding(input, &mut room).expect("aws-lc wraps");
                    out.copy_from_slice(wrapped);
                }
                Operation::Unwrap => drop(kek(under).unwrap(input, out).expect("the check value is right")),
                Operation::UnwrapPadded => {
                    room.resize(self.input_len + 16, 0);
                    let text = kek(under).unwrap_with_padding(input, &mut room).expect("it was wrapped");
                    out.copy_from_slice(text);
                }
                Operation::EncryptCbc => {
                    room.clear();
                    room.extend_from_slice(input);
                    let key = PaddedBlockEncryptingKey::cbc_pkcs7(unbound(under)).expect("AES has CBC");
                    let context = EncryptionContext::Iv128(FixedLength::from(&IV));
                    key.less_safe_encrypt(&mut room, context).expect("aws-lc encrypts");
                    out.copy_from_slice(&room[..input.len()]);
                }
                Operation::DecryptCbc => {
                    out.copy_from_slice(input);
                    let key = DecryptingKey::ecb(unbound(under)).expect("AES has ECB");
                    key.decrypt(out, DecryptionContext::None).expect("the input is whole blocks");
                    out.iter_mut().zip(IV.iter().chain(input)).for_each(|(octet, mask)| *octet ^= mask);
                }
                Operation::Advance | Operation::DeriveIv => unreachable!("derivations are done above"),
            }
        }
    }
}

fn kek(under: &[u8]) -> AesKek {
    let algorithm = if under.len() == 16 { &AES_128 } else { &AES_256 };
    AesKek::new(algorithm, under).expect("the key has the algorithm's length")
}

fn unbound(under: &[u8]) -> UnboundCipherKey {
    let algorithm = if under.len() == 16 { &CBC_128 } else { &CBC_256 };
    UnboundCipherKey::new(algorithm, under).expect("the key has the algorithm's length")
}

fn derive(key: &[u8], label: &[u8; 7], out: &mut [u8]) {
    let algorithm = if key.len() == 16 { cmac::AES_128 } else { cmac::AES_256 };
    let key = cmac::Key::new(algorithm, key).expect("the key has the algorithm's length");
    let bits = u32::try_from(8 * out.len()).expect("a key is short");
    for (block, counter) in out.chunks_exact_mut(16).zip(1_u32..) {
        let mut message = [0; 16];
        message[..4].copy_from_slice(&counter.to_be_bytes());
        message[4..11].copy_from_slice(label);
        message[12..].copy_from_slice(&bits.to_be_bytes());
        block.copy_from_slice(cmac::sign(&key, &message).expect("aws-lc computes a CMAC").as_ref());
    }
}

/// The CPU as Linux names it, with what decides which engines it can run.
fn cpu() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| {
        let line = about.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(": ")?.1.trim())
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &&str| flags.split(' ').any(|one| one == *flag);
    let known: Vec<&str> = ["aes", "avx2", "avx512f", "vaes"].into_iter().filter(has).collect();
    format!(
        "{} (family {}, model {}; {})",
        field("model name").unwrap_or("unknown CPU"),
        field("cpu family").unwrap_or("?"),
        field("model\t").unwrap_or("?"),
        known.join(" "),
    )
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(repeats: usize, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        work();
    }
    start.elapsed()
}
