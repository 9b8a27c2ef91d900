//! The laboratory itself: what its switch delivers and withholds, before anything of ours runs on it.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use claviger_net::{Interface, MulticastSocket, Protocol, RawOptions, RawSocket, UdpOptions};
use claviger_testkit::{
    capture::Recording,
    flood::{Flood, Link, Traffic, frame::FORGED_PREFIX, sources},
    lab::{self, Host, INTERFACE, Lab, laboratory},
    process::eventually,
};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(5);

/// How long a host is listened to that must hear nothing; the switch delivers within a millisecond.
const SILENCE: Duration = Duration::from_millis(300);

/// Packets of a burst.
const COUNT: usize = 10;

/// Addresses of a flood, and its packets a second.
const FORGED: usize = 1_000;
const FLOOD_RATE: u32 = 5_000;

/// Any-source and source-specific groups of both IP versions; the source is host 1.
const CHANNELS: [(&str, bool); 4] =
    [("239.7.7.7", false), ("232.7.7.7", true), ("ff15::7", false), ("ff35::8000:7", true)];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn eth0() -> Interface {
    Interface::by_name(INTERFACE, "--interface").unwrap()
}

/// Sends a burst of some IP protocol, or of UDP to port 6000, from host 1 to a group.
fn send(runtime: &Runtime, host: &Host, protocol: Option<Protocol>, group: IpAddr, text: &str) {
    let any: IpAddr = if group.is_ipv4() { ip("0.0.0.0") } else { ip("::") };
    host.enter(|| {
        runtime.block_on(async {
            for _ in 0..COUNT {
                let to = SocketAddr::new(group, 6000);
                match protocol {
                    Some(protocol) => {
                        let socket = RawSocket::bind(protocol, any, &RawOptions::new("--raw")).unwrap();
                        socket.set_multicast_interface(&eth0()).unwrap();
                        socket.send(text.as_bytes(), to, None).await.unwrap();
                    }
                    None => {
                        let options = UdpOptions::new("--port");
                        let socket =
                            claviger_net::UdpSocket::bind(SocketAddr::new(any, 0), &options).unwrap();
                        socket.set_multicast_interface(&eth0()).unwrap();
                        socket.send(text.as_bytes(), to, None).await.unwrap();
                    }
                }
            }
        });
    });
}

/// A socket of a member, of either kind.
enum Ear {
    Raw(RawSocket),
    Udp(claviger_net::UdpSocket),
}

impl Ear {
    fn join(
        runtime: &Runtime,
        host: &Host,
        protocol: Option<Protocol>,
        group: IpAddr,
        source: Option<IpAddr>,
    ) -> Self {
        host.enter(|| {
            let _guard = runtime.enter();
            match protocol {
                Some(protocol) => Self::Raw(
                    RawSocket::bind_group(protocol, group, &eth0(), source, &RawOptions::new("--raw"))
                        .unwrap(),
                ),
                None => {
                    let options = UdpOptions::new("--port");
                    Self::Udp(
                        claviger_net::UdpSocket::bind_group(group, 6000, &eth0(), source, &options).unwrap(),
                    )
                }
            }
        })
    }

    /// Counts packets that hold a text, until as many as a burst has came or none comes for a while.
    fn count(&self, runtime: &Runtime, text: &str) -> usize {
        let mut buffer = [0; 2048];
        let mut count = 0;
        runtime.block_on(async {
            while count < COUNT {
                let received = async {
                    match self {
                        Self::Raw(socket) => socket.recv(&mut buffer).await,
                        Self::Udp(socket) => socket.recv(&mut buffer).await,
                    }
                };
                let Ok(received) = tokio::time::timeout(SILENCE, received).await else { break };
                let length = received.unwrap().length;
                count += usize::from(&buffer[..length] == text.as_bytes());
            }
        });
        count
    }
}

/// The packets to a group that a capture shows, but for the hosts' own talk about membership.
fn seen(recording: &Recording, group: IpAddr) -> usize {
    let membership = [2, 58];
    let packets = recording.packets();
    packets.iter().filter(|(_, p)| p.destination == group && !membership.contains(&p.protocol)).count()
}

fn delivers_to_members_alone(lab: &Lab, protocol: Option<Protocol>) {
    let runtime = runtime();
    for (group, specific) in CHANNELS {
        let group = ip(group);
        let source = specific.then(|| lab.host(1).address_like(group));
        let ears = [2, 3].map(|number| Ear::join(&runtime, lab.host(number), protocol, group, source));
        let outside = lab.host(4).capture();
        let inside = lab.host(2).capture();
        // The members' reports are on their way.
        thread::sleep(SILENCE);
        send(&runtime, lab.host(1), protocol, group, "wanted");
        for ear in &ears {
            assert_eq!(ear.count(&runtime, "wanted"), COUNT, "{protocol:?} {group}");
        }
        let (outside, inside) = (outside.stop(), inside.stop());
        assert_eq!(seen(&inside, group), COUNT, "{protocol:?} {group}: the capture at a member's is sound");
        assert_eq!(seen(&outside, group), 0, "{protocol:?} {group}: flooded to a host that never joined");
        if specific {
            let any_source =
                Ear::join(&runtime, lab.host(4), protocol, group, Some(lab.host(3).address_like(group)));
            thread::sleep(SILENCE);
            send(&runtime, lab.host(3), protocol, group, "foreign");
            assert_eq!(any_source.count(&runtime, "foreign"), COUNT, "{protocol:?} {group}: it was sent");
            assert_eq!(ears[0].count(&runtime, "foreign"), 0, "{protocol:?} {group}: of another source");
        }
    }
}

#[test]
fn the_switch_delivers_udp_groups_to_members_alone() {
    let test = "the_switch_delivers_udp_groups_to_members_alone";
    laboratory(test, 4, |lab| delivers_to_members_alone(lab, None));
}

#[test]
fn the_switch_delivers_groups_of_raw_protocols_to_members_alone() {
    let test = "the_switch_delivers_groups_of_raw_protocols_to_members_alone";
    laboratory(test, 4, |lab| {
        delivers_to_members_alone(lab, Some(Protocol::Esp));
        delivers_to_members_alone(lab, Some(Protocol::Hip));
    });
}

#[test]
fn hosts_lose_as_many_packets_as_they_are_told() {
    let test = "hosts_lose_as_many_packets_as_they_are_told";
    if !lab::installed(test, &[lab::NFT]) {
        return;
    }
    laboratory(test, 2, |lab| {
        let ear = lab.host(2).enter(|| UdpSocket::bind((lab.host(2).ipv4(), 6000)).unwrap());
        ear.set_read_timeout(Some(SILENCE)).unwrap();
        let mouth = lab.host(1).enter(|| UdpSocket::bind((lab.host(1).ipv4(), 0)).unwrap());
        let received = |count: usize| {
            let mut buffer = [0; 16];
            let mut received = 0;
            for _ in 0..count {
                mouth.send_to(b"x", (lab.host(2).ipv4(), 6000)).unwrap();
                // In small steps, so that no buffer overflows.
                ear.set_nonblocking(true).unwrap();
                received += usize::from(ear.recv(&mut buffer).is_ok());
            }
            ear.set_nonblocking(false).unwrap();
            while ear.recv(&mut buffer).is_ok() {
                received += 1;
            }
            received
        };
        assert_eq!(received(100), 100, "without rules nothing is lost");
        lab.host(2).lose(10);
        // Of 2,000 packets 1,800 on average, with a standard deviation of 13.4: seven of them either way.
        let got = received(2000);
        assert!((1700..=1900).contains(&got), "{got} of 2000");
        let hits = usize::try_from(lab.host(2).rule_hits()).unwrap();
        assert!(hits >= 2000 - got, "the rules counted {hits}, {got} of 2000 arrived");
        lab.host(2).nft("");
        assert_eq!(received(100), 100, "the rules are gone");
    });
}

#[test]
fn a_flood_comes_from_as_many_addresses_as_it_was_forged_from_and_is_counted() {
    let test = "a_flood_comes_from_as_many_addresses_as_it_was_forged_from_and_is_counted";
    laboratory(test, 2, |lab| {
        let (flooded, flooder) = (lab.host(1), lab.host(2));
        flooded.ip(&format!("route add {FORGED_PREFIX} via {}", flooder.ipv4()));
        let to = SocketAddrV4::new(flooded.ipv4(), 6_000);
        let link = Link { source: flooder.hardware_address(), destination: flooded.hardware_address() };
        let frame = |address| link.udp(SocketAddrV4::new(address, 7_000), to, b"flood");
        let flood = Flood::new(sources().take(FORGED).map(frame).collect(), FLOOD_RATE);

        let socket = flooded.enter(|| UdpSocket::bind(to)).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let before = Traffic::of(flooded);
        let take = || {
            let mut seen = BTreeSet::new();
            let mut buffer = [0; 64];
            while seen.len() < FORGED {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], b"flood");
                seen.insert(from);
            }
        };
        let ((), sent) = flood.during(flooder, take);
        let traffic = Traffic::of(flooded) - before;
        assert!(
            sent.frames >= FORGED as u64 && traffic.datagrams_taken >= FORGED as u64,
            "{sent:?} {traffic:?}"
        );
        assert!(sent.per_second() <= u64::from(FLOOD_RATE) * 11 / 10, "{sent:?}");
        assert!(traffic.octets_in >= sent.frames * 42, "Ethernet, IP and UDP have 42 octets: {traffic:?}");
    });
}

#[test]
fn nothing_is_left_when_a_laboratory_is_gone() {
    let test = "nothing_is_left_when_a_laboratory_is_gone";
    laboratory(test, 1, |lab| {
        let mut sleeper = lab.host(1).start(Command::new("sleep").arg("60"));
        assert_eq!(sleeper.poll(), None);
        let process = format!("/proc/{}", sleeper.pid());
        assert!(fs::exists(&process).unwrap());
        drop(sleeper);
        eventually("the end of the sleeper", PATIENCE, || (!fs::exists(&process).unwrap()).then_some(()));

        let path = lab.host(1).run(Command::new("readlink").arg("/proc/self/ns/net")).success();
        assert_ne!(path.trim(), fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy());
        let refused = lab.host(1).enter(|| UdpSocket::bind((Ipv4Addr::new(10, 7, 0, 2), 0))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable, "hosts have their own addresses alone");

        let (code, errors) = lab.host(1).run(Command::new("ip").args(["link", "del", "none"])).failure();
        assert_eq!((code, errors.trim()), (1, "Cannot find device \"none\""));
    });
}

#[test]
#[should_panic(expected = "the journal shows why")]
fn a_failure_in_a_laboratory_fails_its_test() {
    let test = "a_failure_in_a_laboratory_fails_its_test";
    laboratory(test, 1, |lab| {
        lab.host(1).run(Command::new("echo").arg("why")).success();
        panic!("the journal shows why");
    });
    // Where laboratories are forbidden.
    panic!("the journal shows why");
}
