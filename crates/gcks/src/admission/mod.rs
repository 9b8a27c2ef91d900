//! Who a host is, whether it may join, and whether it is gone.
//!
//! One [`Roster`] knows for all groups and all registrations who is on which list, what was granted, who was refused and
//! who departed. How a host registers is an adapter's business: it proves who the peer is and yields a registration SA.
//!
//! | module | what |
//! |---|---|
//! | [`roster`] | lists, grants, refusals, limits: one look-up for each question |
//! | [`grants`] | what hosts were granted, and when that ends |
//! | [`limiter`] | how often a host may join |
//! | [`membership`] | what becomes of a member whose standing changes |
//! | [`departure`] | who goes or is put out, and from when on nothing is readable to it |
//! | [`phase_1`] | registrations without grants of their own: the roster is asked when their PULL comes |
//! | [`hip`] | registrations by HIP |

pub(crate) mod departure;
pub(crate) mod grants;
pub(crate) mod hip;
pub(crate) mod limiter;
pub(crate) mod membership;
pub(crate) mod phase_1;
pub(crate) mod roster;

use claviger_group::CookiePair;

pub(crate) use roster::{Roster, Strength};

/// How a host has registered, with the name of the registration SA that it has by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// By HIP (RFC 8003). Each group is granted by name and for a time, and the end of the association is a departure.
    Hip(CookiePair),
    /// By Phase 1 of ISAKMP (RFC 6407 section 2). It names no group and no role: the host has what the list allows it, as
    /// long as it is there. That the SA ends means nothing.
    Phase1 {
        /// The name of the registration SA.
        cookies: CookiePair,
        /// Which keys it can carry.
        strength: Strength,
    },
}

impl Registration {
    /// Shows the cookies of the registration SA.
    pub(crate) fn cookies(self) -> CookiePair {
        match self {
            Self::Hip(cookies) | Self::Phase1 { cookies, .. } => cookies,
        }
    }
}
