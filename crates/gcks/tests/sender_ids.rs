//! Sender ids: whose they are, how many a member may have, and that none serves two under one key.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeSet, time::Duration};

use claviger_gcks::{Counter, Event as ServerEvent, event::RekeyCause};
use claviger_group::{GroupId, Role};
use claviger_member::{Event, event::PullReason};
use claviger_sansio::durable::{Change, Table};
use claviger_store::Store;
use claviger_testkit::{
    judge::judge,
    network::{Network, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// A group whose sender ids have 8 bits, with so many senders.
fn begun(seed: u64, senders: usize) -> Network {
    let mut network = Network::new(seed);
    let mut few = policy(1);
    few.data.sender_id_bits = 8;
    network.add_group(&market(), few);
    for _ in 0..senders {
        network.joined(&market(), Role::Both);
        network.pass(SECOND);
    }
    network.pass(5 * SECOND);
    network
}

fn pull(network: &mut Network, place: usize) {
    let now = network.now;
    network.members[place].member.pull_now(now, &market());
    network.settle();
    network.pass(2 * SECOND);
    network.send(place, &market(), b"under the ids of that PULL").unwrap();
}

/// The ids that the last PULL brought each member.
fn ids(network: &Network) -> Vec<Vec<u32>> {
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    hosts.into_iter().map(|host| host.sender_ids).collect()
}

/// How often members were told that every SA of the group has ended.
fn deleted(network: &Network) -> usize {
    let deleted = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::Deleted, .. });
    network.members.iter().map(|node| node.count(deleted)).sum()
}

#[test]
fn senders_that_use_their_share_begin_anew_and_the_group_never_starts_over() {
    let mut network = begun(60, 20);
    // A share is six; two of the senders use many times that, and all of them together more than there are.
    for turn in 0..200 {
        pull(&mut network, if turn % 3 == 0 { turn % 20 } else { turn % 2 });
    }
    assert_eq!(deleted(&network), 0);
    let caused = |cause| {
        let by = |event: &ServerEvent| matches!(event, ServerEvent::Rekeyed(rekeyed) if rekeyed.cause.contains(cause) && !rekeyed.cause.contains(RekeyCause::Join));
        network.told.iter().filter(|(_, event)| by(event)).count()
    };
    assert!((15..40).contains(&caused(RekeyCause::SenderIdsSpent)), "{}", caused(RekeyCause::SenderIdsSpent));
    let given: Vec<u32> = ids(&network).concat();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "{given:?}");
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn hosts_that_come_and_go_use_up_no_sender_ids() {
    let mut network = begun(61, 2);
    network.keeps_keys = false;
    for _ in 0..300 {
        let place = network.joined(&market(), Role::Both);
        let now = network.now;
        network.members[place].member.leave(now);
        network.settle();
        network.pass(SECOND);
    }
    assert_eq!((deleted(&network), network.server.counters().gcks[Counter::SenderIdsRefused]), (0, 0));
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 2);
}

#[test]
fn a_restart_of_the_key_server_forgets_nobodys_sender_ids() {
    let mut network = begun(62, 6);
    for turn in 0..120 {
        if turn % 7 == 0 {
            network.restart();
        }
        pull(&mut network, turn % 6);
    }
    assert_eq!(deleted(&network), 0);
    judge(&network, &market(), &[]).acquit();
}

/// Has a group's record say, as those of version 5 did, how many ids were given, and not to whom. Then starts the key server
/// again.
fn restart_as_of_before(network: &mut Network, issued: u8) {
    let group = Table::new("group");
    let (_, key, octets) = network.records().into_iter().find(|(table, ..)| *table == group).unwrap();
    let mut octets = octets.expose().to_vec();
    // Two ids were given, and from none on it was noted to whom.
    let at = octets.windows(8).position(|part| part == [0, 0, 0, 2, 0, 0, 0, 0]).unwrap();
    octets.splice(at..at + 8, [0, 0, 0, issued]);
    octets[0] = 5;
    let _ = network.store.commit(&[Change::put(group, key, octets)]).unwrap();
    network.restart();
}

#[test]
fn what_was_given_before_it_was_noted_to_whom_is_not_given_again() {
    let mut network = begun(63, 2);
    restart_as_of_before(&mut network, 100);
    for turn in 0..200 {
        pull(&mut network, turn % 2);
        assert!(ids(&network)[turn % 2].iter().all(|id| *id < 2 || *id >= 100), "{:?}", ids(&network));
        if turn == 20 {
            network.restart();
        }
    }
    assert_eq!(deleted(&network), 0);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_group_of_which_it_was_not_noted_who_has_most_ids_starts_over_once() {
    let mut network = begun(64, 2);
    restart_as_of_before(&mut network, 129);
    network.pass(10 * SECOND);
    assert_eq!(deleted(&network), 2);
    network.restart();
    network.pass(10 * SECOND);
    for place in 0..2 {
        pull(&mut network, place);
    }
    assert_eq!(deleted(&network), 2);
    judge(&network, &market(), &[]).acquit();
}
