//! How many packets passed, and how many did not.

use std::collections::BTreeMap;

use crate::Error;

/// What happened to packets since the plane was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets protected.
    pub sealed: u64,
    /// Packets authenticated, decrypted and given to the caller.
    pub opened: u64,
    /// Authentic packets that only hid traffic (RFC 4303 section 2.6).
    pub dummies: u64,
    /// Packets dropped in either direction, by [`Error::reason`].
    pub drops: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Says how many packets were dropped for a reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.drops.get(reason).copied().unwrap_or(0)
    }

    /// Says how many packets were dropped in all.
    pub fn dropped_in_all(&self) -> u64 {
        self.drops.values().sum()
    }

    pub(super) fn drop(&mut self, error: &Error) {
        *self.drops.entry(error.reason()).or_default() += 1;
    }
}
