//! Reads capture files: classic pcap with Ethernet frames, as the vectors of other implementations are kept.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::Duration,
};

/// An IP packet of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpPacket {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The IP protocol, or the last Next Header without extension headers.
    pub protocol: u8,
    /// What stands behind the IP header.
    pub payload: Vec<u8>,
}

impl IpPacket {
    /// Returns source port, destination port and data of a UDP packet.
    pub fn udp(&self) -> Option<(u16, u16, &[u8])> {
        let header = self.payload.first_chunk::<8>().filter(|_| self.protocol == PROTOCOL_UDP)?;
        let data = self.payload.get(8..usize::from(be16(&header[4..])))?;
        Some((be16(&header[..]), be16(&header[2..]), data))
    }
}

const PROTOCOL_UDP: u8 = 17;
const MAGIC: u32 = 0xa1b2_c3d4;
/// What tcpdump says too; no frame is longer.
const FRAME_LEN_MAX: u32 = 262_144;
const LINK_TYPE_ETHERNET: u32 = 1;
const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86dd;

/// Reads every IP packet of a capture file, in order; other frames and IP fragments are left out.
///
/// # Errors
///
/// What reading the file says, and [`io::ErrorKind::InvalidData`] if it is no classic pcap of Ethernet frames.
pub fn read(path: &Path) -> io::Result<Vec<IpPacket>> {
    parse(&fs::read(path)?).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Reads every IP packet of a capture that is in memory; `None` if it is no classic pcap of Ethernet frames, or cut.
pub fn parse(file: &[u8]) -> Option<Vec<IpPacket>> {
    let (header, mut rest) = file.split_at_checked(24)?;
    let read: fn([u8; 4]) -> u32 = match MAGIC {
        magic if magic == u32::from_le_bytes(*header.first_chunk()?) => u32::from_le_bytes,
        magic if magic == u32::from_be_bytes(*header.first_chunk()?) => u32::from_be_bytes,
        _ => return None,
    };
    if read(*header.last_chunk()?) != LINK_TYPE_ETHERNET {
        return None;
    }
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (record, behind) = rest.split_at_checked(16)?;
        let captured = read(*record[8..].first_chunk()?) as usize;
        let (frame, behind) = behind.split_at_checked(captured)?;
        packets.extend(ip_packet(frame));
        rest = behind;
    }
    Some(packets)
}

/// Writes a capture file of Ethernet frames, each with the time since 1970 at which it passed.
pub(crate) fn file<'a>(frames: impl Iterator<Item = (Duration, &'a [u8])>) -> Vec<u8> {
    let mut file = MAGIC.to_le_bytes().to_vec();
    // Version 2.4, no correction of time, frames whole.
    file.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&FRAME_LEN_MAX.to_le_bytes());
    file.extend_from_slice(&LINK_TYPE_ETHERNET.to_le_bytes());
    for (at, frame) in frames {
        let length = (frame.len() as u32).to_le_bytes();
        file.extend_from_slice(&(at.as_secs() as u32).to_le_bytes());
        file.extend_from_slice(&at.subsec_micros().to_le_bytes());
        file.extend_from_slice(&length);
        file.extend_from_slice(&length);
        file.extend_from_slice(frame);
    }
    file
}

pub(crate) fn ip_packet(frame: &[u8]) -> Option<IpPacket> {
    let (ethernet, ip) = frame.split_at_checked(14)?;
    match be16(&ethernet[12..]) {
        ETHER_TYPE_IPV4 => ipv4(ip),
        ETHER_TYPE_IPV6 => ipv6(ip),
        _ => None,
    }
}

fn ipv4(ip: &[u8]) -> Option<IpPacket> {
    let header = ip.first_chunk::<20>()?;
    let is_fragment = be16(&header[6..]) & 0x3fff != 0;
    let payload = ip.get(usize::from(header[0] & 0x0f) * 4..usize::from(be16(&header[2..])))?;
    (!is_fragment).then(|| IpPacket {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        protocol: header[9],
        payload: payload.to_vec(),
    })
}

fn ipv6(ip: &[u8]) -> Option<IpPacket> {
    let header = ip.first_chunk::<40>()?;
    let payload = ip.get(40..40 + usize::from(be16(&header[4..])))?;
    let address = |position: usize| Some(Ipv6Addr::from(*header[position..].first_chunk::<16>()?).into());
    Some(IpPacket {
        source: address(8)?,
        destination: address(24)?,
        protocol: header[6],
        payload: payload.to_vec(),
    })
}

fn be16(octets: &[u8]) -> u16 {
    u16::from_be_bytes([octets[0], octets[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(frames: &[&[u8]]) -> Vec<u8> {
        super::file(frames.iter().map(|frame| (Duration::from_secs(1), *frame)))
    }

    fn udp_frame() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0]);
        frame.extend_from_slice(&[0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend_from_slice(&[0x29, 0x04, 0x03, 0x50, 0, 10, 0, 0, b'h', b'i']);
        frame.extend_from_slice(b"ethernet padding");
        frame
    }

    #[test]
    fn reads_udp_without_ethernet_padding() {
        let packets = parse(&file(&[&udp_frame(), &[0; 60]])).unwrap();
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].source, "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(packets[0].udp(), Some((10500, 848, &b"hi"[..])));
    }

    #[test]
    fn refuses_files_that_are_cut_or_no_captures() {
        let whole = file(&[&udp_frame()]);
        for length in (0..24).chain(25..whole.len()) {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(parse(&[0; 24]), None);
    }
}
