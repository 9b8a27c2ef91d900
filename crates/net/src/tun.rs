//! A TUN device, whose packets are the plaintext of a group.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{Interest, unix::AsyncFd};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::{BindError, Interface, netlink::route, own::DEVICE_GROUP, ready::register};

/// How a TUN device is made.
#[derive(Debug, Clone)]
pub struct TunOptions {
    /// The option of the command line that asks for a device, for [`BindError`]; such as `--plane`.
    pub option: &'static str,
    /// The name, at most 15 octets; `None` lets the kernel choose.
    pub name: Option<String>,
    /// An IPv4 address and the length of its prefix in bits.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// IPv6 addresses and the lengths of their prefixes in bits.
    pub ipv6: Vec<(Ipv6Addr, u8)>,
    /// The largest IP packet, in octets, that programs may send into the device: the real link's less what ESP adds.
    /// Below 1,280 the kernel turns IPv6 off on the device (RFC 8200 section 5).
    pub mtu: u16,
}

impl TunOptions {
    /// Asks for a device without addresses, its name chosen by the kernel; `option` is what asks for one.
    pub fn new(mtu: u16, option: &'static str) -> Self {
        Self { option, name: None, ipv4: None, ipv6: vec![], mtu }
    }
}

/// A TUN device that is up. It needs root or CAP_NET_ADMIN, and goes away when it is dropped.
///
/// What programs on this host send to the device's networks is received here as whole IP packets, and packets that
/// are sent here arrive at those programs as if by a wire. The kernel speaks on the device of its own accord too
/// (IGMP and MLD reports, router solicitations): the receiver must pick what belongs to the group. A host whose
/// `rp_filter` is 1 drops packets whose source it would not reach by this device. The device is in the group of
/// interfaces [`DEVICE_GROUP`], into which guards let packets through.
pub struct TunDevice {
    inner: AsyncFd<SyncDevice>,
    interface: Interface,
}

impl TunDevice {
    /// Makes a device and brings it up. It needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`BindError`] names the device, what is missing, and the option that decides.
    pub fn create(options: &TunOptions) -> Result<Self, BindError> {
        Self::open(options).map_err(|cause| BindError::tun(options.name.as_deref(), options.option, cause))
    }

    fn open(options: &TunOptions) -> io::Result<Self> {
        let mut builder = DeviceBuilder::new().mtu(options.mtu);
        if let Some(name) = &options.name {
            builder = builder.name(name);
        }
        if let Some((address, prefix)) = options.ipv4 {
            builder = builder.ipv4(address, prefix, None);
        }
        for &(address, prefix) in &options.ipv6 {
            builder = builder.ipv6(address, prefix);
        }
        let device = builder.build_sync()?;
        device.set_nonblocking(true)?;
        let interface = Interface::by_name(&device.name()?, options.option).map_err(io::Error::other)?;
        // Guards let packets through into devices of this group alone.
        route::set_group_of(interface.index(), DEVICE_GROUP)?;
        tracing::debug!(%interface, mtu = options.mtu, "TUN device is up");
        Ok(Self { inner: register(device)?, interface })
    }

    /// Receives one IP packet that a program, or the kernel, sent into the device; a buffer of the MTU holds any,
    /// and a shorter one loses the end.
    ///
    /// # Errors
    /// What concerns the device itself, such as its removal by an administrator.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // A device that was removed is reported as an error condition alone.
        let interest = Interest::READABLE | Interest::ERROR;
        self.inner.async_io(interest, |device| device.recv(buffer)).await
    }

    /// Hands one IP packet to this host as if it had come by the device.
    ///
    /// # Errors
    /// `EINVAL` if it is not an IP packet, and what concerns the device itself.
    pub async fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.inner.async_io(Interest::WRITABLE, |device| device.send(packet)).await.map(|_| ())
    }

    /// Sends this host's packets to a group, or to a network of `prefix` bits, by the device, unless a program names
    /// another interface. The route goes away with the device.
    ///
    /// They leave from `source`, one of this host's addresses, unless a program chooses another. Without it the
    /// kernel takes an address of the device, and where it has none: for IPv4 one of another interface, but for IPv6
    /// groups the device's link-local address, which no other link can answer (RFC 6724 section 4).
    ///
    /// # Errors
    /// `EINVAL` if the address has bits beyond the prefix or the source is not this host's, `EPERM` without root or
    /// CAP_NET_ADMIN.
    pub fn add_route(&self, destination: IpAddr, prefix: u8, source: Option<IpAddr>) -> io::Result<()> {
        route::add_route(self.interface.index(), destination, prefix, source)
    }

    /// Says which interface the device is.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }
}

impl std::fmt::Debug for TunDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunDevice").field("interface", &self.interface).finish_non_exhaustive()
    }
}
