//! Which interface is meant.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::{InterfaceFlags, if_indextoname, if_nametoindex},
};

use crate::{netlink::route, own::DEVICE_GROUP};

/// The bits of an IPv4 address behind those that make it multicast.
const NEIGHBOUR_BITS_V4: u32 = 28;
/// The bits of an IPv6 address behind those that make it multicast and give it a scope.
const NEIGHBOUR_BITS_V6: u32 = 112;

/// A network interface of this host.
///
/// Each way to find one takes the option of the command line that names an interface (such as `--interface`), so
/// that the error can tell the person what to say, here and where a group cannot be joined on it. None of them
/// guesses: several candidates are an error.
#[derive(Debug, Clone)]
pub struct Interface {
    index: u32,
    name: String,
    option: &'static str,
}

/// Two are the same whatever option names them.
impl PartialEq for Interface {
    fn eq(&self, other: &Self) -> bool {
        (self.index, &self.name) == (other.index, &other.name)
    }
}

impl Eq for Interface {}

impl Interface {
    /// Finds the interface of this name.
    ///
    /// # Errors
    /// [`InterfaceError::UnknownName`] if there is none.
    pub fn by_name(name: &str, option: &'static str) -> Result<Self, InterfaceError> {
        match if_nametoindex(name) {
            Ok(index) => Ok(Self { index, name: name.into(), option }),
            Err(_) => Err(InterfaceError::UnknownName { name: name.into(), option }),
        }
    }

    /// Finds the interface of this index, which is how the kernel names the one that a datagram came by.
    ///
    /// # Errors
    /// `ENXIO` if there is none.
    pub fn by_index(index: u32, option: &'static str) -> io::Result<Self> {
        let name = if_indextoname(index)?.to_string_lossy().into_owned();
        Ok(Self { index, name, option })
    }

    /// Finds the interface that has this address.
    ///
    /// # Errors
    /// [`InterfaceError::UnknownAddress`] if none has it and [`InterfaceError::AmbiguousAddress`] if several do,
    /// as may be with link-local addresses.
    pub fn by_address(address: IpAddr, option: &'static str) -> Result<Self, InterfaceError> {
        let names: BTreeSet<String> = addresses_of_host()?
            .filter(|entry| address_of(entry) == Some(address))
            .map(|entry| entry.interface_name)
            .collect();
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (None, _) => Err(InterfaceError::UnknownAddress { address, option }),
            (Some(name), None) => Self::by_name(&name, option),
            (Some(_), Some(_)) => Err(InterfaceError::AmbiguousAddress { address, option }),
        }
    }

    /// Finds the interface by which this host sends to `group`.
    ///
    /// The host's routes decide; where a guard has made the group unreachable, or a TUN device of ours has taken its
    /// route, those to its neighbours among addresses. For IPv6 every interface has a route to all groups of its own accord; if that is
    /// all there is, it decides only where just one interface that can carry multicast is up, TUN devices of ours apart.
    ///
    /// # Errors
    /// [`InterfaceError::NoRoute`] and [`InterfaceError::AmbiguousRoute`].
    pub fn towards(group: IpAddr, option: &'static str) -> Result<Self, InterfaceError> {
        let route = match route_beside_ours(group) {
            Ok(route) => route,
            Err(error) if is_unreachable(&error) => return Err(InterfaceError::NoRoute { group, option }),
            Err(error) => return Err(error.into()),
        };
        if route.automatic {
            let names: BTreeSet<String> = addresses_of_host()?
                .filter(|entry| entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST))
                .filter(|entry| address_of(entry).is_some_and(|address| address.is_ipv6()))
                .map(|entry| entry.interface_name)
                .filter(|name| !is_device_of_ours(name))
                .collect();
            return match &names.into_iter().collect::<Vec<_>>()[..] {
                [] => Err(InterfaceError::NoRoute { group, option }),
                [name] => Self::by_name(name, option),
                names => Err(InterfaceError::AmbiguousRoute { group, names: names.to_vec(), option }),
            };
        }
        Ok(Self::by_index(route.interface, option)?)
    }

    /// Says the kernel's number of this interface; it is never zero.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Says the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says which option of the command line chooses another.
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// Lists the addresses in the order in which the kernel does, which begins with the primary one.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let mine = addresses_of_host()?.filter(|entry| entry.interface_name == self.name);
        Ok(mine.filter_map(|entry| address_of(&entry)).collect())
    }

    /// Says whether this is a loopback interface, whose packets never leave the host.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn is_loopback(&self) -> io::Result<bool> {
        let mut mine = addresses_of_host()?.filter(|entry| entry.interface_name == self.name);
        Ok(mine.any(|entry| entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)))
    }

    /// Says the largest IP packet, in octets, that this interface takes.
    ///
    /// # Errors
    /// `ENODEV` if the interface is gone.
    pub fn mtu(&self) -> io::Result<u32> {
        route::mtu_of(self.index)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// No interface, or no single one, is meant.
#[derive(Debug)]
pub enum InterfaceError {
    /// Several interfaces have the address.
    AmbiguousAddress {
        /// The address.
        address: IpAddr,
        /// The option that names an interface.
        option: &'static str,
    },
    /// Several interfaces lead to the group and no route prefers one.
    AmbiguousRoute {
        /// The group.
        group: IpAddr,
        /// The interfaces' names.
        names: Vec<String>,
        /// The option that names an interface.
        option: &'static str,
    },
    /// No interface leads to the group.
    NoRoute {
        /// The group.
        group: IpAddr,
        /// The option that names an interface.
        option: &'static str,
    },
    /// The kernel could not be asked.
    System(io::Error),
    /// No interface has the address.
    UnknownAddress {
        /// The address.
        address: IpAddr,
        /// The option that names an interface.
        option: &'static str,
    },
    /// No interface has the name.
    UnknownName {
        /// The name.
        name: String,
        /// The option that names an interface.
        option: &'static str,
    },
}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AmbiguousAddress { address, option } => {
                write!(f, "several interfaces have the address {address}; name one with {option}")
            }
            Self::AmbiguousRoute { group, names, option } => {
                write!(f, "several interfaces lead to {group}: {}; name one with {option}", names.join(", "))
            }
            Self::NoRoute { group, option } => {
                write!(f, "this host has no route to {group}; name an interface with {option}")
            }
            Self::System(error) => write!(f, "cannot ask the kernel about interfaces: {error}"),
            Self::UnknownAddress { address, option } => {
                write!(f, "no interface has the address {address}; name one that exists with {option}")
            }
            Self::UnknownName { name, option } => {
                write!(f, "there is no interface {name:?}; name one that exists with {option}")
            }
        }
    }
}

impl Error for InterfaceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            Self::AmbiguousAddress { .. }
            | Self::AmbiguousRoute { .. }
            | Self::NoRoute { .. }
            | Self::UnknownAddress { .. }
            | Self::UnknownName { .. } => None,
        }
    }
}

impl From<io::Error> for InterfaceError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn addresses_of_host() -> io::Result<impl Iterator<Item = InterfaceAddress>> {
    Ok(getifaddrs()?)
}

fn address_of(entry: &InterfaceAddress) -> Option<IpAddr> {
    let address = entry.address.as_ref()?;
    if let Some(address) = address.as_sockaddr_in() {
        return Some(address.ip().into());
    }
    address.as_sockaddr_in6().map(|address| Ipv6Addr::into(address.ip()))
}

/// Asks for the route to a group as it would be without guards and TUN devices of ours.
///
/// Those are routes to single addresses. The nearest neighbour that has none of them shares every prefix with the
/// group that is not a single address.
fn route_beside_ours(group: IpAddr) -> io::Result<route::Route> {
    let found = route::route_to(group);
    if !is_ours(group, &found)? {
        return found;
    }
    for neighbour in neighbours(group) {
        let beside = route::route_to(neighbour);
        if !is_ours(neighbour, &beside)? {
            return beside;
        }
    }
    found
}

/// Says whether an interface is a TUN device of ours. One that has gone is none.
fn is_device_of_ours(name: &str) -> bool {
    if_nametoindex(name).is_ok_and(|index| route::group_of(index).is_ok_and(|group| group == DEVICE_GROUP))
}

/// Says whether what the kernel answered about the way to an address is our own doing.
fn is_ours(address: IpAddr, found: &io::Result<route::Route>) -> io::Result<bool> {
    match found {
        Ok(route) => Ok(route::group_of(route.interface)? == DEVICE_GROUP),
        Err(error) if is_unreachable(error) => route::has_unreachable(address),
        Err(_) => Ok(false),
    }
}

/// Lists addresses that differ from another in one bit, the nearest first, all of them multicast as it is.
fn neighbours(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            (0..NEIGHBOUR_BITS_V4).map(|bit| Ipv4Addr::from(u32::from(address) ^ 1 << bit).into()).collect()
        }
        IpAddr::V6(address) => {
            (0..NEIGHBOUR_BITS_V6).map(|bit| Ipv6Addr::from(u128::from(address) ^ 1 << bit).into()).collect()
        }
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_loopback_by_name_by_address_and_by_route() {
        let by_name = Interface::by_name("lo", "--interface").unwrap();
        let localhost = "127.0.0.1".parse().unwrap();
        assert_eq!(Interface::by_address(localhost, "--interface").unwrap(), by_name);
        assert_eq!(Interface::towards(localhost, "--interface").unwrap(), by_name);
        assert_eq!(Interface::by_index(by_name.index(), "--interface").unwrap(), by_name);
        assert!(by_name.is_loopback().unwrap());
        assert!(by_name.addresses().unwrap().contains(&localhost));
        assert!(by_name.mtu().unwrap() >= 1_280);
    }

    #[test]
    fn an_error_names_the_option() {
        let error = Interface::by_name("no such", "--interface").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no interface \"no such\"; name one that exists with --interface"
        );
        let error = Interface::by_address("192.0.2.254".parse().unwrap(), "--interface").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no interface has the address 192.0.2.254; name one that exists with --interface"
        );
    }
}
