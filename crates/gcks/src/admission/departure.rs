//! Hosts that are put out or go, from the decision until nothing that is sent is readable to them.
//!
//! A departure is a record until all copies of its rekey's messages have left, so that a restart still says when that
//! was. An eviction stays one: whoever asks again, because the first answer was lost, is answered the same.

use std::time::Duration;

use claviger_group::{GroupId, MemberId};
use claviger_sansio::{Time, durable::Change};
use tracing::debug;

use super::roster::List;
use crate::{
    Counter, Gcks,
    distribution::push_queue::{Milestone, UnderWay},
    error::CommandError,
    event::{Departure, Event, RekeyId},
    group::{Group, epoch::Epoch},
    record,
};

/// How many evictions a group remembers. A command is repeated within minutes, and hardly after thousands of others.
const EVICTIONS_MAX: usize = 4_096;

/// How much later than at a rekey that they can follow members change over at one that they must pull for: the longest
/// wait before a PULL (binding section 7.3).
const PULL_DELAY_MAX: Duration = Duration::from_secs(2);

/// How a host came to be out of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) why: Departure,
    /// Whether it held keys.
    pub(crate) was_member: bool,
    /// When that was decided.
    pub(crate) at: Time,
    /// From when on it reads nothing that is sent; none while messages of the rekey are to leave.
    pub(crate) unreadable_from: Option<Time>,
}

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

impl Gcks {
    /// Takes a host off a group's list and puts it out of the group.
    ///
    /// A host that was evicted before is answered by what is remembered of that, for an answer may be lost.
    pub fn evict(&mut self, now: Time, id: &GroupId, host: &MemberId) -> Result<Eviction, CommandError> {
        let unknown = || CommandError::GroupUnknown(id.clone());
        let granted = self.roster.grants.find(host, id).is_some();
        let list = self.roster.list_mut(id).ok_or_else(unknown)?;
        let mut group = self.groups.get_mut(id).ok_or_else(unknown)?;
        let listed = list.access.remove(host).is_some();
        let member = group.members.contains_key(host);
        // A host that waits for its keys is turned away too.
        group.waiting.joins.retain(|join| join.host != *host);
        if member {
            debug!(peer = %host, group = %id, "an eviction is carried out");
            group.waiting.departures.insert(host.clone());
            group.waiting.due = Some(now);
            self.departures.insert((id.clone(), host.clone()), Departure::Evicted);
        }
        if listed {
            self.changes.push(list.access_record(id, host));
        }
        if listed || member || granted {
            self.changes.extend(list.note_eviction(now, id, host, member));
        }
        drop(group);
        self.withdraw_grant(now, host, id);
        self.settle(now);
        self.eviction(id, host).ok_or(CommandError::HostUnknown(host.clone()))
    }

    /// Says how far the eviction of a host has come; none if it was not evicted, or allowed again since.
    pub fn eviction(&self, id: &GroupId, host: &MemberId) -> Option<Eviction> {
        let list = self.roster.list(id).filter(|list| !list.access.contains_key(host))?;
        let departed = list.departed.get(host).filter(|departed| departed.why == Departure::Evicted)?;
        Some(match departed.unreadable_from {
            Some(from) => Eviction::Unreadable { from, was_member: departed.was_member },
            None => Eviction::Leaving,
        })
    }

    /// Notes those who depart by a rekey. Returns them for what follows its messages.
    pub(crate) fn note_departures(
        &mut self,
        now: Time,
        id: &GroupId,
        epoch: &Epoch,
    ) -> Vec<(MemberId, Departure, Time)> {
        let reasons = epoch.departed.iter().map(|host| {
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

    /// Takes what the queue of rekey messages tells.
    pub(crate) fn take_milestones(&mut self) {
        while let Some(milestone) = self.push_queue.poll_milestone() {
            match milestone {
                Milestone::Stopped { group, destination, reason } => {
                    self.events.push_back(Event::PushesStopped { group, destination, reason });
                }
                Milestone::Resumed { group, since } => {
                    self.events.push_back(Event::PushesResumed { group, since });
                }
                Milestone::Sent { rekey, group, at } => {
                    self.events.push_back(Event::RekeySent { group, rekey, at });
                }
                Milestone::Through { rekey, what, at } => self.rekey_is_through(at, rekey, what),
                Milestone::Dropped { group, messages, again } => {
                    self.counters.gcks.add(Counter::PushesDropped, messages as u64);
                    if !again {
                        self.events.push_back(Event::PushesDropped { group, messages });
                    }
                }
            }
        }
    }

    /// Notes that all copies of a rekey's messages have left, the last at `at`.
    pub(crate) fn rekey_is_through(&mut self, at: Time, rekey: RekeyId, what: UnderWay) {
        let Some(mut group) = self.groups.get_mut(&what.group) else { return };
        if group.tek_under_way == Some(rekey) {
            group.tek_under_way = None;
        }
        let lag = if what.needs_pull { PULL_DELAY_MAX } else { Duration::ZERO };
        let unreadable_from = at + lag + group.policy.times.activation_delay;
        debug!(group = %what.group, departed = what.departed.len(), %unreadable_from, "all copies of a rekey have left");
        drop(group);
        if let Some(list) = self.roster.list_mut(&what.group) {
            list.unreadable_from = list.unreadable_from.max(unreadable_from);
            for (host, ..) in &what.departed {
                self.changes.extend(list.departed_for_good(&what.group, host, unreadable_from));
            }
        }
        let group = what.group;
        self.events.extend(what.departed.into_iter().map(|(host, departure, at)| Event::Departed {
            host,
            group: group.clone(),
            departure,
            at,
            deaf_at: unreadable_from,
        }));
    }
}

impl List {
    /// Lists those whose rekeys are on their way: they are no `members` any more.
    pub(crate) fn departing(&self, group: &Group) -> Vec<(MemberId, Departure, Time)> {
        let is_under_way = |(host, d): &(&MemberId, &Departed)| {
            d.unreadable_from.is_none() && !group.members.contains_key(host)
        };
        let departed = self.departed.iter().filter(is_under_way);
        departed.map(|(host, departed)| (host.clone(), departed.why, departed.at)).collect()
    }

    /// Notes that a host was evicted, member or not. Returns what is to be stored.
    fn note_eviction(&mut self, now: Time, id: &GroupId, host: &MemberId, member: bool) -> Vec<Change> {
        let earlier = self.departed.get(host).filter(|earlier| earlier.unreadable_from.is_none());
        let noted = match earlier {
            // It has gone by itself, and the rekey for it is on its way.
            Some(earlier) if !member => Departed { why: Departure::Evicted, ..*earlier },
            _ => Departed {
                why: Departure::Evicted,
                was_member: member,
                at: now,
                // It may have been a member until shortly before.
                unreadable_from: (!member).then_some(self.unreadable_from.max(now)),
            },
        };
        self.departed.insert(host.clone(), noted);
        let mut changes = vec![self.departure_record(id, host)];
        if self.departed.len() > EVICTIONS_MAX {
            let through = self.departed.iter().filter(|(_, departed)| departed.unreadable_from.is_some());
            let oldest = through.min_by_key(|(_, departed)| departed.at).map(|(host, _)| host.clone());
            changes.extend(oldest.map(|oldest| self.forget_departure(id, &oldest)));
        }
        changes
    }

    /// Notes from when on nothing is readable to a host that departed; only an eviction of one that was not allowed again
    /// is remembered then.
    fn departed_for_good(&mut self, id: &GroupId, host: &MemberId, unreadable_from: Time) -> Option<Change> {
        let departed = self.departed.get_mut(host).filter(|departed| departed.unreadable_from.is_none())?;
        if departed.why != Departure::Evicted || self.access.contains_key(host) {
            return Some(self.forget_departure(id, host));
        }
        departed.unreadable_from = Some(unreadable_from);
        Some(self.departure_record(id, host))
    }

    /// Forgets that a host was evicted: it is allowed again. While the rekey is on its way it is still a departure.
    pub(super) fn forget_eviction(&mut self, id: &GroupId, host: &MemberId) -> Option<Change> {
        let departed = self.departed.get(host)?;
        departed.unreadable_from.is_some().then(|| self.forget_departure(id, host))
    }

    fn forget_departure(&mut self, id: &GroupId, host: &MemberId) -> Change {
        self.departed.remove(host);
        self.departure_record(id, host)
    }

    /// Writes or removes how a host departed, as it is now.
    pub(crate) fn departure_record(&self, id: &GroupId, host: &MemberId) -> Change {
        let key = record::host_key(id, host);
        match self.departed.get(host) {
            Some(departed) => Change::put(record::DEPARTURE, key, record::departure::encode(departed)),
            None => Change::remove(record::DEPARTURE, key),
        }
    }
}
