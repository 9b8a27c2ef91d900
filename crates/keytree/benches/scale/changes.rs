//! One leave, one join, batches of 1 %: what they cost, beside the least that they can cost.

use std::{hint::black_box, time::Duration};

use claviger_crypto::SeededRandom;
use claviger_keytree::{Degree, Joining, KeyTree, Leaf, Rekey};
use claviger_keywrap::{Engine, Job, wrapped_len};

use crate::{
    clock,
    limits::Limits,
    options::Options,
    report::{self, Aim, Goals},
    trees::{self, Dice},
};

/// Repetitions of a single leave or join.
const SINGLE_REPETITIONS: usize = 301;
/// Joins in one batch while a tree is built.
const JOINS_AT_ONCE: u32 = 1 << 16;
/// Keys that the repetitions of a batch wrap together at most, so that large groups do not take long.
const BATCH_KEYS: usize = 2_000_000;
/// The goals of a batch hold for this size of group, degree and key.
const BATCH_GOAL: (u32, u8, usize) = (1_000_000, 4, 32);

/// Measures changes of every size and degree that the options ask for.
pub(crate) fn run(options: &Options, limits: &Limits, goals: &mut Goals) {
    println!(
        "\nkeys: what is sent to the group, mean; to joiners: the keys of their paths, each to one; theory: the keys of a\n\
         leave from a full tree (RFC 2627), of a joiner's path, of L leaves at once; octets: the wrapped keys alone;\n\
         limit: the same keys wrapped in bulk, with the signature if there is one; one by one: the same keys wrapped\n\
         singly by aws-lc / time"
    );
    for &members in options.members() {
        for degree in options.degrees() {
            println!(
                "\n{} members, k = {}, log2 n = {:.1}\n  {:<20} {:>9} {:>10} {:>9} {:<12} {:>9} {:>9} {:>9} {:>6} {:>11}",
                report::number(members),
                degree.k(),
                f64::from(members).log2(),
                "change",
                "keys",
                "to joiners",
                "theory",
                "",
                "octets",
                "time",
                "limit",
                "ratio",
                "one by one",
            );
            let print = |row: Row| row.print(members, degree, limits, goals);
            Bench::new(members, degree, Joining::Advance, limits).rows().into_iter().for_each(print);
            let join = Bench::new(members, degree, Joining::Replace, limits).join("join, keys replaced");
            join.print(members, degree, limits, goals);
        }
    }
}

/// Returns the CPU time of one leave with its signature.
pub(crate) fn leave_signed(members: u32, degree: Degree, limits: &Limits) -> Duration {
    Bench::new(members, degree, Joining::Advance, limits).leave(true).time
}

/// What a change should cost in theory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theory {
    /// kd - 1 (RFC 2627 section 5.4.1), which a leave may not exceed.
    Leave,
    /// d + 1, the path of a joiner.
    Join,
    /// L k log_k (n / L), which a batch of L departures comes near to.
    Batch { leaves: u32 },
}

/// What one kind of change costs.
struct Row {
    what: &'static str,
    theory: Theory,
    depth: u8,
    /// The keys that are sent to the group: the mean, and the most.
    keys: f64,
    keys_most: usize,
    /// The keys that are sent to single joiners, and how many of them are wrapped within the time.
    joiner_keys: f64,
    joiner_keys_timed: f64,
    signed: bool,
    time: Duration,
}

/// A full tree, and what measures it.
struct Bench<'a> {
    tree: KeyTree,
    members: u32,
    limits: &'a Limits,
    random: SeededRandom,
    dice: Dice,
    out: Vec<u8>,
}

impl<'a> Bench<'a> {
    fn new(members: u32, degree: Degree, joining: Joining, limits: &'a Limits) -> Self {
        let mut random = SeededRandom::new(1);
        let tree = trees::grown(members, JOINS_AT_ONCE, degree, limits.key_length, joining, &mut random);
        Self { tree, members, limits, random, dice: Dice::new(2), out: Vec::new() }
    }

    fn rows(&mut self) -> [Row; 5] {
        [
            self.leave(false),
            self.leave(true),
            self.join("join, keys advanced"),
            self.batch("1 % leave", 1, 0),
            self.batch("1 % leave and join", 1, 1),
        ]
    }

    fn leave(&mut self, signed: bool) -> Row {
        let mut count = Count::default();
        for _ in 0..SINGLE_REPETITIONS {
            let leaf = Leaf::new(self.dice.below(self.members));
            let (spent, rekey) = clock::timed(|| {
                let rekey = self.tree.batch(0, &[leaf], &mut self.random).expect("the leaf has a member");
                wrap(&rekey, &mut self.out, self.limits);
                if signed {
                    black_box(self.limits.sign(&self.out));
                }
                rekey
            });
            count.add(spent, &rekey);
            self.tree.batch(1, &[], &mut self.random).expect("the tree has room");
        }
        let what = if signed { "leave, signed" } else { "leave" };
        Row { signed, ..count.row(what, Theory::Leave, &self.tree) }
    }

    fn join(&mut self, what: &'static str) -> Row {
        let mut count = Count::default();
        for _ in 0..SINGLE_REPETITIONS {
            let leaf = Leaf::new(self.dice.below(self.members));
            self.tree.batch(0, &[leaf], &mut self.random).expect("the leaf has a member");
            let (spent, rekey) = clock::timed(|| {
                let rekey = self.tree.batch(1, &[], &mut self.random).expect("the tree has room");
                wrap(&rekey, &mut self.out, self.limits);
                self.wrap_path(rekey.joined[0]);
                rekey
            });
            count.add(spent, &rekey);
        }
        let path = f64::from(self.tree.depth());
        Row { joiner_keys: path + 1.0, joiner_keys_timed: path, ..count.row(what, Theory::Join, &self.tree) }
    }

    /// Lets `leaves` % of the members depart and `joins` % join in one change; then the group is filled again.
    fn batch(&mut self, what: &'static str, leaves: u32, joins: u32) -> Row {
        let (leaves, joins) = (leaves * self.members / 100, joins * self.members / 100);
        let mut count = Count::default();
        while count.times.len() < 5 || count.keys < BATCH_KEYS && count.times.len() < SINGLE_REPETITIONS {
            let departing = self.dice.leaves(leaves, self.members);
            let (spent, rekey) = clock::timed(|| {
                let rekey = self.tree.batch(joins as usize, &departing, &mut self.random);
                let rekey = rekey.expect("the leaves have members");
                wrap(&rekey, &mut self.out, self.limits);
                rekey
            });
            count.add(spent, &rekey);
            self.tree.recycle(rekey);
            let refilled = self.tree.batch((leaves - joins) as usize, &[], &mut self.random);
            self.tree.recycle(refilled.expect("as many join as departed"));
        }
        let joiner_keys = f64::from(joins) * (f64::from(self.tree.depth()) + 1.0);
        Row { joiner_keys, ..count.row(what, Theory::Batch { leaves }, &self.tree) }
    }

    /// Wraps the path of a joiner under the joiner's own key, as a registration does under its session's key.
    fn wrap_path(&mut self, leaf: Leaf) {
        let path = self.tree.path(leaf).expect("the joiner is there");
        let own = path[0].1.key;
        let jobs = path[1..].iter().map(|(_, key)| Job { under: own, plaintext: key.key });
        self.out.resize((path.len() - 1) * wrapped_len(own.len()), 0);
        self.limits.engine.wrap(jobs, &mut self.out).expect("the keys have one length");
        black_box(&self.out);
    }
}

/// Wraps all keys of a rekey.
fn wrap(rekey: &Rekey, out: &mut Vec<u8>, limits: &Limits) {
    out.resize(rekey.wraps.len() * wrapped_len(limits.key_length.octets()), 0);
    limits.engine.wrap(rekey.jobs(), out).expect("the keys have one length");
    black_box(out);
}

/// What repetitions of a change cost.
#[derive(Default)]
struct Count {
    times: Vec<Duration>,
    keys: usize,
    keys_most: usize,
}

impl Count {
    fn add(&mut self, spent: Duration, rekey: &Rekey) {
        self.times.push(spent);
        self.keys += rekey.wraps.len();
        self.keys_most = self.keys_most.max(rekey.wraps.len());
    }

    fn row(mut self, what: &'static str, theory: Theory, tree: &KeyTree) -> Row {
        Row {
            what,
            theory,
            depth: tree.depth(),
            keys: self.keys as f64 / self.times.len() as f64,
            keys_most: self.keys_most,
            joiner_keys: 0.0,
            joiner_keys_timed: 0.0,
            signed: false,
            time: clock::median(&mut self.times),
        }
    }
}

impl Row {
    /// Returns the keys that the change should send.
    fn keys_in_theory(&self, members: u32, degree: Degree) -> f64 {
        let (k, d) = (f64::from(degree.k()), f64::from(self.depth));
        match self.theory {
            Theory::Leave => k * d - 1.0,
            Theory::Join => d + 1.0,
            Theory::Batch { leaves } => {
                let leaves = f64::from(leaves);
                leaves * k * (f64::from(members) / leaves).log(k)
            }
        }
    }

    /// Returns the time that wrapping and signing take at least.
    fn least_time(&self, limits: &Limits) -> Duration {
        let signature = if self.signed { limits.signature } else { Duration::ZERO };
        limits.bulk_wraps(self.keys + self.joiner_keys_timed) + signature
    }

    /// Says how many times longer the keys take if aws-lc wraps one after the other.
    fn one_by_one(&self, limits: &Limits) -> f64 {
        let signature = if self.signed { limits.signature } else { Duration::ZERO };
        (limits.single_wraps(self.keys + self.joiner_keys_timed) + signature).div_duration_f64(self.time)
    }

    fn print(&self, members: u32, degree: Degree, limits: &Limits, goals: &mut Goals) {
        let name = match self.theory {
            Theory::Leave => "kd-1",
            Theory::Join => "d+1",
            Theory::Batch { .. } => "Lk log_k n/L",
        };
        let octets = (self.keys + self.joiner_keys) * wrapped_len(limits.key_length.octets()) as f64;
        let least_time = self.least_time(limits);
        println!(
            "  {:<20} {:>9} {:>10} {:>9} {name:<12} {:>9} {:>9} {:>9} {:>6.2} {:>11.1}",
            self.what,
            report::mean(self.keys),
            report::mean(self.joiner_keys),
            report::mean(self.keys_in_theory(members, degree)),
            report::octets(octets),
            report::time(self.time),
            report::time(least_time),
            self.time.div_duration_f64(least_time),
            self.one_by_one(limits),
        );
        self.note(members, degree, limits, goals);
    }

    /// Holds the goals against what was measured.
    fn note(&self, members: u32, degree: Degree, limits: &Limits, goals: &mut Goals) {
        let place = || format!("{} members, k = {}", report::number(members), degree.k());
        let over = self.time.div_duration_f64(self.least_time(limits));
        match self.theory {
            Theory::Leave => {
                let ratio = self.keys_most as f64 / self.keys_in_theory(members, degree);
                goals.note("keys of the costliest leave / (kd-1)", place(), Aim::AtMost(1.0), ratio);
                if self.signed {
                    goals.note("leave with signature / (wraps + signature)", place(), Aim::AtMost(1.3), over);
                }
            }
            Theory::Batch { .. } if self.joiner_keys == 0.0 => {
                if (members, degree.k(), limits.key_length.octets()) == BATCH_GOAL {
                    goals.note(
                        "1 % leave / (keys x bulk wrap in the cache)",
                        place(),
                        Aim::AtMost(1.3),
                        over,
                    );
                    let from_memory = limits.bulk_wraps_from_memory(self.keys.round() as usize);
                    let over = self.time.div_duration_f64(from_memory);
                    goals.note(
                        "1 % leave / as many keys in bulk, from memory",
                        place(),
                        Aim::ShownMost,
                        over,
                    );
                    let aim =
                        if limits.engine == Engine::Vaes { Aim::AtLeast(10.0) } else { Aim::ShownLeast };
                    goals.note(
                        "keys one by one with aws-lc / 1 % leave",
                        place(),
                        aim,
                        self.one_by_one(limits),
                    );
                }
            }
            Theory::Batch { .. } | Theory::Join => {}
        }
    }
}
