//! What the leases of ten thousand senders cost a key server, beside the bare cost of its cryptography in the same run.
//!
//! `cargo bench -p claviger-gcks --bench leases -- --senders 10000`

#![allow(missing_docs, reason = "a benchmark has no users")]

mod world;

use std::{hint::black_box, net::SocketAddr, time::Duration};

use claviger_crypto::{hash::HashAlgorithm, provider};
use claviger_group::Role;
use claviger_isakmp::{iana::ExchangeType, wire::header};
use claviger_sansio::{Datagram, Socket};
use world::{Host, World, time};

/// The senders, unless the command line says how many.
const SENDERS: usize = 10_000;

/// The default lease, and after what part of it a sender asks: a third, and a twenty-fourth more by chance.
const LEASE: Duration = Duration::from_secs(600);
const ASKS_AFTER: f64 = 1.0 / 3.0 + 1.0 / 24.0;

/// The octets of UDP and IPv4 around each message.
const HEADERS: usize = 28;

/// How often all of them ask.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let said = arguments.iter().position(|argument| argument == "--senders");
    let senders = said.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(SENDERS);
    let mut world = World::new(Role::Both);
    let mut hosts: Vec<Host> = (0..senders).map(|_| world.join()).collect();

    let (mut spent, mut bare, mut asked, mut octets, mut answered) =
        (Duration::ZERO, Duration::ZERO, 0, 0, 0);
    for _ in 0..ROUNDS {
        world.pass(LEASE);
        let requests: Vec<_> = hosts.iter_mut().filter_map(|host| request(&world, host)).collect();
        asked += requests.len();
        octets += requests.iter().map(|(_, request)| request.len()).sum::<usize>();
        spent += time(|| {
            // A step for each, as under a light load; a busy server takes many at once.
            for (source, request) in &requests {
                let (socket, destination) = (Socket::Port848, SocketAddr::from(([10, 0, 0, 1], 848)));
                let datagram = Datagram { socket, source: *source, destination, payload: request };
                world.gcks.handle_datagram(world.now, datagram).expect("a genuine request");
                answered += world.commit().0.len();
            }
        });
        // A HASH is computed to check the request, and one for the answer.
        let prf = provider().prf(HashAlgorithm::Sha384).expect("the provider has it");
        bare += time(|| {
            for (_, request) in &requests {
                for _ in 0..2 {
                    black_box(prf.prf(&[7; 48], &[&request[..28], &request[80..]]));
                }
            }
        });
    }
    let each = |total: Duration| total.as_secs_f64() * 1e6 / asked as f64;
    let a_second = senders as f64 / (LEASE.as_secs_f64() * ASKS_AFTER);
    let length = octets / asked;
    println!(
        "a request for a lease: {:.1} us, bare cryptography {:.1} us, ratio {:.2}; {length} octets each way",
        each(spent),
        each(bare),
        each(spent) / each(bare)
    );
    println!(
        "{senders} senders with leases of {} s: {a_second:.0} requests a second, {:.3} % of one core, {:.0} octets a second each way with headers",
        LEASE.as_secs(),
        a_second * each(spent) / 1e4,
        a_second * (length + HEADERS) as f64
    );
    assert_eq!(answered, asked, "each is answered");
}

/// Has a host ask for its lease.
fn request(world: &World, host: &mut Host) -> Option<(SocketAddr, Vec<u8>)> {
    host.member.handle_timeout(world.now);
    let sent = std::iter::from_fn(|| host.member.poll_transmit());
    let is_lease =
        |octets: &[u8]| header::peek(octets).is_some_and(|(exchange, _)| exchange == ExchangeType::LEASE);
    sent.map(|transmit| transmit.payload)
        .filter(|octets| is_lease(octets))
        .last()
        .map(|octets| (host.address, octets))
}
