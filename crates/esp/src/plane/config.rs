//! What a plane is told about its member.

use std::time::Duration;

use claviger_group::Role;

/// How a plane behaves.
#[derive(Debug, Clone)]
pub struct PlaneConfig {
    /// What the member may do. A receiver never sends, whatever keys it holds.
    pub role: Role,
    /// How many bits of the initialization vector name the sender: 8, 12 or 16, by the group's policy. A receiver
    /// that was not told says 16; see [`InboundSa::new`](crate::InboundSa::new).
    pub sender_id_bits: u8,
    /// [`Event::Exhausting`](crate::Event::Exhausting) is raised once fewer packets than this can be sent.
    /// The default, 2^24, is 0.4 % of what a sender id is good for, and at 100,000 packets a second leaves close
    /// to three minutes for a new registration.
    pub exhausting_below: u64,
    /// [`Event::UnknownSpi`](crate::Event::UnknownSpi) is raised at most once in this time. The default is 1 s.
    pub unknown_spi_interval: Duration,
}

impl PlaneConfig {
    /// Takes the role and the length of sender ids; everything else is at its default.
    pub fn new(role: Role, sender_id_bits: u8) -> Self {
        Self { role, sender_id_bits, exhausting_below: 1 << 24, unknown_spi_interval: Duration::from_secs(1) }
    }
}
