//! A key pair with its HOST_ID and HIT.

use claviger_crypto::{
    CryptoError, CryptoProvider, Random, SecretBytes,
    sign::{KeyAlgorithm, Signer, SigningKey},
};

use crate::{DomainIdentifier, Hit, HostId, IdentityError, host_id, pem};

/// A host's own identity: it can sign. The private key is wherever its [`Signer`] has it.
#[derive(Debug)]
pub struct HostIdentity {
    signer: Box<dyn Signer>,
    host_id: HostId,
    hit: Hit,
}

impl HostIdentity {
    /// Makes a new identity from `random`, without a domain identifier. (RSA keys are not from `random`:
    /// [`claviger_crypto::sign::SignatureScheme::generate`].)
    ///
    /// # Errors
    ///
    /// [`IdentityError::Crypto`] if the provider lacks the algorithm or `random` yields no key.
    pub fn generate(
        provider: &CryptoProvider,
        algorithm: KeyAlgorithm,
        random: &mut dyn Random,
    ) -> Result<Self, IdentityError> {
        let key = SigningKey::generate(provider, algorithm, random)?;
        Self::new(provider, Box::new(key), DomainIdentifier::None)
    }

    /// Takes a key pair, in memory or in a hardware module.
    ///
    /// # Errors
    ///
    /// What [`HostId::new`] and [`HostId::hit`] say.
    pub fn new(
        provider: &CryptoProvider,
        signer: Box<dyn Signer>,
        domain_identifier: DomainIdentifier,
    ) -> Result<Self, IdentityError> {
        let host_id = HostId::new(signer.public(), domain_identifier)?;
        let hit = host_id.hit(provider)?;
        Ok(Self { signer, host_id, hit })
    }

    /// Reads an identity from PEM text; the algorithm is the one that PKCS #8 names.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Pem`] if the text is no PKCS #8 private key, [`IdentityError::Algorithm`] if it is one of an
    /// algorithm that HIP or this implementation does not have.
    pub fn from_pem(provider: &CryptoProvider, text: &[u8]) -> Result<Self, IdentityError> {
        let pkcs8 = pem::decode(text)?;
        let algorithm = pem::key_algorithm(pkcs8.expose())?;
        let key = SigningKey::from_pkcs8(provider, algorithm, pkcs8)?;
        Self::new(provider, Box::new(key), DomainIdentifier::None)
    }

    /// Writes the private key as PEM text, for a file of mode 0600; `None` if the key stays where it is.
    pub fn to_pem(&self) -> Option<SecretBytes> {
        self.signer.pkcs8().map(pem::encode)
    }

    /// Shows the public half, as HOST_ID carries it.
    pub fn host_id(&self) -> &HostId {
        &self.host_id
    }

    /// Returns the HIT.
    pub fn hit(&self) -> Hit {
        self.hit
    }

    /// Says which kind of key this is.
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        self.signer.public().algorithm()
    }

    /// Signs as HIP does with this kind of key (RFC 7401 section 5.2.14).
    ///
    /// RSA signs by RSASSA-PSS over SHA-256; ECDSA as RFC 4754 section 7, r | s at full length, with the digest
    /// that RFC 4754 gives the curve; Ed25519 as RFC 8032. What randomness that takes, [`Signer::sign`] says.
    ///
    /// # Errors
    ///
    /// What [`Signer::sign`] says.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let how = host_id::signature_algorithm(self.signer.public());
        self.signer.sign(how, message)
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{
        SeededRandom, provider,
        sign::{PublicKey, SignatureAlgorithm},
    };

    use super::*;

    const ALGORITHMS: [KeyAlgorithm; 4] =
        [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa];

    fn generate(algorithm: KeyAlgorithm) -> HostIdentity {
        HostIdentity::generate(provider(), algorithm, &mut SeededRandom::new(1)).unwrap()
    }

    /// A key that does not leave its module: all that is seen of it are its public half and its signatures.
    struct Module {
        key: SigningKey,
    }

    impl Signer for Module {
        fn public(&self) -> &PublicKey {
            self.key.public()
        }

        fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
            self.key.sign(algorithm, message)
        }
    }

    #[test]
    fn a_key_in_a_hardware_module_is_an_identity_that_has_no_file() {
        for algorithm in ALGORITHMS {
            let key = SigningKey::generate(provider(), algorithm, &mut SeededRandom::new(1)).unwrap();
            let module = Box::new(Module { key });
            let host = HostIdentity::new(provider(), module, DomainIdentifier::None).unwrap();
            assert_eq!((host.key_algorithm(), host.to_pem()), (algorithm, None));
            let signature = host.sign(b"message").unwrap();
            let host_id = host.host_id();
            assert_eq!(host_id.verify(provider(), b"message", host_id.algorithm(), &signature), Ok(()));
        }
    }

    #[test]
    fn identities_repeat_under_a_seed() {
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
            assert_eq!(generate(algorithm).hit(), generate(algorithm).hit());
        }
    }

    #[test]
    fn signs_what_its_host_id_verifies_and_survives_its_file() {
        for algorithm in ALGORITHMS {
            let host = generate(algorithm);
            let again = HostIdentity::from_pem(provider(), host.to_pem().unwrap().expose()).unwrap();
            assert_eq!((again.hit(), again.key_algorithm()), (host.hit(), algorithm));
            let signature = again.sign(b"message").unwrap();
            let host_id = host.host_id();
            assert_eq!(host_id.verify(provider(), b"message", host_id.algorithm(), &signature), Ok(()));
            assert_eq!(
                host_id.verify(provider(), b"massage", host_id.algorithm(), &signature),
                Err(IdentityError::Crypto(CryptoError::Authentication))
            );
        }
    }

    #[test]
    fn never_shows_its_private_key() {
        let host = generate(KeyAlgorithm::Ed25519);
        let shown = format!("{host:?}");
        assert!(shown.contains("SigningKey(Ed25519, ..)"), "{shown}");
        assert!(!shown.to_lowercase().contains("pkcs8"), "{shown}");
    }
}
