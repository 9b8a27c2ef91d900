//! A group that nobody joins and nobody leaves is rekeyed for years.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeMap, time::Duration};

use claviger_gcks::RekeyWhat;
use claviger_group::{GroupId, KekManagement, Role};
use claviger_member::{Event, Member};
use claviger_sansio::counter::Kind;
use claviger_testkit::{
    extent,
    network::{Network, group_id, new_identity, policy},
};

/// With the default policy, a KEK each 12 hours, these are more than two years, and in a whole run more than thirteen.
fn rekeys() -> usize {
    if extent::is_whole() { 10_000 } else { 1_500 }
}

/// A rekey is over within this: its copies have left, and no member waits for anything.
const PAUSE: Duration = Duration::from_secs(1);

/// How often what has been on the wire is thrown away, so that the test needs no memory for it.
const WIRE_KEPT: usize = 100;

/// A TEK that is superseded each second receives for five more.
const TEKS_HELD_MAX: usize = 7;

fn market() -> GroupId {
    group_id("market")
}

/// Three members of a binary tree, which has grown under them.
fn group_at_rest(management: KekManagement) -> Network {
    let mut network = Network::new(62);
    network.keeps_keys = false;
    let mut binary = policy(1);
    (binary.tree.degree, binary.rekey.management) = (2, management);
    network.add_group(&market(), binary);
    for _ in 0..3 {
        let member = network.add_member_as(new_identity());
        network.join(member, &market(), Role::Both);
        network.until(Duration::from_secs(30), |network| network.is_keyed(member, &market()));
    }
    network.pass(Duration::from_secs(20));
    network
}

/// Has every member fetch its keys.
fn pull(network: &mut Network) {
    for place in 0..network.members.len() {
        let now = network.now;
        network.members[place].member.pull_now(now, &market());
    }
    network.settle();
    network.pass(10 * PAUSE);
}

fn tree_keys(network: &Network) -> Vec<usize> {
    let held = |member: &Member| member.subscription(&market()).unwrap().tree_keys();
    network.members.iter().map(|node| held(&node.member)).collect()
}

type Drops = BTreeMap<(&'static str, &'static str), u64>;

/// What each member has dropped; copies of a message that came are no loss.
fn drops(network: &Network) -> Vec<Drops> {
    let lost = |member: &Member| {
        let drops = member.counters().figures().filter(|f| f.kind == Kind::Drop && f.count > 0);
        let lost = drops.filter(|figure| (figure.machine, figure.name) != ("gdoi", "replayed"));
        lost.map(|figure| ((figure.machine, figure.name), figure.count)).collect()
    };
    network.members.iter().map(|node| lost(&node.member)).collect()
}

/// Goes through what members missed since they had dropped so much.
fn complaints(network: &Network, before: &[Drops]) -> Vec<String> {
    let mut complaints = Vec::new();
    if drops(network) != before {
        complaints.push(format!("dropped: {:?}", drops(network)));
    }
    for (place, node) in network.members.iter().enumerate() {
        let pulls = node.count(|event| matches!(event, Event::PullAgain { .. }));
        if pulls > 0 {
            complaints.push(format!("member {place} pulled again {pulls} times"));
        }
        if !network.is_current(place, &market()) {
            complaints.push(format!("member {place} does not hold the keys in force"));
        }
    }
    complaints
}

/// Has a group at rest rekeyed, each time by what `kinds` says next.
fn rekey_for_ever(management: KekManagement, kinds: &[RekeyWhat]) {
    let mut network = group_at_rest(management);
    // A newcomer hears the end of the rekey that brought the one before it in.
    let before = drops(&network);
    let held = tree_keys(&network);
    pull(&mut network);
    let needed = tree_keys(&network);
    assert_eq!(held, needed, "no more is held after joins than a PULL brings");
    for (number, what) in (1..=rekeys()).zip(kinds.iter().cycle()) {
        network.server.rekey(network.now, &market(), *what).unwrap();
        network.settle();
        network.pass(PAUSE);
        assert_eq!(complaints(&network, &before), Vec::<String>::new(), "rekey {number}");
        assert_eq!(tree_keys(&network), needed, "rekey {number}");
        for node in &network.members {
            let teks = node.plane.status(&market()).len();
            assert!(teks <= TEKS_HELD_MAX, "{teks} TEKs are held after rekey {number}");
        }
        if number.is_multiple_of(WIRE_KEPT) {
            network.wire.clear();
            network.heard.clear();
        }
    }
    pull(&mut network);
    assert_eq!(tree_keys(&network), needed);
    assert!(network.members.iter().all(|node| node.member.subscription(&market()).unwrap().pulls() == 3));
    assert!(complaints(&network, &before).is_empty());
}

#[test]
fn a_still_group_under_lkh_follows_every_rekey_of_the_kek() {
    rekey_for_ever(KekManagement::Lkh, &[RekeyWhat::Kek]);
}

#[test]
fn a_still_group_under_lkh_follows_every_rekey_of_the_tek() {
    rekey_for_ever(KekManagement::Lkh, &[RekeyWhat::Tek]);
}

#[test]
fn a_still_group_under_lkh_follows_every_rekey_of_either_key() {
    rekey_for_ever(KekManagement::Lkh, &[RekeyWhat::Kek, RekeyWhat::Tek, RekeyWhat::Tek]);
}

#[test]
fn a_still_group_under_lkh_32_follows_every_rekey_of_the_kek() {
    rekey_for_ever(KekManagement::Lkh32, &[RekeyWhat::Kek]);
}

#[test]
fn a_still_group_under_lkh_32_follows_every_rekey_of_the_tek() {
    rekey_for_ever(KekManagement::Lkh32, &[RekeyWhat::Tek]);
}

#[test]
fn a_still_group_under_lkh_32_follows_every_rekey_of_either_key() {
    rekey_for_ever(KekManagement::Lkh32, &[RekeyWhat::Kek, RekeyWhat::Tek, RekeyWhat::Tek]);
}
