//! What the machine is told at its start.

use std::{net::SocketAddr, time::Duration};

use claviger_crypto::CryptoProvider;
use claviger_gdoi::Extensions;
use claviger_hip::HostConfig;
use claviger_identity::Hit;
use claviger_pki::GroupOwner;
use claviger_sansio::{RetransmitPolicy, Socket};

/// The configuration of a member of one key server's groups.
pub struct MemberConfig {
    /// The HIP host: identity and algorithms.
    pub hip: HostConfig,
    /// Where cryptography comes from.
    pub provider: &'static CryptoProvider,
    /// The owner of the groups. Where there is one, the key server must show a certificate by it that lets it be one of a
    /// group, or the group is refused.
    pub owner: Option<GroupOwner>,
    /// The key server. The member's authorisation database (GPAD, RFC 5374) lists this HIT and no other.
    pub server: Hit,
    /// Where its HIP is reached.
    pub server_address: SocketAddr,
    /// How its HIP is reached.
    pub socket: Socket,
    /// The UDP port of its GDOI.
    pub gdoi_port: u16,
    /// Which private extensions it accepts when its key server offers them.
    pub extensions: Extensions,
    /// Which data plane this member has.
    pub plane: PlaneKind,
    /// How long a registration is asked for.
    pub registration_lifetime: Duration,
    /// How patient PULLs are.
    pub retransmit: RetransmitPolicy,
}

/// The data planes that a member can have. A group is for one of them; a mixture is refused as policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneKind {
    /// ESP in UDP: needs no privilege.
    Udp,
    /// ESP as IP protocol 50, packets from and to a TUN device.
    Ip,
    /// Whatever the group says; for members that only keep keys.
    Any,
}

impl PlaneKind {
    /// Says whether the plane can carry an encapsulation.
    pub fn carries(self, encapsulation: claviger_group::Encapsulation) -> bool {
        match self {
            Self::Udp => encapsulation.is_udp(),
            Self::Ip => !encapsulation.is_udp(),
            Self::Any => true,
        }
    }
}
