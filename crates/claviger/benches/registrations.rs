//! What a member costs a key server: registrations a second with the store on, and resident memory.
//!
//! Hosts register by HIP and pull their keys, many at a time as after a power cut, against the real machine on the
//! real store on disk; only the wire between them is a queue. The clock runs while the server works: packets,
//! rekeys and commits, not the hosts' side.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use claviger_crypto::{SeededRandom, provider};
use claviger_gcks::{Gcks, GcksConfig};
use claviger_group::{Channel, GroupId, GroupPolicy, Role};
use claviger_hip::{HostConfig, verification::Limits};
use claviger_identity::Hit;
use claviger_member::{Member, MemberConfig, PlaneKind};
use claviger_sansio::{Datagram, RetransmitPolicy, Socket, Time, Transmit};
use claviger_store::{FileStore, Store};
use claviger_testkit::network::new_identity;

const HELP: &str = "\
Measures what a member costs a key server, in time and memory.

Usage: cargo bench -p claviger --bench registrations [-- OPTIONS]

  --members N     how many hosts register [default: 10000]
  --together N    how many of them register at the same time [default: 256]
";

/// Where the key server's HIP is reached.
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 10500);

/// How long joins are gathered: a second's worth of hosts shares one rekey.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// How long after a wave of hosts the next one comes: what a server keeps only to answer repetitions is gone by then,
/// so that the memory is that of members.
const PAUSE: Duration = Duration::from_secs(300);

/// A key server on its store, and how long it has worked.
struct Server {
    gcks: Gcks,
    hit: Hit,
    store: FileStore,
    group: GroupId,
    now: Time,
    machine: Duration,
    commits: Duration,
    commit_count: u32,
}

/// A host that registers.
struct Host {
    member: Member,
    address: SocketAddr,
}

fn main() -> ExitCode {
    let (members, together) = match arguments() {
        Ok(Some(chosen)) => chosen,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(directory.path(), members);
    // The first hosts bring in what is there once: pages of the database, buffers, this program's own.
    let warm = together.min(members / 2);
    server.register(0, warm);
    server.rest();
    server.reset();
    let before = resident();
    let mut registered = warm;
    while registered < members {
        let count = together.min(members - registered);
        server.register(registered, count);
        registered += count;
        server.rest();
    }
    let grown = resident().saturating_sub(before);
    let counted = f64::from(members - warm);
    let each = |duration: Duration| duration.as_secs_f64() * 1e6 / counted;
    let (machine, commits) = (each(server.machine), each(server.commits));
    println!(
        "{members} hosts, {together} at a time: base exchange, registration, PULL, their share of rekeys"
    );
    println!("  machine    {machine:8.0} us a registration");
    println!("  store      {commits:8.0} us a registration, in {} commits", server.commit_count);
    println!(
        "  together   {:8.0} registrations a second on one core, the store on",
        1e6 / (machine + commits)
    );
    println!("  memory     {:8.0} octets a member, resident", grown as f64 / counted);
    println!(
        "  database   {:8.0} octets a member, on disk",
        size_of_files(directory.path()) as f64 / f64::from(members)
    );
    ExitCode::SUCCESS
}

/// Reads the arguments; nothing if help was asked for.
fn arguments() -> Result<Option<(u32, u32)>, String> {
    let (mut members, mut together) = (10_000, 256);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let field = match argument.as_str() {
            // cargo adds it.
            "--bench" => continue,
            "--help" | "-h" => return Ok(None),
            "--members" => &mut members,
            "--together" => &mut together,
            other => return Err(format!("unknown option {other}")),
        };
        let value = arguments.next().ok_or(format!("{argument} wants a number"))?;
        *field = value
            .parse()
            .ok()
            .filter(|n| (1..=1_000_000).contains(n))
            .ok_or(format!("{argument}: not 1 to 1000000"))?;
    }
    Ok(Some((members, together)))
}

impl Server {
    fn start(directory: &Path, members: u32) -> Self {
        let store = FileStore::open(directory).expect("a new store");
        let identity = new_identity();
        let hit = identity.hit();
        let mut hip = HostConfig::new(identity, provider());
        hip.puzzle_difficulty = 0;
        hip.puzzle_difficulty_under_load = 0;
        hip.public_key_limits = Limits::UNLIMITED;
        hip.r1_octets_per_second_max = u64::MAX;
        let config = GcksConfig {
            hip,
            provider: provider(),
            gdoi_port: 848,
            push_source_v4: None,
            push_source_v6: None,
        };
        let now = Time::from_secs(1_000_000);
        let mut gcks = Gcks::new(config, Box::new(SeededRandom::new(1)), now).expect("a sound configuration");
        let group: GroupId = "bench".parse().expect("a group's name");
        let mut policy = GroupPolicy::new(Channel::new([239, 192, 0, 1].into(), None).expect("multicast"));
        policy.access.members_max = members;
        policy.rekey.batch_interval = BATCH_INTERVAL;
        policy.rekey.management = claviger_gcks::kek_management_for(&policy);
        gcks.add_group(now, group.clone(), policy).expect("a coherent policy");
        let (machine, commits) = (Duration::ZERO, Duration::ZERO);
        Self { gcks, hit, store, group, now, machine, commits, commit_count: 0 }
    }

    fn reset(&mut self) {
        (self.machine, self.commits, self.commit_count) = (Duration::ZERO, Duration::ZERO, 0);
    }

    /// Registers hosts side by side until all hold keys.
    fn register(&mut self, first: u32, count: u32) {
        let mut hosts: Vec<Host> = (first..first + count).map(|number| self.host(number)).collect();
        loop {
            let sent: Vec<(SocketAddr, Transmit)> = hosts
                .iter_mut()
                .flat_map(|host| std::iter::from_fn(|| Some((host.address, host.member.poll_transmit()?))))
                .collect();
            let answers = self.serve(&sent);
            if sent.is_empty() && answers.is_empty() {
                if hosts
                    .iter()
                    .all(|host| host.member.subscription(&self.group).is_some_and(|s| s.is_keyed()))
                {
                    break;
                }
                self.now = self.now + BATCH_INTERVAL;
            }
            for answer in &answers {
                let number = hosts.binary_search_by_key(&answer.destination, |host| host.address);
                // Rekey messages to the group go nowhere.
                let Ok(number) = number else { continue };
                let (socket, destination) = (answer.socket, answer.destination);
                let datagram =
                    Datagram { socket, source: SERVER.into(), destination, payload: &answer.payload };
                hosts[number].member.handle_datagram(self.now, datagram).expect("an honest server");
            }
        }
    }

    /// Lets time pass in which no host comes.
    fn rest(&mut self) {
        self.now = self.now + PAUSE;
        self.serve(&[]);
    }

    /// Takes in what hosts sent, as the program's loop does: what has arrived shares one commit.
    fn serve(&mut self, sent: &[(SocketAddr, Transmit)]) -> Vec<Transmit> {
        let begin = now();
        for (source, transmit) in sent {
            let (socket, destination) = (transmit.socket, transmit.destination);
            let datagram = Datagram { socket, source: *source, destination, payload: &transmit.payload };
            self.gcks.handle_datagram(self.now, datagram).expect("an honest member");
        }
        self.gcks.handle_timeout(self.now);
        let staged = self.gcks.stage(self.now);
        let taken = now();
        self.machine += taken - begin;
        let Some(staged) = staged else { return Vec::new() };
        let durable = staged.commit(|changes| {
            let receipt = self.store.commit(changes);
            self.commits += now() - taken;
            self.commit_count += 1;
            receipt
        });
        let mut released = self.gcks.release(durable.expect("the disk holds"));
        while released.poll_event().is_some() {}
        let mut sent = Vec::new();
        while let Some(dispatch) = released.poll_transmit() {
            sent.push(dispatch.send(self.now));
        }
        sent
    }

    /// Makes a host that asks for the group, which allows it.
    fn host(&mut self, number: u32) -> Host {
        let identity = new_identity();
        self.gcks
            .allow(self.now, &self.group, &identity.hit().into(), Role::Receiver)
            .expect("the group exists");
        let config = MemberConfig {
            hip: HostConfig::new(identity, provider()),
            provider: provider(),
            owner: None,
            server: self.hit,
            server_address: SERVER.into(),
            socket: Socket::HipUdp,
            gdoi_port: 848,
            extensions: Default::default(),
            plane: PlaneKind::Any,
            registration_lifetime: Duration::from_secs(86_400),
            retransmit: RetransmitPolicy::default(),
        };
        let random = Box::new(SeededRandom::new(u64::from(number) + 2));
        let mut member = Member::new(config, random, self.now).expect("a sound configuration");
        member.join(self.now, self.group.clone(), Role::Receiver);
        Host { member, address: SocketAddr::from(((0x0a10_0000 + number).to_be_bytes(), 4000)) }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Reads the octets of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux shows a process its own figures");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is among them");
    let kilobytes = line.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("it is a number of kB") * 1024
}

fn size_of_files(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the store's own directory");
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum()
}
