//! What a plane tells its member.

use claviger_group::Spi;

/// Something that the member or its user should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An association has become the one that sends.
    Activated(Spi),
    /// An association was removed because its deactivation was due; its late packets are dropped quietly.
    Deactivated(Spi),
    /// A sender has few numbers left, or no sender id at all, and must register again (RFC 6407 section 5.6.4.3).
    Exhausting(Spi),
    /// An association was removed because its lifetime ended.
    Expired(Spi),
    /// The lease has ended, and nothing is sent until there is another.
    LeaseEnded,
    /// A packet named an association that was never installed: a rekey was perhaps missed.
    UnknownSpi(u32),
}
