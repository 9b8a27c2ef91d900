//! A HIP packet: header, order and rules of its parameters, checksum, and what MAC and signature cover.

use std::net::{IpAddr, Ipv4Addr};

use claviger_hip::{
    rules,
    wire::{Packet, checksum},
};
use claviger_hip_groups::McastChannel;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const DESTINATION: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let Ok(packet) = Packet::parse(input) else { return };
    let _ = rules::check::<McastChannel>(&packet);

    // The packet is the whole of its parts: nothing is skipped, nothing read twice.
    let parts: usize = packet.parameters().iter().map(|raw| raw.octets().len()).sum();
    assert_eq!(40 + parts, packet.octets().len());
    for raw in packet.parameters().iter() {
        assert_eq!(&packet.octets()[raw.offset()..][..raw.octets().len()], raw.octets());
    }

    let mut octets = packet.octets().to_vec();
    checksum::write(&mut octets, SOURCE, DESTINATION);
    let summed = Packet::parse(&octets).expect("a checksum changes nothing else");
    assert!(summed.verify_checksum(SOURCE, DESTINATION));
    assert_eq!(summed.parameters().iter().count(), packet.parameters().iter().count());
}
