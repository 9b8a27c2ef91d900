//! How keys travel: one voice for each group-key protocol, and what goes to whole groups.
//!
//! A voice makes messages from what a group holds ([`crate::group`]) and from what a change of its keys made
//! ([`Epoch`](crate::group::epoch::Epoch)); it takes what members ask and report. How a host registered it does not know.
//!
//! | module | what |
//! |---|---|
//! | [`gdoi`] | GDOI: offers and downloads of a PULL, and GROUPKEY-PUSHes |
//! | [`push_queue`] | which rekey message is sent when, and how often |
//! | [`delivery`] | rekeys of many messages: repaired as members report |

pub(crate) mod delivery;
pub(crate) mod gdoi;
pub(crate) mod push_queue;

use std::net::SocketAddr;

use claviger_group::CookiePair;
use claviger_sansio::{Transmit, durable::RecordKey};

/// The UDP payload that every IPv6 path carries, behind IPv6 and UDP headers.
pub(crate) const UDP_LEN: usize = 1280 - 40 - 8;

/// A rekey message that is to be sent, with the name of its record.
#[derive(Clone)]
pub(crate) struct SealedRekey {
    pub(crate) key: RecordKey,
    /// The rekey SA that it stands under, and its number there.
    pub(crate) under: CookiePair,
    pub(crate) sequence: u32,
    pub(crate) transmit: Transmit,
    /// The node ids below which members need it; none if all may.
    pub(crate) audience: Vec<u32>,
}

/// The messages that share a signature, as they stand among those of a rekey.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSpan {
    pub(crate) under: CookiePair,
    /// The number of the first.
    pub(crate) first: u32,
    /// How many they are.
    pub(crate) count: usize,
}

/// What tells those who remain of a change of keys.
#[derive(Default)]
pub(crate) struct Rekey {
    pub(crate) messages: Vec<SealedRekey>,
    /// Which of them share signatures, in their order; empty where none do.
    pub(crate) batches: Vec<BatchSpan>,
    /// How many keys they carry, keys that stand in several of them counted each time.
    pub(crate) keys: usize,
}

/// Where a member that reports is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) peer: SocketAddr,
    pub(crate) own: SocketAddr,
}
