//! What the machine tells its program, for logs, metrics and waiting commands.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
};

use claviger_group::{CookiePair, GroupId, MemberId, Role, Spi};
use claviger_identity::Hit;
use claviger_sansio::{Counted, NotSent, Time};

use crate::Counter;

/// Names one rekey of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RekeyId(pub(crate) u64);

/// A change that users see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A host was granted a role in a group.
    Registered {
        /// The host.
        host: MemberId,
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
        host: MemberId,
        /// The group.
        group: GroupId,
    },
    /// A host was left less than the role that it had.
    Narrowed {
        /// The host.
        host: MemberId,
        /// The group.
        group: GroupId,
        /// What it may still do.
        role: Role,
    },
    /// A member has come to another place, and got the keys there.
    Relocated {
        /// The host.
        host: MemberId,
        /// The group.
        group: GroupId,
    },
    /// A member has begun anew under keys that were made for it: it had registered anew, or used its share of sender ids.
    Returned {
        /// The host.
        host: MemberId,
        /// The group.
        group: GroupId,
    },
    /// A member's departure was rekeyed, and all copies of the messages have left.
    Departed {
        /// The host.
        host: MemberId,
        /// The group.
        group: GroupId,
        /// Why it departed.
        departure: Departure,
        /// When the keys were replaced.
        at: Time,
        /// From this instant on it reads nothing that a conforming sender sends: when the last copy had left, and every
        /// sender that heard one had changed over.
        deaf_at: Time,
        /// From this instant on it reads nothing that any honest member sends, whoever missed the rekey: the leases of those
        /// have ended, or the TEKs that the host had.
        silent_from: Option<Time>,
    },
    /// Nobody goes on any more under the keys that a host had which was evicted: everybody has stated so, or its lease has
    /// ended.
    Silent {
        /// The host.
        host: MemberId,
        /// The group.
        group: GroupId,
        /// When that was known.
        at: Time,
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

/// A registration that was refused. Of each host the last is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked.
    pub host: MemberId,
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
    /// The host's certificate is over.
    CertificateExpired,
    /// The host's certificate holds, and gives nothing in this group.
    CertificateForOtherGroups,
    /// The host's certificate holds, and gives less in this group than was asked for.
    CertificateForOtherRoles,
    /// The host's certificate names an issuer whose signature it does not bear.
    CertificateForged,
    /// The packet lacks certificates of a chain, or has one twice.
    CertificateIncomplete,
    /// What the host shows is no certificate.
    CertificateMalformed,
    /// The group wants a certificate, and the host shows none.
    CertificateMissing,
    /// The host's certificate is not valid yet.
    CertificateNotYetValid,
    /// The host's certificate was issued by somebody who is no CA.
    CertificateOfNoCa,
    /// The certificate is about another key than the host's, or names another HIT.
    CertificateOfOtherKey,
    /// The host's certificate breaks another rule of RFC 5280.
    CertificateOther,
    /// The host's certificate is revoked.
    CertificateRevoked,
    /// The host's certificates do not lead to the owner of the group.
    CertificateUnknownCa,
    /// The certificate is of a type, or needs something, that is not supported.
    CertificateUnsupported,
    /// The group is known, but not at the address asked for.
    ChannelUnknown,
    /// The host was put out of the group, and not allowed again since.
    Denied,
    /// No such group.
    GroupUnknown,
    /// The group is full.
    GroupFull,
    /// The host is not on the group's list.
    NotAuthorised,
    /// There is no current list of the issuer by which the host's certificate could be known to be revoked.
    RevocationUnknown,
    /// The host is on the list, but not for this role.
    RoleNotAuthorised,
    /// The request is for groups of more owners than a host's certificates are judged for at once.
    TooManyOwners,
    /// The host joined too often in a short time.
    TooOften,
    /// The association's algorithms are weaker than the group's keys.
    WeakAssociation,
}

impl RefusalReason {
    /// Says whether allowing the host in the role asked for would admit it.
    pub const fn is_curable(self) -> bool {
        match self {
            Self::Denied | Self::NotAuthorised | Self::RoleNotAuthorised => true,
            // Another certificate is for the owner to make.
            Self::CertificateExpired
            | Self::CertificateForOtherGroups
            | Self::CertificateForOtherRoles
            | Self::CertificateForged
            | Self::CertificateIncomplete
            | Self::CertificateMalformed
            | Self::CertificateMissing
            | Self::CertificateNotYetValid
            | Self::CertificateOfNoCa
            | Self::CertificateOfOtherKey
            | Self::CertificateOther
            | Self::CertificateRevoked
            | Self::CertificateUnknownCa
            | Self::CertificateUnsupported
            | Self::RevocationUnknown
            | Self::TooManyOwners => false,
            Self::ChannelUnknown
            | Self::GroupUnknown
            | Self::GroupFull
            | Self::TooOften
            | Self::WeakAssociation => false,
        }
    }

    /// Names the reason for programs, as its counter is named.
    pub fn as_str(self) -> &'static str {
        Counter::from(self).name()
    }
}

/// Why a group got new keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RekeyCause {
    /// An administrator commanded it.
    ByHand,
    /// The epochs of the key tree are nearly spent: the group starts over with another tree.
    EpochsSpent,
    /// Members were evicted.
    Eviction,
    /// Registrations of members were not renewed.
    Expiry,
    /// Hosts joined.
    Join,
    /// Members left, or registered anew without naming the group.
    Leave,
    /// Members moved to other places.
    Move,
    /// A member lost the sender role.
    NarrowedRole,
    /// Members registered anew, perhaps because they were started again.
    Return,
    /// Senders have used their share of sender ids and begin anew under a new TEK.
    SenderIdsSpent,
    /// The time of the key has come.
    Timer,
}

impl RekeyCause {
    /// Names the cause for logs, counters and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by_hand",
            Self::EpochsSpent => "epochs_spent",
            Self::Eviction => "eviction",
            Self::Expiry => "expiry",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Move => "move",
            Self::NarrowedRole => "narrowed_role",
            Self::Return => "return",
            Self::SenderIdsSpent => "sender_ids_spent",
            Self::Timer => "timer",
        }
    }
}

impl From<Departure> for RekeyCause {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::Evicted => Self::Eviction,
            Departure::Expired => Self::Expiry,
            Departure::Left | Departure::NotNamedAgain => Self::Leave,
        }
    }
}

/// The causes of one rekey: more than one where hosts that came and hosts that went share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RekeyCauses(BTreeSet<RekeyCause>);

impl RekeyCauses {
    /// Goes through the causes.
    pub fn iter(&self) -> impl Iterator<Item = RekeyCause> + '_ {
        self.0.iter().copied()
    }

    /// Says whether this is a cause, perhaps among others.
    pub fn contains(&self, cause: RekeyCause) -> bool {
        self.0.contains(&cause)
    }

    /// Adds causes.
    pub(crate) fn extend(&mut self, causes: impl IntoIterator<Item = RekeyCause>) {
        self.0.extend(causes);
    }
}

impl From<RekeyCause> for RekeyCauses {
    fn from(cause: RekeyCause) -> Self {
        Self(BTreeSet::from([cause]))
    }
}

impl fmt::Display for RekeyCauses {
    /// Writes the causes with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, cause) in self.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}", cause.as_str())?;
        }
        Ok(())
    }
}

/// One rekey, with what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// The group.
    pub group: GroupId,
    /// Why.
    pub cause: RekeyCauses,
    /// Which rekey it is, if it has messages.
    pub rekey: Option<RekeyId>,
    /// When.
    pub at: Time,
    /// How many members joined by it.
    pub joined: usize,
    /// How many members moved to another place by it.
    pub moved: usize,
    /// How many members that had registered anew, or had used their share of sender ids, began anew by it.
    pub returned: usize,
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
    /// The rekey SA from now on, if the KEK was replaced.
    pub kek: Option<CookiePair>,
    /// The TEK from now on, if it was replaced.
    pub tek: Option<Spi>,
}
