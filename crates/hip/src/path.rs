//! Where a peer is reached, and from where.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use claviger_sansio::{Datagram, Socket, Transmit};
use tracing::trace;

use crate::{event::Event, iana::PacketType, item::Item, wire::checksum};

/// The two ends of a conversation, and how it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) socket: Socket,
    /// This host's end; `None` on UDP lets the system choose.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: SocketAddr,
}

impl Path {
    /// The way back to who sent a datagram. The answer leaves from where the datagram was sent to, as far as the
    /// program knows that.
    pub(crate) fn back(datagram: &Datagram<'_>) -> Self {
        let local = datagram.destination;
        let known = !local.ip().is_unspecified() && !local.ip().is_multicast();
        Self { socket: datagram.socket, local: known.then_some(local), remote: datagram.source }
    }

    /// Says whether HIP is the payload of IP itself.
    pub(crate) fn is_raw(&self) -> bool {
        match self.socket {
            Socket::HipRaw => true,
            Socket::HipUdp => false,
            Socket::Port848 => unreachable!("a host takes no datagram of ISAKMP and calls nobody by it"),
        }
    }

    /// Leaves from another address of the same family from now on. Where the system chooses, it goes on to choose.
    pub(crate) fn leave_from(&mut self, address: IpAddr) {
        if let Some(local) = self.local.as_mut().filter(|local| local.is_ipv4() == address.is_ipv4()) {
            *local = SocketAddr::new(address, local.port());
        }
    }

    /// Makes the datagram, with the checksum that the carriage wants (RFC 7401 section 5.1.1): zero on UDP.
    fn transmit(&self, mut payload: Vec<u8>) -> Transmit {
        if self.is_raw() {
            let unspecified = match self.remote.ip() {
                IpAddr::V4(_) => IpAddr::from([0; 4]),
                IpAddr::V6(_) => IpAddr::from([0; 16]),
            };
            let local = self.local.map_or(unspecified, |local| local.ip());
            checksum::write(&mut payload, local, self.remote.ip());
        }
        Transmit { socket: self.socket, source: self.local, destination: self.remote, payload }
    }
}

/// Writes an address so that MACs can cover it: one of IPv4 as IPv6 maps it.
pub(crate) fn address_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What a host has to say, to peers and to its program, in order.
#[derive(Debug)]
pub(crate) struct Outbox<I> {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event<I>>,
}

impl<I> Default for Outbox<I> {
    fn default() -> Self {
        Self { transmits: VecDeque::new(), events: VecDeque::new() }
    }
}

impl<I: Item> Outbox<I> {
    pub(crate) fn send(&mut self, path: &Path, payload: &[u8]) {
        let Path { socket, remote: destination, .. } = path;
        // The octet behind Next Header and Header Length; its first bit is zero (RFC 7401 section 5.1).
        let packet_type = PacketType(payload.get(2).copied().unwrap_or_default());
        trace!(%destination, ?socket, %packet_type, length = payload.len(), "packet out");
        self.transmits.push_back(path.transmit(payload.to_vec()));
    }

    pub(crate) fn tell(&mut self, event: Event<I>) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event<I>> {
        self.events.pop_front()
    }
}
