//! What the machine tells its program, for logs, metrics and waiting commands.

use std::net::{IpAddr, SocketAddr};

use claviger_group::{GroupId, Role, Spi};
use claviger_identity::Hit;
use claviger_sansio::{NotSent, Time};

/// Names one rekey of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RekeyId(pub(crate) u64);

/// A change that users see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A host was granted a role in a group.
    Registered {
        /// The host.
        hit: Hit,
        /// The group.
        group: GroupId,
        /// What it may do.
        role: Role,
    },
    /// A host was refused.
    Refused(Refusal),
    /// A host confirmed its PULL and is a member: from this instant on keys are given to it.
    Joined {
        /// The host.
        hit: Hit,
        /// The group.
        group: GroupId,
    },
    /// A host was left less than the role that it was granted.
    Narrowed {
        /// The host.
        hit: Hit,
        /// The group.
        group: GroupId,
        /// What it may still do.
        role: Role,
    },
    /// A member has come to another place, and got the keys there.
    Relocated {
        /// The host.
        hit: Hit,
        /// The group.
        group: GroupId,
    },
    /// A member's departure was rekeyed, and all copies of the messages have left.
    Departed {
        /// The host.
        hit: Hit,
        /// The group.
        group: GroupId,
        /// Why it departed.
        departure: Departure,
        /// When the keys were replaced.
        at: Time,
        /// From this instant on it reads nothing that a conforming sender sends: when the last copy had left, and every
        /// sender that heard one had changed over.
        deaf_at: Time,
    },
    /// Rekey messages that could not leave for long are not sent any more: those of the newest rekey, which are, make
    /// members pull. It is told once of an outage.
    PushesDropped {
        /// The group.
        group: GroupId,
        /// How many messages.
        messages: usize,
    },
    /// Rekey messages of a group leave again.
    PushesResumed {
        /// The group.
        group: GroupId,
        /// Since when none left.
        since: Time,
    },
    /// Rekey messages of a group do not leave this host. They are tried again until they do.
    PushesStopped {
        /// The group.
        group: GroupId,
        /// Where they go.
        destination: SocketAddr,
        /// Why they do not leave.
        reason: NotSent,
    },
    /// A host is at another address, and has proven that it is reached there.
    Moved {
        /// The host.
        hit: Hit,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// The group got new keys. Their messages are to leave.
    Rekeyed(Rekeyed),
    /// A copy of each message of a rekey has left.
    RekeySent {
        /// The group.
        group: GroupId,
        /// Which rekey.
        rekey: RekeyId,
        /// When the last of these copies left.
        at: Time,
    },
}

/// Why a member is one no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It sent CLOSE, or left this group by UPDATE.
    Left,
    /// The administrator put it out.
    Evicted,
    /// It did not renew its registration.
    Expired,
    /// It registered anew without naming this group.
    NotNamedAgain,
}

/// How many refused hosts are remembered, so that an administrator finds the one to allow.
pub const REFUSED_MAX: usize = 256;

/// A registration that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked.
    pub hit: Hit,
    /// For which group.
    pub group: GroupId,
    /// In which role.
    pub role: Role,
    /// From which address, as the network claims.
    pub address: Option<IpAddr>,
    /// Why, the last time.
    pub reason: RefusalReason,
    /// When, the last time.
    pub at: Time,
}

/// Why a registration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The group is known, but not at the address asked for.
    ChannelUnknown,
    /// No such group.
    GroupUnknown,
    /// The group is full.
    GroupFull,
    /// The host is not on the group's list.
    NotAuthorised,
    /// The host is on the list, but not for this role.
    RoleNotAuthorised,
    /// The host joined too often in a short time.
    TooOften,
    /// The association's algorithms are weaker than the group's keys.
    WeakAssociation,
}

impl RefusalReason {
    /// Says whether allowing the host in the role asked for would admit it.
    pub const fn is_curable(self) -> bool {
        match self {
            Self::NotAuthorised | Self::RoleNotAuthorised => true,
            Self::ChannelUnknown
            | Self::GroupUnknown
            | Self::GroupFull
            | Self::TooOften
            | Self::WeakAssociation => false,
        }
    }

    /// Names the reason for counters and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChannelUnknown => "channel_unknown",
            Self::GroupUnknown => "group_unknown",
            Self::GroupFull => "group_full",
            Self::NotAuthorised => "not_authorised",
            Self::RoleNotAuthorised => "role_not_authorised",
            Self::TooOften => "too_often",
            Self::WeakAssociation => "weak_association",
        }
    }
}

/// One rekey, with what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// The group.
    pub group: GroupId,
    /// Which rekey it is, if it has messages.
    pub rekey: Option<RekeyId>,
    /// When.
    pub at: Time,
    /// How many members joined by it.
    pub joined: usize,
    /// How many members moved to another place by it.
    pub moved: usize,
    /// How many departed by it.
    pub departed: usize,
    /// How many keys the tree itself wraps.
    pub tree_keys: usize,
    /// How many keys the messages carry, arrays of LKH keys repeating what they must.
    pub message_keys: usize,
    /// How many GROUPKEY-PUSH messages there are, copies not counted.
    pub messages: usize,
    /// Their octets in all, copies not counted.
    pub octets: usize,
    /// The TEK from now on, if it was replaced.
    pub tek: Option<Spi>,
}
