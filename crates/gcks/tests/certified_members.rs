//! Members by certificate: what becomes of them when it ends, is revoked or replaced, and after a restart.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use claviger_crypto::{SeededRandom, provider};
use claviger_gcks::{
    Admits, Event as ServerEvent, Gcks, GcksConfig, Owner, Record, RestoreError, RevocationPolicy,
    event::{Departure, RefusalReason, RekeyCause},
    view::HostView,
};
use claviger_group::{GroupId, Role};
use claviger_hip::{CertificateChain, HostConfig};
use claviger_identity::HostIdentity;
use claviger_member::{Event, event::Refusal};
use claviger_pki::Certificate;
use claviger_sansio::durable::Change;
use claviger_store::Store as _;
use claviger_testkit::{
    judge::{Deafness, judge, judge_by},
    network::{Network, START, group_id, new_identity, policy},
    owner::{Ca, DAY, chain, counting},
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn market() -> GroupId {
    group_id("market")
}

/// Makes a CA the owner of the group `market` of a network.
fn own(network: &mut Network, admits: Admits, revocation: RevocationPolicy) -> Ca {
    network.add_group(&market(), policy(1));
    let ca = Ca::new("CN=Owner,O=Example");
    let owner = Owner { revocation, ..ca.owner(admits) };
    network.server.set_owner(network.now, &market(), Some(owner)).unwrap();
    if revocation == RevocationPolicy::Required {
        network.server.set_revocation_lists(network.now, vec![ca.list(&[], network.now)]);
    }
    network.settle();
    ca
}

fn add(network: &mut Network, identity: Arc<HostIdentity>, chains: Vec<CertificateChain>) -> usize {
    network.add_member_with(identity, |config| config.hip.certificates = chains)
}

fn one(certificate: &Certificate) -> Vec<CertificateChain> {
    vec![chain(&[certificate])]
}

/// Adds a host that joins in both roles by a certificate of a CA, and shows the CA's own besides unless that is a root.
fn joined(network: &mut Network, ca: &Ca, is_root: bool) -> (usize, Certificate) {
    let identity = new_identity();
    let certificate = ca.certify_member(&identity, &market(), Role::Both);
    let shown = if is_root { chain(&[&certificate]) } else { chain(&[&certificate, &ca.certificate]) };
    let place = add(network, identity, vec![shown]);
    network.ask(place, &market(), Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
    (place, certificate)
}

fn view(network: &Network, place: usize) -> Option<HostView> {
    let id = network.members[place].id();
    network.server.hosts(network.server_now(), &market()).unwrap().into_iter().find(|view| view.host == id)
}

fn is_granted(network: &Network, place: usize) -> bool {
    view(network, place).is_some_and(|view| view.granted.is_some())
}

fn told(network: &Network, place: usize) -> Option<Refusal> {
    network.members[place].last(|event| match event {
        Event::Refused { refusal, .. } => Some(*refusal),
        _ => None,
    })
}

fn reason(network: &Network, place: usize) -> Option<RefusalReason> {
    let host = network.members[place].id();
    network.server.refused().find(|refusal| refusal.host == host).map(|refusal| refusal.reason)
}

/// Says how a host departed, each time.
fn departures(network: &Network, place: usize) -> Vec<Departure> {
    let id = network.members[place].id();
    let of_host = |event: &ServerEvent| match event {
        ServerEvent::Departed { host, departure, .. } if *host == id => Some(*departure),
        _ => None,
    };
    network.told.iter().filter_map(|(_, event)| of_host(event)).collect()
}

/// Has a member send from time to time.
fn chatter(network: &mut Network, place: usize, times: usize) {
    for _ in 0..times {
        let _ = network.send(place, &market(), b"chatter");
        network.pass(SECOND);
    }
}

#[test]
fn a_certificate_that_is_revoked_in_the_middle_of_a_membership_ends_it() {
    for hears in [true, false] {
        let mut network = Network::new(1);
        let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::Required);
        let (sender, _) = joined(&mut network, &ca, true);
        let (stays, _) = joined(&mut network, &ca, true);
        let (revoked, certificate) = joined(&mut network, &ca, true);
        network.pass(3 * SECOND);
        chatter(&mut network, sender, 2);
        assert!(!network.members[revoked].received.is_empty());
        network.members[revoked].connected = hears;
        let list = ca.list(&[&certificate], network.now);
        network.server.set_revocation_lists(network.now, vec![list]);
        network.settle();
        assert!(!is_granted(&network, revoked));
        assert_eq!(reason(&network, revoked), Some(RefusalReason::CertificateRevoked));
        let eviction = |event: &ServerEvent| matches!(event, ServerEvent::Rekeyed(rekeyed) if rekeyed.cause.contains(RekeyCause::Eviction));
        chatter(&mut network, sender, 20);
        assert_eq!(network.told.iter().filter(|(_, event)| eviction(event)).count(), 1);
        assert_eq!(departures(&network, revoked), [Departure::Evicted]);
        assert!(network.is_current(sender, &market()) && network.is_current(stays, &market()));
        if hears {
            assert!(!network.is_keyed(revoked, &market()));
            assert_eq!(told(&network, revoked), Some(Refusal::CertificateRevoked));
        }
        // Whatever it has kept opens nothing that was sent later.
        assert!(judge(&network, &market(), &[]).opened > 0);
        judge(&network, &market(), &[]).acquit();
        // With another certificate it comes in again.
        network.members[revoked].connected = true;
        // What the key server has told meanwhile comes late.
        network.pass(60 * SECOND);
        let identity = network.members[revoked].identity.clone();
        let renewed = ca.certify_member(&identity, &market(), Role::Both);
        network.members[revoked].member.set_certificates(one(&renewed)).unwrap();
        network.ask(revoked, &market(), Role::Both);
        network.until(120 * SECOND, |network| network.is_current(revoked, &market()));
        assert_eq!(network.server.eviction(&market(), &network.members[revoked].id()), None);
    }
}

#[test]
fn a_ca_that_is_revoked_takes_all_below_it_along() {
    let mut network = Network::new(2);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::Required);
    let below = ca.certify_ca("CN=Site,O=Example");
    let lists = |network: &Network, revoked: &[&Certificate]| {
        vec![ca.list(revoked, network.now), below.list(&[], network.now)]
    };
    network.server.set_revocation_lists(network.now, lists(&network, &[]));
    let (direct, _) = joined(&mut network, &ca, true);
    let places = [joined(&mut network, &below, false).0, joined(&mut network, &below, false).0];
    network.pass(3 * SECOND);
    network.server.set_revocation_lists(network.now, lists(&network, &[&below.certificate]));
    network.settle();
    chatter(&mut network, direct, 10);
    for place in places {
        assert!(!network.is_keyed(place, &market()));
        assert_eq!(told(&network, place), Some(Refusal::CertificateRevoked));
    }
    assert!(network.is_current(direct, &market()));
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn lists_that_are_forged_old_or_gone_put_nobody_out() {
    let mut network = Network::new(3);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::Required);
    let (place, certificate) = joined(&mut network, &ca, true);
    let now = network.now;
    let (begin, end) = (now.as_secs() - 3 * DAY, now.as_secs() - 2 * DAY);
    for lists in [
        vec![ca.impostor().list(&[&certificate], now)],
        vec![Ca::new("CN=Somebody").list(&[&certificate], now)],
        vec![ca.list_of(&[&certificate], begin, end)],
        Vec::new(),
    ] {
        network.server.set_revocation_lists(network.now, lists);
        network.settle();
        network.pass(5 * SECOND);
        assert!(network.is_current(place, &market()) && is_granted(&network, place));
    }
    // But without a current one nothing is renewed.
    network.pass(25 * HOUR);
    assert_eq!(reason(&network, place), Some(RefusalReason::RevocationUnknown));
    assert_eq!(told(&network, place), Some(Refusal::RevocationUnknown));
    assert!(!network.is_keyed(place, &market()));
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_certificate_that_is_revoked_by_a_list_to_come_is_refused_at_the_renewal() {
    let mut network = Network::new(4);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::Required);
    let (place, certificate) = joined(&mut network, &ca, true);
    let (other, _) = joined(&mut network, &ca, true);
    let now = network.now.as_secs();
    let lists = vec![
        ca.list_of(&[], now - DAY, now + 2 * DAY),
        ca.list_of(&[&certificate], now + 3600, now + 2 * DAY),
    ];
    network.server.set_revocation_lists(network.now, lists);
    network.settle();
    network.pass(2 * HOUR);
    assert!(network.is_current(place, &market()), "the list is current, and nobody looked");
    network.until(24 * HOUR, |network| !is_granted(network, place));
    network.pass(10 * SECOND);
    assert_eq!(reason(&network, place), Some(RefusalReason::CertificateRevoked));
    assert_eq!(told(&network, place), Some(Refusal::CertificateRevoked));
    assert_eq!(departures(&network, place), [Departure::Evicted]);
    assert!(network.is_current(other, &market()));
}

#[test]
fn a_membership_ends_with_the_certificate_to_the_second() {
    let mut network = Network::new(5);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
    let (sender, _) = joined(&mut network, &ca, true);
    let identity = new_identity();
    let end = START.as_secs() + 3600;
    let certificate =
        ca.certify(&identity, &market(), Role::Receiver.rights(), |request| request.not_after = end);
    let place = add(&mut network, identity, one(&certificate));
    network.ask(place, &market(), Role::Receiver);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
    network.pass(HOUR - Duration::from_secs(network.now.as_secs() - START.as_secs()) - SECOND);
    assert!(is_granted(&network, place), "it is renewed as long as the certificate lasts");
    chatter(&mut network, sender, 20);
    assert!(!is_granted(&network, place));
    assert_eq!(reason(&network, place), Some(RefusalReason::CertificateExpired));
    assert_eq!(told(&network, place), Some(Refusal::CertificateExpired));
    assert_eq!(departures(&network, place), [Departure::Expired]);
    chatter(&mut network, sender, 10);
    judge(&network, &market(), &[]).acquit();
}

/// Without a word from the host, and to a sender that hears no rekey: leases end that.
#[test]
fn who_fell_silent_reads_nothing_after_its_certificate_and_the_leases() {
    let mut network = Network::new(6);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
    let (sender, _) = joined(&mut network, &ca, true);
    let identity = new_identity();
    let end = START.as_secs() + 600;
    let certificate =
        ca.certify(&identity, &market(), Role::Receiver.rights(), |request| request.not_after = end);
    let place = add(&mut network, identity, one(&certificate));
    network.ask(place, &market(), Role::Receiver);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
    network.members[place].connected = false;
    network.pass(595 * SECOND);
    for _ in 0..60 {
        let _ = network.send(sender, &market(), b"on and on");
        network.pass(5 * SECOND);
    }
    assert_eq!(departures(&network, place), [Departure::Expired]);
    judge_by(&network, &market(), &[], Deafness::Leases).acquit();
}

#[test]
fn a_renewal_goes_by_the_certificates_that_it_shows() {
    type Shown = fn(&Ca, &HostIdentity) -> Certificate;
    let cases: [(Shown, RefusalReason, Refusal); 3] = [
        (
            |ca, host| ca.certify_member(host, &group_id("plaza"), Role::Both),
            RefusalReason::CertificateForOtherGroups,
            Refusal::CertificateForOtherGroups,
        ),
        (
            |ca, host| ca.certify_member(host, &market(), Role::Receiver),
            RefusalReason::CertificateForOtherRoles,
            Refusal::CertificateForOtherRoles,
        ),
        (
            |ca, _| ca.certify_member(&new_identity(), &market(), Role::Both),
            RefusalReason::CertificateOfOtherKey,
            Refusal::CertificateOfOtherKey,
        ),
    ];
    for (shown, expected, refusal) in cases {
        let mut network = Network::new(7);
        let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
        let (place, _) = joined(&mut network, &ca, true);
        let identity = network.members[place].identity.clone();
        network.members[place].member.set_certificates(one(&shown(&ca, &identity))).unwrap();
        network.until(25 * HOUR, |network| reason(network, place).is_some());
        assert_eq!(reason(&network, place), Some(expected));
        assert!(is_granted(&network, place), "what was granted lasts to its end");
        network.until(25 * HOUR, |network| !is_granted(network, place));
        network.pass(10 * SECOND);
        assert_eq!(told(&network, place), Some(refusal));
        assert!(!network.is_keyed(place, &market()));
    }
}

#[test]
fn a_renewal_that_shows_nothing_goes_by_the_certificates_of_before() {
    for restarts in [false, true] {
        let mut network = Network::new(8);
        let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
        let (place, _) = joined(&mut network, &ca, true);
        network.members[place].member.set_certificates(Vec::new()).unwrap();
        network.pass(HOUR);
        if restarts {
            network.restart();
        }
        network.pass(40 * HOUR);
        assert!(is_granted(&network, place) && network.is_current(place, &market()));
        assert_eq!(reason(&network, place), None);
    }
}

#[test]
fn a_certificate_that_is_shown_at_a_renewal_prolongs_the_membership() {
    let mut network = Network::new(9);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
    let identity = new_identity();
    let short = ca.certify(&identity, &market(), Role::Both.rights(), |request| {
        request.not_after = START.as_secs() + 3600;
    });
    let place = add(&mut network, identity.clone(), one(&short));
    network.ask(place, &market(), Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(place, &market()));
    let longer = ca.certify_member(&identity, &market(), Role::Both);
    network.members[place].member.set_certificates(one(&longer)).unwrap();
    network.pass(30 * HOUR);
    assert!(is_granted(&network, place) && network.is_current(place, &market()));
    let until = view(&network, place).unwrap().certificate.unwrap().until;
    assert_eq!(until.as_secs(), START.as_secs() + 30 * DAY + 1);
    assert_eq!(departures(&network, place), []);
}

#[test]
fn a_restart_forgets_no_owner_no_certificate_and_no_host_that_was_put_out() {
    let mut network = Network::new(10);
    let ca = own(&mut network, Admits::ListAndCertificate, RevocationPolicy::Required);
    let below = ca.certify_ca("CN=Site,O=Example");
    let lists = |network: &Network, revoked: &[&Certificate]| {
        vec![ca.list(&[], network.now), below.list(revoked, network.now)]
    };
    network.server.set_revocation_lists(network.now, lists(&network, &[]));
    network
        .server
        .allow(network.now, &market(), &"dn:CN=host,O=Example".parse().unwrap(), Role::Both)
        .unwrap();
    let (place, certificate) = joined(&mut network, &below, false);
    let (out, _) = joined(&mut network, &below, false);
    let id = network.members[out].id();
    network.server.evict(network.now, &market(), &id).unwrap();
    network.settle();
    network.pass(20 * SECOND);
    let shown = |network: &Network| {
        let hosts = network.server.hosts(network.now, &market()).unwrap();
        let group = network.server.group(network.now, &market()).unwrap();
        let hosts: Vec<_> =
            hosts.into_iter().map(|view| (view.host, view.allowed, view.denied, view.certificate)).collect();
        (group.owner, hosts)
    };
    let before = shown(&network);
    for _ in 0..2 {
        network.restart();
        assert_eq!(shown(&network), before);
        network.pass(5 * SECOND);
        assert!(network.is_current(place, &market()));
    }
    // The lists are not stored. Given again, they say what happened meanwhile.
    network.server.set_revocation_lists(network.now, lists(&network, &[&certificate]));
    network.settle();
    network.pass(10 * SECOND);
    assert_eq!(told(&network, place), Some(Refusal::CertificateRevoked));
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_group_that_is_removed_leaves_no_certificate_behind() {
    let mut network = Network::new(11);
    let stored = network.stored();
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
    joined(&mut network, &ca, true);
    let (out, _) = joined(&mut network, &ca, true);
    let id = network.members[out].id();
    network.server.evict(network.now, &market(), &id).unwrap();
    network.pass(20 * SECOND);
    let tables: Vec<_> = network.stored().into_keys().map(|table| table.name()).collect();
    assert!(["group-owner", "certificate", "denied"].iter().all(|name| tables.contains(name)), "{tables:?}");
    network.server.remove_group(network.now, &market()).unwrap();
    network.settle();
    network.pass(HOUR);
    let left: BTreeMap<_, _> =
        network.stored().into_iter().filter(|(table, _)| !stored.contains_key(table)).collect();
    let left: Vec<_> = left.keys().map(|table| table.name()).collect();
    assert!(!["group-owner", "certificate", "denied"].iter().any(|name| left.contains(name)), "{left:?}");
}

fn restore(network: &Network, records: &[Record]) -> Result<Gcks, RestoreError> {
    let config = GcksConfig {
        hip: HostConfig::new(network.server_identity().clone(), provider()),
        provider: provider(),
        gdoi_port: 848,
        push_source_v4: None,
        push_source_v6: None,
    };
    Gcks::restore(config, Box::new(SeededRandom::new(1)), network.now, records)
}

/// Version 6 had no certificates: its grants end with the instant of their end.
#[test]
fn a_store_of_the_version_before_certificates_is_taken_up() {
    let mut network = Network::new(12);
    network.add_group(&market(), policy(1));
    let place = network.joined(&market(), Role::Both);
    network.pass(5 * SECOND);
    let mut changes = Vec::new();
    for (table, key, value) in network.records() {
        let mut octets = value.expose().to_vec();
        // HIP writes associations, and has a version of its own.
        if table.name() == "association" {
            continue;
        }
        assert_eq!(octets[0], 7, "{}", table.name());
        octets[0] = 6;
        if table.name() == "grant" {
            assert_eq!(octets.pop(), Some(0));
        }
        changes.push(Change::put(table, key, octets));
    }
    let _receipt = network.store.commit(&changes).unwrap();
    network.restart();
    assert!(is_granted(&network, place) && network.is_current(place, &market()));
    let view = view(&network, place).unwrap();
    assert_eq!((view.allowed, view.certificate), (Some(Role::Both), None));
    // It goes on with an owner.
    let ca = Ca::new("CN=Owner,O=Example");
    network.server.set_owner(network.now, &market(), Some(ca.owner(Admits::ListOrCertificate))).unwrap();
    network.settle();
    joined(&mut network, &ca, true);
    network.restart();
    network.pass(30 * HOUR);
    assert!(is_granted(&network, place));
}

#[test]
fn a_restart_refuses_a_grant_whose_certificate_is_missing() {
    let mut network = Network::new(13);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::NotChecked);
    joined(&mut network, &ca, true);
    let mut records = network.records();
    assert!(restore(&network, &records).is_ok());
    records.retain(|(table, ..)| table.name() != "certificate");
    let error = restore(&network, &records).err().unwrap();
    assert!(matches!(error, RestoreError::Inconsistent { table: "certificate" }), "{error}");
    let mut records = network.records();
    records.retain(|(table, ..)| table.name() != "group");
    assert!(restore(&network, &records).is_err(), "an owner of no group");
}

/// So many grants rest on certificates, and a list names none of them, or is forged and names all.
#[test]
fn lists_are_looked_through_without_a_signature_for_each_host() {
    let (provider, signatures) = counting();
    let mut network = Network::provided(provider, 14);
    let ca = own(&mut network, Admits::ListOrCertificate, RevocationPolicy::Required);
    let members: Vec<_> = (0..12).map(|_| joined(&mut network, &ca, true)).collect();
    let all: Vec<&Certificate> = members.iter().map(|(_, certificate)| certificate).collect();
    let now = network.now;
    let counted = |network: &mut Network, list| {
        let before = signatures.load(Ordering::Relaxed);
        network.server.set_revocation_lists(now, vec![list]);
        network.settle();
        signatures.load(Ordering::Relaxed) - before
    };
    let stranger = Ca::new("CN=Somebody");
    assert_eq!(counted(&mut network, stranger.list(&all, now)), 0, "another issuer");
    assert_eq!(counted(&mut network, ca.list(&[&ca.certificate], now)), 0, "none of them");
    assert_eq!(counted(&mut network, ca.impostor().list(&all, now)), 1, "a forged one");
    assert!(members.iter().all(|(place, _)| is_granted(&network, *place)));
    assert_eq!(counted(&mut network, ca.list(&all, now)), 1, "all of them");
    assert!(!members.iter().any(|(place, _)| is_granted(&network, *place)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked for and the policy allows.
    #[test]
    fn no_grant_outlives_its_certificate(
        seed in any::<u64>(),
        remains in 1u64..100_000,
        asked in 10u64..200_000,
        policy_allows in 60u64..90_000,
        is_ca in any::<bool>(),
        steps in prop::collection::vec(1u64..30_000, 1..6),
    ) {
        let mut network = Network::new(seed);
        let mut policy = policy(1);
        policy.access.registration_lifetime = Duration::from_secs(policy_allows);
        network.add_group(&market(), policy);
        let ca = Ca::new("CN=Owner,O=Example");
        network.server.set_owner(network.now, &market(), Some(ca.owner(Admits::ListOrCertificate))).unwrap();
        let end = START.as_secs() + remains;
        let identity = new_identity();
        // Either the host's own certificate ends first, or that of a CA above it.
        let shown = if is_ca {
            let below = ca.certify_ca_until("CN=Site,O=Example", end);
            let own = below.certify_member(&identity, &market(), Role::Receiver);
            chain(&[&own, &below.certificate])
        } else {
            let own = ca.certify(&identity, &market(), Role::Receiver.rights(), |request| request.not_after = end);
            chain(&[&own])
        };
        let place = network.add_member_with(identity, |config| {
            config.hip.certificates = vec![shown];
            config.registration_lifetime = Duration::from_secs(asked);
        });
        network.ask(place, &market(), Role::Receiver);
        let over = START + Duration::from_secs(remains + 1);
        for step in steps {
            network.pass(Duration::from_secs(step));
            let granted = view(&network, place).and_then(|view| view.granted);
            if let Some((_, left)) = granted {
                prop_assert!(network.now + left <= over, "{left:?} at {} of {over}", network.now);
                prop_assert!(network.now < over);
            }
        }
        network.pass(Duration::from_secs(remains + 60));
        prop_assert!(!is_granted(&network, place) && !network.is_keyed(place, &market()));
        prop_assert_eq!(network.server.group(network.now, &market()).unwrap().members, 0);
    }
}
