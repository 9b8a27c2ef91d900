//! Octets that are cut, flipped, too long.

use claviger_crypto::provider;
use claviger_pki::{
    Authority, Certificate, Crl, GroupOwner, GroupRight, GroupRights, Purpose, ReadError, Request,
    Revocation, Roles, limits,
};

use crate::support::{Holder, NOW, ca};

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
fn a_chain_with_any_bit_flipped_in_any_certificate_is_no_warrant() {
    let root = Holder::root("CN=Owner", 1);
    let right = GroupRight {
        id_type: 11,
        group_id: vec![0, 0, 0x12, 0x34],
        roles: Roles { sender: true, ..Roles::NONE },
    };
    let rights = GroupRights::new(vec![right]).unwrap();
    let with_rights = |request: &mut Request| request.extensions = vec![rights.extension()];
    let ca = root.certify("CN=CA", 2, |request| {
        with_rights(request);
        request.basic_constraints = ca(None);
    });
    let host = ca.certify("CN=Host", 3, with_rights);
    let owner = GroupOwner::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let chain = [host.certificate, ca.certificate];
    let judge = |chain: &[Certificate]| owner.judge(chain, host.key.public(), None, NOW);
    assert!(judge(&chain).is_ok());
    for at in 0..chain.len() {
        let octets = chain[at].der();
        for i in 0..octets.len() * 8 {
            let mut flipped = octets.to_vec();
            flipped[i / 8] ^= 1 << (i % 8);
            if let Ok(certificate) = Certificate::from_der(&flipped) {
                let mut chain = chain.clone();
                chain[at] = certificate;
                assert!(judge(&chain).is_err(), "certificate {at}, bit {i}");
            }
        }
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
