//! What arrives and what leaves.

use std::{fmt, io, net::SocketAddr};

/// By which socket a datagram comes or goes. The programs open one or more of each kind; several protocols may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Socket {
    /// HIP on IP protocol 139 (RFC 7401 section 5.1); ports are zero.
    HipRaw,
    /// HIP on UDP, behind four zero octets (RFC 5770 section 5.1); the port is 10500 by default.
    HipUdp,
    /// ISAKMP on UDP port 848, or on the port that a program takes for it (RFC 6407 section 2.2).
    Port848,
}

/// A datagram that arrived. For [`Socket::HipUdp`] the four zero octets are already removed; for
/// [`Socket::HipRaw`] the IP header is.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// By which socket it came.
    pub socket: Socket,
    /// Who sent it, as the network claims.
    pub source: SocketAddr,
    /// The address that it was sent to; a multicast address for a GROUPKEY-PUSH.
    pub destination: SocketAddr,
    /// What the protocol reads.
    pub payload: &'a [u8],
}

/// A datagram to send. The programs add the IP header, and the four zero octets of [`Socket::HipUdp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// By which socket it goes.
    pub socket: Socket,
    /// The local address that it must leave from; `None` lets the host choose.
    pub source: Option<SocketAddr>,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What the protocol wrote.
    pub payload: Vec<u8>,
}

/// Why a datagram did not leave this host. What the network loses is no reason: nobody says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// No socket is of the address family of its destination.
    NoSocket,
    /// The system refused it, with this number if it has one.
    Refused(io::ErrorKind, Option<i32>),
    /// The program did not say what became of it.
    Unreported,
}

impl From<&io::Error> for NotSent {
    fn from(error: &io::Error) -> Self {
        Self::Refused(error.kind(), error.raw_os_error())
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket => f.write_str("no socket has the address family of the destination"),
            Self::Refused(_, Some(number)) => io::Error::from_raw_os_error(*number).fmt(f),
            Self::Refused(kind, None) => kind.fmt(f),
            Self::Unreported => f.write_str("the program did not say what became of it"),
        }
    }
}

impl std::error::Error for NotSent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_the_system_says_it() {
        let refused = NotSent::from(&io::Error::from_raw_os_error(101));
        assert_eq!(refused.to_string(), "Network is unreachable (os error 101)");
        assert_eq!(NotSent::from(&io::ErrorKind::WriteZero.into()).to_string(), "write zero");
    }
}
