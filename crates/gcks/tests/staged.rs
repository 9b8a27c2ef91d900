//! Steps of the key server: what one says rests on its own commit, and on no other.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use claviger_gcks::{Durable, Event, RekeyWhat, Staged};
use claviger_group::{GroupId, Role};
use claviger_sansio::{Datagram, NotSent, Socket};
use claviger_store::Store as _;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{HIP_PORT, Network, SERVER, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

/// Two groups with a member each.
fn two_groups(seed: u64) -> (Network, [GroupId; 2]) {
    let mut network = Network::new(seed);
    let groups = ["market", "square"].map(group_id);
    for (number, group) in groups.iter().enumerate() {
        network.add_group(group, policy(number as u8 + 1));
        network.joined(group, Role::Receiver);
    }
    network.pass(3 * SECOND);
    (network, groups)
}

fn push_address(network: &Network, group: &GroupId) -> IpAddr {
    network.server.group(network.now, group).unwrap().push_destination.ip()
}

fn rekey(network: &mut Network, group: &GroupId) {
    network.server.rekey(network.now, group, RekeyWhat::Tek).unwrap();
}

fn commit(network: &mut Network, staged: Staged) -> Durable {
    staged.commit(|changes| network.store.commit(changes)).unwrap()
}

/// Takes what a step says: where its datagrams go, and of which groups it reports a rekey.
fn said(network: &mut Network, durable: Durable) -> (BTreeSet<IpAddr>, Vec<GroupId>) {
    let mut released = network.server.release(durable);
    let mut destinations = BTreeSet::new();
    while let Some(dispatch) = released.poll_transmit() {
        destinations.insert(dispatch.send(network.now).destination.ip());
    }
    let events = std::iter::from_fn(|| released.poll_event());
    let rekeyed = events.filter_map(|event| match event {
        Event::Rekeyed(rekeyed) => Some(rekeyed.group),
        _ => None,
    });
    (destinations, rekeyed.collect())
}

#[test]
fn a_receipt_releases_its_own_step_and_nothing_that_was_said_later() {
    let (mut network, [market, square]) = two_groups(1);
    rekey(&mut network, &market);
    let first = network.server.stage(network.now).unwrap();
    // The disk writes; the key server goes on.
    rekey(&mut network, &square);
    network.server.handle_timeout(network.now);
    assert!(network.server.stage(network.now).is_none(), "one step is out");
    let first = commit(&mut network, first);
    assert!(network.server.stage(network.now).is_none(), "it is durable, but not released");
    let of_market = BTreeSet::from([push_address(&network, &market)]);
    assert_eq!(said(&mut network, first), (of_market, vec![market]));

    let second = network.server.stage(network.now).unwrap();
    let second = second.without_changes().err().expect("a rekey is a change");
    let second = commit(&mut network, second);
    let of_square = BTreeSet::from([push_address(&network, &square)]);
    assert_eq!(said(&mut network, second), (of_square, vec![square]));
}

#[test]
fn what_changes_nothing_still_waits_for_the_step_before() {
    let (mut network, [market, _]) = two_groups(2);
    rekey(&mut network, &market);
    let first = network.server.stage(network.now).unwrap();
    let host = network.add_member();
    let address = network.members[host].address;
    let now = network.now;
    network.members[host].member.join(now, market.clone(), Role::Receiver);
    let i1 = network.members[host].member.poll_transmit().unwrap();
    let source = SocketAddr::from((address, HIP_PORT));
    let destination = SocketAddr::from((SERVER, HIP_PORT));
    let datagram = Datagram { socket: Socket::HipUdp, source, destination, payload: &i1.payload };
    network.server.handle_datagram(now, datagram).unwrap();
    assert!(network.server.stage(now).is_none());
    let first = commit(&mut network, first);
    let (destinations, _) = said(&mut network, first);
    assert!(!destinations.contains(&address.into()), "R1 is of a later step");

    // What the first one sent is a change of its own only with the last copy.
    let second = network.server.stage(now).unwrap();
    let second = second.without_changes().ok().expect("R1 rests on nothing new");
    assert_eq!(said(&mut network, second).0, BTreeSet::from([address.into()]));
}

#[test]
fn a_step_whose_commit_failed_is_never_said_and_none_follows_it() {
    let (mut network, [market, square]) = two_groups(3);
    rekey(&mut network, &market);
    let staged = network.server.stage(network.now).unwrap();
    assert_eq!(staged.commit(|_| Err("the disk is full")).err(), Some("the disk is full"));
    rekey(&mut network, &square);
    let later = network.now + 60 * SECOND;
    network.server.handle_timeout(later);
    assert!(network.server.stage(later).is_none());
}

#[test]
fn what_is_not_taken_of_a_step_is_tried_again_and_its_events_come_with_the_next() {
    let (mut network, [market, _]) = two_groups(4);
    rekey(&mut network, &market);
    let staged = network.server.stage(network.now).unwrap();
    let durable = commit(&mut network, staged);
    drop(network.server.release(durable));
    assert_eq!(network.server.unsent(&market).unwrap().reason, NotSent::Unreported);
    let is_rekey = |event: &Event| matches!(event, Event::Rekeyed(rekeyed) if rekeyed.group == market);
    let before = network.told.iter().filter(|(_, event)| is_rekey(event)).count();
    network.pass(SECOND);
    assert_eq!(network.told.iter().filter(|(_, event)| is_rekey(event)).count(), before + 1);
    assert!(network.is_current(0, &market));
}

#[test]
fn a_group_lives_on_a_disk_that_takes_longer_than_its_exchanges() {
    let mut network = Network::new(5);
    network.disk = SECOND * 2 / 3;
    let market = group_id("market");
    network.add_group(&market, policy(1));
    let members: Vec<usize> = (0..5).map(|_| network.add_member()).collect();
    for member in &members {
        network.join(*member, &market, Role::Both);
    }
    network.until(60 * SECOND, |network| members.iter().all(|member| network.is_keyed(*member, &market)));
    for evicted in &members[3..] {
        let id = network.members[*evicted].id();
        network.members[*evicted].connected = false;
        network.server.evict(network.now, &market, &id).unwrap();
        network.settle();
        network.restart();
        for _ in 0..40 {
            // What a member cannot send yet, it need not.
            let _ = network.send(members[0], &market, b"tick");
            network.pass(SECOND / 4);
        }
    }
    assert!(laggards(&network, &market).is_empty());
    judge(&network, &market, &[]).acquit();
}
