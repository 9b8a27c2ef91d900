//! A key server, its members and the one who floods, on a switch; and what is measured there.
//!
//! | host | who |
//! |---|---|
//! | 1 | the key server |
//! | 2 | a member of the group |
//! | 3 | who joins meanwhile |
//! | 4 | who floods, from 10.8.0.0/16 or from anybody's address |

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    thread,
    time::{Duration, Instant},
};

use claviger_crypto::{Random, SeededRandom};
use claviger_testkit::{
    extent,
    flood::{Flood, Link, Traffic, frame::FORGED_PREFIX, sources},
    lab::{Host, INTERFACE, Lab, laboratory, not_run},
    process::{Running, eventually},
};

use crate::{
    hip,
    support::{Identity, KeyServer, Member, PATIENCE},
    toll::{Shown, Toll, Weak},
};

/// The group.
pub(crate) const GROUP: &str = "load";

/// The port of HIP in UDP, and of GDOI.
pub(crate) const HIP_PORT: u16 = 10_500;
pub(crate) const GDOI_PORT: u16 = 848;

/// The packets a second of a flood that comes over a network of some 50 Mbit/s.
pub(crate) const FLOOD_RATE: u32 = 60_000;

/// How many frames a flood of distinct packets has.
pub(crate) const FRAMES: usize = 1 << 16;

/// How many signatures a second a key server may verify because of a flood: a few for each class of packets.
const VERIFIED_PER_SECOND_MAX: f64 = 100.0;

/// How long junk is weighed, to which a flood is compared.
pub(crate) const BASELINE: Duration = Duration::from_millis(1_500);

/// How long a flood lasts, or in `./test --all`.
const SMOKE: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(13);

/// How long a flood has lasted when somebody joins: queues are as full as they get.
pub(crate) const BEFORE_A_JOIN: Duration = Duration::from_millis(300);

/// What daemons log: a line for each packet of a flood would be weighed too.
const LOG: &str = "info";

/// How difficult puzzles are at most: as without load, so that those which were solved before a flood hold while it
/// lasts. With the default the difficulty rises within seconds, and the flood would be over.
const PUZZLE_DIFFICULTY: &str = "10";

/// The source port of what is forged.
const FORGED_PORT: u16 = 4_444;

/// Plays a scenario on a ground whose group has a policy; `test` is the test's name.
pub(crate) fn play(test: &str, policy: &[&str], scenario: fn(Ground<'_>) -> Shown) {
    if cfg!(debug_assertions) {
        return not_run(test, "what is weighed is a release build");
    }
    laboratory(test, 4, |lab| {
        let ground = Ground::build(lab, policy);
        if let Err(Weak(sent)) = scenario(ground) {
            let reason = format!("{} of {} packets a second", sent.per_second(), sent.per_second_wanted);
            not_run(test, &format!("the flood was too weak: {reason}"));
        }
    });
}

/// How long a flood lasts in this run.
pub(crate) fn flood_duration() -> Duration {
    if extent::is_whole() { WHOLE } else { SMOKE }
}

pub(crate) struct Ground<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) server: KeyServer<'a>,
}

impl<'a> Ground<'a> {
    fn build(lab: &'a Lab, policy: &[&str]) -> Self {
        let server = Self::start_server(lab);
        server.add_group(GROUP, policy);
        let ground = Self { lab, server };
        // What answers forged addresses passes the wire: the flooder's host takes it, and drops it.
        lab.host(1).ip(&format!("route add {FORGED_PREFIX} via {}", ground.flooder().ipv4()));
        ground
    }

    fn start_server(lab: &'a Lab) -> KeyServer<'a> {
        let options = ["--interface", INTERFACE, "--puzzle-difficulty-max", PUZZLE_DIFFICULTY];
        KeyServer::start_logging(lab, lab.host(1), false, LOG, &options, &[])
    }

    /// Kills the key server and starts it again from what it stored.
    pub(crate) fn restart_server(self) -> Self {
        let Self { lab, server } = self;
        server.kill();
        Self { lab, server: Self::start_server(lab) }
    }

    pub(crate) fn flooder(&self) -> &'a Host {
        self.lab.host(4)
    }

    /// Where the key server is.
    pub(crate) fn server_at(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.server.host.ipv4(), port)
    }

    /// Lets a new member in at host 2, and waits until it is keyed.
    pub(crate) fn member(&self, options: &[&str]) -> Member<'a> {
        let identity = self.server.identity(self.lab.host(2));
        let role = if options.contains(&"--sender") { "both" } else { "receiver" };
        self.server.allow(GROUP, &identity, role);
        let mut member = self.start_join(identity, options);
        member.wait_until_keyed();
        member
    }

    /// Makes an identity at host 3 that may join.
    pub(crate) fn newcomer(&self, name: &str) -> Identity<'a> {
        let identity = self.server.identity_called(self.lab.host(3), name);
        self.server.allow(GROUP, &identity, "receiver");
        identity
    }

    /// Starts a member daemon.
    pub(crate) fn start_join(&self, identity: Identity<'a>, options: &[&str]) -> Member<'a> {
        let like = identity.host.ipv4().into();
        self.server.join_logging(identity, like, GROUP, LOG, options)
    }

    /// Joins as a newcomer, and says how long that took.
    #[expect(clippy::disallowed_methods, reason = "a join is timed by the real clock")]
    pub(crate) fn join(&self, identity: Identity<'a>) -> Duration {
        let start = Instant::now();
        let member = self.start_join(identity, &[]);
        wait_until_keyed(&member.daemon);
        start.elapsed()
    }

    /// Makes the frames of what is sent to the key server from forged addresses.
    pub(crate) fn to_server(&self, port: u16, payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let link = self.link_to(self.server.host);
        let frame = |(source, payload): (Ipv4Addr, Vec<u8>)| {
            link.udp(SocketAddrV4::new(source, FORGED_PORT), self.server_at(port), &payload)
        };
        sources().zip(payloads).map(frame).collect()
    }

    /// The way of frames from the flooder to a host.
    pub(crate) fn link_to(&self, host: &Host) -> Link {
        let source = self.flooder().hardware_address();
        Link { source, destination: host.hardware_address() }
    }

    /// Floods, and weighs what that costs a daemon at a host, while something else is done.
    pub(crate) fn weigh<T>(
        &self,
        flood: &Flood,
        host: &Host,
        cpu_time: impl Fn() -> Duration,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<(T, Toll), Weak> {
        let (before, cpu_before) = (Traffic::of(host), cpu_time());
        let (result, sent) = flood.during(self.flooder(), meanwhile);
        let toll = Toll { sent, cpu: cpu_time() - cpu_before, traffic: Traffic::of(host) - before };
        if sent.is_full() { Ok((result, toll)) } else { Err(Weak(sent)) }
    }

    /// Weighs junk of a length that comes to the key server's HIP.
    fn junk_toll(&self, length: usize) -> Result<Toll, Weak> {
        let flood = Flood::new(self.to_server(HIP_PORT, hip::junk(length).take(FRAMES)), FLOOD_RATE);
        let server = &self.server;
        let ((), toll) = self.weigh(&flood, server.host, || server.cpu_time(), || thread::sleep(BASELINE))?;
        println!("junk: {toll}");
        Ok(toll)
    }

    /// Floods the key server while a newcomer joins, and prints what came of it.
    pub(crate) fn flood_server(&self, what: &str, flood: &Flood) -> Result<Toll, Weak> {
        let newcomer = self.newcomer(&what.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let server = &self.server;
        let meanwhile = || {
            lasting(flood_duration(), || {
                thread::sleep(BEFORE_A_JOIN);
                self.join(newcomer)
            })
        };
        let (joined, toll) = self.weigh(flood, server.host, || server.cpu_time(), meanwhile)?;
        println!("{what}: {toll}; a join took {:.2} s", joined.as_secs_f64());
        Ok(toll)
    }

    /// Floods the key server with packets of HIP from forged addresses while a newcomer joins, and asserts that one costs at
    /// most so many times what junk does.
    pub(crate) fn compare(
        &self,
        what: &str,
        payloads: impl Iterator<Item = Vec<u8>>,
        ratio_max: f64,
    ) -> Result<Toll, Weak> {
        let payloads: Vec<_> = payloads.take(FRAMES).collect();
        let junk = self.junk_toll(payloads[0].len())?;
        let flood = Flood::new(self.to_server(HIP_PORT, payloads), FLOOD_RATE);
        let toll = self.flood_server(what, &flood)?;
        toll.assert_ratio(&junk, ratio_max);
        toll.assert_verified(&self.server.ask(&["status"])[0], ("hip", "signature"), VERIFIED_PER_SECOND_MAX);
        Ok(toll)
    }
}

/// Does something, and then waits until so much time has passed since it was begun.
#[expect(clippy::disallowed_methods, reason = "a flood lasts by the real clock")]
pub(crate) fn lasting<T>(duration: Duration, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = act();
    thread::sleep(duration.saturating_sub(start.elapsed()));
    result
}

/// Waits until a member daemon has logged its first keys: asking it would cost CPU time.
pub(crate) fn wait_until_keyed(daemon: &Running) {
    eventually("the newcomer is keyed", PATIENCE * 2, || daemon.errors().contains("rekeyed").then_some(()));
}

/// Octets without a meaning, each time others.
pub(crate) fn junk(length: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut random = SeededRandom::new(7);
    std::iter::repeat_with(move || {
        let mut octets = vec![0; length];
        random.fill(&mut octets);
        octets
    })
}
