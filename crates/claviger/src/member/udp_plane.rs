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
use claviger_member::{event::Places, subscription::Subscription};
use claviger_net::{BindError, Interface, MulticastSocket, UdpOptions, UdpSocket};
use claviger_sansio::Time;

use super::{gaps::Origin, streams::Delivery};
use crate::{cli::send::APPLICATION_PORT_DEFAULT, exit::Failure, route::is_link_local};

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

    /// Protects and sends a payload.
    pub(super) async fn send(
        &self,
        now: Time,
        subscription: &mut Subscription,
        places: &Places,
        port: Option<u16>,
        payload: &[u8],
    ) -> Result<(), Failure> {
        let group = places.channel.group();
        let port = port
            .or(Some(places.application_port).filter(|port| *port != 0))
            .unwrap_or(APPLICATION_PORT_DEFAULT);
        let source = SocketAddr::new(self.source, self.socket.local_address().port());
        let header = udp::header(source, SocketAddr::new(group, port), payload)?;
        let esp = match Mode::from(places.encapsulation) {
            Mode::Transport => subscription.seal(now, UDP, &[&header, payload])?,
            Mode::Tunnel => {
                let inner = IpHeader::new(self.source, group).write(UDP, &[&header[..], payload].concat())?;
                let next_header = if group.is_ipv4() { IPV4 } else { IPV6 };
                subscription.seal(now, next_header, &[&inner])?
            }
        };
        self.socket.send(&esp, SocketAddr::new(group, places.encapsulation_port), None).await?;
        Ok(())
    }

    /// Opens a datagram of the group; nothing comes of one that is not genuine, not for the application, or our own.
    pub(super) fn take(
        &self,
        now: Time,
        subscription: &mut Subscription,
        places: &Places,
        source: IpAddr,
        destination: IpAddr,
        datagram: &[u8],
    ) -> Option<Delivery> {
        let Framed::Esp(esp) = framing::read(datagram) else { return None };
        let opened = subscription
            .open(now, source, esp)
            .inspect_err(|error| tracing::trace!(reason = error.reason(), "ESP packet dropped"))
            .ok()?;
        if subscription.is_own(&opened.sender) {
            return None;
        }
        let packet =
            mode::unwrap_bare(&IpHeader::new(source, destination), places.encapsulation.into(), &opened)
                .ok()?;
        let packet = IpPacket::parse(&packet).ok().filter(|packet| packet.next_header == UDP)?;
        let inside = UdpDatagram::parse(source, destination, packet.payload).ok()?;
        if places.application_port != 0 && inside.destination_port != places.application_port {
            return None;
        }
        let origin = Origin::of(esp, opened.sender)?;
        Some(Delivery { origin, payload: Bytes::copy_from_slice(inside.data) })
    }
}
