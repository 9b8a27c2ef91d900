//! How a member is admitted to groups: what it asks of its key server, and how strong what it was given is.
//!
//! | module | what |
//! |---|---|
//! | `key_server` | whether the key server is one by the word of the groups' owner |
//! | `registration` | by HIP: what is asked, and what the key server says |
//! | `renewal` | the registration SA whose keys are renewed |
//! | `strength` | how strong a registration is, whichever kind it is of |

mod key_server;
mod registration;
mod renewal;
mod strength;

use claviger_hip_groups::keys::carries_256_bit_keys;

use crate::Member;

pub(crate) use strength::Strength;

impl Member {
    /// Says how strong the registration is that keys would travel under.
    pub(crate) fn strength(&self) -> Strength {
        let association = self.hip.association(&self.server);
        let algorithms = association.and_then(|info| Some((info.cipher?, info.dh_group?)));
        let bits_256 = algorithms.is_some_and(|(cipher, group)| carries_256_bit_keys(cipher, group));
        Strength { bits_256 }
    }
}
