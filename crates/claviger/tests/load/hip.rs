//! Packets of HIP as strangers forge them.

use std::sync::Arc;

use claviger_crypto::{Random, SeededRandom, provider};
use claviger_hip::{
    iana::{DhGroup, NotifyType, PacketType, ParameterType},
    keys::IntegrityKey,
    wire::{DhGroupList, Notification, Packet, PacketBuilder},
};
use claviger_identity::{Hit, HitSuite, HostIdentity};

use crate::ground;

/// What marks HIP on UDP (RFC 5770 section 5.1).
const MARKER: [u8; 4] = [0; 4];

/// Where the receiver's HIT stands in a HIP packet, and how long it is (RFC 7401 section 5.1).
const RECEIVER_AT: usize = 24;
const HIT_LEN: usize = 16;

/// Octets in front of a signature in HIP_SIGNATURE: type, length and algorithm (RFC 7401 section 5.2.14).
const SIGNATURE_HEADER_LEN: usize = 6;

/// Puts the marker in front.
pub(crate) fn on_udp(packet: &[u8]) -> Vec<u8> {
    [&MARKER, packet].concat()
}

/// What comes to HIP, and is no packet of it.
pub(crate) fn junk(length: usize) -> impl Iterator<Item = Vec<u8>> {
    ground::junk(length - MARKER.len()).map(|octets| on_udp(&octets))
}

/// Takes the marker off.
pub(crate) fn off_udp(datagram: &[u8]) -> Option<&[u8]> {
    datagram.strip_prefix(&MARKER)
}

/// HITs of the suite of another one, with nobody behind them.
pub(crate) fn hits(like: Hit) -> impl Iterator<Item = Hit> {
    let mut random = SeededRandom::new(11);
    std::iter::repeat_with(move || {
        // The prefix of ORCHIDs and the suite stay.
        let mut octets = *like.octets();
        random.fill(&mut octets[4..]);
        Hit::new(octets)
    })
}

/// An I1 as it is without proof of an address.
pub(crate) fn i1(from: Hit, to: Hit) -> Vec<u8> {
    let mut builder = PacketBuilder::new(PacketType::I1, from, to);
    on_udp(&builder.add(&DhGroupList(vec![DhGroup::NIST_P256])).finish().expect("an I1 is short"))
}

/// A NOTIFY in the name of a host, signed by another.
pub(crate) fn notify(from: Hit, to: Hit, signer: &HostIdentity) -> Vec<u8> {
    let mut builder = PacketBuilder::new(PacketType::NOTIFY, from, to);
    builder.add(&Notification::new(NotifyType::HIP_MAC_FAILED)).sign(signer).expect("it can sign");
    on_udp(&builder.finish().expect("a NOTIFY is short"))
}

/// An R2 under keys that nobody has.
pub(crate) fn r2(from: Hit, to: Hit, signer: &Arc<HostIdentity>) -> Vec<u8> {
    let rhash = HitSuite::of_hit(from).expect("a key server's HIT is of a known suite").rhash();
    let prf = provider().prf(rhash).expect("every suite's hash is there");
    let mut builder = PacketBuilder::new(PacketType::R2, from, to);
    let key = IntegrityKey::new(vec![1; prf.output_len()]);
    builder.mac_2(prf, &key, signer.host_id()).sign(signer).expect("it can sign");
    on_udp(&builder.finish().expect("an R2 is short"))
}

/// The same packet for another receiver.
pub(crate) fn readdressed(datagram: &[u8], receiver: Hit) -> Vec<u8> {
    let mut octets = datagram.to_vec();
    octets[MARKER.len() + RECEIVER_AT..][..HIT_LEN].copy_from_slice(receiver.octets());
    octets
}

/// Copies of a packet, each with other octets in a signature.
pub(crate) fn with_altered_signature(
    datagram: &[u8],
    signature: ParameterType,
) -> impl Iterator<Item = Vec<u8>> + use<> {
    let packet = off_udp(datagram).expect("HIP on UDP is marked");
    let parsed = Packet::parse(packet).expect("it was received");
    let found = parsed.parameters().raw(signature).expect("it is signed");
    let at = MARKER.len() + found.offset() + SIGNATURE_HEADER_LEN;
    let octets = datagram.to_vec();
    let mut number = 0_u32;
    std::iter::repeat_with(move || {
        number += 1;
        let mut altered = octets.clone();
        for (octet, changed) in altered[at..].iter_mut().zip(number.to_be_bytes()) {
            *octet ^= changed;
        }
        altered
    })
}

/// The type of a HIP packet on UDP (RFC 7401 section 5.1).
pub(crate) fn packet_type(datagram: &[u8]) -> Option<PacketType> {
    off_udp(datagram)?.get(2).map(|octet| PacketType(octet & 0x7f))
}

/// Whether an UPDATE has a SEQ, so that it is acknowledged.
pub(crate) fn asks_for_ack(datagram: &[u8]) -> bool {
    let parsed = off_udp(datagram).map(Packet::parse);
    parsed.is_some_and(|packet| {
        packet.is_ok_and(|packet| packet.parameters().raw(ParameterType::SEQ).is_some())
    })
}
