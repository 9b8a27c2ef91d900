//! Hosts that called this registrar and have never been granted anything. They are few, nothing of them is stored, and
//! they make room for each other: the one that called first is forgotten.

use std::collections::BTreeSet;

use claviger_identity::Hit;
use claviger_sansio::Time;

/// The strangers that have an association, by when it was established.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    by_age: BTreeSet<(Time, Hit)>,
}

impl Strangers {
    /// Notes since when a host is a stranger, if it is one, and forgets what was noted of it before.
    pub(crate) fn note(&mut self, host: Hit, before: Option<Time>, since: Option<Time>) {
        if before == since {
            return;
        }
        if let Some(before) = before {
            self.by_age.remove(&(before, host));
        }
        if let Some(since) = since {
            self.by_age.insert((since, host));
        }
    }

    /// Counts them.
    pub(crate) fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Says who has to go if no more than `most` may stay.
    pub(crate) fn surplus(&self, most: usize) -> Option<Hit> {
        self.by_age.first().filter(|_| self.by_age.len() > most).map(|(_, host)| *host)
    }
}
