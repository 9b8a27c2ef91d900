//! Lists of revoked certificates that are old, missing or forged.

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Crl, Purpose, Revocation, Rule};

use crate::support::{DAY, Holder, NOW};

fn judge(root: &Holder, shown: &Certificate, others: &[&Holder], lists: Vec<Crl>) -> Result<(), Rule> {
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::Lists(lists));
    let others: Vec<_> = others.iter().map(|holder| holder.certificate.clone()).collect();
    let verdict = authority.judge(shown, &others, &Purpose::default(), NOW);
    verdict.map(|_| ()).map_err(|error| error.rule)
}

#[test]
fn who_stands_on_a_list_is_revoked_and_others_are_not() {
    let root = Holder::root("CN=Owner", 1);
    let (gone, stays) = (root.certify("CN=Gone", 2, |_| ()), root.certify("CN=Stays", 3, |_| ()));
    let list = root.list(&[&gone.certificate]);
    assert_eq!(judge(&root, &gone.certificate, &[], vec![list.clone()]), Err(Rule::Revoked));
    assert_eq!(judge(&root, &stays.certificate, &[], vec![list]), Ok(()));
}

#[test]
fn a_list_that_is_missing_old_or_from_the_future_says_nothing() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let unknown = Err(Rule::RevocationUnknown);
    assert_eq!(judge(&root, &host.certificate, &[], vec![]), unknown);
    let old = root.list_at(&[], NOW - 2 * DAY, NOW - 1);
    assert_eq!(judge(&root, &host.certificate, &[], vec![old]), unknown);
    let early = root.list_at(&[], NOW + 1, NOW + DAY);
    assert_eq!(judge(&root, &host.certificate, &[], vec![early]), unknown);
    assert_eq!(judge(&root, &host.certificate, &[], vec![root.list_at(&[], NOW, NOW)]), Ok(()));
}

#[test]
fn a_list_by_another_key_neither_revokes_nor_vouches() {
    let (root, namesake) = (Holder::root("CN=Owner", 1), Holder::root("CN=Owner", 2));
    let host = root.certify("CN=Host", 3, |_| ());
    let forged = namesake.list(&[&host.certificate]);
    assert_eq!(judge(&root, &host.certificate, &[], vec![forged.clone()]), Err(Rule::RevocationUnknown));
    assert_eq!(judge(&root, &host.certificate, &[], vec![forged, root.list(&[])]), Ok(()));
}

#[test]
fn a_member_makes_no_list() {
    let root = Holder::root("CN=Owner", 1);
    // By its key usage it signs messages only, though it bears the owner's name.
    let member = root.certify("CN=Owner", 2, |_| ());
    let host = root.certify("CN=Host", 3, |_| ());
    let list = member.list(&[]);
    assert_eq!(judge(&root, &host.certificate, &[&member], vec![list]), Err(Rule::RevocationUnknown));
}

#[test]
fn a_ca_that_is_revoked_takes_along_whom_it_certified() {
    let root = Holder::root("CN=Owner", 1);
    let ca = root.certify_ca("CN=CA", 2);
    let host = ca.certify("CN=Host", 3, |_| ());
    let lists = |revoked: &[&Certificate]| vec![root.list(revoked), ca.list(&[])];
    assert_eq!(judge(&root, &host.certificate, &[&ca], lists(&[])), Ok(()));
    assert_eq!(judge(&root, &host.certificate, &[&ca], lists(&[&ca.certificate])), Err(Rule::Revoked));
    assert_eq!(judge(&root, &host.certificate, &[&ca], vec![root.list(&[])]), Err(Rule::RevocationUnknown));
}

#[test]
fn of_two_current_lists_each_can_revoke() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let lists = vec![root.list(&[]), root.list(&[&host.certificate])];
    assert_eq!(judge(&root, &host.certificate, &[], lists), Err(Rule::Revoked));
}

#[test]
fn a_list_names_by_issuer_and_number_alone() {
    let root = Holder::root("CN=Owner", 1);
    let (namesake, other) = (Holder::root("CN=Owner", 2), Holder::root("CN=Other", 3));
    let (gone, stays) = (root.certify("CN=Gone", 4, |_| ()), root.certify("CN=Stays", 5, |_| ()));
    assert!(root.list(&[&gone.certificate]).names(&gone.certificate));
    assert!(!root.list(&[&gone.certificate]).names(&stays.certificate));
    // Old and forged ones too: the judge looks closer.
    assert!(namesake.list_at(&[&gone.certificate], 1, 2).names(&gone.certificate));
    assert!(!other.list(&[&gone.certificate]).names(&gone.certificate));
}

#[test]
fn the_reason_why_a_certificate_is_revoked_makes_no_difference() {
    // RFC 8002 section 4: certificateHold is no reason of its own, and neither is any other.
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    for reason in [0, 1, 6, 8, 10] {
        let octets = root.list_with_reason(&host.certificate, reason);
        let list = Crl::from_der(&octets).unwrap();
        assert!(list.names(&host.certificate));
        assert_eq!(judge(&root, &host.certificate, &[], vec![list]), Err(Rule::Revoked), "reason {reason}");
    }
}
