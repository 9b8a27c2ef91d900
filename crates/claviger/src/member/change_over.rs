//! Changing over to other keys: the member hears of it once nothing waits in the kernel that is under older ones.
//!
//! Until then nothing more is sent, so that what waits is all from before. It takes as long as the interface needs for its
//! queue.

use std::{io, time::Duration};

use claviger_group::{GroupId, PlaneEvent};
use claviger_sansio::Time;

/// How soon it is looked again whether the queue is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The change-overs that the member has not heard of.
#[derive(Default)]
pub(super) struct ChangeOver {
    events: Vec<(GroupId, PlaneEvent)>,
    look_at: Option<Time>,
}

impl ChangeOver {
    /// Begins one.
    pub(super) fn begin(&mut self, group: GroupId, event: PlaneEvent) {
        self.events.push((group, event));
    }

    /// Says whether there is none.
    pub(super) fn is_over(&self) -> bool {
        self.events.is_empty()
    }

    /// Gives what the member is to hear, if nothing waits: `unsent` says how much does. Where the kernel does not say it the
    /// member is not told, and states nothing: it falls back on its lease.
    pub(super) fn take(
        &mut self,
        now: Time,
        unsent: impl FnOnce() -> io::Result<usize>,
    ) -> Vec<(GroupId, PlaneEvent)> {
        self.look_at = None;
        if self.events.is_empty() {
            return Vec::new();
        }
        match unsent() {
            Ok(0) => std::mem::take(&mut self.events),
            Ok(_) => {
                self.look_at = Some(now + LOOK_AGAIN);
                Vec::new()
            }
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say what waits to be sent; no change of keys is stated");
                self.events.clear();
                Vec::new()
            }
        }
    }

    /// Says when to look again.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.look_at
    }
}

#[cfg(test)]
mod tests {
    use claviger_group::Spi;

    use super::*;

    const NOW: Time = Time::from_secs(1_000);

    fn begun() -> ChangeOver {
        let mut change_over = ChangeOver::default();
        let event = PlaneEvent::ChangedOver(Spi::new(300).unwrap());
        change_over.begin("x".parse().unwrap(), event);
        change_over
    }

    #[test]
    fn nothing_is_stated_while_something_waits_to_leave() {
        let mut change_over = begun();
        assert!(!change_over.is_over());
        assert_eq!(change_over.take(NOW, || Ok(1)), []);
        assert_eq!(change_over.poll_timeout(), Some(NOW + LOOK_AGAIN));
        assert_eq!(change_over.take(NOW, || Ok(0)).len(), 1);
        assert!(change_over.is_over() && change_over.poll_timeout().is_none());
    }

    #[test]
    fn a_kernel_that_does_not_say_it_ends_the_wait_without_a_statement() {
        let mut change_over = begun();
        assert_eq!(change_over.take(NOW, || Err(io::ErrorKind::Unsupported.into())), []);
        assert!(change_over.is_over() && change_over.poll_timeout().is_none());
    }
}
