//! What was tampered with is refused, and harms nobody else.

use claviger_crypto::CryptoError;
use claviger_keywrap::{Engine, padded_len, wrapped_len};
use proptest::prelude::*;

use crate::{reference, sample::Sample};

/// How many jobs: a full group of the widest engine and a remainder.
const COUNT: usize = 43;

/// Unwraps `ciphertexts` with and without padding, of which those named in `wrong` must be refused.
fn check(sample: &Sample, text_len: usize, is_padded: bool, ciphertexts: &[u8], wrong: &[usize]) {
    let length = if is_padded { padded_len(text_len) } else { wrapped_len(text_len) };
    let unwrap = if is_padded { reference::unwrap_padded } else { reference::unwrap };
    for (index, job) in sample.wrapped(ciphertexts, length).enumerate() {
        assert_eq!(unwrap(job.under, job.ciphertext).is_none(), wrong.contains(&index));
    }
    for engine in Engine::available() {
        let mut out = vec![0xee; COUNT * (length - 8)];
        let jobs = sample.wrapped(ciphertexts, length);
        let verdicts =
            if is_padded { engine.unwrap_padded(jobs, &mut out) } else { engine.unwrap(jobs, &mut out) };
        let each = verdicts.unwrap().into_iter().zip(out.chunks_exact(length - 8)).zip(&sample.texts);
        for (index, ((verdict, output), text)) in each.enumerate() {
            if wrong.contains(&index) {
                assert_eq!(verdict, Err(CryptoError::Authentication), "{} {index}", engine.name());
                assert!(output.iter().all(|octet| *octet == 0));
            } else {
                assert_eq!(verdict, Ok(text_len), "{} {index}", engine.name());
                assert_eq!(output[..text_len], text[..], "{} {index}", engine.name());
            }
        }
    }
}

fn wrapped(sample: &Sample, is_padded: bool) -> Vec<u8> {
    let wrap = if is_padded { reference::wrap_padded } else { reference::wrap };
    sample.jobs().flat_map(|job| wrap(job.under, job.plaintext)).collect()
}

#[test]
fn every_flipped_bit_is_refused() {
    for is_padded in [false, true] {
        for key_len in [16, 32] {
            let sample = Sample::new(1, COUNT, key_len, 16);
            let right = wrapped(&sample, is_padded);
            for bit in 0..8 * 24 {
                let mut ciphertexts = right.clone();
                let index = bit % COUNT;
                ciphertexts[24 * index + bit / 8] ^= 1 << (bit % 8);
                check(&sample, 16, is_padded, &ciphertexts, &[index]);
            }
        }
    }
}

#[test]
fn a_single_padded_half_is_refused_if_it_was_changed() {
    let sample = Sample::new(2, COUNT, 32, 5);
    let right = wrapped(&sample, true);
    for bit in 0..8 * 16 {
        let mut ciphertexts = right.clone();
        let index = bit % COUNT;
        ciphertexts[16 * index + bit / 8] ^= 1 << (bit % 8);
        check(&sample, 5, true, &ciphertexts, &[index]);
    }
}

/// RFC 5649 section 3: what decrypts well may still have a wrong check value, length or padding. The plaintexts here
/// are one half, whose wrapped form is a plain encryption of whatever initial value the test wants.
#[test]
fn wrong_initial_values_lengths_and_paddings_are_refused() {
    let blocks: [([u8; 16], Option<usize>); 8] = [
        (*b"\xa6\x59\x59\xa6\0\0\0\x08abcdefgh", Some(8)),
        (*b"\xa6\x59\x59\xa6\0\0\0\x01a\0\0\0\0\0\0\0", Some(1)),
        (*b"\xa6\x59\x59\xa6\0\0\0\x00\0\0\0\0\0\0\0\0", None),
        (*b"\xa6\x59\x59\xa6\0\0\0\x09abcdefgh", None),
        (*b"\xa6\x59\x59\xa6\0\0\0\x05abcde\0\0\x01", None),
        (*b"\xa6\x59\x59\xa6\0\0\0\x05abcde\x01\0\0", None),
        (*b"\xa6\x59\x59\xa6\x80\0\0\x08abcdefgh", None),
        (*b"\xa6\x59\x59\xa7\0\0\0\x08abcdefgh", None),
    ];
    let sample = Sample::new(3, blocks.len(), 32, 8);
    let ciphertexts: Vec<u8> = sample
        .keys()
        .zip(&blocks)
        .flat_map(|(key, (block, _))| reference::encrypt_cbc(key, &[0; 16], block))
        .collect();
    for engine in Engine::available() {
        let mut out = vec![0xee; 8 * blocks.len()];
        let verdicts = engine.unwrap_padded(sample.wrapped(&ciphertexts, 16), &mut out).unwrap();
        let each = sample.wrapped(&ciphertexts, 16).zip(verdicts).zip(out.chunks_exact(8)).zip(&blocks);
        for (((job, verdict), output), (block, length)) in each {
            assert_eq!(verdict.ok(), *length, "{} {block:x?}", engine.name());
            let plaintext = reference::unwrap_padded(job.under, job.ciphertext);
            assert_eq!(plaintext.as_deref(), length.map(|length| &output[..length]), "{block:x?}");
            assert_eq!(output, if length.is_some() { &block[8..] } else { &[0; 8] });
        }
    }
}

/// A padding of eight octets or more, which no single half can have: RFC 5649 section 3, third check.
#[test]
fn a_length_that_leaves_a_whole_half_unused_is_refused() {
    let sample = Sample::new(4, COUNT, 32, 16);
    let mut ciphertexts = wrapped(&sample, true);
    // Wrapping by RFC 3394 with another initial value is what no function here offers: do it by single blocks.
    let forged = forge(&sample.keys[7], 0xa659_59a6_0000_0008, [*b"abcdefgh", [0; 8]]);
    ciphertexts[7 * 24..8 * 24].copy_from_slice(&forged);
    assert_eq!(reference::unwrap_padded(&sample.keys[7], &forged), None);
    check(&sample, 16, true, &ciphertexts, &[7]);

    let good = forge(&sample.keys[7], 0xa659_59a6_0000_0010, sample_halves(&sample.texts[7]));
    ciphertexts[7 * 24..8 * 24].copy_from_slice(&good);
    check(&sample, 16, true, &ciphertexts, &[]);
}

fn sample_halves(text: &[u8]) -> [[u8; 8]; 2] {
    let (halves, _) = text.as_chunks();
    halves.try_into().expect("the text is two halves")
}

/// RFC 3394 section 2.2.1 with any initial value.
fn forge(key: &[u8], value: u64, mut halves: [[u8; 8]; 2]) -> Vec<u8> {
    let mut value = value;
    for step in 1..=12 {
        let half = &mut halves[(step - 1) as usize % 2];
        let block = reference::encrypt_cbc(key, &[0; 16], &[value.to_be_bytes(), *half].concat());
        let (words, _) = block.as_chunks();
        value = u64::from_be_bytes(words[0]) ^ step;
        *half = words[1];
    }
    [value.to_be_bytes(), halves[0], halves[1]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bad_jobs_do_not_disturb_their_neighbours(
        seed: u64,
        is_padded: bool,
        key_len in prop_oneof![Just(16_usize), Just(32)],
        halves in 2..=6_usize,
        bad in proptest::collection::btree_map(0..COUNT, (any::<prop::sample::Index>(), 1..=255_u8), 0..COUNT),
    ) {
        let sample = Sample::new(seed, COUNT, key_len, 8 * halves);
        let mut ciphertexts = wrapped(&sample, is_padded);
        let length = wrapped_len(8 * halves);
        for (job, (at, change)) in &bad {
            ciphertexts[job * length + at.index(length)] ^= change;
        }
        let wrong: Vec<usize> = bad.keys().copied().collect();
        check(&sample, 8 * halves, is_padded, &ciphertexts, &wrong);
    }
}
