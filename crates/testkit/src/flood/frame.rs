//! Ethernet frames with UDP over IPv4, as anybody on the network can forge them.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The type of Ethernet frames that carry IPv4.
const ETHER_TYPE_IPV4: [u8; 2] = [0x08, 0x00];

/// Octets of an IPv4 header without options (RFC 791 section 3.1).
const IPV4_HEADER_LEN: usize = 20;

/// Octets of a UDP header (RFC 768).
const UDP_HEADER_LEN: usize = 8;

/// The IP protocol of UDP.
const UDP: u8 = 17;

/// How many routers a packet may pass; on the laboratory's switch there is none.
const TIME_TO_LIVE: u8 = 64;

/// The first two octets of the addresses that [`sources`] has.
const FORGED: [u8; 2] = [10, 8];

/// The prefix of the addresses that [`sources`] has, as routes name it.
pub const FORGED_PREFIX: &str = "10.8.0.0/16";

/// The addresses 10.8.0.0 to 10.8.255.255, which are nobody's, in an order in which neighbours are far apart, again and
/// again.
pub fn sources() -> impl Iterator<Item = Ipv4Addr> {
    // Steps of an odd number meet all of 65,536.
    const STEP: u16 = 40_503;
    let next = |number: &u16| Some(number.wrapping_add(STEP));
    std::iter::successors(Some(STEP), next).map(|number| {
        let [high, low] = number.to_be_bytes();
        Ipv4Addr::new(FORGED[0], FORGED[1], high, low)
    })
}

/// Between which network interfaces frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The hardware address that frames leave from.
    pub source: [u8; 6],
    /// The hardware address that they are for.
    pub destination: [u8; 6],
}

impl Link {
    /// The hardware address of an IPv4 multicast group (RFC 1112 section 6.4).
    pub fn of_group(group: Ipv4Addr) -> [u8; 6] {
        let [_, high, middle, low] = group.octets();
        [0x01, 0x00, 0x5e, high & 0x7f, middle, low]
    }

    /// Makes the frame of a UDP datagram, without a UDP checksum.
    ///
    /// # Panics
    ///
    /// If the datagram is longer than IPv4 can say.
    pub fn udp(&self, source: SocketAddrV4, destination: SocketAddrV4, data: &[u8]) -> Vec<u8> {
        let length = |octets: usize| u16::try_from(octets).expect("a datagram fits into IPv4").to_be_bytes();
        let udp_len = UDP_HEADER_LEN + data.len();
        let [source_ip, destination_ip] = [source, destination].map(|address| address.ip().octets());
        let mut frame = [&self.destination[..], &self.source, &ETHER_TYPE_IPV4].concat();
        let ip_at = frame.len();
        // Version 4 with five words, no service, its length, no identification, not to be fragmented.
        frame.extend_from_slice(&[0x45, 0]);
        frame.extend_from_slice(&length(IPV4_HEADER_LEN + udp_len));
        frame.extend_from_slice(&[0, 0, 0x40, 0, TIME_TO_LIVE, UDP, 0, 0]);
        frame.extend_from_slice(&source_ip);
        frame.extend_from_slice(&destination_ip);
        let sum = checksum(&frame[ip_at..]);
        frame[ip_at + 10..ip_at + 12].copy_from_slice(&sum.to_be_bytes());
        frame.extend_from_slice(&source.port().to_be_bytes());
        frame.extend_from_slice(&destination.port().to_be_bytes());
        frame.extend_from_slice(&length(udp_len));
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(data);
        frame
    }
}

/// The checksum of an IPv4 header whose own field is zero (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::IpAddr};

    use super::*;
    use crate::pcap::ip_packet;

    #[test]
    fn frames_are_read_as_what_they_were_made_of() {
        let link = Link { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2] };
        let (source, destination) = ("10.8.1.2:4444", "10.7.0.1:848");
        let frame = link.udp(source.parse().unwrap(), destination.parse().unwrap(), b"hello");
        let packet = ip_packet(&frame).unwrap();
        assert_eq!(packet.source, "10.8.1.2".parse::<IpAddr>().unwrap());
        assert_eq!(packet.destination, "10.7.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(packet.udp(), Some((4444, 848, &b"hello"[..])));
    }

    #[test]
    fn an_ipv4_header_with_its_checksum_sums_up_to_nothing() {
        // The header of the example in RFC 1071's companions: any header that carries its own checksum sums to zero.
        let link = Link { source: [0; 6], destination: [0; 6] };
        let frame = link.udp("10.8.255.254:1".parse().unwrap(), "10.7.0.1:2".parse().unwrap(), &[0xff; 333]);
        assert_eq!(checksum(&frame[14..34]), 0);
    }

    #[test]
    fn there_are_65_536_source_addresses() {
        assert_eq!(sources().take(1 << 16).collect::<BTreeSet<_>>().len(), 1 << 16);
    }

    #[test]
    fn a_group_has_23_bits_of_its_address_in_hardware() {
        assert_eq!(Link::of_group([239, 192, 7, 1].into()), [0x01, 0x00, 0x5e, 0x40, 0x07, 0x01]);
    }
}
