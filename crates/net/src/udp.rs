//! UDP sockets that say where each datagram came from, where it went, and what the kernel dropped.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::{AsFd, BorrowedFd},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    BindError, Buffer, Interface, Membership, Received,
    message::{self, local_address, needs_scope, prepare},
    multicast::MulticastSocket,
    own::SOCKET_PRIORITY,
    ready::register,
};

/// Octets of the longest UDP payload over IPv4 (RFC 768; 65,535 less both headers), rounded up to what IPv6 can
/// carry: a buffer of this size never truncates.
pub const MAX_DATAGRAM: usize = 65_535;

/// How a UDP socket is bound.
#[derive(Debug, Clone, Copy)]
pub struct UdpOptions {
    /// The option of the command line that chooses the port, for [`BindError`]; such as `--gdoi-port`.
    pub option: &'static str,
    /// The size of the receive buffer.
    pub receive_buffer: Buffer,
    /// Whether other sockets that say the same may be bound to the same address and port (`SO_REUSEADDR`). Each of
    /// them gets every multicast datagram, but only one of them a unicast datagram.
    pub reuse_address: bool,
}

impl UdpOptions {
    /// Asks for the largest receive buffer and a port of its own; `option` chooses the port.
    pub fn new(option: &'static str) -> Self {
        Self { option, receive_buffer: Buffer::Largest, reuse_address: false }
    }
}

/// A UDP socket.
///
/// It hears only what was sent to its address, and groups that it has itself joined: `IP_MULTICAST_ALL` is off. An
/// IPv6 socket carries IPv6 alone. Groups are joined and left by [`MulticastSocket`].
///
/// All methods take `&self`: one task may receive while others send. Dropping a future loses no datagram.
#[derive(Debug)]
pub struct UdpSocket {
    inner: AsyncFd<Socket>,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds a socket to an address; port zero lets the host choose one. It needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`BindError`] names the port, what is missing, and the option that chooses another.
    pub fn bind(address: SocketAddr, options: &UdpOptions) -> Result<Self, BindError> {
        Self::open(address, options).map_err(|cause| BindError::udp(address, options.option, cause))
    }

    /// Binds a socket to a group and joins it on an interface, for one source if one is named.
    ///
    /// It is bound to the group's own address, so that neither unicast nor another group of the same port reaches
    /// it. Any number of sockets on this host may do the same, and each gets every datagram.
    ///
    /// # Errors
    /// [`BindError`] names the port or the group, what is missing, and the option that chooses another.
    pub fn bind_group(
        group: IpAddr,
        port: u16,
        interface: &Interface,
        source: Option<IpAddr>,
        options: &UdpOptions,
    ) -> Result<Self, BindError> {
        let membership = Membership::new(group, source, interface);
        let refused = |cause| BindError::membership(&membership, interface.name(), interface.option(), cause);
        membership.check().map_err(refused)?;
        let options = UdpOptions { reuse_address: true, ..*options };
        let socket = Self::bind(group_address(group, port, interface), &options)?;
        socket.join(&membership).map_err(refused)?;
        Ok(socket)
    }

    fn open(address: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        prepare(&socket, address.is_ipv4(), options.receive_buffer)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Guards let packets through of sockets that have it, which the kernel grants to CAP_NET_ADMIN and CAP_NET_RAW.
        // Without them a guarded address refuses this socket too.
        let _ = socket.set_priority(SOCKET_PRIORITY);
        socket.set_reuse_address(options.reuse_address)?;
        socket.bind(&SockAddr::from(address))?;
        let local = local_address(&socket)?;
        Ok(Self { inner: register(socket)?, local })
    }

    /// Receives one datagram; [`MAX_DATAGRAM`] octets of buffer hold any.
    ///
    /// # Errors
    /// Only what concerns the socket itself: no datagram makes one.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let port = self.local.port();
        self.inner
            .async_io(Interest::READABLE, |socket| {
                message::receive(socket, &mut [IoSliceMut::new(buffer)], port)
            })
            .await
    }

    /// Receives one datagram if one is there.
    ///
    /// # Errors
    /// Only what concerns the socket itself.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let port = self.local.port();
        match message::receive(self.inner.get_ref(), &mut [IoSliceMut::new(buffer)], port) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            result => result.map(Some),
        }
    }

    /// Sends one datagram, from this host's address `source` if one is named. A link-local source needs a destination
    /// with its scope.
    ///
    /// # Errors
    /// `EMSGSIZE` if it is too long, `ENETUNREACH` if there is no route, `ENETUNREACH` or `EINVAL` if the source is
    /// not this host's.
    pub async fn send(
        &self,
        payload: &[u8],
        destination: SocketAddr,
        source: Option<IpAddr>,
    ) -> io::Result<()> {
        self.inner
            .async_io(Interest::WRITABLE, |socket| message::transmit(socket, payload, destination, source))
            .await
    }

    /// Says the address and port that the socket is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.get_ref().as_fd()
    }
}

impl MulticastSocket for UdpSocket {
    fn is_ipv4(&self) -> bool {
        self.local.is_ipv4()
    }
}

/// A group as an address to bind to: one of link scope needs its interface.
pub(crate) fn group_address(group: IpAddr, port: u16, interface: &Interface) -> SocketAddr {
    match group {
        IpAddr::V4(_) => SocketAddr::new(group, port),
        IpAddr::V6(group) => {
            let scope = if needs_scope(group) { interface.index() } else { 0 };
            SocketAddrV6::new(group, port, 0, scope).into()
        }
    }
}
