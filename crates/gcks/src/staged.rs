//! A step of the machine: what it changed and what it has to say, as one value that only its own commit opens.
//!
//! ```text
//! Gcks::stage(now) ─► Staged ── commit ──► Durable ─► Gcks::release ─► Released: datagrams, events
//!                       └──── without changes ──┘
//! ```
//!
//! There is no other way from a step to its datagrams. One step is out at a time: until it is released, what later
//! inputs change and say gathers in the machine and becomes the next step, all of it under one commit. So nothing that a
//! later input made the machine say leaves when an earlier step becomes durable, and the program may take inputs while
//! a commit is under way, in another thread if it likes.

use std::collections::VecDeque;

use claviger_sansio::{
    NotSent, Time, Transmit,
    durable::{Change, Receipt, RecordKey},
};
use tracing::{debug, trace};

use crate::{
    Gcks,
    dispatch::Dispatch,
    distribution::push_queue::{Flight, Outbox, Ready},
    event::Event,
    record,
};

/// What a step changed and what it has to say.
///
/// Dropped, it is lost for good: the machine that it is from says nothing any more, for what is stored is not known. A
/// program whose commit failed ends, and begins again from its store.
#[must_use = "commit it: until it is released the machine says nothing"]
pub struct Staged {
    changes: Vec<Change>,
    speech: Speech,
}

/// A step whose changes are durable.
#[must_use = "release it: what it says may leave"]
pub struct Durable(Speech);

/// What a step has to say.
struct Speech {
    outbox: Outbox,
    events: VecDeque<Event>,
}

/// What a durable step says, to be taken by the program.
///
/// It borrows the machine: there is no input before all of it has left. Dropped, the rekey messages that were not taken
/// count as not sent and are tried again, other datagrams are lost as any may be in the network, and events come again
/// with the next step.
#[must_use = "take the datagrams and events"]
pub struct Released<'a> {
    core: &'a mut Gcks,
    speech: Speech,
}

impl Staged {
    /// Commits the changes by `commit`, which is not called if there are none. The receipt must be of these very
    /// changes: one from another commit does not compile.
    ///
    /// ```compile_fail
    /// # use claviger_gcks::Staged;
    /// # use claviger_sansio::durable::Receipt;
    /// fn mix_up(staged: Staged, earlier: Receipt<'_>) {
    ///     let _ = staged.commit(|_| Ok::<_, std::io::Error>(earlier));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// What `commit` says. Nothing of the step leaves then, now or later.
    pub fn commit<E>(
        self,
        commit: impl for<'c> FnOnce(&'c [Change]) -> Result<Receipt<'c>, E>,
    ) -> Result<Durable, E> {
        if !self.changes.is_empty() {
            let _attested = commit(&self.changes)?;
        }
        Ok(Durable(self.speech))
    }

    /// Goes on without a commit if nothing changed: everything that the step rests on was durable before.
    ///
    /// # Errors
    ///
    /// The step itself if it has changes.
    pub fn without_changes(self) -> Result<Durable, Self> {
        if self.changes.is_empty() { Ok(Durable(self.speech)) } else { Err(self) }
    }
}

impl Gcks {
    /// Takes what has changed and what is to be said since the last step. Gives nothing if there is nothing, and while an
    /// earlier step is not released.
    pub fn stage(&mut self, now: Time) -> Option<Staged> {
        if self.step_is_out {
            return None;
        }
        let changes = self.take_changes(now);
        let outbox = std::mem::take(&mut self.held);
        let events = std::mem::take(&mut self.events);
        if changes.is_empty() && outbox.is_empty() && events.is_empty() {
            return None;
        }
        self.step_is_out = true;
        Some(Staged { changes, speech: Speech { outbox, events } })
    }

    /// Gives out what a durable step says.
    pub fn release(&mut self, durable: Durable) -> Released<'_> {
        self.step_is_out = false;
        Released { core: self, speech: durable.0 }
    }

    /// Takes the changes, with the associations as they are now and the time.
    fn take_changes(&mut self, now: Time) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        for hit in std::mem::take(&mut self.touched) {
            let key = RecordKey::new(Vec::new(), *hit.octets());
            changes.push(match self.hip.snapshot(&hit) {
                Some(snapshot) => Change::put(record::ASSOCIATION, key, snapshot),
                None => Change::remove(record::ASSOCIATION, key),
            });
        }
        if !changes.is_empty() {
            let key = RecordKey::new(Vec::new(), Vec::new());
            let time = record::encode(|w| record::member::write_time(w, now));
            changes.push(Change::put(record::CLOCK, key, time));
        }
        changes
    }

    /// Notes what became of a rekey message.
    pub(crate) fn note_outcome(&mut self, now: Time, flight: Flight, outcome: Result<(), NotSent>) {
        let Transmit { destination, payload, .. } = &flight.copy.transmit;
        let group = &flight.lane.group;
        match &outcome {
            Ok(()) => trace!(%group, %destination, length = payload.len(), "a copy to the group has left"),
            Err(reason) => {
                debug!(%group, %destination, %reason, "a copy to the group does not leave; it is tried again");
            }
        }
        match outcome {
            Ok(()) => self.push_queue.left(now, flight, &mut self.changes),
            Err(reason) => self.push_queue.refused(now, flight, reason, &mut self.changes),
        }
        self.take_milestones();
    }
}

impl Released<'_> {
    /// Gives a datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Dispatch<'_>> {
        while let Some(ready) = self.speech.outbox.pop_front() {
            let content = match ready {
                Ready::Plain(_) => Some(ready),
                Ready::Push(flight) => self.core.push_queue.clear(flight).map(Ready::Push),
            };
            if let Some(content) = content {
                return Some(Dispatch::new(self.core, content));
            }
        }
        None
    }

    /// Gives an event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.speech.events.pop_front()
    }
}

impl Drop for Released<'_> {
    fn drop(&mut self) {
        while let Some(dispatch) = self.poll_transmit() {
            drop(dispatch);
        }
        // They are older than what has come meanwhile.
        let mut events = std::mem::take(&mut self.speech.events);
        events.append(&mut self.core.events);
        self.core.events = events;
    }
}
