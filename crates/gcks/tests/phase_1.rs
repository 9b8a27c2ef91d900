//! A registration that names no group and no host identity, as Phase 1 of IKEv1 makes it: the key server asks its list when
//! the PULL comes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use claviger_crypto::{SeededRandom, cipher::CipherAlgorithm, provider};
use claviger_gcks::{
    Event, Eviction, Gcks, GcksConfig, RekeyWhat,
    event::{Departure, RefusalReason, RekeyCause},
};
use claviger_gdoi::{PullFailure, push::RekeySa};
use claviger_group::{
    EspTransform, GroupId, GroupPolicy, MemberId, Role,
    policy::{DataPolicy, RekeyPolicy},
};
use claviger_hip::HostConfig;
use claviger_isakmp::iana::NotifyType;
use claviger_sansio::Time;
use claviger_testkit::network::{GDOI_PORT, Network, Origin, Phase1Host, SERVER, Sent, policy};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    "market".parse().unwrap()
}

/// The rekey messages that the group has sent since `from`.
fn pushes(network: &Network, from: Time) -> Vec<Vec<u8>> {
    let of_group = |sent: &&Sent| {
        sent.at >= from && sent.origin == Origin::Server && sent.destination.ip().is_multicast()
    };
    network.wire.iter().filter(of_group).map(|sent| sent.octets.clone()).collect()
}

fn key_id(octets: &[u8]) -> MemberId {
    MemberId::key_id(octets).unwrap()
}

fn network() -> Network {
    let mut network = Network::new(1);
    network.add_group(&market(), policy(1));
    network
}

#[test]
fn a_host_without_grants_joins_by_its_pull_and_is_evicted_like_any_other() {
    let mut network = network();
    let by_hip = network.joined(&market(), Role::Both);
    let id = key_id(b"gate 7");
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    let mut host = Phase1Host::new(&mut network, id.clone(), 7, CipherAlgorithm::Aes128Cbc);
    let keys = host.pull(&mut network, &market()).unwrap();
    network.pass(SECOND);
    assert!(!keys.kd.teks.is_empty());
    let joined = Event::Joined { host: id.clone(), group: market() };
    assert!(network.told.iter().any(|(_, event)| *event == joined));
    let view = network.server.hosts(network.now, &market()).unwrap();
    let shown = view.iter().find(|host| host.host == id).unwrap();
    assert_eq!((shown.allowed, shown.granted, shown.address), (Some(Role::Receiver), None, None));
    assert!(shown.member_since.is_some());
    // It follows what the group is told.
    let began = network.now;
    network.server.rekey(network.now, &market(), RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(SECOND);
    let mut follower = keys.rekey_sa();
    let opened =
        |sa: &mut RekeySa, from| pushes(&network, from).iter().filter(|push| sa.open(push).is_ok()).count();
    assert!(opened(&mut follower, began) > 0);

    let evicted = network.now;
    assert_eq!(network.server.evict(network.now, &market(), &id), Ok(Eviction::Leaving));
    network.settle();
    network.pass(20 * SECOND);
    let departed = network.told.iter().find_map(|(_, event)| match event {
        Event::Departed { host, departure, .. } => Some((host.clone(), *departure)),
        _ => None,
    });
    assert_eq!(departed, Some((id, Departure::Evicted)));
    // The messages of the rekey stand under the KEK that it has; what follows does not, and it gets no key any more.
    let refused = PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION);
    assert_eq!(host.pull(&mut network, &market()).err(), Some(refused));
    assert!(network.is_current(by_hip, &market()), "the others go on");
    assert!(pushes(&network, evicted).len() > 1);
}

#[test]
fn the_list_is_asked_when_the_pull_comes_and_nobody_else_learns_of_the_group() {
    let mut network = network();
    let mut host = Phase1Host::new(&mut network, key_id(b"stranger"), 8, CipherAlgorithm::Aes128Cbc);
    let refused = PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION);
    assert_eq!(host.pull(&mut network, &market()).err(), Some(refused));
    network.server.allow(network.now, &market(), &host.id, Role::Both).unwrap();
    assert!(host.pull(&mut network, &market()).is_ok());
    // It holds no grant.
    network.pass(SECOND);
    assert_eq!(network.server.group(network.now, &market()).unwrap().senders, 1);
}

#[test]
fn a_phase_1_with_128_bit_keys_carries_no_256_bit_group_and_the_administrator_is_told() {
    let mut network = Network::new(1);
    // Its own HIP offers too little for such a group.
    let config = GcksConfig {
        hip: HostConfig::new(network.server_identity().clone(), provider()),
        provider: provider(),
        gdoi_port: GDOI_PORT,
        push_source_v4: Some(SERVER),
        push_source_v6: None,
    };
    network.server = Gcks::new(config, Box::new(SeededRandom::new(2)), network.now).unwrap();
    let strong = GroupPolicy {
        data: DataPolicy { transform: EspTransform::Aes256Gcm16, ..policy(1).data },
        ..policy(1)
    };
    let strong = GroupPolicy {
        rekey: RekeyPolicy { kek_cipher: CipherAlgorithm::Aes256Cbc, ..strong.rekey },
        ..strong
    };
    network.add_group(&market(), strong);
    for (number, cipher, is_admitted) in
        [(9, CipherAlgorithm::Aes128Cbc, false), (10, CipherAlgorithm::Aes256Cbc, true)]
    {
        let id = key_id(&[number]);
        network.server.allow(network.now, &market(), &id, Role::Both).unwrap();
        let mut host = Phase1Host::new(&mut network, id.clone(), number, cipher);
        assert_eq!(host.pull(&mut network, &market()).is_ok(), is_admitted);
        let reasons =
            network.server.refused().filter(|refusal| refusal.host == id).map(|refusal| refusal.reason);
        let expected = if is_admitted { vec![] } else { vec![RefusalReason::WeakAssociation] };
        assert_eq!(reasons.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_lesser_role_takes_the_rest_from_a_member_without_grants_too() {
    let mut network = network();
    let id = key_id(b"gate 7");
    network.server.allow(network.now, &market(), &id, Role::Both).unwrap();
    let mut host = Phase1Host::new(&mut network, id.clone(), 7, CipherAlgorithm::Aes128Cbc);
    host.pull(&mut network, &market()).unwrap();
    network.pass(SECOND);
    let sender_ids = |network: &Network| {
        let hosts = network.server.hosts(network.now, &market()).unwrap();
        hosts.iter().find(|host| host.host == id).unwrap().sender_ids.len()
    };
    assert!(sender_ids(&network) > 0);
    let before = network.told.len();
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    network.settle();
    network.pass(SECOND);
    assert_eq!(sender_ids(&network), 0);
    let told = &network.told[before..];
    let narrowed = Event::Narrowed { host: id.clone(), group: market(), role: Role::Receiver };
    assert!(told.iter().any(|(_, event)| *event == narrowed));
    let replaced = |event: &Event| match event {
        Event::Rekeyed(rekeyed) => rekeyed.tek.is_some() && rekeyed.cause.contains(RekeyCause::NarrowedRole),
        _ => false,
    };
    assert!(told.iter().any(|(_, event)| replaced(event)), "its sender ids are nobody's under the new TEK");
}

#[test]
fn the_end_of_a_phase_1_is_no_departure_and_neither_is_a_restart() {
    let mut network = network();
    let id = key_id(b"gate 7");
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    let mut host = Phase1Host::new(&mut network, id.clone(), 7, CipherAlgorithm::Aes128Cbc);
    host.pull(&mut network, &market()).unwrap();
    let is_member = |network: &Network| {
        let hosts = network.server.hosts(network.now, &market()).unwrap();
        hosts.iter().any(|host| host.host == id && host.member_since.is_some())
    };
    network.server.remove_phase_1(&id);
    network.settle();
    network.pass(60 * SECOND);
    assert!(is_member(&network));
    network.restart();
    network.pass(60 * SECOND);
    assert!(is_member(&network));
    // It does Phase 1 anew, and is given the keys in force.
    let mut again = Phase1Host::new(&mut network, id.clone(), 17, CipherAlgorithm::Aes128Cbc);
    assert!(again.pull(&mut network, &market()).is_ok());
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 1);
}
