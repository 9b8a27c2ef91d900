//! IP, UDP and ESP-in-UDP around the protected octets.
//!
//! ```text
//! from a TUN device     IpPacket::parse, inside ── Plane::seal ──> wrap      IP packet, protocol 50
//! from an application   udp::header ── Plane::seal_parts ──────> (as it is)  datagram to the ESP port
//!
//! to a TUN device       IpPacket::parse, esp ── Plane::open ──> unwrap       IP packet
//! to an application     framing::read ── Plane::open ──> udp::UdpDatagram::parse
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`ip`] | IPv4 and IPv6 headers, read and written |
//! | [`mode`] | transport mode and address-preserving tunnel mode |
//! | [`udp`] | the UDP header inside transport mode, with its checksum |
//! | [`framing`] | ESP among the other things that arrive on a UDP port (RFC 3948) |
//! | [`checksum`] | the Internet checksum |
//! | [`error`] | why a packet around ESP was dropped |

pub mod checksum;
pub mod error;
pub mod framing;
pub mod ip;
pub mod mode;
mod protocol;
pub mod udp;

pub use error::PacketError;
pub use framing::{Framed, read as read_framing};
pub use ip::{IpHeader, IpPacket};
pub use mode::{Mode, unwrap, unwrap_bare, wrap};
pub use protocol::{PROTOCOL_ESP, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_UDP};
pub use udp::UdpDatagram;
