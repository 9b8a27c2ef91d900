//! Every message of every exchange, cut at every length and flipped in every octet.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::time::Duration;

use claviger_hip::{
    CertificateChain, Certificates, Error, PeerMisbehaved,
    iana::{PacketType, ParameterType},
    verification::Limits,
    wire::Packet,
};
use claviger_hip_groups::Event;
use claviger_identity::Hit;
use claviger_sansio::{Datagram, Socket, Transmit};

use support::*;

/// A message on its way, and what its delivery brings about.
struct Scene {
    name: &'static str,
    prepare: fn() -> (Pair, Transmit, Towards),
    /// Whether the genuine message has done its work.
    succeeded: fn(&mut Pair) -> bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Member,
    Server,
}

impl Towards {
    fn side(self, pair: &mut Pair) -> &mut Side {
        match self {
            Self::Member => &mut pair.member,
            Self::Server => &mut pair.server,
        }
    }

    fn peer(self, pair: &Pair) -> Hit {
        match self {
            Self::Member => pair.server.hit(),
            Self::Server => pair.member.hit(),
        }
    }

    fn hears(self, pair: &mut Pair, transmit: &Transmit, octets: &[u8]) -> Result<(), Error> {
        let now = pair.now;
        let source = match self {
            Self::Member => pair.server.address,
            Self::Server => pair.member.address,
        };
        let side = self.side(pair);
        let destination = side.address;
        let datagram = Datagram { socket: transmit.socket, source, destination, payload: octets };
        side.host.handle_datagram(now, datagram)
    }
}

/// A pair that tolerates any number of attempts, so that the limits do not hide what stands behind them.
fn patient_pair() -> Pair {
    let mut server = server_config();
    server.failed_i2_max = u32::MAX;
    server.public_key_limits = Limits::UNLIMITED;
    server.notify_per_second_max = 0;
    let mut member = member_config();
    member.public_key_limits = Limits::UNLIMITED;
    member.notify_per_second_max = 0;
    Pair::new(member, server)
}

/// One in which both sides show certificates.
fn certified_pair() -> Pair {
    let mut pair = patient_pair();
    pair.member.host.set_certificates(member_chains()).unwrap();
    pair.server.host.set_certificates(server_chains()).unwrap();
    pair
}

fn member_chains() -> Vec<CertificateChain> {
    vec![chain(1, 2, 100), chain(2, 1, 90)]
}

fn server_chains() -> Vec<CertificateChain> {
    vec![chain(3, 2, 95)]
}

fn established(mut pair: Pair) -> Pair {
    pair.establish(Some(join(&["one"])));
    pair.member.take_events();
    pair.server.take_events();
    pair
}

/// Runs a base exchange up to its message number `step`.
fn base_exchange(mut pair: Pair, step: usize) -> (Pair, Transmit, Towards) {
    pair.connect(Some(join(&["one"])));
    for number in 0..step {
        let (sender, towards) = if number % 2 == 0 {
            (pair.member.hit(), Towards::Member)
        } else {
            (pair.server.hit(), Towards::Server)
        };
        let transmit =
            if number % 2 == 0 { pair.member.transmits() } else { pair.server.transmits() }.remove(0);
        if number + 1 == step {
            let towards = if towards == Towards::Member { Towards::Server } else { Towards::Member };
            pair.server.take_events();
            return (pair, transmit, towards);
        }
        pair.deliver(sender, &transmit);
        pair.decide_requests();
    }
    unreachable!("a base exchange has four messages")
}

/// Runs an UPDATE exchange begun by `begin` up to its message number `step`.
fn later(step: usize, begins: Towards, begin: fn(&mut Pair)) -> (Pair, Transmit, Towards) {
    later_of(established(patient_pair()), step, begins, begin)
}

fn later_of(mut pair: Pair, step: usize, begins: Towards, begin: fn(&mut Pair)) -> (Pair, Transmit, Towards) {
    begin(&mut pair);
    let mut towards = if begins == Towards::Member { Towards::Server } else { Towards::Member };
    for number in 1.. {
        let (sender, transmit) = match towards {
            Towards::Server => (pair.member.hit(), pair.member.transmits().remove(0)),
            Towards::Member => (pair.server.hit(), pair.server.transmits().remove(0)),
        };
        if number == step {
            pair.member.take_events();
            pair.server.take_events();
            return (pair, transmit, towards);
        }
        pair.deliver(sender, &transmit);
        pair.decide_requests();
        towards = if towards == Towards::Member { Towards::Server } else { Towards::Member };
    }
    unreachable!("the loop returns")
}

fn request_two(pair: &mut Pair) {
    pair.member.host.request(pair.now, pair.server.hit(), join(&["two"])).unwrap();
}

fn revoke_one(pair: &mut Pair) {
    pair.server.host.revoke(pair.now, pair.member.hit(), GDOI, vec![group("one", HOUR)]).unwrap();
}

fn close(pair: &mut Pair) {
    pair.member.host.close(pair.now, pair.server.hit()).unwrap();
}

/// The member is at another address.
fn move_away(pair: &mut Pair) {
    let from = std::mem::replace(&mut pair.member.address, ([198, 51, 100, 7], 10500).into());
    pair.member.host.readdress(pair.now, pair.server.hit(), from.ip(), pair.member.address.ip()).unwrap();
}

fn followed(pair: &mut Pair) -> bool {
    let (member, server) = (pair.member.hit(), pair.server.hit());
    let info = pair.server.host.association(&member).unwrap();
    info.address == pair.member.address && pair.member.host.association(&server).is_some()
}

/// Whether a side was shown these certificates with a request or an answer.
fn shows(side: &mut Side, chains: &[CertificateChain]) -> bool {
    let shown = Certificates::Chains(chains.to_vec());
    side.events.extend(std::iter::from_fn(|| side.host.poll_event()));
    side.events.iter().any(|event| match event {
        Event::RegistrationRequested { certificates, .. } | Event::Registered { certificates, .. } => {
            *certificates == shown
        }
        _ => false,
    })
}

fn renew(pair: &mut Pair) {
    pair.now = pair.now + Duration::from_secs(2);
    pair.server.host.rekey(pair.now, pair.member.hit()).unwrap();
}

/// Both sides use new keys, and know no others.
fn renewed(pair: &mut Pair) -> bool {
    let (member, server) = (pair.member.hit(), pair.server.hit());
    let at = |side: &Side, peer| side.host.association(&peer).and_then(|info| info.keyed_at);
    pair.keys_agree()
        && at(&pair.member, server) == Some(pair.now)
        && at(&pair.server, member) == Some(pair.now)
        && pair.member.host.other_registration(&server, GDOI).is_none()
        && pair.server.host.other_registration(&member, GDOI).is_none()
}

const SCENES: [Scene; 23] = [
    Scene { name: "I1", prepare: || base_exchange(patient_pair(), 1), succeeded: |pair| pair.keys_agree() },
    Scene { name: "R1", prepare: || base_exchange(patient_pair(), 2), succeeded: |pair| pair.keys_agree() },
    Scene { name: "I2", prepare: || base_exchange(patient_pair(), 3), succeeded: |pair| pair.keys_agree() },
    Scene { name: "R2", prepare: || base_exchange(patient_pair(), 4), succeeded: |pair| pair.keys_agree() },
    Scene {
        name: "I2 with certificates",
        prepare: || base_exchange(certified_pair(), 3),
        succeeded: |pair| pair.keys_agree() && shows(&mut pair.server, &member_chains()),
    },
    Scene {
        name: "R2 with certificates",
        prepare: || base_exchange(certified_pair(), 4),
        succeeded: |pair| pair.keys_agree() && shows(&mut pair.member, &server_chains()),
    },
    Scene {
        name: "UPDATE request with certificates",
        prepare: || later_of(established(certified_pair()), 1, Towards::Member, request_two),
        succeeded: |pair| shows(&mut pair.server, &member_chains()),
    },
    Scene {
        name: "UPDATE answer with certificates",
        prepare: || later_of(established(certified_pair()), 2, Towards::Member, request_two),
        succeeded: |pair| shows(&mut pair.member, &server_chains()),
    },
    Scene {
        name: "UPDATE request",
        prepare: || later(1, Towards::Member, request_two),
        succeeded: |pair| told(&mut pair.member, "registered"),
    },
    Scene {
        name: "UPDATE answer",
        prepare: || later(2, Towards::Member, request_two),
        succeeded: |pair| told(&mut pair.member, "registered"),
    },
    Scene {
        name: "UPDATE acknowledgement",
        prepare: || later(3, Towards::Member, request_two),
        // An answer that is not acknowledged is sent again.
        succeeded: |pair| {
            pair.log.clear();
            pair.pass(Duration::from_secs(30), |_, _| true);
            pair.log.is_empty()
        },
    },
    Scene {
        name: "UPDATE eviction",
        prepare: || later(1, Towards::Server, revoke_one),
        succeeded: |pair| told(&mut pair.member, "revoked"),
    },
    Scene {
        name: "UPDATE eviction acknowledgement",
        prepare: || later(2, Towards::Server, revoke_one),
        succeeded: |pair| told(&mut pair.server, "revoke_acknowledged"),
    },
    Scene {
        name: "UPDATE move",
        prepare: || later(1, Towards::Member, move_away),
        succeeded: |pair| told(&mut pair.member, "move_acknowledged") && followed(pair),
    },
    Scene {
        name: "UPDATE verification",
        prepare: || later(2, Towards::Member, move_away),
        succeeded: |pair| told(&mut pair.member, "move_acknowledged") && followed(pair),
    },
    Scene { name: "UPDATE verified", prepare: || later(3, Towards::Member, move_away), succeeded: followed },
    Scene { name: "UPDATE renewal", prepare: || later(1, Towards::Server, renew), succeeded: renewed },
    Scene { name: "UPDATE renewal answer", prepare: || later(2, Towards::Server, renew), succeeded: renewed },
    Scene {
        name: "UPDATE renewal confirmation",
        prepare: || later(3, Towards::Server, renew),
        succeeded: renewed,
    },
    Scene {
        name: "UPDATE renewal acknowledgement",
        prepare: || later(4, Towards::Server, renew),
        succeeded: renewed,
    },
    Scene {
        name: "CLOSE",
        prepare: || later(1, Towards::Member, close),
        succeeded: |pair| told(&mut pair.server, "closed"),
    },
    Scene {
        name: "CLOSE_ACK",
        prepare: || later(2, Towards::Member, close),
        succeeded: |pair| told(&mut pair.member, "closed"),
    },
    Scene { name: "NOTIFY", prepare: notified, succeeded: |pair| told(&mut pair.member, "notified") },
];

/// A server under load refuses an I2 by NOTIFY.
fn notified() -> (Pair, Transmit, Towards) {
    let mut server = server_config();
    server.associations_max = 0;
    let mut member = member_config();
    member.public_key_limits = Limits::UNLIMITED;
    let mut pair = Pair::new(member, server);
    pair.connect(None);
    for _ in 0..3 {
        pair.run_with(|_, octets| octets[2] != PacketType::NOTIFY.0);
    }
    let (_, octets) = pair.log.pop().unwrap();
    assert_eq!(octets[2], PacketType::NOTIFY.0);
    let transmit =
        Transmit { socket: Socket::HipUdp, source: None, destination: pair.member.address, payload: octets };
    (pair, transmit, Towards::Member)
}

/// What must happen when an octet is changed that no checksum, MAC or signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The message is answered or refused, and forgotten either way.
    Forgotten,
    /// The message is taken as if nothing had happened, and the genuine one after it changes nothing.
    AsGenuine,
    /// The I2 that follows is refused by its puzzle; the exchange succeeds with another R1.
    PuzzleRefused,
}

/// The octets of each message that nothing covers where HIP runs on UDP. (On IP protocol 139 the checksum covers every
/// octet.)
struct Uncovered {
    message: &'static str,
    field: &'static str,
    section: &'static str,
    octets: fn(&Packet<'_>) -> std::ops::Range<usize>,
    outcome: Outcome,
}

const fn signature_padding_of(message: &'static str) -> Uncovered {
    Uncovered {
        message,
        field: "padding of HIP_SIGNATURE",
        section: "RFC 7401 section 5.2.1: values of padding are not checked",
        octets: signature_padding,
        outcome: Outcome::AsGenuine,
    }
}

const UNCOVERED: &[Uncovered] = &[
    Uncovered {
        message: "I1",
        field: "all of it",
        section: "RFC 7401 section 5.3.1: I1 is neither signed nor keyed",
        octets: |packet| 0..packet.octets().len(),
        outcome: Outcome::Forgotten,
    },
    Uncovered {
        message: "R1",
        field: "PUZZLE: Opaque and #I",
        section: "RFC 7401 section 5.2.4: filled in after signing",
        octets: |packet| {
            let raw = packet.parameters().raw(ParameterType::PUZZLE).unwrap();
            raw.offset() + 4 + 2..raw.offset() + 4 + raw.contents().len()
        },
        outcome: Outcome::PuzzleRefused,
    },
    Uncovered {
        message: "R1",
        field: "padding of HIP_SIGNATURE_2",
        section: "RFC 7401 section 5.2.1: values of padding are not checked",
        octets: |packet| padding(packet, ParameterType::HIP_SIGNATURE_2),
        outcome: Outcome::AsGenuine,
    },
    signature_padding_of("I2"),
    signature_padding_of("R2"),
    signature_padding_of("I2 with certificates"),
    signature_padding_of("R2 with certificates"),
    signature_padding_of("UPDATE request with certificates"),
    signature_padding_of("UPDATE answer with certificates"),
    signature_padding_of("UPDATE request"),
    signature_padding_of("UPDATE answer"),
    signature_padding_of("UPDATE acknowledgement"),
    signature_padding_of("UPDATE eviction"),
    signature_padding_of("UPDATE eviction acknowledgement"),
    signature_padding_of("UPDATE move"),
    signature_padding_of("UPDATE verification"),
    signature_padding_of("UPDATE verified"),
    signature_padding_of("UPDATE renewal"),
    signature_padding_of("UPDATE renewal answer"),
    signature_padding_of("UPDATE renewal confirmation"),
    signature_padding_of("UPDATE renewal acknowledgement"),
    signature_padding_of("CLOSE"),
    signature_padding_of("CLOSE_ACK"),
    signature_padding_of("NOTIFY"),
];

fn uncovered(scene: &Scene, octets: &[u8], position: usize) -> Option<Outcome> {
    let packet = Packet::parse(octets).unwrap();
    let row =
        UNCOVERED.iter().find(|row| row.message == scene.name && (row.octets)(&packet).contains(&position));
    row.map(|row| row.outcome)
}

/// Damaged messages have no effect; then the genuine one succeeds.
fn withstands(scene: &Scene, damage: impl Fn(&[u8]) -> Vec<(String, Vec<u8>)>) {
    let (mut pair, transmit, towards) = (scene.prepare)();
    let peer = towards.peer(&pair);
    let before = fingerprint(towards.side(&mut pair), &peer);
    for (what, octets) in damage(&transmit.payload) {
        let result = towards.hears(&mut pair, &transmit, &octets);
        assert!(result.is_err(), "{} with {what} is taken", scene.name);
        let side = towards.side(&mut pair);
        assert_eq!(fingerprint(side, &peer), before, "{} with {what}", scene.name);
        assert!(side.take_events().is_empty(), "{} with {what}", scene.name);
        assert!(side.transmits().is_empty(), "{} with {what} is answered", scene.name);
    }
    assert_eq!(towards.hears(&mut pair, &transmit, &transmit.payload), Ok(()), "{}", scene.name);
    pair.run();
    assert!((scene.succeeded)(&mut pair), "the genuine {} afterwards", scene.name);
}

#[test]
fn every_message_cut_at_every_length_has_no_effect() {
    for scene in &SCENES {
        withstands(scene, |octets| {
            (0..octets.len()).map(|length| (format!("{length} octets"), octets[..length].to_vec())).collect()
        });
    }
}

#[test]
fn every_message_with_octets_behind_it_has_no_effect() {
    for scene in &SCENES {
        withstands(scene, |octets| {
            (1..20).map(|more| (format!("{more} more octets"), [octets, &vec![0; more]].concat())).collect()
        });
    }
}

#[test]
fn every_covered_octet_flipped_has_no_effect() {
    for scene in &SCENES {
        withstands(scene, |octets| {
            let covered = (0..octets.len()).filter(|&position| uncovered(scene, octets, position).is_none());
            let flips = covered.flat_map(|position| [0x01, 0x80, 0xff].map(|flip| (position, flip)));
            flips
                .map(|(position, flip)| {
                    let mut octets = octets.to_vec();
                    octets[position] ^= flip;
                    (format!("octet {position} flipped by {flip:#x}"), octets)
                })
                .collect()
        });
    }
}

#[test]
fn every_octet_that_nothing_covers_has_its_named_outcome() {
    for scene in &SCENES {
        let (_, transmit, _) = (scene.prepare)();
        let positions: Vec<usize> = (0..transmit.payload.len())
            .filter(|&position| uncovered(scene, &transmit.payload, position).is_some())
            .collect();
        assert!(!positions.is_empty(), "{}: a message without uncovered octets needs no row", scene.name);
        for position in positions {
            flip_uncovered(scene, position);
        }
    }
    for row in UNCOVERED {
        assert!(
            SCENES.iter().any(|scene| scene.name == row.message),
            "{}: {} ({})",
            row.message,
            row.field,
            row.section
        );
    }
}

fn flip_uncovered(scene: &Scene, position: usize) {
    let (mut pair, transmit, towards) = (scene.prepare)();
    let mut octets = transmit.payload.clone();
    octets[position] ^= 0xff;
    let outcome = uncovered(scene, &transmit.payload, position).unwrap();
    let context = format!("{} octet {position}", scene.name);
    let result = towards.hears(&mut pair, &transmit, &octets);
    match outcome {
        Outcome::Forgotten => {
            assert_eq!(towards.side(&mut pair).host.associations().count(), 0, "{context}");
            assert!(towards.side(&mut pair).take_events().is_empty(), "{context}");
            // An R1 that answers it goes astray.
            towards.side(&mut pair).transmits();
            towards.hears(&mut pair, &transmit, &transmit.payload).unwrap();
            pair.run();
            assert!((scene.succeeded)(&mut pair), "{context}");
        }
        Outcome::AsGenuine => {
            assert_eq!(result, Ok(()), "{context}");
            pair.run();
            let peer = towards.peer(&pair);
            let before = fingerprint(towards.side(&mut pair), &peer);
            let events = pair.member.events.len() + pair.server.events.len();
            // The genuine message is late: it is refused, or answered as its double was.
            let _ = towards.hears(&mut pair, &transmit, &transmit.payload);
            pair.run();
            assert_eq!(fingerprint(towards.side(&mut pair), &peer), before, "{context}");
            if scene.name != "NOTIFY" {
                assert_eq!(pair.member.events.len() + pair.server.events.len(), events, "{context}");
            }
            assert!((scene.succeeded)(&mut pair), "{context}");
        }
        Outcome::PuzzleRefused => {
            assert_eq!(result, Ok(()), "{context}");
            pair.run();
            let foreign: Error = PeerMisbehaved::PuzzleForeign.into();
            assert_eq!(pair.server.errors, [foreign], "{context}");
            assert_eq!(pair.server.host.associations().count(), 0, "{context}");
            // Unanswered I2s bring a new R1, and with it a genuine #I.
            pair.pass(Duration::from_secs(20), |_, _| true);
            assert!((scene.succeeded)(&mut pair), "{context}");
        }
    }
}

/// On IP protocol 139 nothing is left uncovered.
#[test]
fn every_octet_flipped_on_protocol_139_is_refused_by_the_checksum_or_before() {
    let mut pair = patient_pair();
    let (peer, address) = (pair.server.hit(), pair.server.address);
    pair.member.host.connect(pair.now, peer, address, Socket::HipRaw, Some(join(&["one"]))).unwrap();
    let mut towards = Towards::Server;
    for number in 0..4 {
        let transmit = match towards {
            Towards::Server => pair.member.transmits().remove(0),
            Towards::Member => pair.server.transmits().remove(0),
        };
        for position in 0..transmit.payload.len() {
            for flip in [0x01, 0xff] {
                let mut octets = transmit.payload.clone();
                octets[position] ^= flip;
                let result = towards.hears(&mut pair, &transmit, &octets);
                assert!(result.is_err(), "message {number} octet {position}");
            }
        }
        towards.hears(&mut pair, &transmit, &transmit.payload).unwrap();
        pair.decide_requests();
        towards = if towards == Towards::Server { Towards::Member } else { Towards::Server };
    }
    assert!(pair.keys_agree());
}
