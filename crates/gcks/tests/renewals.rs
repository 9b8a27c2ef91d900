//! The keys of associations are renewed while members pull, hold leases and are put out.
//!
//! ```text
//! UPDATE { SEQ, DIFFIE_HELLMAN }   -->
//!                                  <--   UPDATE { ACK, DIFFIE_HELLMAN }      either registration SA is taken
//! UPDATE { SEQ }                   -->
//!                                  <--   UPDATE { ACK }                      the older one ends a minute later
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{cell::Cell, collections::BTreeSet, net::IpAddr, rc::Rc, time::Duration};

use claviger_gcks::Counter;
use claviger_gdoi::limits::EXCHANGE_LIFETIME;
use claviger_group::{GroupId, Role, policy::LeasePolicy};
use claviger_isakmp::{iana::ExchangeType, wire::header};
use claviger_member::Event;
use claviger_sansio::Socket;
use claviger_testkit::{
    judge::judge,
    network::{Kind, Network, Origin, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// HIP's packet types (RFC 7401 section 5.3).
const I2: u8 = 3;
const UPDATE: u8 = 16;

fn market() -> GroupId {
    group_id("market")
}

/// A group whose senders need leases of half a minute, with one member; associations have new keys each minute.
fn network(seed: u64) -> (Network, usize) {
    let mut network = Network::renewing(MINUTE, seed);
    let mut policy = policy(1);
    policy.lease = LeasePolicy { time: Some(MINUTE / 2), receivers: false };
    network.add_group(&market(), policy);
    let member = network.joined(&market(), Role::Both);
    (network, member)
}

fn renewals(network: &Network) -> u64 {
    network.server.counters().gcks[Counter::AssociationRekeys]
}

fn hip_packets(network: &Network, packet_type: u8) -> usize {
    let wanted = |sent: &&Sent| sent.kind == Kind::Control(Socket::HipUdp) && sent.octets[2] == packet_type;
    network.wire.iter().filter(wanted).count()
}

fn exchange(sent: &Sent) -> Option<ExchangeType> {
    let gdoi = sent.kind == Kind::Control(Socket::Port848);
    gdoi.then(|| header::peek(&sent.octets)).flatten().map(|(exchange, _)| exchange)
}

fn is_update(sent: &Sent) -> bool {
    sent.kind == Kind::Control(Socket::HipUdp) && sent.octets[2] == UPDATE
}

/// The cookies that stand in messages of an exchange type.
fn cookies(network: &Network, wanted: ExchangeType) -> BTreeSet<Vec<u8>> {
    let messages = network.wire.iter().filter(|sent| exchange(sent) == Some(wanted));
    messages.map(|sent| sent.octets[..16].to_vec()).collect()
}

fn pulls(network: &Network, member: usize) -> u64 {
    network.members[member].member.subscription(&market()).unwrap().pulls()
}

#[test]
fn leases_go_on_over_renewals_and_nobody_pulls_for_them() {
    let (mut network, member) = network(1);
    for second in 0..600 {
        network.pass(SECOND);
        assert_eq!(network.send(member, &market(), b"quote"), Ok(()), "second {second}");
    }
    assert!((10..=12).contains(&renewals(&network)), "{}", renewals(&network));
    assert_eq!((hip_packets(&network, I2), pulls(&network, member)), (1, 1));
    // Each lease is asked for under the keys of its time.
    assert!(cookies(&network, ExchangeType::LEASE).len() >= 10);
    judge(&network, &market(), &[]).acquit();
}

/// The answers of the key server are lost until the keys of the association are new.
#[test]
fn a_pull_that_began_before_a_renewal_ends_under_the_old_keys() {
    let (mut network, member) = network(2);
    network.pass(MINUTE * 7 / 8 - 2 * SECOND);
    assert_eq!(renewals(&network), 0);
    network.wire.clear();
    let address = IpAddr::V4(network.members[member].address);
    network.passes = Some(Box::new(move |sent| {
        !(sent.origin == Origin::Server && sent.destination.ip() == address && exchange(sent).is_some())
    }));
    let now = network.now;
    network.members[member].member.pull_now(now, &market());
    network.settle();
    network.until(MINUTE, |network| renewals(network) == 1);
    assert_eq!(pulls(&network, member), 1);
    network.passes = None;
    network.until(20 * SECOND, |network| pulls(network, member) == 2);
    assert_eq!(cookies(&network, ExchangeType::GROUPKEY_PULL).len(), 1);
    // The next one is under the new keys.
    let now = network.now;
    network.members[member].member.pull_now(now, &market());
    network.settle();
    network.pass(SECOND);
    assert_eq!(pulls(&network, member), 3);
    assert_eq!(cookies(&network, ExchangeType::GROUPKEY_PULL).len(), 2);
}

#[test]
fn what_was_said_under_the_old_keys_is_not_answered_a_minute_later() {
    let (mut network, member) = network(3);
    network.pass(MINUTE * 3 / 4);
    let of_member =
        |sent: &&Sent| sent.origin == Origin::Member(member) && exchange(sent) == Some(ExchangeType::LEASE);
    let old = network.wire.iter().rfind(of_member).unwrap().clone();
    let replay = |network: &mut Network| {
        let address = network.members[member].address;
        let before = network.drops.get("unknown_cookies").copied().unwrap_or_default();
        let (kind, octets) = (old.kind, old.octets.clone());
        network.fly(Origin::Member(member), (address, 848).into(), kind, old.destination, octets);
        network.pass(SECOND);
        network.drops.get("unknown_cookies").copied().unwrap_or_default() - before
    };
    network.until(MINUTE, |network| renewals(network) == 1);
    assert_eq!(replay(&mut network), 0, "it may have been under way");
    network.pass(EXCHANGE_LIFETIME);
    assert_eq!(replay(&mut network), 1);
}

/// The key server is killed when a packet of the renewal is on the wire, and that packet is lost or not.
#[test]
fn a_renewal_survives_a_kill_of_the_key_server_at_any_packet() {
    for arrives in [true, false] {
        for kill_at in 1..5 {
            let what = format!("killed at {kill_at}, which arrives {arrives}");
            let (mut network, member) = network(10 + kill_at);
            network.pass(10 * SECOND);
            let (packets, dies) = (Cell::new(0), Rc::new(Cell::new(false)));
            let dead = Rc::clone(&dies);
            network.passes = Some(Box::new(move |sent| {
                if dead.get() {
                    return false;
                }
                packets.set(packets.get() + u64::from(is_update(sent)));
                dead.set(packets.get() == kill_at);
                arrives || !dead.get()
            }));
            network.until(MINUTE, |_| dies.get());
            network.restart();
            network.passes = None;
            network.pass(2 * MINUTE);
            assert!(renewals(&network) >= 1, "{what}");
            assert_eq!(hip_packets(&network, I2), 1, "{what}: no new base exchange");
            let before = pulls(&network, member);
            let now = network.now;
            network.members[member].member.pull_now(now, &market());
            network.settle();
            network.pass(5 * SECOND);
            assert_eq!(pulls(&network, member), before + 1, "{what}");
            assert!(network.is_current(member, &market()), "{what}");
        }
    }
}

/// The host is put out while it holds two sets of keys, and hears of it.
#[test]
fn an_eviction_in_the_middle_of_a_renewal_is_heard() {
    for lost in 1..5 {
        let (mut network, member) = network(20 + lost);
        let other = network.joined(&market(), Role::Both);
        let address = IpAddr::V4(network.members[member].address);
        let (packets, reached) = (Cell::new(0), Rc::new(Cell::new(false)));
        let is_lost = Rc::clone(&reached);
        network.passes = Some(Box::new(move |sent| {
            let concerns = sent.origin == Origin::Member(member) || sent.destination.ip() == address;
            packets.set(packets.get() + u64::from(is_update(sent) && concerns));
            let loses = packets.get() == lost && is_update(sent) && concerns;
            is_lost.set(is_lost.get() || loses);
            !loses
        }));
        network.until(MINUTE, |_| reached.get());
        let host = network.members[member].id();
        network.server.evict(network.now, &market(), &host).unwrap();
        network.settle();
        let evicted = |event: &Event| matches!(event, Event::Evicted { .. });
        network.until(5 * SECOND, |network| network.members[member].count(evicted) == 1);
        network.pass(SECOND);
        network.send(other, &market(), b"quote").unwrap();
        network.pass(SECOND);
        judge(&network, &market(), &[]).acquit();
    }
}
