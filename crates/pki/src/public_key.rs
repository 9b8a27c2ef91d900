//! Public keys as files: SubjectPublicKeyInfo in PEM (RFC 7468 section 13).

use claviger_crypto::sign::{CertificateKey, PublicKey};
use der::{DecodePem, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::{
    algorithm, certificate::pem, issue::IssueError, limits::CERTIFICATE_LEN_MAX, read_error::ReadError,
};

/// Writes a public key as PEM.
///
/// # Errors
///
/// [`IssueError::Request`] if a number of the key has no encoding.
pub fn to_pem(key: &PublicKey) -> Result<String, IssueError> {
    Ok(pem("PUBLIC KEY", &algorithm::key_info(key)?.to_der()?))
}

/// Reads a public key from PEM; `None` if it is of a kind that is not known.
///
/// # Errors
///
/// [`ReadError`], by what is wrong with the octets.
pub fn from_pem(octets: &[u8]) -> Result<Option<CertificateKey>, ReadError> {
    if octets.len() > CERTIFICATE_LEN_MAX {
        return Err(ReadError::Length);
    }
    let info = SubjectPublicKeyInfoOwned::from_pem(octets).map_err(|_| ReadError::Der)?;
    Ok(algorithm::key(&info))
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{
        SeededRandom, provider,
        sign::{KeyAlgorithm, SigningKey},
    };

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for algorithm in
            [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa]
        {
            let key = SigningKey::generate(provider(), algorithm, &mut SeededRandom::new(7)).unwrap();
            let text = to_pem(key.public()).unwrap();
            assert!(text.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{text}");
            let read = from_pem(text.as_bytes()).unwrap().unwrap();
            assert_eq!(read.signing(), Some(key.public()));
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let long = vec![b'x'; CERTIFICATE_LEN_MAX + 1];
        assert_eq!(from_pem(&long).err(), Some(ReadError::Length));
        let key = SigningKey::generate(provider(), KeyAlgorithm::Ed25519, &mut SeededRandom::new(7)).unwrap();
        let text = to_pem(key.public()).unwrap();
        for wrong in ["", "x", &text.replace("PUBLIC", "PRIVATE"), &text[..text.len() / 2]] {
            assert_eq!(from_pem(wrong.as_bytes()).err(), Some(ReadError::Der), "{wrong}");
        }
    }
}
