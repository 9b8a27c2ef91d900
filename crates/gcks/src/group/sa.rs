//! The SAs of a group, as it keeps them.

use std::time::Duration;

use claviger_group::{CookiePair, Tek};
use claviger_sansio::Time;

/// The most TEKs that live side by side: their count is stored in one octet.
pub(crate) const TEKS_MAX: usize = u8::MAX as usize;

/// The rekey SA; its key is the tree's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RekeySa {
    pub(crate) spi: CookiePair,
    /// The last number used under this SPI.
    pub(crate) sequence: u32,
    pub(crate) issued: Time,
    /// Messages sent for the group since it was made, which orders them across rekey SAs.
    pub(crate) pushes: u64,
}

/// A TEK that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssuedTek {
    pub(crate) tek: Tek,
    pub(crate) issued: Time,
    /// How many were issued before it since the start; it is not stored.
    pub(crate) number: u64,
    /// When its successor was issued.
    pub(crate) superseded: Option<Time>,
}

/// Says what remains of a lifetime, at least one second: zero would mean none at all.
pub(crate) fn remaining(lifetime: Duration, issued: Time, now: Time) -> Duration {
    lifetime.saturating_sub(now.since(issued)).max(Duration::from_secs(1))
}
