//! Which GROUPKEY-PUSH is sent when, and how often.
//!
//! Each message is sent three times, the same octets under the same number (RFC 6407 section 7.3.4 lets members
//! drop the copies), spaced so that a burst of loss does not take all of them. Where each message has its own
//! signature, all copies of one number precede the first of the next: a member accepts only rising numbers, so a late
//! copy behind its successor were lost. Messages that share signatures are accepted in any order, and go out in three
//! rounds: nobody waits for copies of what it has, and losses in a row take different messages in each round. Of those,
//! long batches are not copied but delivered ([`crate::delivery`]).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use claviger_group::PushAuthentication;
use claviger_sansio::{
    Time, Transmit,
    durable::{Change, RecordKey},
};

use crate::record;

/// How many times each message is sent.
pub(crate) const COPIES: u32 = 3;

/// The widest space between two copies.
const SPACING_MAX: Duration = Duration::from_millis(50);

/// The time within which all copies of one rekey leave, where the widest space would exceed it.
const REKEY_SPREAD_MAX: Duration = Duration::from_millis(600);

/// The narrowest space, which goes before: 2,000 messages a second are some 20 megabits, and no receive buffer of the
/// usual size overflows.
pub(crate) const SPACING_MIN: Duration = Duration::from_micros(500);

/// A message that is to be sent, with the name of its record.
#[derive(Clone)]
pub(crate) struct QueuedPush {
    pub(crate) key: RecordKey,
    pub(crate) transmit: Transmit,
    /// The node ids below which members need it; none if all may.
    pub(crate) audience: Vec<u32>,
}

/// All copies that wait for their time.
#[derive(Default)]
pub(crate) struct PushQueue {
    copies: BTreeMap<(Time, u64), Copy>,
    serial: u64,
}

struct Copy {
    key: RecordKey,
    transmit: Transmit,
    /// Whether the record goes with it.
    last: bool,
}

impl PushQueue {
    /// Plans all copies of the messages of one rekey from `start` on. Returns when the last leaves.
    pub(crate) fn schedule(
        &mut self,
        start: Time,
        authentication: PushAuthentication,
        pushes: Vec<QueuedPush>,
    ) -> Time {
        self.plan(start, authentication, pushes, true)
    }

    /// Plans copies as [`PushQueue::schedule`] does, of messages whose records somebody else removes.
    pub(crate) fn schedule_kept(
        &mut self,
        start: Time,
        authentication: PushAuthentication,
        pushes: Vec<QueuedPush>,
    ) -> Time {
        self.plan(start, authentication, pushes, false)
    }

    fn plan(
        &mut self,
        start: Time,
        authentication: PushAuthentication,
        pushes: Vec<QueuedPush>,
        removes: bool,
    ) -> Time {
        let slots = pushes.len() as u32 * COPIES;
        let spacing = (REKEY_SPREAD_MAX / slots.max(1)).clamp(SPACING_MIN, SPACING_MAX);
        let numbers = 0..pushes.len();
        let order: Vec<(usize, u32)> = match authentication {
            PushAuthentication::Message => {
                numbers.flat_map(|number| (1..=COPIES).map(move |copy| (number, copy))).collect()
            }
            PushAuthentication::Batch => {
                (1..=COPIES).flat_map(|copy| numbers.clone().map(move |number| (number, copy))).collect()
            }
        };
        let (mut at, mut last) = (start, start);
        for (number, copy) in order {
            let QueuedPush { key, transmit, .. } = pushes[number].clone();
            self.copies.insert((at, self.serial), Copy { key, transmit, last: removes && copy == COPIES });
            self.serial += 1;
            last = at;
            at = at + spacing;
        }
        last
    }

    /// Takes what is due; the records of messages that are through are removed.
    pub(crate) fn take_due(&mut self, now: Time, outbox: &mut VecDeque<Transmit>, changes: &mut Vec<Change>) {
        while let Some(entry) = self.copies.first_entry()
            && entry.key().0 <= now
        {
            let copy = entry.remove();
            outbox.push_back(copy.transmit);
            if copy.last {
                changes.push(Change::remove(record::PUSH, copy.key));
            }
        }
    }

    /// Forgets the copies of a group that is no more.
    pub(crate) fn forget(&mut self, scope: &[u8]) {
        self.copies.retain(|_, copy| copy.key.scope != scope);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.copies.first_key_value().map(|((at, _), _)| *at)
    }
}
