//! What a departure from a group of 1,000 costs: the tree's work with all of its encryptions, beside the bare
//! encryptions in the same run, as a ratio.

use std::{cell::Cell, hint::black_box, time::Duration};

use claviger_crypto::{
    SeededRandom,
    cipher::{Cipher, CipherAlgorithm},
    provider,
};
use claviger_keytree::{Degree, KeyLength, KeyTree, Leaf, Rekey};
use criterion::{
    Criterion, criterion_group, criterion_main,
    measurement::{Measurement, WallTime},
};

const MEMBERS: u32 = 1000;

/// Encrypts each new key as the wraps of `rekey` say, and returns the ciphertexts.
fn encrypt(rekey: &Rekey, cipher: &dyn Cipher) -> Vec<Vec<u8>> {
    let wrap = |wrap| {
        let (_, under) = rekey.under(wrap).expect("the wrap belongs to the rekey");
        let mut octets = rekey.key(wrap.target).expect("the target has a new key").material().to_vec();
        let key = cipher.key(under.key()).expect("the key has the cipher's length");
        key.encrypt(under.iv(), &mut octets).expect("the material is whole blocks");
        octets
    };
    rekey.wraps.iter().map(wrap).collect()
}

/// Encrypts as much under as many keys, with neither tree nor bookkeeping.
fn encrypt_bare(count: usize, key: &[u8], material: &mut [u8], cipher: &dyn Cipher) {
    for _ in 0..count {
        let key = cipher.key(black_box(key)).expect("the key has the cipher's length");
        key.encrypt(&[0; 16], black_box(material)).expect("the material is whole blocks");
    }
}

fn leave(criterion: &mut Criterion) {
    let cipher = provider().cipher(CipherAlgorithm::Aes256Cbc).expect("the provider has AES-256-CBC");
    for k in [2, 4, 8] {
        let random = &mut SeededRandom::new(1);
        let degree = Degree::new(k).expect("the degree is 2 to 8");
        let mut tree = KeyTree::new(degree, KeyLength::Octets32, MEMBERS, random);
        tree.batch(MEMBERS as usize, &[], random).expect("the tree has room");
        let mut next = 0;
        let mut one_leave = |only_tree: bool| {
            // A stride that is prime to the number of members visits every leaf.
            next = (next + 617) % MEMBERS;
            let begin = WallTime.start();
            let rekey = tree.batch(0, &[Leaf::new(next)], random).expect("the leaf has a member");
            if !only_tree {
                black_box(encrypt(&rekey, cipher));
            }
            let spent = WallTime.end(begin);
            tree.batch(1, &[], random).expect("the tree has room");
            (spent, rekey.wraps.len())
        };
        let wraps = (0..MEMBERS).map(|_| one_leave(true).1).sum::<usize>() / MEMBERS as usize;

        let mut group = criterion.benchmark_group(format!("leave/{MEMBERS}/k{k}"));
        let totals = [const { Cell::new((Duration::ZERO, 0)) }; 3];
        let count = |total: &Cell<(Duration, u64)>, spent: Duration, iterations: u64| {
            let (before, already) = total.get();
            total.set((before + spent, already + iterations));
            spent
        };
        group.bench_function("tree", |bench| {
            bench.iter_custom(|n| count(&totals[0], (0..n).map(|_| one_leave(true).0).sum(), n));
        });
        group.bench_function("tree and wraps", |bench| {
            bench.iter_custom(|n| count(&totals[1], (0..n).map(|_| one_leave(false).0).sum(), n));
        });
        let mut material = [0; KeyLength::Octets32.material_len()];
        group.bench_function("bare wraps", |bench| {
            bench.iter_custom(|n| {
                let begin = WallTime.start();
                for _ in 0..n {
                    encrypt_bare(wraps, &[7; 32], &mut material, cipher);
                }
                count(&totals[2], WallTime.end(begin), n)
            });
        });
        group.finish();
        let [tree_alone, with_wraps, bare] = totals.map(|total| {
            let (spent, iterations) = total.get();
            spent.div_f64(iterations.max(1) as f64)
        });
        if !bare.is_zero() {
            println!(
                "leave of {MEMBERS}, k = {k}: {wraps} wraps, {with_wraps:?} with the tree, {bare:?} bare: \
                 {:.2} times the bare wraps (tree alone {tree_alone:?})\n",
                with_wraps.div_duration_f64(bare),
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300));
    targets = leave
}
criterion_main!(benches);
