//! Asks the kernel's routing socket: which way a group lies, how large a packet an interface takes; and adds routes.

use std::{io, net::IpAddr};

use nix::sys::socket::SockProtocol;

use super::{
    Request,
    attribute::{attribute, attribute_u32, put_attribute},
    cut_short,
};

/// Octets of `struct rtmsg`.
const ROUTE_MESSAGE: usize = 12;
/// Octets of `struct ifinfomsg`.
const LINK_MESSAGE: usize = 16;
/// Asks for the route that matched, with its prefix, and not for what became of it (`RTM_F_FIB_MATCH`).
const MATCHING_ROUTE: u32 = 0x2000;
/// The prefix, in bits, of the IPv6 route to all groups that each interface has of its own accord.
const ALL_GROUPS: u8 = 8;
/// The link attribute that holds the MTU (`IFLA_MTU`).
const LINK_MTU: u16 = 4;

/// The link attribute that holds the group of the interface (`IFLA_GROUP`).
const LINK_GROUP: u16 = 27;
/// The route attribute that holds its metric (`RTA_PRIORITY`).
const METRIC: u16 = 6;
/// The metric of unreachable routes: any other route to the same address is preferred.
const METRIC_LAST: u32 = u32::MAX - 1;

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

    let answer = ask(libc::RTM_GETROUTE, 0, body)?;
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
    let table = table_of(destination);
    let (scope, kind) = match destination {
        IpAddr::V4(_) => (libc::RT_SCOPE_LINK, libc::RTN_UNICAST),
        IpAddr::V6(address) if address.is_multicast() => (libc::RT_SCOPE_UNIVERSE, libc::RTN_MULTICAST),
        IpAddr::V6(_) => (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST),
    };
    let (family, octets) = family_and_octets(destination);
    let mut body = vec![0; ROUTE_MESSAGE];
    body[..8].copy_from_slice(&[family, prefix, 0, 0, table, libc::RTPROT_STATIC, scope, kind]);
    put_attribute(&mut body, libc::RTA_DST, &octets);
    put_attribute(&mut body, libc::RTA_OIF, &interface.to_ne_bytes());
    if let Some(source) = source {
        put_attribute(&mut body, libc::RTA_PREFSRC, &family_and_octets(source).1);
    }
    ask(libc::RTM_NEWROUTE, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE, body).map(|_| ())
}

/// Makes an address unreachable unless another route leads there. Says whether it is new that it is.
///
/// # Errors
/// `EPERM` without root or CAP_NET_ADMIN.
pub(crate) fn add_unreachable(address: IpAddr) -> io::Result<bool> {
    let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    match ask(libc::RTM_NEWROUTE, flags, unreachable(address)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes back what [`add_unreachable`] did. Says whether there was anything to take back.
///
/// # Errors
/// `EPERM` without root or CAP_NET_ADMIN.
pub(crate) fn remove_unreachable(address: IpAddr) -> io::Result<bool> {
    match ask(libc::RTM_DELROUTE, libc::NLM_F_ACK, unreachable(address)) {
        Ok(_) => Ok(true),
        // The kernel says that there is no such process; or no such file, where another takes an IPv6 route away at the same
        // instant.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says whether the route of [`add_unreachable`] is there.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) fn has_unreachable(address: IpAddr) -> io::Result<bool> {
    let (family, octets) = family_and_octets(address);
    let mut body = vec![0; ROUTE_MESSAGE];
    (body[0], body[4], body[7]) = (family, table_of(address), libc::RTN_UNREACHABLE);
    let request = Request { kind: libc::RTM_GETROUTE, flags: libc::NLM_F_DUMP, body };
    let routes = super::list(SockProtocol::NetlinkRoute, &request)?;
    Ok(routes.iter().any(|route| {
        let Some((message, attributes)) = route.split_at_checked(ROUTE_MESSAGE) else { return false };
        (message[1], message[4], message[7])
            == (prefix_of_host(address), table_of(address), libc::RTN_UNREACHABLE)
            && attribute(attributes, libc::RTA_DST) == Some(&octets)
            && attribute_u32(attributes, METRIC) == Some(METRIC_LAST)
    }))
}

/// Writes the message of an unreachable route.
fn unreachable(address: IpAddr) -> Vec<u8> {
    let (family, octets) = family_and_octets(address);
    let mut body = vec![0; ROUTE_MESSAGE];
    body[..8].copy_from_slice(&[
        family,
        prefix_of_host(address),
        0,
        0,
        table_of(address),
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNREACHABLE,
    ]);
    put_attribute(&mut body, libc::RTA_DST, &octets);
    put_attribute(&mut body, METRIC, &METRIC_LAST.to_ne_bytes());
    body
}

/// Says in which table routes to an address stand. IPv6 looks for groups in the kernel's own before any other.
fn table_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V6(address) if address.is_multicast() => libc::RT_TABLE_LOCAL,
        IpAddr::V4(_) | IpAddr::V6(_) => libc::RT_TABLE_MAIN,
    }
}

/// Puts the interface of this index into a group of interfaces.
///
/// # Errors
/// `ENODEV` if there is no such interface, `EPERM` without root or CAP_NET_ADMIN.
pub(crate) fn set_group_of(interface: u32, group: u32) -> io::Result<()> {
    let mut body = vec![0; LINK_MESSAGE];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    put_attribute(&mut body, LINK_GROUP, &group.to_ne_bytes());
    ask(libc::RTM_SETLINK, libc::NLM_F_ACK, body).map(|_| ())
}

/// Asks for the group of the interface of this index; 0 unless somebody chose another.
///
/// # Errors
/// `ENODEV` if there is no such interface.
pub(crate) fn group_of(interface: u32) -> io::Result<u32> {
    link_attribute(interface, LINK_GROUP)
}

/// Asks for the largest packet, in octets, that the interface of this index takes.
///
/// # Errors
/// `ENODEV` if there is no such interface.
pub(crate) fn mtu_of(interface: u32) -> io::Result<u32> {
    link_attribute(interface, LINK_MTU)
}

fn link_attribute(interface: u32, kind: u16) -> io::Result<u32> {
    let mut body = vec![0; LINK_MESSAGE];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    let answer = ask(libc::RTM_GETLINK, 0, body)?;
    let attributes = answer.get(LINK_MESSAGE..).ok_or_else(cut_short)?;
    attribute_u32(attributes, kind).ok_or_else(cut_short)
}

fn ask(kind: u16, flags: libc::c_int, body: Vec<u8>) -> io::Result<Vec<u8>> {
    super::ask(SockProtocol::NetlinkRoute, &Request { kind, flags, body })
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

#[cfg(test)]
mod tests {
    use super::*;

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
