//! Octets that are shared at random when more are asked for than may be sent.
//!
//! Who comes first would take all, and a flood always comes first. So each one who asks has the same chance, which
//! follows from how much is asked for; a host that repeats itself gets its answer in the end.

use std::time::Duration;

use claviger_crypto::{Random, random};
use claviger_sansio::Time;

/// Demand is measured in windows of this length: a flood is met within a tenth of a second, and a second's share is
/// not spent in its first instants.
const WINDOW: Duration = Duration::from_millis(100);

/// Windows in a second.
pub(crate) const WINDOWS_PER_SECOND: u64 = 10;

/// So many octets a second, for all who ask.
#[derive(Debug)]
pub(crate) struct Share {
    per_window: u64,
    window: u128,
    /// Octets asked for in this window, and in the one before.
    demand: u64,
    demand_before: u64,
    spent: u64,
}

impl Share {
    pub(crate) const fn new(octets_per_second: u64) -> Self {
        let per_window = octets_per_second / WINDOWS_PER_SECOND;
        Self { per_window, window: 0, demand: 0, demand_before: 0, spent: 0 }
    }

    /// Counts what somebody asks for.
    pub(crate) fn ask(&mut self, now: Time, octets: u64) {
        let window = now.since(Time::EPOCH).as_micros() / WINDOW.as_micros();
        if window != self.window {
            self.demand_before = if window == self.window + 1 { self.demand } else { 0 };
            self.window = window;
            self.demand = 0;
            self.spent = 0;
        }
        self.demand = self.demand.saturating_add(octets);
    }

    /// Says whether more is asked for than there is.
    pub(crate) fn is_short(&self) -> bool {
        self.demand_rate() > self.per_window
    }

    /// Draws whether what was asked for is given, and counts it if so.
    pub(crate) fn draw(&mut self, octets: u64, random: &mut dyn Random) -> bool {
        let given = self.spent.saturating_add(octets) <= self.per_window && self.is_lucky(random);
        if given {
            self.spent += octets;
        }
        given
    }

    /// The chance is what there is, divided by what is asked for.
    fn is_lucky(&self, random: &mut dyn Random) -> bool {
        if !self.is_short() {
            return true;
        }
        let drawn = u64::from_be_bytes(random::array(random));
        let below_demand = (u128::from(drawn) * u128::from(self.demand_rate())) >> u64::BITS;
        below_demand < u128::from(self.per_window)
    }

    fn demand_rate(&self) -> u64 {
        self.demand.max(self.demand_before)
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;

    use super::*;

    const OCTETS: u64 = 1_000;

    /// Asks at even distances for a second; returns when it was given.
    fn ask_for_a_second(share: &mut Share, times: u64) -> Vec<u64> {
        let mut random = SeededRandom::new(1);
        let mut given = Vec::new();
        for number in 0..times {
            share.ask(Time::from_micros(number * 1_000_000 / times), OCTETS);
            if share.draw(OCTETS, &mut random) {
                given.push(number);
            }
        }
        given
    }

    #[test]
    fn gives_all_while_there_is_enough() {
        assert_eq!(ask_for_a_second(&mut Share::new(100 * OCTETS), 100).len(), 100);
    }

    #[test]
    fn gives_no_more_than_there_is_whatever_is_asked() {
        for times in [101, 1_000, 60_000] {
            let given = ask_for_a_second(&mut Share::new(100 * OCTETS), times).len();
            assert!((70..=100).contains(&given), "{given} of {times}");
        }
    }

    /// Behind the first window, in which the flood is measured, each tenth of a window has a part.
    #[test]
    fn who_comes_late_has_a_chance_too() {
        let times = 60_000;
        let given = ask_for_a_second(&mut Share::new(1_000 * OCTETS), times);
        let per_window = times / WINDOWS_PER_SECOND;
        let late = |number: &&u64| **number >= per_window && **number % per_window >= per_window / 2;
        let (late, all) = (given.iter().filter(late).count(), given.len());
        assert!(late > all / 3, "{late} of {all}");
    }
}
