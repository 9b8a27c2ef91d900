//! Members whose host changes its address while they are in the group: the association lives on, the key server
//! follows, and the group's data goes on to come.
//!
//! | host | what |
//! |---|---|
//! | 1 | the key server |
//! | 2 | a sender, which moves in the end |
//! | 3 | a receiver, which moves |

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
    time::Duration,
};

use claviger_testkit::{
    lab::{self, Host, INTERFACE, Lab, laboratory},
    pcap::IpPacket,
    process::{Running, eventually},
};
use support::{Film, KeyServer, Member, PATIENCE, TUN};

/// The group.
const GROUP: &str = "239.192.7.9";

/// HIP's packet types (RFC 7401 section 5.3).
const I1: u8 = 1;
const I2: u8 = 3;
const UPDATE: u8 = 16;

/// The IP protocol of HIP, and its UDP port.
const HIP: u8 = 139;
const HIP_PORT: u16 = 10_500;

#[test]
fn a_member_of_esp_in_udp_moves_and_stays_in_the_group() {
    let test = "a_member_of_esp_in_udp_moves_and_stays_in_the_group";
    laboratory(test, 3, |lab| play(lab, false));
}

#[test]
fn a_member_behind_a_tun_device_moves_and_stays_in_the_group() {
    let test = "a_member_behind_a_tun_device_moves_and_stays_in_the_group";
    if lab::tun_permitted(test) {
        laboratory(test, 3, |lab| play(lab, true));
    }
}

/// `protocols` has HIP and ESP as IP protocols, with programs behind TUN devices; otherwise both go in UDP.
fn play(lab: &Lab, protocols: bool) {
    let group: IpAddr = GROUP.parse().unwrap();
    let server = KeyServer::start(lab, lab.host(1), protocols);
    let encapsulation = if protocols { "transport" } else { "udp-transport" };
    server.add_group("film", &["--address", GROUP, "--encapsulation", encapsulation]);
    let join = |number: u8, role, more: &[&str]| {
        let identity = server.identity(lab.host(number));
        server.allow("film", &identity, role);
        let tun = if protocols { &["--tun", TUN][..] } else { &[] };
        let mut member = server.join(identity, group, "film", &[tun, more].concat());
        member.wait_until_keyed();
        member
    };
    let mut sender = join(2, "both", &["--sender"]);
    let mut receiver = join(3, "receiver", &[]);
    let mut data = Some(Data::start(lab, &sender, protocols, group));
    hears(&mut receiver, "before it moves");
    let control = lab.host(1).capture();

    let away = Ipv4Addr::new(10, 7, 0, 33);
    relocate(receiver.host, away);
    followed(&server, &mut receiver, away);
    hears(&mut receiver, "after it moved");
    let before = receiver.keys();
    server.ask(&["rekey", "--group", "film", "--key", "kek"]);
    server.ask(&["rekey", "--group", "film", "--key", "tek"]);
    eventually("the member follows rekeys", PATIENCE, || {
        let (keys, wanted) = (receiver.keys(), server.keys("film"));
        (keys.kek() != before.kek() && keys.kek() == wanted.kek() && keys.current() == wanted.newest())
            .then_some(())
    });
    hears(&mut receiver, "under new keys");

    // The sender moves too, and is heard from where it is. A program behind its device has no address meanwhile.
    let sender_away = Ipv4Addr::new(10, 7, 0, 22);
    data = data.filter(|_| !protocols);
    relocate(sender.host, sender_away);
    followed(&server, &mut sender, sender_away);
    let data = data.unwrap_or_else(|| Data::start(lab, &sender, protocols, group));
    hears(&mut receiver, "of a sender that moved");

    for member in [&mut receiver, &mut sender] {
        let counters = &member.status()["counters"]["member"];
        assert_eq!(counters["registrations"], 1, "{counters}");
        assert_eq!(counters["moves"], 1, "{counters}");
    }
    drop(data);
    // What the key server has to say arrives where the member is now.
    assert!(server.evict("film", &receiver.hit).was_member);
    let status = receiver.daemon.wait(PATIENCE);
    assert!(!status.success() && receiver.daemon.errors().contains("put this host out"), "{status}");

    let packets: Vec<_> = control.stop().packets().into_iter().map(|(_, packet)| packet).collect();
    let hip: Vec<(u8, &IpPacket)> =
        packets.iter().filter_map(|packet| hip_type(packet).map(|kind| (kind, packet))).collect();
    let count = |kind: u8| hip.iter().filter(|(seen, _)| *seen == kind).count();
    assert_eq!((count(I1), count(I2)), (0, 0), "no new base exchange");
    for address in [away, sender_away] {
        let from =
            |(kind, packet): &&(u8, &IpPacket)| *kind == UPDATE && packet.source == IpAddr::V4(address);
        let to =
            |(kind, packet): &&(u8, &IpPacket)| *kind == UPDATE && packet.destination == IpAddr::V4(address);
        assert!(hip.iter().filter(from).count() >= 2, "{address} announces itself and answers");
        assert!(hip.iter().filter(to).count() >= 1, "{address} is verified");
    }
    sender.leave();
}

/// A host loses its address, is nowhere for a while, and gets another one, as from another network.
fn relocate(host: &Host, to: Ipv4Addr) {
    host.ip(&format!("addr del {}/24 dev {INTERFACE}", host.ipv4()));
    std::thread::sleep(Duration::from_millis(300));
    host.ip(&format!(
        "addr add {to}/24 dev {INTERFACE}\n\
         route replace 224.0.0.0/4 dev {INTERFACE}"
    ));
}

/// Waits until the key server has seen for itself that a member is at an address, and the member has fetched its keys
/// from there.
fn followed(server: &KeyServer<'_>, member: &mut Member<'_>, to: Ipv4Addr) {
    eventually("the key server follows", PATIENCE, || {
        let members = server.ask(&["member", "list", "--group", "film"]);
        let entry = members.as_array().unwrap().iter().find(|entry| entry["hit"] == *member.hit).unwrap();
        let address = entry["address"].as_str().unwrap();
        address.starts_with(&format!("{to}:")).then_some(())
    });
    eventually("the member pulls from its new address", PATIENCE, || {
        (member.status()["counters"]["member"]["pulls_again"].as_u64() >= Some(1)).then_some(())
    });
}

/// Waits until the group's data comes.
fn hears(member: &mut Member<'_>, when: &str) {
    let opened = |member: &mut Member<'_>| member.status()["counters"]["esp"]["opened"].as_u64().unwrap_or(0);
    let before = opened(member);
    eventually(&format!("data {when}"), PATIENCE, || (opened(member) > before + 10).then_some(()));
}

/// Data of the group, until it is dropped.
enum Data {
    Film { _film: Film },
    Pipe { _send: Running },
}

impl Data {
    fn start(lab: &Lab, sender: &Member<'_>, protocols: bool, group: IpAddr) -> Self {
        if protocols {
            return Self::Film { _film: Film::start(sender.host, group) };
        }
        let input = lab.directory().join("input");
        std::fs::write(&input, vec![b'x'; 20_000 * 180]).unwrap();
        let send = sender.command(&["send", "--group", "film", "--rate", "20000", "--size", "200"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" < \"$0\""]).arg(&input).arg(send.get_program()).args(send.get_args());
        Self::Pipe { _send: sender.host.start(&mut shell) }
    }
}

/// The type of a HIP packet, on either carriage.
fn hip_type(packet: &IpPacket) -> Option<u8> {
    let hip = match packet.udp() {
        Some((from, to, data)) if [from, to].contains(&HIP_PORT) => data.strip_prefix(&[0; 4])?,
        _ if packet.protocol == HIP => &packet.payload[..],
        _ => return None,
    };
    hip.get(2).map(|octet| octet & 0x7f)
}
