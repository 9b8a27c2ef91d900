//! One datagram in, one datagram out, with what the kernel knows about each.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::{SockRef, Socket};

use crate::Buffer;

/// A datagram that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many octets of the buffer it fills.
    pub length: usize,
    /// Who sent it, as the network claims. The port of a raw socket's is zero.
    pub source: SocketAddr,
    /// The address that it was sent to, and this socket's port; a multicast address if it came by a group.
    pub destination: SocketAddr,
    /// The index of the interface that it came by.
    pub interface: u32,
    /// How many datagrams the kernel had dropped for this socket, since it was made, when this one arrived.
    pub dropped: u32,
    /// Whether it was longer than the buffer and its end is lost.
    pub truncated: bool,
}

/// Sets what all of this crate's sockets have in common.
pub(crate) fn prepare(socket: &Socket, ipv4: bool, buffer: Buffer) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    if ipv4 {
        socket.set_multicast_all_v4(false)?;
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        socket.set_multicast_all_v6(false)?;
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    setsockopt(socket, sockopt::RxqOvfl, &1)?;
    let octets = buffer.octets();
    // The first is granted beyond the administrator's limit but only to the privileged; the second is cut down to
    // the limit without a word.
    if setsockopt(socket, sockopt::RcvBufForce, &octets).is_err() {
        socket.set_recv_buffer_size(octets)?;
    }
    Ok(())
}

/// Receives one datagram into `parts`, or says `WouldBlock`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel adds only what was asked for")]
pub(crate) fn receive(socket: &impl AsFd, parts: &mut [IoSliceMut<'_>], port: u16) -> io::Result<Received> {
    let mut control = cmsg_space!(libc::in6_pktinfo, u32);
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let source = message.address.as_ref().and_then(socket_address).ok_or_else(|| missing("source"))?;
    let (mut destination, mut interface, mut dropped) = (None, 0, 0);
    for item in message.cmsgs()? {
        match item {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                destination = Some(IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())));
                interface = info.ipi_ifindex.cast_unsigned();
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                destination = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                interface = info.ipi6_ifindex;
            }
            // Sent only when it is not zero.
            ControlMessageOwned::RxqOvfl(count) => dropped = count,
            _ => {}
        }
    }
    let destination = match destination.ok_or_else(|| missing("destination"))? {
        IpAddr::V4(address) => SocketAddr::new(address.into(), port),
        IpAddr::V6(address) => {
            let scope = if needs_scope(address) { interface } else { 0 };
            SocketAddrV6::new(address, port, 0, scope).into()
        }
    };
    Ok(Received {
        length: message.bytes,
        source,
        destination,
        interface,
        dropped,
        truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
    })
}

/// Sends one datagram, from `source` if one is named, or says `WouldBlock`.
pub(crate) fn transmit(
    socket: &impl AsFd,
    payload: &[u8],
    destination: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let socket = socket.as_fd();
    let parts = [IoSlice::new(payload)];
    let address = SockaddrStorage::from(destination);
    let sent = match (source, destination) {
        (None, _) => send_with(socket, &parts, &[], &address)?,
        (Some(IpAddr::V4(source)), SocketAddr::V4(_)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            send_with(socket, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], &address)?
        }
        (Some(IpAddr::V6(source)), SocketAddr::V6(destination)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                ipi6_ifindex: destination.scope_id(),
            };
            send_with(socket, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], &address)?
        }
        (Some(_), _) => {
            let fault = "the source and the destination are of different IP versions";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
        }
    };
    debug_assert_eq!(sent, payload.len(), "the kernel takes a datagram whole or not at all");
    Ok(())
}

/// The address that a socket is bound to.
pub(crate) fn local_address(socket: &impl AsFd) -> io::Result<SocketAddr> {
    SockRef::from(socket).local_addr()?.as_socket().ok_or_else(|| missing("address of the socket"))
}

/// Says whether an address means something only together with an interface (RFC 4007 section 6).
pub(crate) fn needs_scope(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    address.is_unicast_link_local() || matches!(first & 0xff0f, 0xff01 | 0xff02)
}

fn send_with(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    control: &[ControlMessage<'_>],
    address: &SockaddrStorage,
) -> io::Result<usize> {
    Ok(sendmsg(socket.as_raw_fd(), parts, control, MsgFlags::MSG_DONTWAIT, Some(address))?)
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(address.ip().into(), address.port()));
    }
    let address = address.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(address.ip(), address.port(), address.flowinfo(), address.scope_id()).into())
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel did not say the {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_addresses_need_a_scope() {
        for address in ["fe80::1", "ff02::1", "ff12::1", "ff31::1"] {
            assert!(needs_scope(address.parse().unwrap()), "{address}");
        }
        for address in ["::1", "2001:db8::1", "ff05::1", "ff15::1", "ff3e::1"] {
            assert!(!needs_scope(address.parse().unwrap()), "{address}");
        }
    }
}
