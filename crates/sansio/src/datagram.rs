//! What arrives and what leaves.

use std::net::SocketAddr;

/// How a datagram travels. The programs own one socket or more for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Carriage {
    /// HIP on IP protocol 139 (RFC 7401 section 5.1); ports are zero.
    HipRaw,
    /// HIP on UDP, behind four zero octets (RFC 5770 section 5.1); the port is 10500 by default.
    HipUdp,
    /// ISAKMP on UDP; the port is 848 by default (RFC 6407 section 2.2).
    Isakmp,
}

/// A datagram that arrived. For [`Carriage::HipUdp`] the four zero octets are already removed; for
/// [`Carriage::HipRaw`] the IP header is.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// How it came.
    pub carriage: Carriage,
    /// Who sent it, as the network claims.
    pub source: SocketAddr,
    /// The address that it was sent to; a multicast address for a GROUPKEY-PUSH.
    pub destination: SocketAddr,
    /// What the protocol reads.
    pub payload: &'a [u8],
}

/// A datagram to send. The programs add the IP header, and the four zero octets of [`Carriage::HipUdp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// How it goes.
    pub carriage: Carriage,
    /// The local address that it must leave from; `None` lets the host choose.
    pub source: Option<SocketAddr>,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What the protocol wrote.
    pub payload: Vec<u8>,
}
