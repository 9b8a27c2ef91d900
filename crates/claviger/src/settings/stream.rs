//! What `send` and `recv` run by.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use claviger_group::GroupId;

use super::{log::LogFilter, member::MemberSettings};

/// The payload that fits an Ethernet frame of 1500 octets over IPv6 with UDP, ESP and the inner UDP header.
pub(crate) const SIZE_DEFAULT: u16 = 1400;

/// The most payload that UDP over IPv4 carries inside ESP in UDP: 65,535 less headers and ICV.
pub(crate) const SIZE_MAX: u16 = 65_400;

/// The member that a stream goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Through {
    /// The running daemon with this control socket.
    Daemon(PathBuf),
    /// A member inside the process of the command.
    OwnMember(Box<MemberSettings>),
}

/// What `send` runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendSettings {
    /// The group.
    pub(crate) group: GroupId,
    /// The member that sends.
    pub(crate) through: Through,
    /// The pace in payload octets per second.
    pub(crate) rate: NonZeroU64,
    /// The UDP destination port inside; otherwise the group's.
    pub(crate) port: Option<u16>,
    /// The octets of a datagram's payload.
    pub(crate) size: u16,
    /// What is logged.
    pub(crate) log: LogFilter,
}

/// What `recv` runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceiveSettings {
    /// The group.
    pub(crate) group: GroupId,
    /// The member that receives.
    pub(crate) through: Through,
    /// How long nothing may arrive before it ends.
    pub(crate) idle: Option<Duration>,
    /// After how many datagrams it ends.
    pub(crate) count: Option<NonZeroU64>,
    /// What is logged.
    pub(crate) log: LogFilter,
}
