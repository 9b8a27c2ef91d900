//! What hosts show to be let into groups: others' keys and HITs, rights that nobody gave, and those of CAs.

use std::net::Ipv6Addr;

use claviger_crypto::{SeededRandom, provider};
use claviger_pki::{
    BasicConstraints, Certificate, Extension, GroupOwner, GroupRight, GroupRights, Oid, OwnerError,
    ReadError, Request, Revocation, RightsError, Roles, Rule, Warrant, issue::IssueError,
};
use der::Decode;

use crate::support::{DAY, Holder, NOW, ca, request, unknown_extension};

/// ID_KEY_ID.
const KEY_ID: u8 = 11;

const RECEIVER: Roles = Roles { receiver: true, ..Roles::NONE };
const SENDER: Roles = Roles { sender: true, ..Roles::NONE };
const KEY_SERVER: Roles = Roles { key_server: true, ..Roles::NONE };

fn rights(groups: &[(&[u8], Roles)]) -> GroupRights {
    let right = |(group_id, roles): &(&[u8], Roles)| GroupRight {
        id_type: KEY_ID,
        group_id: group_id.to_vec(),
        roles: *roles,
    };
    GroupRights::new(groups.iter().map(right).collect()).unwrap()
}

/// A host with rights, certified by an issuer.
fn host(issuer: &Holder, seed: u64, groups: &[(&[u8], Roles)]) -> Holder {
    issuer.certify("CN=Host", seed, |request| request.extensions = vec![rights(groups).extension()])
}

/// A CA that can give these rights at most.
fn bounded_ca(issuer: &Holder, seed: u64, groups: &[(&[u8], Roles)]) -> Holder {
    issuer.certify(&format!("CN=CA {seed}"), seed, |request| {
        request.basic_constraints = ca(None);
        request.extensions = vec![rights(groups).extension()];
    })
}

fn owner(root: &Holder) -> GroupOwner {
    GroupOwner::new(provider(), vec![root.certificate.clone()], Revocation::NotChecked)
}

fn judge(root: &Holder, host: &Holder, above: &[&Holder]) -> Result<Warrant, OwnerError> {
    owner(root).judge(&chain(host, above), host.key.public(), None, NOW)
}

fn chain(host: &Holder, above: &[&Holder]) -> Vec<Certificate> {
    [host].iter().chain(above).map(|holder| holder.certificate.clone()).collect()
}

fn rule(verdict: Result<Warrant, OwnerError>) -> (Rule, bool) {
    match verdict {
        Err(OwnerError::Certificate(error)) => (error.rule, error.leads_to_root),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_may_be_what_its_certificate_says_and_nothing_else() {
    let root = Holder::root("CN=Owner", 1);
    let host = host(&root, 2, &[(b"a", RECEIVER), (b"b", RECEIVER.union(SENDER))]);
    let warrant = judge(&root, &host, &[]).unwrap();
    assert_eq!(warrant.roles_for(KEY_ID, b"a"), RECEIVER);
    assert_eq!(warrant.roles_for(KEY_ID, b"b"), RECEIVER.union(SENDER));
    assert_eq!(warrant.roles_for(KEY_ID, b"c"), Roles::NONE);
    assert_eq!(warrant.roles_for(KEY_ID + 1, b"a"), Roles::NONE);
    assert_eq!(warrant.subject().to_string(), "CN=Host");
    assert_eq!(warrant.chain(), [host.certificate, root.certificate]);
}

#[test]
fn without_the_extension_a_host_may_nothing() {
    let root = Holder::root("CN=Owner", 1);
    let host = root.certify("CN=Host", 2, |_| ());
    let warrant = judge(&root, &host, &[]).unwrap();
    assert_eq!(warrant.rights(), []);
    assert_eq!(warrant.roles_for(KEY_ID, b"a"), Roles::NONE);
    // Nor does what its CA may give fall to it.
    let ca = bounded_ca(&root, 3, &[(b"a", Roles::ALL)]);
    let host = ca.certify("CN=Host", 4, |_| ());
    assert_eq!(judge(&root, &host, &[&ca]).unwrap().rights(), []);
}

#[test]
fn a_ca_gives_no_more_than_it_may_and_one_without_bounds_everything() {
    let root = Holder::root("CN=Owner", 1);
    let upper = bounded_ca(&root, 2, &[(b"a", RECEIVER.union(SENDER)), (b"b", RECEIVER)]);
    let middle = upper.certify_ca("CN=Middle", 3);
    let lower = bounded_ca(&middle, 4, &[(b"a", Roles::ALL), (b"b", SENDER), (b"c", Roles::ALL)]);
    let host = host(&lower, 5, &[(b"a", Roles::ALL), (b"b", Roles::ALL), (b"c", Roles::ALL)]);
    let warrant = judge(&root, &host, &[&lower, &middle, &upper]).unwrap();
    assert_eq!(warrant.roles_for(KEY_ID, b"a"), RECEIVER.union(SENDER));
    assert_eq!(warrant.roles_for(KEY_ID, b"b"), Roles::NONE);
    assert_eq!(warrant.roles_for(KEY_ID, b"c"), Roles::NONE);
    assert_eq!(warrant.rights().len(), 1);
}

#[test]
fn a_root_bounds_too() {
    let own = Holder::root("CN=Owner", 1);
    let extensions = vec![rights(&[(b"a", RECEIVER)]).extension()];
    let root = own.renewed(|request| request.extensions = extensions);
    let host = host(&own, 2, &[(b"a", RECEIVER.union(SENDER)), (b"b", RECEIVER)]);
    let warrant = judge(&root, &host, &[]).unwrap();
    assert_eq!(warrant.roles_for(KEY_ID, b"a"), RECEIVER);
    assert_eq!(warrant.roles_for(KEY_ID, b"b"), Roles::NONE);
}

#[test]
fn a_members_certificate_makes_no_key_server() {
    let root = Holder::root("CN=Owner", 1);
    let member = host(&root, 2, &[(b"a", RECEIVER.union(SENDER))]);
    assert!(!judge(&root, &member, &[]).unwrap().roles_for(KEY_ID, b"a").contains(KEY_SERVER));
}

#[test]
fn a_member_certifies_nobody() {
    let root = Holder::root("CN=Owner", 1);
    let member = host(&root, 2, &[(b"a", Roles::ALL)]);
    let friend = host(&member, 3, &[(b"a", RECEIVER)]);
    assert_eq!(rule(judge(&root, &friend, &[&member])), (Rule::CertificateAuthority, true));
}

#[test]
fn a_certificate_about_another_key_is_none_of_the_host() {
    let root = Holder::root("CN=Owner", 1);
    let (one, other) = (host(&root, 2, &[(b"a", RECEIVER)]), host(&root, 3, &[(b"a", RECEIVER)]));
    let verdict = owner(&root).judge(&chain(&one, &[]), other.key.public(), None, NOW);
    assert_eq!(verdict, Err(OwnerError::KeyMismatch));
    assert!(OwnerError::KeyMismatch.leads_to_root());
}

#[test]
fn a_key_that_is_not_the_hosts_is_told_only_of_a_certificate_that_holds() {
    let (root, stranger) = (Holder::root("CN=Owner", 1), Holder::root("CN=Stranger", 2));
    let (one, other) = (host(&stranger, 3, &[(b"a", RECEIVER)]), host(&root, 4, &[(b"a", RECEIVER)]));
    let verdict = owner(&root).judge(&chain(&one, &[&stranger]), other.key.public(), None, NOW);
    assert_eq!(rule(verdict), (Rule::Issuer, false));
}

#[test]
fn a_hit_in_the_certificate_must_be_the_hosts() {
    let root = Holder::root("CN=Owner", 1);
    let (hit, another): (Ipv6Addr, Ipv6Addr) = ("2001:21::1".parse().unwrap(), "2001:21::2".parse().unwrap());
    let judge = |addresses: &[&str], hit: Option<Ipv6Addr>| {
        let host = root.certify("CN=Host", 2, |request| {
            request.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        });
        owner(&root).judge(&chain(&host, &[]), host.key.public(), hit, NOW).map(|_| ())
    };
    assert_eq!(judge(&["2001:21::1"], Some(hit)), Ok(()));
    assert_eq!(judge(&["2001:21::1"], Some(another)), Err(OwnerError::Hit));
    assert_eq!(judge(&["2001:21::1"], None), Ok(()));
    assert_eq!(judge(&["2001:21::1", "2001:21::2"], Some(another)), Ok(()));
    // Other addresses are no HITs.
    assert_eq!(judge(&["2001:db8::1", "10.0.0.1"], Some(hit)), Ok(()));
    assert_eq!(judge(&["2001:db8::1", "2001:21::2"], Some(hit)), Err(OwnerError::Hit));
    assert_eq!(judge(&[], Some(hit)), Ok(()));
}

#[test]
fn a_warrant_ends_with_the_first_certificate_of_its_chain() {
    let root = Holder::root("CN=Owner", 1);
    let ca = root.certify("CN=CA", 2, |request| {
        request.basic_constraints = ca(None);
        request.not_after = NOW + 3 * DAY;
    });
    let host = ca.certify("CN=Host", 3, |request| request.not_after = NOW + 300 * DAY);
    assert_eq!(judge(&root, &host, &[&ca]).unwrap().not_after(), NOW + 3 * DAY);
    let host = root.certify("CN=Host", 4, |request| request.not_after = NOW + 300 * DAY);
    assert_eq!(judge(&root, &host, &[]).unwrap().not_after(), root.certificate.not_after());
}

#[test]
fn who_shows_nothing_has_no_warrant() {
    let root = Holder::root("CN=Owner", 1);
    let verdict = owner(&root).judge(&[], root.key.public(), None, NOW);
    assert_eq!(verdict, Err(OwnerError::NoCertificate));
    assert!(!OwnerError::NoCertificate.leads_to_root());
}

#[test]
fn an_expired_or_revoked_certificate_is_known_to_be_the_owners() {
    let root = Holder::root("CN=Owner", 1);
    let expired = root.certify("CN=Host", 2, |request| request.not_after = NOW - 1);
    assert_eq!(rule(judge(&root, &expired, &[])), (Rule::ValidityEnd, true));
    let early = root.certify("CN=Host", 2, |request| request.not_before = NOW + 1);
    assert_eq!(rule(judge(&root, &early, &[])), (Rule::ValidityStart, true));
    let gone = host(&root, 3, &[(b"a", RECEIVER)]);
    let judge = |lists| {
        let mut owner = owner(&root);
        owner.set_revocation(Revocation::Lists(lists));
        rule(owner.judge(&chain(&gone, &[]), gone.key.public(), None, NOW))
    };
    assert_eq!(judge(vec![root.list(&[&gone.certificate])]), (Rule::Revoked, true));
    assert_eq!(judge(vec![]), (Rule::RevocationUnknown, true));
}

#[test]
fn of_a_namesake_of_the_owner_nothing_is_known() {
    let (root, namesake) = (Holder::root("CN=Owner", 1), Holder::root("CN=Owner", 2));
    let host = host(&namesake, 3, &[(b"a", RECEIVER)]);
    assert_eq!(rule(judge(&root, &host, &[&namesake])), (Rule::Signature, false));
}

#[test]
fn critical_extensions_beside_the_rights_are_refused_in_hosts_and_in_cas() {
    let root = Holder::root("CN=Owner", 1);
    let with_unknown = |request: &mut Request| {
        request.extensions = vec![rights(&[(b"a", RECEIVER)]).extension(), unknown_extension(true)];
    };
    let odd = root.certify("CN=Host", 2, with_unknown);
    assert_eq!(rule(judge(&root, &odd, &[])), (Rule::CriticalExtension, true));
    let ca = root.certify("CN=CA", 3, |request| {
        with_unknown(request);
        request.basic_constraints = ca(None);
    });
    let below = host(&ca, 4, &[(b"a", RECEIVER)]);
    assert_eq!(rule(judge(&root, &below, &[&ca])), (Rule::CriticalExtension, true));
}

#[test]
fn malformed_rights_make_no_certificate() {
    let root = Holder::root("CN=Owner", 1);
    let good = rights(&[(b"a", RECEIVER)]);
    // What cannot be issued is put in place of an extension that nobody knows.
    let id = GroupRights::OID.as_bytes().to_vec();
    let stand_in = Oid::from_der(&[&[6, 20], &id[..19], &[id[19] ^ 1]].concat()).unwrap();
    let read = |extensions: Vec<Extension>, is_ca| {
        let host = root.certify("CN=Host", 2, |request| {
            let id = |at: usize| if at == 0 { stand_in.clone() } else { GroupRights::OID };
            let extensions = extensions.into_iter().enumerate();
            request.extensions =
                extensions.map(|(at, extension)| Extension { id: id(at), ..extension }).collect();
            request.basic_constraints = BasicConstraints { ca: is_ca, path_length: None };
        });
        let mut octets = host.certificate.der().to_vec();
        let found = octets.windows(20).position(|window| window == stand_in.as_bytes()).unwrap();
        octets[found..found + 20].copy_from_slice(&id);
        Certificate::from_der(&octets).err()
    };
    let with = |value: &[u8]| vec![Extension { value: value.to_vec(), ..good.extension() }];
    for is_ca in [false, true] {
        assert_eq!(read(vec![good.extension()], is_ca), None);
        let not_critical = vec![Extension { critical: false, ..good.extension() }];
        assert_eq!(read(not_critical, is_ca), Some(ReadError::GroupRights(RightsError::NotCritical)));
        assert_eq!(read(vec![good.extension(); 2], is_ca), Some(ReadError::Extension));
        let malformed = |value| read(with(value), is_ca);
        assert_eq!(malformed(&[0x30, 0]), Some(ReadError::GroupRights(RightsError::Empty)));
        assert_eq!(malformed(&[]), Some(ReadError::GroupRights(RightsError::Der)));
        assert_eq!(malformed(&[5, 0]), Some(ReadError::GroupRights(RightsError::Der)));
    }
}

#[test]
fn rights_in_as_many_groups_as_the_limit_hold() {
    let root = Holder::root("CN=Owner", 1);
    let names: Vec<_> = (0..64).map(|i| [i; 200]).collect();
    let groups: Vec<_> = names.iter().map(|name| (&name[..], RECEIVER)).collect();
    let ca = bounded_ca(&root, 2, &groups);
    let host = host(&ca, 3, &groups);
    let warrant = judge(&root, &host, &[&ca]).unwrap();
    assert_eq!(warrant.rights().len(), 64);
    assert_eq!(warrant.roles_for(KEY_ID, &names[63]), RECEIVER);
}

#[test]
fn a_certificate_that_nobody_would_read_is_not_made() {
    let root = Holder::root("CN=Owner", 1);
    let names: Vec<_> = (0..64).map(|i| [i; 255]).collect();
    let groups: Vec<_> = names.iter().map(|name| (&name[..], RECEIVER)).collect();
    let too_long = rights(&groups).extension();
    let malformed = Extension { value: vec![5, 0], ..too_long.clone() };
    for extension in [too_long, malformed] {
        let request = Request { extensions: vec![extension], ..request("CN=Host", &root.key) };
        let made = root.issuer().issue(&request, &mut SeededRandom::new(1));
        assert_eq!(made.err(), Some(IssueError::Request));
    }
}
