//! Whom members take for a key server, where they know the owner of their groups.
//!
//! ```text
//! I2: ENCRYPTED{ HOST_ID, MCAST_CHANNEL... }, REG_REQUEST(201)   -->
//!                    <--   R2: ENCRYPTED{ CERT..., MCAST_CHANNEL... }, REG_RESPONSE(201)
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_group::{GroupId, Role};
use claviger_hip::CertificateChain;
use claviger_identity::HostIdentity;
use claviger_member::{
    Event,
    event::{KeyServerFault, Refusal},
};
use claviger_pki::{Certificate, Revocation};
use claviger_testkit::{
    network::{Network, START, group_id, new_identity, policy},
    owner::{Ca, DAY, KEY_SERVER, address, chain, rights_in, unknown_extension},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn market() -> GroupId {
    group_id("market")
}

fn one(certificate: &Certificate) -> Vec<CertificateChain> {
    vec![chain(&[certificate])]
}

/// A network with the group `market`, and a host on its list that knows the owner by its CA.
fn network(seed: u64, ca: &Ca, revocation: Revocation) -> (Network, usize) {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    let place = network.add_member_with(new_identity(), |config| config.owner = Some(ca.judge(revocation)));
    (network, place)
}

fn key_server(ca: &Ca, network: &Network) -> Certificate {
    let identity = network.server_identity();
    let hit = identity.hit();
    ca.certify(identity, &market(), KEY_SERVER, |request| request.addresses = vec![address(hit)])
}

fn told(network: &Network, place: usize) -> Option<Refusal> {
    network.members[place].last(|event| match event {
        Event::Refused { refusal, .. } => Some(*refusal),
        _ => None,
    })
}

/// Says whether the key server counts a host among those that hold a grant.
fn is_granted(network: &Network, place: usize) -> bool {
    let id = network.members[place].id();
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    hosts.iter().any(|view| view.host == id && view.granted.is_some())
}

#[test]
fn a_key_server_that_its_groups_owner_certifies_keys_its_members() {
    let ca = Ca::new("CN=Owner,O=Example");
    let below = ca.certify_ca("CN=Site,O=Example");
    for through in [false, true] {
        let (mut network, place) = network(1, &ca, Revocation::NotChecked);
        let by = if through { &below } else { &ca };
        let certificate = key_server(by, &network);
        let shown = if through { chain(&[&certificate, &below.certificate]) } else { chain(&[&certificate]) };
        network.show_certificates(vec![shown]);
        network.join(place, &market(), Role::Both);
        network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
        // It shows them at each renewal too, and after a restart.
        network.restart();
        network.pass(40 * HOUR);
        assert!(network.is_current(place, &market()) && is_granted(&network, place));
    }
}

#[test]
fn who_knows_no_owner_asks_for_no_certificate() {
    let mut network = Network::new(2);
    network.add_group(&market(), policy(1));
    let ca = Ca::new("CN=Somebody");
    let certificate = key_server(&ca, &network);
    network.show_certificates(one(&certificate));
    network.joined(&market(), Role::Both);
}

type Shown = fn(&Ca, &HostIdentity) -> Vec<CertificateChain>;

/// What an impostor shows, and what is wrong with it.
const WRONG: &[(&str, Shown, KeyServerFault)] = &[
    ("nothing", |_, _| Vec::new(), KeyServerFault::Missing),
    (
        "a member's certificate",
        |ca, host| one(&ca.certify_member(host, &market(), Role::Both)),
        KeyServerFault::NotKeyServer,
    ),
    (
        "a key server's of another group",
        |ca, host| one(&ca.certify(host, &group_id("plaza"), KEY_SERVER, |_| ())),
        KeyServerFault::ForOtherGroups,
    ),
    (
        "one without rights",
        |ca, host| one(&ca.certify(host, &market(), KEY_SERVER, |request| request.extensions.clear())),
        KeyServerFault::ForOtherGroups,
    ),
    (
        "another key server's",
        |ca, _| one(&ca.certify(&new_identity(), &market(), KEY_SERVER, |_| ())),
        KeyServerFault::OfOtherKey,
    ),
    (
        "one for its key and another HIT",
        |ca, host| {
            let other = address(new_identity().hit());
            one(&ca.certify(host, &market(), KEY_SERVER, |request| request.addresses = vec![other]))
        },
        KeyServerFault::OfOtherKey,
    ),
    (
        "one by somebody",
        |_, host| one(&Ca::new("CN=Somebody").certify(host, &market(), KEY_SERVER, |_| ())),
        KeyServerFault::UnknownCa,
    ),
    (
        "a forged one",
        |ca, host| one(&ca.impostor().certify(host, &market(), KEY_SERVER, |_| ())),
        KeyServerFault::Forged,
    ),
    (
        "one by a member",
        |ca, host| {
            let member = ca.certify_no_ca("CN=host,O=Example");
            let certificate = member.certify(host, &market(), KEY_SERVER, |_| ());
            vec![chain(&[&certificate, &member.certificate])]
        },
        KeyServerFault::OfNoCa,
    ),
    (
        "one that is over",
        |ca, host| {
            let end = START.as_secs() - 1;
            one(&ca.certify(host, &market(), KEY_SERVER, |request| request.not_after = end))
        },
        KeyServerFault::Expired,
    ),
    (
        "one that is to come",
        |ca, host| {
            let begin = START.as_secs() + DAY;
            one(&ca.certify(host, &market(), KEY_SERVER, |request| request.not_before = begin))
        },
        KeyServerFault::NotYetValid,
    ),
    (
        "one with an unknown need",
        |ca, host| {
            one(&ca.certify(host, &market(), KEY_SERVER, |request| {
                request.extensions.push(unknown_extension());
            }))
        },
        KeyServerFault::Unsupported,
    ),
    (
        "no certificate but other octets",
        |_, _| vec![CertificateChain(vec![b"certificate".to_vec()])],
        KeyServerFault::Malformed,
    ),
];

#[test]
fn every_impostor_is_refused_for_its_own_reason_and_told_that_nobody_stays() {
    let ca = Ca::new("CN=Owner,O=Example");
    for (what, shown, fault) in WRONG {
        let (mut network, place) = network(3, &ca, Revocation::NotChecked);
        let chains = shown(&ca, network.server_identity());
        network.show_certificates(chains);
        network.join(place, &market(), Role::Both);
        network.pass(3 * SECOND);
        assert_eq!(told(&network, place), Some(Refusal::KeyServer(*fault)), "{what}");
        assert!(!network.is_keyed(place, &market()), "{what}");
        assert!(!is_granted(&network, place), "{what}: it has left");
        let pulled = |event: &Event| matches!(event, Event::Registered { .. } | Event::Rekeyed { .. });
        assert_eq!(network.members[place].count(pulled), 0, "{what}: no key was fetched");
    }
}

#[test]
fn a_revoked_key_server_and_one_without_a_list_are_refused() {
    let ca = Ca::new("CN=Owner,O=Example");
    for (lists, fault) in [
        (Vec::new(), Some(KeyServerFault::RevocationUnknown)),
        (vec![ca.impostor().list(&[], START)], Some(KeyServerFault::RevocationUnknown)),
        (vec![ca.list_of(&[], 1, 2)], Some(KeyServerFault::RevocationUnknown)),
        (vec![ca.list(&[], START)], None),
    ] {
        let (mut network, place) = network(4, &ca, Revocation::Lists(lists));
        let certificate = key_server(&ca, &network);
        network.show_certificates(one(&certificate));
        network.join(place, &market(), Role::Both);
        network.pass(5 * SECOND);
        assert_eq!(told(&network, place), fault.map(Refusal::KeyServer));
        assert_eq!(network.is_keyed(place, &market()), fault.is_none());
    }
    // Revoked while it serves: the next answer ends it.
    let (mut network, place) = network(5, &ca, Revocation::Lists(vec![ca.list(&[], START)]));
    let certificate = key_server(&ca, &network);
    network.show_certificates(one(&certificate));
    network.join(place, &market(), Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
    let revoked = Revocation::Lists(vec![ca.list(&[&certificate], START)]);
    network.members[place].member.set_owner(Some(ca.judge(revoked)));
    network.until(20 * HOUR, |network| told(network, place).is_some());
    assert_eq!(told(&network, place), Some(Refusal::KeyServer(KeyServerFault::Revoked)));
    assert!(!network.is_keyed(place, &market()));
}

#[test]
fn a_key_server_that_shows_its_certificate_no_more_is_left_at_the_renewal() {
    let ca = Ca::new("CN=Owner,O=Example");
    let (mut network, place) = network(6, &ca, Revocation::NotChecked);
    let certificate = key_server(&ca, &network);
    network.show_certificates(one(&certificate));
    network.join(place, &market(), Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
    network.show_certificates(Vec::new());
    network.until(20 * HOUR, |network| told(network, place).is_some());
    network.pass(5 * SECOND);
    assert_eq!(told(&network, place), Some(Refusal::KeyServer(KeyServerFault::Missing)));
    assert!(!network.is_keyed(place, &market()) && !is_granted(&network, place));
}

#[test]
fn of_two_groups_the_one_is_joined_that_the_certificate_is_for() {
    let ca = Ca::new("CN=Owner,O=Example");
    let (mut network, place) = network(7, &ca, Revocation::NotChecked);
    let plaza = group_id("plaza");
    network.add_group(&plaza, policy(2));
    let certificate = key_server(&ca, &network);
    network.show_certificates(one(&certificate));
    network.join(place, &plaza, Role::Receiver);
    network.join(place, &market(), Role::Receiver);
    network.until(20 * SECOND, |network| network.is_keyed(place, &market()));
    assert_eq!(told(&network, place), Some(Refusal::KeyServer(KeyServerFault::ForOtherGroups)));
    assert!(!network.is_keyed(place, &plaza));
    // A certificate for both, and the other is joined too.
    let identity = network.server_identity().clone();
    let both = ca.certify(&identity, &market(), KEY_SERVER, |request| {
        request.extensions = vec![rights_in(&[&market(), &plaza], KEY_SERVER)];
    });
    network.show_certificates(one(&both));
    network.ask(place, &plaza, Role::Receiver);
    network.until(20 * SECOND, |network| network.is_keyed(place, &plaza));
}
