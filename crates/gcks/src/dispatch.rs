//! A datagram on its way out of the machine, and what became of it.
//!
//! The machine holds on to what goes to a group until it is told that it left: only the program sees whether the system
//! took it. A [`Dispatch`] borrows the machine, so that there is no next datagram before this one was reported on.

use claviger_sansio::{NotSent, Time, Transmit};

use crate::{Gcks, distribution::push_queue::Ready};

/// A datagram to send. The program sends it and says by [`Dispatch::report`] what became of it.
///
/// One that is dropped without a report counts as not sent: it is tried again, and shown as such.
#[must_use = "send it, and report what became of it"]
pub struct Dispatch<'a> {
    core: &'a mut Gcks,
    content: Option<Ready>,
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(core: &'a mut Gcks, content: Ready) -> Self {
        Self { core, content: Some(content) }
    }

    /// Shows what is to be sent.
    pub fn transmit(&self) -> &Transmit {
        match self.content.as_ref().expect("the content is there until it is reported on") {
            Ready::Plain(transmit) => transmit,
            Ready::Push(flight) => &flight.copy.transmit,
        }
    }

    /// Says what became of it, at the instant `now` at which the system answered.
    pub fn report(mut self, now: Time, outcome: Result<(), NotSent>) {
        if let Some(Ready::Push(flight)) = self.content.take() {
            self.core.note_outcome(now, flight, outcome);
        }
    }

    /// Takes the datagram and says that it left at `now`: for programs whose network is in memory.
    pub fn send(self, now: Time) -> Transmit {
        let transmit = self.transmit().clone();
        self.report(now, Ok(()));
        transmit
    }
}

impl Drop for Dispatch<'_> {
    fn drop(&mut self) {
        if let Some(Ready::Push(flight)) = self.content.take() {
            let given_out = flight.given_out;
            self.core.note_outcome(given_out, flight, Err(NotSent::Unreported));
        }
    }
}
