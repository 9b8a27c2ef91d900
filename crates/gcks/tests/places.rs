//! Places, through server and members: what one place needs goes there alone, nobody misses anything, and who moves is
//! at home where it comes.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use claviger_delivery::Counter as Delivery;
use claviger_gcks::{CommandError, Event, RekeyWhat, event::Rekeyed};
use claviger_gdoi::{Extensions, error::PeerIncompatible};
use claviger_group::{
    GroupId, GroupPlace, GroupPolicy, KekManagement, PushAuthentication, Role, policy::PolicyError,
};
use claviger_member::{Event as MemberEvent, event::Refusal};
use claviger_sansio::durable::Change;
use claviger_store::Store;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Network, group_id, new_identity, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn place(prefix: &str, last: u8, members: u32) -> GroupPlace {
    let push_address = IpAddr::from([239, 192, 2, last]);
    GroupPlace { prefix: prefix.parse().unwrap(), push_address, members }
}

/// North is 10.1/16, south is 10.2/16.
fn placed() -> GroupPolicy {
    let mut policy = policy(1);
    policy.rekey.management = KekManagement::Lkh32;
    policy.rekey.authentication = PushAuthentication::Batch;
    policy.tree.places = vec![place("10.1.0.0/16", 1, 16), place("10.2.0.0/16", 2, 16)];
    policy
}

const NORTH: u8 = 1;
const SOUTH: u8 = 2;
const NOWHERE: u8 = 3;

fn push_address(place: u8) -> IpAddr {
    if place == NOWHERE { [239, 192, 1, 1].into() } else { [239, 192, 2, place].into() }
}

fn begin(seed: u64, policy: GroupPolicy) -> (Network, GroupId) {
    let mut network = Network::new(seed);
    let group = group_id("placed");
    network.add_group(&group, policy);
    (network, group)
}

/// Lets so many hosts join at a place, and waits until all hold the keys in force.
fn join_at(network: &mut Network, group: &GroupId, place: u8, count: usize) -> Vec<usize> {
    let joined: Vec<usize> = (0..count)
        .map(|_| {
            let member = network.add_member();
            network.members[member].address =
                Ipv4Addr::new(10, place, (member / 200) as u8, (member % 200) as u8 + 1);
            network.join(member, group, Role::Both);
            member
        })
        .collect();
    network.until(60 * SECOND, |network| {
        joined.iter().all(|member| network.is_keyed(*member, group)) && laggards(network, group).is_empty()
    });
    network.pass(3 * SECOND);
    joined
}

fn rekeys(network: &Network) -> Vec<Rekeyed> {
    let rekeyed = |event: &Event| match event {
        Event::Rekeyed(rekeyed) => Some(rekeyed.clone()),
        _ => None,
    };
    network.told.iter().filter_map(|(_, event)| rekeyed(event)).collect()
}

fn pulls(network: &Network, group: &GroupId) -> Vec<u64> {
    let pulls = |member: &claviger_testkit::network::Node| Some(member.member.subscription(group)?.pulls());
    network.members.iter().filter_map(pulls).collect()
}

/// Where the messages went that were sent since there were `before`, and how long they were in all.
fn sent_to(network: &Network, before: usize, place: u8) -> (usize, usize) {
    let pushes = network.pushes();
    let to = pushes[before..].iter().filter(|push| push.destination.ip() == push_address(place));
    to.fold((0, 0), |(count, octets), push| (count + 1, octets + push.octets.len()))
}

fn hears(network: &Network, group: &GroupId, member: usize) -> IpAddr {
    let places = network.members[member].member.subscription(group).unwrap().places().unwrap();
    places.place.map(|place: SocketAddr| place.ip()).unwrap()
}

fn leave(network: &mut Network, member: usize) {
    network.members[member].member.leave(network.now);
    network.settle();
    network.pass(4 * SECOND);
}

#[test]
fn a_departure_is_told_where_it_happened() {
    let (mut network, group) = begin(1, placed());
    let north = join_at(&mut network, &group, NORTH, 14);
    let south = join_at(&mut network, &group, SOUTH, 14);
    let nowhere = join_at(&mut network, &group, NOWHERE, 3);
    for (members, place) in [(&north, NORTH), (&south, SOUTH), (&nowhere, NOWHERE)] {
        members.iter().for_each(|member| assert_eq!(hears(&network, &group, *member), push_address(place)));
    }
    let (before, asked) = (network.pushes().len(), pulls(&network, &group));

    leave(&mut network, north[3]);
    let rekey = rekeys(&network).pop().unwrap();
    assert_eq!((rekey.departed, rekey.message_keys), (1, rekey.tree_keys + 1), "each key once: {rekey:?}");
    let [at_north, at_south, at_nowhere] = [NORTH, SOUTH, NOWHERE].map(|p| sent_to(&network, before, p));
    assert_eq!((at_north.0, at_south.0), (1, 1), "{rekey:?}");
    assert!(
        at_north.1 > at_south.1 + 100,
        "the path is needed in the north alone: {at_north:?} {at_south:?}"
    );
    assert_eq!(at_nowhere.0, 2, "the root's key, and the TEK");
    assert!(laggards(&network, &group).is_empty(), "{:?}", laggards(&network, &group));
    let mut expected = asked;
    expected.remove(north[3]);
    assert_eq!(pulls(&network, &group), expected, "nobody takes what went to another place for lost");
    judge(&network, &group, &[]).acquit();
}

#[test]
fn timed_rekeys_and_joins_are_for_all() {
    let (mut network, group) = begin(2, placed());
    join_at(&mut network, &group, NORTH, 3);
    join_at(&mut network, &group, SOUTH, 3);
    let (before, asked) = (network.pushes().len(), pulls(&network, &group));
    for what in [RekeyWhat::Tek, RekeyWhat::Kek, RekeyWhat::Tek, RekeyWhat::Kek] {
        network.server.rekey(network.now, &group, what).unwrap();
        network.settle();
        network.pass(2 * SECOND);
    }
    join_at(&mut network, &group, NORTH, 1);
    assert_eq!(rekeys(&network).pop().unwrap().tree_keys, 0, "a join only advances keys");
    assert!(network.pushes()[before..].iter().all(|push| push.destination.ip() == push_address(NOWHERE)));
    assert!(laggards(&network, &group).is_empty());
    assert_eq!(pulls(&network, &group)[..6], asked);
    judge(&network, &group, &[]).acquit();
}

#[test]
fn who_moves_is_at_home_where_it_comes() {
    let (mut network, group) = begin(3, placed());
    let north = join_at(&mut network, &group, NORTH, 6);
    let south = join_at(&mut network, &group, SOUTH, 6);
    let (mover, before) = (north[2], network.pushes().len());
    network.readdress(mover, Ipv4Addr::new(10, 2, 9, 9));
    network.pass(5 * SECOND);

    let rekey = rekeys(&network).pop().unwrap();
    assert_eq!((rekey.moved, rekey.joined, rekey.departed), (1, 0, 0));
    assert!(sent_to(&network, before, NORTH).0 > 0, "the old path is replaced");
    assert_eq!(hears(&network, &group, mover), push_address(SOUTH));
    let id = network.members[mover].id();
    let told = |wanted: &dyn Fn(&Event) -> bool| network.told.iter().filter(|(_, e)| wanted(e)).count();
    assert_eq!(told(&|e| matches!(e, Event::Relocated { host: h, .. } if *h == id)), 1);
    assert_eq!(told(&|e| matches!(e, Event::Joined { host: h, .. } if *h == id)), 1, "as it came");
    assert_eq!(told(&|e| matches!(e, Event::Departed { .. })), 0, "it was never out");
    assert!(laggards(&network, &group).is_empty());
    assert!(network.send(mover, &group, b"from the south").is_ok());

    // What happens in the north is no more of its business than of others in the south.
    let (before, asked) = (network.pushes().len(), pulls(&network, &group));
    leave(&mut network, north[0]);
    let heard = |member: usize| network.heard.iter().filter(|(who, _)| *who == member).count();
    assert!(sent_to(&network, before, NORTH).0 > 0);
    assert!(laggards(&network, &group).is_empty());
    assert_eq!(pulls(&network, &group), asked[1..], "nobody had to ask");
    assert!(heard(mover) > 0 && heard(south[0]) > 0);

    // Put out in the end, it has nothing of either place.
    network.server.evict(network.now, &group, &id).unwrap();
    network.settle();
    network.pass(4 * SECOND);
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

#[test]
fn whoever_pulls_from_where_it_was_does_not_move() {
    let (mut network, group) = begin(4, placed());
    let north = join_at(&mut network, &group, NORTH, 3);
    network.readdress(north[0], Ipv4Addr::new(10, 1, 200, 200));
    let rekeys_before = rekeys(&network).len();
    network.pass(4 * SECOND);
    assert_eq!(network.members[north[0]].member.subscription(&group).unwrap().pulls(), 2, "it asked");
    assert_eq!(rekeys(&network).len(), rekeys_before, "nothing changed");
}

#[test]
fn who_moves_for_ever_does_not_have_the_group_rekeyed_for_ever() {
    let (mut network, group) = begin(5, placed());
    let north = join_at(&mut network, &group, NORTH, 3);
    network.pass(61 * SECOND);
    let before = rekeys(&network).len();
    for step in 0..40 {
        network.members[north[0]].address = Ipv4Addr::new(10, 1 + step % 2, 0, 200);
        network.members[north[0]].member.pull_now(network.now, &group);
        network.settle();
        network.pass(SECOND);
    }
    assert_eq!(rekeys(&network).len() - before, 16, "as often as it may join");
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

#[test]
fn places_and_moves_outlive_the_key_server() {
    let (mut network, group) = begin(6, placed());
    let north = join_at(&mut network, &group, NORTH, 6);
    let south = join_at(&mut network, &group, SOUTH, 6);
    network.restart();
    leave(&mut network, south[5]);
    assert!(laggards(&network, &group).is_empty());

    // It dies when the move is stored and message 4 on its way.
    let mover = north[1];
    network.readdress(mover, Ipv4Addr::new(10, 2, 9, 9));
    let moved =
        |network: &Network| network.told.iter().any(|(_, event)| matches!(event, Event::Relocated { .. }));
    network.until(5 * SECOND, moved);
    network.members[mover].connected = false;
    network.pass(SECOND / 10);
    network.restart();
    network.members[mover].connected = true;
    network.until(90 * SECOND, |network| laggards(network, &group).is_empty());
    network.pass(3 * SECOND);
    assert_eq!(hears(&network, &group, mover), push_address(SOUTH));
    let hosts = network.server.hosts(network.now, &group).unwrap();
    let id = network.members[mover].id();
    let served_at = hosts.iter().find(|host| host.host == id).unwrap().place;
    assert_eq!(
        served_at,
        placed()
            .tree
            .places
            .iter()
            .find(|place| place.push_address == push_address(SOUTH))
            .map(|place| place.prefix)
    );
    let before = network.pushes().len();
    leave(&mut network, south[0]);
    assert!(sent_to(&network, before, SOUTH).0 > 0);
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

#[test]
fn a_place_takes_more_members_than_expected() {
    let mut policy = placed();
    policy.tree.places = vec![place("10.1.0.0/16", 1, 4), place("10.2.0.0/16", 2, 4)];
    policy.rekey.batch_interval = SECOND / 2;
    let (mut network, group) = begin(7, policy);
    let north = join_at(&mut network, &group, NORTH, 11);
    join_at(&mut network, &group, SOUTH, 3);
    network.restart();
    join_at(&mut network, &group, NORTH, 3);
    for member in &north[..8] {
        leave(&mut network, *member);
    }
    network.restart();
    network.pass(2 * SECOND);
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

#[test]
fn the_longest_prefix_is_the_place() {
    let mut policy = placed();
    policy.tree.places =
        vec![place("10.0.0.0/8", 1, 4), place("10.2.0.0/16", 2, 4), place("10.2.3.0/24", 3, 4)];
    let (mut network, group) = begin(8, policy);
    for (address, heard) in [
        ([10, 9, 9, 9], [239, 192, 2, 1]),
        ([10, 2, 9, 9], [239, 192, 2, 2]),
        ([10, 2, 3, 9], [239, 192, 2, 3]),
        ([11, 2, 3, 9], [239, 192, 1, 1]),
    ] {
        let member = network.add_member();
        network.members[member].address = address.into();
        network.join(member, &group, Role::Receiver);
        network.until(30 * SECOND, |network| network.is_keyed(member, &group));
        assert_eq!(hears(&network, &group, member), IpAddr::from(heard), "{address:?}");
    }
}

#[test]
fn a_policy_with_places_needs_the_extensions_and_so_do_members() {
    let mut network = Network::new(9);
    let group = group_id("placed");
    let mut plain = placed();
    plain.rekey.authentication = PushAuthentication::Message;
    let refused = network.server.add_group(network.now, group.clone(), plain);
    assert_eq!(refused, Err(CommandError::Policy(PolicyError::PlacesForm)));

    network.add_group(&group, placed());
    let without = Extensions { places: false, ..Extensions::ALL };
    // Elsewhere too: its rekeys have gaps that only the extension explains.
    for address in [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(192, 0, 2, 77)] {
        let member = network.add_member_with(new_identity(), |config| config.extensions = without);
        network.members[member].address = address;
        network.join(member, &group, Role::Receiver);
        network.pass(5 * SECOND);
        let refusal = network.members[member].last(|event| match event {
            MemberEvent::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        });
        assert_eq!(refusal, Some(Refusal::Incompatible(PeerIncompatible::PlaceDestination(129))));
    }
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 0, "they hold no key");
}

#[test]
fn a_large_departure_is_delivered_place_by_place() {
    let mut policy = placed();
    policy.tree.places = vec![place("10.1.0.0/16", 1, 1024), place("10.2.0.0/16", 2, 64)];
    policy.rekey.batch_interval = SECOND;
    let (mut network, group) = begin(10, policy);
    let north = join_at(&mut network, &group, NORTH, 400);
    let south = join_at(&mut network, &group, SOUTH, 20);
    let (before, begun) = (network.pushes().len(), network.now);
    for member in north.iter().filter(|member| *member % 2 == 0) {
        network.members[*member].member.leave(network.now);
    }
    network.settle();
    // All of them have said so within one batch interval; then the network begins to lose.
    network.pass(SECOND / 2);
    network.conditions.loss_permille = 50;
    network.pass(2 * SECOND);
    network.until(35 * SECOND, |network| laggards(network, &group).is_empty());
    let [at_north, at_south] = [NORTH, SOUTH].map(|place| sent_to(&network, before, place));
    assert!(at_north.0 > 8 && at_south.0 == 1, "{at_north:?} {at_south:?}");
    assert!(network.server.counters().delivery[Delivery::Announcements] > 0);
    let later = network.wire.iter().filter(|sent| sent.at > begun);
    let controls = later.filter(|sent| sent.octets.get(18) == Some(&240));
    assert!(controls.clone().all(|sent| sent.destination.ip() == push_address(NORTH)));
    assert!(controls.count() > 0);
    assert!(south.iter().all(|member| network.is_current(*member, &group)));
    judge(&network, &group, &[]).acquit();
}

/// A store that has lost where a place is does not come back as another group.
#[test]
#[should_panic(expected = "Inconsistent { table: \"place\" }")]
fn a_store_that_forgets_a_place_is_not_taken_up() {
    let (mut network, group) = begin(11, placed());
    join_at(&mut network, &group, NORTH, 2);
    let lost = network.records().into_iter().rfind(|(table, ..)| table.name() == "place");
    let (table, key, _) = lost.expect("places are stored");
    let _receipt = network.store.commit(&[Change::remove(table, key)]).unwrap();
    network.restart();
}
