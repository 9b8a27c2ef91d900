//! A laboratory: hosts on a switch that snoops IGMP and MLD, each in its own network namespace.
//!
//! ```text
//!   host 1          host 2          host 3
//!   10.7.0.1        10.7.0.2        10.7.0.3        eth0, fd07::1 and so on, offloads off
//!      |               |               |
//!      p1              p2              p3
//!   ===================================== br0      querier; groups go to ports that asked for them
//! ```
//!
//! It needs root, or a user namespace, which a test that is run by another user enters by itself.

use std::{
    env, fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{ifaddrs::getifaddrs, sys::socket::LinkAddr, unistd::geteuid};
use tempfile::TempDir;

use crate::{
    capture::Capture,
    netns::Namespace,
    process::{Finished, Journal, Running, search_path},
};

/// The hosts' interface.
pub const INTERFACE: &str = "eth0";

/// How long a bridge that has just become the querier floods every group: its `mcast_query_response_interval`, which
/// is the time that hosts have for telling it what they have joined (`br_multicast_querier_exists`).
const FLOODING: Duration = Duration::from_millis(500);

/// Laboratories of one process stand one after the other: what they measure is time, and hosts have few cores.
static SERIAL: Mutex<()> = Mutex::new(());

/// A program that tests use, and the Debian package that it comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    program: &'static str,
    package: &'static str,
}

/// Drops packets.
pub const NFT: Tool = Tool { program: "nft", package: "nftables" };

/// Reads recorded packets.
pub const TSHARK: Tool = Tool { program: "tshark", package: "tshark" };

/// What builds the laboratory itself.
const GROUND: [Tool; 2] =
    [Tool { program: "ip", package: "iproute2" }, Tool { program: "ethtool", package: "ethtool" }];

/// Hosts on a snooping switch.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    switch: Host,
    journal: Journal,
    directory: TempDir,
    _serial: MutexGuard<'static, ()>,
}

/// A host, or the switch.
#[derive(Debug)]
pub struct Host {
    name: String,
    number: u8,
    namespace: Namespace,
    journal: Journal,
}

/// Runs a test in a laboratory of so many hosts. `test` is the test's whole name, as `cargo test` lists it.
///
/// Where the host forbids it, it says `NOT RUN:` and why on standard error, and returns.
///
/// # Panics
///
/// If the test does, after writing the output of every program to standard error; or if the laboratory cannot be
/// built although the host permits it.
pub fn laboratory(test: &str, hosts: u8, run: impl FnOnce(&Lab)) {
    if !installed(test, &GROUND) {
        return;
    }
    match Namespace::new() {
        Ok(switch) => run(&Lab::build(switch, hosts)),
        Err(error) if geteuid().is_root() => not_run(test, &format!("no network namespace: {error}")),
        Err(_) => in_user_namespace(test),
    }
}

/// Says on standard error, past the test harness, that a test was not run, and why.
pub fn not_run(test: &str, reason: &str) {
    // Nobody could be told of a closed standard error.
    let _ = writeln!(io::stderr(), "NOT RUN: {test}: {reason}");
}

/// Says whether programs are installed; if one is not, that the test is not run.
pub fn installed(test: &str, tools: &[Tool]) -> bool {
    let path = search_path();
    let missing =
        |tool: &&Tool| !env::split_paths(&path).any(|directory| directory.join(tool.program).is_file());
    match tools.iter().find(missing) {
        None => true,
        Some(Tool { program, package }) => {
            not_run(test, &format!("{program} is missing (apt-get install {package})"));
            false
        }
    }
}

/// Says whether this process can make TUN devices; if not, that the test is not run.
pub fn tun_permitted(test: &str) -> bool {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => true,
        Err(error) => {
            not_run(test, &format!("/dev/net/tun: {error}"));
            false
        }
    }
}

/// Finds the laboratory's interface in the namespace that the calling thread is in.
pub(crate) fn link_address() -> io::Result<LinkAddr> {
    let interfaces = getifaddrs()?.filter(|interface| interface.interface_name == INTERFACE);
    let mut links = interfaces.filter_map(|interface| interface.address?.as_link_addr().copied());
    links.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Runs one test of this program again, as root of an own user namespace.
fn in_user_namespace(test: &str) {
    let program = env::current_exe().expect("Linux says where a program is");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]);
    match unshare.args(["true"]).output() {
        Ok(probe) if probe.status.success() => {}
        Ok(probe) => return not_run(test, String::from_utf8_lossy(&probe.stderr).trim()),
        Err(error) => return not_run(test, &format!("unshare: {error}")),
    }
    let mut again = Command::new("unshare");
    again.args(["--user", "--map-root-user"]).arg(program).args(["--exact", test, "--nocapture"]);
    let done = again.output().expect("unshare was there a moment ago");
    let (output, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    for line in errors.lines().filter(|line| line.starts_with("NOT RUN:")) {
        let _ = writeln!(io::stderr(), "{line}");
    }
    // A mistaken name runs no test, and that is a success to the harness.
    assert!(done.status.success() && output.contains("1 passed"), "in a user namespace:\n{output}\n{errors}");
}

impl Lab {
    fn build(switch: Namespace, count: u8) -> Self {
        let serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let directory =
            tempfile::Builder::new().prefix("lab").tempdir().expect("there is a temporary directory");
        let journal = Journal::new(directory.path());
        let host =
            |name: String, number, namespace| Host { name, number, namespace, journal: journal.clone() };
        let switch = host("switch".to_owned(), 0, switch);
        let hosts: Vec<_> = (1..=count)
            .map(|number| {
                let namespace = Namespace::new().expect("what one namespace was permitted for, more are");
                host(format!("host {number}"), number, namespace)
            })
            .collect();
        // From here on a failure writes the journal.
        let lab = Self { hosts, switch, journal, directory, _serial: serial };
        lab.switch.sysctl("net/ipv6/conf/default/accept_dad", "0");
        // The interval stands before the querier is turned on, or the bridge floods for ten seconds.
        lab.switch.ip("link add br0 type bridge mcast_snooping 1 mcast_igmp_version 3 mcast_mld_version 2 \
             mcast_query_interval 1000 mcast_query_response_interval 50 mcast_startup_query_interval 100 \
             forward_delay 0 stp_state 0\n\
             link set br0 type bridge mcast_querier 1\n\
             link set br0 up");
        for host in &lab.hosts {
            host.connect(&lab.switch);
        }
        thread::sleep(FLOODING * 2);
        lab
    }

    /// The host of a number, from one on.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn host(&self, number: u8) -> &Host {
        &self.hosts[usize::from(number) - 1]
    }

    /// All hosts, in order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The switch; it has no address.
    pub fn switch(&self) -> &Host {
        &self.switch
    }

    /// A directory that goes away with the laboratory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what was run:\n{}", self.journal.report());
        }
    }
}

impl Host {
    /// The number, as in its addresses.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The IPv4 address.
    pub fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 7, 0, self.number)
    }

    /// The IPv6 address.
    pub fn ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, self.number.into())
    }

    /// The address of the same IP version as another.
    pub fn address_like(&self, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => self.ipv4().into(),
            IpAddr::V6(_) => self.ipv6().into(),
        }
    }

    /// Runs a closure at this host: sockets that it makes are the host's.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(inside)
    }

    /// Starts a program at this host.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(&self, command: &mut Command) -> Running {
        self.journal.start(&self.name, &self.namespace, command, &[])
    }

    /// Starts a program at this host, and returns the end of the pipe that its standard input is.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start_piped(&self, command: &mut Command) -> (Running, ChildStdin) {
        let (running, stdin) = self.journal.spawn(&self.name, &self.namespace, command.stdin(Stdio::piped()));
        (running, stdin.expect("standard input is a pipe"))
    }

    /// Runs a program at this host to its end.
    ///
    /// # Panics
    ///
    /// If it cannot be started, or does not end within [`crate::process::COMMAND_PATIENCE`].
    pub fn run(&self, command: &mut Command) -> Finished {
        self.start(command).finish()
    }

    /// Runs a program at this host to its end, with a standard input.
    ///
    /// # Panics
    ///
    /// As [`Host::run`].
    pub fn run_with(&self, command: &mut Command, input: &[u8]) -> Finished {
        self.journal.start(&self.name, &self.namespace, command, input).finish()
    }

    /// Runs lines of `ip`.
    ///
    /// # Panics
    ///
    /// If one fails.
    pub fn ip(&self, lines: &str) {
        self.run_with(Command::new("ip").args(["-batch", "-"]), lines.as_bytes()).success();
    }

    /// Replaces this host's nftables rules.
    ///
    /// # Panics
    ///
    /// If they are no rules.
    pub fn nft(&self, rules: &str) {
        let rules = format!("flush ruleset\n{rules}");
        self.run_with(Command::new("nft").args(["-f", "-"]), rules.as_bytes()).success();
    }

    /// Drops so many of a hundred packets that come in from the network, at random.
    ///
    /// # Panics
    ///
    /// If nftables refuses.
    pub fn lose(&self, percent: u8) {
        self.nft(&format!(
            "table inet loss {{ chain input {{ type filter hook input priority 0; \
             iifname {INTERFACE} numgen random mod 100 < {percent} counter drop; }}; }}"
        ));
    }

    /// Counts the packets that the rules of [`Host::nft`] with a `counter` have met.
    ///
    /// # Panics
    ///
    /// If nftables refuses.
    pub fn rule_hits(&self) -> u64 {
        let rules = self.run(Command::new("nft").args(["list", "ruleset"])).success();
        let mut words = rules.split_whitespace();
        std::iter::from_fn(|| words.by_ref().find(|word| *word == "packets").and_then(|_| words.next()))
            .map(|count| count.parse::<u64>().expect("nft prints numbers"))
            .sum()
    }

    /// Says the hardware address of this host's interface.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn hardware_address(&self) -> [u8; 6] {
        let address = self.enter(link_address).expect("a host has an interface");
        address.addr().expect("an Ethernet interface has a hardware address")
    }

    /// Begins to record what passes this host's interface.
    ///
    /// # Panics
    ///
    /// If a packet socket is refused.
    pub fn capture(&self) -> Capture {
        self.enter(|| Capture::start(INTERFACE)).expect("who may make interfaces may listen to them")
    }

    fn connect(&self, switch: &Host) {
        let number = self.number;
        self.sysctl("net/ipv6/conf/default/accept_dad", "0");
        // Both ends are made straight inside their namespaces: no name is ever taken outside.
        self.ip(&format!(
            "link set lo up\n\
             link add {INTERFACE} type veth peer name p{number} netns {}\n\
             link set {INTERFACE} up\n\
             addr add {}/24 dev {INTERFACE}\n\
             addr add {}/64 dev {INTERFACE} nodad\n\
             route add 224.0.0.0/4 dev {INTERFACE}",
            switch.namespace.path(),
            self.ipv4(),
            self.ipv6(),
        ));
        switch.ip(&format!("link set p{number} up master br0"));
        // The raw sockets and captures of the tests see packets as a wire would carry them, checksums included.
        self.run(Command::new("ethtool").args(["-K", INTERFACE, "tx", "off", "gso", "off", "tso", "off"]))
            .success();
        self.sysctl("net/ipv4/igmp_max_memberships", "1000");
        self.sysctl("net/ipv4/igmp_max_msf", "64");
    }

    fn sysctl(&self, name: &str, value: &str) {
        self.enter(|| fs::write(Path::new("/proc/sys").join(name), value))
            .unwrap_or_else(|error| panic!("{}: {name}: {error}", self.name));
    }
}
