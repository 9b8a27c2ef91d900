//! Seals and opens 1400-octet payloads, each beside the bare algorithms over the same octets.
//!
//! After criterion's figures a table gives the ratio of the two, measured alternately in this run.

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use claviger_crypto::{SeededRandom, hash::HashAlgorithm, provider};
use claviger_esp::{InboundSa, OutboundSa, SenderId};
use claviger_group::{Channel, Encapsulation, EspTransform, Spi, Tek, tek::TekKeys, transform::EspCipher};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

const PAYLOAD_LEN: usize = 1400;

/// How many packets are sealed before they are opened, one after the other, at each round.
const ROUND: usize = 256;

const ROUNDS: usize = 400;

fn tek(transform: EspTransform) -> Tek {
    Tek {
        spi: Spi::new(0x1000).expect("the SPI is above 255"),
        transform,
        keys: TekKeys::generate(transform, &mut SeededRandom::new(1)),
        channel: Channel::new([239, 192, 0, 1].into(), None).expect("the address is multicast"),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: Duration::from_secs(3600),
    }
}

/// One packet's cryptography and nothing else: no header, no copy of the payload, no window.
type Bare = Box<dyn FnMut(&mut Vec<u8>)>;

/// The bare cost of sealing and of opening what it sealed; the buffer is the payload, then the ciphertext.
fn bare(transform: EspTransform) -> (Bare, Bare) {
    let keys = tek(transform).keys;
    let encryption = keys.encryption.expose();
    let body_len = (PAYLOAD_LEN + 2).next_multiple_of(if transform.is_counter_mode() { 4 } else { 16 });
    match transform.cipher() {
        EspCipher::Aead(algorithm) => {
            let key = || {
                let aead = provider().aead(algorithm).expect("the provider has it");
                aead.key(&encryption[..algorithm.key_len()]).expect("the key's length is right")
            };
            let (sealing, opening) = (key(), key());
            let seal = move |octets: &mut Vec<u8>| {
                octets.resize(body_len, 0);
                let tag = sealing.seal(&[7; 12], &[0; 8], octets).expect("the length is right");
                octets.extend_from_slice(&tag);
            };
            let open = move |octets: &mut Vec<u8>| {
                opening.open(&[7; 12], &[0; 8], octets).expect("it was sealed just now");
            };
            (Box::new(seal), Box::new(open))
        }
        EspCipher::CbcHmac(algorithm) => {
            let key = || {
                let cipher = provider().cipher(algorithm).expect("the provider has it");
                cipher.key(encryption).expect("the key's length is right")
            };
            let (sealing, opening) = (key(), key());
            let mac = provider().prf(HashAlgorithm::Sha256).expect("the provider has it");
            let (seal_mac_key, open_mac_key) = (keys.integrity.clone(), keys.integrity);
            let seal = move |octets: &mut Vec<u8>| {
                octets.resize(body_len, 0);
                sealing.encrypt(&[7; 16], octets).expect("the length is right");
                let tag = mac.prf(seal_mac_key.expose(), &[octets]);
                octets.extend_from_slice(&tag[..16]);
            };
            let open = move |octets: &mut Vec<u8>| {
                let (body, tag) = octets.split_at_mut(body_len);
                assert!(mac.verify(open_mac_key.expose(), &[body], tag, 16));
                opening.decrypt(&[7; 16], body).expect("the length is right");
            };
            (Box::new(seal), Box::new(open))
        }
    }
}

fn pair(transform: EspTransform) -> (OutboundSa, InboundSa) {
    let tek = tek(transform);
    let id = SenderId::new(16, 1).expect("1 fits 16 bits");
    let outbound = OutboundSa::new(provider(), &tek, Some(id)).expect("the keys fit");
    (outbound, InboundSa::new(provider(), &tek, 16).expect("the keys fit"))
}

fn esp(c: &mut Criterion) {
    let source = [192, 0, 2, 1].into();
    let payload = [0x5a; PAYLOAD_LEN];
    let mut group = c.benchmark_group("esp");
    group.throughput(Throughput::Bytes(PAYLOAD_LEN as u64)).measurement_time(Duration::from_secs(2));
    for transform in EspTransform::ALL {
        let (mut sealing, _) = pair(transform);
        let (mut outbound, mut inbound) = pair(transform);
        let mut random = SeededRandom::new(1);
        group.bench_function(BenchmarkId::new("seal", transform), |b| {
            b.iter(|| sealing.seal(&mut random, 17, black_box(&payload)).expect("numbers are left"));
        });
        group.bench_function(BenchmarkId::new("open", transform), |b| {
            b.iter_batched(
                || outbound.seal(&mut random, 17, &payload).expect("numbers are left"),
                |esp| inbound.open(source, black_box(&esp)).expect("it was sealed just now"),
                criterion::BatchSize::NumIterations(ROUND as u64),
            );
        });
        let (mut seal, mut open) = bare(transform);
        group.bench_function(BenchmarkId::new("seal, bare cryptography", transform), |b| {
            b.iter_batched_ref(|| payload_buffer(&payload), &mut seal, criterion::BatchSize::SmallInput);
        });
        let mut sealed = payload_buffer(&payload);
        seal(&mut sealed);
        group.bench_function(BenchmarkId::new("open, bare cryptography", transform), |b| {
            b.iter_batched_ref(|| sealed.clone(), &mut open, criterion::BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn payload_buffer(payload: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(PAYLOAD_LEN + 64);
    buffer.extend_from_slice(payload);
    buffer
}

criterion_group!(benches, esp);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Without this argument cargo only tries whether benchmarks run.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("\n{PAYLOAD_LEN} octets, each beside its bare cryptography in the same run:");
    println!(
        "{:<20} {:>10} {:>10} {:>6}   {:>10} {:>10} {:>6}",
        "", "seal", "bare", "ratio", "open", "bare", "ratio"
    );
    for transform in EspTransform::ALL {
        let Costs { seal, bare_seal, open, bare_open } = costs(transform);
        println!(
            "{:<20} {seal:>7.0} ns {bare_seal:>7.0} ns {:>6.2}   {open:>7.0} ns {bare_open:>7.0} ns {:>6.2}",
            transform.to_string(),
            seal / bare_seal,
            open / bare_open,
        );
    }
}

/// Nanoseconds a packet.
struct Costs {
    seal: f64,
    bare_seal: f64,
    open: f64,
    bare_open: f64,
}

/// Measures the four costs in turns, so that whatever else the machine does meets all of them alike.
fn costs(transform: EspTransform) -> Costs {
    let payload = [0x5a; PAYLOAD_LEN];
    let source = [192, 0, 2, 1].into();
    let (mut outbound, mut inbound) = pair(transform);
    let (mut bare_seal, mut bare_open) = bare(transform);
    let mut random = SeededRandom::new(1);
    let mut totals = [Duration::ZERO; 4];
    for _ in 0..ROUNDS {
        let sealed: Vec<_> = timed(&mut totals[0], || {
            (0..ROUND)
                .map(|_| outbound.seal(&mut random, 17, black_box(&payload)).expect("numbers are left"))
                .collect()
        });
        let mut buffers: Vec<_> = (0..ROUND).map(|_| payload_buffer(&payload)).collect();
        timed(&mut totals[1], || buffers.iter_mut().for_each(&mut bare_seal));
        timed(&mut totals[2], || {
            for esp in &sealed {
                black_box(inbound.open(source, esp).expect("it was sealed just now"));
            }
        });
        timed(&mut totals[3], || buffers.iter_mut().for_each(&mut bare_open));
        black_box(buffers);
    }
    let [seal, bare_seal, open, bare_open] =
        totals.map(|total| total.as_secs_f64() * 1e9 / (ROUNDS * ROUND) as f64);
    Costs { seal, bare_seal, open, bare_open }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *total += start.elapsed();
    result
}
