//! Signs of missed keys that anybody could have sent, and how a member finds out what they are worth.
//!
//! Nothing in such a sign is authentic, and one datagram to the group's address gives it to every member. So a member
//! fetches nothing for it: it asks its key server whether its keys are in force (binding section 7.8), after a delay of
//! chance that grows with the group, and hears on a few octets that they are, or that it is behind. Where the key server does
//! not know the question it fetches the keys, less and less often if that brings nothing new.

use std::time::Duration;

use claviger_crypto::Random;
use claviger_group::{CookiePair, Spi};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    event::PullReason,
    repull::{DELAY_MIN, DELAY_SPREAD, random_part},
};

/// How many members of a group ask in a second at most, on average, if all of them are given a sign at once: a key server
/// answers some ten times as many.
const ASKING_PER_SECOND: u64 = 5_000;

/// The longest time that a group's questions are spread over: a group of 300,000. It bounds how much later than its PUSH a
/// member of a larger one learns that it is behind.
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// For how long signs are not heeded, at least, after one that meant nothing. Behind a PULL it is doubled up to
/// [`DEAF_MAX`].
const DEAF_MIN: Duration = Duration::from_secs(4);

/// The longest such time behind a PULL: it bounds what a forger adds to the lag of a member that misses a rekey.
const DEAF_MAX: Duration = Duration::from_secs(60);

/// For how long a key server that answers PULLs and no question is not asked again. It may have been started again
/// meanwhile, as another version.
const MUTE: Duration = Duration::from_secs(600);

/// Signs that keys were missed, which anybody could have caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoubtfulSign {
    /// A rekey message came under cookies that no rekey SA of the group has.
    UnknownRekeySa(CookiePair),
    /// Data came under an SPI that the group does not have.
    UnknownSpi(u32),
    /// A rekey message under the KEK in force was dropped unverified: too many before it were forged.
    Unverified,
}

impl DoubtfulSign {
    pub(crate) fn reason(self) -> PullReason {
        match self {
            Self::UnknownRekeySa(_) => PullReason::UnknownRekeySa,
            Self::UnknownSpi(_) => PullReason::UnknownSpi,
            Self::Unverified => PullReason::UnverifiedPush,
        }
    }
}

/// What is to become of a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The key server is asked then.
    AskAt(Time),
    /// It was asked then, and has not answered.
    Asked(Time),
    /// The keys are fetched then: it does not answer such questions.
    PullAt(Time),
}

/// What one group's doubtful signs have come to.
#[derive(Debug)]
pub(crate) struct Doubt {
    open: Option<(DoubtfulSign, Step)>,
    /// What chance adds to the delay of a question.
    spread: Duration,
    /// Until when signs are not heeded.
    deaf_until: Time,
    /// PULLs in a row that signs caused for nothing.
    fruitless: u32,
    /// Whether the last question was not answered.
    is_unanswered: bool,
    /// Until when the key server is taken for one that knows no such question.
    mute_until: Time,
}

impl Default for Doubt {
    fn default() -> Self {
        Self {
            open: None,
            spread: DELAY_SPREAD,
            deaf_until: Time::EPOCH,
            fruitless: 0,
            is_unanswered: false,
            mute_until: Time::EPOCH,
        }
    }
}

impl Doubt {
    /// Notes a sign; the first one sets the timer.
    pub(crate) fn note(&mut self, now: Time, sign: DoubtfulSign, random: &mut dyn Random) {
        if now < self.deaf_until {
            debug!(?sign, until = %self.deaf_until, "a doubtful sign of missed keys is not heeded: such signs meant nothing before");
        } else if self.open.is_none() {
            debug!(?sign, "a doubtful sign of missed keys");
            let due = now + DELAY_MIN + random_part(self.spread, random);
            let step = if now < self.mute_until { Step::PullAt(due) } else { Step::AskAt(due) };
            self.open = Some((sign, step));
        }
    }

    /// Spreads what so many members ask at once.
    pub(crate) fn spread_over(&mut self, members: u64) {
        let spread = Duration::from_millis(members.saturating_mul(1_000) / ASKING_PER_SECOND);
        self.spread = spread.clamp(DELAY_SPREAD, SPREAD_MAX);
    }

    /// Says whether a question is due.
    pub(crate) fn asks(&self, now: Time) -> bool {
        matches!(self.open, Some((_, Step::AskAt(due))) if due <= now)
    }

    /// Says whether a question has no answer yet: it belongs in every request.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.open, Some((_, Step::Asked(_))))
    }

    /// Notes that the key server is asked.
    pub(crate) fn asked(&mut self, now: Time) {
        if let Some((_, step)) = &mut self.open
            && let Step::AskAt(_) = step
        {
            *step = Step::Asked(now);
        }
    }

    /// Notes what the key server said to a question that was asked at `made`: whether the keys are in force. Returns whether
    /// that was the answer to an open one.
    pub(crate) fn answered(&mut self, now: Time, made: Time, in_force: bool) -> bool {
        (self.is_unanswered, self.mute_until) = (false, Time::EPOCH);
        let is_answer = |(_, step): &mut (DoubtfulSign, Step)| match *step {
            // One to an earlier question says nothing of what has happened since; that keys were missed is said any time.
            Step::Asked(asked) => made >= asked || !in_force,
            Step::AskAt(_) | Step::PullAt(_) => !in_force,
        };
        let Some((sign, _)) = self.open.take_if(is_answer) else { return false };
        if in_force {
            let pause = DEAF_MIN.max(self.spread);
            debug!(?sign, ?pause, "the keys are in force; such signs are not heeded for a while");
            self.deaf_until = now + pause;
        }
        true
    }

    /// Notes that a question was not answered.
    pub(crate) fn unanswered(&mut self, now: Time) {
        if let Some((sign, step)) = &mut self.open
            && let Step::Asked(_) = step
        {
            debug!(?sign, "the key server does not answer the question");
            self.is_unanswered = true;
            *step = Step::PullAt(now);
        }
    }

    /// Forgets a sign that what was being collected since has resolved.
    pub(crate) fn resolve(&mut self) {
        self.open = None;
    }

    /// Forgets a sign that a TEK has resolved, which came under this rekey SA. The rekey SA alone is not enough: its first
    /// message may have been the one that was dropped for want of it.
    pub(crate) fn installed(&mut self, spi: Spi, under: CookiePair) {
        self.open.take_if(|(sign, _)| match *sign {
            DoubtfulSign::UnknownSpi(unknown) => unknown == spi.as_u32(),
            DoubtfulSign::UnknownRekeySa(cookies) => cookies == under,
            DoubtfulSign::Unverified => false,
        });
    }

    /// Says which sign the keys are to be fetched for, and forgets it. Who `can_ask` does so instead, unless that was for
    /// nothing.
    pub(crate) fn take_pull(&mut self, now: Time, can_ask: bool) -> Option<DoubtfulSign> {
        let is_due = |(_, step): &mut (DoubtfulSign, Step)| match *step {
            Step::PullAt(due) => due <= now,
            Step::AskAt(due) => due <= now && !can_ask,
            Step::Asked(_) => false,
        };
        self.open.take_if(is_due).map(|(sign, _)| sign)
    }

    /// Notes that a PULL succeeded that was made for a sign, or for another reason, and whether it brought anything new. If
    /// not, signs are not heeded for a while that grows: who forges them must not have the whole group call its key server all
    /// the time.
    pub(crate) fn pulled(&mut self, now: Time, for_sign: bool, brought_new: bool) {
        self.open = None;
        if for_sign && std::mem::take(&mut self.is_unanswered) {
            debug!("the key server answers PULLs and no questions");
            self.mute_until = now + MUTE;
        }
        if brought_new {
            self.fruitless = 0;
        } else if for_sign {
            let pause = DEAF_MAX.min(DEAF_MIN * 2u32.saturating_pow(self.fruitless.min(8)));
            debug!(?pause, "the PULL brought nothing new; such signs are not heeded for a while");
            self.deaf_until = now + pause;
            self.fruitless += 1;
        }
    }

    /// Says when something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.open {
            Some((_, Step::AskAt(due) | Step::PullAt(due))) => Some(due),
            Some((_, Step::Asked(_))) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;

    use super::*;

    const SIGN: DoubtfulSign = DoubtfulSign::UnknownSpi(400);
    const NOW: Time = Time::from_secs(1_000);

    fn doubt() -> (Doubt, SeededRandom) {
        (Doubt::default(), SeededRandom::new(5))
    }

    /// Gives a sign each second, and has the key server answer at once that the keys are in force.
    fn forge(doubt: &mut Doubt, random: &mut SeededRandom, seconds: u64) -> (usize, usize) {
        let (mut questions, mut pulls, mut now) = (0, 0, NOW);
        for _ in 0..seconds {
            now = now + Duration::from_secs(1);
            doubt.note(now, SIGN, random);
            if doubt.asks(now) {
                questions += 1;
                doubt.asked(now);
                doubt.answered(now, now, true);
            }
            if doubt.take_pull(now, true).is_some() {
                pulls += 1;
                doubt.pulled(now, true, false);
            }
        }
        (questions, pulls)
    }

    #[test]
    fn who_is_told_that_its_keys_are_in_force_fetches_nothing() {
        let (mut doubt, mut random) = doubt();
        let (questions, pulls) = forge(&mut doubt, &mut random, 600);
        assert_eq!(pulls, 0);
        assert!((60..150).contains(&questions), "{questions}");
    }

    #[test]
    fn questions_of_a_large_group_are_spread_and_none_waits_longer_than_a_minute() {
        for (members, most) in [(1, 2_000), (8_000, 2_000), (50_000, 10_400), (u64::MAX, 60_400)] {
            let (mut doubt, mut random) = doubt();
            doubt.spread_over(members);
            let delays: Vec<Duration> = (0..200)
                .map(|_| {
                    doubt.resolve();
                    doubt.note(NOW, SIGN, &mut random);
                    doubt.poll_timeout().unwrap().since(NOW)
                })
                .collect();
            let most = Duration::from_millis(most);
            assert!(delays.iter().all(|delay| (DELAY_MIN..most).contains(delay)), "{members}");
            assert!(*delays.iter().max().unwrap() > most * 9 / 10, "{members}");
        }
    }

    #[test]
    fn a_key_server_that_does_not_know_the_question_is_pulled_from_less_and_less_often() {
        let (mut doubt, mut random) = doubt();
        doubt.note(NOW, SIGN, &mut random);
        let asked = doubt.poll_timeout().unwrap();
        assert!(doubt.asks(asked) && doubt.take_pull(asked, true).is_none());
        doubt.asked(asked);
        assert_eq!((doubt.poll_timeout(), doubt.take_pull(asked, true)), (None, None));
        doubt.unanswered(asked);
        assert_eq!(doubt.take_pull(asked, true), Some(SIGN));
        doubt.pulled(asked, true, false);
        let (questions, pulls) = forge(&mut doubt, &mut random, 500);
        assert_eq!(questions, 0, "it is not asked again at once");
        assert!((5..15).contains(&pulls), "{pulls}");
        let later = NOW + Duration::from_secs(1_200);
        doubt.note(later, SIGN, &mut random);
        assert!(doubt.asks(doubt.poll_timeout().unwrap()), "it may be another one by now");
    }

    #[test]
    fn an_answer_to_an_earlier_question_settles_nothing_unless_keys_were_missed() {
        let (mut doubt, mut random) = doubt();
        doubt.note(NOW, SIGN, &mut random);
        let asked = doubt.poll_timeout().unwrap();
        doubt.asked(asked);
        assert!(!doubt.answered(asked, NOW, true));
        assert!(doubt.is_asked());
        assert!(doubt.answered(asked, NOW, false));
        assert!(!doubt.is_asked());
    }

    #[test]
    fn who_has_no_association_to_ask_under_pulls_and_so_registers() {
        let (mut doubt, mut random) = doubt();
        doubt.note(NOW, SIGN, &mut random);
        let due = doubt.poll_timeout().unwrap();
        assert_eq!(doubt.take_pull(due, false), Some(SIGN));
    }

    #[test]
    fn signs_that_resolve_themselves_are_forgotten() {
        let (mut doubt, mut random) = doubt();
        let (under, spi) = (CookiePair([7; 16]), Spi::new(300).unwrap());
        doubt.note(NOW, DoubtfulSign::UnknownRekeySa(under), &mut random);
        doubt.installed(spi, CookiePair([8; 16]));
        assert!(doubt.poll_timeout().is_some(), "a TEK under another rekey SA resolves nothing");
        doubt.installed(spi, under);
        assert_eq!(doubt.poll_timeout(), None);
        doubt.note(NOW, DoubtfulSign::UnknownSpi(300), &mut random);
        doubt.installed(Spi::new(301).unwrap(), under);
        assert!(doubt.poll_timeout().is_some());
        doubt.installed(spi, under);
        assert_eq!(doubt.poll_timeout(), None);
    }
}
