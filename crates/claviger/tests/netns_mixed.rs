//! ESP in UDP between hosts on a snooping switch; and a group that is one thing or the other, never a mixture.

mod support;

use std::{collections::BTreeSet, net::IpAddr};

use claviger_testkit::{lab::laboratory, pcap::IpPacket, process::eventually};
use support::{KeyServer, PATIENCE, TUN};

/// The port of ESP in UDP (RFC 3948).
const ESP_IN_UDP: u16 = 4500;

/// The exit code of a member that was refused, or that refuses.
const REFUSED: i32 = 4;

/// Lines of the text that is sent, each with its number.
const LINES: usize = 5_000;

/// Octets of a datagram of `claviger send`.
const SIZE: usize = 1_000;

#[test]
fn a_member_whose_data_plane_is_not_the_groups_says_so_and_joins_not() {
    let test = "a_member_whose_data_plane_is_not_the_groups_says_so_and_joins_not";
    laboratory(test, 2, |lab| {
        let server = KeyServer::start(lab, lab.host(1), false);
        let host = lab.host(2);
        let member = server.identity(host);
        for (encapsulation, tun, sentence) in [
            (
                "udp-transport",
                true,
                "refused: the group's data is ESP in UDP (udp-transport): join without --tun",
            ),
            ("udp-tunnel", true, "refused: the group's data is ESP in UDP (udp-tunnel): join without --tun"),
            (
                "transport",
                false,
                "refused: the group's data is IP protocol 50, which needs a TUN device and privilege: join with --tun",
            ),
            (
                "tunnel",
                false,
                "refused: the group's data is IP protocol 50, which needs a TUN device and privilege: join with --tun",
            ),
        ] {
            server.add_group(encapsulation, &["--encapsulation", encapsulation]);
            server.allow(encapsulation, &member, "both");
            let mut join = support::claviger(&member.state);
            let place = server.place(host.ipv4().into());
            join.args(["join", "--server", &place, "--group", encapsulation]);
            if tun {
                join.args(["--tun", TUN]);
            }
            let (code, errors) = host.run(&mut join).failure();
            assert_eq!(code, REFUSED, "{encapsulation}: {errors}");
            assert!(errors.contains(&format!("claviger: {sentence}\n")), "{encapsulation}: {errors}");
            let members = server.ask(&["member", "list", "--group", encapsulation]);
            assert_ne!(members[0]["state"], "member", "{encapsulation}: it took no keys: {members}");
        }
    });
}

#[test]
fn send_and_recv_exchange_the_same_bytes_across_the_switch() {
    laboratory("send_and_recv_exchange_the_same_bytes_across_the_switch", 5, |lab| {
        let server = KeyServer::start(lab, lab.host(1), false);
        let text: String = (0..LINES).map(|line| format!("line {line} of a text in the clear\n")).collect();
        let file = lab.directory().join("text");
        std::fs::write(&file, &text).unwrap();
        let [mouth, through_daemon, by_itself] = [2, 3, 4].map(|number| server.identity(lab.host(number)));
        for (name, group, source_specific, encapsulation) in [
            ("any4", "239.192.7.5", false, "udp-transport"),
            ("one4", "232.7.7.6", true, "udp-tunnel"),
            ("any6", "ff15::76", false, "udp-tunnel"),
            ("one6", "ff35::8000:77", true, "udp-transport"),
        ] {
            let group: IpAddr = group.parse().unwrap();
            let address = group.to_string();
            let source = lab.host(2).address_like(group).to_string();
            let mut policy = vec!["--address", &address, "--encapsulation", encapsulation];
            if source_specific {
                policy.extend(["--source", &source]);
            }
            server.add_group(name, &policy);
            server.allow(name, &mouth, "both");
            server.allow(name, &through_daemon, "receiver");
            server.allow(name, &by_itself, "receiver");
            let wire = lab.host(2).capture();
            let beside = lab.host(5).capture();

            let place = server.place(group);
            let count = text.len().div_ceil(SIZE).to_string();
            let mut daemon = server.join(through_daemon.again(), group, name, &[]);
            daemon.wait_until_keyed();
            let mut first =
                daemon.host.start(&mut daemon.command(&["recv", "--group", name, "--count", &count]));
            let mut recv = support::claviger(&by_itself.state);
            recv.args(["recv", "--server", &place, "--group", name, "--count", &count]);
            let mut second = by_itself.host.start(&mut recv);
            eventually("both receivers hold keys", PATIENCE, || {
                let members = server.ask(&["member", "list", "--group", name]);
                let members = members.as_array().unwrap();
                (members.iter().filter(|member| member["state"] == "member").count() == 2).then_some(())
            });

            let mut send = support::claviger(&mouth.state);
            let size = SIZE.to_string();
            send.args(["send", "--server", &place, "--group", name, "--size", &size, "--rate", "500k"]);
            let said = mouth.host.run_with(&mut send, text.as_bytes());
            said.success();
            for receiver in [&mut first, &mut second] {
                let ended = receiver.wait(PATIENCE);
                assert!(ended.success(), "{name}: {ended}: {}", receiver.errors());
                assert_eq!(first_difference(&receiver.output(), &text), None, "{name}");
                assert!(receiver.errors().contains(", 0 missing"), "{name}: {}", receiver.errors());
            }
            daemon.leave();

            let wire = wire.stop().packets();
            let is_data = |packet: &IpPacket| {
                packet.destination == group && packet.udp().is_some_and(|(_, to, _)| to == ESP_IN_UDP)
            };
            let data: Vec<_> = wire.iter().filter(|(_, packet)| is_data(packet)).collect();
            assert!(data.len() >= text.len() / SIZE, "{name}: {} packets on the wire", data.len());
            assert!(data.iter().all(|(_, packet)| packet.source.to_string() == source), "{name}");
            let spis: BTreeSet<_> =
                data.iter().map(|(_, packet)| packet.udp().unwrap().2[..4].to_vec()).collect();
            assert!(!spis.contains(&vec![0; 4]), "{name}: zero is not an SPI (RFC 3948 section 2.2)");
            let clear = b"of a text in the clear";
            let shows = |packet: &IpPacket| packet.payload.windows(clear.len()).any(|window| window == clear);
            assert!(
                !wire.iter().any(|(_, packet)| shows(packet)),
                "{name}: the text went over the wire in the clear"
            );
            let flooded = beside.stop().packets().into_iter().filter(|(_, packet)| is_data(packet)).count();
            assert_eq!(flooded, 0, "{name}: a host that never joined got the group's packets");
        }
    });
}

/// Where two texts differ first, with some of each, rather than all of both.
fn first_difference(left: &str, right: &str) -> Option<(usize, String, String)> {
    let at = left.bytes().zip(right.bytes()).position(|(left, right)| left != right);
    let at = at.or((left.len() != right.len()).then_some(left.len().min(right.len())))?;
    let some = |text: &str| text.get(at..).unwrap_or_default().chars().take(60).collect();
    Some((at, some(left), some(right)))
}
