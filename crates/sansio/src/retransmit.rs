//! When to send the same octets again, and when to give up.

use std::time::Duration;

use crate::Time;

/// How patient a sender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetransmitPolicy {
    /// How long to wait for the first answer.
    pub initial: Duration,
    /// The wait doubles after each attempt up to this.
    pub maximum: Duration,
    /// How many times the octets are sent in all, the first included.
    pub attempts: u32,
}

impl Default for RetransmitPolicy {
    /// Half a second, doubled up to 8 s, seven sendings: about 24 s until an exchange is given up.
    fn default() -> Self {
        Self { initial: Duration::from_millis(500), maximum: Duration::from_secs(8), attempts: 7 }
    }
}

/// One message that waits for its answer.
#[derive(Debug, Clone)]
pub struct Retransmit {
    policy: RetransmitPolicy,
    wait: Duration,
    sent: u32,
    due: Time,
}

/// What a timer that fired asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing is due yet.
    Pending,
    /// The octets are to be sent again.
    Resend,
    /// No answer came; the exchange has failed.
    GiveUp,
}

impl Retransmit {
    /// Starts waiting for the answer to a message that was sent at `now`.
    pub fn new(policy: RetransmitPolicy, now: Time) -> Self {
        Self { policy, wait: policy.initial, sent: 1, due: now + policy.initial }
    }

    /// Says what is to be done at `now`, and advances if something is.
    pub fn handle_timeout(&mut self, now: Time) -> Expiry {
        if now < self.due {
            return Expiry::Pending;
        }
        if self.sent >= self.policy.attempts {
            return Expiry::GiveUp;
        }
        self.sent += 1;
        self.wait = (self.wait * 2).min(self.policy.maximum);
        self.due = now + self.wait;
        Expiry::Resend
    }

    /// Says when [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Time {
        self.due
    }

    /// Says how many times the octets were sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_its_patience_and_gives_up() {
        let policy = RetransmitPolicy {
            initial: Duration::from_secs(1),
            maximum: Duration::from_secs(3),
            attempts: 4,
        };
        let mut timer = Retransmit::new(policy, Time::EPOCH);
        let mut sent_at = vec![];
        loop {
            let due = timer.poll_timeout();
            assert_eq!(timer.handle_timeout(due - Duration::from_micros(1)), Expiry::Pending);
            match timer.handle_timeout(due) {
                Expiry::Resend => sent_at.push(due.as_secs()),
                Expiry::GiveUp => break assert_eq!(due.as_secs(), 9),
                Expiry::Pending => panic!("a due timer must act"),
            }
        }
        assert_eq!(sent_at, [1, 3, 6]);
    }
}
