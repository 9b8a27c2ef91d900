//! What stays in memory of keys whose owners are gone.
//!
//! The tests have no key in the clear, or they would find their own: they keep them masked.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    hint::black_box,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use claviger_crypto::{Random, SecretBytes, SeededRandom, SystemRandom, erase_stack};
use claviger_gcks::RekeyWhat;
use claviger_group::{KekManagement, PushAuthentication, Role};
use claviger_testkit::network::{Network, group_id, policy};

const SECOND: Duration = Duration::from_secs(1);

/// What every octet of a key is combined with before it is kept.
const MASK: u8 = 0x5a;

/// How many octets of a key tell it from everything else in memory.
const HEAD_LEN: usize = 8;

/// How much memory is read at once.
const PART_LEN: usize = 1 << 20;

/// Held by the test that runs: one that searches would copy what the other has.
static ALONE: Mutex<()> = Mutex::new(());

/// How many keys are looked for at least.
const KEYS_MIN: usize = 40;

/// Keys that are looked for, each masked, with what it is.
#[derive(Default)]
struct Sought(BTreeMap<[u8; HEAD_LEN], (Vec<u8>, String)>);

impl Sought {
    fn add(&mut self, key: &[u8], what: String) {
        let masked: Vec<u8> = key.iter().map(|octet| octet ^ MASK).collect();
        self.0.insert(*masked.first_chunk().unwrap(), (masked, what));
    }

    /// Searches all memory that this process can write to, and names what was found and where.
    fn found(&self) -> BTreeSet<String> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let longest = self.0.values().map(|(masked, _)| masked.len()).max().unwrap();
        let mut part = vec![0; PART_LEN];
        let mut found = BTreeSet::new();
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            if !fields.next().unwrap().starts_with("rw") {
                continue;
            }
            let name = fields.nth(3).unwrap_or("anonymous memory");
            let mut at = start;
            while at < end {
                let length = usize::try_from(end - at).unwrap().min(PART_LEN);
                // What cannot be read, as memory of devices, holds nothing of ours.
                if memory.read_exact_at(&mut part[..length], at).is_err() {
                    break;
                }
                self.search(&part[..length], &mut |what| {
                    found.insert(format!("{what} in {name}"));
                });
                // Parts overlap, so that no key falls between two.
                at += if length == PART_LEN { (PART_LEN - longest) as u64 } else { length as u64 };
            }
        }
        part.fill(0);
        found
    }

    fn search(&self, memory: &[u8], report: &mut dyn FnMut(&str)) {
        let heads: BTreeSet<u8> = self.0.keys().map(|head| head[0]).collect();
        for (index, window) in memory.windows(HEAD_LEN).enumerate() {
            if !heads.contains(&(window[0] ^ MASK)) {
                continue;
            }
            let head: [u8; HEAD_LEN] = std::array::from_fn(|octet| window[octet] ^ MASK);
            if let Some((key, what)) = self.0.get(&head)
                && let Some(candidate) = memory.get(index..index + key.len())
                && candidate.iter().zip(key).all(|(octet, masked)| octet ^ MASK == *masked)
            {
                report(what);
            }
        }
    }
}

/// Plays a group's life, notes the keys that it had, and forgets everything.
fn play(seed: u64, management: KekManagement, sought: &mut Sought) {
    let mut network = Network::new(seed);
    let group = group_id("market");
    let mut policy = policy(1);
    policy.rekey.management = management;
    if management == KekManagement::Lkh32 {
        policy.rekey.authentication = PushAuthentication::Batch;
    }
    network.add_group(&group, policy);
    let witness = network.joined(&group, Role::Both);
    for _ in 0..6 {
        network.joined(&group, Role::Both);
    }
    network.pass(5 * SECOND);
    for what in [RekeyWhat::Tek, RekeyWhat::Kek].repeat(4) {
        network.server.rekey(network.now, &group, what).unwrap();
        network.settle();
        network.pass(10 * SECOND);
    }
    let _ = network.send(witness, &group, b"data");
    network.pass(SECOND);
    let ledger = network.members[witness].ledger(&group).unwrap();
    for (number, tek) in ledger.teks.iter().enumerate() {
        sought.add(tek.keys.encryption.expose(), format!("{management:?}: TEK {number}"));
    }
    for (number, rekey) in ledger.rekeys.iter().enumerate() {
        sought.add(rekey.kek.key.expose(), format!("{management:?}: KEK {number}"));
        for link in rekey.lkh.iter().flat_map(|path| path.keys()) {
            sought
                .add(link.key.expose(), format!("{management:?}: key of node {} with KEK {number}", link.id));
        }
    }
    for (name, key) in ledger.nodes.iter().flat_map(|(name, keys)| keys.iter().map(move |key| (name, key))) {
        sought.add(key.key(), format!("{management:?}: key of node {name:?}"));
    }
}

#[test]
fn no_key_is_in_memory_any_more_when_its_owners_are_gone() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut sought = Sought::default();
    // Under one seed both would draw the same octets, and what is a key to the one could be a public name to the other.
    for (seed, management) in [(7, KekManagement::Lkh), (8, KekManagement::Lkh32)] {
        play(seed, management, &mut sought);
    }
    assert!(sought.0.len() >= KEYS_MIN, "only {} keys", sought.0.len());
    assert_gone(sought);
}

#[test]
fn what_the_random_source_gave_out_is_not_in_memory_while_it_goes_on() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut sought = Sought::default();
    let mut random = SystemRandom::new().unwrap();
    for number in 0..KEYS_MIN {
        let key = SecretBytes::with(32, |octets| random.fill(octets));
        sought.add(key.expose(), format!("key {number}"));
    }
    erase_stack();
    assert_gone(sought);
    let _ = SecretBytes::with(32, |octets| random.fill(octets));
}

/// Searches for keys that are to be gone, and for one that is there and is found, wherever it begins.
fn assert_gone(mut sought: Sought) {
    let mut planted = vec![0; 33];
    SeededRandom::new(4711).fill(&mut planted);
    sought.add(&planted[1..], "planted".into());
    let found = sought.found();
    black_box(&planted);
    let (planted, residues): (BTreeSet<_>, BTreeSet<_>) =
        found.into_iter().partition(|found| found.starts_with("planted"));
    assert!(!planted.is_empty(), "the search finds nothing");
    assert!(residues.is_empty(), "{} of {} keys: {residues:#?}", residues.len(), sought.0.len() - 1);
}
