//! Hosts that are put out or go, from the decision until nothing that is sent is readable to them.
//!
//! A departure is a record until all copies of its rekey's messages have left, so that a restart still says when that
//! was. An eviction stays one: whoever asks again, because the first answer was lost, is answered the same.

use std::time::Duration;

use claviger_group::{GroupId, MemberId};
use claviger_sansio::Time;
use tracing::debug;

use super::{Admission, departed::Departed, roster::Roster};
use crate::{
    error::CommandError,
    event::{Departure, Event, RekeyId},
};

/// How much later than at a rekey that they can follow members change over at one that they must pull for: the longest
/// wait before a PULL (binding section 7.3).
const PULL_DELAY_MAX: Duration = Duration::from_secs(2);

/// How far an eviction has come. Either way the host is out: it gets no key any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Copies of the rekey's messages are still to leave. [`Event::Departed`] follows when they have.
    Leaving,
    /// Nothing that is sent from an instant on is readable to the host.
    Unreadable {
        /// The instant.
        from: Time,
        /// Whether the host held keys; if not, nothing had to be rekeyed.
        was_member: bool,
    },
}

impl Admission<'_> {
    /// Takes a host off a group's list and puts it out of the group.
    pub(crate) fn evict(&mut self, now: Time, id: &GroupId, host: &MemberId) -> Result<(), CommandError> {
        let unknown = || CommandError::GroupUnknown(id.clone());
        let granted = self.roster.grants.find(host, id).is_some();
        let list = self.roster.list_mut(id).ok_or_else(unknown)?;
        let member = self.groups.get(id).ok_or_else(unknown)?.members.contains_key(host);
        let listed = list.access.remove(host).is_some();
        if listed {
            self.changes.push(list.access_record(id, host));
        }
        if listed || member || granted {
            self.changes.extend(list.note_eviction(now, id, host, member));
        }
        self.depart(now, id, host, Departure::Evicted);
        self.withdraw_grant(now, host, id);
        Ok(())
    }

    /// Notes those who depart by a rekey. Returns them for what follows its messages.
    pub(crate) fn note_departures(
        &mut self,
        now: Time,
        id: &GroupId,
        departed: &[MemberId],
    ) -> Vec<(MemberId, Departure, Time)> {
        let reasons = departed.iter().map(|host| {
            let why = self.departures.remove(&(id.clone(), host.clone())).unwrap_or(Departure::Left);
            (host.clone(), why, now)
        });
        let departed: Vec<_> = reasons.collect();
        let Some(list) = self.roster.list_mut(id) else { return departed };
        for (host, why, at) in &departed {
            let noted = Departed { why: *why, was_member: true, at: *at, unreadable_from: None };
            list.departed.insert(host.clone(), noted);
            self.changes.push(list.departure_record(id, host));
        }
        departed
    }

    /// Notes that all copies of a rekey's messages have left, the last at `at`: nothing is readable any more to those who
    /// departed by it. `needs_pull` says that nobody can follow it without a PULL.
    pub(crate) fn rekey_is_through(
        &mut self,
        at: Time,
        rekey: RekeyId,
        id: &GroupId,
        departed: Vec<(MemberId, Departure, Time)>,
        needs_pull: bool,
    ) {
        let Some(mut group) = self.groups.get_mut(id) else { return };
        if group.tek_under_way == Some(rekey) {
            group.tek_under_way = None;
        }
        let lag = if needs_pull { PULL_DELAY_MAX } else { Duration::ZERO };
        let unreadable_from = at + lag + group.policy.times.activation_delay;
        debug!(group = %id, departed = departed.len(), %unreadable_from, "all copies of a rekey have left");
        drop(group);
        if let Some(list) = self.roster.list_mut(id) {
            list.unreadable_from = list.unreadable_from.max(unreadable_from);
            for (host, ..) in &departed {
                self.changes.extend(list.departed_for_good(id, host, unreadable_from));
            }
        }
        self.events.extend(departed.into_iter().map(|(host, departure, at)| Event::Departed {
            host,
            group: id.clone(),
            departure,
            at,
            deaf_at: unreadable_from,
        }));
    }
}

impl Roster {
    /// Says how far the eviction of a host has come; none if it was not evicted, or allowed again since.
    pub(crate) fn eviction(&self, id: &GroupId, host: &MemberId) -> Option<Eviction> {
        let list = self.list(id).filter(|list| !list.access.contains_key(host))?;
        let departed = list.departed.get(host).filter(|departed| departed.why == Departure::Evicted)?;
        Some(match departed.unreadable_from {
            Some(from) => Eviction::Unreadable { from, was_member: departed.was_member },
            None => Eviction::Leaving,
        })
    }
}
