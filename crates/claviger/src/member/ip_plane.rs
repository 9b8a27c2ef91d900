//! ESP as IP protocol 50, its packets from and to a TUN device.

use std::{io, net::IpAddr, sync::Arc};

use claviger_esp::packet::{IpHeader, IpPacket, Mode, mode};
use claviger_member::event::Places;
use claviger_net::{
    BindError, Interface, MulticastSocket, Protocol, RawOptions, RawSocket, TunDevice, TunOptions,
};

use super::{dropped::Dropped, group_keys::GroupKeys};
use crate::{
    exit::Failure,
    route::{is_link_local, unspecified},
    settings::member::TunSettings,
};

/// What ESP adds at most to a packet: outer header, SPI, number, IV, padding, trailer, ICV, rounded up.
const ESP_OVERHEAD: u32 = 100;

/// The hops that data may travel.
const DATA_HOPS: u8 = 32;

pub(super) struct IpPlane {
    tun: TunDevice,
    socket: RawSocket,
}

impl IpPlane {
    /// Makes the device and the socket that sends; [`IpPlane::leave_by`] chooses how.
    pub(super) fn open(
        places: &Places,
        interface: &Interface,
        settings: &TunSettings,
    ) -> Result<Self, Failure> {
        let mtu = interface.mtu()?.saturating_sub(ESP_OVERHEAD).clamp(1280, 65_000);
        let mut options = TunOptions::new(mtu as u16, "--tun");
        options.name.clone_from(&settings.name);
        for (address, prefix) in &settings.addresses {
            match address {
                IpAddr::V4(address) => options.ipv4 = Some((*address, *prefix)),
                IpAddr::V6(address) => options.ipv6.push((*address, *prefix)),
            }
        }
        let tun = TunDevice::create(&options)?;
        let mut raw = RawOptions::new("--tun");
        raw.foreign_source = true;
        let any = unspecified(places.channel.group());
        let socket = RawSocket::bind(Protocol::Esp, any, &raw)?;
        socket.set_multicast_hops(DATA_HOPS)?;
        Ok(Self { tun, socket })
    }

    /// Has the group's packets leave by an interface, from an address of this host that is there.
    pub(super) fn leave_by(
        &self,
        places: &Places,
        interface: &Interface,
        settings: &TunSettings,
    ) -> Result<(), Failure> {
        let group = places.channel.group();
        let has_own = settings.addresses.iter().any(|(address, _)| address.is_ipv4() == group.is_ipv4());
        let source = if has_own { None } else { source_of(places, interface)? };
        self.tun.add_route(group, if group.is_ipv4() { 32 } else { 128 }, source)?;
        self.socket.set_multicast_interface(interface)?;
        Ok(())
    }

    /// Opens the socket that receives.
    pub(super) fn receive(
        &self,
        places: &Places,
        interface: &Interface,
    ) -> Result<Arc<RawSocket>, BindError> {
        let (group, source) = (places.channel.group(), places.channel.source());
        let options = RawOptions::new("--tun");
        Ok(Arc::new(RawSocket::bind_group(Protocol::Esp, group, interface, source, &options)?))
    }

    /// Waits for a packet that a program on this host sends.
    pub(super) async fn next_packet(&self) -> Vec<u8> {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        match self.tun.recv(&mut buffer).await {
            Ok(length) => {
                buffer.truncate(length);
                buffer
            }
            Err(error) => {
                tracing::error!(%error, "TUN device");
                std::future::pending().await
            }
        }
    }

    /// Says how much of what was sent has not left this host.
    pub(super) fn unsent(&self) -> io::Result<usize> {
        self.socket.unsent()
    }

    /// Protects a packet if it is for the group, and sends it from the address that it was sent from.
    pub(super) async fn seal(
        &self,
        mut keys: GroupKeys<'_>,
        places: &Places,
        octets: &[u8],
    ) -> Result<(), Dropped> {
        let packet = IpPacket::parse(octets)?;
        if packet.header.destination != places.channel.group() {
            return Err(Dropped::OtherDestination);
        }
        let (next_header, inside) = Mode::from(places.encapsulation).inside(octets, &packet)?;
        let esp = keys.seal(next_header, &[inside])?;
        let destination = (packet.header.destination, 0).into();
        self.socket.send(&esp, destination, Some(packet.header.source)).await.map_err(Dropped::NotSent)
    }

    /// Opens a packet of the group and gives what was inside to the programs of this host. This member's own packets
    /// are none of their business.
    pub(super) async fn take(
        &self,
        mut keys: GroupKeys<'_>,
        places: &Places,
        source: IpAddr,
        destination: IpAddr,
        esp: &[u8],
    ) -> Result<(), Dropped> {
        let outer = IpHeader::new(source, destination);
        let (sender, packet) = keys.open(source, esp, |opened| {
            Ok((opened.sender, mode::unwrap_bare(&outer, Mode::from(places.encapsulation), &opened)?))
        })?;
        if keys.is_own(&sender) {
            return Ok(());
        }
        self.tun.send(&packet).await.map_err(Dropped::NotDelivered)
    }
}

/// Chooses the address that this host's packets to the group leave from: the channel's source if it is this host, or
/// the first of the interface's that reaches beyond the link.
fn source_of(places: &Places, interface: &Interface) -> io::Result<Option<IpAddr>> {
    let mut addresses = interface.addresses()?;
    addresses
        .retain(|address| address.is_ipv4() == places.channel.group().is_ipv4() && !is_link_local(address));
    let named = places.channel.source().filter(|source| addresses.contains(source));
    Ok(named.or(addresses.first().copied()))
}
