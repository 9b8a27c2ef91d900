//! What the engines yield is what aws-lc yields, octet for octet.

use claviger_keywrap::{Engine, padded_len, wrapped_len};
use proptest::prelude::*;

use crate::{reference, sample::Sample};

/// More than two full groups of the widest engine, so that every remainder stands alone and after a full group.
const COUNT_MAX: usize = 70;

/// Checks every operation of every engine on `count` jobs with keys of `key_len` octets; inputs have `text_len`
/// octets where the operation takes them, and as many as it takes next.
fn check(seed: u64, count: usize, key_len: usize, text_len: usize) {
    check_wrap(seed, count, key_len, text_len.next_multiple_of(8).max(16));
    check_padded(seed, count, key_len, text_len.max(1));
    check_cbc(seed, count, key_len, text_len.next_multiple_of(16).max(16));
    check_derivations(seed, count, key_len);
}

fn check_wrap(seed: u64, count: usize, key_len: usize, text_len: usize) {
    let sample = Sample::new(seed, count, key_len, text_len);
    let wrapped: Vec<u8> = sample.jobs().flat_map(|job| reference::wrap(job.under, job.plaintext)).collect();
    for engine in Engine::available() {
        let mut out = vec![0xee; wrapped.len()];
        engine.wrap(sample.jobs(), &mut out).unwrap();
        assert_eq!(out, wrapped, "{}: {count} of {text_len} under {key_len}", engine.name());

        let mut back = vec![0xee; count * text_len];
        let verdicts = engine.unwrap(sample.wrapped(&wrapped, wrapped_len(text_len)), &mut back).unwrap();
        assert_eq!(verdicts, vec![Ok(text_len); count]);
        assert_eq!(back, sample.texts.concat(), "{}: {count} of {text_len} under {key_len}", engine.name());
    }
}

fn check_padded(seed: u64, count: usize, key_len: usize, text_len: usize) {
    let sample = Sample::new(seed, count, key_len, text_len);
    let wrapped: Vec<u8> =
        sample.jobs().flat_map(|job| reference::wrap_padded(job.under, job.plaintext)).collect();
    for engine in Engine::available() {
        let mut out = vec![0xee; wrapped.len()];
        engine.wrap_padded(sample.jobs(), &mut out).unwrap();
        assert_eq!(out, wrapped, "{}: {count} of {text_len} under {key_len}", engine.name());

        let stride = text_len.next_multiple_of(8);
        let mut back = vec![0xee; count * stride];
        let jobs = sample.wrapped(&wrapped, padded_len(text_len));
        assert_eq!(engine.unwrap_padded(jobs, &mut back).unwrap(), vec![Ok(text_len); count]);
        for (text, padded) in sample.texts.iter().zip(back.chunks_exact(stride)) {
            assert_eq!(padded[..text_len], text[..], "{}: {count} under {key_len}", engine.name());
            assert!(padded[text_len..].iter().all(|octet| *octet == 0));
        }
    }
}

fn check_cbc(seed: u64, count: usize, key_len: usize, text_len: usize) {
    let sample = Sample::new(seed, count, key_len, text_len);
    let encrypted: Vec<u8> =
        sample.cbc_jobs().flat_map(|job| reference::encrypt_cbc(job.under, job.iv, job.plaintext)).collect();
    for (job, text) in sample.cbc_encrypted(&encrypted, text_len).zip(&sample.texts) {
        assert_eq!(reference::decrypt_cbc(job.under, job.iv, job.ciphertext), *text);
    }
    for engine in Engine::available() {
        let mut out = vec![0xee; encrypted.len()];
        engine.encrypt_cbc(sample.cbc_jobs(), &mut out).unwrap();
        assert_eq!(out, encrypted, "{}: {count} of {text_len} under {key_len}", engine.name());

        let mut back = vec![0xee; encrypted.len()];
        engine.decrypt_cbc(sample.cbc_encrypted(&encrypted, text_len), &mut back).unwrap();
        assert_eq!(back, sample.texts.concat(), "{}: {count} of {text_len} under {key_len}", engine.name());
    }
}

fn check_derivations(seed: u64, count: usize, key_len: usize) {
    let sample = Sample::new(seed, count, key_len, 0);
    let successors: Vec<u8> = sample.keys().flat_map(reference::advance).collect();
    let ivs: Vec<u8> = sample.keys().flat_map(reference::derive_iv).collect();
    for engine in Engine::available() {
        let mut out = vec![0xee; count * key_len];
        engine.advance(sample.keys(), &mut out).unwrap();
        assert_eq!(out, successors, "{}: {count} keys of {key_len}", engine.name());
        let mut out = vec![0xee; count * 16];
        engine.derive_iv(sample.keys(), &mut out).unwrap();
        assert_eq!(out, ivs, "{}: {count} keys of {key_len}", engine.name());
    }
}

#[test]
fn every_count_of_jobs_agrees_with_aws_lc() {
    for count in 0..=COUNT_MAX {
        for key_len in [16, 32] {
            check(count as u64, count, key_len, 32);
        }
    }
}

#[test]
fn every_usual_length_agrees_with_aws_lc() {
    for key_len in [16, 32] {
        for text_len in (16..=80).step_by(8) {
            check_wrap(1, 37, key_len, text_len);
        }
        for text_len in 1..=40 {
            check_padded(2, 37, key_len, text_len);
        }
        for text_len in [16, 32, 48, 64] {
            check_cbc(3, 37, key_len, text_len);
        }
    }
}

/// RFC 3394 section 2.2.1: the step counter no longer fits one octet when there are more than 42 halves.
#[test]
fn long_inputs_agree_with_aws_lc() {
    for key_len in [16, 32] {
        for text_len in [120, 128, 136, 144, 336, 344, 1000, 4096] {
            check(4, 5, key_len, text_len);
            check(5, 33, key_len, text_len);
        }
    }
}

#[test]
fn one_job_does_as_many_do() {
    let sample = Sample::new(6, 1, 32, 20);
    let (key, text) = (&sample.keys[0], &sample.texts[0]);
    for engine in Engine::available() {
        let job = sample.jobs().next().unwrap();
        let padded = engine.wrap_padded_one(job).unwrap();
        assert_eq!(padded, reference::wrap_padded(key, text));
        let wrapped = sample.wrapped(&padded, padded.len()).next().unwrap();
        assert_eq!(engine.unwrap_padded_one(wrapped).unwrap().expose(), text);

        let job = claviger_keywrap::Job { plaintext: &text[..16], ..job };
        let wrapped = engine.wrap_one(job).unwrap();
        assert_eq!(wrapped, reference::wrap(key, &text[..16]));
        let wrapped = sample.wrapped(&wrapped, wrapped.len()).next().unwrap();
        assert_eq!(engine.unwrap_one(wrapped).unwrap().expose(), &text[..16]);

        assert_eq!(engine.advance_one(key).unwrap().expose(), reference::advance(key));
        assert_eq!(engine.derive_iv_one(key).unwrap()[..], reference::derive_iv(key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_jobs_agree_with_aws_lc(
        seed: u64,
        count in 0..=COUNT_MAX,
        key_len in prop_oneof![Just(16_usize), Just(32)],
        text_len in 1..=160_usize,
    ) {
        check(seed, count, key_len, text_len);
    }
}
