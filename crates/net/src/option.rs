//! Socket options and requests that neither socket2 nor nix knows.
//!
//! This is the only module of the workspace that speaks to the kernel without a safe library in between.

use std::{
    io, mem,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    ptr,
};

use socket2::SockAddr;

/// How many numbers `SO_MEMINFO` knows (`SK_MEMINFO_VARS`).
const MEMINFO_NUMBERS: usize = 9;
/// Which of them counts the packets that the socket dropped (`SK_MEMINFO_DROPS`).
const MEMINFO_DROPS: usize = 8;

/// Sets the interface, and the source address, of IPv4 multicast that has neither of its own.
pub(crate) fn set_multicast_interface_v4(
    socket: &impl AsFd,
    interface: u32,
    source: Option<std::net::Ipv4Addr>,
) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr {
            s_addr: source.map_or(0, |address| u32::from_ne_bytes(address.octets())),
        },
        imr_ifindex: i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
}

/// Has a netlink socket's lists be what was asked for and no more (`NETLINK_GET_STRICT_CHK`).
pub(crate) fn set_netlink_strict(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    set(socket, libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, &on)
}

/// Joins or leaves a group for any source (`MCAST_JOIN_GROUP`, `MCAST_LEAVE_GROUP`).
pub(crate) fn set_group(
    socket: &impl AsFd,
    name: libc::c_int,
    interface: u32,
    group: IpAddr,
) -> io::Result<()> {
    let request = libc::group_req { gr_interface: interface, gr_group: storage(group) };
    set(socket, level(group), name, &request)
}

/// Joins or leaves a group for one source (`MCAST_JOIN_SOURCE_GROUP`, `MCAST_LEAVE_SOURCE_GROUP`).
pub(crate) fn set_source_group(
    socket: &impl AsFd,
    name: libc::c_int,
    interface: u32,
    group: IpAddr,
    source: IpAddr,
) -> io::Result<()> {
    let request = libc::group_source_req {
        gsr_interface: interface,
        gsr_group: storage(group),
        gsr_source: storage(source),
    };
    set(socket, level(group), name, &request)
}

/// Reads how many packets the socket dropped since it was made (`SO_MEMINFO`).
#[expect(unsafe_code, reason = "no library reads SO_MEMINFO")]
pub(crate) fn drops(socket: &impl AsFd) -> io::Result<u32> {
    let mut numbers = [0u32; MEMINFO_NUMBERS];
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&numbers)).expect("36 fits");
    // SAFETY: the kernel writes at most `length` octets to `numbers`, which holds as many and to which every bit
    // pattern is a value; the descriptor is borrowed and therefore open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(numbers[MEMINFO_DROPS]) }
}

/// Reads how many octets of memory the kernel keeps for what was handed to the socket and has not left (`SIOCOUTQ`).
#[expect(unsafe_code, reason = "no library asks for SIOCOUTQ")]
pub(crate) fn unsent(socket: &impl AsFd) -> io::Result<usize> {
    let mut octets: libc::c_int = 0;
    // SAFETY: for this request, which libc names TIOCOUTQ, the kernel writes one `int`, and `octets` is one; the
    // descriptor is borrowed and therefore open.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(octets).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Sets an option to a value, which must be a plain structure of the kernel's without pointers in it.
#[expect(unsafe_code, reason = "no library sets MCAST_* or IP_MULTICAST_IF by index")]
fn set<T: Copy>(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(mem::size_of::<T>()).expect("an option's value is short");
    // SAFETY: the kernel only reads `length` octets from `value`, which is as long and lives throughout the call;
    // the descriptor is borrowed and therefore open.
    let result = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, ptr::from_ref(value).cast(), length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The protocol level of an address's options.
fn level(address: IpAddr) -> libc::c_int {
    if address.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 }
}

/// An address as the kernel's group requests hold it: in a `sockaddr_storage`, port zero.
#[expect(unsafe_code, reason = "socket2 hands its storage out only by pointer")]
fn storage(address: IpAddr) -> libc::sockaddr_storage {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    // SAFETY: all zeroes is a value of `sockaddr_storage`, and `address` is at most as long as one and does not
    // overlap it.
    unsafe {
        let mut storage: libc::sockaddr_storage = mem::zeroed();
        ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            address.len() as usize,
        );
        storage
    }
}
