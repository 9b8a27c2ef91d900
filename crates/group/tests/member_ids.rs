//! Properties of member identities: text and octets read back, and the order agrees with equality.

#![expect(clippy::unwrap_used, reason = "a test fails loudly when a value is missing")]

use std::{
    cmp::Ordering,
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use claviger_group::{MemberId, member_id::KEY_ID_LEN_MAX};
use claviger_identity::Hit;
use proptest::prelude::*;

/// A HIT as text knows it: one with the prefix of ORCHIDs.
fn hit() -> impl Strategy<Value = MemberId> {
    (any::<[u8; 12]>(), 0x20_u8..0x30).prop_map(|(rest, suite)| {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0x20, 0x01, 0x00, suite]);
        octets[4..].copy_from_slice(&rest);
        Hit::new(octets).into()
    })
}

fn domain() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,8}"
}

fn subject() -> impl Strategy<Value = MemberId> {
    prop::collection::vec(any::<u8>(), 1..0x80).prop_map(|content| {
        let der = [&[0x30, content.len() as u8], &content[..]].concat();
        MemberId::subject(der).unwrap()
    })
}

/// A name as people write it, with any characters in it.
fn written_subject() -> impl Strategy<Value = MemberId> {
    ("\\PC{1,12}", "[ -~]{1,12}").prop_filter_map("it is a name", |(common, organisation)| {
        let escaped = |text: &str| text.bytes().map(|octet| format!("\\{octet:02x}")).collect::<String>();
        format!("dn:CN={},O={}", escaped(&common), escaped(&organisation)).parse().ok()
    })
}

fn member() -> impl Strategy<Value = MemberId> {
    prop_oneof![
        hit(),
        any::<[u8; 4]>().prop_map(|octets| MemberId::Address(IpAddr::V4(Ipv4Addr::from(octets)))),
        any::<[u8; 16]>().prop_map(|octets| MemberId::Address(IpAddr::V6(Ipv6Addr::from(octets)))),
        domain().prop_map(|name| MemberId::domain_name(&name).unwrap()),
        ("[!-?A-~]{1,64}", domain())
            .prop_map(|(user, domain)| MemberId::user_name(&format!("{user}@{domain}")).unwrap()),
        prop::collection::vec(any::<u8>(), 1..=KEY_ID_LEN_MAX)
            .prop_map(|octets| MemberId::key_id(octets).unwrap()),
        "(0x)?[!-~]{1,9}".prop_map(|text| MemberId::key_id(text.into_bytes()).unwrap()),
        subject(),
        written_subject(),
    ]
}

fn hash(member: &MemberId) -> u64 {
    let mut hasher = DefaultHasher::new();
    member.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn text_reads_back_and_can_be_seen(member in member()) {
        let text = member.to_string();
        prop_assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "{text}");
        prop_assert_eq!(text.parse::<MemberId>(), Ok(member));
    }

    #[test]
    fn octets_read_back(member in member()) {
        prop_assert_eq!(MemberId::from_octets(member.kind(), &member.octets()), Ok(member));
    }

    #[test]
    fn any_octets_are_refused_or_kept(kind in 0_u8..13, octets in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(member) = MemberId::from_octets(kind, &octets) {
            prop_assert_eq!(member.kind(), kind);
            prop_assert!(member.octets().eq_ignore_ascii_case(&octets));
        }
    }

    #[test]
    fn any_text_is_refused_or_names_one_member(text in "(addr:|fqdn:|user:|key-id:|dn:)?[ -~]{0,24}") {
        if let Ok(member) = text.parse::<MemberId>() {
            prop_assert_eq!(member.to_string().parse::<MemberId>(), Ok(member));
        }
    }

    #[test]
    fn the_order_is_total_and_agrees_with_equality(a in member(), b in member(), c in member()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        prop_assert_eq!(a == b, (a.kind(), a.octets()) == (b.kind(), b.octets()));
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        let copy = MemberId::from_octets(a.kind(), &a.octets()).unwrap();
        prop_assert_eq!((a.cmp(&copy), hash(&a)), (Ordering::Equal, hash(&copy)));
    }
}
