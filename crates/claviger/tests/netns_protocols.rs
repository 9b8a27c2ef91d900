//! HIP on IP protocol 139, GDOI on UDP 848 and ESP as IP protocol 50, between hosts on a snooping switch.
//!
//! | host | what |
//! |---|---|
//! | 1 | the key server |
//! | 2 | the sender, a program behind its member's TUN device |
//! | 3 | a receiver that stays |
//! | 4 | a receiver that is evicted |
//! | 5 | a receiver that leaves |
//! | 6 | nobody, who never joined anything |

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod support;

use std::{collections::BTreeSet, net::IpAddr, thread, time::Duration};

use claviger_testkit::{
    lab::{self, Lab, laboratory},
    pcap::IpPacket,
    process::eventually,
};
use support::{Film, KeyServer, Keys, MARK, Member, PATIENCE, Screen, TUN, now};

/// The IP protocol of ESP.
const ESP: u8 = 50;

/// The IP protocol of HIP.
const HIP: u8 = 139;

/// The IP protocol of UDP.
const UDP: u8 = 17;

/// The port of GDOI.
const GDOI: u16 = 848;

/// The hosts.
const HOSTS: u8 = 6;

/// How long the film goes on after an event before it is looked at who saw what.
const SCENE: Duration = Duration::from_millis(700);

/// A group, and how its data travels.
struct Channel {
    group: &'static str,
    /// Whether only host 2 may send to it, by the network's own rule (RFC 4607).
    source_specific: bool,
    encapsulation: &'static str,
}

#[test]
fn transport_mode_on_ipv4_from_any_source() {
    let channel = Channel { group: "239.192.7.1", source_specific: false, encapsulation: "transport" };
    film("transport_mode_on_ipv4_from_any_source", &channel);
}

#[test]
fn tunnel_mode_on_ipv4_from_one_source() {
    let channel = Channel { group: "232.7.7.2", source_specific: true, encapsulation: "tunnel" };
    film("tunnel_mode_on_ipv4_from_one_source", &channel);
}

#[test]
fn transport_mode_on_ipv6_from_one_source() {
    let channel = Channel { group: "ff35::8000:73", source_specific: true, encapsulation: "transport" };
    film("transport_mode_on_ipv6_from_one_source", &channel);
}

#[test]
fn tunnel_mode_on_ipv6_from_any_source() {
    let channel = Channel { group: "ff15::74", source_specific: false, encapsulation: "tunnel" };
    film("tunnel_mode_on_ipv6_from_any_source", &channel);
}

fn film(test: &str, channel: &Channel) {
    if lab::installed(test, &[lab::NFT]) && lab::tun_permitted(test) {
        laboratory(test, HOSTS, |lab| play(lab, channel));
    }
}

fn play(lab: &Lab, channel: &Channel) {
    let group: IpAddr = channel.group.parse().unwrap();
    let (sender_host, outside) = (lab.host(2), lab.host(6));
    let sender_address = sender_host.address_like(group);
    let source = sender_address.to_string();
    let mut policy = vec!["--address", channel.group, "--encapsulation", channel.encapsulation];
    if channel.source_specific {
        policy.extend(["--source", &source]);
    }
    let wire = sender_host.capture();
    let control = lab.host(1).capture();
    let beside = outside.capture();

    let server = KeyServer::start(lab, lab.host(1), true);
    server.add_group("film", &policy);
    let join = |number: u8| {
        let identity = server.identity(lab.host(number));
        let (role, options) = match number {
            2 => ("both", &["--tun", TUN, "--sender"][..]),
            _ => ("receiver", &["--tun", TUN][..]),
        };
        server.allow("film", &identity, role);
        server.join(identity, group, "film", options)
    };
    let [mut sender, mut stays, mut evicted, mut leaves] = [2, 3, 4, 5].map(join);
    for member in [&mut sender, &mut stays, &mut evicted, &mut leaves] {
        member.wait_until_keyed();
    }
    one_epoch(&mut [&mut sender, &mut stays, &mut evicted, &mut leaves]);

    // Everybody sees the film.
    let screens = [3, 4, 5].map(|number| Screen::start(lab.host(number), group));
    let film = Film::start(sender_host, group);
    for screen in &screens {
        eventually("the film is seen", PATIENCE, || (screen.seen().len() > 20).then_some(()));
    }

    // One leaves: its device is gone, and the others go on under other keys.
    let before_leaving = stays.keys();
    leaves.leave();
    eventually("a new traffic key after a departure", PATIENCE, || {
        let keys = stays.keys();
        (keys.kek() != before_leaving.kek() && keys.current() != before_leaving.current()).then_some(())
    });
    thread::sleep(SCENE);
    let left_with = screens[2].seen();

    // One is evicted that hears nothing of it, and so keeps its keys and goes on listening.
    lab.host(4).nft(&format!(
        "table inet deaf {{ chain input {{ type filter hook input priority 0; meta l4proto {HIP} counter drop; \
         udp dport {GDOI} counter drop; udp sport {GDOI} counter drop; }}; }}"
    ));
    let held = evicted.keys().spis();
    let eviction = server.evict("film", &evicted.hit);
    assert!(eviction.was_member);
    assert!(eviction.deaf_at <= now(), "the command returns when the member is deaf");
    thread::sleep(SCENE);
    let still_held = evicted.keys().spis();
    assert!(still_held.is_subset(&held), "an evicted member got a new key: {held:x?} {still_held:x?}");
    assert!(lab.host(4).rule_hits() > 0, "it was told, and did not hear it");

    let sent = film.stop();
    thread::sleep(Duration::from_millis(200));
    let [stayed, heard, _] = screens.map(|screen| screen.seen());
    assert!(
        left_with.is_subset(&stayed) && left_with.len() < stayed.len(),
        "who left saw no more: {left_with:?}"
    );

    // Who stayed lost nothing to three rekeys.
    let first = *stayed.first().unwrap();
    let missing: Vec<usize> = (first..sent.len()).filter(|picture| !stayed.contains(picture)).collect();
    assert_eq!(missing, Vec::<usize>::new(), "lost by the receiver that stayed, of {} pictures", sent.len());

    // Who was evicted saw the film until then, and nothing that was sent since.
    let last = *heard.last().unwrap();
    let deaf_at = eviction.deaf_at;
    assert!(
        sent[last] <= deaf_at,
        "picture {last}, sent at {:?}, was read by a host deaf at {deaf_at:?}",
        sent[last]
    );
    assert!(deaf_at - sent[last] < Duration::from_secs(2), "it saw the film until then");
    assert!(sent.iter().filter(|at| **at > deaf_at).count() > 20, "the film went on");

    let wire = wire.stop().packets();
    let data: Vec<_> = wire.iter().filter(|(_, packet)| is_data(packet, group)).collect();
    assert!(data.len() >= sent.len(), "{} packets of {} pictures", data.len(), sent.len());
    assert!(data.iter().all(|(_, packet)| packet.source == sender_address), "addresses are preserved");
    let readable = |(at, packet): &&&(Duration, IpPacket)| *at > deaf_at && held.contains(&spi(packet));
    assert_eq!(
        data.iter().filter(readable).count(),
        0,
        "sent after {deaf_at:?} under keys of the evicted member"
    );
    let spis: BTreeSet<u32> = data.iter().map(|(_, packet)| spi(packet)).collect();
    assert!(spis.len() >= 3, "a key each for: all, all but one, all but two: {spis:x?}");
    assert!(
        !wire.iter().any(|(_, packet)| holds(&packet.payload, MARK)),
        "the film went over the wire in the clear"
    );

    let control = control.stop().packets();
    let count =
        |wanted: &dyn Fn(&IpPacket) -> bool| control.iter().filter(|(_, packet)| wanted(packet)).count();
    assert!(count(&|packet| packet.protocol == HIP) >= 4 * 4, "four base exchanges of four packets");
    assert!(count(&|packet| packet.udp().is_some_and(|(_, to, _)| to == 10_500)) == 0, "HIP went by UDP");
    let pulls = count(&|packet| {
        packet.udp().is_some_and(|(_, to, _)| to == GDOI && !packet.destination.is_multicast())
    });
    assert!(pulls >= 4 * 2, "four PULLs of two messages to the server, not {pulls} messages");
    let pushes = count(&|packet| {
        packet.udp().is_some_and(|(_, to, _)| to == GDOI) && packet.destination.is_multicast()
    });
    assert!(pushes >= 2 * 2 * 3, "two departures, two messages each, three times, not {pushes} messages");

    let flooded = beside.stop().packets();
    let flooded: Vec<_> = flooded
        .iter()
        .filter(|(_, packet)| [ESP, UDP].contains(&packet.protocol) && packet.destination == group)
        .collect();
    assert_eq!(
        flooded,
        Vec::<&(Duration, IpPacket)>::new(),
        "a host that never joined got the group's packets"
    );

    sender.leave();
    stays.leave();
}

/// Waits until members hold the same KEK and send under the same TEK.
fn one_epoch(members: &mut [&mut Member<'_>]) {
    eventually("members of one epoch", PATIENCE, || {
        let keys: Vec<Keys> = members.iter_mut().map(|member| member.keys()).collect();
        let same = |other: &Keys| other.kek() == keys[0].kek() && other.current() == keys[0].current();
        (keys[0].current().is_some() && keys.iter().all(same)).then_some(())
    });
}

fn is_data(packet: &IpPacket, group: IpAddr) -> bool {
    packet.protocol == ESP && packet.destination == group
}

/// The SPI of an ESP packet (RFC 4303 section 2).
fn spi(packet: &IpPacket) -> u32 {
    u32::from_be_bytes(*packet.payload.first_chunk().unwrap())
}

fn holds(octets: &[u8], text: &[u8]) -> bool {
    octets.windows(text.len()).any(|window| window == text)
}
