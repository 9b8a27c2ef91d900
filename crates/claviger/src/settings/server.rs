//! What a key server runs by.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    association_rekey::AssociationRekey,
    difficulty::Puzzle,
    files::Files,
    hip::{Ciphers, DhGroups},
    log::LogFilter,
    ports::{GDOI_PORT, HIP_PORT},
};

/// What a key server runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    /// Where the server is reached.
    pub(crate) listen: Listen,
    /// The difficulty of HIP's puzzle.
    pub(crate) puzzle: Puzzle,
    /// What HIP offers.
    pub(crate) hip: HipOffers,
    /// The certificates that are shown to hosts: files of chains.
    pub(crate) certificate: Files,
    /// Where lists of revoked certificates are.
    pub(crate) revocation_lists: Option<PathBuf>,
    /// What is logged.
    pub(crate) log: LogFilter,
    /// Where identity, store and key file are.
    pub(crate) state_dir: PathBuf,
    /// The control socket.
    pub(crate) socket: PathBuf,
}

impl fmt::Display for ServerSettings {
    /// Writes what `--check` shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listen { address, hip_port, gdoi_port, raw, interface } = &self.listen;
        let protocol_139 = if *raw { " and IP protocol 139" } else { "" };
        writeln!(f, "listens on {address}: HIP on UDP {hip_port}{protocol_139}, GDOI on UDP {gdoi_port}")?;
        if let Some(interface) = interface {
            writeln!(f, "multicast rekey messages leave by {interface}")?;
        }
        writeln!(f, "puzzle difficulty: {}", self.puzzle)?;
        writeln!(f, "keys of associations are renewed: {}", self.hip.association_rekey)?;
        for file in &self.certificate.0 {
            writeln!(f, "certificate: {}", file.display())?;
        }
        if let Some(directory) = &self.revocation_lists {
            writeln!(f, "revocation lists: {}", directory.display())?;
        }
        writeln!(f, "log: {}", self.log)?;
        writeln!(f, "state: {}", self.state_dir.display())?;
        write!(f, "control socket: {}", self.socket.display())
    }
}

/// The algorithms of registrations and how long their keys live; in the file, `[hip]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct HipOffers {
    /// The Diffie-Hellman groups by number, most preferred first; the server's order decides. Default: 7, 8, 9.
    /// Name 8 or 9 first where groups have 256-bit keys, and 4 or 3 behind them for hosts that have no others: each I2 costs
    /// the server ten to thirty times as much then.
    pub(crate) dh_groups: DhGroups,
    /// The ciphers, most preferred first. Default: aes-256-cbc, aes-128-cbc. `null` is never used unless it is named.
    pub(crate) ciphers: Ciphers,
    /// Within how many seconds the keys of an association are renewed, 60 at least; 0 is never. Default: 86400, a day. Lower
    /// it where a host that is taken must give away less of what it was told before.
    pub(crate) association_rekey: AssociationRekey,
}

/// Where a key server is reached; in the file, `[listen]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct Listen {
    /// The address of the sockets. Default: 0.0.0.0, which as `::` does means every address, IPv4 and IPv6. Change it to
    /// serve one network of several.
    pub(crate) address: IpAddr,
    /// The UDP port of HIP. Default: 10500, which needs no privilege. 0 lets the system choose one.
    pub(crate) hip_port: u16,
    /// The UDP port of GDOI. Default: 848, the assigned one, which needs CAP_NET_BIND_SERVICE; without it choose one
    /// from 1024 on, and give members the same (`--gdoi-port`). 0 lets the system choose one.
    pub(crate) gdoi_port: u16,
    /// Whether HIP is spoken on IP protocol 139 too, for hosts that use no UDP. Default: false, because it needs
    /// CAP_NET_RAW.
    pub(crate) raw: bool,
    /// The interface that multicast rekey messages leave by. Default: that of `address`, if it names one; else the one
    /// that the routing table chooses. Change it where the members are behind another.
    pub(crate) interface: Option<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::UNSPECIFIED.into(),
            hip_port: HIP_PORT,
            gdoi_port: GDOI_PORT,
            raw: false,
            interface: None,
        }
    }
}
