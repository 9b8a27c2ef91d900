//! What a member asks of its data plane, and what it hears from it.
//!
//! A group's data SA receives from its installation on, sends from its activation on until a newer one does, and receives
//! until it is deactivated (RFC 5374 section 4.2.1). Commands say at what time each of these is to happen; the data plane
//! keeps the times. It may be ESP in this process, the kernel's, or a program that wants keys and nothing else.

use claviger_crypto::random::Seed;
use claviger_sansio::Time;

use crate::{Role, SenderId, Spi, Tek};

/// What the data plane of one group is to do, in the order in which the commands come.
///
/// Nothing is printed of the keys in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaneCommand {
    /// Begins with a group. It has no SA yet.
    Open {
        /// What the member may do in it. A receiver never sends, whatever keys it holds.
        role: Role,
        /// How many bits of an initialization vector tell senders apart: 8, 12 or 16.
        sender_id_bits: u8,
        /// What the plane's random octets come from, those of AES-CBC's initialization vectors for instance: one seed
        /// of the member replays its data too.
        seed: Seed,
    },
    /// Receives under an SA from now on, and does not send yet.
    Install(DataSa),
    /// Sends under an SA that was installed; of two commands for one SA the earlier times count.
    Activate {
        /// Which SA.
        spi: Spi,
        /// From when on it sends, unless a newer one does.
        at: Time,
        /// From when on no older SA sends: at `at` or before.
        older_until: Time,
    },
    /// Removes an SA, in both directions; of two commands for one SA the earlier time counts.
    Deactivate {
        /// Which SA.
        spi: Spi,
        /// When.
        at: Time,
    },
    /// Leaves the member only what of its role is in this one.
    Narrow(Role),
    /// Sends, and where the lease says so accepts, until its end and no longer; none, and there is no such end.
    Lease(Option<Lease>),
    /// Removes every SA at once. Others may follow, and perhaps the same again: what was sent under them counts then.
    DeleteAll,
    /// Removes every SA at once and forgets the group: the member has left it, was put out, or gave it up.
    Close,
}

/// A data SA with everything that a data plane needs of it.
///
/// Given again, under an SPI that is installed, it brings a new end and new sender ids; replay windows, numbers and
/// times of the earlier installation stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSa {
    /// Policy and keys.
    pub tek: Tek,
    /// When its lifetime ends, and it is removed.
    pub expires: Time,
    /// The ids that this member sends with, one after the other; none at a receiver.
    pub sender_ids: Vec<SenderId>,
}

/// Until when a group's keys may be used: the key server has to confirm before that they are still in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// From this instant on nothing is sent.
    pub until: Time,
    /// Whether nothing is accepted either.
    pub receives: bool,
}

/// What a member has to know of the data plane of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneEvent {
    /// This SA sends, or would at a sender: nothing is protected under an older one any more, and nothing that was waits to
    /// leave.
    ChangedOver(Spi),
    /// The data plane does not take an SA.
    Refused(Spi),
    /// A sender has few numbers left, or no sender id at all, and must register again (RFC 6407 section 5.6.4.3).
    SenderIdSpent(Spi),
    /// A packet named an SA that was never installed: a rekey was perhaps missed.
    UnknownSpi(u32),
}
