//! What a tree occupies: the growth of a process's resident memory, full and after it shrank to a quarter.
//!
//! Each tree is built in a process of its own, so that none is measured by what another left behind.

use std::{env, fs, process::Command, time::Duration};

use claviger_crypto::SeededRandom;
use claviger_keytree::{Degree, Joining, KeyLength};

use crate::{
    clock,
    options::Options,
    report::{self, Aim, Goals},
    trees::{self, Dice},
};

/// The fewest members whose tree is told from what a process occupies anyhow.
const MEMBERS_LEAST: u32 = 100_000;
/// The fewest members for which the limit is a goal: below, single pages and what the allocator keeps weigh.
const LIMITED_MEMBERS_LEAST: u32 = 1_000_000;
/// What a tree may occupy: so many times its keys, and so many octets for each node.
const KEYS_FACTOR: f64 = 1.1;
const OCTETS_A_NODE: f64 = 4.0;
/// Joins and departures in one batch: few, so that what a batch itself takes is not taken for the tree's.
const AT_ONCE: u32 = 1000;

/// Prints what trees occupy.
pub(crate) fn run(options: &Options, goals: &mut Goals) {
    let members: Vec<_> = options.members().iter().filter(|members| **members >= MEMBERS_LEAST).collect();
    if members.is_empty() {
        println!("\nmemory is measured from {} members on", report::number(MEMBERS_LEAST));
        return;
    }
    println!(
        "\nresident memory of trees, full and once three quarters of the members have left at random; keys: n keylen\n\
         k/(k-1); limit: {KEYS_FACTOR} keys + {OCTETS_A_NODE} octets a node; batch: {AT_ONCE} departures while it shrinks"
    );
    println!(
        "  {:>10} {:>2} {:>10} {:>10} {:>10} {:>6} {:>9} {:>10} {:>10} {:>10} {:>13} {:>9}",
        "members",
        "k",
        "full",
        "keys",
        "limit",
        "ratio",
        "a member",
        "a quarter",
        "keys left",
        "given back",
        "longest batch",
        "median"
    );
    for &members in members {
        for degree in options.degrees() {
            match occupied(members, degree, options.key_length()) {
                Ok(occupied) => occupied.print(members, degree, options.key_length(), goals),
                Err(error) => {
                    println!("  {:>10} {:>2} not measured: {error}", report::number(members), degree.k())
                }
            }
        }
    }
}

/// What a tree occupied, in octets, and how long its shrinking took.
struct Occupied {
    full: f64,
    quarter: f64,
    nodes_left: f64,
    longest: Duration,
    median: Duration,
}

impl Occupied {
    fn print(&self, members: u32, degree: Degree, key_length: KeyLength, goals: &mut Goals) {
        let (n, k) = (f64::from(members), f64::from(degree.k()));
        let key_len = key_length.octets() as f64;
        let nodes = n * k / (k - 1.0);
        let limit = KEYS_FACTOR * nodes * key_len + OCTETS_A_NODE * nodes;
        let ratio = self.full / limit;
        println!(
            "  {:>10} {:>2} {:>10} {:>10} {:>10} {:>6.3} {:>9} {:>10} {:>10} {:>10} {:>13} {:>9}",
            report::number(members),
            degree.k(),
            report::octets(self.full),
            report::octets(nodes * key_len),
            report::octets(limit),
            ratio,
            report::octets(self.full / n),
            report::octets(self.quarter),
            report::octets(self.nodes_left * key_len),
            format!("{:.0} %", 100.0 * (1.0 - self.quarter / self.full)),
            report::time(self.longest),
            report::time(self.median),
        );
        let place = || format!("{} members, k = {}", report::number(members), degree.k());
        if members >= LIMITED_MEMBERS_LEAST {
            goals.note("resident memory of a full tree / limit", place(), Aim::AtMost(1.0), ratio);
        }
        let left = self.quarter / (self.nodes_left * key_len);
        goals.note("resident memory of a quarter / its keys", place(), Aim::ShownMost, left);
        let stall = self.longest.div_duration_f64(self.median);
        goals.note("longest / median batch while a tree shrinks", place(), Aim::ShownMost, stall);
    }
}

/// Has another process build a tree, and returns what it says.
fn occupied(members: u32, degree: Degree, key_length: KeyLength) -> Result<Occupied, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let arguments = [
        format!("--memory-of={members}"),
        format!("--degree={}", degree.k()),
        format!("--key-octets={}", key_length.octets()),
    ];
    let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<u64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [full, quarter, nodes_left, longest, median] = figures[..] else {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    };
    Ok(Occupied {
        full: full as f64,
        quarter: quarter as f64,
        nodes_left: nodes_left as f64,
        longest: Duration::from_nanos(longest),
        median: Duration::from_nanos(median),
    })
}

/// Builds a tree and shrinks it to a quarter. Prints what it occupied then and then, in octets, the nodes left, and
/// what the longest and the median batch of departures took, in nanoseconds.
pub(crate) fn measure(members: u32, degree: Degree, key_length: KeyLength) {
    let mut random = SeededRandom::new(1);
    let order = Dice::new(3).leaves(members - members / 4, members);
    let mut times = Vec::with_capacity(members as usize / AT_ONCE as usize + 1);
    // What the process and its allocator occupy at the least is there before.
    drop(trees::grown(10 * AT_ONCE, AT_ONCE, degree, key_length, Joining::Advance, &mut random));
    let before = resident();
    let mut tree = trees::grown(members, AT_ONCE, degree, key_length, Joining::Advance, &mut random);
    let full = resident().saturating_sub(before);
    for departing in order.chunks(AT_ONCE as usize) {
        let (spent, rekey) = clock::timed(|| tree.batch(0, departing, &mut random));
        rekey.expect("the leaves have members");
        times.push(spent);
    }
    let quarter = resident().saturating_sub(before);
    let longest = times.iter().max().map_or(0, Duration::as_nanos);
    let nodes_left = tree.nodes().count();
    println!("{full} {quarter} {nodes_left} {longest} {}", clock::median(&mut times).as_nanos());
}

/// Returns the resident memory of this process in octets.
fn resident() -> u64 {
    let rollup =
        fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells a process what it occupies");
    let line =
        rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("the resident memory is told");
    let kibioctets: u64 =
        line.trim().trim_end_matches(" kB").parse().expect("the resident memory is a number");
    kibioctets * 1024
}
