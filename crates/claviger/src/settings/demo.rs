//! What the demonstration runs by, and each of its processes.

use std::{net::IpAddr, path::PathBuf};

use super::{log::LogFilter, member::MemberSettings};

/// What the demonstration runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoSettings {
    /// The file that is streamed; otherwise this program's executable.
    pub(crate) file: Option<PathBuf>,
    /// Whether the result is written as JSON.
    pub(crate) json: bool,
    /// Whether the evicted member is handed a later TEK, so that the claims fail.
    pub(crate) betray: bool,
}

/// What the process runs by that records every datagram and has no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObserverSettings {
    /// The multicast address.
    pub(crate) address: IpAddr,
    /// The UDP ports.
    pub(crate) ports: Vec<u16>,
    /// The file to write.
    pub(crate) recording: PathBuf,
    /// What is logged.
    pub(crate) log: LogFilter,
}

/// What a member runs by that records what it receives and keeps every key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedMemberSettings {
    /// The member.
    pub(crate) member: MemberSettings,
    /// The file to write payloads to.
    pub(crate) recording: PathBuf,
    /// The file to write keys to at the end.
    pub(crate) ledger: PathBuf,
    /// What is logged.
    pub(crate) log: LogFilter,
}
