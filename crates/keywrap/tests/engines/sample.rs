//! Random jobs.

use claviger_crypto::{Random, SeededRandom};
use claviger_keywrap::{CbcEncrypted, CbcJob, Job, Wrapped};

/// As many jobs as asked for, of one shape.
pub(crate) struct Sample {
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) ivs: Vec<[u8; 16]>,
    pub(crate) texts: Vec<Vec<u8>>,
}

impl Sample {
    pub(crate) fn new(seed: u64, count: usize, key_len: usize, text_len: usize) -> Self {
        let mut random = SeededRandom::new(seed);
        let mut octets = |length| {
            let mut octets = vec![0; length];
            random.fill(&mut octets);
            octets
        };
        Self {
            keys: (0..count).map(|_| octets(key_len)).collect(),
            ivs: (0..count).map(|_| octets(16).try_into().expect("an IV has 16 octets")).collect(),
            texts: (0..count).map(|_| octets(text_len)).collect(),
        }
    }

    pub(crate) fn jobs(&self) -> impl ExactSizeIterator<Item = Job<'_>> {
        self.keys.iter().zip(&self.texts).map(|(under, plaintext)| Job { under, plaintext })
    }

    pub(crate) fn cbc_jobs(&self) -> impl ExactSizeIterator<Item = CbcJob<'_>> {
        let keyed = self.keys.iter().zip(&self.ivs).zip(&self.texts);
        keyed.map(|((under, iv), plaintext)| CbcJob { under, iv, plaintext })
    }

    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.keys.iter().map(Vec::as_slice)
    }

    /// What came back from `ciphertexts`, one after the other, each of `length` octets.
    pub(crate) fn wrapped<'a>(
        &'a self,
        ciphertexts: &'a [u8],
        length: usize,
    ) -> impl ExactSizeIterator<Item = Wrapped<'a>> {
        let keyed = self.keys.iter().zip(ciphertexts.chunks_exact(length));
        keyed.map(|(under, ciphertext)| Wrapped { under, ciphertext })
    }

    /// As [`Sample::wrapped`], in cipher block chaining mode.
    pub(crate) fn cbc_encrypted<'a>(
        &'a self,
        ciphertexts: &'a [u8],
        length: usize,
    ) -> impl ExactSizeIterator<Item = CbcEncrypted<'a>> {
        let keyed = self.keys.iter().zip(&self.ivs).zip(ciphertexts.chunks_exact(length));
        keyed.map(|((under, iv), ciphertext)| CbcEncrypted { under, iv, ciphertext })
    }
}
