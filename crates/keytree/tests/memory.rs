//! What a tree costs in resident memory: little more than its bare keys when it is full, and in proportion when the
//! group has shrunk by random departures.
//!
//! It is a test binary of one test, since it reads the memory of its whole process.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use claviger_crypto::{Random, SeededRandom, random};
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, TreeConfig};

/// Members that come or go in one batch: the rekeys of small ones stay small beside the tree.
const BATCH: usize = 1 << 10;

/// Returns the resident memory of this process, in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = status.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

struct Case {
    k: u8,
    key_length: KeyLength,
    /// A power of k.
    members: u32,
}

const CASES: [Case; 4] = [
    Case { k: 4, key_length: KeyLength::Octets32, members: 1 << 20 },
    Case { k: 2, key_length: KeyLength::Octets16, members: 1 << 18 },
    Case { k: 5, key_length: KeyLength::Octets16, members: 5_u32.pow(8) },
    Case { k: 8, key_length: KeyLength::Octets32, members: 1 << 18 },
];

fn tree(case: &Case, random: &mut dyn Random) -> KeyTree {
    let degree = Degree::new(case.k).unwrap();
    let (key_length, capacity) = (case.key_length, case.members);
    KeyTree::new(TreeConfig { degree, key_length, capacity, joining: Joining::Advance }, random)
}

fn fill(tree: &mut KeyTree, random: &mut dyn Random) {
    while tree.len() < tree.capacity() as usize {
        let joins = BATCH.min(tree.capacity() as usize - tree.len());
        tree.batch(joins, &[], random).unwrap();
    }
}

/// Lets members depart at random until `members` are left. `present` has room for all.
fn shrink(
    tree: &mut KeyTree,
    members: usize,
    present: &mut Vec<Leaf>,
    dice: &mut dyn Random,
    random: &mut dyn Random,
) {
    present.clear();
    present.extend(tree.leaves());
    while present.len() > members {
        let count = BATCH.min(present.len() - members);
        let departing: Vec<Leaf> = (0..count)
            .map(|_| present.swap_remove(u32::from_be_bytes(random::array(dice)) as usize % present.len()))
            .collect();
        tree.batch(0, &departing, random).unwrap();
    }
}

#[test]
fn memory_follows_the_members() {
    let (dice, random) = (&mut SeededRandom::new(1), &mut SeededRandom::new(2));
    // What batches of this size take besides the tree is taken once.
    let mut warm = tree(&CASES[0], random);
    warm.batch(BATCH, &[], random).unwrap();
    drop(warm);
    let mut present = vec![Leaf::new(u32::MAX); 1 << 20];

    for case in &CASES {
        let before = resident();
        let mut tree = tree(case, random);
        fill(&mut tree, random);
        let full = resident().saturating_sub(before);

        let key_len = case.key_length.octets() as u64;
        let nodes = u64::from(case.members) * u64::from(case.k) / u64::from(case.k - 1);
        let most = nodes * key_len * 11 / 10 + nodes * 4;
        let name = format!("k = {}, {key_len} octets, {} members", case.k, case.members);
        println!("{name}: {full} octets resident, {most} allowed");
        assert!(full <= most, "{name}: {full} octets resident, {most} allowed");

        shrink(&mut tree, case.members as usize / 4, &mut present, dice, random);
        let shrunk = resident().saturating_sub(before);
        let left = tree.nodes().count() as u64 * (key_len + 4);
        println!("{name}: {shrunk} octets resident for {left} octets of nodes after shrinking to a quarter");
        // Packed rows have some room to spare, and of each size of block there is one slab that is not full.
        let most = left * 5 / 4 + (4 << 20);
        assert!(
            shrunk <= most,
            "{name}: {shrunk} octets resident, {most} allowed for {left} octets of nodes"
        );

        shrink(&mut tree, 0, &mut present, dice, random);
        // What the allocator keeps of the rekeys depends on what else was allocated meanwhile.
        let bare = resident().saturating_sub(before);
        assert!(bare < 4 << 20, "{name}: {bare} octets resident for a tree without members");
    }
}
