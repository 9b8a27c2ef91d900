//! The vectors of `docs/vectors/certificates.txt`: rights in groups, an owner's certificates and lists, and what they say.
//!
//! `CLAVIGER_RECORD_VECTORS=1` makes them anew; ECDSA signatures differ each time.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    net::{IpAddr, Ipv6Addr},
    path::Path,
    sync::Once,
};

use claviger_crypto::{
    SecretBytes, SeededRandom, provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_identity::{DomainIdentifier, HostId};
use claviger_pki::{
    BasicConstraints, Certificate, Crl, GroupOwner, GroupRight, GroupRights, Issuer, OwnerError, Request,
    Revocation, RightsError, Roles, Rule,
};
use claviger_testkit::vector::{VectorWriter, Vectors};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/certificates.txt");

/// When all of it is valid, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// A year in seconds.
const YEAR: u64 = 365 * 86_400;

const GROUP: [u8; 4] = [0, 0, 0x12, 0x34];
const KEY_ID: u8 = 11;

const MEMBER: Roles = Roles { receiver: true, sender: true, key_server: false };
const RECEIVER: Roles = Roles { receiver: true, ..Roles::NONE };
const KEY_SERVER: Roles = Roles { key_server: true, ..Roles::NONE };

/// Sections of rights: the groups that each names.
fn rights() -> [(&'static str, Vec<GroupRight>); 3] {
    let right = |id_type, group_id: &[u8], roles| GroupRight { id_type, group_id: group_id.to_vec(), roles };
    [
        ("rights: to receive", vec![right(KEY_ID, &GROUP, RECEIVER)]),
        ("rights: of a key server", vec![right(KEY_ID, &GROUP, KEY_SERVER)]),
        (
            "rights: in three groups",
            vec![
                right(KEY_ID, &GROUP, MEMBER),
                right(KEY_ID, b"news", RECEIVER),
                right(2, b"a.example", Roles::ALL),
            ],
        ),
    ]
}

/// Octets that are no rights, and why.
const MALFORMED: [(&str, &[u8], RightsError); 6] = [
    ("no group", &[0x30, 0], RightsError::Empty),
    ("no role", &[0x30, 13, 0x30, 11, 2, 1, 11, 4, 3, 1, 2, 3, 3, 1, 0], RightsError::NoRole),
    ("an unknown role", &[0x30, 12, 0x30, 10, 2, 1, 11, 4, 1, 1, 3, 2, 4, 0x90], RightsError::UnknownRole),
    (
        "a zero behind the last role",
        &[0x30, 12, 0x30, 10, 2, 1, 11, 4, 1, 1, 3, 2, 6, 0x80],
        RightsError::Der,
    ),
    ("an empty group id", &[0x30, 11, 0x30, 9, 2, 1, 11, 4, 0, 3, 2, 7, 0x80], RightsError::GroupId),
    (
        "a group twice",
        &[0x30, 24, 0x30, 10, 2, 1, 11, 4, 1, 1, 3, 2, 7, 0x80, 0x30, 10, 2, 1, 11, 4, 1, 1, 3, 2, 6, 0x40],
        RightsError::Repeated,
    ),
];

/// The bits of a BIT STRING with all three roles.
fn octet(roles: Roles) -> u8 {
    u8::from(roles.receiver) << 7 | u8::from(roles.sender) << 6 | u8::from(roles.key_server) << 5
}

fn key(algorithm: KeyAlgorithm, seed: u64) -> SigningKey {
    SigningKey::generate(provider(), algorithm, &mut SeededRandom::new(seed)).unwrap()
}

fn hit(key: &SigningKey) -> Ipv6Addr {
    let host_id = HostId::new(key.public(), DomainIdentifier::None).unwrap();
    host_id.hit(provider()).unwrap().into()
}

fn record() {
    let mut w = VectorWriter::default();
    w.comment("Test vectors of certificates. Explained in docs/vectors.md.");
    for (section, rights) in rights() {
        w.section(section);
        for (i, right) in rights.iter().enumerate() {
            w.octets(&format!("ID Type {}", i + 1), &[right.id_type]);
            w.octets(&format!("Group ID {}", i + 1), &right.group_id);
            w.octets(&format!("roles {}", i + 1), &[octet(right.roles)]);
        }
        w.octets("GroupRights", &GroupRights::new(rights).unwrap().to_der());
    }
    w.section("no rights");
    for (name, octets, _) in MALFORMED {
        w.octets(name, octets);
    }
    let [(_, to_receive), (_, of_key_server), (_, in_three)] = rights();
    let owner_key = key(KeyAlgorithm::EcdsaP384, 1);
    let request = |subject: &str, key: &SigningKey, rights: Option<Vec<GroupRight>>, ca| Request {
        subject: subject.to_owned(),
        key: key.public().clone(),
        not_before: NOW - YEAR,
        not_after: NOW + if ca { 10 * YEAR } else { YEAR },
        basic_constraints: BasicConstraints { ca, path_length: None },
        addresses: if ca { Vec::new() } else { vec![IpAddr::V6(hit(key))] },
        extensions: rights.into_iter().map(|rights| GroupRights::new(rights).unwrap().extension()).collect(),
    };
    let issue = |issuer: &Issuer<'_>, request: &Request, seed| {
        issuer.issue(request, &mut SeededRandom::new(seed)).unwrap()
    };
    let itself = Issuer { provider: provider(), signer: &owner_key, certificate: None };
    let root = issue(&itself, &request("CN=Owner,O=Example", &owner_key, None, true), 1);
    let owner = Issuer { certificate: Some(&root), ..itself };
    let ca_key = key(KeyAlgorithm::EcdsaP256, 2);
    let mut ca_request = request("CN=Hosts,O=Example", &ca_key, Some(to_receive), true);
    ca_request.basic_constraints.path_length = Some(0);
    let ca_certificate = issue(&owner, &ca_request, 2);
    let ca = Issuer { provider: provider(), signer: &ca_key, certificate: Some(&ca_certificate) };
    let mut holder = |section: &str, key: &SigningKey, certificate: &Certificate| {
        w.section(section).octets("private key", key.pkcs8().expose());
        if certificate.extensions().basic_constraints().is_some_and(|basic| !basic.ca) {
            w.octets("HIT", &hit(key).octets());
        }
        w.octets("certificate", certificate.der());
    };
    holder("owner", &owner_key, &root);
    holder("CA below the owner", &ca_key, &ca_certificate);
    let mut revoked = Vec::new();
    for (section, subject, issuer, rights, seed) in [
        ("member", "CN=member,O=Example", &owner, in_three.clone(), 3),
        ("key server", "CN=key-server,O=Example", &owner, of_key_server, 4),
        ("member under the CA", "CN=receiver,O=Example", &ca, in_three.clone(), 5),
        ("member that was revoked", "CN=gone,O=Example", &owner, in_three, 6),
    ] {
        let host_key = key(KeyAlgorithm::EcdsaP256, seed);
        let certificate = issue(issuer, &request(subject, &host_key, Some(rights), false), seed);
        holder(section, &host_key, &certificate);
        revoked = vec![(certificate.serial_number().to_vec(), NOW - 60)];
    }
    w.section("revocation").octets("now", &u32::try_from(NOW).unwrap().to_be_bytes());
    w.octets("owner's list", &owner.revoke(&revoked, 2, NOW - 60, NOW + 86_400).unwrap());
    w.octets("owner's list of before", &owner.revoke(&[], 1, NOW - 2 * 86_400, NOW - 86_400).unwrap());
    w.octets("CA's list", &ca.revoke(&[], 1, NOW - 60, NOW + 86_400).unwrap());
    w.write(Path::new(FILE));
}

fn published() -> Vectors {
    static RECORDED: Once = Once::new();
    Vectors::published(Path::new(FILE), &RECORDED, record)
}

/// What is published of an owner.
struct Published {
    vectors: Vectors,
    now: u64,
}

impl Published {
    fn read() -> Self {
        let vectors = published();
        let now = vectors.number("revocation", "now").into();
        Self { vectors, now }
    }

    fn certificate(&self, section: &str) -> Certificate {
        Certificate::from_der(self.vectors.octets(section, "certificate")).unwrap()
    }

    fn key(&self, section: &str, algorithm: KeyAlgorithm) -> SigningKey {
        let pkcs8 = SecretBytes::new(self.vectors.octets(section, "private key").to_vec());
        SigningKey::from_pkcs8(provider(), algorithm, pkcs8).unwrap()
    }

    /// Judges a host by these lists.
    fn judge(&self, section: &str, lists: &[&str]) -> Result<Vec<GroupRight>, OwnerError> {
        let lists = lists.iter().map(|list| Crl::from_der(self.vectors.octets("revocation", list)).unwrap());
        let roots = vec![self.certificate("owner")];
        let owner = GroupOwner::new(provider(), roots, Revocation::Lists(lists.collect()));
        let chain = [self.certificate(section), self.certificate("CA below the owner")];
        let key = self.key(section, KeyAlgorithm::EcdsaP256);
        let hit = Ipv6Addr::from(self.vectors.array::<16>(section, "HIT"));
        assert_eq!(hit, self::hit(&key));
        let warrant = owner.judge(&chain, key.public(), Some(hit), self.now)?;
        assert_eq!(warrant.not_after(), self.certificate(section).not_after());
        Ok(warrant.rights().to_vec())
    }
}

fn rule(verdict: Result<Vec<GroupRight>, OwnerError>) -> Rule {
    match verdict {
        Err(OwnerError::Certificate(error)) => error.rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_rights_that_are_published_are_read_and_written() {
    let vectors = published();
    for (section, expected) in rights() {
        let rights = GroupRights::from_der(vectors.octets(section, "GroupRights")).unwrap();
        assert_eq!(rights.rights(), expected, "{section}");
        for (i, right) in expected.iter().enumerate() {
            assert_eq!(vectors.octets(section, &format!("ID Type {}", i + 1)), [right.id_type]);
            assert_eq!(vectors.octets(section, &format!("Group ID {}", i + 1)), right.group_id);
            assert_eq!(vectors.octets(section, &format!("roles {}", i + 1)), [octet(right.roles)]);
        }
        assert_eq!(GroupRights::new(expected).unwrap().to_der(), vectors.octets(section, "GroupRights"));
    }
    for (name, octets, error) in MALFORMED {
        assert_eq!(vectors.octets("no rights", name), octets);
        assert_eq!(GroupRights::from_der(octets), Err(error), "{name}");
    }
}

#[test]
fn the_certificates_that_are_published_give_the_rights_that_they_name() {
    let published = Published::read();
    let [(_, to_receive), (_, of_key_server), (_, in_three)] = rights();
    let lists = ["owner's list", "CA's list"];
    assert_eq!(published.judge("member", &lists), Ok(in_three));
    assert_eq!(published.judge("key server", &lists), Ok(of_key_server));
    // Its certificate names three groups; what its CA may give is one, to receive.
    assert_eq!(published.judge("member under the CA", &lists), Ok(to_receive));
}

#[test]
fn the_lists_that_are_published_revoke_and_vouch() {
    let published = Published::read();
    let lists = ["owner's list", "CA's list"];
    assert_eq!(rule(published.judge("member that was revoked", &lists)), Rule::Revoked);
    let old = ["owner's list of before", "CA's list"];
    assert_eq!(rule(published.judge("member that was revoked", &old)), Rule::RevocationUnknown);
    assert_eq!(rule(published.judge("member under the CA", &["owner's list"])), Rule::RevocationUnknown);
}

#[test]
fn the_keys_that_are_published_are_those_of_the_certificates() {
    let published = Published::read();
    let owner = published.key("owner", KeyAlgorithm::EcdsaP384);
    assert_eq!(published.certificate("owner").signing_key(), Some(owner.public()));
    for section in
        ["CA below the owner", "member", "key server", "member under the CA", "member that was revoked"]
    {
        let key = published.key(section, KeyAlgorithm::EcdsaP256);
        assert_eq!(published.certificate(section).signing_key(), Some(key.public()), "{section}");
    }
}
