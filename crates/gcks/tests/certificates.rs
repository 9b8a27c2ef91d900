//! Who is let in by certificates of a group's owner, and who is not: each for its own reason, at both ends.
//!
//! ```text
//! I2: ENCRYPTED{ HOST_ID, CERT..., MCAST_CHANNEL }, REG_REQUEST(201)   -->
//!                          <--   R2: ENCRYPTED{ MCAST_CHANNEL(Status) }, REG_RESPONSE | REG_FAILED
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{sync::Arc, time::Duration};

use claviger_gcks::{Admits, CommandError, Eviction, Owner, RevocationPolicy, event::RefusalReason};
use claviger_group::{GroupId, MemberId, Role};
use claviger_hip::CertificateChain;
use claviger_identity::HostIdentity;
use claviger_member::{Event, event::Refusal};
use claviger_pki::{Certificate, Roles};
use claviger_testkit::{
    judge::judge,
    network::{Network, START, group_id, new_identity, policy},
    owner::{Ca, DAY, KEY_SERVER, address, chain, unknown_extension},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// A network with the group `market`, whose owner's CA is returned.
fn owned(seed: u64, admits: Admits, revocation: RevocationPolicy) -> (Network, Ca) {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    let ca = Ca::new("CN=Owner,O=Example");
    let owner = Owner { revocation, ..ca.owner(admits) };
    network.server.set_owner(network.now, &market(), Some(owner)).unwrap();
    network.settle();
    (network, ca)
}

fn either(seed: u64) -> (Network, Ca) {
    owned(seed, Admits::ListOrCertificate, RevocationPolicy::NotChecked)
}

/// Adds a host that shows chains.
fn add(network: &mut Network, identity: Arc<HostIdentity>, chains: Vec<CertificateChain>) -> usize {
    network.add_member_with(identity, |config| config.hip.certificates = chains)
}

/// Adds a host with a certificate for a role.
fn certified(network: &mut Network, ca: &Ca, role: Role) -> usize {
    let identity = new_identity();
    let certificate = ca.certify_member(&identity, &market(), role);
    add(network, identity, vec![chain(&[&certificate])])
}

fn joins(network: &mut Network, place: usize, role: Role) {
    network.ask(place, &market(), role);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
}

/// Why the key server refused a host last, and what the host was told.
fn refusal(network: &Network, place: usize) -> (RefusalReason, Refusal) {
    let host = network.members[place].id();
    let reason = network.server.refused().find(|refusal| refusal.host == host).unwrap().reason;
    let told = network.members[place].last(|event| match event {
        Event::Refused { refusal, .. } => Some(*refusal),
        _ => None,
    });
    (reason, told.unwrap())
}

fn count(network: &Network, reason: RefusalReason) -> u64 {
    let figures: Vec<_> = network.server.counters().figures().collect();
    let figure = figures.iter().find(|figure| figure.machine == "gcks" && figure.name == reason.as_str());
    figure.unwrap().count
}

/// Has a host ask that is refused, for this reason and no other.
fn is_refused(
    network: &mut Network,
    place: usize,
    role: Role,
    expected: (RefusalReason, Refusal),
    what: &str,
) {
    let before = count(network, expected.0);
    network.settle();
    let stored = of_hosts(network);
    network.ask(place, &market(), role);
    network.pass(2 * SECOND);
    assert_eq!(refusal(network, place), expected, "{what}");
    assert_eq!(count(network, expected.0), before + 1, "{what}");
    assert!(!network.is_keyed(place, &market()), "{what}");
    assert_eq!(of_hosts(network), stored, "{what}: who is refused leaves nothing behind");
}

/// How many records there are about hosts.
fn of_hosts(network: &Network) -> Vec<(&'static str, usize)> {
    let names = ["access", "association", "certificate", "denied", "grant", "member"];
    let stored = network.stored().into_iter().map(|(table, count)| (table.name(), count));
    stored.filter(|(name, _)| names.contains(name)).collect()
}

#[test]
fn a_host_on_no_list_is_let_in_by_its_certificate_and_shown_with_it() {
    let (mut network, ca) = either(1);
    let sender = certified(&mut network, &ca, Role::Both);
    let receiver = certified(&mut network, &ca, Role::Receiver);
    joins(&mut network, sender, Role::Both);
    joins(&mut network, receiver, Role::Receiver);
    network.pass(3 * SECOND);
    network.send(sender, &market(), b"hello").unwrap();
    network.pass(SECOND);
    assert!(network.members[receiver].received.iter().any(|(_, payload)| payload == b"hello"));
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    let view = hosts.iter().find(|view| view.host == network.members[sender].id()).unwrap();
    assert_eq!((view.allowed, view.denied), (None, false));
    let certificate = view.certificate.as_ref().unwrap();
    assert_eq!(certificate.subject.to_string(), "CN=host,O=Example");
    assert_eq!((certificate.role, certificate.with_list), (Some(Role::Both), false));
    assert_eq!(certificate.until.as_secs(), START.as_secs() + 30 * DAY + 1);
    let owner = network.server.group(network.now, &market()).unwrap().owner.unwrap();
    assert_eq!(owner, ca.owner(Admits::ListOrCertificate));
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_chain_through_another_ca_lets_a_host_in() {
    let (mut network, ca) = either(2);
    let below = ca.certify_ca("CN=Site 1,O=Example");
    let identity = new_identity();
    let certificate = below.certify_member(&identity, &market(), Role::Both);
    let place = add(&mut network, identity, vec![chain(&[&certificate, &below.certificate])]);
    joins(&mut network, place, Role::Both);
}

#[test]
fn of_several_chains_the_one_counts_that_holds() {
    let (mut network, ca) = either(3);
    let identity = new_identity();
    let good = ca.certify_member(&identity, &market(), Role::Receiver);
    let bad = Ca::new("CN=Somebody").certify_member(&identity, &market(), Role::Both);
    let place = add(&mut network, identity, vec![chain(&[&bad]), chain(&[&good])]);
    joins(&mut network, place, Role::Receiver);
    let expected = (RefusalReason::CertificateForOtherRoles, Refusal::CertificateForOtherRoles);
    network.ask(place, &market(), Role::Both);
    network.pass(2 * SECOND);
    assert_eq!(refusal(&network, place), expected);
}

#[test]
fn where_either_is_enough_the_list_lets_in_without_a_certificate() {
    let (mut network, ca) = either(4);
    let place = network.joined(&market(), Role::Both);
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    assert_eq!(hosts[0].certificate, None);
    // What one does not give the other may.
    let both = certified(&mut network, &ca, Role::Sender);
    let id = network.members[both].id();
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    joins(&mut network, both, Role::Both);
    assert!(network.is_keyed(place, &market()));
}

#[test]
fn where_both_are_needed_neither_is_enough() {
    let (mut network, ca) = owned(5, Admits::ListAndCertificate, RevocationPolicy::NotChecked);
    let listed = network.add_member();
    let id = network.members[listed].id();
    network.server.allow(network.now, &market(), &id, Role::Both).unwrap();
    network.settle();
    let missing = (RefusalReason::CertificateMissing, Refusal::CertificateMissing);
    is_refused(&mut network, listed, Role::Both, missing, "listed only");
    let shows = certified(&mut network, &ca, Role::Both);
    let not_listed = (RefusalReason::NotAuthorised, Refusal::NotAuthorised);
    is_refused(&mut network, shows, Role::Both, not_listed, "certified only");
    let id = network.members[shows].id();
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    network.settle();
    let role = (RefusalReason::RoleNotAuthorised, Refusal::NotForRole);
    is_refused(&mut network, shows, Role::Both, role, "the list gives less");
    joins(&mut network, shows, Role::Receiver);
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    let view = hosts.iter().find(|view| view.host == id).unwrap();
    assert!(view.certificate.as_ref().unwrap().with_list);
    let narrow = certified(&mut network, &ca, Role::Receiver);
    let id = network.members[narrow].id();
    network.server.allow(network.now, &market(), &id, Role::Both).unwrap();
    network.settle();
    let role = (RefusalReason::CertificateForOtherRoles, Refusal::CertificateForOtherRoles);
    is_refused(&mut network, narrow, Role::Both, role, "the certificate gives less");
}

/// A way in which what a host shows is wrong, and why it is refused then.
struct Wrong {
    what: &'static str,
    chains: fn(&Ca, &HostIdentity) -> Vec<CertificateChain>,
    reason: RefusalReason,
    told: Refusal,
}

fn one(certificate: &Certificate) -> Vec<CertificateChain> {
    vec![chain(&[certificate])]
}

fn both_roles() -> Roles {
    Role::Both.rights()
}

/// Every way, where no list is needed.
const WRONG: &[Wrong] = &[
    Wrong {
        what: "expired",
        chains: |ca, host| {
            let end = START.as_secs() - 1;
            one(&ca.certify(host, &market(), both_roles(), |request| request.not_after = end))
        },
        reason: RefusalReason::CertificateExpired,
        told: Refusal::CertificateExpired,
    },
    Wrong {
        what: "not yet valid",
        chains: |ca, host| {
            let begin = START.as_secs() + DAY;
            one(&ca.certify(host, &market(), both_roles(), |request| request.not_before = begin))
        },
        reason: RefusalReason::CertificateNotYetValid,
        told: Refusal::CertificateExpired,
    },
    Wrong {
        what: "for another group",
        chains: |ca, host| one(&ca.certify_member(host, &group_id("plaza"), Role::Both)),
        reason: RefusalReason::CertificateForOtherGroups,
        told: Refusal::CertificateForOtherGroups,
    },
    Wrong {
        what: "for no group at all",
        chains: |ca, host| {
            one(&ca.certify(host, &market(), both_roles(), |request| request.extensions.clear()))
        },
        reason: RefusalReason::CertificateForOtherGroups,
        told: Refusal::CertificateForOtherGroups,
    },
    Wrong {
        what: "for a group that the CA above it may not give",
        chains: |ca, host| {
            let bounded = ca.certify_bounded("CN=Site,O=Example", &group_id("plaza"));
            let certificate = bounded.certify_member(host, &market(), Role::Both);
            vec![chain(&[&certificate, &bounded.certificate])]
        },
        reason: RefusalReason::CertificateForOtherGroups,
        told: Refusal::CertificateForOtherGroups,
    },
    Wrong {
        what: "for another role",
        chains: |ca, host| one(&ca.certify_member(host, &market(), Role::Receiver)),
        reason: RefusalReason::CertificateForOtherRoles,
        told: Refusal::CertificateForOtherRoles,
    },
    Wrong {
        what: "a key server's",
        chains: |ca, host| one(&ca.certify(host, &market(), KEY_SERVER, |_| ())),
        reason: RefusalReason::CertificateForOtherRoles,
        told: Refusal::CertificateForOtherRoles,
    },
    Wrong {
        what: "of another key",
        chains: |ca, _| one(&ca.certify(&new_identity(), &market(), both_roles(), |_| ())),
        reason: RefusalReason::CertificateOfOtherKey,
        told: Refusal::CertificateOfOtherKey,
    },
    Wrong {
        what: "of this key and another HIT",
        chains: |ca, host| {
            let other = address(new_identity().hit());
            one(&ca.certify(host, &market(), both_roles(), |request| request.addresses = vec![other]))
        },
        reason: RefusalReason::CertificateOfOtherKey,
        told: Refusal::CertificateOfOtherKey,
    },
    Wrong {
        what: "by an unknown CA",
        chains: |_, host| one(&Ca::new("CN=Somebody").certify_member(host, &market(), Role::Both)),
        reason: RefusalReason::CertificateUnknownCa,
        told: Refusal::CertificateUnknownCa,
    },
    Wrong {
        // So that names of owners cannot be tried out, the host is told no more than of an unknown one.
        what: "by a CA that has the owner's name and another key",
        chains: |ca, host| one(&ca.impostor().certify_member(host, &market(), Role::Both)),
        reason: RefusalReason::CertificateForged,
        told: Refusal::CertificateUnknownCa,
    },
    Wrong {
        what: "through a member that is no CA",
        chains: |ca, host| {
            let member = ca.certify_no_ca("CN=host,O=Example");
            let certificate = member.certify_member(host, &market(), Role::Both);
            vec![chain(&[&certificate, &member.certificate])]
        },
        reason: RefusalReason::CertificateOfNoCa,
        told: Refusal::CertificateMalformed,
    },
    Wrong {
        what: "with a critical extension that nobody knows",
        chains: |ca, host| {
            one(&ca.certify(host, &market(), both_roles(), |request| {
                request.extensions.push(unknown_extension());
            }))
        },
        reason: RefusalReason::CertificateUnsupported,
        told: Refusal::CertificateUnsupported,
    },
    Wrong {
        what: "no certificate but other octets",
        chains: |_, _| vec![CertificateChain(vec![b"certificate".to_vec()])],
        reason: RefusalReason::CertificateMalformed,
        told: Refusal::CertificateMalformed,
    },
    Wrong {
        what: "a chain that lacks the CA in the middle",
        chains: |ca, host| {
            let below = ca.certify_ca("CN=Site,O=Example");
            one(&below.certify_member(host, &market(), Role::Both))
        },
        reason: RefusalReason::CertificateUnknownCa,
        told: Refusal::CertificateUnknownCa,
    },
    Wrong {
        what: "nothing",
        chains: |_, _| Vec::new(),
        reason: RefusalReason::NotAuthorised,
        told: Refusal::NotAuthorised,
    },
];

#[test]
fn every_wrong_certificate_is_refused_for_its_own_reason_at_both_ends() {
    let (mut network, ca) = either(6);
    for Wrong { what, chains, reason, told } in WRONG {
        let identity = new_identity();
        let chains = chains(&ca, &identity);
        let place = add(&mut network, identity, chains);
        is_refused(&mut network, place, Role::Both, (*reason, *told), what);
    }
    // Nobody of them is any trouble to one who may join.
    let good = certified(&mut network, &ca, Role::Both);
    joins(&mut network, good, Role::Both);
}

/// The same from hosts that hold a grant: they show something else when they ask for more.
#[test]
fn a_host_on_the_list_is_told_what_is_wrong_with_its_certificate() {
    let (mut network, ca) = owned(7, Admits::ListAndCertificate, RevocationPolicy::NotChecked);
    for Wrong { what, chains, reason, told } in WRONG {
        let identity = new_identity();
        let chains = chains(&ca, &identity);
        let place = add(&mut network, identity, chains);
        let id = network.members[place].id();
        network.server.allow(network.now, &market(), &id, Role::Both).unwrap();
        network.settle();
        let expected = match reason {
            RefusalReason::NotAuthorised => (RefusalReason::CertificateMissing, Refusal::CertificateMissing),
            // It is no secret to it who the owner is.
            RefusalReason::CertificateForged => (*reason, Refusal::CertificateMalformed),
            _ => (*reason, *told),
        };
        is_refused(&mut network, place, Role::Both, expected, what);
    }
}

#[test]
fn revoked_certificates_and_those_without_a_current_list_are_refused() {
    let (mut network, ca) = owned(8, Admits::ListOrCertificate, RevocationPolicy::Required);
    let now = network.now;
    let identity = new_identity();
    let certificate = ca.certify_member(&identity, &market(), Role::Both);
    let place = add(&mut network, identity, one(&certificate));
    let unknown = (RefusalReason::RevocationUnknown, Refusal::RevocationUnknown);
    let revoked = (RefusalReason::CertificateRevoked, Refusal::CertificateRevoked);
    is_refused(&mut network, place, Role::Both, unknown, "no list");
    let (begin, end) = (now.as_secs() - 3 * DAY, now.as_secs() - 2 * DAY);
    for (list, expected, what) in [
        (ca.list_of(&[], begin, end), unknown, "an old list"),
        (ca.list_of(&[&certificate], begin, end), unknown, "an old list that names it"),
        (ca.list_of(&[], now.as_secs() + DAY, now.as_secs() + 2 * DAY), unknown, "a list to come"),
        (ca.impostor().list(&[], now), unknown, "a list signed by another key"),
        (ca.impostor().list(&[&certificate], now), unknown, "a forged list that names it"),
        (Ca::new("CN=Somebody").list(&[&certificate], now), unknown, "somebody else's list"),
        (ca.list(&[&certificate], now), revoked, "revoked"),
    ] {
        network.server.set_revocation_lists(now, vec![list]);
        is_refused(&mut network, place, Role::Both, expected, what);
    }
    // The current list replaces the others.
    network.server.set_revocation_lists(now, vec![ca.list(&[], now)]);
    joins(&mut network, place, Role::Both);
}

#[test]
fn a_subject_on_the_list_stands_for_every_certificate_about_it() {
    let (mut network, ca) = owned(9, Admits::ListAndCertificate, RevocationPolicy::NotChecked);
    let subject: MemberId = "dn:CN=host-1,O=Example".parse().unwrap();
    network.server.allow(network.now, &market(), &subject, Role::Receiver).unwrap();
    network.settle();
    let named = |network: &mut Network, name: &str| {
        let identity = new_identity();
        let certificate = ca.certify(&identity, &market(), both_roles(), |request| {
            request.subject = name.to_owned();
        });
        add(network, identity, one(&certificate))
    };
    // Names are equal without regard to case and type of string.
    let first = named(&mut network, "CN=HOST-1,O=Example");
    let second = named(&mut network, "CN=host-1,O=Example");
    let other = named(&mut network, "CN=host-2,O=Example");
    joins(&mut network, first, Role::Receiver);
    joins(&mut network, second, Role::Receiver);
    let not_listed = (RefusalReason::NotAuthorised, Refusal::NotAuthorised);
    is_refused(&mut network, other, Role::Receiver, not_listed, "another subject");
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    assert!(hosts.iter().filter_map(|view| view.certificate.as_ref()).all(|shown| shown.with_list));
    // It is on the list no more, and all that it stood for are out.
    assert!(network.server.evict(network.now, &market(), &subject).is_ok());
    network.settle();
    network.pass(10 * SECOND);
    assert!(!network.is_keyed(first, &market()) && !network.is_keyed(second, &market()));
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 0);
    let denied = (RefusalReason::Denied, Refusal::NotAuthorised);
    is_refused(&mut network, first, Role::Receiver, denied, "taken off");
    network.server.allow(network.now, &market(), &subject, Role::Receiver).unwrap();
    joins(&mut network, first, Role::Receiver);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_subject_on_the_list_needs_no_rights_in_its_certificate_where_either_is_enough() {
    let (mut network, ca) = either(10);
    let identity = new_identity();
    let certificate = ca.certify(&identity, &market(), both_roles(), |request| request.extensions.clear());
    let place = add(&mut network, identity, one(&certificate));
    let subject: MemberId = "dn:CN=host,O=Example".parse().unwrap();
    network.server.allow(network.now, &market(), &subject, Role::Sender).unwrap();
    let role = (RefusalReason::RoleNotAuthorised, Refusal::NotForRole);
    is_refused(&mut network, place, Role::Both, role, "less on the list");
    joins(&mut network, place, Role::Sender);
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    let view = hosts.iter().find_map(|view| view.certificate.as_ref()).unwrap();
    assert_eq!((view.role, view.with_list), (None, true));
    // A list without an owner knows nobody by a certificate.
    network.server.set_owner(network.now, &market(), None).unwrap();
    network.settle();
    network.pass(10 * SECOND);
    assert!(!network.is_keyed(place, &market()));
}

#[test]
fn who_was_put_out_stays_out_though_its_certificate_holds() {
    let (mut network, ca) = either(11);
    let stays = certified(&mut network, &ca, Role::Both);
    let place = certified(&mut network, &ca, Role::Both);
    joins(&mut network, stays, Role::Both);
    joins(&mut network, place, Role::Both);
    network.pass(3 * SECOND);
    let id = network.members[place].id();
    assert_eq!(network.server.evict(network.now, &market(), &id), Ok(Eviction::Leaving));
    network.settle();
    network.pass(10 * SECOND);
    assert_eq!(network.members[place].count(|event| matches!(event, Event::Evicted { .. })), 1);
    let denied = (RefusalReason::Denied, Refusal::NotAuthorised);
    is_refused(&mut network, place, Role::Both, denied, "put out");
    network.restart();
    is_refused(&mut network, place, Role::Both, denied, "put out, before a restart");
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    assert!(hosts.iter().any(|view| view.host == id && view.denied));
    network.send(stays, &market(), b"without it").unwrap();
    network.pass(SECOND);
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    network.settle();
    joins(&mut network, place, Role::Both);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn who_was_never_there_can_be_denied_beforehand() {
    let (mut network, ca) = either(12);
    let place = certified(&mut network, &ca, Role::Both);
    let id = network.members[place].id();
    assert!(matches!(
        network.server.evict(network.now, &market(), &id),
        Ok(Eviction::Unreadable { was_member: false, .. })
    ));
    network.settle();
    let denied = (RefusalReason::Denied, Refusal::NotAuthorised);
    is_refused(&mut network, place, Role::Both, denied, "denied");
}

#[test]
fn an_owner_has_roots_and_a_group() {
    let (mut network, ca) = either(13);
    let none = Owner { roots: Vec::new(), ..ca.owner(Admits::ListOrCertificate) };
    assert_eq!(network.server.set_owner(network.now, &market(), Some(none)), Err(CommandError::Roots));
    let plaza = group_id("plaza");
    let unknown = Err(CommandError::GroupUnknown(plaza.clone()));
    assert_eq!(network.server.set_owner(network.now, &plaza, None), unknown);
}

#[test]
fn another_owner_keeps_whom_it_has_certified_and_nobody_else() {
    let (mut network, ca) = either(14);
    let other = Ca::new("CN=Other owner,O=Example");
    // Both CAs at first.
    let mut owner = ca.owner(Admits::ListOrCertificate);
    owner.roots.push(other.certificate.clone());
    network.server.set_owner(network.now, &market(), Some(owner)).unwrap();
    network.settle();
    let certified = |network: &mut Network, by: &Ca| {
        let identity = new_identity();
        let certificate = by.certify_member(&identity, &market(), Role::Receiver);
        let place = add(network, identity, one(&certificate));
        joins(network, place, Role::Receiver);
        place
    };
    let (first, second) = (certified(&mut network, &ca), certified(&mut network, &other));
    let listed = network.joined(&market(), Role::Receiver);
    network.server.set_owner(network.now, &market(), Some(other.owner(Admits::ListOrCertificate))).unwrap();
    network.settle();
    network.pass(10 * SECOND);
    assert!(!network.is_keyed(first, &market()), "it has nothing by the new owner");
    assert!(network.is_current(second, &market()) && network.is_current(listed, &market()));
    network.server.set_owner(network.now, &market(), None).unwrap();
    network.settle();
    network.pass(10 * SECOND);
    assert!(!network.is_keyed(second, &market()));
    assert!(network.is_current(listed, &market()));
    judge(&network, &market(), &[]).acquit();
}
