//! Raw IP sockets for HIP (IP protocol 139) and ESP (IP protocol 50).

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    BindError, Buffer, Interface, Membership, Received,
    message::{self, local_address, prepare},
    multicast::MulticastSocket,
    ready::register,
    udp::group_address,
};

/// Octets of an IPv4 header without options (RFC 791 section 3.1).
const HEADER: usize = 20;

/// An IP protocol that is carried on raw sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Encapsulating Security Payload (RFC 4303 section 2).
    Esp,
    /// Host Identity Protocol (RFC 7401 section 5.1).
    Hip,
}

impl Protocol {
    /// Says the number in the IP header's Protocol or Next Header field.
    ///
    /// <https://www.iana.org/assignments/protocol-numbers>
    pub const fn number(self) -> u8 {
        match self {
            Self::Esp => 50,
            Self::Hip => 139,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Esp => "ESP",
            Self::Hip => "HIP",
        })
    }
}

/// How a raw socket is opened.
#[derive(Debug, Clone, Copy)]
pub struct RawOptions {
    /// The option of the command line that asks for raw sockets, for [`BindError`]; such as `--raw`.
    pub option: &'static str,
    /// The size of the receive buffer.
    pub receive_buffer: Buffer,
    /// Whether packets may be sent from addresses that are not this host's, as a gateway does that preserves the
    /// addresses of the hosts behind it (RFC 5374 section 3.1). It needs root or CAP_NET_ADMIN.
    pub foreign_source: bool,
}

impl RawOptions {
    /// Asks for the largest receive buffer and this host's addresses only; `option` is what asks for raw sockets.
    pub fn new(option: &'static str) -> Self {
        Self { option, receive_buffer: Buffer::Largest, foreign_source: false }
    }
}

/// A raw socket of one IP protocol and one IP version. It needs root or CAP_NET_RAW.
///
/// It gives and takes what follows the IP header; ports are zero. Like [`crate::UdpSocket`] it hears only groups
/// that it has itself joined, and may be used by several tasks at once.
#[derive(Debug)]
pub struct RawSocket {
    inner: AsyncFd<Socket>,
    local: IpAddr,
    protocol: Protocol,
}

impl RawSocket {
    /// Opens a socket that hears what is sent to `address`, or to any address if it is unspecified. It needs a
    /// tokio runtime with I/O.
    ///
    /// # Errors
    /// [`BindError`] names the protocol, what is missing, and the option that decides.
    pub fn bind(protocol: Protocol, address: IpAddr, options: &RawOptions) -> Result<Self, BindError> {
        Self::open(protocol, SocketAddr::new(address, 0), options)
            .map_err(|cause| BindError::raw(protocol, address, options.option, cause))
    }

    /// Opens a socket that hears a group alone, on one interface and for one source if one is named. Any number of
    /// sockets on this host may do the same, and each gets every packet.
    ///
    /// # Errors
    /// [`BindError`] names the protocol or the group, what is missing, and the option that decides.
    pub fn bind_group(
        protocol: Protocol,
        group: IpAddr,
        interface: &Interface,
        source: Option<IpAddr>,
        options: &RawOptions,
    ) -> Result<Self, BindError> {
        let membership = Membership::new(group, source, interface);
        let refused = |cause| BindError::membership(&membership, interface.name(), interface.option(), cause);
        membership.check().map_err(refused)?;
        let socket = Self::open(protocol, group_address(group, 0, interface), options)
            .map_err(|cause| BindError::raw(protocol, group, options.option, cause))?;
        socket.join(&membership).map_err(refused)?;
        Ok(socket)
    }

    fn open(protocol: Protocol, address: SocketAddr, options: &RawOptions) -> io::Result<Self> {
        let number = i32::from(protocol.number()).into();
        let socket = Socket::new(Domain::for_address(address), Type::RAW, Some(number))?;
        prepare(&socket, address.is_ipv4(), options.receive_buffer)?;
        if options.foreign_source {
            match address {
                SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
                SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
            }
        }
        socket.bind(&SockAddr::from(address))?;
        let local = local_address(&socket)?.ip();
        Ok(Self { inner: register(socket)?, local, protocol })
    }

    /// Receives the payload of one IP packet; 65,535 octets of buffer hold any.
    ///
    /// # Errors
    /// Only what concerns the socket itself: no packet makes one.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.inner.async_io(Interest::READABLE, |socket| self.receive(socket, buffer)).await
    }

    /// Receives the payload of one IP packet if one is there.
    ///
    /// # Errors
    /// Only what concerns the socket itself.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        match self.receive(self.inner.get_ref(), buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            result => result.map(Some),
        }
    }

    /// Sends one packet with this payload, from the address `source` if one is named. The destination's port is
    /// not looked at.
    ///
    /// # Errors
    /// `EMSGSIZE` if it is too long, `ENETUNREACH` if there is no route, `ENETUNREACH` or `EINVAL` if the source is
    /// not this host's and [`RawOptions::foreign_source`] was not asked for.
    pub async fn send(
        &self,
        payload: &[u8],
        destination: SocketAddr,
        source: Option<IpAddr>,
    ) -> io::Result<()> {
        let mut destination = destination;
        // Linux takes an IPv6 raw socket's port for the protocol.
        destination.set_port(0);
        self.inner
            .async_io(Interest::WRITABLE, |socket| message::transmit(socket, payload, destination, source))
            .await
    }

    /// Says the address that the socket hears; unspecified if it hears them all.
    pub fn local_address(&self) -> IpAddr {
        self.local
    }

    /// Says the IP protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn receive(&self, socket: &Socket, buffer: &mut [u8]) -> io::Result<Received> {
        let mut received = if self.local.is_ipv6() {
            message::receive(socket, &mut [IoSliceMut::new(buffer)], 0)?
        } else {
            // An IPv4 raw socket delivers the header too; it lands in a buffer of its own, and the payload in place.
            let mut header = [0; HEADER];
            let parts = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
            let received = message::receive(socket, parts, 0)?;
            Received { length: strip(&header, buffer, received.length), ..received }
        };
        received.source.set_port(0);
        Ok(received)
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.get_ref().as_fd()
    }
}

impl MulticastSocket for RawSocket {
    fn is_ipv4(&self) -> bool {
        self.local.is_ipv4()
    }
}

/// Removes what is left of an IPv4 header from the buffer, and says how long the payload is.
///
/// `header` holds the first 20 octets of a packet of `total` octets and `buffer` the rest. A header that claims
/// more octets than there are leaves no payload.
fn strip(header: &[u8; HEADER], buffer: &mut [u8], total: usize) -> usize {
    let options = (usize::from(header[0] & 0x0f) * 4).saturating_sub(HEADER);
    let length = total.saturating_sub(HEADER).min(buffer.len());
    if options > 0 {
        buffer.copy_within(options.min(length)..length, 0);
    }
    length.saturating_sub(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(words: u8) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = 0x40 | words;
        header
    }

    #[test]
    fn leaves_the_payload_of_a_plain_header_in_place() {
        let mut buffer = *b"payload.....";
        assert_eq!(strip(&header(5), &mut buffer, 27), 7);
        assert_eq!(&buffer, b"payload.....");
    }

    #[test]
    fn removes_the_options_of_a_longer_header() {
        let mut buffer = *b"optionsepayload..";
        assert_eq!(strip(&header(7), &mut buffer, 20 + 8 + 7), 7);
        assert_eq!(&buffer[..7], b"payload");
    }

    #[test]
    fn survives_every_header_length_at_every_packet_length() {
        for words in 0..16 {
            for total in 0..64 {
                let mut buffer = [0; 16];
                let length = strip(&header(words), &mut buffer, total);
                assert!(length <= buffer.len() && length <= total, "{words} words, {total} octets");
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_registry() {
        assert_eq!((Protocol::Esp.number(), Protocol::Hip.number()), (50, 139));
        assert_eq!(format!("{} {}", Protocol::Esp, Protocol::Hip), "ESP HIP");
    }
}
