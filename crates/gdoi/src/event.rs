//! What the endpoints tell their callers.

use std::net::{IpAddr, SocketAddr};

use claviger_group::{CookiePair, GroupId, MemberId};
use claviger_isakmp::iana::NotifyType;

#[cfg(doc)]
use crate::{Member, Server};
use crate::{
    error::{Error, PeerIncompatible},
    exchange::{LeaseId, LeaseTicket, PullId},
    wire::{InForce, KeyDownload, LeaseQuestion, LeaseVerdict, SaPayload},
};

/// What a member learns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "an event is made once an exchange and read at once")]
pub enum MemberEvent {
    /// The key server offers a policy: [`Member::accept`] it or [`Member::decline`] it. It may offer again after it was
    /// accepted, if it was started again and lost the exchange; the later offer is the one that counts.
    Offered {
        /// The exchange.
        pull: PullId,
        /// The group.
        group: GroupId,
        /// The policy.
        sa: SaPayload,
    },
    /// Keys arrived. They fit the policy.
    Pulled {
        /// The exchange, which is over.
        pull: PullId,
        /// The group.
        group: GroupId,
        /// The policy that was offered and accepted.
        sa: SaPayload,
        /// The number of the last GROUPKEY-PUSH, if there is a rekey SA.
        sequence: Option<u32>,
        /// The keys.
        kd: KeyDownload,
    },
    /// No keys will arrive.
    PullFailed {
        /// The exchange, which is over.
        pull: PullId,
        /// The group.
        group: GroupId,
        /// Why.
        reason: PullFailure,
    },
    /// The key server answered a request for leases, perhaps an earlier one than the last. They run from the instant at which
    /// that was made.
    LeasesAnswered {
        /// The request, which is over, and so are those before it.
        request: LeaseId,
        /// Its groups, with what the key server has in force.
        groups: Vec<(GroupId, LeaseVerdict, InForce)>,
    },
    /// The key server has not answered a request for leases, which is not repeated any more. It may still answer.
    LeasesUnanswered {
        /// The request.
        request: LeaseId,
    },
}

/// What a key server learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// A registered peer asks for a group: [`Server::offer`] its policy or [`Server::refuse`]. Nothing may be
    /// recorded yet: only message 3 proves that the peer is live.
    PullRequested {
        /// The exchange.
        pull: PullId,
        /// Who asks.
        peer: MemberId,
        /// Under which registration.
        cookies: CookiePair,
        /// For which group.
        group: GroupId,
        /// Where the message came from.
        peer_address: SocketAddr,
    },
    /// The peer is live and accepts: draw a leaf and sender ids, and [`Server::download`] the keys.
    PullConfirmed {
        /// The exchange.
        pull: PullId,
        /// Who asks.
        peer: MemberId,
        /// Under which registration.
        cookies: CookiePair,
        /// For which group.
        group: GroupId,
        /// How many sender ids it requests; `None` if it says nothing.
        sender_ids: Option<u16>,
        /// The address that message 3 came from, if message 2 was sent there and nowhere else: the peer is there.
        proven_address: Option<IpAddr>,
    },
    /// The peer ended the exchange.
    PullDeclined {
        /// The exchange, which is over.
        pull: PullId,
        /// Who asked.
        peer: MemberId,
        /// For which group.
        group: GroupId,
        /// Why.
        notify: NotifyType,
    },
    /// The exchange awaited message 3 and gave way to a later one of the same peer.
    PullDisplaced {
        /// The exchange, which is over.
        pull: PullId,
    },
    /// A member tells what it misses of a batch; nothing is answered under this registration.
    Reported {
        /// Who tells.
        peer: MemberId,
        /// What it tells, not interpreted here.
        report: Vec<u8>,
        /// Where it came from.
        peer_address: SocketAddr,
        /// To which of our addresses it came.
        own_address: SocketAddr,
    },
    /// A member asks for leases, or whether its keys are in force: [`Server::answer_leases`].
    LeasesRequested {
        /// What it is answered by.
        ticket: LeaseTicket,
        /// Who asks.
        peer: MemberId,
        /// About which groups, with what it asks and what it has in force.
        groups: Vec<(GroupId, LeaseQuestion, InForce)>,
    },
}

/// Why a GROUPKEY-PULL failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFailure {
    /// The key server sent something authentic that breaks a rule.
    Peer(Error),
    /// The key server offers something that is not implemented here.
    Policy(PeerIncompatible),
    /// The key server refused.
    Refused(NotifyType),
    /// The registration SA was removed.
    RegistrationRemoved,
    /// No answer came, or the exchange took too long.
    Timeout,
}

impl PullFailure {
    /// Names the reason for counters, in snake_case.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Peer(error) => error.reason(),
            Self::Policy(_) => "policy",
            Self::Refused(_) => "refused",
            Self::RegistrationRemoved => "registration_removed",
            Self::Timeout => "timeout",
        }
    }
}
