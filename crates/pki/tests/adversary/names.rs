//! Names with odd octets, and such as look like others.

use claviger_crypto::provider;
use claviger_pki::{Authority, Certificate, Name, Purpose, Revocation, Rule};

use crate::support::{Holder, NOW};

/// Values that no honest name has, as RFC 4514 writes any DER.
const ODD: [&str; 9] = [
    // A UTF8String that is not UTF-8, and one that is empty.
    "CN=#0c03fffe41",
    "CN=#0c00",
    // With NUL, escape and line feed.
    "CN=#0c074f776e65720078",
    "CN=#0c041b5b6d0a",
    // PrintableString and IA5String with octets that neither has.
    "CN=#1303e4f6fc",
    "CN=#16027f80",
    // TeletexString; BMPString of three octets.
    "CN=#1402e420",
    "CN=#1e03004100",
    // No string at all.
    "CN=#300302012a",
];

fn judge(root: &Holder, shown: &Certificate, others: &[&Holder]) -> Result<usize, Rule> {
    let authority = Authority::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked);
    let others: Vec<_> = others.iter().map(|holder| holder.certificate.clone()).collect();
    let verdict = authority.judge(shown, &others, &Purpose::default(), NOW);
    verdict.map(|chain| chain.len()).map_err(|error| error.rule)
}

#[test]
fn an_odd_name_is_shown_in_graphic_ascii_and_leads_through_a_chain() {
    let root = Holder::root("CN=Owner", 1);
    for odd in ODD {
        let ca = root.certify_ca(odd, 2);
        let host = ca.certify(odd, 3, |_| ());
        let shown = host.certificate.subject().to_string();
        assert!(shown.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' '), "{odd}: {shown}");
        assert_eq!(judge(&root, &host.certificate, &[&ca]), Ok(3), "{odd}");
        assert_eq!(Name::from_der(host.certificate.subject_der()).unwrap(), *host.certificate.subject());
    }
}

#[test]
fn no_odd_name_is_another() {
    let names: Vec<_> = ODD.iter().map(|odd| Name::from_rfc4514(odd).unwrap()).collect();
    for (i, name) in names.iter().enumerate() {
        assert!(
            names[..i].iter().all(|other| other != name && other.to_string() != name.to_string()),
            "{name}"
        );
    }
}

#[test]
fn a_name_that_looks_like_the_owners_is_not_the_owners() {
    let root = Holder::root("CN=Owner", 1);
    // A Cyrillic letter, a NUL behind, an invisible character, an attribute more, the parts in another order.
    for like in ["CN=\u{41e}wner", "CN=Owner\\00", "CN=Owner\u{200b}", "CN=Owner,O=x", "OU=Owner"] {
        let namesake = Holder::root(like, 2);
        assert_ne!(namesake.certificate.subject(), root.certificate.subject(), "{like}");
        assert_ne!(namesake.certificate.subject().to_string(), "CN=Owner", "{like}");
        let host = namesake.certify("CN=Host", 3, |_| ());
        assert_eq!(judge(&root, &host.certificate, &[&namesake]), Err(Rule::Issuer), "{like}");
    }
}

#[test]
fn the_type_of_a_string_case_and_spaces_make_no_other_name() {
    let owner = Name::from_rfc4514("CN=Group Owner").unwrap();
    for same in ["CN=#130b47726f7570204f776e6572", "CN=#140b47726f7570204f776e6572", "CN= group  OWNER "] {
        assert_eq!(Name::from_rfc4514(same).unwrap(), owner, "{same}");
    }
}

#[test]
fn a_name_as_long_as_a_certificate_can_have_is_judged() {
    let root = Holder::root("CN=Owner", 1);
    let long = format!("CN={}", "a\\+b\\,".repeat(3_000));
    let host = root.certify(&long, 2, |_| ());
    assert_eq!(judge(&root, &host.certificate, &[]), Ok(2));
    let parts = vec!["OU=part"; 1_000].join(",");
    let host = root.certify(&parts, 3, |_| ());
    assert_eq!(judge(&root, &host.certificate, &[]), Ok(2));
}
