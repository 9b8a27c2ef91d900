//! A provider that counts what costs much: signatures that are verified, and Diffie-Hellman secrets that are computed.

use std::cell::Cell;

use claviger_crypto::{
    CryptoError, CryptoProvider, Random, SecretBytes,
    kx::{KxAlgorithm, KxGroup, KxPrivate, SharedSecret},
    provider,
    sign::{KeyAlgorithm, PublicKey, SignatureAlgorithm, SignatureScheme, SigningKey},
};

thread_local! {
    /// What the hosts of this test have done since they were last asked. Each test has a thread of its own.
    static WORK: Cell<Work> = const { Cell::new(Work { verifications: 0, computations: 0 }) };
}

/// Public-key work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Work {
    pub(crate) verifications: u32,
    pub(crate) computations: u32,
}

/// Returns what was done since this was called last.
pub(crate) fn take_work() -> Work {
    WORK.take()
}

fn count(change: impl FnOnce(&mut Work)) {
    let mut work = WORK.get();
    change(&mut work);
    WORK.set(work);
}

/// Makes a provider that counts on this thread.
pub(crate) fn counting_provider() -> &'static CryptoProvider {
    let schemes = provider().signatures.iter();
    let signatures: Vec<&'static dyn SignatureScheme> = schemes
        .map(|inner| Box::leak(Box::new(CountingScheme(*inner))) as &'static dyn SignatureScheme)
        .collect();
    let groups = provider().kx_groups.iter();
    let kx_groups: Vec<&'static dyn KxGroup> =
        groups.map(|inner| Box::leak(Box::new(CountingGroup(*inner))) as &'static dyn KxGroup).collect();
    Box::leak(Box::new(CryptoProvider {
        signatures: signatures.leak(),
        kx_groups: kx_groups.leak(),
        ..*provider()
    }))
}

struct CountingScheme(&'static dyn SignatureScheme);

impl SignatureScheme for CountingScheme {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }

    fn generate(&self, random: &mut dyn Random) -> Result<SigningKey, CryptoError> {
        self.0.generate(random)
    }

    fn read(&self, pkcs8: SecretBytes) -> Result<SigningKey, CryptoError> {
        self.0.read(pkcs8)
    }

    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        count(|work| work.verifications += 1);
        self.0.verify(key, algorithm, message, tag)
    }
}

struct CountingGroup(&'static dyn KxGroup);

impl KxGroup for CountingGroup {
    fn algorithm(&self) -> KxAlgorithm {
        self.0.algorithm()
    }

    fn public_len(&self) -> usize {
        self.0.public_len()
    }

    fn generate(&self, random: &mut dyn Random) -> Result<Box<dyn KxPrivate>, CryptoError> {
        Ok(Box::new(CountingPrivate(self.0.generate(random)?)))
    }
}

struct CountingPrivate(Box<dyn KxPrivate>);

impl KxPrivate for CountingPrivate {
    fn public(&self) -> &[u8] {
        self.0.public()
    }

    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        count(|work| work.computations += 1);
        self.0.agree(peer)
    }
}
