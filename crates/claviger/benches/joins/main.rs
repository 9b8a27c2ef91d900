//! How long a host waits until a running key server has let it in: alone, beside others, and with very many.
//!
//! The server is the program itself, with its store on the disk that holds the directory for temporary files. The hosts
//! are members' cores in this process, each at an address of its own on loopback ([`crowd`]).

mod crowd;

#[allow(dead_code, unreachable_pub, reason = "the tests use the rest of it")]
#[path = "../../tests/support/daemons.rs"]
mod daemons;

use std::{
    fs::File,
    io::Write,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use claviger_api::{Client, GroupAdd, MemberAllow, StatusView, status::ServerStatus};
use claviger_gcks::Counter;
use claviger_group::{GroupId, Role};
use crowd::{Crowd, Server};
use daemons::{Host, Serving};

const HELP: &str = "\
Measures how long hosts wait until a running key server has let them in.

Usage: cargo bench -p claviger --bench joins [-- OPTIONS]

  --joins N       how many hosts join 64 at once [default: 1000]
  --only NAME     one measurement: alone, one, eight or many
";

/// A measurement: how hosts come into a group of its own, under the default policy.
struct Plan {
    name: &'static str,
    /// How many are in it already.
    present: usize,
    joins: usize,
    /// How many join at the same time.
    together: usize,
    /// How long the next one waits after a host has joined.
    pause: Duration,
}

/// What a measurement used of the key server.
#[derive(Clone, Copy)]
struct Usage {
    seconds: f64,
    joins: u64,
    rekeys: u64,
    pushes: u64,
    refused: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (joins, only) = match arguments() {
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
    let second = Duration::from_secs(1);
    let plans = [
        Plan { name: "alone", present: 100, joins: 30, together: 1, pause: second },
        Plan { name: "one", present: 100, joins: 60, together: 1, pause: Duration::ZERO },
        Plan { name: "eight", present: 100, joins: 200, together: 8, pause: Duration::ZERO },
        Plan { name: "many", present: 0, joins, together: 64, pause: Duration::ZERO },
    ];
    println!(
        "measurement  members  at once    joins  joins/s  p50 ms  p99 ms  max ms  rekeys  PUSHes  copies  refused  again  gone  behind  CPU ms  hosts' CPU ms  sync ms"
    );
    for plan in plans.iter().filter(|plan| only.as_ref().is_none_or(|name| name == plan.name)) {
        measure(plan).await;
    }
    ExitCode::SUCCESS
}

/// Lets the hosts of a plan join a key server of their own, and prints what that took.
async fn measure(plan: &Plan) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let host = Host::of_this_version(directory.path().join("server"));
    let serving = host.serve();
    let client = Client::new(host.directory.join("server.sock"));
    let group: GroupId = "bench".parse().expect("a group's name");
    let request = GroupAdd { name: group.clone(), policy: Default::default(), owner: None };
    client.group_add(&request).await.expect("the group is new");
    let server = place_of(&status(&client).await, &serving);
    let mut crowd = Crowd::new(server, group.clone());
    let hosts = crowd.add(plan.present + plan.joins);
    for hit in hosts {
        let request = MemberAllow { role: Role::Both, without_lease: false };
        client.member_allow(&group, &hit, &request).await.expect("the group exists");
    }
    crowd.join(plan.present, 64, Duration::ZERO).await;
    crowd.rest().await;

    let sync = sync_time(directory.path());
    crowd.forget();
    let before = usage(&serving, &client).await;
    let own = cpu_seconds(std::process::id());
    let begun = now();
    crowd.join(plan.joins, plan.together, plan.pause).await;
    let took = begun.elapsed();
    let own = cpu_seconds(std::process::id()) - own;
    // The last copies leave, and whoever missed something says so.
    crowd.rest().await;
    let after = usage(&serving, &client).await;
    let newest = status(&client).await.groups[0].keys.epoch.as_ref().map(|epoch| epoch.kek_spi);
    let mut times = crowd.times().to_vec();
    times.sort_unstable();
    let part = |permille: usize| times[(times.len() - 1) * permille / 1000].as_secs_f64() * 1e3;
    println!(
        "{:11}  {:7}  {:7}  {:7}  {:7.0}  {:6.1}  {:6.1}  {:6.0}  {:6}  {:6}  {:6}  {:7}  {:5}  {:4}  {:6}  {:6.0}  {:13.0}  {:7.2}",
        plan.name,
        plan.present,
        plan.together,
        after.joins - before.joins,
        plan.joins as f64 / took.as_secs_f64(),
        part(500),
        part(990),
        part(1000),
        after.rekeys - before.rekeys,
        after.pushes - before.pushes,
        crowd.copies(),
        after.refused - before.refused,
        crowd.pulls_again(),
        crowd.lost(),
        newest.map_or(0, |newest| crowd.behind(newest)),
        (after.seconds - before.seconds) * 1e3,
        own * 1e3,
        sync.as_secs_f64() * 1e3,
    );
}

/// Says where a key server is reached.
fn place_of(status: &ServerStatus, serving: &Serving) -> Server {
    let gdoi = status.listens.iter().find(|listen| listen.protocol == "gdoi").expect("it speaks GDOI");
    Server { hit: status.hit, hip: ([127, 0, 0, 1], serving.hip).into(), gdoi_port: gdoi.address.port() }
}

async fn status(client: &Client) -> ServerStatus {
    match client.status().await.expect("the key server runs") {
        StatusView::Server(status) => status,
        StatusView::Member(_) => unreachable!("a key server was started"),
    }
}

async fn usage(serving: &Serving, client: &Client) -> Usage {
    let status = status(client).await;
    Usage {
        seconds: cpu_seconds(serving.daemon.0.id()),
        joins: status.counters.get(Counter::Joins),
        rekeys: status.counters.get(Counter::Rekeys),
        pushes: status.counters.get(Counter::Pushes),
        refused: status.drops.get(Counter::PullRefused),
    }
}

/// Reads how long a process has computed: the 14th and 15th field of its line, in hundredths of a second.
fn cpu_seconds(process: u32) -> f64 {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux shows processes");
    let (_, fields) = line.rsplit_once(')').expect("the name is in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Measures what the disk takes for a small write to be durable: the median of some.
fn sync_time(directory: &Path) -> Duration {
    let mut file = File::create(directory.join("sync")).expect("the directory is ours");
    let mut times: Vec<Duration> = (0..41)
        .map(|_| {
            file.write_all(&[7; 4096]).expect("there is room");
            let begun = now();
            file.sync_data().expect("the disk works");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Reads the arguments; nothing if help was asked for.
fn arguments() -> Result<Option<(usize, Option<String>)>, String> {
    let (mut joins, mut only) = (1_000, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            // cargo adds it.
            "--bench" => {}
            "--help" | "-h" => return Ok(None),
            "--joins" => {
                let number = value()?.parse().ok().filter(|n| (1..=10_000).contains(n));
                joins = number.ok_or("--joins: not 1 to 10000")?;
            }
            "--only" => only = Some(value()?),
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(Some((joins, only)))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}
