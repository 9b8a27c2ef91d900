//! The checksum (RFC 7401 section 5.1.1), and its absence in UDP (RFC 5770 section 5.1).

use std::net::IpAddr;

use crate::iana::IP_PROTOCOL;

use super::Packet;

/// The position of the checksum in the header.
const CHECKSUM: std::ops::Range<usize> = 4..6;

impl Packet<'_> {
    /// Says whether the checksum is that of a packet between two addresses on IP protocol 139.
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> bool {
        compute(self.octets(), source, destination) == self.checksum()
    }

    /// Says whether the checksum is zero, as it must be in UDP.
    //= rfc5770#section-5.1
    //# the HIP header checksum MUST be zero
    pub fn has_zero_checksum(&self) -> bool {
        self.checksum() == 0
    }
}

/// Fills in the checksum of an encoded packet that travels on IP protocol 139.
///
/// # Panics
///
/// If `packet` is shorter than a header.
pub fn write(packet: &mut [u8], source: IpAddr, destination: IpAddr) {
    let checksum = compute(packet, source, destination);
    packet[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
}

/// Computes the checksum of an encoded packet, whatever stands in its checksum field.
pub fn compute(packet: &[u8], source: IpAddr, destination: IpAddr) -> u16 {
    let mut sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        (source, destination) => sum(&octets_v6(source)) + sum(&octets_v6(destination)),
    };
    sum += u64::from(IP_PROTOCOL) + packet.len() as u64;
    sum += self::sum(&packet[..CHECKSUM.start]) + self::sum(&packet[CHECKSUM.end..]);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn sum(octets: &[u8]) -> u64 {
    octets.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use claviger_identity::Hit;

    use super::*;
    use crate::{iana::PacketType, wire::PacketBuilder};

    #[test]
    fn covers_packet_and_addresses_of_both_families() {
        let mut octets =
            PacketBuilder::new(PacketType::I1, Hit::new([1; 16]), Hit::new([2; 16])).finish().unwrap();
        assert!(Packet::parse(&octets).unwrap().has_zero_checksum());
        for (source, destination, other) in
            [("10.77.0.1", "10.77.0.2", "10.77.0.3"), ("2001:db8::1", "2001:db8::2", "2001:db8::3")]
        {
            let [source, destination, other]: [IpAddr; 3] =
                [source, destination, other].map(|address| address.parse().unwrap());
            write(&mut octets, source, destination);
            let packet = Packet::parse(&octets).unwrap();
            assert!(!packet.has_zero_checksum());
            assert!(packet.verify_checksum(source, destination));
            assert!(!packet.verify_checksum(source, other));
            let mut changed = octets.clone();
            changed[30] ^= 1;
            assert!(!Packet::parse(&changed).unwrap().verify_checksum(source, destination));
        }
    }
}
