//! Guards of group addresses in network namespaces: what leaves and what does not, and that nothing remains.
//!
//! A namespace belongs to the thread that made it and vanishes with it; nothing outside is touched.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    process::Command,
    thread,
    time::Duration,
};

use claviger_net::{
    Guard, Interface, MulticastSocket, Protocol, RawOptions, RawSocket, TunDevice, TunOptions, UdpOptions,
    UdpSocket, guard,
};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, InterfaceIndexOrAddress, SockRef, Socket, Type};

const GROUPS: [&str; 2] = ["239.192.7.7", "ff15::7"];
const PORT: u16 = 5004;
const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(50);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn output(line: &str) -> String {
    let mut words = line.split_whitespace();
    let done = Command::new(words.next().unwrap()).args(words).output().expect("the program is installed");
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Runs a test in a network namespace of its own, with one interface besides loopback that leads to all groups; or says
/// why not.
fn in_namespace<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send) {
    thread::scope(|scope| {
        let run = || {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                println!("NOT RUN: {name}: a network namespace needs root ({error})");
                return;
            }
            for line in [
                "link set lo up",
                "link add left type veth peer name right",
                "addr add 10.77.0.1/24 dev left",
                "addr add 2001:db8:77::1/64 dev left nodad",
                "link set left up",
                "link set right up",
                "route add 224.0.0.0/4 dev left",
                "-6 route add multicast ff15::/16 dev left table local",
            ] {
                output(&format!("ip {line}"));
            }
            wait_for_link();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        };
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Waits until the kernel has made the routes of the new interfaces, and IPv6 can leave.
fn wait_for_link() {
    let made =
        ["multicast ff00::/8 dev left", "multicast ff00::/8 dev right", "local 2001:db8:77::1 dev left"];
    let socket = std::net::UdpSocket::bind("[::]:0").unwrap();
    let left = Interface::by_name("left", "--interface").unwrap();
    let neighbours = SocketAddrV6::new("ff02::1".parse().unwrap(), 9, 0, left.index());
    for _ in 0..1_000 {
        let routes = output("ip -6 route show table all");
        if made.iter().all(|route| routes.contains(route)) && socket.send_to(b"", neighbours).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the wire does not come up");
}

/// Waits until an interface has an address to send from, which for IPv6 is tentative for a moment.
fn wait_for_addresses(group: IpAddr, interface: &str) {
    for _ in 0..1_000 {
        match program(group, Some(interface)) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            sent => {
                sent.unwrap();
                return;
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{interface} has no address");
}

/// Everything that a guard may change; link-local addresses are only just being made.
fn state() -> [String; 3] {
    let settled =
        |text: String| text.lines().filter(|line| !line.contains("fe80::")).collect::<Vec<_>>().join("\n");
    ["ip route show table all", "ip -6 route show table all", "nft list ruleset"]
        .map(|line| settled(output(line)))
}

fn guard_of(address: &str, name: &str) -> Guard {
    Guard::new(ip(address), name.to_owned(), format!("{name} of a test"))
}

/// A program that has no idea of guards: it sends by the route, or by an interface that it names.
fn program(group: IpAddr, interface: Option<&str>) -> io::Result<usize> {
    let to = SocketAddr::new(group, PORT);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    if let Some(name) = interface {
        SockRef::from(&socket).bind_device(Some(name.as_bytes()))?;
    }
    socket.send_to(b"in the clear", &to.into())
}

/// A program that wants to hear the group, on the interface that the route leads to or on one that it names.
fn listener(group: IpAddr, interface: Option<&str>) -> io::Result<usize> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(group, PORT)), Type::DGRAM, None)?;
    join(&socket, group, interface).map(|()| 0)
}

fn join(socket: &Socket, group: IpAddr, interface: Option<&str>) -> io::Result<()> {
    let index = interface.map_or(0, |name| Interface::by_name(name, "--interface").unwrap().index());
    match (group, index) {
        (IpAddr::V4(group), 0) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
        (IpAddr::V4(group), index) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
        }
        (IpAddr::V6(group), index) => socket.join_multicast_v6(&group, index),
    }
}

fn refusal(sent: io::Result<usize>) -> Option<i32> {
    sent.err().map(|error| error.raw_os_error().unwrap())
}

#[test]
fn a_guard_is_raised_once_seen_whole_and_leaves_nothing_behind() {
    in_namespace("guard raised and released", || async {
        guard::available().unwrap();
        for group in GROUPS {
            let before = state();
            let guard = guard_of(group, "group-a");
            assert!(!guard.standing().unwrap().is_whole());
            let (first, second) = (guard.raise().unwrap(), guard.raise().unwrap());
            assert!(!first.route && !first.rules && second.is_whole(), "{first:?} {second:?}");
            assert!(guard.standing().unwrap().is_whole());
            let found = guard::guards().unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].address, Some(ip(group)));
            assert_eq!(found[0].comment, "group-a of a test");
            assert!(guard.release().unwrap());
            assert_eq!(state(), before, "{group}");
            assert!(!guard.release().unwrap(), "there is nothing to release any more");
            assert_eq!(state(), before, "{group}");
        }
    });
}

#[test]
fn programs_are_refused_by_the_route_and_by_an_interface_that_they_name() {
    in_namespace("programs refused", || async {
        for group in GROUPS {
            let address = ip(group);
            for interface in [None, Some("left")] {
                program(address, interface).unwrap();
            }
            let guard = guard_of(group, "group-a");
            guard.raise().unwrap();
            assert_eq!(refusal(program(address, None)), Some(libc::EHOSTUNREACH), "{group}");
            assert_eq!(refusal(program(address, Some("left"))), Some(libc::EPERM), "{group}");
            assert_eq!(guard.standing().unwrap().dropped, 1, "{group}");
            assert_eq!(refusal(listener(address, None)), Some(libc::ENODEV), "{group}");
            listener(address, Some("left")).unwrap();
            for other in ["239.192.7.6", "ff15::6"] {
                for interface in [None, Some("left")] {
                    program(ip(other), interface).expect("another group is nobody's business");
                }
            }
            guard.release().unwrap();
            for interface in [None, Some("left")] {
                program(address, interface).unwrap();
            }
        }
    });
}

#[test]
fn esp_and_our_own_sockets_pass_and_a_socket_of_another_priority_does_not() {
    in_namespace("own sockets", || async {
        let left = Interface::by_name("left", "--interface").unwrap();
        for (group, any) in [(GROUPS[0], "0.0.0.0"), (GROUPS[1], "::")] {
            let to = SocketAddr::new(ip(group), PORT);
            guard_of(group, "group-a").raise().unwrap();
            let esp = RawSocket::bind(Protocol::Esp, ip(any), &RawOptions::new("--raw")).unwrap();
            esp.set_multicast_interface(&left).unwrap();
            esp.send(b"sealed", to, None).await.unwrap();
            let own = UdpSocket::bind(SocketAddr::new(ip(any), 0), &UdpOptions::new("--port")).unwrap();
            own.set_multicast_interface(&left).unwrap();
            own.send(b"a rekey message", to, None).await.unwrap();
            SockRef::from(&own).set_priority(6).unwrap();
            let error = own.send(b"a rekey message", to, None).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{group}");
            let hip = RawSocket::bind(Protocol::Hip, ip(any), &RawOptions::new("--raw")).unwrap();
            hip.set_multicast_interface(&left).unwrap();
            let error = hip.send(b"of another protocol", to, None).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{group}");
        }
    });
}

/// Reports to the group's own address are those of IGMPv2 (RFC 2236) and MLDv1 (RFC 2710).
#[test]
fn the_kernels_reports_of_members_pass() {
    in_namespace("reports pass", || async {
        for (name, value) in [
            ("ipv4/conf/left/force_igmp_version", "2"),
            ("ipv4/conf/left/igmpv2_unsolicited_report_interval", "10"),
            ("ipv6/conf/left/force_mld_version", "1"),
            ("ipv6/conf/left/mldv1_unsolicited_report_interval", "10"),
        ] {
            std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
        }
        for (group, family) in [(GROUPS[0], "ip"), (GROUPS[1], "ip6")] {
            let guard = guard_of(group, "group-a");
            guard.raise().unwrap();
            output("nft add table inet behind");
            output("nft add chain inet behind x { type filter hook output priority 100; }");
            output(&format!("nft add rule inet behind x {family} daddr {group} counter"));
            let version = Domain::for_address(SocketAddr::new(ip(group), PORT));
            let member = Socket::new(version, Type::DGRAM, None).unwrap();
            join(&member, ip(group), Some("left")).unwrap();
            let passed = || !output("nft list table inet behind").contains("packets 0");
            for _ in 0..1_000 {
                if passed() {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            assert!(passed(), "{group}");
            assert_eq!(guard.standing().unwrap().dropped, 0, "{group}");
            output("nft delete table inet behind");
            guard.release().unwrap();
        }
    });
}

#[test]
fn a_tun_device_of_ours_takes_packets_and_when_it_goes_the_guard_remains() {
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        println!("NOT RUN: TUN device and guard: /dev/net/tun: {error}");
        return;
    }
    in_namespace("TUN device and guard", || async {
        for group in GROUPS {
            let address = ip(group);
            let guard = guard_of(group, "group-a");
            guard.raise().unwrap();
            for name in ["grp0", "a\"b;{}$(c)'"] {
                let mut options = TunOptions::new(1_400, "--tun");
                options.name = Some(name.into());
                options.ipv4 = Some(("10.9.0.1".parse().unwrap(), 24));
                options.ipv6 = vec![("fd09::1".parse().unwrap(), 64)];
                let device = TunDevice::create(&options).unwrap();
                let whole = if address.is_ipv4() { 32 } else { 128 };
                device.add_route(address, whole, None).unwrap();
                wait_for_addresses(address, name);
                program(address, None).unwrap();
                program(address, None).unwrap();
                assert_eq!(refusal(program(address, Some("left"))), Some(libc::EPERM));
                drop(device);
                // Another test that is just starting a program holds its descriptors for a moment.
                while Interface::by_name(name, "--tun").is_ok() {
                    thread::sleep(Duration::from_millis(10));
                }
                assert_eq!(refusal(program(address, None)), Some(libc::EHOSTUNREACH), "{name} {group}");
            }
            // A device of the same name that is nobody's.
            output("ip link add grp0 type veth peer name grp1");
            output("ip link set grp1 up");
            output("ip addr add 10.9.0.1/24 dev grp0");
            output("ip addr add fd09::1/64 dev grp0 nodad");
            output("ip link set grp0 up");
            // Before its link is up nothing leaves by it anyway.
            while matches!(
                refusal(program(address, Some("grp0"))),
                Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL)
            ) {
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(refusal(program(address, Some("grp0"))), Some(libc::EPERM), "{group}");
            output("ip link del grp0");
            assert!(guard.standing().unwrap().is_whole());
        }
    });
}

#[test]
fn the_way_to_a_guarded_group_is_that_of_its_neighbours() {
    in_namespace("way to a guarded group", || async {
        let towards = |group: &str| Interface::towards(ip(group), "--interface").unwrap().name().to_owned();
        for group in GROUPS {
            assert_eq!(towards(group), "left");
            guard_of(group, "group-a").raise().unwrap();
        }
        for neighbour in ["239.192.7.6", "239.192.7.5", "ff15::6", "ff15::5"] {
            guard_of(neighbour, &format!("group-{}", neighbour.replace(':', "."))).raise().unwrap();
        }
        for group in GROUPS {
            assert_eq!(towards(group), "left");
        }
        output("ip route del 224.0.0.0/4");
        Interface::towards(ip(GROUPS[0]), "--interface").unwrap_err();
        output("ip route add unreachable 239.192.9.9");
        output("ip route add 224.0.0.0/4 dev left");
        Interface::towards(ip("239.192.9.9"), "--interface").expect_err("an administrator's word counts");
    });
}

#[test]
fn one_of_two_guards_of_an_address_may_go() {
    in_namespace("two guards", || async {
        for group in GROUPS {
            let before = state();
            let [one, two] = ["group-a", "group-b"].map(|name| guard_of(group, name));
            one.raise().unwrap();
            two.raise().unwrap();
            assert!(one.release().unwrap());
            assert!(two.standing().unwrap().is_whole() && !one.standing().unwrap().rules);
            assert_eq!(refusal(program(ip(group), None)), Some(libc::EHOSTUNREACH));
            assert_eq!(refusal(program(ip(group), Some("left"))), Some(libc::EPERM));
            assert!(two.release().unwrap());
            assert_eq!(state(), before);
        }
    });
}

#[test]
fn what_an_administrator_takes_away_is_missed_and_made_again() {
    in_namespace("guard repaired", || async {
        for group in GROUPS {
            let guard = guard_of(group, "group-a");
            guard.raise().unwrap();
            let whole = state();
            let route = if ip(group).is_ipv4() { group.to_owned() } else { format!("{group} table local") };
            for (line, has_route, has_rules) in [
                ("nft flush ruleset".to_owned(), true, false),
                ("nft flush chain inet claviger group-a".to_owned(), true, false),
                ("nft insert rule inet claviger group-a accept".to_owned(), true, false),
                (format!("ip route del unreachable {route}"), false, true),
            ] {
                output(&line);
                let standing = guard.standing().unwrap();
                assert_eq!((standing.route, standing.rules), (has_route, has_rules), "{line}");
                let before = guard.raise().unwrap();
                assert_eq!((before.route, before.rules), (has_route, has_rules), "{line}");
                assert!(guard.standing().unwrap().is_whole(), "{line}");
                assert_eq!(state(), whole, "{line}");
            }
            guard.release().unwrap();
        }
    });
}

#[test]
fn what_the_kernel_shows_can_be_read_in_again() {
    in_namespace("rules saved and loaded", || async {
        for group in GROUPS {
            let guard = guard_of(group, "group-0123456789abcdef");
            guard.raise().unwrap();
            let saved = output("nft list ruleset");
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("rules");
            std::fs::write(&file, format!("flush ruleset\n{saved}")).unwrap();
            output(&format!("nft -f {}", file.display()));
            let standing = guard.standing().unwrap();
            println!("{group}: {standing:?}\n{saved}");
            assert_eq!(refusal(program(ip(group), Some("left"))), Some(libc::EPERM));
            guard.raise().unwrap();
            assert!(guard.standing().unwrap().is_whole());
            guard.release().unwrap();
        }
    });
}

#[test]
fn guards_of_one_address_come_and_go_at_once_and_nothing_is_lost_or_left() {
    in_namespace("guards at once", || async {
        for group in GROUPS {
            let before = state();
            thread::scope(|scope| {
                for number in 0..3 {
                    // A thread is in the namespace of the one that started it.
                    scope.spawn(move || {
                        let guard = guard_of(group, &format!("group-{number}"));
                        for round in 0..60 {
                            guard.raise().unwrap();
                            assert!(guard.standing().unwrap().rules, "round {round}");
                            // Another's release may have taken the route, and gives it back.
                            while !guard.standing().unwrap().route {
                                thread::yield_now();
                            }
                            assert_eq!(refusal(program(ip(group), Some("left"))), Some(libc::EPERM));
                            assert!(guard.release().unwrap());
                        }
                    });
                }
            });
            assert_eq!(state(), before, "{group}");
        }
    });
}

#[test]
fn who_watches_hears_of_what_others_change() {
    in_namespace("watch", || async {
        let watch = guard::Watch::begin().unwrap();
        let guard = guard_of(GROUPS[0], "group-a");
        for _ in 0..3 {
            guard.raise().unwrap();
            tokio::time::timeout(PATIENCE, watch.changed()).await.expect("it is made").unwrap();
            assert!(tokio::time::timeout(SILENCE, watch.changed()).await.is_err(), "once");
            output("nft flush ruleset");
            tokio::time::timeout(PATIENCE, watch.changed()).await.expect("it is flushed").unwrap();
        }
    });
}
