//! Which sequence numbers were seen.

/// Words of 64 numbers that a window keeps.
const WORDS: usize = 16;

/// A sliding window over 64-bit sequence numbers (RFC 4303 section 3.4.3, in the manner of RFC 6479).
///
/// It is asked before the packet is authenticated and told afterwards, so that a forged number moves nothing.
#[derive(Debug, Clone, Default)]
pub struct ReplayWindow {
    highest: u64,
    seen: [u64; WORDS],
    started: bool,
}

/// A number that the window has not seen. It is spent by [`ReplayWindow::mark`] once the packet is authentic.
#[derive(Debug)]
#[must_use = "a fresh number must be marked once its packet is authentic"]
pub struct Fresh(u64);

impl Fresh {
    /// Shows the number.
    pub fn number(&self) -> u64 {
        self.0
    }
}

impl ReplayWindow {
    /// How many numbers below the highest are still told apart: one word is the slack that sliding needs.
    pub const SIZE: u64 = ((WORDS - 1) * 64) as u64;

    /// Says whether `number` is new: neither seen before nor too old to know.
    pub fn check(&self, number: u64) -> Option<Fresh> {
        if !self.started || number > self.highest {
            return Some(Fresh(number));
        }
        if self.highest - number >= Self::SIZE {
            return None;
        }
        let (word, bit) = Self::place(number);
        (self.seen[word] & bit == 0).then_some(Fresh(number))
    }

    /// Remembers the number of a packet that proved authentic.
    pub fn mark(&mut self, fresh: Fresh) {
        let number = fresh.0;
        if !self.started {
            self.started = true;
            self.highest = number;
        } else if number > self.highest {
            let steps = (number / 64 - self.highest / 64).min(WORDS as u64);
            for step in 1..=steps {
                self.seen[((self.highest / 64 + step) % WORDS as u64) as usize] = 0;
            }
            self.highest = number;
        }
        let (word, bit) = Self::place(number);
        self.seen[word] |= bit;
    }

    /// Says the highest number marked so far.
    pub fn highest(&self) -> Option<u64> {
        self.started.then_some(self.highest)
    }

    fn place(number: u64) -> (usize, u64) {
        ((number / 64 % WORDS as u64) as usize, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(window: &mut ReplayWindow, number: u64) -> bool {
        match window.check(number) {
            Some(fresh) => {
                window.mark(fresh);
                true
            }
            None => false,
        }
    }

    #[test]
    fn accepts_each_number_once_in_any_order() {
        let mut window = ReplayWindow::default();
        for number in [5, 3, 900, 4, 0, 899] {
            assert!(accept(&mut window, number), "{number} is new");
        }
        for number in [5, 3, 900, 4, 0, 899] {
            assert!(!accept(&mut window, number), "{number} was seen");
        }
    }

    #[test]
    fn refuses_what_fell_out_of_the_window() {
        let mut window = ReplayWindow::default();
        assert!(accept(&mut window, 10_000));
        assert!(accept(&mut window, 10_000 - ReplayWindow::SIZE + 1));
        assert!(!accept(&mut window, 10_000 - ReplayWindow::SIZE));
        assert!(accept(&mut window, u64::MAX));
        assert!(!accept(&mut window, 10_001));
    }

    #[test]
    fn a_number_checked_but_not_marked_stays_new() {
        let mut window = ReplayWindow::default();
        let _forged = window.check(1 << 40);
        assert!(accept(&mut window, 1));
    }

    #[test]
    fn agrees_with_a_set_of_all_numbers() {
        let mut window = ReplayWindow::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 33) % 3_000 + seen.len() as u64 / 4;
            let too_old = seen
                .last()
                .is_some_and(|&highest| number <= highest && highest - number >= ReplayWindow::SIZE);
            let fresh = !too_old && !seen.contains(&number);
            assert_eq!(accept(&mut window, number), fresh, "{number}");
            if fresh {
                seen.insert(number);
            }
        }
    }
}
