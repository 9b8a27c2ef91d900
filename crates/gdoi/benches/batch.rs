//! What it costs to authenticate a batch of messages by one signature over the root of a Merkle tree, beside the mere
//! SHA-256 of the batch's octets, and beside a signature for each message; all in the same run.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use claviger_crypto::{
    Random, SeededRandom,
    hash::HashAlgorithm,
    hash_tree::{HashTree, LEAF_PREFIX, Node},
    provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};

/// The octets of a message: what a datagram of 1,280 octets carries behind its headers.
const MESSAGE_LEN: usize = 1200;

/// The octets of a leaf.
const LEAF_LEN: usize = 1 + MESSAGE_LEN;

/// How often each way is tried; the quickest try counts, since everything else only adds to it.
const TRIES: usize = 60;

fn quickest(mut work: impl FnMut()) -> Duration {
    let try_once = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    (0..TRIES).map(try_once).min().expect("there is more than one try")
}

fn main() {
    // `cargo test --benches` runs this too, and only wants to know that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let hash = provider().hash(HashAlgorithm::Sha256).expect("the provider has SHA-256");
    println!(
        "Authenticating a batch of messages of {MESSAGE_LEN} octets each; the quickest of {TRIES} tries."
    );
    println!(
        "{:<8} {:>9} {:>12} {:>12} {:>7} {:>14} {:>8}",
        "key", "messages", "hash only", "tree+sign", "ratio", "sign each", "ratio"
    );
    for (name, kind, algorithm) in [
        ("Ed25519", KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519),
        ("P-256", KeyAlgorithm::EcdsaP256, SignatureAlgorithm::EcdsaP256Sha256),
    ] {
        let signer = SigningKey::generate(kind).expect("keys can be made");
        for count in if is_test { vec![3] } else { vec![100, 1000, 4000] } {
            let messages = messages(count);
            let octets: Vec<u8> = leaves(&messages).flat_map(|leaf| &leaf[1..]).copied().collect();

            let hashing = quickest(|| {
                black_box(hash.digest(&[black_box(&octets)]));
            });
            let tree = quickest(|| {
                let leaf = |leaf| Node::prefixed_leaf(leaf).expect("the prefix is there");
                let tree = HashTree::new(leaves(black_box(&messages)).map(leaf));
                let root = tree.expect("the batch is small enough").root();
                black_box(signer.sign(algorithm, &root.0).expect("the key signs in its own way"));
            });
            let begin = Instant::now();
            for leaf in leaves(&messages) {
                black_box(signer.sign(algorithm, black_box(&leaf[1..])).expect("the key signs"));
            }
            let each = begin.elapsed();

            println!(
                "{name:<8} {count:>9} {:>9.1} us {:>9.1} us {:>7.2} {:>11.1} us {:>8.1}",
                micros(hashing),
                micros(tree),
                ratio(tree, hashing),
                micros(each),
                ratio(each, hashing),
            );
        }
    }
}

/// Messages that all differ, one after the other, each behind the prefix of a leaf.
fn messages(count: usize) -> Vec<u8> {
    let mut octets = vec![LEAF_PREFIX; count * LEAF_LEN];
    let mut random = SeededRandom::new(1);
    octets.chunks_mut(LEAF_LEN).for_each(|leaf| random.fill(&mut leaf[1..]));
    octets
}

fn leaves(messages: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    messages.chunks(LEAF_LEN)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ratio(time: Duration, unit: Duration) -> f64 {
    time.as_secs_f64() / unit.as_secs_f64()
}
