//! Second lives: hosts that begin anew under an identity that the key server knows.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use claviger_gcks::{Counter, Event as ServerEvent, event::Departure};
use claviger_group::{Channel, EspTransform, GroupId, GroupPolicy, Role};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{GDOI_PORT, Kind, Network, Origin, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

// I1, I2 { MCAST_CHANNEL(market) }   -->          a member that lost its state, or its association
//                                    <--   R2     its place in the tree stays; PULL with fresh sender ids
#[test]
fn a_fresh_base_exchange_replaces_the_grants() {
    let mut network = Network::new(10);
    let (market, forum) = (market(), group_id("forum"));
    network.add_group(&market, policy(1));
    network.add_group(&forum, policy(2));
    let first = network.joined(&market, Role::Both);
    network.join(first, &forum, Role::Receiver);
    network.until(10 * SECOND, |network| network.is_keyed(first, &forum));
    network.pass(SECOND);
    let ids = |network: &Network| {
        let hosts = network.server.hosts(network.now, &group_id("market")).unwrap();
        hosts.into_iter().next().unwrap().sender_ids
    };
    let before = ids(&network);
    network.send(first, &market, b"first life").unwrap();
    network.members[first].connected = false;
    let second = network.add_member_as(network.members[first].identity.clone());
    network.join(second, &market, Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(second, &group_id("market")));
    network.send(second, &market, b"second life").unwrap();
    network.pass(3 * SECOND);
    assert_ne!(ids(&network), before);
    assert_eq!(network.server.group(network.now, &market).unwrap().members, 1, "named again: no departure");
    assert_eq!(network.server.group(network.now, &forum).unwrap().members, 0, "not named again: left");
    let mut departures = network.told.iter().filter_map(|(_, event)| match event {
        ServerEvent::Departed { departure, .. } => Some(*departure),
        _ => None,
    });
    assert_eq!((departures.next(), departures.next()), (Some(Departure::NotNamedAgain), None));
    judge(&network, &market, &[]).acquit();
}

// first life                             server                          second life
//   GROUPKEY-PULL 1, 3             -->
//   (dies)                               the join waits for its batch
//                                        <--   I1, I2
//                                        the batch makes it a member; its first PULL is gone
//                                        <--   GROUPKEY-PULL, as a member
#[test]
fn a_joiner_that_begins_anew_before_its_batch_is_told_as_a_member() {
    let mut network = Network::new(19);
    let group = market();
    let mut gathering = policy(1);
    gathering.rekey.batch_interval = 3 * SECOND;
    network.add_group(&group, gathering);
    let sender = network.joined(&group, Role::Both);
    network.pass(5 * SECOND);
    let first = network.add_member();
    network.join(first, &group, Role::Receiver);
    network.pass(SECOND);
    network.members[first].connected = false;
    let second = network.add_member_as(network.members[first].identity.clone());
    let pulls =
        move |sent: &Sent| sent.origin == Origin::Member(second) && sent.destination.port() == GDOI_PORT;
    network.passes = Some(Box::new(move |sent| !pulls(sent)));
    network.join(second, &group, Role::Receiver);
    network.until(10 * SECOND, |network| network.server.group(network.now, &market()).unwrap().members == 2);
    network.passes = None;
    network.until(10 * SECOND, |network| network.is_keyed(second, &market()));
    network.pass(3 * SECOND);
    network.send(sender, &group, b"for members").unwrap();
    network.pass(SECOND);
    assert!(network.members[second].received.iter().any(|(_, payload)| payload == b"for members"));
    let id = network.members[second].id();
    let of_it =
        |event: &ServerEvent| matches!(event, ServerEvent::Joined { host: joined, .. } if *joined == id);
    assert_eq!(network.told.iter().filter(|(_, event)| of_it(event)).count(), 1);
    judge(&network, &group, &[]).acquit();
}

//                          <--   UPDATE { MCAST_CHANNEL(market, 0, 202) }     evicted
//   UPDATE { MCAST_CHANNEL(market) }   -->                                    asked before it heard of it
//                (all lost)      <--   UPDATE { ACK }, { MCAST_CHANNEL }
#[test]
fn who_is_evicted_while_it_asks_and_hears_no_more_can_ask_again() {
    let mut network = Network::new(20);
    let group = market();
    network.add_group(&group, policy(1));
    let member = network.joined(&group, Role::Receiver);
    network.pass(SECOND);
    let (id, address, mut heard) = (network.members[member].id(), network.members[member].address, 0);
    network.passes = Some(Box::new(move |sent| {
        heard += usize::from(sent.origin == Origin::Server && sent.destination.ip() == address);
        heard <= 1
    }));
    let now = network.now;
    network.server.evict(now, &group, &id).unwrap();
    network.join(member, &group, Role::Receiver);
    network.pass(60 * SECOND);
    assert!(network.members[member].member.subscription(&group).is_none(), "it was evicted");
    network.passes = None;
    network.join(member, &group, Role::Receiver);
    network.until(10 * SECOND, |network| network.is_keyed(member, &market()));
}

/// The address of a network's first host.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// One group that counts, and one whose senders are told apart by their addresses.
fn policies() -> [GroupPolicy; 2] {
    let mut by_address = policy(1);
    by_address.data.transform = EspTransform::Aes128CbcHmacSha256;
    by_address.data.channel = Channel::new([232, 1, 1, 1].into(), Some(FIRST.into())).unwrap();
    [policy(1), by_address]
}

/// Kills a host and starts it again at the same address, with nothing but its identity.
fn start_again(network: &mut Network, place: usize, role: Role) -> usize {
    let address =
        std::mem::replace(&mut network.members[place].address, Ipv4Addr::new(198, 18, 255, place as u8));
    network.members[place].connected = false;
    let again = network.add_member_as(network.members[place].identity.clone());
    network.members[again].address = address;
    network.ask(again, &market(), role);
    again
}

fn rekeys(network: &Network) -> u64 {
    network.server.counters().gcks[Counter::Rekeys]
}

#[test]
fn a_receiver_that_was_started_again_accepts_nothing_that_was_sent_before() {
    for policy in policies() {
        let mut network = Network::new(21);
        let group = market();
        network.add_group(&group, policy);
        let sender = network.joined(&group, Role::Both);
        let receiver = network.joined(&group, Role::Receiver);
        network.pass(10 * SECOND);
        for number in 0..50u8 {
            network.send(sender, &group, &[number]).unwrap();
            network.pass(SECOND);
        }
        let recorded: Vec<(SocketAddr, Vec<u8>)> =
            network.data(&group).iter().map(|sent| (sent.destination, sent.octets.clone())).collect();
        assert_eq!((recorded.len(), network.members[receiver].received.len()), (50, 50));
        let again = start_again(&mut network, receiver, Role::Receiver);
        network.until(5 * SECOND, |network| network.is_keyed(again, &market()));
        for (destination, octets) in recorded {
            network.fly(Origin::Server, (FIRST, 40_000).into(), Kind::Esp, destination, octets);
        }
        network.pass(SECOND);
        assert_eq!(network.members[again].received.len(), 0, "of 50 that were sent to its first life");
        // Until then the sender goes on under the TEK before.
        network.pass(SECOND);
        network.send(sender, &group, b"for its second life").unwrap();
        network.pass(SECOND);
        assert_eq!(network.members[again].received.len(), 1);
    }
}

#[test]
fn a_sender_that_was_started_again_loses_nothing_of_what_it_sends() {
    for policy in policies() {
        let mut network = Network::new(22);
        let group = market();
        network.add_group(&group, policy);
        let sender = network.joined(&group, Role::Both);
        let receiver = network.joined(&group, Role::Receiver);
        network.pass(10 * SECOND);
        for _ in 0..5 {
            network.send(sender, &group, b"first life").unwrap();
        }
        network.pass(SECOND);
        let again = start_again(&mut network, sender, Role::Both);
        network.until(5 * SECOND, |network| network.is_keyed(again, &market()));
        network.pass(2 * SECOND);
        for _ in 0..3 {
            network.send(again, &group, b"second life").unwrap();
        }
        network.pass(SECOND);
        assert_eq!(network.members[receiver].received.len(), 5 + 3);
        judge(&network, &group, &[]).acquit();
    }
}

#[test]
fn members_that_begin_anew_at_once_share_a_rekey() {
    let mut network = Network::new(23);
    let group = market();
    network.add_group(&group, policy(1));
    let members: Vec<usize> = (0..12).map(|_| network.joined(&group, Role::Both)).collect();
    network.pass(10 * SECOND);
    let (before, joins) = (rekeys(&network), network.server.counters().gcks[Counter::Joins]);
    let again: Vec<usize> =
        members[..8].iter().map(|place| start_again(&mut network, *place, Role::Both)).collect();
    network.until(5 * SECOND, |network| again.iter().all(|place| network.is_keyed(*place, &market())));
    network.pass(3 * SECOND);
    let counters = &network.server.counters().gcks;
    assert_eq!((counters[Counter::Returns], counters[Counter::Joins]), (8, joins), "they were members");
    assert!((1..=3).contains(&(rekeys(&network) - before)), "{}", rekeys(&network) - before);
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

#[test]
fn a_host_that_begins_anew_without_end_waits() {
    let mut network = Network::new(24);
    let group = market();
    network.add_group(&group, policy(1));
    let stays = network.joined(&group, Role::Both);
    let mut place = network.joined(&group, Role::Both);
    network.pass(70 * SECOND);
    let before = rekeys(&network);
    for _ in 0..30 {
        place = start_again(&mut network, place, Role::Both);
        network.pass(SECOND);
    }
    assert_eq!(rekeys(&network) - before, 16);
    assert!(!network.is_keyed(place, &group));
    network.until(60 * SECOND, |network| network.is_keyed(place, &market()));
    network.pass(2 * SECOND);
    assert!(network.is_current(stays, &group));
    judge(&network, &group, &[]).acquit();
}

//   I1, I2 { MCAST_CHANNEL(market) }   -->   <--   R1, R2
//                                            (is killed, and started again)
//   GROUPKEY-PULL                      -->         a member that registered anew
#[test]
fn a_key_server_that_was_killed_knows_who_registered_anew() {
    let mut network = Network::new(25);
    let group = market();
    network.add_group(&group, policy(1));
    network.joined(&group, Role::Both);
    let receiver = network.joined(&group, Role::Receiver);
    network.pass(10 * SECOND);
    let before = network.server.newest_keys(&group);
    network.passes = Some(Box::new(|sent| sent.destination.port() != GDOI_PORT));
    let again = start_again(&mut network, receiver, Role::Receiver);
    network.pass(SECOND);
    network.restart();
    network.passes = None;
    network.until(10 * SECOND, |network| network.is_keyed(again, &market()));
    assert_ne!(network.server.newest_keys(&group), before);
}

//   UPDATE { MCAST_CHANNEL(market, 0) }   -->        its departure waits for the batch
//   UPDATE { MCAST_CHANNEL(market) }      -->        and is taken back
#[test]
fn who_leaves_and_comes_back_before_the_rekey_accepts_nothing_of_before() {
    let mut network = Network::new(26);
    let group = market();
    let mut gathering = policy(1);
    gathering.rekey.batch_interval = 5 * SECOND;
    network.add_group(&group, gathering);
    let sender = network.joined(&group, Role::Both);
    let receiver = network.joined(&group, Role::Receiver);
    // Its association stays for another group.
    let forum = group_id("forum");
    network.add_group(&forum, policy(2));
    network.join(receiver, &forum, Role::Receiver);
    network.pass(10 * SECOND);
    for number in 0..5u8 {
        network.send(sender, &group, &[number]).unwrap();
    }
    network.pass(SECOND);
    let recorded: Vec<(SocketAddr, Vec<u8>)> =
        network.data(&group).iter().map(|sent| (sent.destination, sent.octets.clone())).collect();
    let now = network.now;
    network.members[receiver].member.leave_group(now, &group);
    network.settle();
    network.pass(SECOND);
    network.ask(receiver, &group, Role::Receiver);
    network.until(10 * SECOND, |network| network.is_keyed(receiver, &market()));
    assert_eq!((recorded.len(), network.members[receiver].received.len()), (5, 5));
    for (destination, octets) in recorded {
        network.fly(Origin::Server, (FIRST, 40_000).into(), Kind::Esp, destination, octets);
    }
    network.pass(SECOND);
    assert_eq!(network.members[receiver].received.len(), 5);
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 2);
}
