//! How hard the puzzles are that a host sets: the harder, the more I2s cost it public-key work (RFC 7401 section 4.1.1: the
//! Responder should use heuristics to find out that it is under attack, and set #K by them).
//!
//! #K is a generation's: a change begins a new generation of R1s. The solutions of the generation before are accepted still,
//! so that who is solving a puzzle now is not too late; those of older ones are not, so that puzzles which were solved in
//! stock are worth nothing soon after they are used.

use std::time::Duration;

use claviger_sansio::Time;
use tracing::debug;

/// I2s that cost public-key work within a second above which puzzles become harder. They cost a thirtieth of a core on
/// P-256; a thousand hosts that register anew after a restart are above it too, and do not mind a harder puzzle.
const HEAVY: u32 = 128;

/// I2s within a second below which the load is light again: far below what makes puzzles harder, so that #K does not swing.
const LIGHT: u32 = 32;

/// How much #K changes at once: four times the work, so that a flood meets the hardest puzzle within a few seconds.
const STEP: u8 = 2;

/// Over which time I2s are counted, and how long #K is left alone after a change: the generation before is accepted for so
/// long at least, within which a puzzle is solved.
const WINDOW: Duration = Duration::from_secs(1);

/// How long the load must have been light before #K falls: two falls last as long as the default lifetime of a puzzle, so
/// that they cut no solution short.
const REST: Duration = Duration::from_secs(32);

/// #K, which follows the load between what policy asks for without and under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difficulty {
    lowest: u8,
    highest: u8,
    current: u8,
    /// When the second began in which I2s are being counted, and how many there are.
    window_began: Time,
    counted: u32,
    /// Since when the load has been light, or #K the same.
    light_since: Time,
    /// Until when #K is left alone.
    settled_at: Time,
}

impl Difficulty {
    /// Starts as without load. `highest` has no effect if it is less than `lowest`.
    pub(crate) fn new(lowest: u8, highest: u8, now: Time) -> Self {
        let highest = highest.max(lowest);
        Self {
            lowest,
            highest,
            current: lowest,
            window_began: now,
            counted: 0,
            light_since: now,
            settled_at: now,
        }
    }

    /// Returns #K of the next generation.
    pub(crate) fn k(&self) -> u8 {
        self.current
    }

    /// Counts an I2 that costs public-key work, and lets #K rise if there are too many.
    pub(crate) fn count(&mut self, now: Time) {
        self.begin_window(now);
        self.counted = self.counted.saturating_add(1);
        if self.counted > HEAVY && self.current < self.highest && now >= self.settled_at {
            self.change(self.current.saturating_add(STEP).min(self.highest), now);
        }
    }

    /// Lets #K fall when the load has been light for long enough.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.begin_window(now);
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.change(self.current.saturating_sub(STEP).max(self.lowest), now);
        }
    }

    /// Says when #K falls, if the load stays light.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (self.current > self.lowest).then(|| self.light_since + REST)
    }

    fn change(&mut self, to: u8, now: Time) {
        debug!(from = self.current, to, "the difficulty of puzzles follows the load");
        self.current = to;
        self.light_since = now;
        self.settled_at = now + WINDOW;
    }

    fn begin_window(&mut self, now: Time) {
        if now < self.window_began + WINDOW {
            return;
        }
        if self.counted >= LIGHT {
            self.light_since = self.window_began + WINDOW;
        }
        self.counted = 0;
        self.window_began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_000);

    /// Lets `per_second` I2s come for so many seconds, and returns #K after each change.
    fn load(difficulty: &mut Difficulty, now: &mut Time, seconds: u64, per_second: u32) -> Vec<u8> {
        let mut changes = vec![difficulty.k()];
        for _ in 0..seconds * 1_000 {
            for _ in 0..per_second / 1_000 {
                difficulty.count(*now);
            }
            *now = *now + Duration::from_millis(1);
            difficulty.handle_timeout(*now);
            if changes.last() != Some(&difficulty.k()) {
                changes.push(difficulty.k());
            }
        }
        changes.split_off(1)
    }

    #[test]
    fn rises_with_the_load_up_to_its_limit_and_falls_again() {
        let (mut difficulty, mut now) = (Difficulty::new(10, 15, START), START);
        assert_eq!(load(&mut difficulty, &mut now, 1, 1_000), [12]);
        assert_eq!(load(&mut difficulty, &mut now, 600, 1_000), [14, 15]);
        assert_eq!(difficulty.poll_timeout(), Some(difficulty.light_since + REST));
        assert_eq!(load(&mut difficulty, &mut now, 31, 0), []);
        assert_eq!(load(&mut difficulty, &mut now, 3, 0), [13]);
        assert_eq!(load(&mut difficulty, &mut now, 64, 0), [11, 10]);
        assert_eq!(difficulty.poll_timeout(), None);
    }

    #[test]
    fn a_load_that_is_neither_heavy_nor_light_leaves_it_alone() {
        let (mut difficulty, mut now) = (Difficulty::new(10, 16, START), START);
        assert_eq!(load(&mut difficulty, &mut now, 1, 1_000), [12]);
        for _ in 0..600 {
            for _ in 0..(LIGHT + HEAVY) / 2 {
                difficulty.count(now);
            }
            now = now + WINDOW;
            difficulty.handle_timeout(now);
        }
        assert_eq!(difficulty.k(), 12);
    }

    #[test]
    fn a_rise_gives_time_to_solve_the_puzzle_before() {
        let (mut difficulty, mut now) = (Difficulty::new(10, 16, START), START);
        assert_eq!(load(&mut difficulty, &mut now, 1, 1_000_000), [12]);
        assert_eq!(load(&mut difficulty, &mut now, 1, 1_000_000), [14]);
    }

    #[test]
    fn a_limit_below_the_lowest_keeps_it_where_it_is() {
        let (mut difficulty, mut now) = (Difficulty::new(10, 0, START), START);
        assert_eq!(load(&mut difficulty, &mut now, 10, 1_000), []);
    }
}
