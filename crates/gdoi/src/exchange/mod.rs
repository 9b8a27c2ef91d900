//! The states that an exchange goes through, one file for each side of a GROUPKEY-PULL.
//!
//! | module | what |
//! |---|---|
//! | `message` | sealing and authenticating one message under a registration SA |
//! | `registration` | a registration SA and what is remembered about its message ids |
//! | `registrations` | those of an endpoint |
//! | `pull_member` | what a member awaits: offer, acceptance, download |
//! | `pull_server` | what a key server awaits: offer, acknowledgement, download |

use std::fmt;

pub(crate) mod message;
pub(crate) mod pull_member;
pub(crate) mod pull_server;
pub(crate) mod registration;
pub(crate) mod registrations;

/// Names a GROUPKEY-PULL between an endpoint and its caller; never repeated by one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullId(pub(crate) u64);

impl fmt::Display for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pull {}", self.0)
    }
}
