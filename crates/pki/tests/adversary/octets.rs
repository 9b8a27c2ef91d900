//! Octets that are cut, flipped, too long.

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Crl, Purpose, ReadError, Revocation, limits};

use crate::support::{Holder, NOW};

#[test]
fn a_certificate_that_is_cut_anywhere_is_none() {
    let host = Holder::root("CN=Owner", 1).certify("CN=Host", 2, |_| ());
    let octets = host.certificate.der();
    for length in 0..octets.len() {
        assert!(Certificate::from_der(&octets[..length]).is_err(), "{length}");
    }
    assert!(Certificate::from_der(&[octets, &[0]].concat()).is_err());
}

#[test]
fn a_certificate_with_any_bit_flipped_is_refused() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let octets = host.certificate.der();
    for i in 0..octets.len() * 8 {
        let mut flipped = octets.to_vec();
        flipped[i / 8] ^= 1 << (i % 8);
        let Ok(certificate) = Certificate::from_der(&flipped) else {
            continue;
        };
        assert!(authority.judge(&certificate, &[], &Purpose::default(), NOW).is_err(), "bit {i}");
    }
}

#[test]
fn a_list_that_is_cut_or_flipped_vouches_for_nobody() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let octets = root.issuer().revoke(&[(vec![7], NOW)], 1, NOW, NOW + 1).unwrap();
    for length in 0..octets.len() {
        assert!(Crl::from_der(&octets[..length]).is_err(), "{length}");
    }
    for i in 0..octets.len() * 8 {
        let mut flipped = octets.clone();
        flipped[i / 8] ^= 1 << (i % 8);
        let Ok(list) = Crl::from_der(&flipped) else {
            continue;
        };
        let lists = Revocation::Lists(vec![list]);
        let authority = Authority::new(provider(), vec![root.certificate.clone()], lists);
        assert!(authority.judge(&host.certificate, &[], &Purpose::default(), NOW).is_err(), "bit {i}");
    }
}

#[test]
fn what_is_too_long_is_not_read() {
    let octets = vec![0x30; limits::CERTIFICATE_LEN_MAX + 1];
    assert_eq!(Certificate::from_der(&octets), Err(ReadError::Length));
    let octets = vec![0x30; limits::CRL_LEN_MAX + 1];
    assert_eq!(Crl::from_der(&octets), Err(ReadError::Length));
}

#[test]
fn odd_octets_in_a_name_are_shown_as_octets() {
    let host = Holder::root("CN=Owner", 1).certify("CN=a\u{202e}b\u{1b}[31m", 2, |_| ());
    assert_eq!(host.certificate.subject().to_string(), "CN=a\\e2\\80\\aeb\\1b[31m");
}
