//! When to fetch the keys again.
//!
//! A member that sees a sign of missed keys makes one new PULL, after a random delay so that a group which lost
//! the same message does not call its key server at once. Signs that resolve themselves in time are forgotten.

use std::time::Duration;

use claviger_crypto::{Random, random};
use claviger_group::{CookiePair, Spi};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    doubt::{Doubt, DoubtfulSign},
    event::PullReason,
};

/// The least delay after a sign of missed keys: copies of a GROUPKEY-PUSH that are on their way resolve it.
pub(crate) const DELAY_MIN: Duration = Duration::from_millis(400);

/// How long a rekey of some messages takes to leave the key server. While more of a larger one are heard, the time begins
/// anew, up to [`REKEY_SPREAD_MAX`].
pub(crate) const REKEY_SPREAD: Duration = Duration::from_millis(600);

/// How long messages of a rekey are waited for at most: nothing proves that what is heard belongs to it.
pub(crate) const REKEY_SPREAD_MAX: Duration = Duration::from_secs(10);

/// How long a rekey that is delivered may take until its second round has left, and the message behind it once more.
const DELIVERY_SPREAD: Duration = Duration::from_secs(2);

/// The most that chance adds to it. With PULL's own retransmissions it bounds how long a member lags.
pub(crate) const DELAY_SPREAD: Duration = Duration::from_millis(1600);

/// The first pause after a PULL that failed, doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The least time until keys are fetched because they near their end. A key server that gives keys without a lifetime is not
/// called again and again.
const LIFETIME_MIN: Duration = Duration::from_secs(1);

/// Signs that keys were missed, which nobody but the key server or this member itself can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The key server named these keys as those in force, and they are not held.
    Behind(Missed),
    /// The key server gives no lease.
    LeaseRefused,
    /// The member's address changed: it may be at another place now.
    Moved,
    /// This machine goes on from an earlier state.
    Restored,
    /// The server deleted the SAs.
    Deleted,
    /// A rekey message skipped numbers: what was missed cannot be known, and only a PULL brings it.
    Gap,
    /// A rekey message brought a KEK in no array that this member can open: another message of that rekey may.
    NotForUs,
    /// A sender id is nearly spent.
    SenderIdSpent,
    /// A rekey SA was taken up, and its first message, which tells the TEK, is still to come.
    TekAwaited(CookiePair),
}

/// What the key server has in force and this member lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    /// The rekey SA, if there is one.
    pub(crate) rekey_sa: Option<CookiePair>,
    /// The TEK.
    pub(crate) tek: Option<Spi>,
}

/// Which sender ids a PULL of a sender is to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SenderIds {
    /// New ones, as many as the key server thinks right.
    Fresh,
    /// None: those that are held, if any, are good for what comes (binding section 7.1).
    Kept,
}

impl Sign {
    /// Says whether the messages of a rekey that is being collected may resolve the sign.
    fn can_wait(self) -> bool {
        matches!(self, Self::Behind(_) | Self::NotForUs | Self::TekAwaited(_))
    }

    pub(crate) fn reason(self) -> PullReason {
        match self {
            Self::Behind(_) => PullReason::Behind,
            Self::LeaseRefused => PullReason::LeaseRefused,
            Self::Moved => PullReason::Moved,
            Self::Restored => PullReason::Restored,
            Self::Deleted => PullReason::Deleted,
            Self::Gap | Self::NotForUs | Self::TekAwaited(_) => PullReason::SequenceGap,
            Self::SenderIdSpent => PullReason::SenderIdSpent,
        }
    }
}

/// The timer of one group's next PULL.
#[derive(Debug, Default)]
pub(crate) struct Repull {
    pending: Option<(Time, Sign)>,
    /// When the rekey SA was taken up whose TEK is awaited.
    awaited_since: Time,
    /// Before the lifetimes in force end.
    lifetime_due: Option<Time>,
    failures: u32,
    /// Signs that may mean nothing.
    pub(crate) doubt: Doubt,
    /// Whether the last PULL was made for one of them, and the TEK that the last but one brought.
    doubted: bool,
    newest: Option<Spi>,
    /// Whether messages are being collected that may resolve what is pending.
    held: bool,
}

impl Repull {
    /// Notes a sign; the first one sets the timer.
    pub(crate) fn note(&mut self, now: Time, sign: Sign, random: &mut dyn Random) {
        if self.pending.is_none() {
            debug!(?sign, "a sign of missed keys");
            self.pending = Some((now + DELAY_MIN + random_part(DELAY_SPREAD, random), sign));
        }
    }

    /// Notes that the key server has said which keys are in force, in answer to a question of doubt: chance has spread these
    /// already.
    pub(crate) fn behind(&mut self, now: Time, missed: Missed) {
        self.pending.get_or_insert((now + DELAY_MIN, Sign::Behind(missed)));
    }

    /// Notes that the member's address changed. Nothing but a PULL that begins from now on resolves that.
    pub(crate) fn moved(&mut self, now: Time, random: &mut dyn Random) {
        let due = now + DELAY_MIN + random_part(DELAY_SPREAD, random);
        self.pending = Some((self.pending.map_or(due, |(earlier, _)| due.min(earlier)), Sign::Moved));
    }

    /// Notes that more messages of a rekey are expected, and waits for the one after this: who has heard some of them
    /// and hears no more has missed what it needs.
    pub(crate) fn more_to_come(&mut self, now: Time, random: &mut dyn Random) {
        if matches!(self.pending, Some((_, Sign::NotForUs))) {
            self.pending = None;
        }
        self.note(now, Sign::NotForUs, random);
    }

    /// Notes that the messages of a rekey are still leaving the key server: the TEK follows behind them.
    pub(crate) fn still_coming(&mut self, now: Time, random: &mut dyn Random) {
        if now >= self.awaited_since + REKEY_SPREAD_MAX {
            return;
        }
        let is_awaited = |(_, sign): &mut (Time, Sign)| matches!(sign, Sign::TekAwaited(_));
        if let Some((_, sign)) = self.pending.take_if(is_awaited) {
            self.note(now + REKEY_SPREAD, sign, random);
        }
    }

    /// Forgets an array that was missed, for the KEK was taken up after all, and awaits the TEK under it: who takes up
    /// a KEK and misses the message behind it would otherwise notice only when data comes.
    pub(crate) fn rekeyed(&mut self, now: Time, kek: CookiePair, random: &mut dyn Random) {
        let is_resolved = |sign: Sign| match sign {
            Sign::NotForUs | Sign::TekAwaited(_) => true,
            // It was a sign of what has been collected since, and the TEK is awaited anyway.
            Sign::Behind(_) => self.held,
            Sign::Deleted
            | Sign::Gap
            | Sign::LeaseRefused
            | Sign::Moved
            | Sign::Restored
            | Sign::SenderIdSpent => false,
        };
        if self.pending.is_some_and(|(_, sign)| is_resolved(sign)) {
            self.pending = None;
        }
        if self.held {
            self.doubt.resolve();
        }
        self.awaited_since = now;
        let spread = if self.held { DELIVERY_SPREAD } else { REKEY_SPREAD };
        self.note(now + spread, Sign::TekAwaited(kek), random);
    }

    /// Forgets what a TEK has resolved that came under this rekey SA.
    pub(crate) fn installed(&mut self, spi: Spi, under: CookiePair) {
        self.doubt.installed(spi, under);
        let resolved = match self.pending {
            Some((_, Sign::Behind(missed))) => missed.tek == Some(spi) && missed.rekey_sa == Some(under),
            Some((_, Sign::TekAwaited(cookies))) => cookies == under,
            Some((
                _,
                Sign::Deleted
                | Sign::Gap
                | Sign::LeaseRefused
                | Sign::Moved
                | Sign::NotForUs
                | Sign::Restored
                | Sign::SenderIdSpent,
            ))
            | None => false,
        };
        if resolved {
            self.pending = None;
        }
    }

    /// Notes what a PULL or a rekey brought: the next one is due before `expires`, at a random part of the last
    /// tenth of what remains, and not at once.
    pub(crate) fn lifetime(&mut self, now: Time, expires: Time, random: &mut dyn Random) {
        let remaining = expires.since(now);
        let early = remaining / 20 + random_part(remaining / 20, random);
        self.lifetime_due = Some((expires - early).max(now + LIFETIME_MIN));
    }

    /// Notes that a PULL brought everything, with `newest` as the TEK in force.
    pub(crate) fn succeeded(&mut self, now: Time, newest: Option<Spi>) {
        self.pending.take_if(|(_, sign)| *sign != Sign::Moved);
        self.failures = 0;
        self.doubt.pulled(now, std::mem::take(&mut self.doubted), self.newest != newest);
        self.newest = newest;
    }

    /// Notes a PULL that failed and plans the next one. Returns how many have failed in a row.
    pub(crate) fn failed(&mut self, now: Time, sign: Sign, random: &mut dyn Random) -> u32 {
        self.failures += 1;
        let pause = PAUSE_MAX.min(PAUSE_MIN * 2u32.saturating_pow(self.failures.min(8) - 1));
        debug!(failures = self.failures, ?pause, ?sign, "a PULL failed; the next waits");
        self.pending = Some((now + pause / 2 + random_part(pause / 2, random), sign));
        self.failures
    }

    /// Notes whether messages are being collected: signs that they may resolve wait for the end of it.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Shows what is pending and not held.
    fn pending(&self) -> Option<(Time, Sign)> {
        self.pending.filter(|(_, sign)| !(self.held && sign.can_wait()))
    }

    /// Says why a PULL is due, and takes the timer away. Who `can_ask` the key server does so first where a sign may mean
    /// nothing.
    pub(crate) fn take_due(&mut self, now: Time, can_ask: bool) -> Option<PullReason> {
        self.doubted = false;
        if let Some((due, sign)) = self.pending()
            && due <= now
        {
            self.pending = None;
            return Some(sign.reason());
        }
        if self.lifetime_due.is_some_and(|due| due <= now) {
            self.lifetime_due = None;
            return Some(PullReason::LifetimeEnding);
        }
        let sign = if self.held { None } else { self.doubt.take_pull(now, can_ask) };
        self.doubted = sign.is_some();
        sign.map(DoubtfulSign::reason)
    }

    /// Says whether the key server is to be asked whether the keys are in force.
    pub(crate) fn asks(&self, now: Time) -> bool {
        !self.held && self.doubt.asks(now)
    }

    /// Says when a PULL or a question is due.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let doubt = if self.held { None } else { self.doubt.poll_timeout() };
        [self.pending().map(|(due, _)| due), self.lifetime_due, doubt].into_iter().flatten().min()
    }
}

/// Draws a duration below `limit`.
pub(crate) fn random_part(limit: Duration, random: &mut dyn Random) -> Duration {
    let part = u32::from_be_bytes(random::array(random));
    Duration::from_micros(((limit.as_micros() * u128::from(part)) >> 32) as u64)
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;

    use super::*;

    #[test]
    fn one_sign_makes_one_jittered_pull() {
        let mut random = SeededRandom::new(1);
        let now = Time::from_secs(1000);
        let mut dues = vec![];
        for _ in 0..100 {
            let mut repull = Repull::default();
            repull.note(now, Sign::Gap, &mut random);
            let due = repull.poll_timeout().unwrap();
            repull.note(now, Sign::NotForUs, &mut random);
            assert_eq!(repull.poll_timeout(), Some(due), "a second sign does not move the timer");
            assert_eq!(repull.take_due(due - Duration::from_micros(1), true), None);
            assert_eq!(repull.take_due(due, true), Some(PullReason::SequenceGap));
            assert_eq!(repull.take_due(due, true), None);
            dues.push(due.since(now));
        }
        assert!(dues.iter().all(|d| (DELAY_MIN..DELAY_MIN + DELAY_SPREAD).contains(d)));
        assert!(dues.iter().max().unwrap().abs_diff(*dues.iter().min().unwrap()) > DELAY_SPREAD / 2);
    }

    #[test]
    fn signs_that_resolve_themselves_are_forgotten() {
        let mut random = SeededRandom::new(2);
        let (now, cookies, spi) = (Time::from_secs(1), CookiePair([7; 16]), Spi::new(300).unwrap());
        let mut repull = Repull::default();
        repull.behind(now, Missed { rekey_sa: Some(cookies), tek: Some(spi) });
        repull.installed(spi, CookiePair([8; 16]));
        repull.installed(Spi::new(301).unwrap(), cookies);
        assert_eq!(repull.poll_timeout(), Some(now + DELAY_MIN), "neither is what is missed");
        repull.installed(spi, cookies);
        assert_eq!(repull.poll_timeout(), None);
        repull.note(now, Sign::NotForUs, &mut random);
        repull.rekeyed(now, cookies, &mut random);
        assert!(repull.poll_timeout().unwrap() > now + REKEY_SPREAD, "the TEK is awaited now");
        repull.installed(spi, cookies);
        assert_eq!(repull.poll_timeout(), None);
        repull.note(now, Sign::Gap, &mut random);
        repull.rekeyed(now, cookies, &mut random);
        repull.installed(spi, cookies);
        assert!(repull.poll_timeout().is_some(), "what a gap hid is fetched");
    }

    #[test]
    fn an_authentic_sign_does_not_wait_for_the_answer_to_a_question() {
        let mut random = SeededRandom::new(5);
        let now = Time::from_secs(1);
        let mut repull = Repull::default();
        repull.doubt.spread_over(u64::MAX);
        repull.doubt.note(now, DoubtfulSign::UnknownSpi(400), &mut random);
        repull.note(now, Sign::Gap, &mut random);
        let due = repull.poll_timeout().unwrap();
        assert!(due <= now + DELAY_MIN + DELAY_SPREAD);
        assert_eq!(repull.take_due(due, true), Some(PullReason::SequenceGap));
        repull.succeeded(due, None);
        assert_eq!(repull.poll_timeout(), None, "the PULL has settled the doubt too");
    }

    #[test]
    fn a_move_is_followed_by_a_pull_whatever_else_happens() {
        let mut random = SeededRandom::new(6);
        let (now, cookies) = (Time::from_secs(1), CookiePair([7; 16]));
        let mut repull = Repull::default();
        repull.note(now, Sign::TekAwaited(cookies), &mut random);
        repull.moved(now, &mut random);
        repull.rekeyed(now, cookies, &mut random);
        repull.installed(Spi::new(300).unwrap(), cookies);
        // A PULL that was under way may have begun at the old address.
        repull.succeeded(now, None);
        let due = repull.poll_timeout().unwrap();
        assert!(due < now + DELAY_MIN + DELAY_SPREAD);
        assert_eq!(repull.take_due(due, true), Some(PullReason::Moved));
        repull.succeeded(due, None);
        assert_eq!(repull.poll_timeout(), None);
    }

    #[test]
    fn failures_pause_longer_and_longer() {
        let mut random = SeededRandom::new(3);
        let now = Time::from_secs(1);
        let mut repull = Repull::default();
        for failures in 1..=10 {
            assert_eq!(repull.failed(now, Sign::Gap, &mut random), failures);
            let pause = repull.poll_timeout().unwrap().since(now);
            let longest = PAUSE_MAX.min(PAUSE_MIN * 2u32.pow(failures.min(8) - 1));
            assert!((longest / 2..=longest).contains(&pause), "{failures}: {pause:?}");
        }
        repull.succeeded(now, None);
        assert_eq!(repull.failed(now, Sign::Gap, &mut random), 1);
    }

    #[test]
    fn keys_without_a_lifetime_are_not_fetched_without_a_pause() {
        let mut random = SeededRandom::new(7);
        let now = Time::from_secs(1);
        let mut repull = Repull::default();
        repull.lifetime(now, now, &mut random);
        assert_eq!(repull.poll_timeout(), Some(now + LIFETIME_MIN));
    }

    #[test]
    fn pulls_before_a_lifetime_ends() {
        let mut random = SeededRandom::new(4);
        let (now, expires) = (Time::from_secs(0), Time::from_secs(1000));
        let mut repull = Repull::default();
        repull.lifetime(now, expires, &mut random);
        let due = repull.poll_timeout().unwrap();
        assert!((900..=950).contains(&due.as_secs()), "{due}");
        assert_eq!(repull.take_due(due, true), Some(PullReason::LifetimeEnding));
    }
}
