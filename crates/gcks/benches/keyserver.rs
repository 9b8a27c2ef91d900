//! What a key server does in a second, each beside the bare cost of its cryptography in the same run:
//! base exchanges and PULLs (both sides on one core), and the rekey of a leave at 1,000 members.

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

mod world;

use std::{hint::black_box, time::Duration};

use claviger_crypto::{
    SeededRandom, SystemRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    kx::KxAlgorithm,
    provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};
use claviger_gcks::Event;
use claviger_group::{MemberId, Role};
use criterion::{Criterion, criterion_group, criterion_main};
use world::{Host, World, time};

/// Members of the group whose leave is measured.
const MEMBERS: usize = 1000;

/// Repetitions behind each ratio.
const ROUNDS: usize = 200;

fn print_ratio(what: &str, whole: Duration, bare: Duration, rounds: usize) {
    let each = |total: Duration| total.as_secs_f64() * 1e6 / rounds as f64;
    println!(
        "{what}: {:.0} us, bare cryptography {:.0} us, ratio {:.2}; {:.0} a second on one core",
        each(whole),
        each(bare),
        each(whole) / each(bare),
        1e6 / each(whole)
    );
}

/// The public-key operations of one base exchange, both sides: one key pair, two agreements, two signatures, three
/// verifications. The responder's own key pair and R1 are made beforehand.
fn bare_base_exchange(signer: &SigningKey) {
    let group = provider().kx_group(KxAlgorithm::P256).expect("the provider has it");
    let pair = group.generate(&mut SeededRandom::new(1)).expect("a key pair");
    for _ in 0..2 {
        black_box(pair.agree(pair.public()).expect("a value of the group"));
    }
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let signatures = [(); 2].map(|()| signer.sign(algorithm, b"a message").expect("the key signs"));
    for signature in [&signatures[0], &signatures[1], &signatures[0]] {
        provider().verify(signer.public(), algorithm, b"a message", signature).expect("a genuine signature");
    }
}

fn base_exchange(c: &mut Criterion) {
    let mut world = World::new(Role::Receiver);
    let signer = SigningKey::generate(
        provider(),
        KeyAlgorithm::EcdsaP256,
        &mut SystemRandom::new().expect("randomness"),
    )
    .expect("randomness");
    // A group that refuses everybody: what is measured is the association, not the keys of a group.
    let mut exchange = || {
        let mut host = world.host();
        time(|| {
            host.member.join(world.now, "unknown".parse().expect("a group's name"), Role::Receiver);
            world.carry(&mut host);
        })
    };
    c.bench_function("base exchange", |b| b.iter_custom(|n| (0..n).map(|_| exchange()).sum()));
    let (mut whole, mut bare) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        whole += exchange();
        bare += time(|| bare_base_exchange(&signer));
    }
    print_ratio("base exchange with registration, both sides", whole, bare, ROUNDS);
}

/// What one PULL hashes and ciphers, both sides: four messages of about these lengths.
fn bare_pull() {
    let prf = provider().prf(HashAlgorithm::Sha384).expect("the provider has it");
    let cipher = provider().cipher(CipherAlgorithm::Aes256Cbc).expect("the provider has it");
    for length in [128, 384, 96, 640] {
        let key = cipher.key(&[1; 32]).expect("the key's length is right");
        let mut octets = vec![7; length];
        black_box(prf.prf(&[1; 48], &[&octets]));
        key.encrypt(&[2; 16], &mut octets).expect("whole blocks");
        key.decrypt(&[2; 16], &mut octets).expect("whole blocks");
        black_box(prf.prf(&[1; 48], &[&octets]));
    }
}

fn pull(c: &mut Criterion) {
    let mut world = World::new(Role::Receiver);
    for _ in 0..15 {
        world.join();
    }
    let mut host = world.join();
    let mut once = || {
        // One registration has message ids for so many exchanges only.
        if host.member.subscription(&world.group).is_none_or(|s| s.pulls() > 4000) {
            host = world.join();
        }
        // Time enough for the limits on one peer's exchanges.
        world.pass(Duration::from_secs(5));
        host.member.handle_timeout(world.now);
        world.carry(&mut host);
        let before = host.member.subscription(&world.group).map(|s| s.pulls());
        let spent = time(|| {
            host.member.pull_now(world.now, &world.group);
            world.carry(&mut host);
        });
        assert_ne!(
            before,
            host.member.subscription(&world.group).map(|s| s.pulls()),
            "the PULL brought keys"
        );
        spent
    };
    c.bench_function("pull", |b| b.iter_custom(|n| (0..n).map(|_| once()).sum()));
    let (mut whole, mut bare) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        whole += once();
        bare += time(bare_pull);
    }
    print_ratio("PULL, both sides", whole, bare, ROUNDS);
}

fn leave(c: &mut Criterion) {
    let mut world = World::new(Role::Receiver);
    let mut hosts: Vec<Host> = (0..MEMBERS).map(|_| world.join()).collect();
    let signer = SigningKey::generate(
        provider(),
        KeyAlgorithm::EcdsaP256,
        &mut SystemRandom::new().expect("randomness"),
    )
    .expect("randomness");
    let cipher = provider().cipher(CipherAlgorithm::Aes128Cbc).expect("the provider has it");
    let mut next = 0;
    let mut once = || {
        // A stride that is prime to the number of members visits every leaf.
        next = (next + 617) % MEMBERS;
        let (now, group, hit) = (world.now, world.group.clone(), MemberId::Hit(hosts[next].hit));
        let spent = time(|| {
            black_box(world.gcks.evict(now, &group, &hit).expect("the host is a member"));
        });
        let mut report = None;
        for event in world.commit().1 {
            if let Event::Rekeyed(rekeyed) = event {
                report = Some(rekeyed);
            }
        }
        world.pass(Duration::from_secs(2));
        hosts[next] = world.join();
        (spent, report.expect("a leave rekeys"))
    };
    c.bench_function("leave at 1,000 members", |b| b.iter_custom(|n| (0..n).map(|_| once().0).sum()));
    let (mut whole, mut bare) = (Duration::ZERO, Duration::ZERO);
    let mut last = None;
    for _ in 0..ROUNDS / 4 {
        let (spent, report) = once();
        whole += spent;
        bare += time(|| {
            for _ in 0..report.tree_keys {
                let key = cipher.key(&[1; 16]).expect("the key's length is right");
                key.encrypt(&[0; 16], black_box(&mut [7; 32])).expect("whole blocks");
            }
            for _ in 0..report.messages {
                black_box(
                    signer.sign(SignatureAlgorithm::EcdsaP256Sha256, &[7; 1000]).expect("the key signs"),
                );
            }
        });
        last = Some(report);
    }
    print_ratio("leave at 1,000 members", whole, bare, ROUNDS / 4);
    if let Some(report) = last {
        println!(
            "  the tree wraps {} keys; the messages carry {} in {} datagrams of {} octets in all",
            report.tree_keys, report.message_keys, report.messages, report.octets
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = base_exchange, pull, leave
}
criterion_main!(benches);
