//! What it costs to authenticate a batch of messages by one signature over the root of a Merkle tree, beside the mere
//! SHA-256 of the batch's octets, and beside a signature for each message; all in the same run.
//!
//! First all octets of the messages are leaves' contents, which is more than a key server hashes; then datagrams as it
//! sends them, whose branch and signature are in no leaf.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod common;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use claviger_crypto::{
    Random, SeededRandom, SystemRandom,
    hash::HashAlgorithm,
    hash_tree::{HashTree, LEAF_PREFIX, Node},
    provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};
use claviger_gdoi::wire::batch_signature::BatchSignature;
use common::quickest;

/// The octets of a message where all of them are hashed.
const MESSAGE_LEN: usize = 1200;

/// The octets of a message as it is sent: what a datagram of 1,280 octets carries behind IPv6 and UDP headers.
const UDP_LEN: usize = 1232;

/// The octets of the signatures here.
const SIGNATURE_LEN: usize = 64;

/// How often each way is tried; the quickest try counts, since everything else only adds to it.
const TRIES: usize = 60;

fn main() {
    // `cargo test --benches` runs this too, and only wants to know that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let counts: &[usize] = if is_test { &[3] } else { &[100, 1000, 4000] };
    println!("Authenticating a batch of messages; the quickest of {TRIES} tries.");
    for is_sent in [false, true] {
        println!();
        if is_sent {
            println!("Datagrams of {UDP_LEN} octets as they are sent, with branch and signature:");
        } else {
            println!("Messages of {MESSAGE_LEN} octets, all of them hashed:");
        }
        println!(
            "{:<8} {:>9} {:>7} {:>12} {:>12} {:>7} {:>14} {:>8}",
            "key", "messages", "hashed", "hash only", "tree+sign", "ratio", "sign each", "ratio"
        );
        for (name, kind, algorithm) in [
            ("Ed25519", KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519),
            ("P-256", KeyAlgorithm::EcdsaP256, SignatureAlgorithm::EcdsaP256Sha256),
        ] {
            let signer =
                SigningKey::generate(provider(), kind, &mut SystemRandom::new().expect("randomness"))
                    .expect("keys can be made");
            for &count in counts {
                measure(name, &signer, algorithm, count, is_sent);
            }
        }
    }
}

fn measure(name: &str, signer: &SigningKey, algorithm: SignatureAlgorithm, count: usize, is_sent: bool) {
    let hash = provider().hash(HashAlgorithm::Sha256).expect("the provider has SHA-256");
    let (message_len, hashed_len) = if is_sent {
        let sig = BatchSignature::encoded_len(0, count, SIGNATURE_LEN).expect("there is a first message");
        // "rekey" is hashed with the header and the payloads, the SIG payload with its generic header is not.
        (UDP_LEN, "rekey".len() + UDP_LEN - 4 - sig)
    } else {
        (MESSAGE_LEN, MESSAGE_LEN)
    };
    let leaf_len = 1 + hashed_len;
    // One after the other, each behind the prefix of a leaf.
    let mut leaves = vec![LEAF_PREFIX; count * leaf_len];
    let mut random = SeededRandom::new(1);
    leaves.chunks_mut(leaf_len).for_each(|leaf| random.fill(&mut leaf[1..]));
    let mut octets = vec![0; count * message_len];
    random.fill(&mut octets);

    let hashing = quickest(TRIES, || {
        black_box(hash.digest(&[black_box(&octets)]));
    });
    let tree = quickest(TRIES, || {
        let leaf = |leaf| Node::prefixed_leaf(leaf).expect("the prefix is there");
        let tree = HashTree::new(black_box(&leaves).chunks(leaf_len).map(leaf));
        let root = tree.expect("the batch is small enough").root();
        black_box(signer.sign(algorithm, &root.0).expect("the key signs in its own way"));
    });
    let begin = Instant::now();
    for leaf in leaves.chunks(leaf_len) {
        black_box(signer.sign(algorithm, black_box(&leaf[1..])).expect("the key signs in its own way"));
    }
    let each = begin.elapsed();

    println!(
        "{name:<8} {count:>9} {hashed_len:>7} {:>9.1} us {:>9.1} us {:>7.2} {:>11.1} us {:>8.1}",
        micros(hashing),
        micros(tree),
        ratio(tree, hashing),
        micros(each),
        ratio(each, hashing),
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ratio(time: Duration, unit: Duration) -> f64 {
    time.as_secs_f64() / unit.as_secs_f64()
}
