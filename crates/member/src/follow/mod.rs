//! Follows a group's keys as GDOI brings them, by PULL and by PUSH.
//!
//! | module | what |
//! |---|---|
//! | `pull`, `push` | GROUPKEY-PULL and GROUPKEY-PUSH: fetching keys, being told of them, missing them |
//! | `acceptance` | which policy of a key server the member follows |
//! | `download` | what a PULL brings: read and found sound, and then put in force |
//! | `rekey` | what a GROUPKEY-PUSH changes |
//! | `rekey_sa` | the rekey SA in force |
//! | [`tree_keys`] | the keys of the key tree, of either KEK management |
//! | `incoming` | a rekey that comes in many messages |
//! | `lease` | how the keys are confirmed, and what becomes of doubts about them |
//! | `collecting` | the messages of a rekey that are repaired on request |
//! | `early` | messages under a KEK that has not come |
//! | `origin`, `verifications` | where a message claims to come from, and how many forged ones are verified |

pub(crate) mod lease;
pub mod tree_keys;

mod acceptance;
mod collecting;
mod download;
mod early;
mod incoming;
mod origin;
mod pull;
mod push;
mod rekey;
mod rekey_sa;
mod verifications;

use claviger_crypto::Random;
use claviger_sansio::Time;
use tracing::debug;

use crate::{held::HeldKeys, repull::REKEY_SPREAD};
use collecting::Collecting;
use incoming::Incoming;
use rekey_sa::Rekey;
use verifications::Verifications;

/// What GDOI has brought beside the keys that are held, and what it is bringing.
pub(crate) struct Follower {
    /// The rekey SA in force.
    pub(crate) rekey: Option<Rekey>,
    /// The rekey that is coming in, or came in last, if it takes many messages.
    pub(crate) incoming: Option<Incoming>,
    /// Its messages, if they are delivered.
    pub(crate) collecting: Collecting,
    /// Those that were forged by somebody who knows the KEK.
    pub(crate) verifications: Verifications,
    /// Until when a newcomer may hear the rest of the rekey that brought it in, under a KEK that it never gets.
    pub(crate) new_until: Time,
}

impl Follower {
    /// Begins with a group whose first keys come.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            rekey: None,
            incoming: None,
            collecting: Collecting::default(),
            verifications: Verifications::default(),
            new_until: now + REKEY_SPREAD,
        }
    }

    /// Puts a rekey SA in force. One that is in force already keeps the higher sequence number: the SEQ of a PULL
    /// can be older than a PUSH that overtook it (RFC 6407 section 3.3). Returns the one that it supersedes.
    pub(crate) fn take_up(&mut self, mut rekey: Rekey) -> Option<Rekey> {
        let (spi, sequence) = (rekey.sa.spi(), rekey.sa.sequence());
        debug!(rekey_sa = %spi, sequence, form = ?rekey.sa.form(), tree = rekey.tree.is_some(), "a rekey SA is in force");
        let earlier = self.rekey.take();
        self.incoming = None;
        if let Some(earlier) = &earlier {
            if earlier.sa.kek().spi == rekey.sa.kek().spi {
                rekey.sa.raise_sequence(earlier.sa.sequence());
            } else {
                self.collecting.reached();
            }
        }
        self.rekey = Some(rekey);
        earlier
    }

    /// Says whether PUSHes have led beyond what a PULL brought: its answer was long on the way.
    pub(crate) fn has_overtaken(&self, held: &HeldKeys, pulled: &Rekey) -> bool {
        let spi = pulled.sa.kek().spi;
        let newer = |rekey: &Rekey| rekey.sa.kek().spi == spi && rekey.sa.sequence() > pulled.sa.sequence();
        held.is_retired(&spi) || self.rekey.as_ref().is_some_and(newer)
    }

    /// Forgets what remains of a rekey once no more messages of it are expected.
    pub(crate) fn handle_timeout(&mut self, now: Time, random: &mut dyn Random) {
        self.collecting.handle_timeout(now, random);
        self.incoming.take_if(|incoming| incoming.expires().is_some_and(|at| at <= now));
    }

    /// Says when [`Follower::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let incoming = self.incoming.as_ref().and_then(Incoming::expires);
        [self.collecting.poll_timeout(), incoming].into_iter().flatten().min()
    }
}
