//! LKH-32 and signatures over batches, through server and members: who needs no message gets none, no key goes out
//! twice, a rekey may take many messages, and whoever does not speak the extensions is told so.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::{Event, RekeyWhat, event::Rekeyed};
use claviger_gdoi::{Extensions, error::PeerIncompatible};
use claviger_group::{GroupId, GroupPolicy, KekManagement, PushAuthentication, Role};
use claviger_member::{Event as MemberEvent, event::Refusal};
use claviger_sansio::{Datagram, Socket};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Conditions, Network, group_id, new_identity, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn extended(authentication: PushAuthentication) -> GroupPolicy {
    let mut policy = policy(1);
    policy.rekey.management = KekManagement::Lkh32;
    policy.rekey.authentication = authentication;
    policy
}

/// A group of so many members, all of whom hold the keys in force.
fn group_of(members: usize, seed: u64, policy: GroupPolicy) -> (Network, GroupId, Vec<usize>) {
    let mut network = Network::new(seed);
    let group = group_id("extended");
    network.add_group(&group, policy);
    let places: Vec<usize> = (0..members).map(|_| network.add_member()).collect();
    for place in &places {
        network.join(*place, &group, Role::Receiver);
    }
    network.until(60 * SECOND, |network| {
        let everybody = network.server.group(network.now, &group).unwrap().members == members;
        everybody && laggards(network, &group).is_empty()
    });
    network.pass(3 * SECOND);
    (network, group, places)
}

fn rekeys(network: &Network) -> Vec<Rekeyed> {
    let rekeyed = |event: &Event| match event {
        Event::Rekeyed(rekeyed) => Some(rekeyed.clone()),
        _ => None,
    };
    network.told.iter().filter_map(|(_, event)| rekeyed(event)).collect()
}

fn pulls(network: &Network, group: &GroupId, places: &[usize]) -> Vec<u64> {
    places.iter().map(|place| network.members[*place].member.subscription(group).unwrap().pulls()).collect()
}

#[test]
fn a_join_sends_no_key_of_the_tree() {
    for authentication in [PushAuthentication::Message, PushAuthentication::Batch] {
        let (mut network, group, places) = group_of(20, 1, extended(authentication));
        let before = pulls(&network, &group, &places);
        network.joined(&group, Role::Receiver);
        network.pass(3 * SECOND);
        let joined = rekeys(&network).pop().unwrap();
        assert_eq!((joined.joined, joined.tree_keys), (1, 0), "{joined:?}");
        assert_eq!(joined.message_keys, 1, "the TEK alone: {joined:?}");
        assert_eq!(joined.messages, 2);
        assert!(laggards(&network, &group).is_empty());
        assert_eq!(pulls(&network, &group, &places), before, "nobody had to ask");
        judge(&network, &group, &[]).acquit();
    }
}

#[test]
fn a_rekey_of_many_messages_sends_each_key_once_and_reaches_all() {
    let mut policy = extended(PushAuthentication::Batch);
    policy.rekey.batch_interval = SECOND;
    let (mut network, group, places) = group_of(256, 2, policy);
    let before = pulls(&network, &group, &places);
    let (gone, staying): (Vec<usize>, Vec<usize>) = places.iter().partition(|place| *place % 7 == 3);
    for place in gone {
        network.members[place].member.leave(network.now);
    }
    network.settle();
    network.pass(6 * SECOND);
    let rekey = rekeys(&network).pop().unwrap();
    assert_eq!(rekey.departed, places.len() - staying.len(), "one rekey for all: {rekey:?}");
    assert_eq!(rekey.message_keys, rekey.tree_keys + 1, "each key once, and the TEK: {rekey:?}");
    assert!(rekey.messages > 4, "{rekey:?}");
    assert!(laggards(&network, &group).is_empty(), "{:?}", laggards(&network, &group));
    let expected: Vec<u64> = staying.iter().map(|place| before[*place]).collect();
    assert_eq!(pulls(&network, &group, &staying), expected, "nobody had to ask: {rekey:?}");
    judge(&network, &group, &[]).acquit();
}

#[test]
fn a_rekey_of_many_messages_survives_loss() {
    let mut policy = extended(PushAuthentication::Batch);
    policy.rekey.batch_interval = SECOND;
    let (mut network, group, places) = group_of(200, 3, policy);
    network.conditions = Conditions {
        loss_permille: 100,
        duplication_permille: 10,
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(30),
    };
    let (gone, staying): (Vec<usize>, Vec<usize>) = places.iter().partition(|place| *place % 5 == 0);
    let before: u64 = pulls(&network, &group, &staying).iter().sum();
    for place in gone {
        network.members[place].member.leave(network.now);
    }
    network.settle();
    network.until(35 * SECOND, |network| laggards(network, &group).is_empty());
    let after: u64 = pulls(&network, &group, &staying).iter().sum();
    println!("160 of 200 members stay, a tenth is lost: {} more PULLs", after - before);
    assert!(laggards(&network, &group).is_empty());
    assert!(after - before <= 16, "a tenth of those who stay at most: {}", after - before);
    judge(&network, &group, &[]).acquit();
}

/// Gives a member a rekey message out of the usual way.
fn hand(network: &mut Network, place: usize, octets: &[u8]) -> Result<(), claviger_member::Error> {
    let any = ([239, 192, 0, 1], 848).into();
    let datagram = Datagram { socket: Socket::Port848, source: any, destination: any, payload: octets };
    let handled = network.members[place].member.handle_datagram(network.now, datagram);
    network.settle();
    handled
}

#[test]
fn a_delayed_tek_does_not_come_back() {
    let (mut network, group, _) = group_of(2, 5, extended(PushAuthentication::Batch));
    let sent = network.pushes().len();
    network.passes = Some(Box::new(|sent| !sent.destination.ip().is_multicast()));
    for _ in 0..2 {
        network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
        network.settle();
        network.pass(SECOND / 2);
    }
    let held_back: Vec<Vec<u8>> = network.pushes()[sent..].iter().map(|push| push.octets.clone()).collect();
    let [first, second] = &held_back[..] else { panic!("two messages: {}", held_back.len()) };
    let teks = |network: &Network| -> Vec<String> {
        let held = network.members[0].plane.status(&group);
        held.iter().map(|sa| sa.spi.to_string()).collect()
    };
    let before = teks(&network);
    hand(&mut network, 0, second).unwrap();
    let after = teks(&network);
    assert_eq!(after.len(), before.len() + 1, "the newer TEK is installed");
    hand(&mut network, 0, first).unwrap();
    assert_eq!(teks(&network), after, "the older one is not");
}

#[test]
fn a_superseded_kek_opens_nothing_for_long() {
    let (mut network, group, places) = group_of(6, 6, extended(PushAuthentication::Batch));
    let sent = network.pushes().len();
    network.members[places[5]].member.leave(network.now);
    network.settle();
    network.pass(2 * SECOND);
    assert!(laggards(&network, &group).is_empty());
    let under_the_old = network.pushes()[sent].octets.clone();
    // While more of the rekey may come, a forgery under the old KEK is looked at, and found false.
    let mut forged = under_the_old.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(hand(&mut network, places[0], &forged).is_err());
    network.pass(6 * SECOND);
    assert!(hand(&mut network, places[0], &forged).is_ok(), "nobody looks at it any more");
}

#[test]
fn whoever_keeps_to_the_standard_is_told_what_the_group_needs() {
    for (management, authentication, refused) in [
        (KekManagement::Lkh32, PushAuthentication::Message, PeerIncompatible::KekManagement(128)),
        (KekManagement::Lkh, PushAuthentication::Batch, PeerIncompatible::Signature(132)),
    ] {
        let mut network = Network::new(4);
        let group = group_id("extended");
        let mut policy = policy(1);
        (policy.rekey.management, policy.rekey.authentication) = (management, authentication);
        network.add_group(&group, policy);
        let place = network.add_member_with(new_identity(), |config| config.extensions = Extensions::NONE);
        network.join(place, &group, Role::Receiver);
        network.pass(5 * SECOND);
        let refusal = network.members[place].last(|event| match event {
            MemberEvent::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        });
        assert_eq!(refusal, Some(Refusal::Incompatible(refused)));
        assert_eq!(network.server.group(network.now, &group).unwrap().members, 0, "it holds no key");
    }
}
