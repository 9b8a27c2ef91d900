//! What a key server does in a second, each beside the bare cost of its cryptography in the same run:
//! base exchanges and PULLs (both sides on one core), and the rekey of a leave at 1,000 members.

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use std::{
    convert::Infallible,
    hint::black_box,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use claviger_crypto::{
    SeededRandom, SystemRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    kx::KxAlgorithm,
    provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};
use claviger_gcks::{Event, Gcks, GcksConfig};
use claviger_group::{Channel, GroupId, GroupPolicy, MemberId, Role};
use claviger_hip::HostConfig;
use claviger_identity::{Hit, HostIdentity};
use claviger_member::{Member, MemberConfig, PlaneKind};
use claviger_sansio::{Datagram, RetransmitPolicy, Socket, Time, Transmit, durable::Receipt};
use criterion::{Criterion, criterion_group, criterion_main};

/// Members of the group whose leave is measured.
const MEMBERS: usize = 1000;

/// Repetitions behind each ratio.
const ROUNDS: usize = 200;

/// Where the key server's HIP is reached.
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 10500);

/// A key server and the wire to its hosts.
struct World {
    gcks: Gcks,
    server: Hit,
    group: GroupId,
    now: Time,
    made: u32,
}

/// A host that is a member.
struct Host {
    hit: Hit,
    member: Member,
    address: SocketAddr,
}

impl World {
    fn new() -> Self {
        let identity = Arc::new(
            HostIdentity::generate(
                provider(),
                KeyAlgorithm::EcdsaP256,
                &mut SystemRandom::new().expect("randomness"),
            )
            .expect("randomness"),
        );
        let server = identity.hit();
        let mut hip = HostConfig::new(identity, provider());
        hip.puzzle_difficulty = 0;
        hip.r1_per_second_max = u32::MAX;
        let config = GcksConfig {
            hip,
            provider: provider(),
            gdoi_port: 848,
            push_source_v4: None,
            push_source_v6: None,
        };
        let now = Time::from_secs(1_000_000);
        let mut gcks = Gcks::new(config, Box::new(SeededRandom::new(1)), now).expect("a sound configuration");
        let group: GroupId = "bench".parse().expect("a group's name");
        let channel = Channel::new([239, 192, 0, 1].into(), None).expect("a multicast address");
        gcks.add_group(now, group.clone(), GroupPolicy::new(channel)).expect("a coherent policy");
        Self { gcks, server, group, now, made: 0 }
    }

    /// Makes a host and puts it on the group's list.
    fn host(&mut self) -> Host {
        self.made += 1;
        let identity = Arc::new(
            HostIdentity::generate(
                provider(),
                KeyAlgorithm::EcdsaP256,
                &mut SystemRandom::new().expect("randomness"),
            )
            .expect("randomness"),
        );
        let hit = identity.hit();
        self.gcks.allow(self.now, &self.group, &hit.into(), Role::Receiver).expect("the group exists");
        let config = MemberConfig {
            hip: HostConfig::new(identity, provider()),
            provider: provider(),
            server: self.server,
            server_address: SERVER.into(),
            socket: Socket::HipUdp,
            gdoi_port: 848,
            extensions: Default::default(),
            plane: PlaneKind::Any,
            registration_lifetime: Duration::from_secs(86_400),
            retransmit: RetransmitPolicy::default(),
        };
        let random = Box::new(SeededRandom::new(u64::from(self.made) + 1));
        let member = Member::new(config, random, self.now).expect("a sound configuration");
        let address = SocketAddr::from(((0x0a01_0000 + self.made).to_be_bytes(), 4000));
        Host { hit, member, address }
    }

    /// Carries datagrams until nothing moves. Rekey messages to the group go nowhere.
    fn carry(&mut self, host: &mut Host) {
        loop {
            let mut moved = false;
            while let Some(transmit) = host.member.poll_transmit() {
                let (socket, destination, payload) =
                    (transmit.socket, transmit.destination, &transmit.payload);
                let datagram = Datagram { socket, source: host.address, destination, payload };
                self.gcks.handle_datagram(self.now, datagram).expect("an honest member");
                moved = true;
            }
            for transmit in self.commit().0 {
                if transmit.destination == host.address {
                    let (socket, destination, payload) = (transmit.socket, host.address, &transmit.payload);
                    let datagram = Datagram { socket, source: SERVER.into(), destination, payload };
                    host.member.handle_datagram(self.now, datagram).expect("an honest server");
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        while host.member.poll_event().is_some() {}
    }

    /// Takes what the key server has to say, as if a store had no cost.
    fn commit(&mut self) -> (Vec<Transmit>, Vec<Event>) {
        let Some(staged) = self.gcks.stage(self.now) else { return Default::default() };
        let Ok(durable) = staged.commit(|changes| Ok::<_, Infallible>(Receipt::attest(changes)));
        let mut released = self.gcks.release(durable);
        let mut sent = Vec::new();
        while let Some(dispatch) = released.poll_transmit() {
            sent.push(dispatch.send(self.now));
        }
        (sent, std::iter::from_fn(|| released.poll_event()).collect())
    }

    /// Lets time pass, so that the copies of rekey messages leave.
    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.gcks.handle_timeout(self.now);
        self.commit();
    }

    /// Registers and keys a host.
    fn join(&mut self) -> Host {
        let mut host = self.host();
        host.member.join(self.now, self.group.clone(), Role::Receiver);
        self.carry(&mut host);
        assert!(host.member.subscription(&self.group).is_some_and(|s| s.is_keyed()), "the host holds keys");
        self.pass(Duration::from_secs(2));
        host
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

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
    let mut world = World::new();
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
    let mut world = World::new();
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
    let mut world = World::new();
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
