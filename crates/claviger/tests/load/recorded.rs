//! What was recorded of the wire.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use claviger_testkit::{capture::Recording, pcap::IpPacket};

/// Finds the UDP datagrams of a recording that came from an address to a port, each with where it came from.
pub(crate) fn received(recording: &Recording, from: Ipv4Addr, port: u16) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let packets = recording.packets().into_iter();
    let datagram = |(_, packet): (Duration, IpPacket)| {
        let (source, destination, data) = packet.udp()?;
        let wanted = packet.source == IpAddr::V4(from) && destination == port;
        wanted.then(|| (SocketAddrV4::new(from, source), data.to_vec()))
    };
    packets.filter_map(datagram).collect()
}
