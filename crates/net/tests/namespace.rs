//! What needs root, and IPv6 multicast, in network namespaces that each test makes for itself.
//!
//! A namespace belongs to the thread that made it and vanishes with it; nothing outside is touched.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::AsRawFd,
    process::{self, Command},
    thread,
    time::Duration,
};

use claviger_net::{
    Interface, InterfaceError, MulticastSocket, Protocol, RawOptions, RawSocket, Received, TunDevice,
    TunOptions, UdpOptions, UdpSocket, VmGeneration,
};
use nix::{
    sched::{CloneFlags, unshare},
    sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket},
};

const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(200);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn to(address: &str) -> SocketAddr {
    SocketAddr::new(ip(address), 0)
}

fn lo() -> Interface {
    Interface::by_name("lo", "--interface").unwrap()
}

/// Runs a test in a network namespace of its own, set up by lines of `ip`; or says why not.
fn in_namespace<F: Future<Output = ()>>(name: &str, setup: &[&str], test: impl FnOnce() -> F + Send) {
    thread::scope(|scope| {
        let run = || {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                println!("NOT RUN: {name}: a network namespace needs root ({error})");
                return;
            }
            for line in ["link set lo up"].iter().chain(setup) {
                let done =
                    Command::new("ip").args(line.split_whitespace()).status().expect("iproute2 is installed");
                assert!(done.success(), "ip {line}");
            }
            for end in ["left", "right"] {
                if let Ok(end) = Interface::by_name(end, "--interface") {
                    wait_for_link(&end);
                }
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        };
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Waits until IPv6 can leave by an interface, which takes the kernel a moment after its other end came up.
fn wait_for_link(interface: &Interface) {
    let socket = std::net::UdpSocket::bind("[::]:0").unwrap();
    let neighbours = SocketAddrV6::new("ff02::1".parse().unwrap(), 9, 0, interface.index());
    for _ in 0..1_000 {
        if socket.send_to(b"", neighbours).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{interface} does not come up");
}

/// Two ends of one wire, `left` and `right`, with addresses of both versions.
const WIRE: &[&str] = &[
    "link add left type veth peer name right",
    "addr add 10.77.0.1/24 dev left",
    "addr add 2001:db8:77::1/64 dev left nodad",
    "addr add 2001:db8:77::2/64 dev right nodad",
    "link set left up",
    "link set right up",
];

async fn hear(socket: &RawSocket) -> (Received, Vec<u8>) {
    let mut buffer = vec![0; 65_535];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
        .await
        .expect("a packet arrives")
        .expect("and the socket is sound");
    buffer.truncate(received.length);
    (received, buffer)
}

async fn hears_nothing(socket: &RawSocket) -> bool {
    let mut buffer = [0; 64];
    tokio::time::timeout(SILENCE, socket.recv(&mut buffer)).await.is_err()
}

fn options() -> RawOptions {
    RawOptions::new("--raw")
}

#[test]
fn raw_sockets_carry_unicast_of_both_protocols_and_versions() {
    in_namespace("raw unicast", &[], || async {
        for protocol in [Protocol::Hip, Protocol::Esp] {
            for (any, source, destination) in [("0.0.0.0", "127.0.0.2", "127.0.0.3"), ("::", "::1", "::1")] {
                let receiver = RawSocket::bind(protocol, ip(any), &options()).unwrap();
                let sender = RawSocket::bind(protocol, ip(source), &options()).unwrap();
                for length in [0, 1, 40, 1_400] {
                    let sent = vec![0x5a; length];
                    sender
                        .send(&sent, SocketAddr::new(ip(destination), 848), Some(ip(source)))
                        .await
                        .unwrap();
                    let (received, payload) = hear(&receiver).await;
                    assert_eq!(payload, sent, "{protocol} {destination}: the payload without a header");
                    assert_eq!(received.source, to(source));
                    assert_eq!(received.destination, to(destination));
                    assert_eq!(received.interface, lo().index());
                    assert!(!received.truncated);
                }
            }
        }
    });
}

#[test]
fn raw_sockets_bound_to_an_address_hear_that_address_alone() {
    in_namespace("raw bind", &[], || async {
        let receiver = RawSocket::bind(Protocol::Hip, ip("127.0.0.5"), &options()).unwrap();
        let sender = RawSocket::bind(Protocol::Hip, ip("127.0.0.1"), &options()).unwrap();
        sender.send(b"other", to("127.0.0.6"), None).await.unwrap();
        assert!(hears_nothing(&receiver).await);
        sender.send(b"mine", to("127.0.0.5"), None).await.unwrap();
        assert_eq!(hear(&receiver).await.1, b"mine");
        assert_eq!(receiver.local_address(), ip("127.0.0.5"));
        assert_eq!(receiver.protocol(), Protocol::Hip);
    });
}

#[test]
fn raw_sockets_say_when_a_packet_was_cut() {
    in_namespace("raw truncation", &[], || async {
        for (address, any) in [("127.0.0.1", "0.0.0.0"), ("::1", "::")] {
            let receiver = RawSocket::bind(Protocol::Esp, ip(any), &options()).unwrap();
            let sender = RawSocket::bind(Protocol::Esp, ip(address), &options()).unwrap();
            sender.send(b"too long", to(address), None).await.unwrap();
            let mut short = [0; 3];
            let received = receiver.recv(&mut short).await.unwrap();
            assert_eq!((received.length, received.truncated, &short), (3, true, b"too"), "{address}");
            assert_eq!(receiver.try_recv(&mut short).unwrap(), None);
        }
    });
}

#[test]
fn raw_sockets_carry_groups_and_hear_only_those_they_joined() {
    in_namespace("raw multicast", &[], || async {
        let (group, other) = (ip("239.192.8.1"), ip("239.192.8.2"));
        for protocol in [Protocol::Hip, Protocol::Esp] {
            let members =
                [(); 2].map(|()| RawSocket::bind_group(protocol, group, &lo(), None, &options()).unwrap());
            let _other = RawSocket::bind_group(protocol, other, &lo(), None, &options()).unwrap();
            let bystander = RawSocket::bind(protocol, ip("0.0.0.0"), &options()).unwrap();
            let sender = RawSocket::bind(protocol, ip("127.0.0.1"), &options()).unwrap();
            sender.set_multicast_interface(&lo()).unwrap();
            sender.set_multicast_hops(0).unwrap();
            sender.send(b"other", SocketAddr::new(other, 0), None).await.unwrap();
            sender.send(b"group", SocketAddr::new(group, 0), None).await.unwrap();
            for member in &members {
                let (received, payload) = hear(member).await;
                assert_eq!((payload.as_slice(), received.destination.ip()), (b"group".as_slice(), group));
                assert_eq!(received.source.ip(), ip("127.0.0.1"));
                assert!(hears_nothing(member).await);
            }
            assert!(hears_nothing(&bystander).await, "IP_MULTICAST_ALL is off");
        }
    });
}

#[test]
fn raw_sockets_hear_the_named_source_alone() {
    in_namespace("raw source-specific multicast", &[], || async {
        let group = ip("232.192.8.3");
        let source = Some(ip("127.0.0.1"));
        let member = RawSocket::bind_group(Protocol::Esp, group, &lo(), source, &options()).unwrap();
        let sender = RawSocket::bind(Protocol::Esp, ip("0.0.0.0"), &options()).unwrap();
        sender.set_multicast_interface(&lo()).unwrap();
        sender.send(b"foreign", SocketAddr::new(group, 0), Some(ip("127.0.0.2"))).await.unwrap();
        assert!(hears_nothing(&member).await);
        sender.send(b"wanted", SocketAddr::new(group, 0), source).await.unwrap();
        assert_eq!(hear(&member).await.1, b"wanted");
    });
}

#[test]
fn raw_ipv6_groups_cross_a_wire() {
    in_namespace("raw IPv6 multicast", WIRE, || async {
        let (left, right) = (interface("left"), interface("right"));
        for (group, source) in
            [("ff15::77", None), ("ff35::8000:77", Some("2001:db8:77::1")), ("ff12::77", None)]
        {
            let member =
                RawSocket::bind_group(Protocol::Esp, ip(group), &right, source.map(ip), &options()).unwrap();
            let sender = RawSocket::bind(Protocol::Esp, ip("::"), &options()).unwrap();
            sender.set_multicast_interface(&left).unwrap();
            sender.set_multicast_hops(1).unwrap();
            sender.send(b"six", to(group), Some(ip("2001:db8:77::1"))).await.unwrap();
            let (received, payload) = hear(&member).await;
            assert_eq!(payload, b"six", "{group}");
            assert_eq!(received.source.ip(), ip("2001:db8:77::1"));
            assert_eq!((received.destination.ip(), received.interface), (ip(group), right.index()));
        }
    });
}

#[test]
fn a_gateway_sends_from_the_addresses_of_the_hosts_behind_it() {
    in_namespace("foreign source", WIRE, || async {
        let (left, right) = (interface("left"), interface("right"));
        let foreign = RawOptions { foreign_source: true, ..options() };
        for (any, group, source) in
            [("0.0.0.0", "239.192.8.4", "10.99.0.9"), ("::", "ff15::78", "2001:db8:99::9")]
        {
            let member = RawSocket::bind_group(Protocol::Esp, ip(group), &right, None, &options()).unwrap();
            let plain = RawSocket::bind(Protocol::Esp, ip(any), &options()).unwrap();
            plain.set_multicast_interface(&left).unwrap();
            let refused = plain.send(b"x", to(group), Some(ip(source))).await.unwrap_err();
            assert!(
                matches!(refused.kind(), ErrorKind::InvalidInput | ErrorKind::NetworkUnreachable),
                "{group}"
            );
            let gateway = RawSocket::bind(Protocol::Esp, ip(any), &foreign).unwrap();
            gateway.set_multicast_interface(&left).unwrap();
            gateway.send(b"preserved", to(group), Some(ip(source))).await.unwrap();
            let (received, payload) = hear(&member).await;
            assert_eq!((received.source.ip(), payload.as_slice()), (ip(source), b"preserved".as_slice()));
        }
    });
}

#[test]
fn udp_ipv6_groups_cross_a_wire_and_filter_sources() {
    in_namespace("UDP IPv6 multicast", WIRE, || async {
        let (left, right) = (interface("left"), interface("right"));
        let udp = UdpOptions::new("--port");
        let group = ip("ff35::8000:79");
        let source = Some(ip("2001:db8:77::1"));
        let members = [(); 2].map(|()| UdpSocket::bind_group(group, 4500, &right, source, &udp).unwrap());
        let shared = UdpOptions { reuse_address: true, ..udp };
        let bystander = UdpSocket::bind("[::]:4500".parse().unwrap(), &shared).unwrap();
        let sender = UdpSocket::bind("[::]:0".parse().unwrap(), &udp).unwrap();
        sender.set_multicast_interface(&left).unwrap();
        sender.set_multicast_hops(1).unwrap();
        let link_local = link_local(&left).await;
        let scoped = SocketAddrV6::new(as_v6(group), 4500, 0, left.index());
        sender.send(b"foreign", scoped.into(), Some(link_local)).await.unwrap();
        sender.send(b"wanted", SocketAddr::new(group, 4500), source).await.unwrap();
        let mut buffer = [0; 64];
        for member in &members {
            let received = tokio::time::timeout(PATIENCE, member.recv(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(&buffer[..received.length], b"wanted");
            assert_eq!(received.destination, SocketAddr::new(group, 4500));
            assert_eq!(received.interface, right.index());
        }
        assert_eq!(bystander.try_recv(&mut buffer).unwrap(), None, "IPV6_MULTICAST_ALL is off");
    });
}

#[test]
fn the_route_to_a_group_chooses_the_interface_and_nothing_is_guessed() {
    in_namespace("interface by route", WIRE, || async {
        let group = ip("239.192.8.5");
        let towards = |group| Interface::towards(group, "--interface");
        match towards(group) {
            Err(error @ InterfaceError::NoRoute { .. }) => assert_eq!(
                error.to_string(),
                "this host has no route to 239.192.8.5; name an interface with --interface"
            ),
            other => panic!("there is no route yet: {other:?}"),
        }
        // The wire's right end has no IPv4 address: the choice must follow the route and not an address.
        run_ip("route add 239.192.0.0/14 dev right");
        assert_eq!(towards(group).unwrap().name(), "right");
        run_ip("route add 239.192.8.0/24 dev left");
        assert_eq!(towards(group).unwrap().name(), "left");

        let group = ip("ff15::80");
        match towards(group) {
            Err(InterfaceError::AmbiguousRoute { names, .. }) => assert_eq!(names, ["left", "right"]),
            other => panic!("both ends lead to every IPv6 group: {other:?}"),
        }
        run_ip("-6 route add multicast ff15::/16 dev right table local");
        assert_eq!(towards(group).unwrap().name(), "right");
        run_ip("-6 route add multicast ff15::80/128 dev left table local");
        assert_eq!(towards(group).unwrap().name(), "left");
        run_ip("link set left down");
        assert_eq!(towards(group).unwrap().name(), "right");
        assert_eq!(towards(ip("ff05::1")).unwrap().name(), "right", "the only one that is up");
    });
}

#[test]
fn an_address_on_two_interfaces_names_neither() {
    in_namespace("ambiguous address", WIRE, || async {
        run_ip("addr add 10.77.0.1/32 dev right");
        let error = Interface::by_address(ip("10.77.0.1"), "--interface").unwrap_err();
        assert_eq!(
            error.to_string(),
            "several interfaces have the address 10.77.0.1; name one with --interface"
        );
    });
}

#[test]
fn a_tun_device_carries_packets_both_ways() {
    in_namespace("TUN", &[], || async {
        let options = TunOptions {
            name: Some("grp0".into()),
            ipv4: Some(("10.88.0.1".parse().unwrap(), 24)),
            ipv6: vec![("2001:db8:88::1".parse().unwrap(), 64)],
            ..TunOptions::new(1_362, "--plane")
        };
        let device = match TunDevice::create(&options) {
            Ok(device) => device,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("NOT RUN: TUN: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(device.interface().name(), "grp0");
        assert_eq!(device.interface().mtu().unwrap(), 1_362);
        let addresses = device.interface().addresses().unwrap();
        assert!(
            addresses.contains(&ip("10.88.0.1")) && addresses.contains(&ip("2001:db8:88::1")),
            "{addresses:?}"
        );

        // A program on this host sends to a group by the device, and the device hands the packet over whole.
        let (group, port) = (ip("239.192.8.6"), 5_004);
        let program = UdpSocket::bind("0.0.0.0:0".parse().unwrap(), &UdpOptions::new("--port")).unwrap();
        program.set_multicast_interface(device.interface()).unwrap();
        program.send(b"out", SocketAddr::new(group, port), None).await.unwrap();
        let packet = tun_packet(&device, |packet| packet[0] >> 4 == 4 && packet[9] == 17).await;
        assert_eq!(packet[12..16], [10, 88, 0, 1], "the device's own address");
        assert_eq!(packet[16..20], [239, 192, 8, 6]);
        assert_eq!(&packet[28..], b"out");

        // The same packet from another host of the group comes in by the device and reaches a program that joined.
        let listener =
            UdpSocket::bind_group(group, port, device.interface(), None, &UdpOptions::new("--port")).unwrap();
        device.send(&udp_packet([10, 88, 0, 2], [239, 192, 8, 6], port, b"in")).await.unwrap();
        let mut buffer = [0; 64];
        let received = tokio::time::timeout(PATIENCE, listener.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..received.length], b"in");
        assert_eq!(received.source.ip(), ip("10.88.0.2"));
        assert_eq!(received.interface, device.interface().index());

        // The name is taken as long as the device lives, and free afterwards.
        let error = TunDevice::create(&options).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot make the TUN device grp0: another process holds it; the option that decides this is --plane"
        );
        drop(device);
        // A process that another test is just starting may still hold a copy of the descriptor.
        let free = async {
            while TunDevice::create(&options).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, free).await.expect("the first one is gone");
    });
}

#[test]
fn programs_that_name_no_interface_reach_a_routed_group_by_the_tun_device() {
    in_namespace("TUN routes", WIRE, || async {
        run_ip("route add 224.0.0.0/4 dev left");
        let options = TunOptions {
            ipv4: Some(("10.88.0.1".parse().unwrap(), 24)),
            ipv6: vec![("2001:db8:88::1".parse().unwrap(), 64)],
            ..TunOptions::new(1_362, "--plane")
        };
        let Ok(device) = TunDevice::create(&options) else {
            println!("NOT RUN: TUN routes: this host has no /dev/net/tun");
            return;
        };
        let udp = UdpOptions::new("--port");
        for (any, group, version) in [("0.0.0.0", "239.192.8.7", 4), ("::", "ff15::81", 6)] {
            let group = ip(group);
            let full = if version == 4 { 32 } else { 128 };
            device.add_route(group, full, None).unwrap();
            device.add_route(group, full, None).expect("a second time changes nothing");
            let out = Interface::towards(group, "--interface").map(|interface| interface.name().to_owned());
            match (version, out) {
                (4, Ok(name)) => assert_eq!(name, "left", "what the device takes leaves by the wire"),
                (6, Err(InterfaceError::AmbiguousRoute { names, .. })) => {
                    assert_eq!(names, ["left", "right"])
                }
                (_, other) => panic!("{other:?}"),
            }
            let program = UdpSocket::bind(SocketAddr::new(ip(any), 0), &udp).unwrap();
            // The device's IPv6 address serves a moment after the device came up.
            let sent = async {
                while program.send(b"routed", SocketAddr::new(group, 5_004), None).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(PATIENCE, sent).await.expect("the route serves");
            let packet =
                tun_packet(&device, |packet| packet[0] >> 4 == version && packet.ends_with(b"routed")).await;
            let source = if version == 4 { &packet[12..16] } else { &packet[8..24] };
            let expected =
                if version == 4 { vec![10, 88, 0, 1] } else { as_v6(ip("2001:db8:88::1")).octets().to_vec() };
            assert_eq!(source, expected, "the device's own address");
        }
        assert_eq!(
            device.add_route(ip("239.192.8.7"), 33, None).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            device.add_route(ip("239.192.8.7"), 24, None).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        drop(device);
    });
}

#[test]
fn a_route_says_which_address_packets_to_a_group_leave_from() {
    in_namespace("TUN source", WIRE, || async {
        let Ok(device) = TunDevice::create(&TunOptions::new(1_362, "--plane")) else {
            println!("NOT RUN: TUN source: this host has no /dev/net/tun");
            return;
        };
        for (any, group, source) in
            [("0.0.0.0", "239.192.8.9", "10.77.0.1"), ("::", "ff15::82", "2001:db8:77::1")]
        {
            let (group, full) = (ip(group), if ip(group).is_ipv4() { 32 } else { 128 });
            device.add_route(group, full, Some(ip(source))).unwrap();
            let program = std::net::UdpSocket::bind((ip(any), 0)).unwrap();
            program.connect((group, 5_004)).unwrap();
            assert_eq!(program.local_addr().unwrap().ip(), ip(source), "the address of another interface");
            let foreign = ip(if group.is_ipv4() { "192.0.2.9" } else { "2001:db8:99::9" });
            let refused = device.add_route(group, full, Some(foreign)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "not an address of this host");
            let mixed =
                device.add_route(group, full, Some(ip(if group.is_ipv4() { "::1" } else { "127.0.0.1" })));
            assert_eq!(mixed.unwrap_err().kind(), ErrorKind::InvalidInput, "of the other version");
        }
    });
}

#[test]
fn packets_longer_than_the_link_takes_arrive_whole() {
    in_namespace("fragments", WIRE, || async {
        let (left, right) = (interface("left"), interface("right"));
        let sent: Vec<u8> = (0..4_000u32).map(|at| at as u8).collect();
        // IPv4 takes no packet off a wire whose source is this host itself, and both ends here are this host.
        let foreign = RawOptions { foreign_source: true, ..options() };
        for (any, group, source) in
            [("0.0.0.0", "239.192.8.8", "10.77.0.9"), ("::", "ff15::82", "2001:db8:77::9")]
        {
            let member = RawSocket::bind_group(Protocol::Hip, ip(group), &right, None, &options()).unwrap();
            let sender = RawSocket::bind(Protocol::Hip, ip(any), &foreign).unwrap();
            sender.set_multicast_interface(&left).unwrap();
            sender.send(&sent, to(group), Some(ip(source))).await.unwrap();
            assert_eq!(hear(&member).await.1, sent, "{group}");
        }
    });
}

#[test]
fn a_tun_device_that_is_removed_is_an_error_and_no_endless_wait() {
    in_namespace("TUN removal", &[], || async {
        let Ok(device) = TunDevice::create(&TunOptions::new(1_400, "--plane")) else {
            println!("NOT RUN: TUN removal: this host has no /dev/net/tun");
            return;
        };
        let name = device.interface().name().to_owned();
        let mut buffer = [0; 2_048];
        let reading = async {
            loop {
                if let Err(error) = device.recv(&mut buffer).await {
                    break error;
                }
            }
        };
        let removing = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            run_ip(&format!("link del {name}"));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            error = reading => println!("the reader was told: {error}"),
            () = removing => unreachable!(),
            () = tokio::time::sleep(PATIENCE) => panic!("the reader was not told"),
        }
    });
}

/// Waits until nothing of a socket waits in the kernel.
async fn all_left(socket: &impl MulticastSocket) {
    let left = async {
        while socket.unsent().unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("nothing is in its way");
}

#[test]
fn sockets_say_that_datagrams_wait_in_the_kernel_and_when_they_have_left() {
    in_namespace("unsent", WIRE, || async {
        // A datagram to a host waits until that has said where it is. Nobody answers here, and nobody gives up.
        for version in ["ipv4", "ipv6"] {
            let patience = format!("/proc/sys/net/{version}/neigh/left/retrans_time_ms");
            fs::write(patience, "600000").unwrap();
        }
        let udp = UdpOptions::new("--port");
        for (any, network, group) in
            [("0.0.0.0", "10.77.0.", "239.192.8.9"), ("::", "2001:db8:77::", "ff15::83")]
        {
            let by_udp = UdpSocket::bind(SocketAddr::new(ip(any), 0), &udp).unwrap();
            let by_raw = RawSocket::bind(Protocol::Hip, ip(any), &options()).unwrap();
            assert_eq!((by_udp.unsent().unwrap(), by_raw.unsent().unwrap()), (0, 0));
            by_udp.send(&[0x5a; 700], SocketAddr::new(ip(&format!("{network}91")), 9), None).await.unwrap();
            let one = by_udp.unsent().unwrap();
            assert!(one >= 700, "{one}");
            assert_eq!(by_raw.unsent().unwrap(), 0, "each socket speaks of its own");
            by_udp.send(&[0x5a; 700], SocketAddr::new(ip(&format!("{network}91")), 9), None).await.unwrap();
            assert!(by_udp.unsent().unwrap() > one);
            by_raw.send(&[0x5a; 700], to(&format!("{network}92")), None).await.unwrap();
            assert!(by_raw.unsent().unwrap() >= 700);
            for host in ["91", "92"] {
                run_ip(&format!(
                    "neigh replace {network}{host} lladdr 02:00:00:00:00:09 dev left nud permanent"
                ));
            }
            all_left(&by_udp).await;
            all_left(&by_raw).await;
            // A group has no host to wait for.
            by_udp.set_multicast_interface(&interface("left")).unwrap();
            by_udp.send(b"group", SocketAddr::new(ip(group), 9), None).await.unwrap();
            all_left(&by_udp).await;
        }
    });
}

/// Writes a uevent to this namespace: as its owner through the kernel, which sends it on as its own (since Linux 4.18), or
/// straight to a socket.
fn uevent(text: &str, to: Option<u32>) -> nix::Result<()> {
    const HEADER: u32 = 16;
    let mut message = vec![];
    if to.is_none() {
        message.extend((HEADER + text.len() as u32).to_ne_bytes());
        // A type that netlink does not keep for itself, and a request.
        message.extend([0x10, 0, libc::NLM_F_REQUEST as u8, 0]);
        message.extend([0; 8]);
    }
    message.extend(text.as_bytes());
    let kind = SockProtocol::NetlinkKObjectUEvent;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, kind)?;
    let to = NetlinkAddr::new(to.unwrap_or(0), 0);
    sendto(socket.as_raw_fd(), &message, &to, MsgFlags::empty()).map(|_| ())
}

#[test]
fn a_machine_that_was_restored_is_heard_of_from_the_kernel_alone() {
    const RESTORED: &str = "change@/devices/platform/VMGENCTR:00\0ACTION=change\0NEW_VMGENID=1\0";
    in_namespace("uevents", &[], || async {
        let mut generation = VmGeneration::listen();
        let mut is_heard = async || tokio::time::timeout(SILENCE, generation.changed()).await.is_ok();
        assert!(!is_heard().await);
        uevent("change@/devices/virtual/net/lo\0ACTION=change\0SUBSYSTEM=net\0", None).unwrap();
        assert!(!is_heard().await, "another device");
        // The first netlink socket of a namespace has the number of its process.
        uevent(RESTORED, Some(process::id())).expect("it has this port");
        assert!(!is_heard().await, "another program");
        uevent(RESTORED, None).unwrap();
        uevent(RESTORED, None).unwrap();
        assert!(is_heard().await && is_heard().await, "each is heard of");
        assert!(!is_heard().await, "and none twice");
    });
}

fn interface(name: &str) -> Interface {
    Interface::by_name(name, "--interface").unwrap()
}

fn run_ip(line: &str) {
    assert!(Command::new("ip").args(line.split_whitespace()).status().unwrap().success(), "ip {line}");
}

/// The link-local address, once duplicate address detection has let go of it.
async fn link_local(interface: &Interface) -> IpAddr {
    let addresses = interface.addresses().unwrap();
    let found = addresses.into_iter().find(|address| is_link_local(*address));
    let address = found.expect("every IPv6 interface has one");
    for _ in 0..100 {
        let bound = SocketAddrV6::new(as_v6(address), 0, 0, interface.index());
        if std::net::UdpSocket::bind(bound).is_ok() {
            return address;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{address} stays tentative")
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn as_v6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => panic!("{address} is not IPv6"),
    }
}

/// Receives packets until one is wanted: the kernel speaks on the device too.
async fn tun_packet(device: &TunDevice, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    let search = async {
        loop {
            let length = device.recv(&mut buffer).await.unwrap();
            if wanted(&buffer[..length]) {
                break buffer[..length].to_vec();
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("the packet comes out of the device")
}

/// An IPv4 packet with a UDP datagram whose checksum is left out, as RFC 768 allows.
fn udp_packet(source: [u8; 4], destination: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 1, 17, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend([port.to_be_bytes(), port.to_be_bytes(), (length - 20).to_be_bytes(), [0, 0]].concat());
    packet.extend(payload);
    packet
}
