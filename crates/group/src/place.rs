//! Where members are: prefixes of addresses, each with a multicast address of its own for what only members there need.

use std::{
    fmt,
    net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A prefix of IP addresses (RFC 4632 section 3.1, RFC 4291 section 2.3). The bits behind its length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a prefix cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrefixError {
    /// What stands before the slash is no address.
    Address(AddrParseError),
    /// Bits behind the length are set.
    HostBits,
    /// The length is none, or more than the address has bits.
    Length,
    /// There is no slash.
    Slash,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address(_) => "what stands before the slash is no IP address",
            Self::HostBits => "bits are set behind the prefix",
            Self::Length => "the length of a prefix is 0 to 32 for IPv4 and 0 to 128 for IPv6",
            Self::Slash => "a prefix is written ADDR/LENGTH, such as 10.9.0.0/16",
        })
    }
}

impl std::error::Error for PrefixError {}

impl Prefix {
    /// Makes a prefix of the first `length` bits of an address.
    ///
    /// # Errors
    ///
    /// [`PrefixError::Length`] if the address has fewer bits, [`PrefixError::HostBits`] if bits behind them are set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if length > bits {
            return Err(PrefixError::Length);
        }
        if masked(address, length) != address {
            return Err(PrefixError::HostBits);
        }
        Ok(Self { address, length })
    }

    /// Returns the first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns how many bits all its addresses share.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Says whether an address begins with it. An IPv4 address in IPv6's clothes counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }
}

/// Clears the bits behind the first `length`.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.split_once('/').ok_or(PrefixError::Slash)?;
        let address = address.parse().map_err(PrefixError::Address)?;
        Self::new(address, length.parse().map_err(|_| PrefixError::Length)?)
    }
}

/// A place: the members whose addresses begin with a prefix, and where rekey messages go that they alone need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPlace {
    /// Which members are there; the longest prefix of an address decides.
    pub prefix: Prefix,
    /// The multicast address of GROUPKEY-PUSH messages that only they need.
    pub push_address: IpAddr,
    /// How many members are expected: the key tree keeps that much room together for them. More are welcome.
    pub members: u32,
}

/// Finds the place of an address: the number of the one with the longest prefix of it.
pub fn place_at(places: &[GroupPlace], address: IpAddr) -> Option<usize> {
    let around = places.iter().enumerate().filter(|(_, place)| place.prefix.contains(address));
    around.max_by_key(|(_, place)| place.prefix.length).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_read_and_written() {
        for text in ["10.9.0.0/16", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32", "::/0", "::1/128"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        for (text, wrong) in [
            ("10.9.0.0", PrefixError::Slash),
            ("10.9.0.1/16", PrefixError::HostBits),
            ("2001:db8::1/64", PrefixError::HostBits),
            ("10.9.0.0/33", PrefixError::Length),
            ("10.9.0.0/", PrefixError::Length),
            ("::/129", PrefixError::Length),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(wrong), "{text}");
        }
        assert!(matches!("site/16".parse::<Prefix>(), Err(PrefixError::Address(_))));
    }

    #[test]
    fn a_prefix_contains_what_begins_with_it() {
        for (text, inside, outside) in [
            ("10.9.0.0/16", "10.9.255.1", "10.10.0.1"),
            ("10.9.0.0/16", "::ffff:10.9.0.1", "::10.9.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
        ] {
            assert!(prefix(text).contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!prefix(text).contains(outside.parse().unwrap()), "{text} {outside}");
        }
    }

    #[test]
    fn the_longest_prefix_is_the_place() {
        let place = |text, last| GroupPlace {
            prefix: prefix(text),
            push_address: [239, 192, 1, last].into(),
            members: 8,
        };
        let places = [place("10.0.0.0/8", 1), place("10.9.0.0/16", 2), place("10.9.8.0/24", 3)];
        let at = |text: &str| place_at(&places, text.parse().unwrap());
        assert_eq!(at("10.9.8.7"), Some(2));
        assert_eq!(at("10.9.9.7"), Some(1));
        assert_eq!(at("10.8.0.1"), Some(0));
        assert_eq!(at("192.0.2.1"), None);
    }
}
