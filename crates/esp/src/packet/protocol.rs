//! The numbers of the protocols around and inside ESP, as the IP header says them.

/// The protocol number of ESP.
pub const PROTOCOL_ESP: u8 = 50;
/// The protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// The protocol number of IPv4 inside another packet.
pub const PROTOCOL_IPV4: u8 = 4;
/// The protocol number of IPv6 inside another packet.
pub const PROTOCOL_IPV6: u8 = 41;
