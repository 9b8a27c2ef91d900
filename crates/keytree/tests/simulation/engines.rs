//! Unwraps and advances by every implementation, which must agree.

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use claviger_keywrap::{Engine, Job, Wrapped, wrapped_len};

/// The octets of a key. A key of 16 octets is followed by zeros.
pub(crate) type Octets = [u8; 32];

/// One key under another, before it is encrypted or after it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) under: Octets,
    pub(crate) key: Octets,
}

/// The implementations, for keys of one length.
pub(crate) struct Engines {
    key_len: usize,
    best: Engine,
}

impl Engines {
    pub(crate) fn new(key_len: usize) -> Self {
        Self { key_len, best: Engine::best() }
    }

    pub(crate) fn octets(key: &[u8]) -> Octets {
        let mut octets = [0; 32];
        octets[..key.len()].copy_from_slice(key);
        octets
    }

    /// Encrypts each key as it is sent.
    pub(crate) fn wrap(&self, pairs: &[Pair]) -> Vec<u8> {
        let jobs = pairs
            .iter()
            .map(|pair| Job { under: &pair.under[..self.key_len], plaintext: &pair.key[..self.key_len] });
        let mut sent = vec![0; pairs.len() * wrapped_len(self.key_len)];
        self.best.wrap(jobs, &mut sent).unwrap();
        sent
    }

    /// Opens what [`Engines::wrap`] made with the keys of `pairs`, and returns what came out of it.
    pub(crate) fn unwrap(&self, pairs: &[Pair], sent: &[u8]) -> Vec<Octets> {
        let opened = self.unwrap_in_bulk(self.best, pairs, sent);
        assert_eq!(opened, self.unwrap_in_bulk(Engine::Portable, pairs, sent), "portable engine");
        assert_eq!(opened, self.unwrap_by_aws_lc(pairs, sent), "aws-lc");
        opened
    }

    fn unwrap_in_bulk(&self, engine: Engine, pairs: &[Pair], sent: &[u8]) -> Vec<Octets> {
        let jobs = pairs
            .iter()
            .zip(sent.chunks_exact(wrapped_len(self.key_len)))
            .map(|(pair, ciphertext)| Wrapped { under: &pair.under[..self.key_len], ciphertext });
        let mut opened = vec![0; pairs.len() * self.key_len];
        for verdict in engine.unwrap(jobs, &mut opened).unwrap() {
            assert_eq!(verdict, Ok(self.key_len), "what was wrapped can be unwrapped");
        }
        opened.chunks_exact(self.key_len).map(Self::octets).collect()
    }

    fn unwrap_by_aws_lc(&self, pairs: &[Pair], sent: &[u8]) -> Vec<Octets> {
        let algorithm = if self.key_len == 16 { &AES_128 } else { &AES_256 };
        let open = |(pair, ciphertext): (&Pair, &[u8])| {
            let key = AesKek::new(algorithm, &pair.under[..self.key_len]).unwrap();
            let mut out = [0; 40];
            Self::octets(key.unwrap(ciphertext, &mut out).unwrap())
        };
        pairs.iter().zip(sent.chunks_exact(wrapped_len(self.key_len))).map(open).collect()
    }

    /// Derives the successor of each key.
    pub(crate) fn advance(&self, keys: &[Octets]) -> Vec<Octets> {
        let advance = |engine: Engine| -> Vec<Octets> {
            let mut out = vec![0; keys.len() * self.key_len];
            engine.advance(keys.iter().map(|key| &key[..self.key_len]), &mut out).unwrap();
            out.chunks_exact(self.key_len).map(Self::octets).collect()
        };
        let successors = advance(self.best);
        assert_eq!(successors, advance(Engine::Portable), "portable engine");
        successors
    }
}
