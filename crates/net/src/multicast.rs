//! Joining and leaving groups, and how multicast leaves.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use claviger_sansio::multicast::is_source_specific;
use socket2::{Domain, SockRef, Socket, Type};

use crate::{Interface, option};

/// What a socket wants to hear: a group, of any source or of one, on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership {
    /// The multicast address.
    pub group: IpAddr,
    /// The only source to be heard (RFC 4607); `None` hears them all.
    pub source: Option<IpAddr>,
    /// The index of the interface; never zero, for the kernel would then choose.
    pub interface: u32,
}

impl Membership {
    /// Describes a group on an interface.
    pub fn new(group: IpAddr, source: Option<IpAddr>, interface: &Interface) -> Self {
        Self { group, source, interface: interface.index() }
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        let fault = if !self.group.is_multicast() {
            "the address is not a multicast address"
        } else if self.interface == 0 {
            "a membership needs an interface"
        } else if self.source.is_some_and(|source| source.is_ipv4() != self.group.is_ipv4()) {
            "the source and the group are of different IP versions"
        } else if self.source.is_some_and(|source| source.is_multicast() || source.is_unspecified()) {
            "the source is not a unicast address"
        } else if self.source.is_none() && is_source_specific(self.group) {
            // RFC 4607 section 4.1: a request without a source for such an address should be refused by the host.
            "the address is source-specific and needs a source"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, fault))
    }
}

/// A socket that sends and receives multicast: [`crate::UdpSocket`] and [`crate::RawSocket`].
pub trait MulticastSocket: AsFd + Sized {
    /// Says whether the socket is one of IPv4; otherwise it is one of IPv6.
    fn is_ipv4(&self) -> bool;

    /// Joins a group, so that its datagrams reach this socket.
    ///
    /// # Errors
    /// `InvalidInput` if the membership makes no sense; `ENODEV` if the interface is gone, `EADDRINUSE` if the
    /// socket has joined already, `ENOBUFS` if it has reached its limit of groups (20) or sources (10 a group).
    fn join(&self, membership: &Membership) -> io::Result<()> {
        membership.check()?;
        let Membership { group, source, interface } = *membership;
        match source {
            None => option::set_group(self, libc::MCAST_JOIN_GROUP, interface, group),
            Some(source) => {
                option::set_source_group(self, libc::MCAST_JOIN_SOURCE_GROUP, interface, group, source)
            }
        }
    }

    /// Leaves a group that was joined by the same membership; closing the socket leaves all.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if it was not joined.
    fn leave(&self, membership: &Membership) -> io::Result<()> {
        membership.check()?;
        let Membership { group, source, interface } = *membership;
        match source {
            None => option::set_group(self, libc::MCAST_LEAVE_GROUP, interface, group),
            Some(source) => {
                option::set_source_group(self, libc::MCAST_LEAVE_SOURCE_GROUP, interface, group, source)
            }
        }
    }

    /// Chooses the interface by which multicast leaves.
    ///
    /// On loopback, IPv4 multicast that names no source then leaves from the loopback address: the kernel itself
    /// would take an address of another interface, because a loopback address is of host scope.
    ///
    /// # Errors
    /// `ENODEV` or `EADDRNOTAVAIL` if the interface is gone.
    fn set_multicast_interface(&self, interface: &Interface) -> io::Result<()> {
        if !self.is_ipv4() {
            return SockRef::from(self).set_multicast_if_v6(interface.index());
        }
        let source = match interface.is_loopback()? {
            true => interface.addresses()?.into_iter().find_map(as_ipv4),
            false => None,
        };
        option::set_multicast_interface_v4(self, interface.index(), source)
    }

    /// Sets how many hops multicast may travel: 0 stays on this host, 1, the default, on the link.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn set_multicast_hops(&self, hops: u8) -> io::Result<()> {
        let socket = SockRef::from(self);
        match self.is_ipv4() {
            true => socket.set_multicast_ttl_v4(hops.into()),
            false => socket.set_multicast_hops_v6(hops.into()),
        }
    }

    /// Chooses whether members on this host hear what this socket sends; they do by default.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn set_multicast_loop(&self, heard_here: bool) -> io::Result<()> {
        let socket = SockRef::from(self);
        match self.is_ipv4() {
            true => socket.set_multicast_loop_v4(heard_here),
            false => socket.set_multicast_loop_v6(heard_here),
        }
    }

    /// Says how many datagrams the kernel has dropped since the socket was made, mostly because its buffer was
    /// full. Unlike [`crate::Received::dropped`] this counts also those after the last one received.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn dropped(&self) -> io::Result<u32> {
        option::drops(self)
    }

    /// Says how many octets were handed to the kernel and have not left it: they wait for a neighbour's address, in the
    /// queue of an interface, or in its driver. The kernel's own account of each datagram is among them, so that zero says
    /// that all have left, and no other number how many have not.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn unsent(&self) -> io::Result<usize> {
        option::unsent(self)
    }

    /// Says how large the receive buffer is: the octets asked for and as many again, which the kernel keeps for its
    /// own account of them.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn receive_buffer(&self) -> io::Result<usize> {
        SockRef::from(self).recv_buffer_size()
    }
}

/// Says whether datagrams to a group find a way out of this host, without sending one: by the interface that is chosen for
/// multicast, or else by the routes.
///
/// # Errors
/// What the kernel would say to a datagram: `ENETUNREACH` without a route, or while the interface is down.
pub fn way_out(group: IpAddr, interface: Option<&Interface>) -> io::Result<()> {
    let destination = SocketAddr::new(group, DISCARD);
    let socket = Socket::new(Domain::for_address(destination), Type::DGRAM, None)?;
    let probe = Probe { socket, is_ipv4: group.is_ipv4() };
    if let Some(interface) = interface {
        probe.set_multicast_interface(interface)?;
    }
    // Connecting asks for the route.
    probe.socket.connect(&destination.into())
}

/// The discard port: nothing is ever sent there.
const DISCARD: u16 = 9;

/// A socket that only asks.
struct Probe {
    socket: Socket,
    is_ipv4: bool,
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl MulticastSocket for Probe {
    fn is_ipv4(&self) -> bool {
        self.is_ipv4
    }
}

fn as_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(group: &str, source: Option<&str>, interface: u32) -> Option<String> {
        let membership = Membership {
            group: group.parse().unwrap(),
            source: source.map(|source| source.parse().unwrap()),
            interface,
        };
        membership.check().err().map(|error| error.to_string())
    }

    #[test]
    fn refuses_memberships_that_make_no_sense() {
        for (group, source, interface) in [
            ("10.0.0.1", None, 1),
            ("2001:db8::1", None, 1),
            ("239.1.1.1", None, 0),
            ("239.1.1.1", Some("2001:db8::1"), 1),
            ("232.1.1.1", None, 1),
            ("ff35::8000:1", None, 1),
            ("232.1.1.1", Some("239.1.1.1"), 1),
            ("232.1.1.1", Some("0.0.0.0"), 1),
        ] {
            assert!(fault(group, source, interface).is_some(), "{group} {source:?} {interface}");
        }
        for (group, source) in [
            ("239.1.1.1", None),
            ("239.1.1.1", Some("10.0.0.1")),
            ("232.1.1.1", Some("10.0.0.1")),
            ("ff15::1", None),
            ("ff35::8000:1", Some("2001:db8::1")),
        ] {
            assert_eq!(fault(group, source, 1), None, "{group} {source:?}");
        }
    }
}
