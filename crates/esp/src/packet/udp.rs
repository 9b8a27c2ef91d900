//! The UDP header (RFC 768) inside transport mode.
//!
//! A member without privilege has no IP stack on the inside of ESP, so it writes and reads the header that the
//! stacks of other members write and read.

use std::net::{IpAddr, SocketAddr};

use claviger_wire::{DecodeError, Reader};

use super::{PROTOCOL_UDP, PacketError, checksum::Checksum};

/// The octets of a UDP header.
pub const HEADER_LEN: usize = 8;

/// Writes the header of a datagram with its checksum, which covers addresses, header and data.
///
/// # Errors
///
/// [`PacketError::Family`], [`PacketError::TooLong`].
pub fn header(
    source: SocketAddr,
    destination: SocketAddr,
    data: &[u8],
) -> Result<[u8; HEADER_LEN], PacketError> {
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(PacketError::Family);
    }
    let length = u16::try_from(HEADER_LEN + data.len()).map_err(|_| PacketError::TooLong)?;
    let mut header = [0; HEADER_LEN];
    header[..2].copy_from_slice(&source.port().to_be_bytes());
    header[2..4].copy_from_slice(&destination.port().to_be_bytes());
    header[4..6].copy_from_slice(&length.to_be_bytes());
    let sum = Checksum::pseudo_header(source.ip(), destination.ip(), PROTOCOL_UDP, length.into());
    let checksum = sum.octets(&header).octets(data).finish();
    // Zero means "no checksum", so a sum of zero travels as all ones (RFC 768).
    header[6..].copy_from_slice(&if checksum == 0 { 0xffff } else { checksum }.to_be_bytes());
    Ok(header)
}

/// A UDP datagram that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpDatagram<'a> {
    /// The port that it came from.
    pub source_port: u16,
    /// The port that it is for.
    pub destination_port: u16,
    /// What the application sent.
    pub data: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// Reads a datagram that travelled between two addresses. What follows the length that its header says is
    /// ignored: it is padding that hides traffic (RFC 4303 section 2.7).
    ///
    /// # Errors
    ///
    /// [`PacketError::Decode`], or [`PacketError::Checksum`]; IPv6 does not do without one (RFC 8200 section 8.1).
    pub fn parse(source: IpAddr, destination: IpAddr, octets: &'a [u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(octets);
        let source_port = r.u16("UDP source port")?;
        let destination_port = r.u16("UDP destination port")?;
        let length = r.u16("UDP length")?;
        let checksum = r.u16("UDP checksum")?;
        let data_len =
            usize::from(length).checked_sub(HEADER_LEN).ok_or(DecodeError::Length { field: "UDP length" })?;
        let data = r.slice(data_len, "UDP data")?;
        let is_covered = checksum != 0 || source.is_ipv6();
        let sum = Checksum::pseudo_header(source, destination, PROTOCOL_UDP, length.into());
        if is_covered && sum.octets(&octets[..usize::from(length)]).finish() != 0 {
            return Err(PacketError::Checksum);
        }
        Ok(Self { source_port, destination_port, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The DNS query of the second packet of draft-mcgrew-gcm-test-01, with its checksum 2343.
    const DNS_QUERY: [u8; 42] = [
        0x0a, 0x98, 0x00, 0x35, 0x00, 0x2a, 0x23, 0x43, 0xb2, 0xd0, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x03, 0x73, 0x69, 0x70, 0x09, 0x63, 0x79, 0x62, 0x65, 0x72, 0x63, 0x69, 0x74, 0x79,
        0x02, 0x64, 0x6b, 0x00, 0x00, 0x01, 0x00, 0x01,
    ];

    #[test]
    fn writes_and_reads_a_known_datagram() {
        let (source, destination) = ("192.168.1.2:2712".parse().unwrap(), "192.168.1.1:53".parse().unwrap());
        assert_eq!(header(source, destination, &DNS_QUERY[8..]).unwrap(), DNS_QUERY[..8]);
        let read = UdpDatagram::parse(source.ip(), destination.ip(), &DNS_QUERY).unwrap();
        assert_eq!((read.source_port, read.destination_port), (2712, 53));
        assert_eq!(read.data, &DNS_QUERY[8..]);
    }

    #[test]
    fn refuses_every_flipped_octet_and_every_cut() {
        for (source, destination) in
            [("192.0.2.1:9", "239.192.0.1:5004"), ("[2001:db8::1]:9", "[ff15::1]:5004")]
        {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let datagram = [&header(source, destination, b"media").unwrap()[..], b"media"].concat();
            let parse = |octets: &[u8]| {
                UdpDatagram::parse(source.ip(), destination.ip(), octets).map(|read| read.data.to_vec())
            };
            assert_eq!(parse(&datagram), Ok(b"media".to_vec()));
            assert_eq!(parse(&[&datagram[..], &[0; 9]].concat()), Ok(b"media".to_vec()));
            for octet in 0..datagram.len() {
                let mut flipped = datagram.clone();
                flipped[octet] ^= 0x40;
                assert!(parse(&flipped).is_err(), "octet {octet}");
                assert!(parse(&datagram[..octet]).is_err(), "cut at {octet}");
            }
        }
    }

    #[test]
    fn only_ipv4_does_without_a_checksum() {
        let datagram = [0, 9, 0, 9, 0, 9, 0, 0, 7];
        let v4 = UdpDatagram::parse([192, 0, 2, 1].into(), [239, 1, 1, 1].into(), &datagram);
        assert_eq!(v4.unwrap().data, [7]);
        let v6 = UdpDatagram::parse("2001:db8::1".parse().unwrap(), "ff15::1".parse().unwrap(), &datagram);
        assert_eq!(v6, Err(PacketError::Checksum));
    }

    #[test]
    fn never_writes_the_checksum_that_means_none() {
        let (source, destination): (SocketAddr, SocketAddr) =
            ("192.0.2.1:9".parse().unwrap(), "239.192.0.1:9".parse().unwrap());
        let mut met = false;
        for data in 0..=u16::MAX {
            let data = data.to_be_bytes();
            let header = header(source, destination, &data).unwrap();
            assert_ne!(header[6..], [0, 0]);
            met |= header[6..] == [0xff, 0xff];
            if met {
                let datagram = [&header[..], &data].concat();
                return assert!(UdpDatagram::parse(source.ip(), destination.ip(), &datagram).is_ok());
            }
        }
        panic!("one of the data sums to zero");
    }
}
