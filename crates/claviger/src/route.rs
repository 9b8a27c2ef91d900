//! What the routing table says about addresses.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// The discard port: nothing is ever sent there.
const DISCARD: u16 = 9;

/// Finds the address that this host's packets to another, or to a group, leave from.
pub(crate) fn address_towards(host: IpAddr) -> io::Result<IpAddr> {
    // Connecting makes the system choose, and sends nothing.
    let socket = UdpSocket::bind((unspecified(host), 0))?;
    socket.connect(SocketAddr::new(host, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

/// Returns any address, of the same family.
pub(crate) fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Says whether an address is good on one link only.
pub(crate) fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_this_host_begins_at_itself() {
        assert_eq!(address_towards(Ipv4Addr::LOCALHOST.into()).unwrap(), IpAddr::from(Ipv4Addr::LOCALHOST));
    }
}
