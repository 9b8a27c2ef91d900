//! A key pair with its HOST_ID and HIT.

use claviger_crypto::{
    CryptoError, SecretBytes,
    sign::{KeyAlgorithm, SigningKey},
};

use crate::{DomainIdentifier, Hit, HostId, IdentityError, host_id, pem};

/// A host's own identity: it can sign.
#[derive(Debug)]
pub struct HostIdentity {
    key: SigningKey,
    host_id: HostId,
    hit: Hit,
}

impl HostIdentity {
    /// Makes a new identity without a domain identifier.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, IdentityError> {
        Self::from_key(SigningKey::generate(algorithm)?, DomainIdentifier::None)
    }

    /// Takes a key pair.
    ///
    /// # Errors
    ///
    /// What [`HostId::new`] says.
    pub fn from_key(key: SigningKey, domain_identifier: DomainIdentifier) -> Result<Self, IdentityError> {
        let host_id = HostId::new(key.public(), domain_identifier)?;
        let hit = host_id.hit()?;
        Ok(Self { key, host_id, hit })
    }

    /// Reads an identity from PEM text; the algorithm is the one that PKCS #8 names.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Pem`] if the text is no PKCS #8 private key, [`IdentityError::Algorithm`] if it is one of an
    /// algorithm that HIP or this implementation does not have.
    pub fn from_pem(text: &[u8]) -> Result<Self, IdentityError> {
        let pkcs8 = pem::decode(text)?;
        let algorithm = pem::key_algorithm(pkcs8.expose())?;
        Self::from_key(SigningKey::from_pkcs8(algorithm, pkcs8)?, DomainIdentifier::None)
    }

    /// Writes the private key as PEM text, for a file of mode 0600.
    pub fn to_pem(&self) -> SecretBytes {
        pem::encode(self.key.pkcs8())
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
        self.key.public().algorithm()
    }

    /// Signs as HIP does with this kind of key (RFC 7401 section 5.2.14).
    ///
    /// RSA signs by RSASSA-PSS over SHA-256; ECDSA as RFC 4754 section 7, r | s at full length, with the digest
    /// that RFC 4754 gives the curve; Ed25519 as RFC 8032.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let how = host_id::signature_algorithm(self.key.public()).ok_or(CryptoError::Unsupported)?;
        self.key.sign(how, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [KeyAlgorithm; 4] =
        [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa];

    #[test]
    fn signs_what_its_host_id_verifies_and_survives_its_file() {
        for algorithm in ALGORITHMS {
            let host = HostIdentity::generate(algorithm).unwrap();
            let again = HostIdentity::from_pem(host.to_pem().expose()).unwrap();
            assert_eq!((again.hit(), again.key_algorithm()), (host.hit(), algorithm));
            let signature = again.sign(b"message").unwrap();
            let host_id = host.host_id();
            assert_eq!(host_id.verify(b"message", host_id.algorithm(), &signature), Ok(()));
            assert_eq!(
                host_id.verify(b"massage", host_id.algorithm(), &signature),
                Err(IdentityError::Crypto(CryptoError::Authentication))
            );
        }
    }

    #[test]
    fn never_shows_its_private_key() {
        let host = HostIdentity::generate(KeyAlgorithm::Ed25519).unwrap();
        let shown = format!("{host:?}");
        assert!(shown.contains("SigningKey(Ed25519, ..)"), "{shown}");
        assert!(!shown.to_lowercase().contains("pkcs8"), "{shown}");
    }
}
