//! Certificates and lists that are not made.

use claviger_crypto::{
    CryptoError, SeededRandom, provider,
    sign::{PublicKey, SignatureAlgorithm, Signer},
};
use claviger_pki::{Issuer, Request, issue::IssueError};

use crate::support::{Holder, NOW, request};

/// A token that was pulled out.
struct Gone(PublicKey);

impl Signer for Gone {
    fn public(&self) -> &PublicKey {
        &self.0
    }

    fn sign(&self, _: SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::Signer)
    }
}

/// The first second of the year 10000, which no certificate can write.
const YEAR_10000: u64 = 253_402_300_800;

#[test]
fn a_key_that_does_not_sign_makes_nothing() {
    let root = Holder::root("CN=Owner", 1);
    let gone = Gone(root.key.public().clone());
    let issuer = Issuer { provider: provider(), signer: &gone, certificate: Some(&root.certificate) };
    let made = issuer.issue(&request("CN=Host", &root.key), &mut SeededRandom::new(1));
    assert_eq!(made.err(), Some(IssueError::Crypto(CryptoError::Signer)));
    assert_eq!(issuer.revoke(&[], 1, NOW, NOW + 1), Err(IssueError::Crypto(CryptoError::Signer)));
}

#[test]
fn what_cannot_be_written_is_not_made() {
    let root = Holder::root("CN=Owner", 1);
    for change in [
        |request: &mut Request| request.subject = "CN=".to_owned(),
        |request: &mut Request| request.subject = "a host".to_owned(),
        |request: &mut Request| request.not_before = YEAR_10000,
        |request: &mut Request| request.not_after = YEAR_10000,
    ] {
        let mut request = request("CN=Host", &root.key);
        change(&mut request);
        let made = root.issuer().issue(&request, &mut SeededRandom::new(1));
        assert_eq!(made.err(), Some(IssueError::Request), "{request:?}");
    }
    let (serial_number, issuer) = (vec![0x7f; 21], root.issuer());
    assert_eq!(issuer.revoke(&[(serial_number, NOW)], 1, NOW, NOW + 1), Err(IssueError::Request));
    assert_eq!(issuer.revoke(&[], 1, NOW, YEAR_10000), Err(IssueError::Request));
    let without = Issuer { certificate: None, ..root.issuer() };
    assert_eq!(without.revoke(&[], 1, NOW, NOW + 1), Err(IssueError::Request));
}

#[test]
fn a_certificate_until_the_last_second_of_9999_is_made() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |request| request.not_after = YEAR_10000 - 1);
    assert_eq!(host.certificate.not_after(), YEAR_10000 - 1);
}
