//! A rekey of more messages than share a signature: several batches, delivered one behind the other, on networks that
//! lose.
//!
//! Tens of thousands of members are needed for it, of whom nearly all exist in the key server's store only: their records
//! are those of a real member under other names. Nobody plays them; the real members are strewn among them.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeSet, time::Duration};

use claviger_crypto::SeededRandom;
use claviger_delivery::Counter as Delivery;
use claviger_gcks::Event;
use claviger_gdoi::limits::BATCH_LEN;
use claviger_group::{GroupId, GroupPolicy, KekManagement, PushAuthentication, Role};
use claviger_identity::Hit;
use claviger_isakmp::{iana::ExchangeType, wire::header};
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, TreeConfig};
use claviger_sansio::{
    Time,
    durable::{Change, RecordKey, Table},
};
use claviger_store::Store;
use claviger_testkit::{
    judge::judge,
    network::{Conditions, Network, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

/// Members that are in the store only, of whom each fourth leaves.
const STORED: u32 = 24_000;

/// Real members, of whom each fourth leaves too.
const REAL: u32 = 24;

/// When the grants of those who leave end, after the others were stored.
const LEAVING: Duration = Duration::from_secs(60);

/// Where a grant's record has the time at which it ends: behind version, role and lifetime.
const GRANT_EXPIRES_AT: usize = 1 + 1 + 8;

/// Where a member's record has its leaf: behind the version.
const MEMBER_LEAF_AT: usize = 1;

fn large_policy(number: u8) -> GroupPolicy {
    let mut policy = policy(number);
    policy.rekey.management = KekManagement::Lkh32;
    policy.rekey.authentication = PushAuthentication::Batch;
    policy.rekey.batch_interval = SECOND;
    policy.access.members_max = STORED + REAL;
    policy
}

/// A tree with all leaves taken but those that real members will take, one in each of as many parts.
fn tree(policy: &GroupPolicy) -> (KeyTree, [u8; claviger_keytree::Header::LEN]) {
    let random = &mut SeededRandom::new(1);
    let config = TreeConfig {
        degree: Degree::new(policy.tree.degree).unwrap(),
        key_length: if policy.rekey.kek_cipher.key_len() == 32 {
            KeyLength::Octets32
        } else {
            KeyLength::Octets16
        },
        capacity: policy.access.members_max,
        joining: Joining::Advance,
    };
    let mut tree = KeyTree::new(config, random);
    let empty = tree.header().to_octets();
    tree.batch((STORED + REAL) as usize, &[], random).unwrap();
    let vacant: Vec<Leaf> = (0..REAL).map(|part| Leaf::new(part * (STORED / REAL) + 7 * part % 64)).collect();
    tree.batch(0, &vacant, random).unwrap();
    (tree, empty)
}

/// Puts the tree, and a member for each of its leaves, into the store behind the key server's back. Returns when how
/// many of them will leave.
fn store_members(
    network: &mut Network,
    group: &GroupId,
    template: &GroupId,
    policy: &GroupPolicy,
) -> (Time, usize) {
    let records = network.records();
    let scope_of = |group: &GroupId| [&[group.id_type().0][..], group.octets()].concat();
    let (scope, template) = (scope_of(group), scope_of(template));
    let find = |name: &str, scope: &[u8]| {
        let found = records.iter().find(|(table, key, _)| table.name() == name && key.scope == scope);
        let (table, key, value) = found.unwrap();
        (*table, key.clone(), value.expose().to_vec())
    };
    let (tree, empty) = tree(policy);
    let mut changes = Vec::new();

    let (table, key, mut value) = find("group", &scope);
    let at = value.windows(empty.len()).position(|octets| octets == empty).unwrap();
    value[at..at + empty.len()].copy_from_slice(&tree.header().to_octets());
    changes.push(Change::put(table, key, value));

    let (nodes, _, node) = find("node", &template);
    let version = node[0];
    for (node, key) in tree.nodes() {
        let item = [&[node.level()][..], &node.index().to_be_bytes()].concat();
        let value = [&[version][..], &key.handle.as_u32().to_be_bytes(), key.key].concat();
        changes.push(Change::put(nodes, RecordKey::new(scope.clone(), item), value));
    }

    let leaving = network.now + LEAVING;
    let ((members, _, member), (grants, _, grant)) = (find("member", &template), find("grant", &template));
    let mut departures = 0;
    for leaf in tree.leaves() {
        let leaf = leaf.index().to_be_bytes();
        let name = [&[0x20, 0x01, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0][..], &leaf].concat();
        let hit = Hit::new(name.try_into().unwrap());
        let mut put = |table: Table, value: Vec<u8>| {
            changes.push(Change::put(table, RecordKey::new(scope.clone(), *hit.octets()), value));
        };
        let mut member = member.clone();
        member[MEMBER_LEAF_AT..MEMBER_LEAF_AT + 4].copy_from_slice(&leaf);
        put(members, member);
        let mut grant = grant.clone();
        if leaf[3] % 4 == 1 {
            let expires = leaving.as_micros().to_be_bytes();
            grant[GRANT_EXPIRES_AT..GRANT_EXPIRES_AT + 8].copy_from_slice(&expires);
            departures += 1;
        }
        put(grants, grant);
    }
    let _receipt = network.store.commit(&changes).unwrap();
    network.restart();
    (leaving, departures)
}

/// Counts those of some members that hold the KEK and the TEK in force. To look at a large group takes long, so that this
/// is asked now and then.
fn current(network: &Network, group: &GroupId, places: &[usize]) -> usize {
    let view = network.server.group(network.now, group).unwrap();
    let newest = view.teks.last().map(|tek| tek.spi);
    let is_current = |place: &&usize| {
        let node = &network.members[**place];
        node.member.subscription(group).is_some_and(|held| {
            held.epoch().map(|(spi, _)| spi) == view.kek.map(|kek| kek.spi)
                && node.plane.status(group).iter().any(|sa| Some(sa.spi) == newest)
        })
    };
    places.iter().filter(is_current).count()
}

/// Lets a quarter of the members leave in one batch.
fn rekey(seed: u64, loss_permille: u32) {
    let mut network = Network::new(seed);
    let (group, template) = (group_id("large"), group_id("template"));
    network.add_group(&group, large_policy(1));
    network.add_group(&template, large_policy(2));
    network.joined(&template, Role::Receiver);
    let (leaving, departures) = store_members(&mut network, &group, &template, &large_policy(1));
    let places: Vec<usize> = (0..REAL).map(|_| network.add_member()).collect();
    for place in &places {
        let role = if *place == places[0] { Role::Both } else { Role::Receiver };
        network.join(*place, &group, role);
    }
    while current(&network, &group, &places) < places.len() {
        network.pass(SECOND);
    }
    assert!(network.now < leaving, "{:?} too late", network.now.since(leaving));
    network.pass(leaving.since(network.now));
    network.send(places[0], &group, b"before").unwrap();
    let (gone, staying): (Vec<usize>, Vec<usize>) = places.iter().partition(|place| *place % 4 == 0);
    for place in &gone {
        network.members[*place].member.leave(network.now);
    }
    network.settle();
    let pulls = |network: &Network| -> u64 {
        let pulls =
            |place: &usize| network.members[*place].member.subscription(&group).map_or(0, |s| s.pulls());
        staying.iter().map(pulls).sum()
    };
    let before = pulls(&network);
    network.pass(SECOND / 2);
    network.conditions = Conditions {
        loss_permille,
        duplication_permille: 10,
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(30),
    };

    let start = network.wire.len();
    let rekeyed = |(_, event): &(Time, Event)| match event {
        Event::Rekeyed(rekeyed) if rekeyed.departed > 1 => Some(rekeyed.clone()),
        _ => None,
    };
    network.until(5 * SECOND, |network| network.told.iter().any(|told| rekeyed(told).is_some()));
    let told = network.told.iter().find_map(rekeyed).unwrap();
    assert_eq!(told.departed, departures + gone.len(), "all in one batch");
    assert!(told.messages > BATCH_LEN, "{} messages share a signature", told.messages);
    while current(&network, &group, &staying) < staying.len() {
        assert!(network.now.since(told.at) < 20 * SECOND);
        network.pass(SECOND / 10);
    }
    let lag = network.now.since(told.at);
    network.pass(25 * SECOND);
    assert_eq!(current(&network, &group, &staying), staying.len(), "and stay so");
    assert_eq!(current(&network, &group, &gone), 0);
    network.conditions = Conditions::PERFECT;
    network.send(staying[0], &group, b"after").unwrap();
    network.pass(SECOND);

    let counts = network.server.counters().delivery.clone();
    println!(
        "{} of a thousand lost: {} messages in {} deliveries, {} repairs, {} directories, {} reports, {} by unicast; \
         current after {lag:?}, {} more PULLs",
        loss_permille,
        told.messages,
        counts[Delivery::Ended],
        counts[Delivery::Repairs],
        counts[Delivery::Directories],
        counts[Delivery::Reports],
        counts[Delivery::Unicasts],
        pulls(&network) - before,
    );
    assert_eq!(counts[Delivery::Ended], 2);
    assert_eq!(pulls(&network), before, "nobody had to pull");
    let of_delivery = |octets: &[u8]| {
        let delivered = [ExchangeType::GROUPKEY_PUSH, ExchangeType::DELIVERY_CONTROL];
        header::peek(octets).is_some_and(|(exchange, _)| delivered.contains(&exchange))
    };
    let sent = network.wire[start..].iter().filter(|sent| of_delivery(&sent.octets));
    let longest = sent.clone().map(|sent| sent.octets.len()).max();
    assert!(longest <= Some(1_280 - 40 - 8), "{longest:?} octets");
    let pushes: BTreeSet<_> =
        sent.filter(|sent| sent.destination.ip().is_multicast()).map(|s| &s.octets).collect();
    assert!(pushes.len() >= told.messages);
    assert!(!network.stored().keys().any(|table| table.name() == "push"), "no record stays");
    judge(&network, &group, &[]).acquit();
}

#[test]
fn of_a_rekey_of_several_batches_everybody_gets_the_key() {
    rekey(21, 0);
}

#[test]
fn so_do_they_with_five_percent_of_loss() {
    rekey(22, 50);
}

#[test]
fn and_with_a_fifth_of_loss() {
    rekey(23, 200);
}
