//! Asks the kernel's routing socket: which way a group lies, how large a packet an interface takes; and adds a route.
//!
//! Three requests with one answer each do not need a netlink library.

use std::{io, net::IpAddr, os::fd::AsRawFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// Octets of `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// Octets of `struct rtmsg`.
const ROUTE_MESSAGE: usize = 12;
/// Octets of `struct ifinfomsg`.
const LINK_MESSAGE: usize = 16;
/// Octets kept for one answer: a link with all its statistics takes about 2,000, a route 200.
const ANSWER: usize = 16 * 1024;
/// Asks for the route that matched, with its prefix, and not for what became of it (`RTM_F_FIB_MATCH`).
const MATCHING_ROUTE: u32 = 0x2000;
/// The prefix, in bits, of the IPv6 route to all groups that each interface has of its own accord.
const ALL_GROUPS: u8 = 8;
/// The link attribute that holds the MTU (`IFLA_MTU`).
const LINK_MTU: u16 = 4;

/// The way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// Index of the interface that the packet would leave by.
    pub(crate) interface: u32,
    /// Whether nothing but the kernel's own `ff00::/8` knew an IPv6 group: each interface has that route, so such an
    /// answer is the first interface and nobody's choice. IPv4 has no such routes.
    pub(crate) automatic: bool,
}

/// Asks by which interface a packet to `destination` would leave.
///
/// # Errors
/// `NetworkUnreachable` if there is no route.
pub(crate) fn route_to(destination: IpAddr) -> io::Result<Route> {
    let (family, octets) = family_and_octets(destination);
    let mut body = vec![0; ROUTE_MESSAGE];
    body[0] = family;
    body[1] = prefix_of_host(destination);
    if destination.is_ipv6() {
        body[8..12].copy_from_slice(&MATCHING_ROUTE.to_ne_bytes());
    }
    put_attribute(&mut body, libc::RTA_DST, &octets);

    let answer = ask(libc::RTM_GETROUTE, 0, &body)?;
    let (message, attributes) = answer.split_at_checked(ROUTE_MESSAGE).ok_or_else(cut_short)?;
    let interface = attribute_u32(attributes, libc::RTA_OIF)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NetworkUnreachable))?;
    let automatic = destination.is_ipv6() && message[4] == libc::RT_TABLE_LOCAL && message[1] <= ALL_GROUPS;
    Ok(Route { interface, automatic })
}

/// Adds a route to a network by the interface of this index; it goes away with the interface.
///
/// # Errors
/// `EPERM` without root or CAP_NET_ADMIN; `EINVAL` if the prefix is longer than the address or shorter than what the
/// address says.
pub(crate) fn add_route(
    interface: u32,
    destination: IpAddr,
    prefix: u8,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let is_mixed = source.is_some_and(|source| source.is_ipv4() != destination.is_ipv4());
    if prefix > prefix_of_host(destination) || is_mixed {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // IPv6 looks for groups in the kernel's own table before any other.
    let (table, scope, kind) = match destination {
        IpAddr::V4(_) => (libc::RT_TABLE_MAIN, libc::RT_SCOPE_LINK, libc::RTN_UNICAST),
        IpAddr::V6(address) if address.is_multicast() => {
            (libc::RT_TABLE_LOCAL, libc::RT_SCOPE_UNIVERSE, libc::RTN_MULTICAST)
        }
        IpAddr::V6(_) => (libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST),
    };
    let (family, octets) = family_and_octets(destination);
    let mut body = vec![0; ROUTE_MESSAGE];
    body[..8].copy_from_slice(&[family, prefix, 0, 0, table, libc::RTPROT_STATIC, scope, kind]);
    put_attribute(&mut body, libc::RTA_DST, &octets);
    put_attribute(&mut body, libc::RTA_OIF, &interface.to_ne_bytes());
    if let Some(source) = source {
        put_attribute(&mut body, libc::RTA_PREFSRC, &family_and_octets(source).1);
    }
    ask(libc::RTM_NEWROUTE, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body).map(|_| ())
}

/// Asks for the largest packet, in octets, that the interface of this index takes.
///
/// # Errors
/// `ENODEV` if there is no such interface.
pub(crate) fn mtu_of(interface: u32) -> io::Result<u32> {
    let mut body = vec![0; LINK_MESSAGE];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    let answer = ask(libc::RTM_GETLINK, 0, &body)?;
    let attributes = answer.get(LINK_MESSAGE..).ok_or_else(cut_short)?;
    attribute_u32(attributes, LINK_MTU).ok_or_else(cut_short)
}

/// Sends one request and gives back the body of its one answer, which is empty if that only acknowledges.
fn ask(kind: u16, flags: libc::c_int, body: &[u8]) -> io::Result<Vec<u8>> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let length = u32::try_from(HEADER + body.len()).expect("requests are short");
    let flags = u16::try_from(libc::NLM_F_REQUEST | flags).expect("flags have 16 bits");
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;

    let mut answer = vec![0; ANSWER];
    let received = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let length = read_u32(&answer[..received], 0).ok_or_else(cut_short)? as usize;
    let message = answer.get(..length.min(received)).ok_or_else(cut_short)?;
    let answered = read_u16(message, 4).ok_or_else(cut_short)?;
    let body = message.get(HEADER..).ok_or_else(cut_short)?;
    if i32::from(answered) == libc::NLMSG_ERROR {
        let code = read_u32(body, 0).ok_or_else(cut_short)?.cast_signed();
        return match code {
            0 => Ok(vec![]),
            code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        };
    }
    Ok(body.to_vec())
}

fn family_and_octets(address: IpAddr) -> (u8, Vec<u8>) {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    (u8::try_from(family).expect("an address family is a small number"), octets)
}

/// The prefix, in bits, that names one address.
fn prefix_of_host(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Appends an attribute: length, type, value, and octets up to a multiple of four.
fn put_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("attributes are short");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Finds an attribute that holds one 32-bit number.
fn attribute_u32(mut attributes: &[u8], wanted: u16) -> Option<u32> {
    while let (Some(length), Some(kind)) = (read_u16(attributes, 0), read_u16(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return read_u32(value, 0);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn read_u16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn read_u32(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer about a route or a link was cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_attribute_among_others_and_survives_every_cut() {
        let mut attributes = vec![];
        put_attribute(&mut attributes, 1, b"odd");
        put_attribute(&mut attributes, 4, &7u32.to_ne_bytes());
        put_attribute(&mut attributes, 9, &[]);
        assert_eq!(attribute_u32(&attributes, 4), Some(7));
        assert_eq!(attribute_u32(&attributes, 9), None, "an empty one holds no number");
        assert_eq!(attribute_u32(&attributes, 5), None);
        for length in 0..attributes.len() {
            let found = attribute_u32(&attributes[..length], 4);
            assert_eq!(found, (length >= 16).then_some(7), "cut at {length}");
        }
        assert_eq!(attribute_u32(&[0; 64], 4), None, "a length of zero does not loop");
    }

    #[test]
    fn knows_the_way_to_this_host_and_the_size_of_its_packets() {
        let route = route_to("127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(route, Route { interface: 1, automatic: false });
        assert!(mtu_of(1).unwrap() >= 1_280);
    }

    #[test]
    fn says_that_there_is_no_such_interface() {
        let error = mtu_of(0x7fff_fff0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
