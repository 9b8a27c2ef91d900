//! The states that an exchange goes through, one file for each side of a GROUPKEY-PULL.
//!
//! | module | what |
//! |---|---|
//! | `informational` | what is told of a GROUPKEY-PULL in an Informational exchange |
//! | `lease` | what a member asks about its leases, and what it is answered |
//! | `pull_member` | what a member awaits: offer, acceptance, download |
//! | `pull_server` | what a key server awaits: offer, acknowledgement, download |
//! | `report` | what a member misses of a batch: one message, to which no answer comes |
//!
//! How one message is protected, and what is remembered about a registration SA, is ISAKMP's
//! ([`claviger_isakmp::exchange`]).

use std::{fmt, net::SocketAddr};

use claviger_group::CookiePair;

use crate::wire::LeaseNonce;

pub(crate) mod informational;
pub(crate) mod lease;
pub(crate) mod pull_member;
pub(crate) mod pull_server;
pub(crate) mod report;

/// Names a GROUPKEY-PULL between an endpoint and its caller; never repeated by one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullId(pub(crate) u64);

impl PullId {
    /// Takes the name back from a number that [`PullId::as_u64`] returned.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Returns the name as a number, for a caller that keeps it where GDOI is not known.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pull {}", self.0)
    }
}

/// Names a request for leases between a member's endpoint and its caller; never repeated by one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub(crate) u64);

/// How a request for leases is answered: the key server's endpoint remembers nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTicket {
    pub(crate) cookies: CookiePair,
    pub(crate) nonce: LeaseNonce,
    /// Where it came from, and to which of our addresses.
    pub(crate) peer_address: SocketAddr,
    pub(crate) own_address: SocketAddr,
}

impl LeaseTicket {
    /// Shows the nonce of the request.
    pub const fn nonce(&self) -> LeaseNonce {
        self.nonce
    }
}
