//! ESP in UDP between this process's sockets: no privilege is needed.
//!
//! Inside each packet stands what a TUN member of the group would see: Next Header 17 and a real UDP header, its
//! checksum over the outer addresses, which in transport mode are the packet's own.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use claviger_esp::packet::{
    IpHeader, IpPacket, Mode,
    framing::{self, Framed},
    mode,
    udp::{self, UdpDatagram},
};
use claviger_member::event::Places;
use claviger_net::{BindError, Interface, MulticastSocket, UdpOptions, UdpSocket};

use super::{dropped::Dropped, gaps::Origin, group_keys::GroupKeys, streams::Delivery};
use crate::{exit::Failure, route::is_link_local, settings::ports::APPLICATION_PORT};

/// The next header of UDP.
const UDP: u8 = 17;

/// The next header of an IPv4 packet in tunnel mode.
const IPV4: u8 = 4;

/// The next header of an IPv6 packet in tunnel mode.
const IPV6: u8 = 41;

/// The hops that data may travel.
const DATA_HOPS: u8 = 32;

pub(super) struct UdpPlane {
    socket: UdpSocket,
    source: IpAddr,
}

impl UdpPlane {
    /// Opens the socket that sends.
    pub(super) fn open(places: &Places, interface: &Interface) -> Result<Self, Failure> {
        let group = places.channel.group();
        let same_family = |address: &IpAddr| address.is_ipv4() == group.is_ipv4() && !is_link_local(address);
        let source = interface.addresses()?.into_iter().find(same_family).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("interface {} has no address of the group's family", interface.name()),
            )
        })?;
        let socket = UdpSocket::bind(SocketAddr::new(source, 0), &UdpOptions::new("--interface"))?;
        socket.set_multicast_interface(interface)?;
        socket.set_multicast_hops(DATA_HOPS)?;
        Ok(Self { socket, source })
    }

    /// Opens the socket that receives.
    pub(super) fn receive(
        &self,
        places: &Places,
        interface: &Interface,
    ) -> Result<Arc<UdpSocket>, BindError> {
        let (group, port) = (places.channel.group(), places.encapsulation_port);
        let options = UdpOptions::new("--interface");
        Ok(Arc::new(UdpSocket::bind_group(group, port, interface, places.channel.source(), &options)?))
    }

    /// Says how much of what was sent has not left this host.
    pub(super) fn unsent(&self) -> io::Result<usize> {
        self.socket.unsent()
    }

    /// Protects and sends a payload.
    pub(super) async fn send(
        &self,
        mut keys: GroupKeys<'_>,
        places: &Places,
        port: Option<u16>,
        payload: &[u8],
    ) -> Result<(), Dropped> {
        let group = places.channel.group();
        let port =
            port.or(Some(places.application_port).filter(|port| *port != 0)).unwrap_or(APPLICATION_PORT);
        let source = SocketAddr::new(self.source, self.socket.local_address().port());
        let header = udp::header(source, SocketAddr::new(group, port), payload)?;
        let esp = match Mode::from(places.encapsulation) {
            Mode::Transport => keys.seal(UDP, &[&header, payload])?,
            Mode::Tunnel => {
                let inner = IpHeader::new(self.source, group).write(UDP, &[&header[..], payload].concat())?;
                let next_header = if group.is_ipv4() { IPV4 } else { IPV6 };
                keys.seal(next_header, &[&inner])?
            }
        };
        let destination = SocketAddr::new(group, places.encapsulation_port);
        self.socket.send(&esp, destination, None).await.map_err(Dropped::NotSent)
    }

    /// Opens a datagram of the group. It brings nothing if it is this member's own, or a NAT-keepalive.
    pub(super) fn take(
        &self,
        mut keys: GroupKeys<'_>,
        places: &Places,
        source: IpAddr,
        destination: IpAddr,
        datagram: &[u8],
    ) -> Result<Option<Delivery>, Dropped> {
        let esp = match framing::read(datagram) {
            Framed::Esp(esp) => esp,
            Framed::Keepalive => return Ok(None),
            Framed::NonEsp => return Err(Dropped::BehindMarker),
            Framed::Runt => return Err(Dropped::Runt),
        };
        let outer = IpHeader::new(source, destination);
        let (sender, packet) = keys.open(source, esp, |opened| {
            Ok((opened.sender, mode::unwrap_bare(&outer, places.encapsulation.into(), &opened)?))
        })?;
        if keys.is_own(&sender) {
            return Ok(None);
        }
        let packet = IpPacket::parse(&packet)?;
        if packet.next_header != UDP {
            return Err(Dropped::OtherProtocol(packet.next_header));
        }
        let inside = UdpDatagram::parse(source, destination, packet.payload)?;
        if places.application_port != 0 && inside.destination_port != places.application_port {
            return Err(Dropped::OtherPort(inside.destination_port));
        }
        let origin = Origin::of(esp, sender).expect("a packet that was opened has SPI and number");
        Ok(Some(Delivery { origin, payload: Bytes::copy_from_slice(inside.data) }))
    }
}
