//! The SPIs that newcomers are named before the SAs exist, and who is about to answer.
//!
//! Message 2 of a PULL names the SAs of a rekey that is still to come, and message 3 has to come before that rekey:
//! otherwise the host begins anew, after a pause. So that very many hosts can come at once, a rekey that is due closes its
//! announcement: what is named from then on is the rekey after it, and it waits a round trip for those who were told of it.
//!
//! ```text
//! told of n:    A B C   |  D E F are told of n+1
//!               A answers: n is due, and closed
//!                   B, C answer: rekey n, for A, B and C
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_crypto::{Random, random};
use claviger_group::{CookiePair, MemberId, Spi};
use claviger_sansio::Time;

/// How long a rekey waits at most for a host that was sent message 2: longer than a round trip around the world takes.
/// Whoever does not answer holds up the others no longer than that.
const ANSWER_MAX: Duration = Duration::from_millis(250);

/// How long it waits where all have answered quickly of late: a round trip across a continent. So a message that is lost
/// holds up hosts of one network no longer.
const ANSWER_MIN: Duration = Duration::from_millis(100);

/// For how long after a rekey that let hosts in more are expected.
const MORE_EXPECTED: Duration = Duration::from_secs(1);

/// How many hosts are remembered that answered too late.
const LATE_MAX: usize = 1_024;

/// SPIs that a newcomer is named before the SAs exist. Nothing is stored of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) kek: CookiePair,
    pub(crate) tek: Spi,
}

impl Announced {
    pub(crate) fn draw(random: &mut dyn Random) -> Self {
        let kek = loop {
            let cookies = CookiePair(random::array(random));
            if !cookies.has_zero() {
                break cookies;
            }
        };
        Self { kek, tek: Spi::random(random) }
    }
}

/// What newcomers are told of the rekeys to come.
#[derive(Debug)]
pub(crate) struct Announcements {
    /// What newcomers are named now.
    open: Announced,
    /// What is named no more: the next rekey that lets hosts in takes it.
    closed: Option<Announced>,
    /// The hosts that were sent message 2 and have not answered, since an announcement was closed last.
    told: BTreeMap<MemberId, Told>,
    /// The same of those before: the closed rekey waits for them.
    awaited: BTreeMap<MemberId, Told>,
    /// When hosts were let in last, and the time before.
    let_in: [Option<Time>; 2],
    /// How long the slowest of late took to answer; none has answered yet.
    slowest: Option<Duration>,
    /// The hosts that answered when the announced rekey had taken place: they are given the longest time.
    late: BTreeSet<MemberId>,
}

/// A host that was sent message 2.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Time,
    /// Until when it is waited for.
    until: Time,
}

impl Announcements {
    pub(crate) fn new(random: &mut dyn Random) -> Self {
        Self {
            open: Announced::draw(random),
            closed: None,
            told: BTreeMap::new(),
            awaited: BTreeMap::new(),
            let_in: [None; 2],
            slowest: None,
            late: BTreeSet::new(),
        }
    }

    /// Shows what newcomers are named now.
    pub(crate) fn open(&self) -> Announced {
        self.open
    }

    /// Says whether an announcement is closed and its rekey still to come.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Says of a rekey SA that was named whether it is the next one that lets hosts in, or a later one; none if another
    /// rekey took it.
    pub(crate) fn standing(&self, kek: CookiePair) -> Option<Turn> {
        match self.closed {
            Some(closed) if closed.kek == kek => Some(Turn::Next),
            Some(_) if self.open.kek == kek => Some(Turn::Later),
            None if self.open.kek == kek => Some(Turn::Next),
            Some(_) | None => None,
        }
    }

    /// Notes that a host is sent message 2, whichever SAs it names: those in force are good for as long.
    pub(crate) fn tell(&mut self, now: Time, host: MemberId) {
        // What others took tells what this one may take; one that was too late before is given more.
        let usual = self.slowest.filter(|_| !self.late.contains(&host));
        let patience = usual.map_or(ANSWER_MAX, |slowest| (slowest * 2).clamp(ANSWER_MIN, ANSWER_MAX));
        self.told.retain(|_, told| told.at + ANSWER_MAX > now);
        self.awaited.remove(&host);
        self.told.insert(host, Told { at: now, until: now + patience });
    }

    /// Notes that a host has answered, or will not.
    pub(crate) fn answered(&mut self, now: Time, host: &MemberId) {
        let told = self.told.remove(host).or_else(|| self.awaited.remove(host));
        self.late.remove(host);
        let took = told.map(|told| now.since(told.at)).filter(|took| *took < ANSWER_MAX);
        if let Some(took) = took {
            // A distant host is remembered for some answers of others.
            self.slowest = Some(took.max(self.slowest.unwrap_or_default() * 7 / 8));
        }
    }

    /// Notes that a host answered when the rekey that it was told of had taken place.
    pub(crate) fn came_late(&mut self, host: MemberId) {
        if self.late.len() < LATE_MAX {
            self.late.insert(host);
        }
    }

    /// Names the rekey after the next one from now on, as the next is due.
    pub(crate) fn close(&mut self, random: &mut dyn Random) {
        if self.closed.is_none() {
            self.closed = Some(std::mem::replace(&mut self.open, Announced::draw(random)));
            self.awaited = std::mem::take(&mut self.told);
        }
    }

    /// Says until when hosts may still answer that were told of what is closed; none if no one is waited for.
    pub(crate) fn awaits_until(&self, now: Time) -> Option<Time> {
        self.awaited.values().map(|told| told.until).filter(|until| *until > now).max()
    }

    /// Takes the SPIs of the rekey that lets hosts in now.
    pub(crate) fn take(&mut self, now: Time, random: &mut dyn Random) -> Announced {
        self.awaited.clear();
        self.let_in = [Some(now), self.let_in[0]];
        self.closed.take().unwrap_or_else(|| std::mem::replace(&mut self.open, Announced::draw(random)))
    }

    /// Says from when on all hosts that were let in last should have message 4, and listen for the next rekey.
    pub(crate) fn listen_from(&self) -> Option<Time> {
        self.let_in[0].map(|at| at + self.slowest.unwrap_or_default())
    }

    /// Says whether hosts come one after another, so that the next is to be expected while copies leave.
    pub(crate) fn expects_more(&self, now: Time) -> bool {
        self.let_in.iter().all(|at| at.is_some_and(|at| at + MORE_EXPECTED > now))
    }

    /// Forgets what is closed: nobody who was told of it waits any more.
    pub(crate) fn drop_closed(&mut self) {
        self.closed = None;
        self.awaited.clear();
    }
}

/// Which rekey lets a host in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Next,
    /// The one after it.
    Later,
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;

    use super::*;
    use crate::group::place::tests::host;

    const NOW: Time = Time::from_secs(1_000);

    #[test]
    fn a_closed_announcement_waits_for_those_who_were_told_of_it_and_for_nobody_else() {
        let mut random = SeededRandom::new(1);
        let mut announced = Announcements::new(&mut random);
        let (first, later) = (announced.open(), NOW + Duration::from_millis(100));
        announced.tell(NOW, host(1));
        announced.tell(later, host(2));
        assert_eq!(announced.awaits_until(later), None, "nothing is due");
        announced.close(&mut random);
        announced.tell(later, host(3));
        let second = announced.open();
        assert_eq!(
            [first, second].map(|named| announced.standing(named.kek)),
            [Some(Turn::Next), Some(Turn::Later)]
        );
        assert_eq!(announced.awaits_until(later), Some(later + ANSWER_MAX));
        announced.answered(later, &host(2));
        assert_eq!(announced.awaits_until(later), Some(NOW + ANSWER_MAX));
        assert_eq!(announced.awaits_until(NOW + ANSWER_MAX), None, "it has had its time");
        assert_eq!(announced.take(later, &mut random), first);
        assert_eq!([first, second].map(|named| announced.standing(named.kek)), [None, Some(Turn::Next)]);
        announced.close(&mut random);
        assert_eq!(announced.awaits_until(later), Some(later + ANSWER_MAX), "of the third host");
    }

    #[test]
    fn a_host_that_begins_anew_is_told_of_the_rekey_after() {
        let mut random = SeededRandom::new(2);
        let mut announced = Announcements::new(&mut random);
        announced.tell(NOW, host(1));
        announced.close(&mut random);
        announced.tell(NOW, host(1));
        assert_eq!(announced.awaits_until(NOW), None);
    }

    #[test]
    fn hosts_are_waited_for_as_long_as_others_took_and_one_that_was_late_longer() {
        let mut random = SeededRandom::new(3);
        let mut announced = Announcements::new(&mut random);
        let took = |milliseconds| NOW + Duration::from_millis(milliseconds);
        let waits = |announced: &mut Announcements, number| {
            announced.tell(NOW, host(number));
            announced.told[&host(number)].until.since(NOW)
        };
        assert_eq!(waits(&mut announced, 1), ANSWER_MAX, "nobody knows");
        announced.answered(took(80), &host(1));
        assert_eq!(waits(&mut announced, 2), Duration::from_millis(160));
        for near in 10..40 {
            announced.tell(NOW, host(near));
            announced.answered(took(1), &host(near));
        }
        assert_eq!(waits(&mut announced, 2), ANSWER_MIN);
        announced.came_late(host(3));
        assert_eq!(waits(&mut announced, 3), ANSWER_MAX);
        announced.answered(took(200), &host(3));
        assert_eq!(waits(&mut announced, 4), ANSWER_MAX, "another may be as far away");
        announced.answered(took(900), &host(4));
        assert_eq!(announced.slowest, Some(Duration::from_millis(200)), "a message was lost");
    }
}
