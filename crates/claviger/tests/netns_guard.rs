//! What must not leave in the clear does not: the guard of a TUN member's group, whatever becomes of the daemon.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use claviger_net::{Interface, MulticastSocket};
use claviger_testkit::{
    extent,
    lab::{Host, INTERFACE, Lab, NFT, installed, laboratory, tun_permitted},
    pcap::IpPacket,
    process::eventually,
};
use nix::sys::socket::{setsockopt, sockopt};
use support::{Identity, KeyServer, Member, PATIENCE, TUN, claviger, json};

/// What stands in every datagram of the programs.
const SECRET: &[u8] = b"nobody may read this on the wire";
const PORT: u16 = 5005;
/// The pause of a program between two datagrams.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a host may wait that was started again and again: it begins anew 16 times in 60 s.
const WAITS_MAX: Duration = Duration::from_secs(120);
/// How long programs go on after the end of a daemon.
const AFTERMATH: Duration = Duration::from_millis(250);

const ESP: u8 = 50;
const IGMP: u8 = 2;
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;

/// Exit codes.
const USAGE: i32 = 2;
const REFUSED: i32 = 4;
const IN_USE: i32 = 5;
const PRIVILEGE: i32 = 7;

const GROUPS: [(&str, &str); 2] = [("radio4", "239.192.7.7"), ("radio6", "ff15::77")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A laboratory whose hosts' ways to the groups are chosen, as an administrator chooses them.
fn lab(test: &str, hosts: u8, run: impl FnOnce(&Lab)) {
    if !installed(test, &[NFT]) || !tun_permitted(test) {
        return;
    }
    laboratory(test, hosts, |lab| {
        for host in lab.hosts() {
            host.ip(&format!("route add multicast ff15::/16 dev {INTERFACE} table local"));
        }
        run(lab);
    });
}

/// A program that knows nothing of guards and sends without end, whatever it is told.
struct Talker {
    ended: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// How a program chooses the way.
#[derive(Debug, Clone, Copy)]
enum Way {
    Route,
    /// `IP_MULTICAST_IF`, `IPV6_MULTICAST_IF`.
    MulticastInterface,
    /// `SO_BINDTODEVICE`.
    Device,
}

struct Program {
    socket: UdpSocket,
    is_ipv4: bool,
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl MulticastSocket for Program {
    fn is_ipv4(&self) -> bool {
        self.is_ipv4
    }
}

impl Program {
    fn new(host: &Host, group: IpAddr, way: Way) -> Self {
        let any: IpAddr = match group {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        host.enter(|| {
            let socket = UdpSocket::bind((any, 0)).unwrap();
            let program = Self { socket, is_ipv4: group.is_ipv4() };
            match way {
                Way::Route => {}
                Way::MulticastInterface => {
                    let interface = Interface::by_name(INTERFACE, "--interface").unwrap();
                    program.set_multicast_interface(&interface).unwrap();
                }
                Way::Device => setsockopt(&program, sockopt::BindToDevice, &INTERFACE.into()).unwrap(),
            }
            program
        })
    }
}

impl Talker {
    fn start(host: &Host, group: IpAddr, way: Way) -> Self {
        let program = Program::new(host, group, way);
        let (ended, taken) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let thread = thread::spawn({
            let (ended, taken) = (Arc::clone(&ended), Arc::clone(&taken));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    if program.socket.send_to(SECRET, (group, PORT)).is_ok() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(PAUSE);
                }
            }
        });
        Self { ended, taken, thread: Some(thread) }
    }

    /// Starts programs of every kind.
    fn start_all(host: &Host, group: IpAddr) -> Vec<Self> {
        [Way::Route, Way::MulticastInterface, Way::Device].map(|way| Self::start(host, group, way)).into()
    }

    /// How many datagrams the system has taken.
    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported.
            let _ = thread.join();
        }
    }
}

/// What was seen of a group on the wire.
struct Seen {
    clear: usize,
    esp: usize,
    /// Packets that are neither, in words.
    strange: Vec<String>,
}

impl Seen {
    /// Sorts packets; what the key server at `server` sends is no concern.
    fn new(packets: Vec<(Duration, IpPacket)>, group: IpAddr, server: IpAddr) -> Self {
        let mut seen = Self { clear: 0, esp: 0, strange: Vec::new() };
        for (_, packet) in packets {
            if packet.payload.windows(SECRET.len()).any(|window| window == SECRET) {
                seen.clear += 1;
            } else if packet.destination == group {
                match packet.protocol {
                    ESP => seen.esp += 1,
                    IGMP => {}
                    HOP_BY_HOP if is_mld(&packet.payload) => {}
                    _ if packet.source == server => {}
                    other => seen.strange.push(format!("protocol {other} from {}", packet.source)),
                }
            }
        }
        seen
    }

    fn assert_clean(&self, what: &str) {
        assert_eq!(self.clear, 0, "{what}: in the clear");
        assert!(self.strange.is_empty(), "{what}: {:?}", self.strange);
    }
}

/// Says whether a report or a query of MLD stands behind a router alert of eight octets (RFC 2710 section 3).
fn is_mld(hop_by_hop: &[u8]) -> bool {
    hop_by_hop.starts_with(&[ICMPV6, 0]) && matches!(hop_by_hop.get(8), Some(130..=132))
}

/// Has programs of every kind send for a while, and says what was seen.
fn send_for_a_while(host: &Host, group: IpAddr) -> Seen {
    // The key server is at the first host.
    let server = match group {
        IpAddr::V4(_) => Ipv4Addr::new(10, 7, 0, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1).into(),
    };
    let wire = host.capture();
    let talkers = Talker::start_all(host, group);
    thread::sleep(AFTERMATH);
    drop(talkers);
    Seen::new(wire.stop().packets(), group, server)
}

/// All that a guard may change of a host.
fn state(host: &Host) -> [String; 3] {
    ["ip route show table all", "ip -6 route show table all", "nft list ruleset"].map(|line| {
        let mut words = line.split(' ');
        host.run(Command::new(words.next().unwrap()).args(words)).success()
    })
}

/// The guards of a state directory, as `claviger guard list` shows them.
fn guards(identity: &Identity<'_>) -> Vec<serde_json::Value> {
    let text = identity.host.run(claviger(&identity.state).args(["guard", "list", "--json"])).success();
    json(&text).as_array().unwrap().clone()
}

fn is_guarded(identity: &Identity<'_>) -> bool {
    let guards = guards(identity);
    !guards.is_empty() && guards.iter().all(|guard| guard["route"] == true && guard["rules"] == true)
}

fn wait_until_guarded(identity: &Identity<'_>) {
    eventually("the guard stands", PATIENCE, || is_guarded(identity).then_some(()));
}

fn release(identity: &Identity<'_>, group: &str) -> String {
    identity.host.run(claviger(&identity.state).args(["release", "--group", group])).success()
}

/// A key server with the groups, and a member that may join them.
fn served<'a>(lab: &'a Lab, member: &'a Host) -> (KeyServer<'a>, Identity<'a>) {
    let server = KeyServer::start(lab, lab.host(1), false);
    let identity = server.identity(member);
    for (name, address) in GROUPS {
        // A port of its own lets members run beside the key server.
        server
            .add_group(name, &["--address", address, "--encapsulation", "transport", "--push-port", "1848"]);
        server.allow(name, &identity, "both");
    }
    (server, identity)
}

/// What members say to get a device.
const DEVICE: [&str; 6] =
    ["--sender", "--tun", TUN, "--tun-address", "10.9.0.2/24", "--tun-address=fd09::2/64"];

fn join<'a>(
    server: &KeyServer<'a>,
    identity: &Identity<'a>,
    group: (&str, &str),
    options: &[&str],
) -> Member<'a> {
    server.join(identity.again(), ip(group.1), group.0, &[&DEVICE, options].concat())
}

/// A generator of pseudo-random numbers (xorshift), whose seed is printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("CLAVIGER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(support::now().as_micros() as u64) | 1;
        println!("CLAVIGER_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn a_member_killed_at_any_instant_leaves_nothing_in_the_clear() {
    lab("a_member_killed_at_any_instant_leaves_nothing_in_the_clear", 2, |lab| {
        let host = lab.host(2);
        let (server, identity) = served(lab, host);
        let mut random = Random::new();
        for group in GROUPS {
            let address = ip(group.1);
            let mut first = join(&server, &identity, group, &["--address", group.1]);
            wait_until_guarded(&identity);
            let wire = host.capture();
            let talkers = Talker::start_all(host, address);
            // A whole run kills more often.
            let kills = if extent::is_whole() { 100 } else { 10 };
            for _ in 0..kills {
                thread::sleep(Duration::from_millis(random.below(700)));
                first.stop();
                thread::sleep(Duration::from_millis(random.below(50)));
                // From now on the daemon knows the address by itself.
                first = join(&server, &identity, group, &[]);
            }
            first.wait_until_keyed_within(WAITS_MAX);
            let before = talkers[0].taken();
            eventually("programs send again", PATIENCE, || (talkers[0].taken() > before + 20).then_some(()));
            first.stop();
            thread::sleep(AFTERMATH);
            assert_eq!(talkers[1].taken() + talkers[2].taken(), 0, "who names the interface sends nothing");
            drop(talkers);
            let server_address = server.host.address_like(address);
            let seen = Seen::new(wire.stop().packets(), address, server_address);
            seen.assert_clean(group.0);
            assert!(seen.esp > 20, "{}: {} packets of ESP", group.0, seen.esp);
            release(&identity, group.0);
        }
    });
}

#[test]
fn every_end_of_a_daemon_leaves_the_guard_and_release_leaves_nothing() {
    lab("every_end_of_a_daemon_leaves_the_guard_and_release_leaves_nothing", 2, |lab| {
        let host = lab.host(2);
        let (server, identity) = served(lab, host);
        for group in GROUPS {
            let address = ip(group.1);
            let before = state(host);
            // Without --address the guard comes with the first PULL.
            let mut member = join(&server, &identity, group, &[]);
            member.wait_until_keyed();
            assert!(is_guarded(&identity), "{}", group.0);
            let (code, error) =
                host.run(claviger(&identity.state).args(["release", "--group", group.0])).failure();
            assert_eq!(code, IN_USE, "{error}");
            assert!(error.contains("a guard is not taken from under its daemon"), "{error}");

            let wire = host.capture();
            let talkers = Talker::start_all(host, address);
            eventually("programs send", PATIENCE, || (talkers[0].taken() > 20).then_some(()));
            let server_address = server.host.address_like(address);
            host.ip(&format!("link del {TUN}"));
            thread::sleep(AFTERMATH);
            member.leave();
            thread::sleep(AFTERMATH);
            // Under another name of the device.
            let mut options = DEVICE;
            options[2] = "tv-7";
            let mut member = server.join(identity.again(), address, group.0, &options);
            member.wait_until_keyed();
            let taken = talkers[0].taken();
            eventually("programs send", PATIENCE, || (talkers[0].taken() > taken + 20).then_some(()));
            server.evict(group.0, &identity.hit);
            assert_eq!(member.daemon.wait(PATIENCE).code(), Some(REFUSED), "{}", member.daemon.errors());
            thread::sleep(AFTERMATH);
            server.allow(group.0, &identity, "both");
            let mut member = join(&server, &identity, group, &[]);
            member.wait_until_keyed();
            server.ask(&["group", "remove", group.0]);
            assert_eq!(member.daemon.wait(PATIENCE).code(), Some(REFUSED), "{}", member.daemon.errors());
            thread::sleep(AFTERMATH);
            // A start that fails.
            let mut member = join(&server, &identity, group, &[]);
            assert_eq!(member.daemon.wait(PATIENCE).code(), Some(REFUSED), "{}", member.daemon.errors());
            thread::sleep(AFTERMATH);
            drop(talkers);
            let seen = Seen::new(wire.stop().packets(), address, server_address);
            seen.assert_clean(group.0);
            assert!(seen.esp > 40, "{}: {} packets of ESP", group.0, seen.esp);
            assert!(is_guarded(&identity), "{}", group.0);

            let text = release(&identity, group.0);
            assert!(text.starts_with(&format!("released {}", group.1)), "{text}");
            assert_eq!(state(host), before, "{}", group.0);
            let text = release(&identity, group.0);
            assert!(text.starts_with(&format!("group {} has no guard by ", group.0)), "{text}");
            assert_eq!(state(host), before, "{}", group.0);
            assert!(guards(&identity).is_empty());
            assert!(send_for_a_while(host, address).clear > 0, "released is released");
        }
    });
}

#[test]
fn fail_open_is_what_it_says_and_is_refused_where_a_guard_stands() {
    lab("fail_open_is_what_it_says_and_is_refused_where_a_guard_stands", 2, |lab| {
        let host = lab.host(2);
        let (server, identity) = served(lab, host);
        for group in GROUPS {
            let address = ip(group.1);
            let before = state(host);
            let mut member = join(&server, &identity, group, &["--fail-open", "--address", group.1]);
            member.wait_until_keyed();
            assert!(guards(&identity).is_empty());
            let seen = send_for_a_while(host, address);
            assert!(seen.clear > 0, "{}: who names the interface is seen", group.0);
            member.stop();
            assert!(send_for_a_while(host, address).clear > 0, "{}: and so is who does not", group.0);
            assert_eq!(state(host), before);

            let mut member = join(&server, &identity, group, &[]);
            member.wait_until_keyed();
            member.stop();
            let mut member = join(&server, &identity, group, &["--fail-open"]);
            assert_eq!(member.daemon.wait(PATIENCE).code(), Some(USAGE));
            let error = member.daemon.errors();
            assert!(error.contains(&format!("claviger release --group {}", group.0)), "{error}");
            assert!(is_guarded(&identity));
            send_for_a_while(host, address).assert_clean(group.0);
            release(&identity, group.0);
        }
    });
}

#[test]
fn an_address_that_the_key_server_does_not_confirm_is_an_error_that_names_both() {
    let test = "an_address_that_the_key_server_does_not_confirm_is_an_error_that_names_both";
    lab(test, 2, |lab| {
        let host = lab.host(2);
        let (server, identity) = served(lab, host);
        let (group, other) = (GROUPS[0], "239.192.7.8");
        for (options, is_open) in
            [(&["--fail-open", "--address", other][..], true), (&["--address", other], false)]
        {
            let mut member = join(&server, &identity, group, options);
            assert_eq!(member.daemon.wait(PATIENCE).code(), Some(USAGE), "{}", member.daemon.errors());
            let error = member.daemon.errors();
            assert!(error.contains(other) && error.contains(group.1), "{error}");
            assert_eq!(guards(&identity).is_empty(), is_open);
        }
        // What was asked for is guarded, and what is remembered is not replaced without a word.
        send_for_a_while(host, ip(other)).assert_clean(other);
        for options in [&["--address", group.1][..], &[]] {
            let mut member = join(&server, &identity, group, options);
            assert_eq!(member.daemon.wait(PATIENCE).code(), Some(USAGE), "{}", member.daemon.errors());
            let error = member.daemon.errors();
            assert!(error.contains(other) && error.contains(group.1), "{error}");
            assert!(error.contains("claviger release --group radio4"), "{error}");
        }
        release(&identity, group.0);
        let mut member = join(&server, &identity, group, &["--address", group.1]);
        member.wait_until_keyed();
    });
}

#[test]
fn guards_stand_again_after_a_start_of_the_host() {
    lab("guards_stand_again_after_a_start_of_the_host", 3, |lab| {
        let (server, identity) = served(lab, lab.host(2));
        for group in GROUPS {
            let mut member = join(&server, &identity, group, &[]);
            member.wait_until_keyed();
            member.stop();
        }
        // A host of the same state that has just been started.
        let host = lab.host(3);
        let before = state(host);
        let parent = lab.directory().join("parent");
        std::fs::create_dir(&parent).unwrap();
        std::os::unix::fs::symlink(&identity.state, parent.join("link")).unwrap();
        let moved = Identity { host, state: parent.join("member"), hit: identity.hit.clone() };
        std::fs::rename(&identity.state, &moved.state).unwrap();
        // A file that is damaged is no reason to leave out the others.
        std::fs::write(moved.state.join("guard-damaged.json"), "{").unwrap();
        let (code, error) = host.run(claviger(&parent).args(["guard", "restore"])).failure();
        assert_eq!(code, 3, "{error}");
        assert!(error.contains("guard-damaged.json"), "{error}");
        std::fs::remove_file(moved.state.join("guard-damaged.json")).unwrap();
        for group in GROUPS {
            send_for_a_while(host, ip(group.1)).assert_clean(group.0);
        }
        assert!(is_guarded(&moved));
        let text = host.run(claviger(&parent).args(["guard", "restore"])).success();
        assert_eq!(text, "239.192.7.7 of group radio4 is guarded\nff15::77 of group radio6 is guarded\n");
        // It is known by its path, as long as it stands.
        let again = Identity { host, state: parent.join("member-again"), hit: moved.hit.clone() };
        std::fs::rename(&moved.state, &again.state).unwrap();
        for group in GROUPS {
            let text = release(&again, group.0);
            assert!(text.contains("it stays guarded by: "), "{text}");
            let text = release(&moved, group.0);
            assert!(text.starts_with(&format!("released {}: ", group.1)), "{text}");
        }
        assert_eq!(state(host), before);
        assert!(!moved.state.exists(), "a release makes no directory");
        // A file that was written by hand after the guard was made.
        let write = |address: &str| {
            let record = format!("{{\"group\":\"x\",\"address\":\"{address}\"}}");
            std::fs::write(again.state.join("guard-x.json"), record).unwrap();
        };
        write("239.192.7.1");
        host.run(claviger(&again.state).args(["guard", "restore"])).success();
        write("239.192.7.2");
        let text = release(&again, "x");
        assert!(text.starts_with("released 239.192.7.2: "), "{text}");
        assert_eq!(state(host), before);
    });
}

#[test]
fn what_an_administrator_flushes_the_daemon_makes_again() {
    lab("what_an_administrator_flushes_the_daemon_makes_again", 2, |lab| {
        let host = lab.host(2);
        let (server, identity) = served(lab, host);
        for group in GROUPS {
            let before = state(host);
            let mut member = join(&server, &identity, group, &[]);
            member.wait_until_keyed();
            host.nft("table inet mine { chain output { type filter hook output priority 0; }; }");
            wait_until_guarded(&identity);
            let warned = |times: usize| {
                let warnings = || member.daemon.errors().matches("was taken away").count();
                eventually("the daemon has warned", PATIENCE, || (warnings() >= times).then_some(()));
                assert_eq!(warnings(), times, "{}", member.daemon.errors());
            };
            warned(1);
            host.ip(&format!("route flush {} table all", group.1));
            wait_until_guarded(&identity);
            warned(2);
            let talker = Talker::start(host, ip(group.1), Way::Route);
            eventually("the device takes packets again", PATIENCE, || (talker.taken() > 0).then_some(()));
            drop(talker);
            member.stop();
            send_for_a_while(host, ip(group.1)).assert_clean(group.0);
            release(&identity, group.0);
            host.nft("");
            assert_eq!(state(host), before, "{}", group.0);
        }
    });
}

#[test]
fn one_address_may_be_guarded_for_two_and_a_key_server_beside_it_is_heard() {
    lab("one_address_may_be_guarded_for_two_and_a_key_server_beside_it_is_heard", 2, |lab| {
        let host = lab.host(1);
        let (server, identity) = served(lab, host);
        let elsewhere = server.identity(lab.host(2));
        for group in GROUPS {
            let address = ip(group.1);
            server.allow(group.0, &elsewhere, "both");
            let before = state(host);
            let mut member = join(&server, &identity, group, &[]);
            member.wait_until_keyed();
            let mut options =
                DEVICE.map(|option| option.replace("10.9.0.2", "10.9.0.3").replace("::2", "::3"));
            options[2] = "grp1".to_owned();
            let options = options.each_ref().map(String::as_str);
            let mut far = server.join(elsewhere.again(), address, group.0, &options);
            far.wait_until_keyed();
            let kek = far.keys().epoch;
            server.ask(&["rekey", "--group", group.0, "--key", "kek"]);
            eventually("the member elsewhere follows", PATIENCE, || (far.keys().epoch != kek).then_some(()));
            eventually("and so does the one here", PATIENCE, || {
                (member.keys().kek() == far.keys().kek()).then_some(())
            });
            far.leave();
            release(&elsewhere, group.0);

            let second = Identity { host, state: lab.directory().join("second"), hit: identity.hit.clone() };
            std::fs::create_dir(&second.state).unwrap();
            let file = format!("guard-{}.json", group.0);
            std::fs::copy(identity.state.join(&file), second.state.join(&file)).unwrap();
            host.run(claviger(&second.state).args(["guard", "restore"])).success();
            // A TUN device passes the guards of others too.
            let taken = send_for_a_while(host, address);
            taken.assert_clean(group.0);
            assert!(taken.esp > 0, "{}", group.0);
            member.stop();
            let text = release(&identity, group.0);
            assert!(text.contains(&format!("it stays guarded by: {} in ", group.0)), "{text}");
            send_for_a_while(host, address).assert_clean(group.0);
            release(&second, group.0);
            assert_eq!(state(host), before, "{}", group.0);
            std::fs::remove_dir_all(&second.state).unwrap();
        }
    });
}

#[test]
fn the_guard_needs_no_program_and_where_it_cannot_be_nobody_joins() {
    lab("the_guard_needs_no_program_and_where_it_cannot_be_nobody_joins", 2, |lab| {
        let host = lab.host(2);
        let (server, identity) = served(lab, host);
        let group = GROUPS[0];
        let before = state(host);
        let place = server.place(ip(group.1));
        let program = env!("CARGO_BIN_EXE_claviger");
        let state_dir = identity.state.display().to_string();
        let words = ["--state-dir", &state_dir, "join", "--server", &place, "--group", group.0];
        let words = [&words[..], &DEVICE, &["--address", group.1]].concat();

        let mut without_right = Command::new("setpriv");
        without_right.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", program]).args(&words);
        let (code, error) = host.run(&mut without_right).failure();
        assert_eq!(code, PRIVILEGE, "{error}");
        assert!(error.contains("guards need root or CAP_NET_ADMIN"), "{error}");
        assert_eq!(state(host), before);
        assert!(!identity.state.join("guard-radio4.json").exists());
        let members = server.ask(&["member", "list", "--group", group.0]);
        assert!(members[0]["address"].is_null(), "it did not register: {members}");

        let mut alone = Command::new("env");
        alone.args(["-i", "PATH=/nonexistent", program]).args(&words);
        let _daemon = host.start(&mut alone);
        wait_until_guarded(&identity);
        send_for_a_while(host, ip(group.1)).assert_clean(group.0);
    });
}
