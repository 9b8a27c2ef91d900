//! Which M-IDs a key server is to remember beyond a restart.
//!
//! No M-ID is taken twice under the same cookies (RFC 2408 section 3.1; binding section 4), so that a first message that
//! somebody recorded draws no answer. An M-ID is to be stored with the answer to message 3, and otherwise when its exchange
//! is forgotten. A member whose exchange a restart cuts off repeats its first message (binding section 7.1): so an M-ID whose
//! exchange may still be under way is taken once more, until the exchange would be over.

use std::collections::{BTreeMap, VecDeque};

use claviger_group::CookiePair;
use claviger_sansio::Time;

use crate::limits::EXCHANGE_LIFETIME;

/// What is to be stored of the M-IDs that peers have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageIdChange {
    /// This one is taken.
    Taken {
        /// Under which registration.
        cookies: CookiePair,
        /// The M-ID.
        message_id: u32,
        /// When its exchange began.
        began: Time,
    },
    /// The registration has ended: nothing comes under its cookies any more.
    Forgotten {
        /// Which registration.
        cookies: CookiePair,
    },
}

/// Keeps what is to be stored, and what a restart has cut off.
#[derive(Default)]
pub(crate) struct MessageIds {
    /// What the caller has not taken yet.
    changes: VecDeque<MessageIdChange>,
    /// Until when an exchange goes on that a restart has cut off.
    cut_off: BTreeMap<(CookiePair, u32), Time>,
}

impl MessageIds {
    /// Notes that an M-ID is to be stored.
    pub(crate) fn take(&mut self, cookies: CookiePair, message_id: u32, began: Time) {
        self.changes.push_back(MessageIdChange::Taken { cookies, message_id, began });
    }

    /// Notes that nothing is to be stored of a registration any more.
    pub(crate) fn forget(&mut self, cookies: CookiePair) {
        self.cut_off.retain(|(under, _), _| *under != cookies);
        self.changes.push_back(MessageIdChange::Forgotten { cookies });
    }

    pub(crate) fn poll(&mut self) -> Option<MessageIdChange> {
        self.changes.pop_front()
    }

    /// Notes that an exchange which began then may have been cut off by a restart.
    pub(crate) fn restored(&mut self, now: Time, cookies: CookiePair, message_id: u32, began: Time) {
        let over = began + EXCHANGE_LIFETIME;
        // Where the clock was set back, nobody knows when it began.
        if began <= now && now < over {
            self.cut_off.insert((cookies, message_id), over);
        }
    }

    /// Says whether this M-ID is of an exchange that a restart cut off and that may go on.
    pub(crate) fn is_cut_off(&self, now: Time, cookies: CookiePair, message_id: u32) -> bool {
        self.cut_off.get(&(cookies, message_id)).is_some_and(|over| now < *over)
    }

    /// Notes that an exchange goes on, if it was cut off: its first message has come again.
    pub(crate) fn resumed(&mut self, cookies: CookiePair, message_id: u32) {
        self.cut_off.remove(&(cookies, message_id));
    }
}
