//! Each rekey says which keys it replaced, and why.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{net::Ipv4Addr, time::Duration};

use claviger_gcks::{
    Event, RekeyWhat,
    event::{RekeyCause, Rekeyed},
};
use claviger_group::{GroupId, GroupPlace, KekManagement, PushAuthentication, Role};
use claviger_testkit::network::{Network, group_id, policy};

const SECOND: Duration = Duration::from_secs(1);

/// A group with a member that stays.
fn begun(change: impl FnOnce(&mut claviger_group::GroupPolicy)) -> (Network, GroupId, usize) {
    let mut network = Network::new(1);
    let group = group_id("causes");
    let mut policy = policy(1);
    change(&mut policy);
    network.add_group(&group, policy);
    let stays = network.joined(&group, Role::Both);
    network.pass(5 * SECOND);
    network.told.clear();
    (network, group, stays)
}

/// The rekeys since they were asked for the last time: their causes, and whether KEK and TEK were replaced.
fn rekeys(network: &mut Network) -> Vec<(String, bool, bool)> {
    network.settle();
    network.pass(5 * SECOND);
    let rekeyed = |event| match event {
        Event::Rekeyed(Rekeyed { cause, kek, tek, .. }) => {
            Some((cause.to_string(), kek.is_some(), tek.is_some()))
        }
        _ => None,
    };
    network.told.drain(..).filter_map(|(_, event)| rekeyed(event)).collect()
}

fn one(cause: &str, kek: bool, tek: bool) -> Vec<(String, bool, bool)> {
    vec![(cause.to_owned(), kek, tek)]
}

#[test]
fn a_rekey_by_hand_or_by_the_timer_says_so_and_which_key() {
    let (mut network, group, _) = begun(|_| {});
    network.server.rekey(network.now, &group, RekeyWhat::Kek).unwrap();
    assert_eq!(rekeys(&mut network), one("by_hand", true, false));
    network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
    assert_eq!(rekeys(&mut network), one("by_hand", false, true));
    let view = network.server.group(network.now, &group).unwrap();
    network.pass(view.policy.times.tek_rekey.max(view.policy.times.kek_rekey));
    let timed = rekeys(&mut network);
    assert!(timed.iter().all(|(cause, kek, tek)| cause == "timer" && kek != tek), "{timed:?}");
    assert!(timed.iter().any(|(_, kek, _)| *kek) && timed.iter().any(|(_, _, tek)| *tek), "{timed:?}");
}

#[test]
fn a_change_of_membership_says_who_came_and_who_went() {
    let (mut network, group, stays) = begun(|policy| policy.rekey.batch_interval = 2 * SECOND);
    let [first, second, third] = [0; 3].map(|_| network.joined(&group, Role::Receiver));
    assert_eq!(
        rekeys(&mut network),
        [one("join", true, true), one("join", true, true), one("join", true, true)].concat()
    );
    network.members[first].member.leave(network.now);
    assert_eq!(rekeys(&mut network), one("leave", true, true));
    let id = network.members[second].id();
    network.server.evict(network.now, &group, &id).unwrap();
    assert_eq!(rekeys(&mut network), one("eviction", true, true));
    // One that goes and one that comes within a batch share a rekey.
    network.members[third].member.leave(network.now);
    network.settle();
    let comes = network.add_member();
    network.join(comes, &group, Role::Receiver);
    assert_eq!(rekeys(&mut network), one("join,leave", true, true));

    let id = network.members[stays].id();
    network.server.allow(network.now, &group, &id, Role::Receiver).unwrap();
    assert_eq!(rekeys(&mut network), one("narrowed_role", false, true));
    network.members[comes].connected = false;
    network.pass(Duration::from_secs(100_000));
    assert!(rekeys(&mut network).contains(&("expiry".to_owned(), true, true)));
}

#[test]
fn a_member_that_registers_anew_says_so() {
    let (mut network, group, stays) = begun(|_| {});
    network.members[stays].connected = false;
    let again = network.add_member_as(network.members[stays].identity.clone());
    network.ask(again, &group, Role::Both);
    assert_eq!(rekeys(&mut network), one("return", true, true));
}

#[test]
fn a_move_to_another_place_says_so() {
    let (mut network, _, stays) = begun(|policy| {
        policy.rekey.management = KekManagement::Lkh32;
        policy.rekey.authentication = PushAuthentication::Batch;
        policy.tree.places = vec![GroupPlace {
            prefix: "203.0.113.0/24".parse().unwrap(),
            push_address: "239.192.9.9".parse().unwrap(),
            members: 8,
        }];
    });
    network.readdress(stays, Ipv4Addr::new(203, 0, 113, 7));
    assert_eq!(rekeys(&mut network), one("move", true, true));
}

#[test]
fn a_sender_that_has_used_its_share_of_ids_says_so() {
    let (mut network, group, stays) = begun(|policy| policy.data.sender_id_bits = 8);
    // Each PULL of a sender takes one of 256, and it alone may have half of them.
    for _ in 0..128 {
        network.members[stays].member.pull_now(network.now, &group);
        network.settle();
        network.pass(SECOND);
    }
    let spent = rekeys(&mut network);
    assert_eq!(spent, one("sender_ids_spent", true, true));
}

#[test]
fn causes_have_names_of_their_own() {
    use RekeyCause::*;
    let all = [
        ByHand,
        EpochsSpent,
        Eviction,
        Expiry,
        Join,
        Leave,
        Move,
        NarrowedRole,
        Return,
        SenderIdsSpent,
        Timer,
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(|cause| cause.as_str()).collect();
    assert_eq!(names.len(), all.len());
}
