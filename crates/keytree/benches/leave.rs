//! What a departure costs, and a batch of them: the tree's work with all of its wraps, beside the bare wraps in the
//! same run, as a ratio.

use std::{hint::black_box, time::Duration};

use claviger_crypto::{Random, SeededRandom, random};
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, Rekey, TreeConfig};
use claviger_keywrap::{Engine, Job, wrapped_len};
use criterion::{
    Criterion, criterion_group, criterion_main,
    measurement::{Measurement, WallTime},
};

/// The length of a key and of what wraps it, in octets.
const KEY_LEN: usize = KeyLength::Octets32.octets();
const WRAPPED_LEN: usize = wrapped_len(KEY_LEN);

/// A full tree, and one batch size to try on it.
struct Case {
    members: u32,
    k: u8,
    leaving: u32,
}

const CASES: [Case; 5] = [
    Case { members: 1 << 10, k: 2, leaving: 1 },
    Case { members: 1 << 10, k: 4, leaving: 1 },
    Case { members: 1 << 20, k: 4, leaving: 1 },
    Case { members: 1 << 20, k: 4, leaving: 10_000 },
    Case { members: 1 << 20, k: 2, leaving: 10_000 },
];

/// Time spent, how often, and the wraps made in it.
#[derive(Default)]
struct Total {
    spent: Duration,
    times: u32,
    wraps: usize,
}

impl Total {
    fn per_wrap(&self) -> f64 {
        self.spent.as_secs_f64() * 1e9 / self.wraps.max(1) as f64
    }
}

fn full_tree(case: &Case) -> KeyTree {
    let degree = Degree::new(case.k).expect("the degree is 2 to 8");
    let (key_length, joining) = (KeyLength::Octets32, Joining::Advance);
    let config = TreeConfig { degree, key_length, capacity: case.members, joining };
    let random = &mut SeededRandom::new(1);
    let mut tree = KeyTree::new(config, random);
    tree.batch(case.members as usize, &[], random).expect("the tree has room");
    tree
}

/// Picks members, each once.
fn pick(count: u32, members: u32, dice: &mut dyn Random) -> Vec<Leaf> {
    let mut picked = std::collections::BTreeSet::new();
    while picked.len() < count as usize {
        picked.insert(u32::from_be_bytes(random::array(dice)) % members);
    }
    // Departures come in no order.
    let mut picked: Vec<Leaf> = picked.into_iter().map(Leaf::new).collect();
    for place in (1..picked.len()).rev() {
        picked.swap(place, u32::from_be_bytes(random::array(dice)) as usize % (place + 1));
    }
    picked
}

/// Wraps as many keys under as many others, one after the other in memory, with neither tree nor bookkeeping.
fn wrap_bare(keys: &[u8], out: &mut [u8]) {
    let jobs = keys.chunks_exact(2 * KEY_LEN).map(|pair| {
        let (under, plaintext) = pair.split_at(KEY_LEN);
        Job { under, plaintext }
    });
    Engine::best().wrap(jobs, out).expect("all keys have one length");
}

fn departures(criterion: &mut Criterion) {
    for case in &CASES {
        let mut tree = full_tree(case);
        let (dice, random) = (&mut SeededRandom::new(2), &mut SeededRandom::new(3));
        let mut out = vec![0; 1 << 24];
        let mut run = |wrap: bool, n: u64, total: &mut Total| {
            let mut spent = Duration::ZERO;
            for _ in 0..n {
                let leaves = pick(case.leaving, case.members, dice);
                let begin = WallTime.start();
                let rekey: Rekey = tree.batch(0, &leaves, random).expect("the leaves have members");
                let octets = rekey.wraps.len() * WRAPPED_LEN;
                if wrap {
                    let out = &mut out[..octets];
                    Engine::best().wrap(rekey.jobs(), out).expect("all keys have one length");
                }
                spent += WallTime.end(begin);
                black_box(&out);
                total.wraps += rekey.wraps.len();
                tree.recycle(rekey);
                let rejoin = tree.batch(leaves.len(), &[], random).expect("the tree has room");
                tree.recycle(rejoin);
            }
            total.spent += spent;
            total.times += n as u32;
            spent
        };
        let Case { members, k, leaving } = case;
        let mut group = criterion.benchmark_group(format!("leave/{members}/k{k}/{leaving}"));
        let [mut alone, mut with_wraps, mut bare] =
            [const { Total { spent: Duration::ZERO, times: 0, wraps: 0 } }; 3];
        group.bench_function("tree", |bench| bench.iter_custom(|n| run(false, n, &mut alone)));
        group.bench_function("tree and wraps", |bench| bench.iter_custom(|n| run(true, n, &mut with_wraps)));
        let wraps = (alone.wraps / (alone.times as usize).max(1)).max(1);
        let mut keys = vec![0; wraps * 2 * KEY_LEN];
        random.fill(&mut keys);
        group.bench_function("bare wraps", |bench| {
            bench.iter_custom(|n| {
                let begin = WallTime.start();
                for _ in 0..n {
                    wrap_bare(black_box(&keys), black_box(&mut out[..wraps * WRAPPED_LEN]));
                }
                let spent = WallTime.end(begin);
                bare.spent += spent;
                bare.wraps += wraps * n as usize;
                spent
            });
        });
        group.finish();
        if bare.wraps > 0 {
            println!(
                "{leaving} leave {members}, k = {k}, {}: {wraps} wraps; tree {:.1} ns a wrap, with wraps {:.1}, bare {:.1}: \
                 {:.2} times the bare wraps\n",
                Engine::best().name(),
                alone.per_wrap(),
                with_wraps.per_wrap(),
                bare.per_wrap(),
                with_wraps.per_wrap() / bare.per_wrap(),
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300));
    targets = departures
}
criterion_main!(benches);
