//! Receivers that are served alone.

use std::collections::{BTreeMap, VecDeque};

use super::ReceiverId;
use crate::{
    Error,
    limits::{
        RECEIVERS_MAX, UNICAST_DATAGRAMS_MAX, UNICAST_QUEUE_MAX, UNICAST_SHARE_DIVISOR, UNICAST_SHARE_MIN,
    },
};

/// The datagrams that wait to be sent to single receivers.
pub(super) struct Unicast {
    services: BTreeMap<ReceiverId, Service>,
    queue: VecDeque<(ReceiverId, u16)>,
    /// How many datagrams each receiver is sent at most.
    share: usize,
}

#[derive(Default)]
struct Service {
    attempts: u8,
    /// How many datagrams were queued for it in all.
    queued: usize,
    /// How many datagrams for it are in the queue.
    waiting: usize,
    given_up: bool,
}

impl Unicast {
    /// Serves nobody yet, of a batch of so many datagrams.
    pub(super) fn new(datagrams: usize) -> Self {
        let share = (datagrams / UNICAST_SHARE_DIVISOR).max(UNICAST_SHARE_MIN);
        Self { services: BTreeMap::new(), queue: VecDeque::new(), share }
    }

    /// Queues datagrams for a receiver. Says false, once, when the receiver has used up its attempts or its share.
    pub(super) fn serve(
        &mut self,
        to: ReceiverId,
        indices: impl Iterator<Item = u16>,
        attempts_max: u8,
    ) -> Result<bool, Error> {
        if !self.services.contains_key(&to) && self.services.len() == RECEIVERS_MAX {
            return Err(Error::TooMany);
        }
        let service = self.services.entry(to).or_default();
        if service.given_up {
            return Err(Error::Ended);
        }
        if service.waiting > 0 {
            return Err(Error::Duplicate);
        }
        if service.attempts == attempts_max || service.queued == self.share {
            service.given_up = true;
            return Ok(false);
        }
        let room = UNICAST_QUEUE_MAX - self.queue.len();
        if room == 0 {
            return Err(Error::TooMany);
        }
        let before = self.queue.len();
        let most = room.min(UNICAST_DATAGRAMS_MAX).min(self.share - service.queued);
        self.queue.extend(indices.take(most).map(|index| (to, index)));
        service.waiting = self.queue.len() - before;
        service.queued += service.waiting;
        service.attempts += 1;
        Ok(true)
    }

    /// Takes the next datagram to send.
    pub(super) fn next(&mut self) -> Option<(ReceiverId, u16)> {
        let (to, index) = self.queue.pop_front()?;
        let service = self.services.get_mut(&to).expect("who waits in the queue has a service");
        service.waiting -= 1;
        Some((to, index))
    }

    pub(super) fn is_serving(&self, to: ReceiverId) -> bool {
        self.services.get(&to).is_some_and(|service| service.waiting > 0)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_served_so_often_and_no_more() {
        let (mut unicast, receiver) = (Unicast::new(100), ReceiverId(1));
        for _ in 0..2 {
            assert_eq!(unicast.serve(receiver, [3, 4].into_iter(), 2), Ok(true));
            assert_eq!(unicast.serve(receiver, [3, 4].into_iter(), 2), Err(Error::Duplicate));
            assert!(unicast.is_serving(receiver) && !unicast.is_serving(ReceiverId(2)));
            assert_eq!([unicast.next(), unicast.next()], [Some((receiver, 3)), Some((receiver, 4))]);
        }
        assert!(!unicast.is_serving(receiver));
        assert_eq!(unicast.serve(receiver, [3].into_iter(), 2), Ok(false));
        assert_eq!(unicast.serve(receiver, [3].into_iter(), 2), Err(Error::Ended));
        assert!(unicast.is_idle());
    }

    #[test]
    fn one_report_does_not_bring_the_whole_batch() {
        let mut unicast = Unicast::new(65_280);
        unicast.serve(ReceiverId(1), 0..1_000, 1).unwrap();
        assert_eq!(unicast.queue.len(), UNICAST_DATAGRAMS_MAX);
    }

    #[test]
    fn a_receiver_that_asks_again_and_again_is_sent_a_share_of_the_batch() {
        for (datagrams, share) in [(1, 16), (256, 16), (964, 60)] {
            let mut unicast = Unicast::new(datagrams);
            let mut sent = 0;
            while unicast.serve(ReceiverId(1), 0..7, u8::MAX) == Ok(true) {
                sent += std::iter::from_fn(|| unicast.next()).count();
            }
            assert_eq!(sent, share, "of {datagrams}");
            assert_eq!(unicast.serve(ReceiverId(2), 0..7, u8::MAX), Ok(true), "others have their own");
        }
    }
}
