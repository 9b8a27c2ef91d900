//! The Host Identity Tag (RFC 7401 section 3.2).

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// A Host Identity Tag: 16 octets that name a public key and look like an IPv6 address in 2001:20::/28.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hit([u8; Hit::LEN]);

impl Hit {
    /// The octets of a HIT.
    pub const LEN: usize = 16;

    /// The all-zero HIT, which stands for "whoever answers" in opportunistic mode (RFC 7401 section 4.1.8).
    pub const NULL: Self = Self([0; Self::LEN]);

    /// Takes 16 octets as a HIT; whether they carry the ORCHID prefix is for [`Hit::is_orchid`] to say.
    pub const fn new(octets: [u8; Self::LEN]) -> Self {
        Self(octets)
    }

    /// Shows the octets.
    pub const fn octets(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Says whether the HIT lies in 2001:20::/28, the prefix of ORCHIDv2 (RFC 7343 section 2).
    pub const fn is_orchid(&self) -> bool {
        let [a, b, c, d, ..] = self.0;
        a == 0x20 && b == 0x01 && c == 0x00 && d >> 4 == 0x2
    }

    /// Returns the four-bit OGA ID, which names the HIT suite (RFC 7401 section 5.2.10).
    pub const fn suite_id(&self) -> u8 {
        self.0[3] & 0x0f
    }

    /// Says whether this is the all-zero HIT.
    pub fn is_null(&self) -> bool {
        *self == Self::NULL
    }
}

impl From<Hit> for Ipv6Addr {
    /// Yields the address that the HIT looks like, which is how certificates name it (RFC 8002 section 3).
    fn from(hit: Hit) -> Self {
        hit.0.into()
    }
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv6Addr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a HIT: an IPv6 address in 2001:20::/28.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseHitError;

impl fmt::Display for ParseHitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a HIT is written like an IPv6 address that begins with 2001:2, such as 2001:21:5a3:...")
    }
}

impl std::error::Error for ParseHitError {}

impl FromStr for Hit {
    type Err = ParseHitError;

    fn from_str(text: &str) -> Result<Self, ParseHitError> {
        let address: Ipv6Addr = text.parse().map_err(|_| ParseHitError)?;
        let hit = Self(address.octets());
        if hit.is_orchid() { Ok(hit) } else { Err(ParseHitError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let text = "2001:22:1234::1";
        assert_eq!(text.parse::<Hit>().unwrap().to_string(), text);
    }

    #[test]
    fn refuses_addresses_that_are_no_orchids() {
        for text in ["::", "2001:db8::1", "2001:30::1", "192.0.2.1", "hit"] {
            assert_eq!(text.parse::<Hit>(), Err(ParseHitError), "{text}");
        }
    }
}
