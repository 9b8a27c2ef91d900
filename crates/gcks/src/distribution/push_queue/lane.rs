//! What waits to leave for one address of one group.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use claviger_group::GroupId;
use claviger_sansio::{NotSent, Time, Transmit, durable::RecordKey};

use super::{Flight, Outbox, RETRY_MAX, RETRY_MIN, Ready};
use crate::event::RekeyId;

/// Names a lane: a group, and one of the addresses that its rekey messages go to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) group: GroupId,
    pub(crate) destination: std::net::SocketAddr,
}

/// What a copy is to the rekey that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// The first copy of a message: without it nobody has heard the message.
    First,
    /// A further copy of a message, for those who lost the first.
    Again,
    /// Something that goes out besides the messages: repairs, announcements, the TEK once more.
    Beside,
}

/// A datagram that is to be multicast.
pub(crate) struct Copy {
    pub(crate) rekey: RekeyId,
    pub(crate) share: Share,
    /// The stored message that it is; none for controls of a delivery.
    pub(crate) record: Option<RecordKey>,
    /// Whether the record is removed when this copy has left.
    pub(crate) is_last: bool,
    pub(crate) transmit: Transmit,
}

/// The copies for one address, in their order. While the system refuses the first of them the lane stands still, and so
/// does its clock: the copies behind it keep their distances, and none overtakes.
#[derive(Default)]
pub(super) struct Lane {
    /// By the lane's own time, which is behind the real time by `late`.
    copies: BTreeMap<(Time, u64), Copy>,
    late: Duration,
    stopped: Option<Stopped>,
    /// How many copies were given out and not reported on.
    given_out: usize,
}

/// A lane whose first copy was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopped {
    pub(super) since: Time,
    pub(super) reason: NotSent,
    retry_at: Time,
    pause: Duration,
    /// Whether the first copy was given out to be tried again.
    is_trying: bool,
}

impl Lane {
    /// Says what time it is in the lane.
    pub(super) fn time(&self, now: Time) -> Time {
        self.stopped.map_or(now, |stopped| stopped.since.min(now)) - self.late
    }

    /// Adds a copy behind those of its time.
    pub(super) fn insert(&mut self, at: Time, serial: u64, copy: Copy) {
        self.copies.insert((at, serial), copy);
    }

    /// Says when each copy is to leave, by the real time, and its number.
    pub(super) fn plan(&self) -> impl Iterator<Item = ((Time, u64), &Copy)> {
        self.copies.iter().map(|((at, serial), copy)| ((*at + self.late, *serial), copy))
    }

    /// Has copies leave at other times, by the real time.
    pub(super) fn replan(&mut self, times: &BTreeMap<u64, Time>) {
        let copies = std::mem::take(&mut self.copies);
        let planned = |((at, serial), copy): ((Time, u64), Copy)| {
            let at = times.get(&serial).map_or(at, |time| *time - self.late);
            ((at, serial), copy)
        };
        self.copies = copies.into_iter().map(planned).collect();
    }

    /// Says when the last copy is to leave, by the lane's time.
    pub(super) fn last(&self) -> Option<Time> {
        self.copies.last_key_value().map(|((at, _), _)| *at)
    }

    /// Says when [`Lane::give_out`] has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        let first = self.copies.first_key_value().map(|((at, _), _)| *at + self.late)?;
        match self.stopped {
            Some(stopped) => Some(stopped.retry_at).filter(|_| !stopped.is_trying),
            None => Some(first),
        }
    }

    /// Gives out what is due: of a lane that stands still the first copy alone, when it is time to try again.
    pub(super) fn give_out(&mut self, now: Time, key: &LaneKey, outbox: &mut Outbox) {
        if let Some(stopped) = &mut self.stopped {
            if stopped.is_trying || stopped.retry_at > now {
                return;
            }
            stopped.is_trying = true;
            self.give_first(now, key, outbox);
            return;
        }
        let time = self.time(now);
        while self.copies.first_key_value().is_some_and(|((at, _), _)| *at <= time) {
            self.give_first(now, key, outbox);
        }
    }

    fn give_first(&mut self, now: Time, key: &LaneKey, outbox: &mut VecDeque<Ready>) {
        let Some(((at, serial), copy)) = self.copies.pop_first() else { return };
        self.given_out += 1;
        outbox.push_back(Ready::Push(Flight { lane: key.clone(), at, serial, copy, given_out: now }));
    }

    /// Says whether a copy that was given out may still go: not if one before it was refused meanwhile.
    pub(super) fn lets_pass(&self, flight: &Flight) -> bool {
        let place = (flight.at, flight.serial);
        let is_first = self.copies.first_key_value().is_none_or(|(first, _)| place < *first);
        self.stopped.is_none_or(|stopped| stopped.is_trying && is_first)
    }

    /// Takes a copy back to its place.
    pub(super) fn take_back(&mut self, flight: Flight) {
        self.given_out = self.given_out.saturating_sub(1);
        self.copies.insert((flight.at, flight.serial), flight.copy);
    }

    /// Takes back a copy that was refused, to be tried again. Returns whether the lane stands still from now on.
    pub(super) fn refuse(&mut self, now: Time, flight: Flight, reason: NotSent) -> bool {
        self.take_back(flight);
        let (since, pause) = match self.stopped {
            Some(stopped) => (stopped.since, RETRY_MAX.min(stopped.pause * 2)),
            None => (now, RETRY_MIN),
        };
        let is_new = self.stopped.is_none();
        let retry_at = now + pause;
        self.stopped = Some(Stopped { since, reason, retry_at, pause, is_trying: false });
        is_new
    }

    /// Notes that a copy has left. Returns since when the lane stood still, if it did until now.
    pub(super) fn left(&mut self, now: Time) -> Option<Time> {
        self.given_out = self.given_out.saturating_sub(1);
        let stopped = self.stopped.take()?;
        self.late += now.since(stopped.since);
        Some(stopped.since)
    }

    pub(super) fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }

    /// Drops copies that are not wanted any more; those behind them close up. A lane that nothing waits in does not stand
    /// still.
    pub(super) fn retain(&mut self, now: Time, wanted: impl Fn(&Copy) -> bool) {
        self.copies.retain(|_, copy| wanted(copy));
        let time = self.time(now);
        if let Some(((first, _), _)) = self.copies.first_key_value() {
            let gap = first.since(time);
            let copies = std::mem::take(&mut self.copies);
            self.copies = copies.into_iter().map(|((at, serial), copy)| ((at - gap, serial), copy)).collect();
        } else if self.given_out == 0 {
            self.stopped = None;
        }
    }

    pub(super) fn copies(&self) -> impl DoubleEndedIterator<Item = &Copy> {
        self.copies.values()
    }

    pub(super) fn copies_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Copy> {
        self.copies.values_mut()
    }

    /// Says whether copies were given out and not reported on.
    pub(super) fn has_given_out(&self) -> bool {
        self.given_out > 0
    }

    /// Says whether the lane has nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        self.copies.is_empty() && !self.has_given_out()
    }
}
