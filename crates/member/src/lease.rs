//! A lease of one group: until when this member may use its keys, and when it asks for more (binding section 7.8).
//!
//! A lease runs from the instant at which the request that was answered was first made, so that nobody makes it longer by
//! holding an answer back. It is counted a thousandth short, for clocks that do not run alike.

use std::time::Duration;

use claviger_crypto::Random;
use claviger_group::{Lease as PlaneLease, Spi};
use claviger_sansio::Time;

use crate::repull::random_part;

/// What of a lease is left out for clocks that do not run alike.
const DRIFT: u32 = 1_000;

/// The part of a lease after which it is renewed: two more attempts as long as this one have room.
const RENEWED_AFTER: u32 = 3;

/// What chance adds to that, so that the senders of a group do not ask together.
const RENEWAL_SPREAD: u32 = 12;

/// What chance adds to the instant at which a change-over is stated: in a large group all senders change over together.
const STATEMENT_SPREAD: Duration = Duration::from_millis(250);

/// The part of what remains of a lease that passes after a request without an answer.
const PAUSE_PART: u32 = 8;

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What chance adds to it: with [`claviger_gdoi::limits::LEASE_RETRANSMIT`] a key server that is back hears from everybody
/// within 5 s, even if the leases have ended.
const PAUSE_SPREAD: Duration = Duration::from_secs(1);

/// How many times its length a lease is over, without an answer to any request, when the association is taken for lost.
const LOST_AFTER: u32 = 3;

/// When the next request is due while one is under way.
const NEVER: Time = Time::from_micros(u64::MAX);

/// What the key server says of the leases of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long one lasts.
    pub(crate) time: Duration,
    /// Whether nothing is accepted without one either.
    pub(crate) receives: bool,
}

/// A lease in force, or one that has ended.
#[derive(Debug)]
pub(crate) struct Lease {
    terms: Terms,
    until: Time,
    /// When the next request is due: never while one is under way, unless there is something new to state.
    due: Time,
    /// The TEK that the last request stated: nothing is protected under an older one.
    stated: Option<Spi>,
    /// The one that the last answered request stated.
    heard: Option<Spi>,
    /// Whether its end was told.
    told: bool,
    /// Since when no request was answered, if the last was not.
    silent_since: Option<Time>,
}

impl Lease {
    /// Begins with what a PULL brought, whose message 1 left at `from`.
    pub(crate) fn new(terms: Terms, from: Time, random: &mut dyn Random) -> Self {
        let mut lease = Self {
            terms,
            until: from,
            due: from,
            stated: None,
            heard: None,
            told: false,
            silent_since: None,
        };
        lease.renew(from, random);
        lease
    }

    /// Goes on under other terms, if a PULL brought others.
    pub(crate) fn under(self, terms: Terms, from: Time, random: &mut dyn Random) -> Self {
        let mut lease = Self { terms, ..self };
        lease.renew(from, random);
        lease
    }

    /// Runs from `from` on, when the request was made that was answered; not if the one in force runs longer.
    pub(crate) fn renew(&mut self, from: Time, random: &mut dyn Random) {
        let time = self.terms.time;
        let until = from + (time - time / DRIFT);
        if until >= self.until {
            self.until = until;
            self.due = from + time / RENEWED_AFTER + random_part(time / RENEWAL_SPREAD, random);
        }
        self.silent_since = None;
    }

    /// Ends at once: the key server says that there is none, or nothing can be said of the time that has passed.
    pub(crate) fn end(&mut self, now: Time) {
        self.until = self.until.min(now);
    }

    /// Notes that a request was made that states this TEK.
    pub(crate) fn asked(&mut self, stated: Option<Spi>) {
        self.stated = stated;
        self.due = NEVER;
    }

    /// Notes that the last request was answered, whatever it was answered, and plans the next for the case that it renews
    /// nothing.
    pub(crate) fn answered(&mut self, now: Time, random: &mut dyn Random) {
        self.heard = self.stated;
        self.silent_since = None;
        self.due = now + PAUSE_SPREAD + random_part(PAUSE_SPREAD, random);
    }

    /// Notes that the last request was not answered, and plans the next.
    pub(crate) fn unanswered(&mut self, now: Time, random: &mut dyn Random) {
        let is_heard = self.heard == self.stated;
        let pause = if is_heard { PAUSE_MAX.min(self.until.since(now) / PAUSE_PART) } else { Duration::ZERO };
        self.due = now + pause + random_part(PAUSE_SPREAD, random);
        self.silent_since.get_or_insert(now);
    }

    /// Brings the next request forward if this TEK was not stated yet.
    pub(crate) fn states(&mut self, now: Time, tek: Option<Spi>, random: &mut dyn Random) {
        if tek.is_some() && tek != self.stated && self.due > now + STATEMENT_SPREAD {
            self.due = now + random_part(STATEMENT_SPREAD, random);
        }
    }

    /// Says whether a request is due.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.due <= now
    }

    /// Says, once, that the lease has ended.
    pub(crate) fn take_ended(&mut self, now: Time) -> bool {
        self.until <= now && !std::mem::replace(&mut self.told, true)
    }

    /// Says, once, that there is a lease again after its end was told.
    pub(crate) fn take_resumed(&mut self, now: Time) -> bool {
        self.until > now && std::mem::take(&mut self.told)
    }

    /// Says whether the key server has not answered for so long that it may know nothing of the association.
    pub(crate) fn is_lost(&self, now: Time) -> bool {
        self.silent_since.is_some() && now >= self.until + self.terms.time * LOST_AFTER
    }

    /// Says until when the keys may be used.
    pub(crate) fn until(&self) -> Time {
        self.until
    }

    /// Says whether nothing is accepted without a lease either.
    pub(crate) fn receives(&self) -> bool {
        self.terms.receives
    }

    /// Shows the lease to the data plane.
    pub(crate) fn for_plane(&self) -> PlaneLease {
        PlaneLease { until: self.until, receives: self.terms.receives }
    }

    /// Says when something is due, or the lease ends.
    pub(crate) fn poll_timeout(&self) -> Time {
        if self.told { self.due } else { self.due.min(self.until) }
    }
}
