//! Algorithms and versions that are unknown, or not the same twice.

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Crl, Purpose, ReadError, Revocation, Rule};

use crate::support::{Holder, NOW};

/// prime256v1, and what has the same length and is no known curve.
const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const UNKNOWN_CURVE: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 0x77];

/// ecdsa-with-SHA256, and ecdsa-with-SHA224, which is not taken.
const ECDSA_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA224: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1];

/// Version 3, and version 2.
const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
const VERSION_2: [u8; 5] = [0xa0, 3, 2, 1, 1];

/// Puts octets in place of others, the first `count` times that they stand there.
fn replaced(octets: &[u8], from: &[u8], to: &[u8], count: usize) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let starts: Vec<_> = (0..octets.len()).filter(|at| octets[*at..].starts_with(from)).take(count).collect();
    assert_eq!(starts.len(), count);
    for at in starts {
        octets[at..at + to.len()].copy_from_slice(to);
    }
    octets
}

fn judge(root: &Certificate, shown: &Certificate) -> Rule {
    let authority = Authority::new(provider(), vec![root.clone()], Revocation::NotChecked);
    authority.judge(shown, &[], &Purpose::default(), NOW).unwrap_err().rule
}

#[test]
fn a_key_of_an_unknown_kind_verifies_nothing() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let unknown = replaced(root.certificate.der(), &P256, &UNKNOWN_CURVE, 1);
    let unknown = Certificate::from_der(&unknown).unwrap();
    assert_eq!((unknown.key(), unknown.signing_key()), (None, None));
    assert_eq!(judge(&unknown, &host.certificate), Rule::Key);
}

#[test]
fn a_signature_of_an_unknown_kind_is_none() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let unknown = replaced(host.certificate.der(), &ECDSA_SHA256, &ECDSA_SHA224, 2);
    assert_eq!(judge(&root.certificate, &Certificate::from_der(&unknown).unwrap()), Rule::SignatureAlgorithm);
}

#[test]
fn two_signature_algorithms_make_no_certificate_and_no_list() {
    let root = Holder::root("CN=Owner", 1);
    let odd = replaced(root.certificate.der(), &ECDSA_SHA256, &ECDSA_SHA224, 1);
    assert_eq!(Certificate::from_der(&odd), Err(ReadError::SignatureAlgorithm));
    let list = root.issuer().revoke(&[], 1, NOW, NOW + 1).unwrap();
    assert_eq!(
        Crl::from_der(&replaced(&list, &ECDSA_SHA256, &ECDSA_SHA224, 1)),
        Err(ReadError::SignatureAlgorithm)
    );
}

#[test]
fn extensions_in_a_version_without_any_make_no_certificate() {
    let root = Holder::root("CN=Owner", 1);
    let odd = replaced(root.certificate.der(), &VERSION_3, &VERSION_2, 1);
    assert_eq!(Certificate::from_der(&odd), Err(ReadError::Version));
}

#[test]
fn a_list_is_no_certificate_and_a_certificate_no_list() {
    let root = Holder::root("CN=Owner", 1);
    let list = root.issuer().revoke(&[], 1, NOW, NOW + 1).unwrap();
    assert_eq!(Certificate::from_der(&list), Err(ReadError::Der));
    assert_eq!(Crl::from_der(root.certificate.der()), Err(ReadError::Der));
}

#[test]
fn a_pem_file_yields_all_certificates_in_it_or_none() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let both = [host.certificate.to_pem(), "and so on\n".to_owned(), root.certificate.to_pem()].concat();
    let read = Certificate::from_pem(both.as_bytes()).unwrap();
    assert_eq!(read, [host.certificate, root.certificate]);
    for broken in ["", "text", &both[..both.len() - 5], &both.replacen('M', "?", 1)] {
        assert_eq!(Certificate::from_pem(broken.as_bytes()), Err(ReadError::Der), "{broken}");
    }
}
