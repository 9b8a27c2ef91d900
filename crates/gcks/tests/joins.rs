//! Hosts that join while others do: how long they wait, what that costs the members, and that nobody loses anything.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeSet, time::Duration};

use claviger_gcks::{Counter, Event as ServerEvent, RekeyWhat};
use claviger_group::{GroupId, GroupPlace, KekManagement, PushAuthentication, Role};
use claviger_member::{Event, event::PullReason};
use claviger_sansio::{Socket, Time};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Conditions, Kind, Network, Node, Origin, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// How keys travel in a group.
#[derive(Debug, Clone, Copy)]
struct Form(KekManagement, PushAuthentication);

const FORMS: [Form; 3] = [
    Form(KekManagement::Lkh, PushAuthentication::Message),
    Form(KekManagement::Lkh, PushAuthentication::Batch),
    Form(KekManagement::Lkh32, PushAuthentication::Batch),
];

/// A group with so many members, in which nothing is under way.
fn quiet(seed: u64, form: Form, members: usize) -> (Network, GroupId) {
    quiet_under(Conditions::PERFECT, seed, form, members)
}

/// The same on a network of another kind.
fn quiet_under(
    conditions: Conditions,
    seed: u64,
    Form(management, authentication): Form,
    members: usize,
) -> (Network, GroupId) {
    let (mut network, group) = (Network::new(seed), group_id("joins"));
    (network.keeps_keys, network.conditions) = (false, conditions);
    let mut policy = policy(1);
    (policy.rekey.management, policy.rekey.authentication) = (management, authentication);
    network.add_group(&group, policy);
    for _ in 0..members {
        let place = network.add_member();
        network.join(place, &group, Role::Both);
    }
    let all = |n: &Network| (0..members).all(|place| n.is_keyed(place, &group));
    network.until(20 * SECOND, all);
    network.pass(3 * SECOND);
    (network, group)
}

fn rekeys(network: &Network) -> u64 {
    network.server.counters().gcks[Counter::Rekeys]
}

fn refused(network: &Network) -> u64 {
    network.server.counters().gcks[Counter::PullRefused]
}

/// How often some of the hosts fetched their keys again.
fn pulls_again(network: &Network, hosts: impl IntoIterator<Item = usize>) -> usize {
    let again = |event: &Event| matches!(event, Event::PullAgain { .. });
    let events = hosts.into_iter().flat_map(|host| &network.members[host].events);
    events.filter(|(_, event)| again(event)).count()
}

/// Why some of the hosts fetched their keys again.
fn why_again(network: &Network) -> Vec<(usize, Time, PullReason)> {
    let of = |(host, node): (usize, &Node)| {
        let reasons = node.events.iter().filter_map(move |(at, event)| match event {
            Event::PullAgain { reason, .. } => Some((host, *at, *reason)),
            _ => None,
        });
        reasons.collect::<Vec<_>>()
    };
    network.members.iter().enumerate().flat_map(of).collect()
}

/// Lets so many hosts join, one every `pause`; returns their numbers.
fn come(network: &mut Network, group: &GroupId, count: usize, pause: Duration) -> Vec<usize> {
    let come = |_| {
        let place = network.add_member();
        network.join(place, group, Role::Both);
        network.pass(pause);
        place
    };
    (0..count).map(come).collect()
}

fn all_keyed(network: &Network, group: &GroupId, hosts: &[usize]) -> bool {
    hosts.iter().all(|host| network.is_keyed(*host, group))
}

fn is_push(sent: &Sent) -> bool {
    sent.origin == Origin::Server
        && sent.kind == Kind::Control(Socket::Port848)
        && sent.destination.ip().is_multicast()
}

//   I1 --> <-- R1   I2 --> <-- R2   PULL 1 --> <-- 2   3 --> <-- 4      a millisecond each
#[test]
fn a_host_that_joins_a_quiet_group_is_answered_in_the_step_in_which_it_comes() {
    for form in FORMS {
        let (mut network, group) = quiet(1, form, 5);
        let began = network.now;
        let host = network.add_member();
        network.join(host, &group, Role::Both);
        network.until(SECOND, |n| n.is_keyed(host, &group));
        assert_eq!(network.now.since(began), 8 * MILLISECOND, "{form:?}");
    }
}

#[test]
fn hosts_that_come_at_once_share_a_rekey_and_none_begins_anew() {
    for form in FORMS {
        let (mut network, group) = quiet(2, form, 5);
        network.conditions.latency_max = Duration::from_millis(30);
        let before = rekeys(&network);
        let began = network.now;
        let hosts = come(&mut network, &group, 64, Duration::ZERO);
        network.until(SECOND, |n| all_keyed(n, &group, &hosts));
        let took = network.now.since(began);
        assert!(took < Duration::from_millis(500), "{form:?}: {took:?}");
        let shared = rekeys(&network) - before;
        assert!(shared <= 5, "{form:?}: {shared} rekeys");
        network.pass(5 * SECOND);
        assert_eq!((refused(&network), pulls_again(&network, 0..69)), (0, 0), "{form:?}");
        assert!(laggards(&network, &group).is_empty());
    }
}

#[test]
fn hosts_that_come_one_after_another_wait_for_the_copies_of_one_rekey_at_most() {
    for form in FORMS {
        let (mut network, group) = quiet(3, form, 5);
        let (before, began) = (rekeys(&network), network.now);
        let hosts = come(&mut network, &group, 100, 7 * MILLISECOND);
        network.until(SECOND, |n| all_keyed(n, &group, &hosts));
        let took = network.now.since(began);
        let count = rekeys(&network) - before;
        // Six copies, ten milliseconds apart, and what the network may delay one more than the next.
        assert!(u128::from(count) <= took.as_millis() / 90 + 2, "{form:?}: {count} rekeys in {took:?}");
        for host in &hosts {
            let (asked, keyed) = joined_in(&network, *host);
            assert!(keyed.since(asked) < 110 * MILLISECOND, "{form:?}: {:?}", keyed.since(asked));
        }
        network.pass(5 * SECOND);
        assert_eq!((refused(&network), pulls_again(&network, 0..105)), (0, 0), "{form:?}");
        assert!(laggards(&network, &group).is_empty());
    }
}

/// When a host was registered, about, and when it had keys.
fn joined_in(network: &Network, host: usize) -> (Time, Time) {
    let events = &network.members[host].events;
    let at = |wanted: fn(&Event) -> bool| events.iter().find(|(_, event)| wanted(event)).unwrap().0;
    let registered = at(|event| matches!(event, Event::Registered { .. }));
    (registered, at(|event| matches!(event, Event::Rekeyed { .. })))
}

// Round trips that take longer than the copies of a rekey.
#[test]
fn hosts_that_are_far_away_are_waited_for() {
    let far = 110 * MILLISECOND;
    let conditions =
        Conditions { latency_min: far, latency_max: far + 10 * MILLISECOND, ..Conditions::PERFECT };
    let (mut network, group) = quiet_under(conditions, 3, FORMS[0], 5);
    let hosts = come(&mut network, &group, 60, 20 * MILLISECOND);
    network.until(2 * SECOND, |n| all_keyed(n, &group, &hosts));
    assert_eq!(refused(&network), 0);
    network.pass(5 * SECOND);
    assert!(laggards(&network, &group).is_empty());
}

// A host takes message 2 and is heard of no more, again and again.
#[test]
fn a_host_that_does_not_answer_holds_up_the_others_for_a_moment_only() {
    let (mut network, group) = quiet(5, FORMS[0], 5);
    let silent = network.add_member();
    let address = network.members[silent].address;
    network.join(silent, &group, Role::Both);
    let from = network.now;
    network.until(SECOND, |n| n.wire.iter().any(|sent| sent.at > from && is_message_2(sent, address.into())));
    network.members[silent].connected = false;
    let began = network.now;
    let host = come(&mut network, &group, 1, Duration::ZERO)[0];
    network.until(SECOND, |n| n.is_keyed(host, &group));
    assert!(network.now.since(began) <= 270 * MILLISECOND, "{:?}", network.now.since(began));
    let next = come(&mut network, &group, 1, Duration::ZERO)[0];
    let began = network.now;
    network.until(SECOND, |n| n.is_keyed(next, &group));
    assert!(network.now.since(began) <= 110 * MILLISECOND, "nobody waits for it twice");
}

fn is_message_2(sent: &Sent, to: std::net::IpAddr) -> bool {
    sent.origin == Origin::Server
        && sent.kind == Kind::Control(Socket::Port848)
        && sent.destination.ip() == to
}

/// Lets the two first copies of each rekey message reach nobody of some hosts.
fn hear_last_copies_only(network: &mut Network, hosts: BTreeSet<usize>) {
    let mut copies = std::collections::BTreeMap::<Vec<u8>, u32>::new();
    let mut last = (Time::EPOCH, Vec::new());
    network.hears = Some(Box::new(move |host, sent| {
        if !is_push(sent) || !hosts.contains(&host) {
            return true;
        }
        // Each copy is asked about once for each host.
        if (sent.at, &sent.octets) != (last.0, &last.1) {
            last = (sent.at, sent.octets.clone());
            *copies.entry(sent.octets.clone()).or_default() += 1;
        }
        copies[&sent.octets] > 2
    }));
}

#[test]
fn who_hears_the_last_copies_only_follows_without_a_pull_and_loses_no_data_while_hosts_join() {
    for form in FORMS {
        let (mut network, group) = quiet(6, form, 6);
        hear_last_copies_only(&mut network, (2..4).collect());
        let (mut hosts, mut said) = (Vec::new(), Vec::new());
        let mut next = 0u32;
        let mut speak = |network: &mut Network, next: &mut u32| {
            // Members that hear every copy, one that hears the last only, and the newcomers.
            for sender in (0..network.members.len()).filter(|sender| *sender != 3) {
                *next += 1;
                if network.send(sender, &group, &next.to_be_bytes()).is_ok() {
                    said.push((sender, next.to_be_bytes().to_vec()));
                }
            }
        };
        for _ in 0..64 {
            hosts.extend(come(&mut network, &group, 1, Duration::ZERO));
            for _ in 0..3 {
                network.pass(7 * MILLISECOND);
                speak(&mut network, &mut next);
            }
        }
        for _ in 0..100 {
            network.pass(33 * MILLISECOND);
            speak(&mut network, &mut next);
        }
        network.pass(3 * SECOND);
        assert!(all_keyed(&network, &group, &hosts));
        assert!(
            hosts.iter().all(|host| said.iter().any(|(sender, _)| sender == host)),
            "newcomers speak too"
        );
        assert_eq!((refused(&network), why_again(&network)), (0, vec![]), "{form:?}");
        for receiver in [1, 2, 3] {
            let heard: BTreeSet<&[u8]> =
                network.members[receiver].received.iter().map(|(_, payload)| payload.as_ref()).collect();
            let missed =
                said.iter().filter(|(sender, what)| *sender != receiver && !heard.contains(&what[..]));
            let missed: Vec<_> = missed.collect();
            assert!(
                missed.is_empty(),
                "{form:?}: {receiver} missed {} of {}: {:?}",
                missed.len(),
                said.len(),
                missed[0]
            );
        }
    }
}

#[test]
fn members_follow_on_a_lossy_network_while_hosts_join() {
    for (loss_permille, pulls_max) in [(10, 0), (100, 6)] {
        for form in FORMS {
            let (mut network, group) = quiet(7, form, 40);
            network.conditions.loss_permille = loss_permille;
            let before = rekeys(&network);
            come(&mut network, &group, 50, 20 * MILLISECOND);
            assert!(rekeys(&network) - before > 6);
            network.pass(2 * SECOND);
            let again = pulls_again(&network, 0..40);
            println!(
                "{form:?}, {loss_permille} of 1000 lost: {again} PULLs of 40 members in {} rekeys",
                rekeys(&network) - before
            );
            assert!(again <= pulls_max, "{form:?}: {again} PULLs");
        }
    }
}

// Receivers keep a superseded TEK for a minute here, and members hold 128 of them.
#[test]
fn members_are_given_no_more_teks_than_they_can_hold() {
    let (mut network, group) = (Network::new(15), group_id("joins"));
    network.keeps_keys = false;
    let mut policy = policy(1);
    policy.times.deactivation_delay = 60 * SECOND;
    network.add_group(&group, policy);
    let stayer = network.joined(&group, Role::Both);
    network.pass(SECOND);
    let hosts = come(&mut network, &group, 140, 120 * MILLISECOND);
    let held = network.members[stayer].plane.status(&group).len();
    assert!((90..128).contains(&held), "{held}");
    network.until(150 * SECOND, |n| all_keyed(n, &group, &hosts));
    let lost = |event: &Event| matches!(event, Event::Refused { .. });
    assert!(!network.members[stayer].events.iter().any(|(_, event)| lost(event)));
    assert_eq!(pulls_again(&network, [stayer]), 0);
    network.pass(3 * SECOND);
    assert!(laggards(&network, &group).is_empty());
}

#[test]
fn an_eviction_amid_joins_is_as_fast_as_any() {
    for form in FORMS {
        let (mut network, group) = quiet(8, form, 8);
        let (mut slowest, mut evicted) = (Duration::ZERO, Vec::new());
        for number in 0..40 {
            come(&mut network, &group, 1, 13 * MILLISECOND);
            if number % 10 == 9 {
                let host = network.members[number / 10].id();
                network.server.evict(network.now, &group, &host).unwrap();
                network.settle();
                evicted.push((network.now, host));
            }
        }
        network.pass(5 * SECOND);
        for (asked, evicted) in evicted {
            let deaf = network.told.iter().find_map(|(_, event)| match event {
                ServerEvent::Departed { host, deaf_at, .. } if *host == evicted => Some(*deaf_at),
                _ => None,
            });
            slowest = slowest.max(deaf.unwrap().since(asked));
        }
        // The activation delay, and the copies of its own messages, behind those of one rekey that are hurried.
        assert!(slowest <= Duration::from_millis(1_350), "{form:?}: {slowest:?}");
        assert!(laggards(&network, &group).is_empty());
    }
}

#[test]
fn the_judge_acquits_bursts_of_joins_departures_and_evictions() {
    for (seed, places) in [(9, false), (10, true)] {
        for form in FORMS {
            if places && form.0 != KekManagement::Lkh32 {
                continue;
            }
            burst(seed, form, places, Duration::ZERO);
            burst(seed + 10, form, places, Duration::from_millis(400));
        }
    }
}

fn burst(seed: u64, Form(management, authentication): Form, places: bool, batch_interval: Duration) {
    let (mut network, group) = (Network::new(seed), group_id("joins"));
    let mut policy = policy(1);
    (policy.rekey.management, policy.rekey.authentication) = (management, authentication);
    policy.rekey.batch_interval = batch_interval;
    if places {
        let place = |number: u8| GroupPlace {
            prefix: format!("10.{number}.0.0/16").parse().unwrap(),
            push_address: [239, 192, 2, number].into(),
            members: 4,
        };
        policy.tree.places = vec![place(1), place(2)];
    }
    network.add_group(&group, policy);
    network.conditions = Conditions {
        loss_permille: 20,
        duplication_permille: 10,
        latency_min: MILLISECOND,
        latency_max: 25 * MILLISECOND,
    };
    for number in 0..32usize {
        let place = network.add_member();
        network.members[place].address = std::net::Ipv4Addr::new(10, (place % 3) as u8, 0, place as u8 + 1);
        network.join(place, &group, Role::Both);
        match number % 8 {
            3 => network.pass(40 * MILLISECOND),
            5 => {
                let id = network.members[number / 2].id();
                // It may not have come so far yet.
                let _ = network.server.evict(network.now, &group, &id);
                network.settle();
            }
            6 => {
                network.members[number / 3].member.leave(network.now);
                network.settle();
            }
            7 if number % 16 == 15 => network.restart(),
            7 => {
                network.server.rekey(network.now, &group, RekeyWhat::Kek).unwrap();
                network.settle();
            }
            _ => {}
        }
        network.pass(15 * MILLISECOND);
        for sender in 0..network.members.len() {
            let _ = network.send(sender, &group, b"something to be read");
        }
    }
    network.conditions.loss_permille = 0;
    for _ in 0..12 {
        network.pass(500 * MILLISECOND);
        for sender in 0..network.members.len() {
            let _ = network.send(sender, &group, b"something to be read");
        }
    }
    network.until(120 * SECOND, |n| laggards(n, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}
