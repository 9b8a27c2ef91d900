//! IP packets from a TUN device and from the network, UDP inside them, and ESP-in-UDP framing.

use claviger_esp::packet::{Framed, IpPacket, Mode, UdpDatagram, read_framing, udp, wrap};
use std::net::SocketAddr;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Framed::Esp(esp) = read_framing(input) {
        assert_eq!(esp, input);
    }
    let Ok(packet) = IpPacket::parse(input) else { return };
    let _ = packet.esp();
    let (source, destination) = (packet.header.source, packet.header.destination);

    if let Ok(datagram) = UdpDatagram::parse(source, destination, packet.payload) {
        let (from, to) = (
            SocketAddr::new(source, datagram.source_port),
            SocketAddr::new(destination, datagram.destination_port),
        );
        let header = udp::header(from, to, datagram.data).expect("what was read is short enough");
        let again = [&header[..], datagram.data].concat();
        let again = UdpDatagram::parse(source, destination, &again).expect("what is written is read");
        assert_eq!(again, datagram);
    }
    for mode in [Mode::Transport, Mode::Tunnel] {
        let Ok((_, inside)) = mode.inside(input, &packet) else { continue };
        let Ok(outer) = wrap(&packet, mode, inside) else { continue };
        let outer = IpPacket::parse(&outer).expect("what is written is read");
        assert_eq!(outer.esp(), Ok(inside));
        assert_eq!((outer.header.source, outer.header.destination), (source, destination));
        assert_eq!(outer.header.hop_limit, packet.header.hop_limit);
    }
}
