//! Second lives: hosts that begin anew under an identity that the key server knows.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::{Event as ServerEvent, event::Departure};
use claviger_group::{GroupId, Role};
use claviger_testkit::{
    judge::judge,
    network::{GDOI_PORT, Network, Origin, Sent, group_id, policy},
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
