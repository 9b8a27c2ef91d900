//! Rekey messages that the system of the key server does not send, and disks that are slow: what left, when, and what is
//! said of it.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{io, net::IpAddr, time::Duration};

use claviger_gcks::{Event, Eviction, RekeyWhat};
use claviger_group::{GroupId, GroupPlace, KekManagement, PushAuthentication, Role};
use claviger_isakmp::{iana::ExchangeType, wire::header};
use claviger_sansio::{NotSent, Time};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Kind, Network, Origin, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

/// How long a rekey may stay behind after its way is open again, its copies and the members' share included.
const CATCH_UP: Duration = Duration::from_secs(4);

/// The longest time between two attempts.
const RETRY: Duration = Duration::from_secs(2);

fn market() -> GroupId {
    group_id("market")
}

fn unreachable() -> NotSent {
    NotSent::from(&io::ErrorKind::NetworkUnreachable.into())
}

/// Has everything to multicast addresses refused until an instant.
fn refuse_until(network: &mut Network, until: Time) {
    network.refuses = Some(Box::new(move |now, transmit| {
        (now < until && transmit.destination.ip().is_multicast()).then(unreachable)
    }));
}

/// A sender, a receiver that stays and one that is to go.
fn three_members(seed: u64) -> (Network, [usize; 3]) {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    let members = [Role::Both, Role::Receiver, Role::Receiver].map(|role| network.joined(&market(), role));
    network.pass(3 * SECOND);
    (network, members)
}

fn evict(network: &mut Network, member: usize) -> Eviction {
    let id = network.members[member].id();
    let eviction = network.server.evict(network.now, &market(), &id).unwrap();
    network.settle();
    eviction
}

fn eviction(network: &Network, member: usize) -> Option<Eviction> {
    network.server.eviction(&market(), &network.members[member].id())
}

fn unreadable_from(network: &Network, member: usize) -> Time {
    match eviction(network, member) {
        Some(Eviction::Unreadable { from, .. }) => from,
        other => panic!("the messages have not left: {other:?}"),
    }
}

/// Sends ten payloads a second for a while.
fn talk(network: &mut Network, sender: usize, duration: Duration) {
    let end = network.now + duration;
    while network.now < end {
        network.send(sender, &market(), b"tick").unwrap();
        network.pass(Duration::from_millis(100));
    }
}

fn is_push(sent: &Sent) -> bool {
    let exchange = header::peek(&sent.octets).map(|(exchange, _)| exchange);
    sent.kind != Kind::Esp && sent.origin == Origin::Server && exchange == Some(ExchangeType::GROUPKEY_PUSH)
}

fn last_push(network: &Network) -> Time {
    network.wire.iter().rfind(|sent| is_push(sent)).unwrap().at
}

fn told(network: &Network, wanted: impl Fn(&Event) -> bool) -> usize {
    network.told.iter().filter(|(_, event)| wanted(event)).count()
}

fn stored_pushes(network: &Network) -> usize {
    network.stored().iter().filter(|(table, _)| table.name() == "push").map(|(_, count)| *count).sum()
}

fn pulls(network: &Network, members: &[usize]) -> u64 {
    let of = |place: &usize| network.members[*place].member.subscription(&market()).map_or(0, |s| s.pulls());
    members.iter().map(of).sum()
}

#[test]
fn a_rekey_that_was_refused_for_a_second_leaves_afterwards_and_nobody_pulls() {
    let (mut network, [sender, stayer, evicted]) = three_members(1);
    let before = pulls(&network, &[sender, stayer]);
    let open_at = network.now + SECOND;
    refuse_until(&mut network, open_at);
    // The evicted host hears no notice: only new keys keep it out.
    network.members[evicted].connected = false;
    assert_eq!(evict(&mut network, evicted), Eviction::Leaving);
    talk(&mut network, sender, CATCH_UP);
    assert!(laggards(&network, &market()).is_empty());
    assert_eq!(pulls(&network, &[sender, stayer]), before);
    assert_eq!(stored_pushes(&network), 0);
    assert!(unreadable_from(&network, evicted) > open_at + SECOND);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn an_eviction_is_over_when_the_last_copy_has_left_and_not_before() {
    let (mut network, [sender, _, evicted]) = three_members(2);
    let open_at = network.now + 90 * SECOND;
    refuse_until(&mut network, open_at);
    evict(&mut network, evicted);
    network.pass(80 * SECOND);
    assert_eq!(eviction(&network, evicted), Some(Eviction::Leaving));
    assert_eq!(told(&network, |event| matches!(event, Event::Departed { .. })), 0);
    let unsent = network.server.unsent(&market()).unwrap();
    assert_eq!((unsent.messages, unsent.reason), (2, unreachable()));
    assert_eq!(stored_pushes(&network), 2, "a restart would go on trying");
    talk(&mut network, sender, 10 * SECOND + CATCH_UP);
    assert_eq!(network.server.unsent(&market()), None);
    let activation_delay =
        network.server.group(network.now, &market()).unwrap().policy.times.activation_delay;
    assert_eq!(unreadable_from(&network, evicted), last_push(&network) + activation_delay);
    assert!(last_push(&network) < open_at + RETRY + SECOND / 2);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn it_is_told_once_that_messages_do_not_leave_and_once_that_they_do_again() {
    let (mut network, [_, _, evicted]) = three_members(3);
    let open_at = network.now + 60 * SECOND;
    refuse_until(&mut network, open_at);
    let since = network.now;
    evict(&mut network, evicted);
    network.server.rekey(network.now, &market(), RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(90 * SECOND);
    let stopped =
        |event: &Event| matches!(event, Event::PushesStopped { reason, .. } if *reason == unreachable());
    let resumed = |event: &Event| matches!(event, Event::PushesResumed { since: told, .. } if *told == since);
    assert_eq!((told(&network, stopped), told(&network, resumed)), (1, 1));
}

#[test]
fn no_message_overtakes_another_that_was_refused() {
    let (mut network, [sender, stayer, _]) = three_members(4);
    let before = pulls(&network, &[sender, stayer]);
    // One copy in the midst is refused: what stands behind it is under the KEK that it brings.
    let (mut copies, since) = (0, network.now);
    network.refuses = Some(Box::new(move |_, transmit| {
        copies += usize::from(transmit.destination.ip().is_multicast());
        (copies == 1).then(unreachable)
    }));
    network.server.rekey(network.now, &market(), RekeyWhat::Kek).unwrap();
    network.settle();
    network.pass(CATCH_UP);
    assert!(laggards(&network, &market()).is_empty());
    assert_eq!(pulls(&network, &[sender, stayer]), before);
    let sent = network.wire.iter().filter(|sent| is_push(sent) && sent.at >= since);
    assert_eq!(sent.count(), 6, "three copies each, though one was tried twice");
}

#[test]
fn members_follow_all_rekeys_of_an_outage_without_a_pull() {
    let (mut network, [sender, stayer, evicted]) = three_members(5);
    let before = pulls(&network, &[sender, stayer]);
    let open_at = network.now + 100 * SECOND;
    refuse_until(&mut network, open_at);
    evict(&mut network, evicted);
    for what in [RekeyWhat::Tek, RekeyWhat::Kek, RekeyWhat::Tek, RekeyWhat::Kek] {
        network.pass(10 * SECOND);
        network.server.rekey(network.now, &market(), what).unwrap();
        network.settle();
    }
    network.until(100 * SECOND, |network| laggards(network, &market()).is_empty());
    assert!(network.now.since(open_at) < CATCH_UP, "{:?}", network.now.since(open_at));
    network.pass(CATCH_UP);
    assert_eq!(pulls(&network, &[sender, stayer]), before);
    assert_eq!(stored_pushes(&network), 0);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn of_an_outage_with_very_many_rekeys_the_newest_leaves_and_members_pull() {
    let (mut network, [sender, stayer, evicted]) = three_members(6);
    let before = pulls(&network, &[sender, stayer]);
    let open_at = network.now + 200 * SECOND;
    refuse_until(&mut network, open_at);
    network.members[evicted].connected = false;
    evict(&mut network, evicted);
    for _ in 0..80 {
        network.pass(2 * SECOND);
        network.server.rekey(network.now, &market(), RekeyWhat::Kek).unwrap();
        network.settle();
        assert!(stored_pushes(&network) <= 64 + 2, "no more wait than the limit and the newest rekey");
    }
    assert_eq!(told(&network, |event| matches!(event, Event::PushesDropped { .. })), 1);
    assert_eq!(eviction(&network, evicted), Some(Eviction::Leaving));
    talk(&mut network, sender, 60 * SECOND);
    assert!(laggards(&network, &market()).is_empty());
    assert_eq!(pulls(&network, &[sender, stayer]), before + 2, "each once");
    assert!(unreadable_from(&network, evicted) > open_at);
    assert_eq!(stored_pushes(&network), 0);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_restart_goes_on_trying_and_still_says_from_when_on_nothing_is_readable() {
    let (mut network, [sender, _, evicted]) = three_members(7);
    let open_at = network.now + 60 * SECOND;
    refuse_until(&mut network, open_at);
    evict(&mut network, evicted);
    for _ in 0..3 {
        network.pass(10 * SECOND);
        network.restart();
        assert_eq!(eviction(&network, evicted), Some(Eviction::Leaving));
    }
    talk(&mut network, sender, 30 * SECOND + CATCH_UP);
    assert!(laggards(&network, &market()).is_empty());
    let from = unreadable_from(&network, evicted);
    assert_eq!(from, last_push(&network) + SECOND);
    let said = |event: &Event| matches!(event, Event::Departed { deaf_at, .. } if *deaf_at == from);
    assert_eq!(told(&network, said), 1);
    network.restart();
    assert_eq!(eviction(&network, evicted), Some(Eviction::Unreadable { from, was_member: true }));
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn what_the_program_does_not_report_on_counts_as_not_sent() {
    let (mut network, [_, stayer, _]) = three_members(8);
    network.server.rekey(network.now, &market(), RekeyWhat::Tek).unwrap();
    let staged = network.server.stage(network.now).unwrap();
    let commit = staged.commit(|changes| claviger_store::Store::commit(&mut network.store, changes));
    let mut released = network.server.release(commit.unwrap());
    while let Some(dispatch) = released.poll_transmit() {
        drop(dispatch);
    }
    drop(released);
    assert_eq!(network.server.unsent(&market()).unwrap().reason, NotSent::Unreported);
    network.pass(SECOND);
    assert!(network.is_current(stayer, &market()), "it was tried again");
}

#[test]
fn the_instant_of_an_eviction_counts_from_when_copies_left_a_slow_disk() {
    let (mut network, [sender, _, evicted]) = three_members(9);
    network.disk = SECOND / 2;
    network.members[evicted].connected = false;
    evict(&mut network, evicted);
    talk(&mut network, sender, 10 * SECOND);
    let from = unreadable_from(&network, evicted);
    assert!(last_push(&network) + SECOND <= from, "{} {from}", last_push(&network));
    assert!(laggards(&network, &market()).is_empty());
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_place_that_cannot_be_reached_holds_nobody_else_up_and_the_eviction_is_not_over() {
    let (here, there) = (IpAddr::from([239, 192, 7, 1]), IpAddr::from([239, 192, 7, 2]));
    let mut placed = policy(1);
    placed.rekey.management = KekManagement::Lkh32;
    placed.rekey.authentication = PushAuthentication::Batch;
    let place =
        |prefix: &str, push_address| GroupPlace { prefix: prefix.parse().unwrap(), push_address, members: 4 };
    placed.tree.places = vec![place("10.1.0.0/16", here), place("10.2.0.0/16", there)];
    let mut network = Network::new(10);
    network.add_group(&market(), placed);
    let member = |network: &mut Network, address: [u8; 4], role| {
        let member = network.add_member();
        network.members[member].address = address.into();
        network.join(member, &market(), role);
        network.until(30 * SECOND, |network| network.is_keyed(member, &market()));
        member
    };
    let sender = member(&mut network, [10, 1, 0, 1], Role::Both);
    let stayer = member(&mut network, [10, 2, 0, 1], Role::Receiver);
    let evicted = member(&mut network, [10, 2, 0, 2], Role::Receiver);
    network.pass(3 * SECOND);
    let open_at = network.now + 20 * SECOND;
    network.refuses = Some(Box::new(move |now, transmit| {
        (now < open_at && transmit.destination.ip() == there).then(unreachable)
    }));
    evict(&mut network, evicted);
    network.pass(SECOND);
    assert!(network.is_current(sender, &market()), "its messages go elsewhere");
    assert_eq!(eviction(&network, evicted), Some(Eviction::Leaving));
    network.pass(20 * SECOND + CATCH_UP);
    assert!(network.is_current(stayer, &market()));
    assert!(unreadable_from(&network, evicted) > open_at);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn who_is_evicted_again_is_out_since_then_until_it_is_allowed_again() {
    let (mut network, [_, _, evicted]) = three_members(11);
    evict(&mut network, evicted);
    assert_eq!(evict(&mut network, evicted), Eviction::Leaving, "its answer was lost");
    network.pass(CATCH_UP);
    let from = unreadable_from(&network, evicted);
    network.restart();
    let said = Eviction::Unreadable { from, was_member: true };
    assert_eq!(evict(&mut network, evicted), said);
    let id = network.members[evicted].id();
    network.server.allow(network.now, &market(), &id, Role::Receiver).unwrap();
    network.settle();
    assert_eq!(eviction(&network, evicted), None);
    let now = network.now;
    assert_eq!(evict(&mut network, evicted), Eviction::Unreadable { from: now, was_member: false });
    let nobody = "2001:20::1".parse().unwrap();
    assert!(network.server.evict(now, &market(), &nobody).is_err(), "it never was on the list");
    network.server.remove_group(network.now, &market()).unwrap();
    network.settle();
    assert!(!network.stored().keys().any(|table| table.name() == "departure"));
}

#[test]
fn the_last_words_of_a_group_that_is_gone_are_not_tried_for_ever() {
    let (mut network, _) = three_members(12);
    network.refuses =
        Some(Box::new(|_, transmit| transmit.destination.ip().is_multicast().then(unreachable)));
    network.server.remove_group(network.now, &market()).unwrap();
    network.settle();
    network.pass(70 * SECOND);
    assert_eq!(told(&network, |event| matches!(event, Event::PushesDropped { .. })), 1);
    assert_eq!(network.server.poll_timeout().filter(|at| *at < network.now + RETRY), None);
}
