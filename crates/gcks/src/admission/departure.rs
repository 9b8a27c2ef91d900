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
    group::{
        Group,
        lease::{Laggard, Silence},
    },
};

/// How much later than at a rekey that they can follow members change over at one that they must pull for: the longest
/// wait before a PULL (binding section 7.3).
const PULL_DELAY_MAX: Duration = Duration::from_secs(2);

/// How far an eviction has come. Either way the host is out: it gets no key any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Copies of the rekey's messages are still to leave. [`Event::Departed`] follows when they have.
    Leaving,
    /// Nothing is readable to the host that those send from an instant on who heard the rekey.
    Unreadable {
        /// The instant.
        from: Time,
        /// Whether the host held keys; if not, nothing had to be rekeyed.
        was_member: bool,
    },
}

/// Who goes on under the keys of a host that was put out: nobody any more, or those who may have missed the rekey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilenceView {
    /// From this instant on nothing at all is sent that is readable to the host, by any honest member; none where the store of
    /// an earlier version did not note it.
    pub from: Option<Time>,
    /// How many members have stated that they have changed over, of how many that need leases or do without; none where the
    /// group has no leases, or it is forgotten.
    pub members: Option<(usize, usize)>,
    /// Those that have not, and may still go on.
    pub laggards: Vec<LaggardView>,
    /// When the last stated it.
    pub stated_at: Option<Time>,
    /// From this instant on nothing that the host sends itself is accepted by any honest member.
    pub unheard_from: Option<Time>,
}

/// A member that has not stated that it has changed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaggardView {
    /// Who.
    pub host: MemberId,
    /// When its last lease under the older keys has ended; or, without leases, the last older TEK.
    pub until: Time,
    /// Whether it does without leases.
    pub without_lease: bool,
}

impl Admission<'_> {
    /// Takes a host off a group's list and puts it out of the group.
    pub(crate) fn evict(&mut self, now: Time, id: &GroupId, host: &MemberId) -> Result<(), CommandError> {
        let unknown = || CommandError::GroupUnknown(id.clone());
        let meant = self.roster.meant_by(host, id);
        let granted = self.roster.grants.find(host, id).is_some();
        let list = self.roster.list_mut(id).ok_or_else(unknown)?;
        let member = self.groups.get(id).ok_or_else(unknown)?.members.contains_key(host);
        let listed = list.access.remove(host).is_some();
        if listed {
            self.changes.push(list.access_record(id, host));
        }
        let is_owned = list.owned.is_some();
        if is_owned {
            // Its certificate holds on, or may come yet.
            self.changes.extend(list.deny(id, host, true));
        }
        if listed || member || granted || is_owned {
            self.changes.extend(list.note_eviction(now, id, host, member));
        }
        for host in meant {
            self.depart(now, id, &host, Departure::Evicted);
            self.withdraw_grant(now, &host, id);
        }
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
        let (Some(mut group), Some(list)) = (self.groups.get_mut(id), self.roster.list_mut(id)) else {
            return departed;
        };
        let silent_from = group.silent_from(now);
        list.silent_from = list.silent_from.max(silent_from);
        for (host, why, at) in &departed {
            let (at, silent_from) = (*at, Some(silent_from));
            let noted = Departed { why: *why, was_member: true, at, unreadable_from: None, silent_from };
            list.departed.insert(host.clone(), noted);
            self.changes.push(list.departure_record(id, host));
            if *why == Departure::Evicted {
                group.await_silence(now, host);
            }
        }
        drop(group);
        self.note_silence(now, id);
        departed
    }

    /// Notes for whom nobody goes on any more under the keys that they had.
    pub(crate) fn note_silence(&mut self, now: Time, id: &GroupId) {
        let (Some(mut group), Some(list)) = (self.groups.get_mut(id), self.roster.list_mut(id)) else {
            return;
        };
        for host in group.take_silent(now) {
            let Some(departed) = list.departed.get_mut(&host) else { continue };
            // Senders may have stated it before the last lease has ended.
            departed.silent_from = Some(departed.silent_from.map_or(now, |from| from.min(now)));
            debug!(peer = %host, group = %id, "nobody goes on under the keys of a host that was put out");
            self.changes.push(list.departure_record(id, &host));
            self.events.push_back(Event::Silent { host, group: id.clone(), at: now });
        }
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
        let Some(list) = self.roster.list_mut(id) else { return };
        list.unreadable_from = list.unreadable_from.max(unreadable_from);
        for (host, departure, at) in departed {
            let silent_from = list.departed.get(&host).and_then(|departed| departed.silent_from);
            self.changes.extend(list.departed_for_good(id, &host, unreadable_from));
            let (group, deaf_at) = (id.clone(), unreadable_from);
            self.events.push_back(Event::Departed { host, group, departure, at, deaf_at, silent_from });
        }
    }
}

impl Roster {
    /// Says how far the eviction of a host has come; none if it was not evicted, or allowed again since.
    pub(crate) fn eviction(&self, id: &GroupId, host: &MemberId) -> Option<Eviction> {
        let departed = self.evicted(id, host)?;
        Some(match departed.unreadable_from {
            Some(from) => Eviction::Unreadable { from, was_member: departed.was_member },
            None => Eviction::Leaving,
        })
    }

    fn evicted(&self, id: &GroupId, host: &MemberId) -> Option<&Departed> {
        let list = self.list(id).filter(|list| !list.access.contains_key(host))?;
        // It may have come back by another certificate.
        if self.grants.find(host, id).is_some() {
            return None;
        }
        list.departed.get(host).filter(|departed| departed.why == Departure::Evicted)
    }

    /// Says who goes on under the keys of a host that was evicted, as far as it is known; none if it was not evicted, or
    /// allowed again since.
    pub(crate) fn silence(&self, now: Time, group: &Group, host: &MemberId) -> Option<SilenceView> {
        let departed = self.evicted(&group.id, host)?;
        let lease = group.policy.lease;
        let from = departed.silent_from;
        // A receiver that missed the rekey accepts what is under a TEK until that ends.
        let teks_end = departed.at + group.policy.times.tek_lifetime;
        let unheard_from = if lease.time.is_some() && lease.receivers { from } else { Some(teks_end) };
        let unheard_from = if departed.was_member { unheard_from } else { from };
        let silence = group.silence_for(now, host);
        let members = silence.as_ref().map(|silence| (silence.stated, silence.counted));
        let Silence { laggards, stated_at, .. } = silence.unwrap_or_default();
        let laggards: Vec<LaggardView> = laggards.into_iter().map(LaggardView::from).collect();
        // Who has stated it counts no more.
        let from = laggards.iter().map(|laggard| laggard.until).max().or(from);
        Some(SilenceView { from, members, laggards, stated_at, unheard_from })
    }
}

impl From<Laggard> for LaggardView {
    fn from(laggard: Laggard) -> Self {
        let Laggard { host, until, is_exempt } = laggard;
        Self { host, until, without_lease: is_exempt }
    }
}
