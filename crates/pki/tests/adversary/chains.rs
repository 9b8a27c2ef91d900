//! Chains that do not hold.

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Purpose, Revocation, Rule, limits};
use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_CE_EXT_KEY_USAGE, ID_KP_SERVER_AUTH};

use crate::support::{DAY, Holder, NOW, ca, unknown_extension};

fn judge(root: &Holder, shown: &Certificate, others: &[&Holder]) -> Result<usize, Rule> {
    judge_at(root, shown, others, NOW)
}

fn judge_at(root: &Holder, shown: &Certificate, others: &[&Holder], now: u64) -> Result<usize, Rule> {
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let others: Vec<_> = others.iter().map(|holder| holder.certificate.clone()).collect();
    let verdict = authority.judge(shown, &others, &Purpose::default(), now);
    verdict.map(|chain| chain.len()).map_err(|error| error.rule)
}

#[test]
fn a_chain_leads_to_its_root_in_whatever_order_it_comes() {
    let root = Holder::root("CN=Owner", 1);
    let (upper, other) = (root.certify_ca("CN=Upper", 2), root.certify_ca("CN=Other", 3));
    let lower = upper.certify_ca("CN=Lower", 4);
    let host = lower.certify("CN=Host", 5, |_| ());
    assert_eq!(judge(&root, &host.certificate, &[&lower, &upper]), Ok(4));
    assert_eq!(judge(&root, &host.certificate, &[&other, &upper, &root, &lower]), Ok(4));
    assert_eq!(judge(&root, &host.certificate, &[&upper]), Err(Rule::Issuer));
}

#[test]
fn who_is_no_ca_certifies_nobody() {
    let root = Holder::root("CN=Owner", 1);
    let member = root.certify("CN=Member", 2, |_| ());
    let friend = member.certify("CN=Friend", 3, |_| ());
    assert_eq!(judge(&root, &friend.certificate, &[&member]), Err(Rule::CertificateAuthority));
}

#[test]
fn a_root_with_the_same_name_and_another_key_is_another() {
    let (root, namesake) = (Holder::root("CN=Owner", 1), Holder::root("CN=Owner", 2));
    let host = namesake.certify("CN=Host", 3, |_| ());
    assert_eq!(judge(&root, &host.certificate, &[&namesake]), Err(Rule::Signature));
    assert_eq!(judge(&namesake, &host.certificate, &[]), Ok(2));
}

#[test]
fn a_certificate_holds_from_its_first_second_to_its_last() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |request| request.not_before = NOW);
    let last = host.certificate.not_after();
    for (now, verdict) in
        [(NOW - 1, Err(Rule::ValidityStart)), (NOW, Ok(2)), (last, Ok(2)), (last + 1, Err(Rule::ValidityEnd))]
    {
        assert_eq!(judge_at(&root, &host.certificate, &[], now), verdict);
    }
}

#[test]
fn nothing_outlives_its_root() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |request| request.not_after = NOW + 300 * DAY);
    let now = root.certificate.not_after() + 1;
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let error = authority.judge(&host.certificate, &[], &Purpose::default(), now).unwrap_err();
    assert_eq!(error.rule, Rule::ValidityEnd);
    assert_eq!(error.certificate.subject, *root.certificate.subject());
}

#[test]
fn an_unknown_critical_extension_is_refused_and_others_are_not() {
    let root = Holder::root("CN=Owner", 1);
    for (critical, verdict) in [(true, Err(Rule::CriticalExtension)), (false, Ok(2))] {
        let host =
            root.certify("CN=Host", 2, |request| request.extensions = vec![unknown_extension(critical)]);
        assert_eq!(judge(&root, &host.certificate, &[]), verdict);
    }
    let purpose = Purpose { extensions: vec![unknown_extension(true).id], ..Purpose::default() };
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let known = |request: &mut claviger_pki::Request| request.extensions = vec![unknown_extension(true)];
    let host = root.certify("CN=Host", 2, known);
    assert!(authority.judge(&host.certificate, &[], &purpose, NOW).is_ok());
    // What the caller reads in the last certificate it does not read in those of CAs.
    let ca = root.certify("CN=CA", 3, |request| {
        known(request);
        request.basic_constraints = ca(None);
    });
    let host = ca.certify("CN=Host", 4, |_| ());
    let others = [ca.certificate.clone()];
    let error = authority.judge(&host.certificate, &others, &purpose, NOW).unwrap_err();
    assert_eq!(error.rule, Rule::CriticalExtension);
}

#[test]
fn purposes_that_are_named_bind() {
    let root = Holder::root("CN=Owner", 1);
    let ipsec = const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17");
    let purpose = Purpose { extended_key_usage: vec![ipsec], ..Purpose::default() };
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let refused = Err(Rule::ExtendedKeyUsage);
    for (named, expected) in [(ipsec, Ok(2)), (ANY_EXTENDED_KEY_USAGE, Ok(2)), (ID_KP_SERVER_AUTH, refused)] {
        let id = named.as_bytes();
        let value = [&[0x30, id.len() as u8 + 2, 6, id.len() as u8], id].concat();
        let extension = claviger_pki::Extension { id: ID_CE_EXT_KEY_USAGE.into(), critical: true, value };
        let host = root.certify("CN=Host", 2, |request| request.extensions = vec![extension]);
        let verdict = authority.judge(&host.certificate, &[], &purpose, NOW);
        let verdict = verdict.map(|chain| chain.len()).map_err(|error| error.rule);
        assert_eq!(verdict, expected, "{named}");
    }
    let host = root.certify("CN=Host", 2, |_| ());
    assert!(authority.judge(&host.certificate, &[], &purpose, NOW).is_ok());
}

#[test]
fn a_chain_that_is_too_long_is_refused() {
    let root = Holder::root("CN=Owner", 1);
    let mut chain = vec![root.certify_ca("CN=1", 2)];
    for i in 2..limits::CHAIN_LEN_MAX {
        let above = chain.last().unwrap();
        let next = above.certify_ca(&format!("CN={i}"), i as u64 + 1);
        let host = above.certify("CN=Host", 100, |_| ());
        let others: Vec<_> = chain.iter().collect();
        assert_eq!(judge(&root, &host.certificate, &others), Ok(i + 1));
        chain.push(next);
    }
    let host = chain.last().unwrap().certify("CN=Host", 100, |_| ());
    let others: Vec<_> = chain.iter().collect();
    assert_eq!(judge(&root, &host.certificate, &others), Err(Rule::ChainLength));
}

#[test]
fn certificates_of_one_name_do_not_make_a_judgement_endless() {
    let root = Holder::root("CN=Owner", 1);
    // Each could have issued each: all orders of all of them are chains by their names.
    let namesakes: Vec<_> = (0..limits::OTHERS_MAX as u64)
        .map(|seed| {
            let issuer = Holder::root("CN=Same", 100 + seed);
            issuer.certify_ca("CN=Same", 200 + seed)
        })
        .collect();
    let real = root.certify_ca("CN=Same", 300);
    let host = Holder::root("CN=Same", 400).certify("CN=Host", 401, |_| ());
    let others: Vec<_> = namesakes.iter().take(limits::OTHERS_MAX - 1).chain([&real]).collect();
    let verdict = judge(&root, &host.certificate, &others);
    assert!(matches!(verdict, Err(Rule::Signature | Rule::SignatureCount)), "{verdict:?}");
}

#[test]
fn so_many_signatures_are_verified_and_no_more() {
    let root = Holder::root("CN=Owner", 1);
    // Four CAs of one name, each certified by each other: all orders of them are chains, and none leads to the root.
    let cas: Vec<_> = (10..14).map(|seed| Holder::root("CN=Same", seed)).collect();
    let mut crossed = Vec::new();
    for (seed, _) in (10..14).zip(&cas) {
        let above =
            cas.iter().filter(|above| above.certificate.key() != cas[seed as usize - 10].certificate.key());
        crossed.extend(above.map(|above| above.certify_ca("CN=Same", seed)));
    }
    assert!(crossed.len() <= limits::OTHERS_MAX);
    let host = cas[0].certify("CN=Host", 20, |_| ());
    assert_eq!(
        judge(&root, &host.certificate, &crossed.iter().collect::<Vec<_>>()),
        Err(Rule::SignatureCount)
    );
}

#[test]
fn the_certificate_of_a_ca_is_none_of_a_host() {
    let root = Holder::root("CN=Owner", 1);
    let ca = root.certify_ca("CN=CA", 2);
    assert_eq!(judge(&root, &ca.certificate, &[]), Err(Rule::KeyUsage));
}

#[test]
fn no_more_cas_stand_below_one_than_it_permits() {
    let root = Holder::root("CN=Owner", 1);
    let upper = root.certify("CN=Upper", 2, |request| request.basic_constraints = ca(Some(0)));
    let host = upper.certify("CN=Host", 3, |_| ());
    assert_eq!(judge(&root, &host.certificate, &[&upper]), Ok(3));
    let lower = upper.certify_ca("CN=Lower", 4);
    let host = lower.certify("CN=Host", 5, |_| ());
    assert_eq!(judge(&root, &host.certificate, &[&upper, &lower]), Err(Rule::PathLength));
}
