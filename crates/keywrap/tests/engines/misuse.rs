//! Calls that make no sense are refused before they do harm.

use claviger_crypto::CryptoError;
use claviger_keywrap::{Engine, Job, Wrapped};

use crate::sample::Sample;

#[test]
fn no_jobs_need_no_room() {
    for engine in Engine::available() {
        assert_eq!(engine.wrap([], &mut []), Ok(()));
        assert_eq!(engine.unwrap([], &mut []), Ok(Vec::new()));
        assert_eq!(engine.advance([], &mut []), Ok(()));
        assert_eq!(engine.wrap([], &mut [0]), Err(CryptoError::Length));
    }
}

#[test]
fn keys_of_another_length_are_refused() {
    for engine in Engine::available() {
        for length in [0, 1, 15, 17, 24, 31, 33, 64] {
            let key = vec![0; length];
            assert_eq!(
                engine.wrap([Job { under: &key, plaintext: &[0; 16] }], &mut [0; 24]),
                Err(CryptoError::Key)
            );
            assert_eq!(engine.advance_one(&key).err(), Some(CryptoError::Key));
            assert_eq!(engine.derive_iv_one(&key).err(), Some(CryptoError::Key));
        }
    }
}

#[test]
fn texts_of_impossible_lengths_are_refused() {
    for engine in Engine::available() {
        for length in (0..40).filter(|length| length % 8 != 0 || *length < 16) {
            let text = vec![0; length];
            assert_eq!(
                engine.wrap_one(Job { under: &[0; 16], plaintext: &text }).err(),
                Some(CryptoError::Length)
            );
        }
        for length in (0..40).filter(|length| length % 8 != 0 || *length < 24) {
            let text = vec![0; length];
            let wrapped = Wrapped { under: &[0; 16], ciphertext: &text };
            assert_eq!(engine.unwrap_one(wrapped).err(), Some(CryptoError::Length));
            if length != 16 {
                assert_eq!(engine.unwrap_padded_one(wrapped).err(), Some(CryptoError::Length));
            }
        }
        let nothing = Job { under: &[0; 16], plaintext: &[] };
        assert_eq!(engine.wrap_padded_one(nothing).err(), Some(CryptoError::Length));
        for length in [0, 1, 15, 17, 24, 31] {
            let mut sample = Sample::new(1, 1, 16, length);
            let out = &mut vec![0; length];
            assert_eq!(engine.encrypt_cbc(sample.cbc_jobs(), out), Err(CryptoError::Length));
            sample.texts = vec![vec![0; length.max(1)]];
            let out = &mut vec![0; length.max(1)];
            assert_eq!(engine.encrypt_cbc(sample.cbc_jobs(), out), Err(CryptoError::Length));
        }
    }
}

#[test]
fn jobs_of_two_shapes_are_refused_wherever_they_stand() {
    for engine in Engine::available() {
        for at in [1, 31, 32, 42] {
            let mut sample = Sample::new(2, 43, 32, 32);
            sample.keys[at].truncate(16);
            assert_eq!(engine.wrap(sample.jobs(), &mut [0; 43 * 40]), Err(CryptoError::Key));
            assert_eq!(engine.advance(sample.keys(), &mut [0; 43 * 32]), Err(CryptoError::Key));

            let mut sample = Sample::new(2, 43, 32, 32);
            sample.texts[at].truncate(24);
            assert_eq!(engine.wrap(sample.jobs(), &mut [0; 43 * 40]), Err(CryptoError::Length));
            assert_eq!(engine.wrap_padded(sample.jobs(), &mut [0; 43 * 40]), Err(CryptoError::Length));
        }
    }
}

#[test]
fn an_output_of_another_length_is_refused() {
    let sample = Sample::new(3, 5, 32, 32);
    for engine in Engine::available() {
        for length in [0, 40, 5 * 40 - 1, 5 * 40 + 1, 6 * 40] {
            let out = &mut vec![0; length];
            assert_eq!(engine.wrap(sample.jobs(), out), Err(CryptoError::Length));
        }
    }
}

/// An iterator that is wrong about its length, which safe code can write.
struct Liar<I> {
    jobs: I,
    claimed: usize,
}

impl<I: Iterator> Iterator for Liar<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.jobs.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.claimed, Some(self.claimed))
    }
}

impl<I: Iterator> ExactSizeIterator for Liar<I> {}

#[test]
fn an_iterator_that_is_wrong_about_its_length_is_refused() {
    let sample = Sample::new(4, 43, 32, 32);
    for engine in Engine::available() {
        for claimed in [1, 31, 32, 33, 42, 44, 64, 65, 80] {
            let jobs = Liar { jobs: sample.jobs(), claimed };
            let out = &mut vec![0; claimed * 40];
            assert_eq!(engine.wrap(jobs, out), Err(CryptoError::Length), "{} {claimed}", engine.name());
        }
    }
}

#[test]
fn the_portable_engine_is_always_there_and_the_best_comes_first() {
    let engines: Vec<Engine> = Engine::available().collect();
    assert_eq!(engines.last(), Some(&Engine::Portable));
    assert_eq!(engines.first(), Some(&Engine::best()));
    assert!(engines.is_sorted());
    for engine in Engine::ALL.into_iter().filter(|engine| !engine.is_available()) {
        println!("this CPU cannot run the engine {}, so no test has", engine.name());
    }
}

#[test]
fn an_engine_that_this_cpu_cannot_run_is_replaced() {
    let sample = Sample::new(5, 3, 32, 32);
    let mut expected = [0; 120];
    Engine::Portable.wrap(sample.jobs(), &mut expected).unwrap();
    for engine in Engine::ALL {
        let mut out = [0; 120];
        engine.wrap(sample.jobs(), &mut out).unwrap();
        assert_eq!(out, expected);
    }
}
