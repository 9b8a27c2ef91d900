//! What RFC 6407's update arrays cost beside the keys that the tree needs: both counts, the octets, and the time to make
//! the arrays with all links encrypted together, beside one by one.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
};

use claviger_crypto::{Random, SeededRandom, cipher::CipherAlgorithm};
use claviger_gdoi::lkh::{Link, NewKey, Start, update_array, update_arrays};
use common::quickest;

const CIPHER: CipherAlgorithm = CipherAlgorithm::Aes256Cbc;

/// How often each way is tried; the quickest try counts.
const TRIES: usize = 5;

struct Scene {
    new_keys: Vec<NewKey>,
    starts: Vec<Start>,
}

impl Scene {
    /// Random members depart from a full tree.
    fn new(k: u32, members: u32, departures: usize) -> Self {
        let mut random = SeededRandom::new(1);
        let mut draw = |length: usize| {
            let mut octets = vec![0; length];
            random.fill(&mut octets);
            octets
        };
        let mut departed = BTreeSet::new();
        while departed.len() < departures {
            let octets: [u8; 4] = draw(4).try_into().expect("4 octets");
            departed.insert(u32::from_be_bytes(octets) % members);
        }
        let mut link = |level: u32, index: u32, handle| {
            let iv = draw(16).try_into().expect("16 octets");
            // What an id says is of no account here.
            Link::new((level << 13 | index & 0x1fff) as u16, handle, iv, &draw(CIPHER.key_len()))
        };
        // Nodes with new keys, the root first, so that parents are there before their children.
        let mut levels = vec![departed];
        let mut width = members;
        while width > 1 {
            let below = levels.last().expect("there are leaves");
            levels.push(below.iter().map(|index| index / k).collect());
            width = width.div_ceil(k);
        }
        let mut new_keys: Vec<NewKey> = Vec::new();
        let mut starts = Vec::new();
        let mut above: BTreeMap<u32, usize> = BTreeMap::new();
        for level in (1..levels.len() as u32).rev() {
            let changed = &levels[level as usize];
            let mut here = BTreeMap::new();
            for &index in changed {
                let parent = above.get(&(index / k)).copied();
                here.insert(index, new_keys.len());
                new_keys.push(NewKey { link: link(level, index, 2), parent });
            }
            let below = &levels[level as usize - 1];
            let mut widths = members;
            (1..level).for_each(|_| widths = widths.div_ceil(k));
            for (&index, &first) in &here {
                for child in (index * k..((index + 1) * k).min(widths)).filter(|child| !below.contains(child))
                {
                    starts.push(Start { held: link(level - 1, child, 1), first });
                }
            }
            above = here;
        }
        Self { new_keys, starts }
    }

    fn chain(&self, first: usize) -> Vec<Link> {
        let up = |place: &usize| self.new_keys[*place].parent;
        std::iter::successors(Some(first), up).map(|place| self.new_keys[place].link.clone()).collect()
    }
}

fn main() {
    // `cargo test --benches` runs this too, and only wants to know that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let scenes: &[(u32, u32, usize)] = if is_test {
        &[(4, 256, 2)]
    } else {
        &[
            (4, 1024, 1),
            (4, 1024, 10),
            (4, 16_384, 1),
            (4, 16_384, 164),
            (2, 16_384, 1),
            (2, 16_384, 164),
            (8, 32_768, 328),
        ]
    };
    println!(
        "Members depart at once from a full tree within 16-bit LKH ids; keys of 32 octets and their IVs."
    );
    println!(
        "{:<2} {:>8} {:>10} {:>10} {:>10} {:>10} {:>13} {:>13}",
        "k", "members", "departures", "tree keys", "in arrays", "octets", "all at once", "each alone"
    );
    for &(k, members, departures) in scenes {
        let scene = Scene::new(k, members, departures);
        let make = || update_arrays(&scene.new_keys, &scene.starts, CIPHER).expect("the tree is sound");
        let (arrays, figures) = make();
        let octets: usize = arrays.iter().map(|array| array.encoded_len()).sum();
        let together = quickest(TRIES, || {
            black_box(make());
        });
        let chains: Vec<_> = scene.starts.iter().map(|start| scene.chain(start.first)).collect();
        let alone = quickest(TRIES, || {
            for (start, chain) in scene.starts.iter().zip(&chains) {
                black_box(update_array(&start.held, chain, CIPHER).expect("the chain is sound"));
            }
        });
        println!(
            "{k:<2} {members:>8} {departures:>10} {:>10} {:>10} {octets:>10} {:>10.1} us {:>10.1} us",
            figures.tree_keys,
            figures.array_keys,
            together.as_secs_f64() * 1e6,
            alone.as_secs_f64() * 1e6,
        );
    }
}
