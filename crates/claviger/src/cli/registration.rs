//! Options of every command that registers to a key server by itself.

use clap::Args;

use crate::{config::GDOI_PORT, hip_offers::DhGroups};

/// How to reach a key server, beside its address.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct RegistrationArgs {
    /// Speak HIP on IP protocol 139 instead of UDP (needs CAP_NET_RAW)
    #[arg(long)]
    pub(crate) raw: bool,
    /// UDP port of GDOI at the key server
    #[arg(long, value_name = "PORT", default_value_t = GDOI_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) gdoi_port: u16,
    /// Network interface that multicast is received and sent on, by name [default: the one that the routing table
    /// chooses]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Diffie-Hellman groups of HIP, by number, such as 8,9: what a group with 256-bit keys needs [default: 7,8,9,4]
    #[arg(long, value_name = "LIST")]
    pub(crate) dh_groups: Option<DhGroups>,
    /// Refuse groups that need extensions of GDOI for private use: LKH-32, signatures over whole rekeys
    #[arg(long)]
    pub(crate) standard_only: bool,
}
