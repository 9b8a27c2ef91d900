//! Sending no faster than agreed.

use std::{num::NonZeroU64, time::Duration};

use claviger_sansio::Time;

use crate::Clock;

/// A bucket of octets that fills at a steady rate.
///
/// It is pure arithmetic over [`Time`]; [`Pacer::pace`] adds the waiting. Each datagram is booked at once and the
/// answer is when it may go, so that the rate holds exactly in the long run however late the sender wakes.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Octets per second.
    rate: NonZeroU64,
    /// The most that the bucket holds, in millionths of an octet.
    capacity: i128,
    /// What the bucket holds, in millionths of an octet; below zero when octets are booked ahead.
    credit: i128,
    /// When `credit` was last brought up to date.
    updated: Time,
}

impl Pacer {
    /// How much a bucket holds if nothing else is said: so many octets as pass in this time, which bridges the
    /// granularity of a timer (1 ms) and the scheduling of a busy host without flooding a receiver's buffer.
    pub const BURST: Duration = Duration::from_millis(5);

    /// Makes a full bucket of [`Self::BURST`] for `rate` octets per second.
    pub fn new(rate: NonZeroU64, now: Time) -> Self {
        let octets = u128::from(rate.get()) * Self::BURST.as_micros() / 1_000_000;
        Self::with_burst(rate, u64::try_from(octets).expect("a 200th of a u64 fits one"), now)
    }

    /// Makes a full bucket that holds `burst` octets, for `rate` octets per second.
    ///
    /// A datagram larger than the bucket is still let through, followed by a pause of its full length.
    pub fn with_burst(rate: NonZeroU64, burst: u64, now: Time) -> Self {
        let capacity = i128::from(burst) * 1_000_000;
        Self { rate, capacity, credit: capacity, updated: now }
    }

    /// Books a datagram of `octets` and says when it may be sent: `now`, or a time ahead.
    pub fn book(&mut self, octets: usize, now: Time) -> Time {
        let rate = i128::from(self.rate.get());
        let elapsed = now.since(self.updated).as_micros();
        let earned =
            i128::try_from(elapsed).expect("a difference of times fits 64 bits").saturating_mul(rate);
        self.updated = self.updated.max(now);
        self.credit = self.credit.saturating_add(earned).min(self.capacity)
            - i128::try_from(octets).expect("a datagram's length fits") * 1_000_000;
        if self.credit >= 0 {
            return now;
        }
        // Rounded up: to be a microsecond late is polite, to be early is not what was agreed.
        let wait = (-self.credit + rate - 1) / rate;
        self.updated.max(now) + Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// Books a datagram of `octets` and waits until it may be sent.
    ///
    /// If the wait is abandoned the octets stay booked.
    pub async fn pace(&mut self, clock: &Clock, octets: usize) {
        let now = clock.now();
        let due = self.book(octets, now);
        if due > now {
            clock.sleep_until(due).await;
        }
    }

    /// Says how many octets per second may pass.
    pub fn rate(&self) -> NonZeroU64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_000);

    fn rate(octets: u64) -> NonZeroU64 {
        NonZeroU64::new(octets).unwrap()
    }

    fn after_us(micros: u64) -> Time {
        START + Duration::from_micros(micros)
    }

    #[test]
    fn lets_a_full_bucket_through_at_once_and_then_keeps_the_rate() {
        let mut pacer = Pacer::with_burst(rate(1_000_000), 3_000, START);
        let due: Vec<Time> = (0..6).map(|_| pacer.book(1_000, START)).collect();
        assert_eq!(due, [0, 0, 0, 1_000, 2_000, 3_000].map(after_us));
    }

    #[test]
    fn fills_while_idle_but_never_above_its_size() {
        let mut pacer = Pacer::with_burst(rate(1_000_000), 2_000, START);
        let later = START + Duration::from_secs(3600);
        assert_eq!(pacer.book(2_000, later), later);
        assert_eq!(pacer.book(500, later), later + Duration::from_micros(500));
    }

    #[test]
    fn lets_a_datagram_larger_than_the_bucket_through() {
        let mut pacer = Pacer::with_burst(rate(1_000), 0, START);
        assert_eq!(pacer.book(1_500, START), after_us(1_500_000));
        assert_eq!(pacer.book(1_500, after_us(1_500_000)), after_us(3_000_000));
    }

    #[test]
    fn rounds_a_wait_up() {
        let mut pacer = Pacer::with_burst(rate(3_000_000), 0, START);
        assert_eq!(pacer.book(1, START), after_us(1), "a third of a microsecond");
        assert_eq!(pacer.book(1, START), after_us(1), "two thirds");
        assert_eq!(pacer.book(1, START), after_us(1), "exactly one");
        assert_eq!(pacer.book(1, START), after_us(2));
    }

    #[test]
    fn holds_the_rate_in_the_long_run_however_late_the_sender_wakes() {
        let octets_per_second = 1_234_567;
        let mut pacer = Pacer::new(rate(octets_per_second), START);
        let (mut now, mut sent, mut state) = (START, 0u64, 7u64);
        while now.since(START) < Duration::from_secs(60) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let octets = 1 + state % 1_400;
            let due = pacer.book(octets as usize, now);
            if due > now {
                now = due + Duration::from_micros((state >> 40) % 1_500);
            }
            sent += octets;
        }
        let elapsed = now.since(START).as_secs_f64();
        let allowed = octets_per_second as f64 * (elapsed + Pacer::BURST.as_secs_f64()) + 1_400.0;
        assert!(sent as f64 <= allowed, "{sent} octets in {elapsed} s are more than {allowed}");
        assert!(sent as f64 >= allowed * 0.99, "{sent} octets in {elapsed} s are far fewer than {allowed}");
    }

    #[test]
    fn bears_extreme_rates_and_a_time_that_goes_back() {
        let mut slow = Pacer::new(rate(1), START);
        assert_eq!(slow.book(65_507, START), START + Duration::from_secs(65_507));
        let mut fast = Pacer::new(rate(u64::MAX), START);
        assert_eq!(fast.book(65_507, START), START);
        assert_eq!(fast.book(65_507, Time::EPOCH), Time::EPOCH);
        assert_eq!(fast.book(65_507, Time::from_micros(u64::MAX)), Time::from_micros(u64::MAX));
    }

    #[tokio::test]
    async fn waits_for_what_was_booked() {
        let clock = Clock::starting_at(Time::EPOCH);
        let start = clock.now();
        let mut pacer = Pacer::with_burst(rate(100_000), 0, start);
        for _ in 0..5 {
            pacer.pace(&clock, 1_000).await;
        }
        assert!(clock.now().since(start) >= Duration::from_millis(50));
    }
}
