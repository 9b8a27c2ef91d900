//! What the machine is told at its start.

use std::net::{Ipv4Addr, Ipv6Addr};

use claviger_crypto::CryptoProvider;
use claviger_hip::HostConfig;

/// The configuration of a key server.
pub struct GcksConfig {
    /// The HIP host: identity, algorithms, puzzle. Its services are set by the machine.
    pub hip: HostConfig,
    /// Where cryptography comes from.
    pub provider: &'static CryptoProvider,
    /// The UDP port of GDOI, to which GROUPKEY-PUSH messages go unless a group's policy names another.
    pub gdoi_port: u16,
    /// The address that GROUPKEY-PUSH messages leave from, for IPv4 groups; members of source-specific channels
    /// join it.
    pub push_source_v4: Option<Ipv4Addr>,
    /// The same for IPv6 groups.
    pub push_source_v6: Option<Ipv6Addr>,
}
