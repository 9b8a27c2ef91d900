//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as ESP needs them.
//!
//! ```text
//!  0                   1                   2                   3
//! |Version|  IHL  |Type of Service|          Total Length         |
//! |         Identification        |Flags|      Fragment Offset    |
//! |  Time to Live |    Protocol   |         Header Checksum       |
//! |           Source address, Destination address, options        |
//!
//! |Version| Traffic Class |           Flow Label                  |
//! |         Payload Length        |  Next Header  |   Hop Limit   |
//! |           Source address, Destination address (16 each)       |
//! ```

use std::net::IpAddr;

use claviger_wire::{DecodeError, Reader};

use super::{PROTOCOL_ESP, PacketError, checksum::Checksum};

/// The octets of an IPv4 header without options.
pub const IPV4_HEADER_LEN: usize = 20;
/// The octets of an IPv6 header without extension headers.
pub const IPV6_HEADER_LEN: usize = 40;

/// IPv6 extension headers that routers read; ESP stands behind them (RFC 4303 section 3.1.1).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
/// Options for the destination: outside ESP only in front of a routing header.
const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;

/// What a new IP header is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpHeader {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// Type of service, or traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// IPv4's "don't fragment".
    pub dont_fragment: bool,
}

impl IpHeader {
    /// Takes the addresses; 64 hops, traffic class 0, fragmentation allowed.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self { source, destination, hop_limit: 64, traffic_class: 0, dont_fragment: false }
    }

    /// Writes a packet: this header, without options, and `payload` of protocol `next_header`.
    ///
    /// # Errors
    ///
    /// [`PacketError::Family`], [`PacketError::TooLong`].
    pub fn write(&self, next_header: u8, payload: &[u8]) -> Result<Vec<u8>, PacketError> {
        let mut packet;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                packet = Vec::with_capacity(IPV4_HEADER_LEN + payload.len());
                // The identification is zero: it means something in fragments only (RFC 6864 section 4.1), and
                // the kernel fills it in when it may fragment what is sent on a raw socket.
                let flags = if self.dont_fragment { 0x40 } else { 0 };
                packet.extend([0x45, self.traffic_class, 0, 0, 0, 0, flags, 0]);
                packet.extend([self.hop_limit, next_header, 0, 0]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                packet = Vec::with_capacity(IPV6_HEADER_LEN + payload.len());
                packet.extend([0x60 | self.traffic_class >> 4, self.traffic_class << 4, 0, 0]);
                packet.extend([0, 0, next_header, self.hop_limit]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
            }
            _ => return Err(PacketError::Family),
        }
        let header_len = packet.len();
        packet.extend_from_slice(payload);
        repair_lengths(&mut packet, header_len)?;
        Ok(packet)
    }
}

/// An IP packet that was read: its header with what belongs to it, and the rest.
#[derive(Debug, Clone, Copy)]
pub struct IpPacket<'a> {
    /// What the fixed header says.
    pub header: IpHeader,
    /// The protocol of [`Self::payload`].
    pub next_header: u8,
    /// All that ESP does not protect in transport mode: the header, IPv4 options, and the IPv6 extension headers
    /// that routers read.
    pub unprotected: &'a [u8],
    /// All behind that, up to the length that the header says.
    pub payload: &'a [u8],
    /// Whether this is a part of a packet.
    pub is_fragment: bool,
    /// Where in `unprotected` the protocol of the payload stands.
    next_header_at: usize,
}

impl<'a> IpPacket<'a> {
    /// Reads a packet. What follows the length that its header says is ignored: tunnels pad with it
    /// (RFC 4303 section 2.7).
    ///
    /// # Errors
    ///
    /// [`PacketError::Decode`], or [`PacketError::Checksum`] of an IPv4 header.
    pub fn parse(octets: &'a [u8]) -> Result<Self, PacketError> {
        match octets.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(octets),
            Some(6) => Self::parse_v6(octets),
            Some(version) => Err(DecodeError::Value { field: "IP version", value: version.into() }.into()),
            None => Err(DecodeError::Truncated { field: "IP version" }.into()),
        }
    }

    /// Shows the ESP packet in a packet of protocol 50.
    ///
    /// # Errors
    ///
    /// [`PacketError::NotEsp`], [`PacketError::Fragment`].
    pub fn esp(&self) -> Result<&'a [u8], PacketError> {
        match self.next_header {
            _ if self.is_fragment => Err(PacketError::Fragment),
            PROTOCOL_ESP => Ok(self.payload),
            other => Err(PacketError::NotEsp(other)),
        }
    }

    /// Writes the same packet with another payload: options and extension headers stay, lengths and checksum follow.
    ///
    /// # Errors
    ///
    /// [`PacketError::TooLong`].
    pub fn with_payload(&self, next_header: u8, payload: &[u8]) -> Result<Vec<u8>, PacketError> {
        let mut packet = Vec::with_capacity(self.unprotected.len() + payload.len());
        packet.extend_from_slice(self.unprotected);
        packet[self.next_header_at] = next_header;
        packet.extend_from_slice(payload);
        repair_lengths(&mut packet, self.unprotected.len())?;
        Ok(packet)
    }

    fn parse_v4(octets: &'a [u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(octets);
        let header_len = usize::from(r.u8("IPv4 version and header length")? & 0xf) * 4;
        let traffic_class = r.u8("IPv4 type of service")?;
        let total_len = usize::from(r.u16("IPv4 total length")?);
        let _identification = r.u16("IPv4 identification")?;
        let fragment = r.u16("IPv4 fragment offset")?;
        let hop_limit = r.u8("IPv4 time to live")?;
        let next_header = r.u8("IPv4 protocol")?;
        let _checksum = r.u16("IPv4 header checksum")?;
        let source = r.array::<4>("IPv4 source address")?;
        let destination = r.array::<4>("IPv4 destination address")?;
        if header_len < IPV4_HEADER_LEN || total_len < header_len {
            return Err(DecodeError::Length { field: "IPv4 header" }.into());
        }
        let packet = octets.get(..total_len).ok_or(DecodeError::Truncated { field: "IPv4 payload" })?;
        let (unprotected, payload) = packet.split_at(header_len);
        if Checksum::new().octets(unprotected).finish() != 0 {
            return Err(PacketError::Checksum);
        }
        Ok(Self {
            header: IpHeader {
                source: source.into(),
                destination: destination.into(),
                hop_limit,
                traffic_class,
                dont_fragment: fragment & 0x4000 != 0,
            },
            next_header,
            unprotected,
            payload,
            is_fragment: fragment & 0x3fff != 0,
            next_header_at: 9,
        })
    }

    fn parse_v6(octets: &'a [u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(octets);
        let word = r.u32("IPv6 version, traffic class and flow label")?;
        let payload_len = usize::from(r.u16("IPv6 payload length")?);
        let mut next_header = r.u8("IPv6 next header")?;
        let hop_limit = r.u8("IPv6 hop limit")?;
        let source = r.array::<16>("IPv6 source address")?;
        let destination = r.array::<16>("IPv6 destination address")?;
        let packet = octets
            .get(..IPV6_HEADER_LEN + payload_len)
            .ok_or(DecodeError::Truncated { field: "IPv6 payload" })?;

        // Where the payload would begin if no further header had to stand outside, and its protocol.
        let mut cut = (IPV6_HEADER_LEN, 6, next_header);
        let mut is_fragment = false;
        let mut r = Reader::new(&packet[IPV6_HEADER_LEN..]);
        while matches!(next_header, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT) {
            let kind = next_header;
            let at = IPV6_HEADER_LEN + r.position();
            next_header = r.u8("IPv6 extension header")?;
            let length = usize::from(r.u8("IPv6 extension header length")?);
            if kind == FRAGMENT {
                is_fragment = true;
                break;
            }
            r.slice(length * 8 + 6, "IPv6 extension header")?;
            if kind != DESTINATION_OPTIONS {
                cut = (IPV6_HEADER_LEN + r.position(), at, next_header);
            }
        }
        let (start, next_header_at, next_header) = cut;
        let (unprotected, payload) = packet.split_at(start);
        Ok(Self {
            header: IpHeader {
                source: source.into(),
                destination: destination.into(),
                hop_limit,
                traffic_class: u8::try_from(word >> 20 & 0xff).expect("eight bits were taken"),
                dont_fragment: false,
            },
            next_header,
            unprotected,
            payload,
            is_fragment,
            next_header_at,
        })
    }
}

/// Writes the lengths, and IPv4's checksum, of a packet whose header was copied or built.
fn repair_lengths(packet: &mut [u8], header_len: usize) -> Result<(), PacketError> {
    let length = |octets: usize| u16::try_from(octets).map_err(|_| PacketError::TooLong);
    if packet[0] >> 4 == 4 {
        let total_len = length(packet.len())?;
        packet[2..4].copy_from_slice(&total_len.to_be_bytes());
        packet[10..12].fill(0);
        let checksum = Checksum::new().octets(&packet[..header_len]).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        let payload_len = length(packet.len() - IPV6_HEADER_LEN)?;
        packet[4..6].copy_from_slice(&payload_len.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The IPv4 header of the second packet of draft-mcgrew-gcm-test-01, with its checksum 4dcc.
    const DNS_QUERY: [u8; 20] = [
        0x45, 0x00, 0x00, 0x3e, 0x69, 0x8f, 0x00, 0x00, 0x80, 0x11, 0x4d, 0xcc, 0xc0, 0xa8, 0x01, 0x02, 0xc0,
        0xa8, 0x01, 0x01,
    ];

    #[test]
    fn reads_and_rewrites_a_known_ipv4_header() {
        let packet = [&DNS_QUERY[..], &[7; 42]].concat();
        let parsed = IpPacket::parse(&packet).unwrap();
        assert_eq!(parsed.header.source, IpAddr::from([192, 168, 1, 2]));
        assert_eq!(parsed.header.destination, IpAddr::from([192, 168, 1, 1]));
        assert_eq!((parsed.next_header, parsed.header.hop_limit), (17, 128));
        assert_eq!(parsed.payload, [7; 42]);
        assert_eq!(parsed.with_payload(17, parsed.payload).unwrap(), packet);
    }

    #[test]
    fn refuses_a_flipped_bit_in_an_ipv4_header() {
        let packet = [&DNS_QUERY[..], &[7; 42]].concat();
        for octet in 0..20 {
            for bit in 0..8 {
                let mut flipped = packet.clone();
                flipped[octet] ^= 1 << bit;
                assert!(IpPacket::parse(&flipped).is_err(), "octet {octet}, bit {bit}");
            }
        }
    }

    #[test]
    fn finds_where_esp_belongs_behind_ipv6_extension_headers() {
        let base = IpHeader::new("fe80::1".parse().unwrap(), "ff15::1".parse().unwrap());
        let options = [PROTOCOL_ESP, 0, 1, 4, 0, 0, 0, 0];
        let then = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        let cases: [(u8, Vec<u8>, usize, u8); 4] = [
            (17, vec![9; 8], 40, 17),
            (HOP_BY_HOP, [&then(17)[..], &[9; 8]].concat(), 48, 17),
            (HOP_BY_HOP, [then(DESTINATION_OPTIONS), then(17)].concat(), 48, DESTINATION_OPTIONS),
            (DESTINATION_OPTIONS, [&then(ROUTING)[..], &options, &[9; 8]].concat(), 56, PROTOCOL_ESP),
        ];
        for (first, rest, cut, next_header) in cases {
            let packet = base.write(first, &rest).unwrap();
            let parsed = IpPacket::parse(&packet).unwrap();
            assert_eq!((parsed.unprotected.len(), parsed.next_header), (cut, next_header));
            assert_eq!(parsed.with_payload(next_header, parsed.payload).unwrap(), packet);
            let esp = parsed.with_payload(PROTOCOL_ESP, &[1, 2, 3]).unwrap();
            assert_eq!(IpPacket::parse(&esp).unwrap().esp(), Ok(&[1, 2, 3][..]));
        }
    }

    #[test]
    fn recognises_fragments_of_both_versions() {
        let mut v4 = IpHeader::new([10, 0, 0, 1].into(), [239, 1, 1, 1].into()).write(50, &[0; 8]).unwrap();
        v4[7] = 1;
        repair_lengths(&mut v4, 20).unwrap();
        assert_eq!(IpPacket::parse(&v4).unwrap().esp(), Err(PacketError::Fragment));
        let v6 = IpHeader::new("fe80::1".parse().unwrap(), "ff15::1".parse().unwrap());
        let v6 = v6.write(FRAGMENT, &[50, 0, 0, 8, 0, 0, 0, 1]).unwrap();
        assert_eq!(IpPacket::parse(&v6).unwrap().esp(), Err(PacketError::Fragment));
    }

    #[test]
    fn refuses_packets_cut_at_every_length() {
        let v4 = IpHeader::new([10, 0, 0, 1].into(), [239, 1, 1, 1].into()).write(17, &[1; 9]).unwrap();
        let v6 = IpHeader::new("fe80::1".parse().unwrap(), "ff15::1".parse().unwrap());
        let v6 = v6.write(HOP_BY_HOP, &[17, 0, 1, 4, 0, 0, 0, 0, 9]).unwrap();
        for packet in [v4, v6] {
            for length in 0..packet.len() {
                assert!(IpPacket::parse(&packet[..length]).is_err(), "{length}");
            }
            let padded = [&packet[..], &[0; 5]].concat();
            assert_eq!(IpPacket::parse(&padded).unwrap().payload.last(), packet.last());
        }
    }

    #[test]
    fn refuses_what_no_length_field_can_say_and_mixed_families() {
        let v4 = IpHeader::new([10, 0, 0, 1].into(), [239, 1, 1, 1].into());
        assert_eq!(v4.write(17, &[0; 65_516]), Err(PacketError::TooLong));
        assert!(v4.write(17, &[0; 65_515]).is_ok());
        let mixed = IpHeader::new([10, 0, 0, 1].into(), "ff15::1".parse().unwrap());
        assert_eq!(mixed.write(17, &[]), Err(PacketError::Family));
    }
}
