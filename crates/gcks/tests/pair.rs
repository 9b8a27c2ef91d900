//! One key server and its members: every way to come, to stay and to go, the wire drawn in comments.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::{
    Counter, Event as ServerEvent, Eviction, RekeyWhat,
    event::{Departure, RefusalReason},
};
use claviger_group::{GroupId, Role};
use claviger_member::{
    Event,
    event::{Refusal, Source},
};
use claviger_sansio::Time;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Conditions, Network, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// A network with the group `market` under the default policy.
fn network(seed: u64) -> Network {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    network
}

fn departures(network: &Network) -> Vec<(Departure, Time)> {
    let departed = network.told.iter().filter_map(|(_, event)| match event {
        ServerEvent::Departed { departure, deaf_at, .. } => Some((*departure, *deaf_at)),
        _ => None,
    });
    departed.collect()
}

fn refusals(network: &Network) -> Vec<RefusalReason> {
    network.server.refused().map(|refusal| refusal.reason).collect()
}

/// Sends one payload and says who opened it.
fn heard(network: &mut Network, group: &GroupId, from: usize, payload: &[u8]) -> Vec<usize> {
    network.send(from, group, payload).unwrap();
    network.pass(Duration::from_millis(20));
    let members = network.members.iter().enumerate();
    members
        .filter(|(_, node)| node.received.iter().any(|(_, p)| p == payload))
        .map(|(place, _)| place)
        .collect()
}

// member                                        server
//   I1                                    -->
//                                         <--   R1
//   I2 { MCAST_CHANNEL(market) }          -->
//                                         <--   R2 { MCAST_CHANNEL(market, 0) }
//   GROUPKEY-PULL 1, 3                    -->
//                                         <--   2, 4
#[test]
fn a_member_joins_and_hears_a_sender() {
    let mut network = network(1);
    let group = market();
    let sender = network.joined(&group, Role::Both);
    let receiver = network.joined(&group, Role::Receiver);
    network.pass(3 * SECOND);
    assert!(laggards(&network, &group).is_empty());
    assert_eq!(heard(&mut network, &group, sender, b"hello"), [receiver]);
    assert!(matches!(network.send(receiver, &group, b"no"), Err(claviger_dataplane::Error::Esp(_))));
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 2);
    judge(&network, &group, &[]).acquit();
}

// I2 { MCAST_CHANNEL(market) }   -->
//                                <--   R2 { MCAST_CHANNEL(market, 202), REG_FAILED }
#[test]
fn a_stranger_is_refused_and_can_be_allowed() {
    let mut network = network(2);
    let group = market();
    let place = network.add_member();
    network.ask(place, &group, Role::Receiver);
    network.pass(5 * SECOND);
    let refusal = |event: &Event| match event {
        Event::Refused { refusal, .. } => Some(*refusal),
        _ => None,
    };
    assert_eq!(network.members[place].last(refusal), Some(Refusal::NotAuthorised));
    assert_eq!(refusals(&network), [RefusalReason::NotAuthorised]);
    network.join(place, &group, Role::Receiver);
    network.until(5 * SECOND, |network| network.is_keyed(place, &market()));
    assert!(refusals(&network).is_empty());
}

#[test]
fn a_role_that_the_list_does_not_cover_is_refused() {
    let mut network = network(3);
    let place = network.add_member();
    let id = network.members[place].id();
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    network.ask(place, &market(), Role::Both);
    network.pass(5 * SECOND);
    assert_eq!(refusals(&network), [RefusalReason::RoleNotAuthorised]);
    assert!(!network.is_keyed(place, &market()));
}

// CLOSE         -->
//               <--   CLOSE_ACK
//               <==   GROUPKEY-PUSH { SA KEK, LKH } under the old KEK, then { D, SA TEK } under the new one
#[test]
fn who_leaves_by_close_reads_nothing_afterwards() {
    let mut network = network(4);
    let group = market();
    let sender = network.joined(&group, Role::Both);
    let stayer = network.joined(&group, Role::Receiver);
    let leaver = network.joined(&group, Role::Receiver);
    network.pass(3 * SECOND);
    assert_eq!(heard(&mut network, &group, sender, b"all"), [stayer, leaver]);
    let now = network.now;
    network.members[leaver].member.leave(now);
    network.settle();
    network.pass(3 * SECOND);
    assert_eq!(network.members[leaver].count(|event| *event == Event::Closed), 1);
    assert!(matches!(departures(&network)[..], [(Departure::Left, deaf)] if deaf <= network.now));
    assert_eq!(heard(&mut network, &group, sender, b"two"), [stayer]);
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

// UPDATE { SEQ, MCAST_CHANNEL(market, lifetime 0), REG_REQUEST }   -->
//                                                                  <--   UPDATE { SEQ, ACK, MCAST_CHANNEL(market, 0) }
#[test]
fn a_member_of_two_groups_leaves_one_by_update() {
    let mut network = network(5);
    let (market, forum) = (market(), group_id("forum"));
    network.add_group(&forum, policy(2));
    let sender = network.joined(&market, Role::Both);
    network.join(sender, &forum, Role::Both);
    let both = network.add_member();
    // The second is asked for while the first registration is under way.
    network.join(both, &market, Role::Receiver);
    network.join(both, &forum, Role::Receiver);
    network.until(10 * SECOND, |n| n.is_keyed(both, &market) && n.is_keyed(both, &forum));
    assert_eq!(network.server.associations(), 2);
    network.pass(3 * SECOND);
    let now = network.now;
    network.members[both].member.leave_group(now, &forum);
    network.settle();
    network.pass(3 * SECOND);
    assert!(matches!(departures(&network)[..], [(Departure::Left, _)]));
    assert_eq!(heard(&mut network, &market, sender, b"market"), [both]);
    assert!(heard(&mut network, &forum, sender, b"forum").is_empty());
    judge(&network, &market, &[]).acquit();
    judge(&network, &forum, &[]).acquit();
    // And the last one, which is a CLOSE.
    let now = network.now;
    network.members[both].member.leave_group(now, &market);
    network.settle();
    network.pass(SECOND);
    assert_eq!(network.members[both].count(|event| *event == Event::Closed), 1);
}

//                <--   UPDATE { SEQ, MCAST_CHANNEL(market, lifetime 0, 202), REG_RESPONSE }
// UPDATE { ACK } -->
//                <==   GROUPKEY-PUSH, twice
#[test]
fn the_evicted_are_told_and_deaf_at_the_instant_that_was_said() {
    let mut network = network(6);
    let group = market();
    let sender = network.joined(&group, Role::Both);
    let evicted = network.joined(&group, Role::Both);
    network.pass(3 * SECOND);
    let id = network.members[evicted].id();
    let ordered = network.now;
    assert_eq!(network.server.evict(ordered, &group, &id), Ok(Eviction::Leaving));
    network.settle();
    while network.now < ordered + 3 * SECOND {
        network.send(sender, &group, b"tick").unwrap();
        network.pass(Duration::from_millis(50));
    }
    assert_eq!(network.members[evicted].count(|event| matches!(event, Event::Evicted { .. })), 1);
    let [(Departure::Evicted, deaf)] = departures(&network)[..] else { panic!("it was evicted once") };
    assert!(deaf < ordered + 2 * SECOND, "{:?}", deaf.since(ordered));
    judge(&network, &group, &[]).acquit();
    let said = Ok(Eviction::Unreadable { from: deaf, was_member: true });
    assert_eq!(network.server.evict(network.now, &group, &id), said, "it is out, since then");
    network.ask(evicted, &group, Role::Receiver);
    network.pass(3 * SECOND);
    assert!(!network.is_keyed(evicted, &group));
}

#[test]
fn who_is_evicted_while_its_keys_wait_gets_none() {
    let mut network = Network::new(7);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 10 * SECOND;
    network.add_group(&group, batched);
    let place = network.add_member();
    network.join(place, &group, Role::Both);
    network.pass(2 * SECOND);
    assert!(!network.is_keyed(place, &group), "its message 4 waits for the batch");
    let id = network.members[place].id();
    let out = Ok(Eviction::Unreadable { from: network.now, was_member: false });
    assert_eq!(network.server.evict(network.now, &group, &id), out, "it holds no keys");
    network.settle();
    network.pass(30 * SECOND);
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 0);
    assert!(!network.is_keyed(place, &group));
    judge(&network, &group, &[]).acquit();
}

// UPDATE { SEQ, REG_REQUEST(lifetime) }   -->
//                                         <--   UPDATE { SEQ, ACK, REG_RESPONSE(lifetime of the group) }
#[test]
fn members_renew_before_the_group_s_own_lifetime_ends() {
    let mut network = Network::new(8);
    let group = market();
    let mut short = policy(1);
    short.access.registration_lifetime = 60 * SECOND;
    network.add_group(&group, short);
    let place = network.joined(&group, Role::Receiver);
    network.pass(600 * SECOND);
    assert!(departures(&network).is_empty());
    assert!(network.is_current(place, &group));
    assert_eq!(network.members[place].count(|event| matches!(event, Event::Registered { .. })), 1);
    assert_eq!(network.members[place].member.subscription(&group).unwrap().pulls(), 1);
}

#[test]
fn who_does_not_renew_has_left() {
    let mut network = Network::new(9);
    let group = market();
    let mut short = policy(1);
    short.access.registration_lifetime = 60 * SECOND;
    network.add_group(&group, short);
    let sender = network.joined(&group, Role::Both);
    let silent = network.joined(&group, Role::Receiver);
    network.pass(3 * SECOND);
    network.members[silent].connected = false;
    network.pass(70 * SECOND);
    assert!(matches!(departures(&network)[..], [(Departure::Expired, _)]));
    network.pass(3 * SECOND);
    network.send(sender, &group, b"later").unwrap();
    judge(&network, &group, &[]).acquit();
    // It comes back: renewal is too late, it asks by name, and joins anew.
    network.members[silent].connected = true;
    network.until(180 * SECOND, |network| network.is_current(silent, &market()));
    judge(&network, &group, &[]).acquit();
}

// Joins and departures are gathered for an hour, or until there are three; an eviction takes along what has gathered.
#[test]
fn a_batch_ends_with_its_time_or_when_it_is_full_or_with_an_eviction() {
    let mut network = Network::new(21);
    let group = market();
    let mut gathering = policy(1);
    (gathering.rekey.batch_interval, gathering.rekey.batch_max) = (30 * SECOND, 3);
    network.add_group(&group, gathering);
    let members = |network: &Network| network.server.group(network.now, &market()).unwrap().members;
    let rekeys = |network: &Network| {
        network.told.iter().filter(|(_, event)| matches!(event, ServerEvent::Rekeyed(_))).count()
    };
    let hosts: Vec<usize> = (0..6).map(|_| network.add_member()).collect();
    for host in &hosts[..2] {
        network.join(*host, &group, Role::Receiver);
    }
    network.pass(5 * SECOND);
    assert_eq!((members(&network), rekeys(&network)), (0, 0), "two wait");
    network.join(hosts[2], &group, Role::Receiver);
    network.pass(SECOND);
    assert_eq!((members(&network), rekeys(&network)), (3, 1), "three are a batch");
    network.join(hosts[3], &group, Role::Receiver);
    network.pass(20 * SECOND);
    assert_eq!(members(&network), 3);
    let evicted = network.members[hosts[0]].id();
    network.server.evict(network.now, &group, &evicted).unwrap();
    network.settle();
    network.pass(SECOND);
    assert_eq!((members(&network), rekeys(&network)), (3, 2), "one came and one went, at once");
    network.members[hosts[1]].member.leave(network.now);
    network.settle();
    network.pass(29 * SECOND);
    assert_eq!(rekeys(&network), 2);
    network.pass(2 * SECOND);
    assert_eq!((members(&network), rekeys(&network)), (2, 3));
    judge(&network, &group, &[]).acquit();
}

//   <==   GROUPKEY-PUSH { D(old), SA TEK, KD }                  each half hour
//   <==   GROUPKEY-PUSH { SA KEK, KD(LKH update) }, then { SA TEK, KD } again under it, each twelve hours
#[test]
fn timers_replace_the_keys_well_before_they_end() {
    let (mut network, group) = (network(11), market());
    let members: Vec<usize> = (0..6).map(|_| network.joined(&group, Role::Both)).collect();
    network.pass(3 * SECOND);
    let kek = |network: &Network| network.server.group(network.now, &group).unwrap().kek.unwrap();
    let before = kek(&network);
    for _ in 0..25 {
        network.pass(1805 * SECOND);
        assert!(laggards(&network, &group).is_empty());
    }
    let after = kek(&network);
    assert_ne!(before.spi, after.spi);
    assert!((1..=3).contains(&after.sequence), "{}", after.sequence);
    for place in members {
        let again = network.members[place].last(|event| match event {
            Event::PullAgain { reason, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(again, None, "the PUSHes brought everything");
        let by_push =
            network.members[place].count(|event| matches!(event, Event::Rekeyed { by: Source::Push, .. }));
        assert!(by_push >= 26);
    }
    judge(&network, &group, &[]).acquit();
}

#[test]
fn the_administrator_replaces_keys_at_once() {
    let mut network = network(12);
    let group = market();
    let place = network.joined(&group, Role::Both);
    let other = network.joined(&group, Role::Receiver);
    for what in [RekeyWhat::Tek, RekeyWhat::Kek, RekeyWhat::Kek, RekeyWhat::Tek] {
        network.server.rekey(network.now, &group, what).unwrap();
        network.settle();
    }
    network.pass(3 * SECOND);
    assert!(network.is_current(place, &group) && network.is_current(other, &group));
    assert!(network.server.rekey(network.now, &group_id("none"), RekeyWhat::Tek).is_err());
}

#[test]
fn a_full_group_says_so_to_those_who_may_know() {
    let mut network = Network::new(13);
    let group = market();
    let mut small = policy(1);
    small.access.members_max = 2;
    network.add_group(&group, small);
    for _ in 0..2 {
        network.joined(&group, Role::Receiver);
    }
    let third = network.add_member();
    network.join(third, &group, Role::Receiver);
    network.pass(5 * SECOND);
    let refusal = |event: &Event| match event {
        Event::Refused { refusal, .. } => Some(*refusal),
        _ => None,
    };
    assert_eq!(network.members[third].last(refusal), Some(Refusal::GroupFull));
    assert_eq!(refusals(&network), [RefusalReason::GroupFull]);
    let stranger = network.add_member();
    network.ask(stranger, &group, Role::Receiver);
    network.pass(5 * SECOND);
    assert_eq!(network.members[stranger].last(refusal), Some(Refusal::NotAuthorised));
}

#[test]
fn a_narrowed_role_gets_no_sender_ids() {
    let mut network = network(14);
    let group = market();
    let place = network.joined(&group, Role::Both);
    let id = network.members[place].id();
    network.server.allow(network.now, &group, &id, Role::Receiver).unwrap();
    network.settle();
    let host = &network.server.hosts(network.now, &group).unwrap()[0];
    assert_eq!(host.granted.unwrap().0, Role::Receiver);
    network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(3 * SECOND);
    assert!(network.is_current(place, &group), "it still receives");
}

#[test]
fn a_role_narrowed_while_its_keys_wait_gets_no_sender_ids() {
    let mut network = Network::new(28);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 2 * SECOND;
    network.add_group(&group, batched);
    let place = network.add_member();
    network.join(place, &group, Role::Both);
    network.pass(SECOND);
    let id = network.members[place].id();
    network.server.allow(network.now, &group, &id, Role::Receiver).unwrap();
    network.settle();
    network.until(5 * SECOND, |n| n.is_keyed(place, &market()));
    let host = &network.server.hosts(network.now, &group).unwrap()[0];
    assert!(host.sender_ids.is_empty());
    assert!(network.send(place, &group, b"no id").is_err());
}

#[test]
fn an_evicted_host_that_cannot_be_told_leaves_no_association_behind() {
    let mut network = network(29);
    let group = market();
    let place = network.joined(&group, Role::Both);
    network.members[place].connected = false;
    let id = network.members[place].id();
    network.server.evict(network.now, &group, &id).unwrap();
    network.settle();
    network.pass(60 * SECOND);
    assert_eq!(network.server.associations(), 0);
    let left: Vec<&str> = network.stored().keys().map(|table| table.name()).collect();
    assert_eq!(left, ["clock", "departure", "group", "node"], "that it was evicted is remembered");
}

#[test]
fn a_role_of_which_nothing_is_left_is_out() {
    let mut network = network(15);
    let group = market();
    let place = network.joined(&group, Role::Sender);
    let id = network.members[place].id();
    network.server.allow(network.now, &group, &id, Role::Receiver).unwrap();
    network.settle();
    network.pass(3 * SECOND);
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 0);
    assert_eq!(network.members[place].count(|event| matches!(event, Event::Evicted { .. })), 1);
}

#[test]
fn a_removed_group_leaves_nothing_behind() {
    let mut network = network(17);
    let group = market();
    let places: Vec<usize> = (0..4).map(|_| network.joined(&group, Role::Both)).collect();
    network.pass(2 * SECOND);
    network.server.remove_group(network.now, &group).unwrap();
    network.settle();
    network.pass(3 * SECOND);
    for place in places {
        assert!(!network.is_keyed(place, &group));
        assert_eq!(network.members[place].count(|event| matches!(event, Event::Evicted { .. })), 1);
    }
    let left: Vec<&str> = network.stored().keys().map(|table| table.name()).collect();
    assert_eq!(left, ["association", "clock", "message-id"], "what belongs to hosts");
    network.restart();
    // The same name again is another group.
    network.add_group(&group, policy(1));
    assert_eq!(network.server.group(network.now, &group).unwrap().allowed, 0);
    assert!(network.server.remove_group(network.now, &group).is_ok());
}

#[test]
fn a_batch_is_one_rekey() {
    let mut network = Network::new(18);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 5 * SECOND;
    network.add_group(&group, batched);
    let places: Vec<usize> = (0..12).map(|_| network.add_member()).collect();
    for place in &places {
        network.join(*place, &group, Role::Both);
    }
    network.until(30 * SECOND, |n| places.iter().all(|place| n.is_keyed(*place, &market())));
    assert_eq!(network.server.counters().gcks[Counter::Rekeys], 1);
    network.pass(2 * SECOND);
    let now = network.now;
    for place in &places[..5] {
        network.members[*place].member.leave(now);
    }
    network.settle();
    network.pass(10 * SECOND);
    assert_eq!(network.server.counters().gcks[Counter::Rekeys], 2);
    assert_eq!(departures(&network).len(), 5);
    assert!(laggards(&network, &group).is_empty());
    network.send(places[7], &group, b"rest").unwrap();
    judge(&network, &group, &[]).acquit();
}

#[test]
fn who_returns_within_the_batch_has_not_left() {
    let mut network = Network::new(19);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 5 * SECOND;
    network.add_group(&group, batched);
    let place = network.joined(&group, Role::Both);
    let other = network.joined(&group, Role::Both);
    let now = network.now;
    network.members[place].member.leave(now);
    network.settle();
    network.pass(SECOND);
    network.ask(place, &group, Role::Both);
    network.pass(20 * SECOND);
    assert!(departures(&network).is_empty());
    assert!(network.is_current(place, &group) && network.is_current(other, &group));
    judge(&network, &group, &[]).acquit();
}

#[test]
fn departures_that_wait_survive_a_restart() {
    let mut network = Network::new(20);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 5 * SECOND;
    network.add_group(&group, batched);
    let stayer = network.joined(&group, Role::Both);
    let leaver = network.joined(&group, Role::Both);
    let now = network.now;
    network.members[leaver].member.leave(now);
    network.settle();
    network.pass(SECOND);
    assert!(departures(&network).is_empty());
    network.restart();
    network.pass(10 * SECOND);
    assert_eq!(departures(&network).len(), 1);
    network.send(stayer, &group, b"alone").unwrap();
    judge(&network, &group, &[]).acquit();
}

#[test]
fn a_storm_of_departures_costs_one_rekey_and_does_not_put_off_the_next() {
    let mut network = network(21);
    let group = market();
    let places: Vec<usize> = (0..40).map(|_| network.add_member()).collect();
    for place in &places {
        network.join(*place, &group, Role::Receiver);
    }
    network.until(60 * SECOND, |n| places.iter().all(|place| n.is_keyed(*place, &market())));
    network.pass(3 * SECOND);
    let before = network.server.counters().gcks[Counter::Rekeys];
    let now = network.now;
    for place in &places[..30] {
        network.members[*place].member.leave(now);
    }
    network.settle();
    network.pass(Duration::from_millis(100));
    let joiner = network.add_member();
    let asked = network.now;
    network.join(joiner, &group, Role::Receiver);
    network.until(5 * SECOND, |n| n.is_keyed(joiner, &market()));
    assert!(network.now.since(asked) < 3 * SECOND);
    network.pass(3 * SECOND);
    assert_eq!(departures(&network).len(), 30);
    assert!(departures(&network).iter().all(|(_, deaf)| deaf.since(now) < 3 * SECOND));
    assert!(network.server.counters().gcks[Counter::Rekeys] - before <= 4);
    assert!(laggards(&network, &group).is_empty());
}

#[test]
fn a_host_that_joins_again_and_again_is_told_to_wait() {
    let mut network = network(22);
    let group = market();
    let place = network.add_member();
    let mut joined = 0;
    for _ in 0..20 {
        network.join(place, &group, Role::Receiver);
        if network.reaches(2 * SECOND, |n| n.is_keyed(place, &market())) {
            joined += 1;
        }
        let now = network.now;
        network.members[place].member.leave(now);
        network.settle();
        network.pass(Duration::from_millis(500));
    }
    assert_eq!(joined, 16);
    assert_eq!(refusals(&network), [RefusalReason::TooOften]);
    let too_often = network.server.counters().gcks[Counter::TooOften];
    assert_eq!(too_often, 4);
    network.pass(60 * SECOND);
    network.join(place, &group, Role::Receiver);
    network.until(2 * SECOND, |n| n.is_keyed(place, &market()));
}

//   A: PULL 1   -->   <--  2 (announces KEK n+1)
//   B: PULL 1   -->   <--  2 (announces KEK n+1)
//   A: PULL 3   -->   <--  4: n+1 is A's
//   B: PULL 3   -->   <--  Informational { INVALID-SPI }, and B begins anew
#[test]
fn an_announcement_that_another_joiner_used_up_is_refused_and_asked_for_again() {
    let mut network = network(23);
    let group = market();
    network.joined(&group, Role::Both);
    network.pass(2 * SECOND);
    let pair = [network.add_member(), network.add_member()];
    network.conditions.latency_max = Duration::from_millis(40);
    for place in pair {
        network.join(place, &group, Role::Both);
    }
    network.until(10 * SECOND, |n| pair.iter().all(|place| n.is_keyed(*place, &market())));
    network.pass(3 * SECOND);
    assert!(laggards(&network, &group).is_empty());
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 3);
    judge(&network, &group, &[]).acquit();
}

// at one instant: a timed TEK, and a rekey that lets one in and another out
#[test]
fn a_tek_of_the_very_instant_of_a_join_is_not_the_joiner_s() {
    let mut network = Network::new(27);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 2 * SECOND;
    network.add_group(&group, batched);
    let stayer = network.joined(&group, Role::Both);
    let evicted = network.joined(&group, Role::Receiver);
    network.pass(10 * SECOND);
    let joiner = network.add_member();
    network.join(joiner, &group, Role::Both);
    network.pass(SECOND);
    let id = network.members[evicted].id();
    network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
    network.server.evict(network.now, &group, &id).unwrap();
    network.settle();
    // It pulls once more while senders change over.
    network.pass(Duration::from_millis(10));
    network.ask(joiner, &group, Role::Both);
    for _ in 0..50 {
        let _ = network.send(stayer, &group, b"stayer");
        let _ = network.send(joiner, &group, b"joiner");
        network.pass(Duration::from_millis(100));
    }
    judge(&network, &group, &[]).acquit();
    let held = network.members[joiner].ledger(&group).unwrap();
    assert_eq!(held.teks.len(), 1);
}

/// Runs a history with a restart before its `step`th step; says how many steps it had.
fn history_with_restart_at(step: usize) -> usize {
    let mut network = network(24);
    let group = market();
    let sender = network.joined(&group, Role::Both);
    let stayer = network.joined(&group, Role::Receiver);
    let evicted = network.joined(&group, Role::Receiver);
    network.pass(2 * SECOND);
    let newcomer = network.add_member();
    network.join(newcomer, &group, Role::Both);
    let id = network.members[evicted].id();
    let end = network.now + 8 * SECOND;
    let middle = network.now + SECOND;
    let (mut steps, mut evictions) = (0, 0);
    while network.step_before(end) {
        if steps == step {
            network.restart();
        }
        if network.now >= middle && evictions == 0 {
            network.server.evict(network.now, &group, &id).unwrap();
            network.settle();
            evictions += 1;
        }
        steps += 1;
        if steps.is_multiple_of(4) {
            network.send(sender, &group, &steps.to_be_bytes()).unwrap();
        }
    }
    // A joiner whose PULL was cut in two by the restart tries again; nobody else notices anything.
    network.until(60 * SECOND, |n| n.is_current(newcomer, &market()));
    network.pass(3 * SECOND);
    for place in [sender, stayer] {
        assert!(network.is_current(place, &group), "after a restart at step {step}");
        assert_eq!(network.members[place].count(|event| matches!(event, Event::Registered { .. })), 1);
        assert_eq!(network.members[place].count(|event| matches!(event, Event::Unreachable { .. })), 0);
    }
    assert!(!network.is_keyed(evicted, &group));
    network.send(sender, &group, b"end").unwrap();
    judge(&network, &group, &[]).acquit();
    steps
}

#[test]
fn members_notice_nothing_of_a_restart_at_any_step() {
    let steps = history_with_restart_at(usize::MAX);
    assert!(steps > 25, "{steps}");
    for step in 0..steps {
        history_with_restart_at(step);
    }
}

#[test]
fn a_lost_association_is_made_anew() {
    let mut network = network(25);
    let group = market();
    let place = network.joined(&group, Role::Both);
    let other = network.joined(&group, Role::Both);
    network.pass(2 * SECOND);
    // The server forgets the association: a restart on a store that lost it.
    let hit = network.members[place].hit();
    network.tamper = None;
    forget_association(&mut network, hit);
    network.server.rekey(network.now, &group, RekeyWhat::Kek).unwrap();
    network.settle();
    network.pass(2 * SECOND);
    assert!(network.is_current(place, &group), "PUSHes do not need it");
    // A PULL does: it goes unanswered, three times, and a base exchange follows.
    network.members[place].connected = false;
    network.server.rekey(network.now, &group, RekeyWhat::Kek).unwrap();
    network.settle();
    network.pass(2 * SECOND);
    network.members[place].connected = true;
    network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
    network.settle();
    network.until(180 * SECOND, |n| n.is_current(place, &market()));
    network.pass(2 * SECOND);
    assert!(network.is_current(other, &group));
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 2);
    assert!(departures(&network).is_empty());
}

fn forget_association(network: &mut Network, hit: claviger_identity::Hit) {
    use claviger_sansio::durable::{Change, RecordKey, Table};
    use claviger_store::Store;

    let key = RecordKey::new(Vec::new(), *hit.octets());
    let _ = network.store.commit(&[Change::remove(Table::new("association"), key)]).unwrap();
    network.restart();
}

#[test]
fn an_unreachable_server_is_asked_less_and_less_often_and_found_again() {
    let mut network = network(26);
    let group = market();
    network.running = false;
    let place = network.add_member();
    network.join(place, &group, Role::Both);
    network.pass(600 * SECOND);
    let attempts = network.members[place].count(|event| matches!(event, Event::Unreachable { .. }));
    assert!((5..=20).contains(&attempts), "{attempts}");
    network.running = true;
    network.until(120 * SECOND, |n| n.is_current(place, &market()));
}

#[test]
fn a_bad_network_delays_and_breaks_nothing() {
    for seed in 100..104 {
        let mut network = network(seed);
        let group = market();
        network.conditions = Conditions {
            loss_permille: 150,
            duplication_permille: 100,
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(60),
        };
        let places: Vec<usize> = (0..8).map(|_| network.add_member()).collect();
        for place in &places {
            network.join(*place, &group, Role::Both);
        }
        network.until(300 * SECOND, |n| places.iter().all(|place| n.is_current(*place, &market())));
        for _ in 0..20 {
            for place in &places {
                let _ = network.send(*place, &group, b"noise");
            }
            network.pass(Duration::from_millis(100));
        }
        judge(&network, &group, &[]).acquit();
    }
}
