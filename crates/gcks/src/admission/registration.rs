//! What a registration is to those who ask, and to the protocols that run under it.

use claviger_group::{CookiePair, MemberId, RegistrationSa};
use claviger_sansio::Time;

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

/// Which keys a registration can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// Keys of 128 bits.
    Bits128,
    /// Keys of 256 bits too.
    Bits256,
}

/// The protocols that run under registrations, as admission sees them.
pub(crate) trait UnderRegistration {
    /// Makes the keys of a registration known. Says whether they are: cookies may be in use.
    fn add_registration(&mut self, now: Time, sa: RegistrationSa) -> bool;

    /// Forgets the keys of a registration.
    fn remove_registration(&mut self, cookies: &CookiePair);

    /// Forgets the keys of a registration when the exchanges under them have had time to end: others have followed them.
    fn retire_registration(&mut self, now: Time, cookies: &CookiePair);

    /// Forgets where a host was shown to be: its association has ended, or shows where it is now.
    fn forget_address(&mut self, host: &MemberId);
}
