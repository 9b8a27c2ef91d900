//! What the tests share that run the program: daemons on loopback, and at hosts of a laboratory a key server, members and
//! the programs behind them.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its own part of this")]

pub mod daemons;
pub mod film;
mod listener;
mod programs;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use claviger_identity::Hit;
use claviger_testkit::{
    lab::{Host, INTERFACE, Lab},
    process::{Finished, Running, eventually},
};
use nix::sys::signal::Signal;
use serde_json::Value;

pub use listener::{Conduct, Listener};
pub use programs::{Film, MARK, Screen, now};

/// How long a daemon may take to do what it does in milliseconds on a host with nothing else to do.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The TUN device of members.
pub const TUN: &str = "grp0";

/// A key server at a host.
pub struct KeyServer<'a> {
    pub host: &'a Host,
    lab: &'a Lab,
    state: PathBuf,
    hit: String,
    /// Whether members speak HIP with it on IP protocol 139.
    raw: bool,
    daemon: Running,
}

/// The answer of `claviger member evict`.
pub struct Evicted {
    /// When the host was deaf, since 1970.
    pub deaf_at: Duration,
    pub was_member: bool,
}

impl<'a> KeyServer<'a> {
    /// Starts it, and waits until it answers.
    pub fn start(lab: &'a Lab, host: &'a Host, raw: bool) -> Self {
        Self::start_with(lab, host, raw, &["--interface", INTERFACE])
    }

    /// Starts it with options of one's own, and waits until it answers.
    pub fn start_with(lab: &'a Lab, host: &'a Host, raw: bool, options: &[&str]) -> Self {
        Self::start_in(lab, host, raw, options, &[])
    }

    /// Starts it with options and variables of the environment of one's own, and waits until it answers.
    pub fn start_in(
        lab: &'a Lab,
        host: &'a Host,
        raw: bool,
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_logging(lab, host, raw, "debug", options, environment)
    }

    /// Does what [`KeyServer::start_in`] does, and has it log what a filter lets through.
    pub fn start_logging(
        lab: &'a Lab,
        host: &'a Host,
        raw: bool,
        filter: &str,
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let state = lab.directory().join("server");
        let mut command = claviger(&state);
        command.args(["--log", filter, "server"]).args(options).envs(environment.iter().copied());
        if raw {
            command.arg("--raw");
        }
        let mut daemon = host.start(&mut command);
        let status = eventually("the key server answers", PATIENCE, || {
            assert_eq!(daemon.poll(), None, "the key server ended: {}", daemon.errors());
            host.run(claviger(&state).args(["status", "--json"])).output_if_successful()
        });
        let hit = json(&status)[0]["hit"].as_str().expect("a server has a HIT").to_owned();
        Self { host, lab, state, hit, raw, daemon }
    }

    /// Reads what it has logged.
    pub fn log(&self) -> String {
        self.daemon.errors()
    }

    /// Says how much CPU time it has used so far.
    pub fn cpu_time(&self) -> Duration {
        self.daemon.cpu_time()
    }

    /// Says how many octets it has written, to its store and its log above all.
    pub fn octets_written(&self) -> u64 {
        self.daemon.octets_written()
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.daemon.signal(Signal::SIGKILL);
        self.daemon.wait(PATIENCE);
    }

    /// Begins to run a control command.
    pub fn begin(&self, arguments: &[&str]) -> Running {
        self.host.start(claviger(&self.state).args(arguments))
    }

    /// The server's identity.
    pub fn hit(&self) -> Hit {
        self.hit.parse().expect("a server says its HIT")
    }

    /// Runs a control command of the key server.
    pub fn control(&self, arguments: &[&str]) -> Finished {
        self.host.run(claviger(&self.state).args(arguments))
    }

    /// Runs a control command and reads its JSON.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        json(&self.control(&[arguments, &["--json"]].concat()).success())
    }

    /// Makes a group.
    pub fn add_group(&self, group: &str, policy: &[&str]) {
        self.ask(&[&["group", "add", group], policy].concat());
    }

    /// Lets a host in with the role that it will ask for.
    pub fn allow(&self, group: &str, member: &Identity, role: &str) {
        self.ask(&["member", "allow", "--group", group, &member.hit, "--role", role]);
    }

    /// Puts a member out and waits until it is deaf.
    pub fn evict(&self, group: &str, hit: &str) -> Evicted {
        let answer = self.ask(&["member", "evict", "--group", group, hit]);
        let micros = answer["deaf_at_us"].as_u64().expect("an instant is a number");
        let was_member = answer["was_member"].as_bool().expect("a truth");
        Evicted { deaf_at: Duration::from_micros(micros), was_member }
    }

    /// The keys that the server says are in force.
    pub fn keys(&self, group: &str) -> Keys {
        let status = self.ask(&["status"]);
        let groups = status[0]["groups"].as_array().expect("a server lists its groups");
        let found = groups.iter().find(|candidate| candidate["name"] == group);
        Keys::read(&found.expect("the group is there")["keys"])
    }

    /// Makes an identity for a member at a host.
    pub fn identity(&self, host: &'a Host) -> Identity<'a> {
        self.identity_called(host, &format!("member{}", host.number()))
    }

    /// Makes an identity for one of several members at a host.
    pub fn identity_called(&self, host: &'a Host, name: &str) -> Identity<'a> {
        let state = self.lab.directory().join(name);
        let made = host.run(claviger(&state).args(["identity", "new", "--json"])).success();
        let hit = json(&made)["hit"].as_str().expect("an identity has a HIT").to_owned();
        Identity { host, state, hit }
    }

    /// How a member reaches this server over the IP version of an address.
    pub fn place(&self, like: IpAddr) -> String {
        match self.host.address_like(like) {
            IpAddr::V4(address) => format!("{}@{address}", self.hit),
            IpAddr::V6(address) => format!("{}@[{address}]", self.hit),
        }
    }

    /// Starts a member daemon.
    pub fn join(&self, identity: Identity<'a>, like: IpAddr, group: &str, options: &[&str]) -> Member<'a> {
        self.join_logging(identity, like, group, "debug", options)
    }

    /// Does what [`KeyServer::join`] does, and has the member log what a filter lets through.
    pub fn join_logging(
        &self,
        identity: Identity<'a>,
        like: IpAddr,
        group: &str,
        filter: &str,
        options: &[&str],
    ) -> Member<'a> {
        let Identity { host, state, hit } = identity;
        let mut command = claviger(&state);
        command
            .args(["--log", filter, "join", "--server", &self.place(like), "--group", group])
            .args(options);
        if self.raw {
            command.arg("--raw");
        }
        let daemon = host.start(&mut command);
        Member { host, state, hit, group: group.to_owned(), daemon }
    }
}

/// A host identity in a state directory of its own.
pub struct Identity<'a> {
    pub host: &'a Host,
    pub state: PathBuf,
    pub hit: String,
}

impl Identity<'_> {
    /// The same identity, for another process.
    pub fn again(&self) -> Self {
        Self { host: self.host, state: self.state.clone(), hit: self.hit.clone() }
    }
}

/// A member daemon at a host.
pub struct Member<'a> {
    pub host: &'a Host,
    pub state: PathBuf,
    pub hit: String,
    pub group: String,
    pub daemon: Running,
}

impl Member<'_> {
    /// What the daemon says of itself, as soon as it answers.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn status(&mut self) -> Value {
        let host = self.host;
        let status = eventually("the member answers", PATIENCE, || {
            assert_eq!(self.daemon.poll(), None, "the member ended: {}", self.daemon.errors());
            let mut command = claviger(&self.state);
            host.run(command.args(["status", "--group", &self.group, "--json"])).output_if_successful()
        });
        json(&status)[0].take()
    }

    /// The keys that it holds.
    pub fn keys(&mut self) -> Keys {
        Keys::read(&self.status()["keys"])
    }

    /// Waits until it holds keys that serve.
    pub fn wait_until_keyed(&mut self) {
        self.wait_until_keyed_within(PATIENCE);
    }

    /// Waits longer until it holds keys that serve.
    pub fn wait_until_keyed_within(&mut self, limit: Duration) {
        eventually("the member holds keys", limit, || {
            let status = self.status();
            (status["state"] == "keyed" && Keys::read(&status["keys"]).current().is_some()).then_some(())
        });
    }

    /// Asks it to leave by SIGTERM, and waits until it has.
    pub fn leave(&mut self) {
        self.daemon.signal(Signal::SIGTERM);
        let status = self.daemon.wait(PATIENCE);
        assert!(status.success(), "leaving: {status}: {}", self.daemon.errors());
    }

    /// Ends it, should it still run: one that was put out may end by itself at any instant.
    pub fn stop(&mut self) {
        self.daemon.signal(Signal::SIGKILL);
        self.daemon.wait(PATIENCE);
    }

    /// Makes a command of the member's side.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = claviger(&self.state);
        command.args(arguments);
        command
    }
}

/// The keys of a group, by name and number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keys {
    /// The KEK's SPI and the number of the last GROUPKEY-PUSH under it.
    pub epoch: Option<(String, u64)>,
    /// SPI and state of each data SA.
    sas: Vec<(u32, String)>,
}

impl Keys {
    fn read(keys: &Value) -> Self {
        let epoch = keys["epoch"].as_object().map(|epoch| {
            let spi = epoch["kek_spi"].as_str().expect("an SPI is text").to_owned();
            (spi, epoch["sequence"].as_u64().expect("a sequence is a number"))
        });
        let sa = |sa: &Value| {
            let spi = sa["spi"].as_str().expect("an SPI is text");
            let spi = u32::from_str_radix(spi, 16).expect("an SPI is eight hexadecimal digits");
            (spi, sa["state"].as_str().expect("a state is text").to_owned())
        };
        Self { epoch, sas: keys["sas"].as_array().expect("a list").iter().map(sa).collect() }
    }

    /// The KEK's SPI, if there is one.
    pub fn kek(&self) -> Option<&str> {
        self.epoch.as_ref().map(|(spi, _)| spi.as_str())
    }

    /// The SPI of the data SA that sends.
    pub fn current(&self) -> Option<u32> {
        self.sas.iter().find(|(_, state)| state == "current").map(|(spi, _)| *spi)
    }

    /// The SPI of the newest data SA: the one that is to send next, or that sends if none is waiting.
    pub fn newest(&self) -> Option<u32> {
        let incoming = self.sas.iter().rfind(|(_, state)| state == "incoming");
        incoming.map(|(spi, _)| *spi).or(self.current())
    }

    /// The SPIs of all data SAs.
    pub fn spis(&self) -> BTreeSet<u32> {
        self.sas.iter().map(|(spi, _)| *spi).collect()
    }
}

/// The program, with its state in a directory.
pub fn claviger(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("--state-dir").arg(state);
    command
}

/// Reads the answer of a program.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON: {error}\n{text}"))
}
