//! Signatures: RSA, ECDSA, Ed25519.

mod certificate;
mod ecdsa;
mod ed25519;
mod key;
mod rsa;
mod signer;

use std::fmt;

pub use self::{
    certificate::{CertificateKey, CertificateSignature, CertificateVerifier},
    key::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    rsa::RsaSize,
    signer::{SignatureScheme, Signer, SigningKey},
};
use crate::{CryptoError, CryptoProvider, Random, SecretBytes};

impl SigningKey {
    /// Makes a new key from `random`; RSA keys have 3072 bits, and are not from `random`
    /// ([`SignatureScheme::generate`]).
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the provider lacks the algorithm, [`CryptoError::Random`] if `random` yields no
    /// key.
    pub fn generate(
        provider: &CryptoProvider,
        algorithm: KeyAlgorithm,
        random: &mut dyn Random,
    ) -> Result<Self, CryptoError> {
        provider.signature(algorithm)?.generate(random)
    }

    /// Makes a new RSA key of a given size, from aws-lc's own randomness: it takes no other for primes.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Random`] if that fails.
    pub fn generate_rsa(size: RsaSize) -> Result<Self, CryptoError> {
        rsa::generate(size)
    }

    /// Reads a key from its PKCS #8 octets.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the provider lacks the algorithm, [`CryptoError::Key`] if the octets do not hold
    /// a key of this kind.
    pub fn from_pkcs8(
        provider: &CryptoProvider,
        algorithm: KeyAlgorithm,
        pkcs8: SecretBytes,
    ) -> Result<Self, CryptoError> {
        provider.signature(algorithm)?.read(pkcs8)
    }
}

/// A public key beside the provider's scheme for its kind: what verifies one peer's signatures again and again.
#[derive(Clone)]
pub struct Verifier {
    key: PublicKey,
    scheme: &'static dyn SignatureScheme,
}

impl Verifier {
    /// Takes a key.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the provider lacks its algorithm.
    pub fn new(provider: &CryptoProvider, key: PublicKey) -> Result<Self, CryptoError> {
        let scheme = provider.signature(key.algorithm())?;
        Ok(Self { key, scheme })
    }

    /// Shows the key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    ///
    /// As [`SignatureScheme::verify`].
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.scheme.verify(&self.key, algorithm, message, tag)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({:?})", self.key.algorithm())
    }
}

/// Every signature scheme of the default provider.
pub(crate) static SIGNATURES: &[&dyn SignatureScheme] =
    &[&ecdsa::P256, &ecdsa::P384, &ed25519::Ed25519, &rsa::Rsa];

/// What verifies certificates in the default provider.
pub(crate) static CERTIFICATES: &dyn CertificateVerifier = &certificate::AwsLc;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SeededRandom, provider};

    const PAIRS: [(KeyAlgorithm, SignatureAlgorithm); 5] = [
        (KeyAlgorithm::EcdsaP256, SignatureAlgorithm::EcdsaP256Sha256),
        (KeyAlgorithm::EcdsaP384, SignatureAlgorithm::EcdsaP384Sha384),
        (KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519),
        (KeyAlgorithm::Rsa, SignatureAlgorithm::RsaPkcs1Sha256),
        (KeyAlgorithm::Rsa, SignatureAlgorithm::RsaPssSha256),
    ];

    fn generate(algorithm: KeyAlgorithm, seed: u64) -> SigningKey {
        SigningKey::generate(provider(), algorithm, &mut SeededRandom::new(seed)).unwrap()
    }

    #[test]
    fn every_key_signs_verifies_and_survives_storage() {
        for (key_algorithm, algorithm) in PAIRS {
            let key = generate(key_algorithm, 1);
            let key = SigningKey::from_pkcs8(provider(), key_algorithm, key.pkcs8().clone()).unwrap();
            let mut tag = key.sign(algorithm, b"message").unwrap();
            let public = Verifier::new(provider(), key.public().clone()).unwrap();
            assert_eq!(public.verify(algorithm, b"message", &tag), Ok(()));
            assert_eq!(public.verify(algorithm, b"massage", &tag), Err(CryptoError::Authentication));
            tag[5] ^= 1;
            assert_eq!(public.verify(algorithm, b"message", &tag), Err(CryptoError::Authentication));
            assert_eq!(public.verify(algorithm, b"message", &[]), Err(CryptoError::Authentication));
        }
    }

    #[test]
    fn keys_do_not_sign_in_ways_that_are_not_theirs() {
        let key = generate(KeyAlgorithm::EcdsaP256, 1);
        assert_eq!(key.sign(SignatureAlgorithm::EcdsaP384Sha384, b""), Err(CryptoError::Unsupported));
        let public = Verifier::new(provider(), key.public().clone()).unwrap();
        assert_eq!(public.verify(SignatureAlgorithm::RsaPssSha256, b"", b""), Err(CryptoError::Unsupported));
        let of_another_kind =
            SigningKey::from_pkcs8(provider(), KeyAlgorithm::EcdsaP384, key.pkcs8().clone());
        assert!(of_another_kind.is_err());
    }

    #[test]
    fn keys_repeat_under_a_seed_but_for_rsa_s() {
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
            assert_eq!(generate(algorithm, 1).pkcs8(), generate(algorithm, 1).pkcs8(), "{algorithm:?}");
            assert_ne!(generate(algorithm, 1).pkcs8(), generate(algorithm, 2).pkcs8(), "{algorithm:?}");
        }
    }

    #[test]
    fn ed25519_signatures_are_determined_by_key_and_message() {
        let sign = || generate(KeyAlgorithm::Ed25519, 1).sign(SignatureAlgorithm::Ed25519, b"message");
        assert_eq!(sign(), sign());
    }

    #[test]
    fn no_scheme_verifies_by_keys_of_another_kind() {
        for (scheme, (_, algorithm)) in SIGNATURES.iter().zip([PAIRS[0], PAIRS[1], PAIRS[2], PAIRS[4]]) {
            for other in SIGNATURES.iter().filter(|other| other.algorithm() != scheme.algorithm()) {
                let key = generate(other.algorithm(), 1);
                let verdict = scheme.verify(key.public(), algorithm, b"", b"");
                assert_eq!(verdict, Err(CryptoError::Unsupported));
            }
        }
    }

    #[test]
    fn a_provider_without_a_scheme_makes_reads_and_verifies_no_such_keys() {
        let none = CryptoProvider { signatures: &[], ..*provider() };
        let key = generate(KeyAlgorithm::Ed25519, 1);
        let algorithm = KeyAlgorithm::Ed25519;
        let made = SigningKey::generate(&none, algorithm, &mut SeededRandom::new(1));
        let read = SigningKey::from_pkcs8(&none, algorithm, key.pkcs8().clone());
        let verifier = Verifier::new(&none, key.public().clone());
        assert_eq!(made.err(), Some(CryptoError::Unsupported));
        assert_eq!(read.err(), Some(CryptoError::Unsupported));
        assert_eq!(verifier.err(), Some(CryptoError::Unsupported));
    }
}
