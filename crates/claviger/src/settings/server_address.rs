//! The address of a key server, as people write it.

use std::{
    fmt,
    net::{AddrParseError, IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use claviger_identity::{Hit, hit::ParseHitError};

use super::ports::HIP_PORT;

/// A key server as people write it: `HIT@ADDR[:PORT]`, an IPv6 address with a port in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    /// Who must answer there.
    pub(crate) hit: Hit,
    /// The address, and the UDP port of HIP.
    pub(crate) address: SocketAddr,
}

/// The text names no key server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerAddressError {
    /// There is no `@`.
    At,
    /// What follows the `@` is no address.
    Address(String),
    /// A bracket is opened and not closed, or something but a port follows it.
    Brackets(String),
    /// What precedes the `@` is no HIT.
    Hit(String, ParseHitError),
    /// The port is none, or zero.
    Port(String),
    /// The address is not one host's.
    Unusable(IpAddr),
}

impl fmt::Display for ServerAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At => f.write_str("a key server is written HIT@ADDR or HIT@ADDR:PORT; there is no @"),
            Self::Address(text) => {
                write!(
                    f,
                    "`{text}` is no IP address, such as 192.0.2.1 or [2001:db8::1]; names are not looked up"
                )
            }
            Self::Brackets(text) => {
                write!(f, "`{text}` is not of the form [ADDR] or [ADDR]:PORT")
            }
            Self::Hit(text, error) => write!(f, "`{text}` is no HIT: {error}"),
            Self::Port(text) => write!(f, "`{text}` is no port from 1 to 65535"),
            Self::Unusable(address) => write!(f, "{address} is not the address of one host"),
        }
    }
}

impl std::error::Error for ServerAddressError {}

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, ServerAddressError> {
        let (hit, place) = text.split_once('@').ok_or(ServerAddressError::At)?;
        let hit = hit.parse().map_err(|error| ServerAddressError::Hit(hit.to_owned(), error))?;
        let (address, port) = split_port(place)?;
        let port = port.map_or(Ok(HIP_PORT), |port| match port.parse() {
            Ok(0) | Err(_) => Err(ServerAddressError::Port(port.to_owned())),
            Ok(port) => Ok(port),
        })?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(ServerAddressError::Unusable(address));
        }
        Ok(Self { hit, address: SocketAddr::new(address, port) })
    }
}

fn split_port(place: &str) -> Result<(IpAddr, Option<&str>), ServerAddressError> {
    let wrong = |_: AddrParseError| ServerAddressError::Address(place.to_owned());
    if let Some(rest) = place.strip_prefix('[') {
        let brackets = || ServerAddressError::Brackets(place.to_owned());
        let (address, rest) = rest.split_once(']').ok_or_else(brackets)?;
        let address: Ipv6Addr = address.parse().map_err(wrong)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address.into(), Some(port))),
            None if rest.is_empty() => Ok((address.into(), None)),
            None => Err(brackets()),
        };
    }
    match place.split_once(':') {
        // A second colon makes it an IPv6 address without a port.
        Some((address, port)) if !port.contains(':') => Ok((address.parse().map_err(wrong)?, Some(port))),
        _ => Ok((place.parse().map_err(wrong)?, None)),
    }
}

impl fmt::Display for ServerAddress {
    /// Writes what [`ServerAddress::from_str`] reads, in the shortest form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            address if address.port() != HIP_PORT => write!(f, "{}@{address}", self.hit),
            SocketAddr::V6(address) => write!(f, "{}@[{}]", self.hit, address.ip()),
            SocketAddr::V4(address) => write!(f, "{}@{}", self.hit, address.ip()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_servers_are_read_and_written() {
        let hit = "2001:22:1234::1";
        for (place, address, written) in [
            ("192.0.2.1", "192.0.2.1:10500", "192.0.2.1"),
            ("192.0.2.1:10500", "192.0.2.1:10500", "192.0.2.1"),
            ("192.0.2.1:7", "192.0.2.1:7", "192.0.2.1:7"),
            ("[2001:db8::1]:10501", "[2001:db8::1]:10501", "[2001:db8::1]:10501"),
            ("[2001:db8::1]", "[2001:db8::1]:10500", "[2001:db8::1]"),
            ("2001:db8::1", "[2001:db8::1]:10500", "[2001:db8::1]"),
        ] {
            let server: ServerAddress = format!("{hit}@{place}").parse().unwrap();
            assert_eq!(server.address, address.parse().unwrap());
            assert_eq!(server.hit, hit.parse().unwrap());
            assert_eq!(server.to_string(), format!("{hit}@{written}"));
        }
    }

    #[test]
    fn says_precisely_what_is_wrong_with_a_key_server() {
        let hit = "2001:22:1234::1";
        for (text, sentence) in [
            ("192.0.2.1".to_owned(), "a key server is written HIT@ADDR or HIT@ADDR:PORT; there is no @"),
            (
                "2001:db8::1@192.0.2.1".to_owned(),
                "`2001:db8::1` is no HIT: a HIT is written like an IPv6 address that begins with 2001:2, such as \
                 2001:21:5a3:...",
            ),
            (
                format!("{hit}@gcks.example"),
                "`gcks.example` is no IP address, such as 192.0.2.1 or [2001:db8::1]; names are not looked up",
            ),
            (
                format!("{hit}@"),
                "`` is no IP address, such as 192.0.2.1 or [2001:db8::1]; names are not looked up",
            ),
            (format!("{hit}@192.0.2.1:"), "`` is no port from 1 to 65535"),
            (format!("{hit}@192.0.2.1:0"), "`0` is no port from 1 to 65535"),
            (format!("{hit}@192.0.2.1:65536"), "`65536` is no port from 1 to 65535"),
            (format!("{hit}@[2001:db8::1"), "`[2001:db8::1` is not of the form [ADDR] or [ADDR]:PORT"),
            (format!("{hit}@[2001:db8::1]7"), "`[2001:db8::1]7` is not of the form [ADDR] or [ADDR]:PORT"),
            (
                format!("{hit}@[192.0.2.1]:7"),
                "`[192.0.2.1]:7` is no IP address, such as 192.0.2.1 or [2001:db8::1]; names are not looked up",
            ),
            (format!("{hit}@0.0.0.0"), "0.0.0.0 is not the address of one host"),
            (format!("{hit}@239.1.1.1"), "239.1.1.1 is not the address of one host"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap_err().to_string(), sentence);
        }
    }
}
