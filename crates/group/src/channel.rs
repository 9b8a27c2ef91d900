//! The multicast address of a group.

use std::{fmt, net::IpAddr};

use claviger_sansio::multicast::is_source_specific;

/// A multicast channel: a group address, and for source-specific multicast (RFC 4607) the one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    group: IpAddr,
    source: Option<IpAddr>,
}

/// The addresses do not make a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelError {
    /// The group address is not multicast.
    NotMulticast(IpAddr),
    /// The source is of the other address family, or no unicast address.
    Source(IpAddr),
    /// A source-specific group address (232/8, ff3x::/32) is given no source.
    SourceMissing(IpAddr),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMulticast(address) => write!(f, "{address} is not a multicast address"),
            Self::Source(address) => write!(f, "{address} cannot be the source of this group"),
            Self::SourceMissing(address) => {
                write!(f, "{address} is a source-specific address (RFC 4607) and needs a source")
            }
        }
    }
}

impl std::error::Error for ChannelError {}

impl Channel {
    /// Makes a channel; an unspecified source address (0.0.0.0, ::) is any source.
    pub fn new(group: IpAddr, source: Option<IpAddr>) -> Result<Self, ChannelError> {
        if !group.is_multicast() {
            return Err(ChannelError::NotMulticast(group));
        }
        let source = source.filter(|source| !source.is_unspecified());
        match source {
            Some(source) if source.is_ipv4() != group.is_ipv4() || source.is_multicast() => {
                Err(ChannelError::Source(source))
            }
            None if is_source_specific(group) => Err(ChannelError::SourceMissing(group)),
            _ => Ok(Self { group, source }),
        }
    }

    /// Shows the group address.
    pub fn group(&self) -> IpAddr {
        self.group
    }

    /// Shows the source; `None` is any source.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(source) => write!(f, "{source}@{}", self.group),
            None => self.group.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(group: &str, source: Option<&str>) -> Result<Channel, ChannelError> {
        Channel::new(group.parse().unwrap(), source.map(|s| s.parse().unwrap()))
    }

    #[test]
    fn any_source_and_source_specific_channels() {
        assert_eq!(channel("239.192.0.1", Some("0.0.0.0")).unwrap().source(), None);
        assert_eq!(channel("232.1.1.1", Some("10.0.0.1")).unwrap().to_string(), "10.0.0.1@232.1.1.1");
        assert!(channel("ff3e::8000:1", Some("2001:db8::1")).is_ok());
    }

    #[test]
    fn refuses_addresses_that_make_no_channel() {
        assert!(matches!(channel("10.0.0.1", None), Err(ChannelError::NotMulticast(_))));
        assert!(matches!(channel("232.1.1.1", None), Err(ChannelError::SourceMissing(_))));
        assert!(matches!(channel("239.1.1.1", Some("::1")), Err(ChannelError::Source(_))));
        assert!(matches!(channel("239.1.1.1", Some("239.1.1.2")), Err(ChannelError::Source(_))));
    }
}
