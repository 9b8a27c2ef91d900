//! How many rekey messages with a wrong signature a member verifies.
//!
//! Whoever is a member knows the KEK, and can make messages that nothing but their signature tells from the key server's.

use claviger_isakmp::limits::LeakyCounter;
use claviger_sansio::Time;

use super::origin::Origin;

/// The wrong signatures of late, by the origin that the messages claim: so many at once, and then some a second
/// ([`LeakyCounter`]).
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    key_server: LeakyCounter,
    elsewhere: LeakyCounter,
}

impl Verifications {
    /// Says whether one more message from there may be verified.
    pub(crate) fn has_room(&self, now: Time, origin: Origin) -> bool {
        match origin {
            Origin::KeyServer => self.key_server.has_room(now),
            Origin::Elsewhere => self.elsewhere.has_room(now),
            Origin::Kept => true,
        }
    }

    /// Notes a wrong signature.
    pub(crate) fn failed(&mut self, now: Time, origin: Origin) {
        match origin {
            Origin::KeyServer => self.key_server.count(now),
            Origin::Elsewhere => self.elsewhere.count(now),
            Origin::Kept => {}
        }
    }
}
