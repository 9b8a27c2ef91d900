//! In how many datagrams a member finds its keys after a batch of departures from a tree with 32-bit node ids, packed
//! as `lkh_32::pack` does and, beside it, level by level; and what packing and sealing them costs.
//!
//! Every member that remains is counted, not a sample.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use claviger_crypto::{
    Random, SeededRandom, SystemRandom,
    cipher::CipherAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    KeyDownload, SaPayload,
    iana::kek::MANAGEMENT_LKH_32,
    limits::BATCH_LEN,
    lkh_32::{Wrap, pack},
    push::{self, KekMaterial, Push, RekeySa},
    wire::{Lkh32, SaKek, lkh_32::Update},
};
use claviger_group::{CookiePair, PushAuthentication};
use claviger_keypath::{Degree, Handle, NodeId, Under, UpdateHead};

/// The octets of an IPv6 packet that every path carries, less IPv6 and UDP headers.
const UDP_LEN: usize = 1280 - 40 - 8;

const KEY_LEN: usize = 32;

/// The epoch of the rekey. Keys that stay were drawn in the first one: their handles take the 2 octets that suffice for
/// 4,095 epochs.
const EPOCH: u32 = 1000;

/// A tree that was full, and what a batch of departures leaves to be wrapped.
struct Scene {
    degree: Degree,
    root: NodeId,
    members: u32,
    departed: BTreeSet<u32>,
    /// Target, under, handle of the latter.
    wraps: Vec<(NodeId, NodeId, Handle)>,
}

fn node(level: u8, index: u32) -> NodeId {
    NodeId::new(level, index).expect("the tree has fewer than 2^27 leaves")
}

impl Scene {
    fn new(k: u8, members: u32, departures: u32) -> Self {
        let degree = Degree::new(k).expect("k is 2 to 8");
        let mut levels = 0;
        while u32::from(k).pow(levels.into()) < members {
            levels += 1;
        }
        let mut random = SeededRandom::new(members.into());
        let mut departed = BTreeSet::new();
        while departed.len() < departures as usize {
            let mut octets = [0; 4];
            random.fill(&mut octets);
            departed.insert(u32::from_be_bytes(octets) % members);
        }
        // Level by level: the nodes above a departed leaf, and their children that have somebody below them.
        let mut wraps = Vec::new();
        let mut changed: BTreeSet<u32> = departed.clone();
        let mut width = members;
        for level in 1..=levels {
            let targets: BTreeSet<u32> = changed.iter().map(|index| index / u32::from(k)).collect();
            for &target in &targets {
                for child in target * u32::from(k)..((target + 1) * u32::from(k)).min(width) {
                    let is_changed = changed.contains(&child);
                    if level == 1 && is_changed {
                        continue;
                    }
                    let epoch = if is_changed { EPOCH } else { 1 };
                    let handle = Handle::new(epoch, 0).expect("epochs begin with 1");
                    wraps.push((node(level, target), node(level - 1, child), handle));
                }
            }
            (changed, width) = (targets, width.div_ceil(k.into()));
        }
        Self { degree, root: node(levels, 0), members, departed, wraps }
    }

    fn head(&self) -> UpdateHead {
        UpdateHead {
            degree: self.degree,
            key_len: KEY_LEN as u8,
            epoch: EPOCH,
            root: self.root,
            root_handle: Handle::new(EPOCH, 0).expect("epochs begin with 1"),
        }
    }

    /// How many datagrams each remaining member needs, when the key of a target under a child is in that datagram.
    fn needs(&self, places: &HashMap<(NodeId, NodeId), u32>) -> Needs {
        let mut needs = Needs::default();
        let mut seen: Vec<u32> = Vec::new();
        for leaf in (0..self.members).filter(|leaf| !self.departed.contains(leaf)) {
            seen.clear();
            let mut under = node(0, leaf);
            while let Some(target) = under.parent(self.degree).filter(|_| under != self.root) {
                if let Some(datagram) = places.get(&(target, under))
                    && !seen.contains(datagram)
                {
                    seen.push(*datagram);
                }
                under = target;
            }
            needs.members += 1;
            needs.sum += seen.len() as u64;
            needs.max = needs.max.max(seen.len());
        }
        needs
    }
}

#[derive(Default)]
struct Needs {
    members: u64,
    sum: u64,
    max: usize,
}

impl Needs {
    fn average(&self) -> f64 {
        self.sum as f64 / self.members as f64
    }
}

/// Where each wrapped key is.
fn places(degree: Degree, updates: &[Update]) -> HashMap<(NodeId, NodeId), u32> {
    let mut places = HashMap::new();
    for (datagram, update) in (0..).zip(updates) {
        for (entry, _) in update.entries() {
            let under = match entry.under {
                Under::Child(place) => entry.target.child(degree, place).expect("the entry was checked"),
                Under::Itself => entry.target,
            };
            places.insert((entry.target, under), datagram);
        }
    }
    places
}

/// The same keys in the order of levels, a target's keys together.
fn level_by_level(head: UpdateHead, wraps: &[Wrap<'_>], room: usize) -> Vec<Update> {
    let mut updates = vec![Update::new(head).expect("the head is sound")];
    for target in wraps.chunk_by(|a, b| a.target == b.target) {
        let alone = pack(head, target.iter().copied(), room).expect("a target fits");
        let length = alone[0].encoded_len() - Update::OVERHEAD;
        if updates.last().is_some_and(|last| last.encoded_len() + length > room) {
            updates.push(Update::new(head).expect("the head is sound"));
        }
        let last = updates.last_mut().expect("there is one");
        for (entry, wrapped) in alone[0].entries() {
            last.push(*entry, wrapped).expect("targets come in order");
        }
    }
    updates
}

fn main() {
    // `cargo test --benches` runs this too, and only wants to know that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let scenes: &[(u8, u32, u32)] = if is_test {
        &[(4, 1000, 10)]
    } else {
        &[
            (4, 10_000, 100),
            (2, 1 << 20, 10_000),
            (3, 1_000_000, 10_000),
            (4, 1_000_000, 10_000),
            (8, 1_000_000, 10_000),
        ]
    };
    let signer = SigningKey::generate(
        provider(),
        KeyAlgorithm::Ed25519,
        &mut SystemRandom::new().expect("randomness"),
    )
    .expect("keys can be made");
    let destination = ("ff3e::8000:1".parse().expect("an address"), 848);
    let spi = CookiePair([7; 16]);
    println!(
        "1 % of the members depart at once; keys of {KEY_LEN} octets; datagrams of at most 1,280 octets over IPv6."
    );
    println!(
        "{:<2} {:>9} {:<9} {:>8} {:>7} {:>9} {:>12} {:>12} {:>9} {:>9}",
        "k",
        "members",
        "signature",
        "keys",
        "octets",
        "datagrams",
        "average need",
        "by levels",
        "max need",
        "by levels"
    );
    for &(k, members, departures) in scenes {
        let scene = Scene::new(k, members, departures);
        let head = scene.head();
        let wrapped = vec![0x5a; KEY_LEN + 8];
        let wraps: Vec<Wrap<'_>> = scene
            .wraps
            .iter()
            .map(|&(target, under, handle)| Wrap { target, under, handle, wrapped: &wrapped })
            .collect();
        for form in [PushAuthentication::Batch, PushAuthentication::Message] {
            let policy = SaKek {
                source: Some("2001:db8::1".parse().expect("an address")),
                destination,
                spi,
                management: Some(MANAGEMENT_LKH_32),
                cipher: CipherAlgorithm::Aes256Cbc,
                lifetime: Duration::from_secs(86_400),
                signature: KeyAlgorithm::Ed25519,
                form,
                place: None,
                rekey_first: None,
            };
            let sa = SaPayload { kek: Some(policy), gap: None, teks: vec![] };
            let room = push::room(UDP_LEN, &sa, form, signer.public(), BATCH_LEN)
                .expect("the policy is sound")
                .expect("a datagram has room")
                - Lkh32::OVERHEAD;

            let begin = Instant::now();
            let updates = pack(head, wraps.iter().copied(), room).expect("the wraps are sound");
            let packing = begin.elapsed();
            let levels = level_by_level(head, &wraps, room);
            let need = scene.needs(&places(scene.degree, &updates));
            let naive = scene.needs(&places(scene.degree, &levels));
            let octets: usize = updates.iter().map(|update| update.encoded_len() - Update::OVERHEAD).sum();
            println!(
                "{k:<2} {members:>9} {:<9} {:>8} {:>7.2} {:>9} {:>12.2} {:>12.2} {:>9} {:>9}",
                format!("{form:?}"),
                wraps.len(),
                octets as f64 / wraps.len() as f64,
                format!("{}/{}", updates.len(), levels.len()),
                need.average(),
                naive.average(),
                need.max,
                naive.max,
            );
            println!(
                "   room for {room} octets of update, {:.0} % filled; packed in {:.1} ms",
                100.0 * octets as f64 / (updates.len() * (room - Update::OVERHEAD)) as f64,
                packing.as_secs_f64() * 1e3
            );
            if form == PushAuthentication::Batch {
                seal_and_open(&sa, updates, &signer, is_test);
            }
        }
    }
}

/// Seals the updates in batches and opens all of them, beside a signature each.
fn seal_and_open(sa: &SaPayload, updates: Vec<Update>, signer: &SigningKey, is_test: bool) {
    let kek = KekMaterial::new(CookiePair([6; 16]), CipherAlgorithm::Aes256Cbc, [1; 16], &[2; KEY_LEN]);
    let spi = sa.kek.as_ref().expect("the policy has a KEK").spi;
    let kds: Vec<_> = updates
        .into_iter()
        .map(|update| {
            let lkh_32 = Lkh32 { spi, path: None, update: Some(update), signing_key: None };
            KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() }
        })
        .collect();
    let pushes: Vec<_> = (1..)
        .zip(&kds)
        .map(|(sequence, kd)| Push { kek: &kek, sequence, deletes: &[], sa: Some(sa), kd: Some(kd) })
        .collect();
    let begin = Instant::now();
    let seal = |batch| push::seal_batch(provider(), batch, signer).expect("the messages are sound");
    let sealed: Vec<Vec<u8>> = pushes.chunks(BATCH_LEN).flat_map(seal).collect();
    let batch = begin.elapsed();
    assert!(sealed.iter().all(|message| message.len() <= UDP_LEN));
    let begin = Instant::now();
    let each: Vec<Vec<u8>> = pushes
        .iter()
        .map(|push| push::seal(provider(), push, signer).expect("the message is sound"))
        .collect();
    let alone = begin.elapsed();

    let kind = signer.public().algorithm();
    let open = |messages: &[Vec<u8>], form| {
        let sa = RekeySa::new(provider(), kek.clone(), signer.public().clone(), kind, 0);
        let mut sa = sa.expect("the key is of its kind").with_form(form);
        let begin = Instant::now();
        for message in messages {
            let rekey = sa.open(message).expect("the message is genuine");
            sa.commit(&rekey);
        }
        begin.elapsed()
    };
    let (opened, opened_alone) =
        (open(&sealed, PushAuthentication::Batch), open(&each, PushAuthentication::Message));
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / sealed.len() as f64;
    if !is_test {
        println!(
            "   sealed in {:.1} us a message, with a signature each {:.1}; opened in {:.1}, with a signature each {:.1}",
            micros(batch),
            micros(alone),
            micros(opened),
            micros(opened_alone)
        );
    }
}
