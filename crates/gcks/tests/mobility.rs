//! Members that move: the key server learns, verified, where they are, and they stay in their groups.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use claviger_gcks::Event as ServerEvent;
use claviger_group::{GroupId, Role};
use claviger_member::{Event, event::PullReason};
use claviger_sansio::Socket;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Kind, Network, Origin, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);
const AWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn network(seed: u64) -> (Network, GroupId, usize) {
    let mut network = Network::new(seed);
    let group = group_id("market");
    network.add_group(&group, policy(1));
    let place = network.joined(&group, Role::Both);
    network.pass(3 * SECOND);
    (network, group, place)
}

fn address_of(network: &Network, place: usize) -> Option<IpAddr> {
    network.server.address_of(&network.members[place].id()).map(|address| address.ip())
}

fn moves(network: &Network) -> usize {
    network.told.iter().filter(|(_, event)| matches!(event, ServerEvent::Moved { .. })).count()
}

/// Counts the HIP packets of a type that were sent.
fn hip_packets(network: &Network, packet_type: u8) -> usize {
    let wanted = |kind| matches!(kind, Kind::Control(Socket::HipUdp));
    network.wire.iter().filter(|sent| wanted(sent.kind) && sent.octets[2] == packet_type).count()
}

// UPDATE { LOCATOR_SET, SEQ }           -->
//                                       <--   UPDATE { SEQ, ACK, ECHO_REQUEST_SIGNED }
// UPDATE { ACK, ECHO_RESPONSE_SIGNED }  -->
// GROUPKEY-PULL 1, 3                    -->
//                                       <--   2, 4
#[test]
fn a_member_that_moves_is_followed_and_fetches_its_keys_again() {
    let (mut network, group, place) = network(1);
    let home = network.members[place].address;
    assert_eq!(address_of(&network, place), Some(home.into()));
    let exchanges = hip_packets(&network, 3);

    network.readdress(place, AWAY);
    assert_eq!(address_of(&network, place), Some(home.into()), "nothing is proven yet");
    network.pass(5 * SECOND);
    assert_eq!(address_of(&network, place), Some(AWAY.into()));
    assert_eq!(moves(&network), 1);
    let node = &network.members[place];
    assert_eq!(node.count(|event| matches!(event, Event::Moved)), 1);
    let again = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::Moved, .. });
    assert_eq!(node.count(again), 1);
    assert_eq!(hip_packets(&network, 3), exchanges, "no new base exchange");
    assert!(laggards(&network, &group).is_empty());

    // The eviction reaches it where it is.
    let id = network.members[place].id();
    network.server.evict(network.now, &group, &id).unwrap();
    network.settle();
    network.pass(SECOND);
    assert_eq!(network.members[place].count(|event| matches!(event, Event::Evicted { .. })), 1);
    judge(&network, &group, &[]).acquit();
}

#[test]
fn where_a_member_is_survives_a_restart_of_the_key_server_at_any_packet_of_the_move() {
    for kill_at in 0..6 {
        let (mut network, group, place) = network(10 + kill_at);
        network.readdress(place, AWAY);
        for _ in 0..kill_at {
            let end = network.now + SECOND;
            network.step_before(end);
        }
        network.restart();
        network.pass(40 * SECOND);
        assert_eq!(address_of(&network, place), Some(AWAY.into()), "killed at {kill_at}");
        network.restart();
        assert_eq!(address_of(&network, place), Some(AWAY.into()), "killed at {kill_at}");
        assert!(laggards(&network, &group).is_empty());
    }
}

#[test]
fn a_member_that_is_not_reached_where_it_says_is_where_it_was() {
    let (mut network, _, place) = network(3);
    let home = network.members[place].address;
    network.passes =
        Some(Box::new(|sent| sent.origin != Origin::Server || sent.destination.ip() != IpAddr::V4(AWAY)));
    network.readdress(place, AWAY);
    network.pass(20 * SECOND);
    assert_eq!(address_of(&network, place), Some(home.into()));
    assert_eq!(moves(&network), 0);
    // The member learns that nobody hears it, and calls from where it is until somebody does.
    network.passes = None;
    network.pass(120 * SECOND);
    assert_eq!(address_of(&network, place), Some(AWAY.into()));
}

#[test]
fn nobody_has_an_address_without_an_association() {
    let (mut network, _, place) = network(4);
    let id = network.members[place].id();
    network.members[place].member.leave(network.now);
    network.settle();
    network.pass(400 * SECOND);
    assert_eq!(network.server.address_of(&id), None);
}
