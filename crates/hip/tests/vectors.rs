//! Exchanges that other implementations made: every packet is read, written again octet for octet, and verified.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use claviger_crypto::provider;
use claviger_hip::{
    NoItem,
    iana::{PacketType, ParameterType},
    puzzle, rules,
    verification::{Budget, Class, Limits, Permit},
    wire::{
        Ack, DhGroupList, DiffieHellman, EspInfo, EspTransform, HipCipher, HipMac, HipMac2, HipSignature,
        HipSignature2, HitSuiteList, Packet, PacketBuilder, Parameter, Puzzle, RawParameter, Seq, Solution,
        TransportFormatList, checksum,
    },
};
use claviger_identity::{HiAlgorithm, Hit, HitSuite, HostId};
use claviger_sansio::Time;
use claviger_testkit::pcap::{self, IpPacket};
use claviger_wire::Decode;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures");
const HIP: u8 = 139;

/// Leave to verify one signature.
fn permit() -> Permit {
    Budget::new(Class::R1).permit(&Limits::UNLIMITED, Time::EPOCH).unwrap()
}

/// What a capture is known to hold.
struct Vector {
    file: &'static str,
    suite: HitSuite,
    algorithm: HiAlgorithm,
    difficulty: u8,
    /// The KEYMAT Index of ESP_INFO: what AES-256-CBC and RHASH drew before.
    keymat_index: u16,
    types: &'static [PacketType],
}

const VECTORS: [Vector; 2] = [
    Vector {
        file: "hip2-ecdsa-p384.pcap",
        suite: HitSuite::EcdsaSha384,
        algorithm: HiAlgorithm::ECDSA,
        difficulty: 12,
        keymat_index: 2 * (32 + 48),
        types: &[
            PacketType::I1,
            PacketType::R1,
            PacketType::I2,
            PacketType::R2,
            PacketType::UPDATE,
            PacketType::UPDATE,
            PacketType::UPDATE,
            PacketType::UPDATE,
        ],
    },
    Vector {
        file: "hip2-rsa-2048.pcap",
        suite: HitSuite::RsaDsaSha256,
        algorithm: HiAlgorithm::RSA,
        difficulty: 10,
        keymat_index: 2 * (32 + 32),
        types: &[PacketType::I1, PacketType::R1, PacketType::I2, PacketType::R2],
    },
];

/// Reads the HIP packets of every capture; nothing if the folder of captures is not there.
fn captures() -> Vec<(&'static Vector, Vec<IpPacket>)> {
    if !Path::new(CAPTURES).is_dir() {
        println!("no folder of captures: these vectors are not run");
        return Vec::new();
    }
    let read = |vector: &'static Vector| {
        let mut packets = pcap::read(&Path::new(CAPTURES).join(vector.file)).expect(vector.file);
        packets.retain(|packet| packet.protocol == HIP);
        (vector, packets)
    };
    VECTORS.iter().map(read).collect()
}

/// Finds the one packet of a type.
fn packet_of(packets: &[IpPacket], packet_type: PacketType) -> Packet<'_> {
    let mut all = packets.iter().map(|packet| Packet::parse(&packet.payload).unwrap());
    all.find(|packet| packet.packet_type() == packet_type).unwrap()
}

/// Writes a parameter again from what was understood of it.
fn rewrite(builder: &mut PacketBuilder, raw: &RawParameter<'_>) {
    fn one<P: Parameter>(builder: &mut PacketBuilder, raw: &RawParameter<'_>) {
        builder.add(&P::from_octets(raw.contents()).unwrap());
    }
    match raw.parameter_type() {
        ParameterType::ACK => one::<Ack>(builder, raw),
        ParameterType::DH_GROUP_LIST => one::<DhGroupList>(builder, raw),
        ParameterType::DIFFIE_HELLMAN => one::<DiffieHellman>(builder, raw),
        ParameterType::ESP_INFO => one::<EspInfo>(builder, raw),
        ParameterType::ESP_TRANSFORM => one::<EspTransform>(builder, raw),
        ParameterType::HIP_CIPHER => one::<HipCipher>(builder, raw),
        ParameterType::HIP_MAC => one::<HipMac>(builder, raw),
        ParameterType::HIP_MAC_2 => one::<HipMac2>(builder, raw),
        ParameterType::HIP_SIGNATURE => one::<HipSignature>(builder, raw),
        ParameterType::HIP_SIGNATURE_2 => one::<HipSignature2>(builder, raw),
        ParameterType::HIT_SUITE_LIST => one::<HitSuiteList>(builder, raw),
        ParameterType::HOST_ID => one::<HostId>(builder, raw),
        ParameterType::PUZZLE => one::<Puzzle>(builder, raw),
        ParameterType::SEQ => one::<Seq>(builder, raw),
        ParameterType::SOLUTION => one::<Solution>(builder, raw),
        ParameterType::TRANSPORT_FORMAT_LIST => one::<TransportFormatList>(builder, raw),
        other => panic!("no capture holds {other}"),
    }
}

#[test]
fn captures_hold_the_exchanges_that_their_list_says() {
    for (vector, packets) in captures() {
        let types: Vec<PacketType> =
            packets.iter().map(|packet| Packet::parse(&packet.payload).unwrap().packet_type()).collect();
        assert_eq!(types, vector.types, "{}", vector.file);
    }
}

#[test]
fn every_packet_is_written_again_octet_for_octet() {
    for (vector, packets) in captures() {
        for ip in packets {
            let packet = Packet::parse(&ip.payload).unwrap();
            let mut builder = PacketBuilder::new(packet.packet_type(), packet.sender(), packet.receiver());
            builder.controls(packet.controls());
            packet.parameters().iter().for_each(|raw| rewrite(&mut builder, raw));
            let mut octets = builder.finish().unwrap();
            checksum::write(&mut octets, ip.source, ip.destination);
            assert_eq!(octets, ip.payload, "{} {}", vector.file, packet.packet_type());
        }
    }
}

#[test]
fn every_packet_obeys_the_rules_and_its_checksum() {
    for (vector, packets) in captures() {
        for ip in packets {
            let packet = Packet::parse(&ip.payload).unwrap();
            assert_eq!(rules::check::<NoItem>(&packet), Ok(()), "{} {}", vector.file, packet.packet_type());
            assert!(packet.verify_checksum(ip.source, ip.destination));
            assert!(!packet.has_zero_checksum());
        }
    }
}

#[test]
fn host_identities_hash_to_the_hits_of_their_packets() {
    for (vector, packets) in captures() {
        for packet_type in [PacketType::R1, PacketType::I2] {
            let packet = packet_of(&packets, packet_type);
            let host_id: HostId = packet.one().unwrap();
            assert_eq!(host_id.hit(provider()), Ok(packet.sender()), "{} {packet_type}", vector.file);
            assert_eq!(HitSuite::of_hit(packet.sender()), Some(vector.suite));
            assert_eq!(host_id.algorithm(), vector.algorithm);
        }
    }
}

#[test]
fn signatures_verify_by_their_sender_only() {
    for (vector, packets) in captures() {
        let responder: HostId = packet_of(&packets, PacketType::R1).one().unwrap();
        let initiator: HostId = packet_of(&packets, PacketType::I2).one().unwrap();
        let mut verified = 0;
        for ip in &packets {
            let packet = Packet::parse(&ip.payload).unwrap();
            let (sender, other) = if responder.hit(provider()) == Ok(packet.sender()) {
                (&responder, &initiator)
            } else {
                (&initiator, &responder)
            };
            match packet.packet_type() {
                PacketType::I1 => continue,
                PacketType::R1 => {
                    assert_eq!(
                        packet.verify_signature_2(permit(), provider(), sender).map(drop),
                        Ok(()),
                        "{}",
                        vector.file
                    );
                    assert!(packet.verify_signature_2(permit(), provider(), other).is_err());
                }
                packet_type => {
                    assert_eq!(
                        packet.verify_signature(permit(), provider(), sender).map(drop),
                        Ok(()),
                        "{} {packet_type}",
                        vector.file
                    );
                    assert!(packet.verify_signature(permit(), provider(), other).is_err());
                }
            }
            verified += 1;
        }
        assert_eq!(verified, vector.types.len() - 1);
    }
}

#[test]
fn puzzles_are_solved() {
    for (vector, packets) in captures() {
        let rhash = provider().hash(vector.suite.rhash()).unwrap();
        let (r1, i2) = (packet_of(&packets, PacketType::R1), packet_of(&packets, PacketType::I2));
        let puzzle: Puzzle = r1.one().unwrap();
        let solution: Solution = i2.one().unwrap();
        assert_eq!(puzzle.k, vector.difficulty);
        assert_eq!((solution.k, solution.opaque, &solution.i), (puzzle.k, puzzle.opaque, &puzzle.i));
        let verify =
            |solution: &Solution, initiator: Hit| puzzle::verify(rhash, solution, initiator, i2.receiver());
        assert!(verify(&solution, i2.sender()), "{}", vector.file);
        assert!(!verify(&solution, i2.receiver()));
        let mut other = solution.clone();
        other.j[0] ^= 1;
        assert!(!verify(&other, i2.sender()));
    }
}

#[test]
fn keymat_indices_are_what_the_four_keys_draw() {
    for (vector, packets) in captures() {
        for packet_type in [PacketType::I2, PacketType::R2] {
            let info: EspInfo = packet_of(&packets, packet_type).one().unwrap();
            assert_eq!(info.keymat_index, vector.keymat_index, "{}", vector.file);
        }
    }
}

#[test]
fn every_packet_cut_at_every_length_is_an_error() {
    for (vector, packets) in captures() {
        for ip in packets {
            for length in 0..ip.payload.len() {
                assert!(Packet::parse(&ip.payload[..length]).is_err(), "{} cut at {length}", vector.file);
            }
        }
    }
}

#[test]
fn every_parameter_cut_at_every_length_is_an_error_or_a_shorter_one() {
    for (_, packets) in captures() {
        for ip in packets {
            let packet = Packet::parse(&ip.payload).unwrap();
            for raw in packet.parameters().iter() {
                for length in 0..raw.contents().len() {
                    assert!(shorter_or_error(raw.parameter_type(), &raw.contents()[..length]));
                }
            }
        }
    }
}

/// Says whether octets that were cut are refused, or are all the octets of another parameter of the type.
fn shorter_or_error(parameter_type: ParameterType, octets: &[u8]) -> bool {
    fn judge<P: Parameter>(octets: &[u8]) -> bool {
        P::from_octets(octets).map_or(true, |parameter| parameter.to_octets().len() == octets.len())
    }
    match parameter_type {
        ParameterType::ACK => judge::<Ack>(octets),
        ParameterType::DIFFIE_HELLMAN => DiffieHellman::from_octets(octets).is_err(),
        ParameterType::ESP_INFO => EspInfo::from_octets(octets).is_err(),
        ParameterType::ESP_TRANSFORM => judge::<EspTransform>(octets),
        ParameterType::HIP_CIPHER => judge::<HipCipher>(octets),
        ParameterType::HIP_SIGNATURE => judge::<HipSignature>(octets),
        ParameterType::HIP_SIGNATURE_2 => judge::<HipSignature2>(octets),
        ParameterType::HOST_ID => HostId::from_octets(octets).is_err(),
        ParameterType::PUZZLE => judge::<Puzzle>(octets),
        ParameterType::SEQ => Seq::from_octets(octets).is_err(),
        ParameterType::SOLUTION => judge::<Solution>(octets),
        ParameterType::TRANSPORT_FORMAT_LIST => judge::<TransportFormatList>(octets),
        _ => true,
    }
}

#[test]
fn no_octet_can_change_under_the_checksum() {
    for (vector, packets) in captures() {
        for ip in packets {
            for (position, flip) in
                (0..ip.payload.len()).flat_map(|at| [1, 0x80, 0xff].map(|flip| (at, flip)))
            {
                let mut octets = ip.payload.clone();
                octets[position] ^= flip;
                let taken = Packet::parse(&octets)
                    .is_ok_and(|packet| packet.verify_checksum(ip.source, ip.destination));
                assert!(!taken, "{} octet {position}", vector.file);
            }
        }
    }
}

/// Without the checksum, as in UDP: whatever octet changes before the signature, the packet is not believed.
#[test]
fn no_octet_before_a_signature_can_change() {
    for (vector, packets) in captures() {
        let responder: HostId = packet_of(&packets, PacketType::R1).one().unwrap();
        let ip = packets.iter().find(|ip| ip.payload[2] == PacketType::R2.0).unwrap();
        let end = Packet::parse(&ip.payload)
            .unwrap()
            .parameters()
            .raw(ParameterType::HIP_SIGNATURE)
            .unwrap()
            .offset();
        for position in (0..end).filter(|position| !(4..6).contains(position)) {
            let mut octets = ip.payload.clone();
            octets[position] ^= 1;
            let believed = Packet::parse(&octets)
                .is_ok_and(|packet| packet.verify_signature(permit(), provider(), &responder).is_ok());
            assert!(!believed, "{} octet {position}", vector.file);
        }
    }
}
