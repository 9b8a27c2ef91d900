//! Carries datagrams: UDP and raw sockets, multicast membership, TUN devices.
//!
//! This is the edge between the protocol machines, which own no socket and no clock, and the host. It does not
//! know what the octets mean.
//!
//! | module | what |
//! |---|---|
//! | [`udp`] | UDP sockets that say where each datagram came from, where it went, and what the kernel dropped |
//! | [`own`] | what tells our devices and sockets from those of other programs |
//! | [`raw`] | raw IP sockets for HIP (IP protocol 139) and ESP (IP protocol 50) |
//! | [`multicast`] | joining and leaving groups, any-source and source-specific, IPv4 and IPv6 |
//! | [`interface`] | which interface is meant: by name, by address, or by the host's route to a group |
//! | [`guard`] | keeping packets for a group's address from leaving the host in the clear |
//! | [`tun`] | a TUN device, whose packets are the plaintext of a group |
//! | [`refused`] | what a person reads when the host refuses a socket or a device |
//! | [`clock`] | the one place where the time is read |
//! | [`vm_generation`] | that this machine was restored from a snapshot |
//! | [`pace`] | sending no faster than agreed |
//!
//! ```no_run
//! use claviger_net::{Interface, UdpOptions, UdpSocket};
//!
//! # async fn hear() -> Result<(), Box<dyn std::error::Error>> {
//! let group = "239.192.1.1".parse()?;
//! let interface = Interface::towards(group, "--interface")?;
//! let socket = UdpSocket::bind_group(group, 4500, &interface, None, &UdpOptions::new("--data-port"))?;
//! let mut buffer = vec![0; claviger_net::udp::MAX_DATAGRAM];
//! let received = socket.recv(&mut buffer).await?;
//! println!("{} octets from {}", received.length, received.source);
//! # Ok(())
//! # }
//! ```
//!
//! Linux only: the options used here (`IP_MULTICAST_ALL`, `SO_RXQ_OVFL`, `SO_MEMINFO`) are Linux's own.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod clock;
pub mod guard;
pub mod interface;
pub mod multicast;
pub mod own;
pub mod pace;
pub mod raw;
pub mod refused;
pub mod tun;
pub mod udp;
pub mod vm_generation;

mod buffer;
mod message;
mod netlink;
mod option;
mod ready;

pub use buffer::Buffer;
pub use clock::Clock;
pub use guard::{Guard, GuardError};
pub use interface::{Interface, InterfaceError};
pub use message::Received;
pub use multicast::{Membership, MulticastSocket};
pub use pace::Pacer;
pub use raw::{Protocol, RawOptions, RawSocket};
pub use refused::BindError;
pub use tun::{TunDevice, TunOptions};
pub use udp::{UdpOptions, UdpSocket};
pub use vm_generation::VmGeneration;
