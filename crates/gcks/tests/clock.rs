//! Registrations that end and clocks that are wrong: who is on the list comes back by itself.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::{Event as ServerEvent, Eviction, Gcks, event::Departure};
use claviger_group::{GroupId, Role};
use claviger_member::Event;
use claviger_sansio::{Socket, Time};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Kind, Network, Origin, group_id, policy},
};

/// The packet type of I1 (RFC 7401 section 5.3.1).
const I1: u8 = 1;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn market() -> GroupId {
    group_id("market")
}

/// A key server whose clock is so far ahead, with a group of a sender and two receivers.
fn network(seed: u64, ahead: Duration) -> Network {
    let mut network = Network::new(seed);
    network.server_ahead = ahead;
    network.add_group(&market(), policy(1));
    network.joined(&market(), Role::Both);
    for _ in 0..2 {
        network.joined(&market(), Role::Receiver);
    }
    network.pass(3 * SECOND);
    network
}

/// Nobody was put out or refused, and all hold the keys in force.
fn all_are_in(network: &mut Network) {
    // Longer than chance makes those wait who register again.
    network.pass(5 * SECOND);
    network.until(2 * MINUTE, |n| (0..n.members.len()).all(|place| n.is_current(place, &market())));
    network.pass(3 * SECOND);
    for node in &network.members {
        let out = |event: &Event| matches!(event, Event::Evicted { .. } | Event::Refused { .. });
        assert_eq!(node.count(out), 0, "{:?}", node.events);
    }
    assert_eq!(network.server.group(network.server_now(), &market()).unwrap().members, network.members.len());
    assert!(laggards(network, &market()).is_empty());
    let before = network.members[1].received.len();
    network.send(0, &market(), b"goes on").unwrap();
    network.pass(SECOND);
    assert_eq!(network.members[1].received.len(), before + 1);
    judge(network, &market(), &[]).acquit();
}

fn departures(network: &Network) -> Vec<Departure> {
    let departed = network.told.iter().filter_map(|(_, event)| match event {
        ServerEvent::Departed { departure, .. } => Some(*departure),
        _ => None,
    });
    departed.collect()
}

#[test]
fn members_come_back_when_the_clock_of_the_key_server_comes_right_forwards() {
    for jump in [2 * DAY, 30 * HOUR] {
        let mut network = network(1, Duration::ZERO);
        network.restart_ahead(jump);
        all_are_in(&mut network);
        assert_eq!(departures(&network), [Departure::Expired; 3]);
    }
}

#[test]
fn members_stay_when_the_clock_of_the_key_server_comes_right_backwards() {
    let mut network = network(2, 2 * DAY);
    let tek = |network: &Network| network.server.group(network.server_now(), &market()).unwrap().teks;
    let before = tek(&network);
    network.restart_ahead(Duration::ZERO);
    assert_eq!(network.server_now(), network.now, "the time is the wall clock's");
    let after = tek(&network);
    assert_eq!(after.last().unwrap().spi, before.last().unwrap().spi);
    all_are_in(&mut network);
    assert!(departures(&network).is_empty());
    let id = network.members[2].id();
    let evicted = network.now;
    network.server.evict(network.server_now(), &market(), &id).unwrap();
    network.settle();
    network.pass(2 * SECOND);
    let eviction = network.server.eviction(&market(), &id);
    let Some(Eviction::Unreadable { from, .. }) = eviction else { panic!("{eviction:?}") };
    assert!(from.since(evicted) < 5 * SECOND, "{from} is near {evicted}");
}

#[test]
fn a_clock_that_was_ahead_for_one_start_only_harms_nobody() {
    let mut network = network(3, Duration::ZERO);
    network.restart_ahead(2 * DAY);
    network.pass(MINUTE);
    network.restart_ahead(Duration::ZERO);
    assert_eq!(network.server_now(), network.now);
    all_are_in(&mut network);
    // Keys are as old as they were: the timers still replace them.
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    for host in hosts {
        let (_, remaining) = host.granted.unwrap();
        assert!(remaining <= DAY && remaining > DAY - HOUR, "{remaining:?}");
        assert!(host.member_since.unwrap() <= network.now);
    }
}

#[test]
fn keys_do_not_become_younger_when_the_clock_goes_back() {
    for (ahead, back) in [(2 * DAY, Duration::ZERO), (DAY, 23 * HOUR)] {
        let mut network = network(4, ahead);
        network.pass(20 * MINUTE);
        let place = network.joined(&market(), Role::Receiver);
        let view = network.server.group(network.server_now(), &market()).unwrap();
        let member = network.members[place].id();
        let idle = network.server_now().since(Gcks::last_change(&network.records()).unwrap());
        network.restart_ahead(back);
        let now = network.server_now();
        assert_eq!(now, network.now + back);
        let again = network.server.group(now, &market()).unwrap();
        assert_eq!(again.kek.unwrap().age + idle, view.kek.unwrap().age, "as old as at the last commit");
        for (tek, before) in again.teks.iter().zip(&view.teks) {
            assert_eq!((tek.spi, tek.age + idle), (before.spi, before.age));
        }
        let hosts = network.server.hosts(now, &market()).unwrap();
        let host = hosts.iter().find(|host| host.host == member).unwrap();
        assert!(now.since(host.member_since.unwrap()) < MINUTE);
    }
}

#[test]
fn keys_do_not_become_younger_at_a_clock_that_stands_near_1970() {
    let mut network = network(10, Duration::ZERO);
    network.pass(20 * MINUTE);
    let view = network.server.group(network.now, &market()).unwrap();
    let since = |network: &Network| {
        let hosts = network.server.hosts(network.server_now(), &market()).unwrap();
        hosts
            .into_iter()
            .map(|host| network.server_now().since(host.member_since.unwrap()))
            .collect::<Vec<_>>()
    };
    let memberships = since(&network);
    let idle = network.now.since(Gcks::last_change(&network.records()).unwrap());
    network.now = Time::from_secs(10);
    network.restart_ahead(Duration::ZERO);
    let again = network.server.group(network.server_now(), &market()).unwrap();
    assert_eq!(again.kek.unwrap().age + idle, view.kek.unwrap().age, "as old as at the last commit");
    let again: Vec<_> = since(&network).into_iter().map(|age| age + idle).collect();
    assert_eq!(again, memberships);
    assert!(network.server_ahead < HOUR, "it is no further ahead than it must be");
}

#[test]
fn a_clock_that_is_moved_back_is_moved_once_however_often_the_key_server_is_killed() {
    let mut network = network(5, 2 * DAY);
    let ages = |network: &Network| {
        let view = network.server.group(network.server_now(), &market()).unwrap();
        let hosts = network.server.hosts(network.server_now(), &market()).unwrap();
        let remaining: Vec<_> = hosts.iter().map(|host| host.granted.unwrap().1).collect();
        (view.kek.unwrap().age, view.teks.last().unwrap().age, remaining)
    };
    let before = ages(&network);
    // A kill before the commit leaves the store as it was; one after it, moved.
    let store = network.store.clone();
    network.tamper = Some(Box::new(|_| Vec::new()));
    network.restart_ahead(Duration::ZERO);
    assert!(network.store == store, "the first start was killed before its commit");
    network.tamper = None;
    for _ in 0..3 {
        network.restart_ahead(Duration::ZERO);
        assert_eq!(network.server_now(), network.now);
        let (kek, tek, remaining) = ages(&network);
        assert!(kek.abs_diff(before.0) < MINUTE && tek.abs_diff(before.1) < MINUTE, "{kek:?}");
        assert!(remaining.iter().zip(&before.2).all(|(one, other)| one.abs_diff(*other) < MINUTE));
    }
    all_are_in(&mut network);
    assert!(departures(&network).is_empty());
}

#[test]
fn a_short_step_back_of_the_clock_moves_nothing() {
    let mut network = network(6, Duration::ZERO);
    network.restart();
    network.pass(MINUTE);
    network.server_ahead = Duration::from_millis(500);
    network.add_group(&group_id("forum"), policy(2));
    let store = network.store.clone();
    network.restart_ahead(Duration::ZERO);
    assert_eq!(network.server_ahead, Duration::from_millis(500), "it goes on from the last change");
    assert!(network.store == store);
    all_are_in(&mut network);
}

#[test]
fn a_registration_that_ended_by_itself_is_asked_for_again_and_one_that_was_taken_is_not() {
    let mut network = network(7, Duration::ZERO);
    network.restart_ahead(2 * DAY);
    let now = network.server_now();
    let id = network.members[2].id();
    let _ = network.server.evict(now, &market(), &id).unwrap();
    network.settle();
    network.pass(2 * MINUTE);
    let out = |event: &Event| matches!(event, Event::Evicted { .. } | Event::Refused { .. });
    assert_eq!(network.members[2].count(out), 1);
    assert!(!network.is_keyed(2, &market()));
    for place in [0, 1] {
        assert_eq!(network.members[place].count(out), 0);
        assert!(network.is_current(place, &market()));
    }
}

#[test]
fn a_registration_that_ends_in_one_group_leaves_the_others_alone() {
    let mut network = network(8, Duration::ZERO);
    let forum = group_id("forum");
    let mut short = policy(2);
    short.access.registration_lifetime = HOUR;
    network.add_group(&forum, short);
    network.join(1, &forum, Role::Receiver);
    network.until(30 * SECOND, |n| n.is_keyed(1, &group_id("forum")));
    let pulls = network.members[1].member.subscription(&market()).unwrap().pulls();
    // The clock goes wrong by more than the one lifetime, and less than the other.
    network.restart_ahead(2 * HOUR);
    network.until(2 * MINUTE, |n| n.is_current(1, &group_id("forum")));
    network.pass(10 * SECOND);
    let evictions = network.members[1].count(|event| matches!(event, Event::Evicted { .. }));
    assert_eq!(evictions, 0);
    assert!(network.is_current(1, &market()));
    assert!(network.members[1].member.subscription(&market()).unwrap().pulls() <= pulls + 1);
}

#[test]
fn many_members_whose_registrations_end_at_once_come_back_one_after_the_other() {
    const MEMBERS: usize = 60;
    let mut network = Network::new(9);
    network.add_group(&market(), policy(1));
    let places: Vec<usize> = (0..MEMBERS).map(|_| network.add_member()).collect();
    for place in &places {
        network.join(*place, &market(), Role::Receiver);
    }
    network.until(2 * MINUTE, |n| (0..MEMBERS).all(|place| n.is_current(place, &market())));
    network.wire.clear();
    let start = network.now;
    network.restart_ahead(2 * DAY);
    network.pass(5 * SECOND);
    network.until(2 * MINUTE, |n| (0..MEMBERS).all(|place| n.is_current(place, &market())));
    let asked: Vec<_> = network
        .wire
        .iter()
        .filter(|sent| {
            sent.kind == Kind::Control(Socket::HipUdp)
                && matches!(sent.origin, Origin::Member(_))
                && sent.octets[2] == I1
        })
        .map(|sent| sent.at.since(start))
        .collect();
    assert_eq!(asked.len(), MEMBERS, "{asked:?}");
    let first = asked.iter().min().unwrap();
    let last = asked.iter().max().unwrap();
    assert!(*last - *first > SECOND, "{first:?} to {last:?}");
}
