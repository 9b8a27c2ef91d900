//! What a member runs by.

use std::{net::IpAddr, path::PathBuf};

use claviger_gdoi::Extensions;
use claviger_group::{GroupId, Role};

use super::{
    hip::DhGroups, identity::IdentityName, log::LogFilter, paths::Paths, server_address::ServerAddress,
};

/// What a member runs by, in a daemon or inside `send` and `recv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberSettings {
    /// Where its identity is.
    pub(crate) paths: Paths,
    /// Which one it is.
    pub(crate) identity: IdentityName,
    /// The key server, with the UDP port of HIP.
    pub(crate) server: ServerAddress,
    /// The UDP port of GDOI at the key server.
    pub(crate) gdoi_port: u16,
    /// Whether HIP goes as IP protocol 139 instead of UDP.
    pub(crate) raw: bool,
    /// The group.
    pub(crate) group: GroupId,
    /// What the member asks for.
    pub(crate) role: Role,
    /// The interface of multicast; otherwise the route's.
    pub(crate) interface: Option<String>,
    /// HIP's Diffie-Hellman groups.
    pub(crate) dh_groups: DhGroups,
    /// The certificates that it shows the key server: files of chains.
    pub(crate) certificate: Vec<PathBuf>,
    /// The owner whose word the key server needs: a file of roots.
    pub(crate) owner: Option<PathBuf>,
    /// Whether its identity is anonymous.
    pub(crate) anonymous: bool,
    /// The private extensions of GDOI that are accepted.
    pub(crate) extensions: Extensions,
    /// A TUN device for the group's packets; otherwise ESP in UDP.
    pub(crate) tun: Option<TunSettings>,
}

/// The TUN device of a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TunSettings {
    /// Its name; otherwise the system's choice.
    pub(crate) name: Option<String>,
    /// Its addresses, each with the length of its prefix.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// The group's address, which the key server must confirm; otherwise the key server says it.
    pub(crate) group_address: Option<IpAddr>,
    /// Whether the group's address is left without a guard.
    pub(crate) fail_open: bool,
}

/// What a member daemon runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinSettings {
    /// The member.
    pub(crate) member: MemberSettings,
    /// The control socket.
    pub(crate) socket: PathBuf,
    /// What is logged.
    pub(crate) log: LogFilter,
}
