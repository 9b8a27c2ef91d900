//! Which numbers of a rekey SA were taken already, where messages come in any order.

/// How many numbers behind the highest are remembered: any batch is shorter, so that none is too old before its last
/// message has come.
const WINDOW_LEN: u32 = 1 << 16;

/// The octets of a window: one bit a number, 8,192 in all.
const BLOCKS: usize = WINDOW_LEN as usize / BITS;

/// The bits of a block.
const BITS: usize = u64::BITS as usize;

/// A window of numbers. It takes its memory with the first number, and no more later.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// Numbers up to this one are refused, whatever the window says.
    floor: u32,
    /// The highest number that a batch covered, taken or not.
    highest: u32,
    /// A ring of bits: that of a number is set when it was taken.
    taken: Vec<u64>,
}

impl Window {
    /// Starts behind a number.
    pub(super) fn after(floor: u32) -> Self {
        Self { floor, highest: floor, taken: Vec::new() }
    }

    /// Says whether a number may still be taken.
    pub(super) fn is_fresh(&self, number: u32) -> bool {
        if number <= self.floor || self.highest.saturating_sub(number) >= WINDOW_LEN {
            return false;
        }
        let (block, bit) = place(number);
        number > self.highest || self.taken.get(block).is_none_or(|taken| taken & bit == 0)
    }

    /// Takes a number out of a batch that ends with `last`.
    pub(super) fn take(&mut self, number: u32, last: u32) {
        self.taken.resize(BLOCKS, 0);
        if last > self.highest {
            if last - self.highest >= WINDOW_LEN {
                self.taken.fill(0);
            } else {
                // What stood here was a number a whole window ago.
                (self.highest + 1..=last).for_each(|number| {
                    let (block, bit) = place(number);
                    self.taken[block] &= !bit;
                });
            }
            self.highest = last;
        }
        let (block, bit) = place(number);
        self.taken[block] |= bit;
    }

    /// Refuses numbers up to this one from now on.
    pub(super) fn raise(&mut self, floor: u32) {
        self.floor = self.floor.max(floor);
        if floor > self.highest {
            // Nothing above it was taken.
            self.taken.clear();
            self.highest = floor;
        }
    }

    /// Shows the highest number that was spoken for.
    pub(super) fn highest(&self) -> u32 {
        self.highest
    }
}

fn place(number: u32) -> (usize, u64) {
    let bit = (number % WINDOW_LEN) as usize;
    (bit / BITS, 1 << (bit % BITS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_number_is_taken_once_in_any_order() {
        let mut window = Window::after(10);
        assert!(!window.is_fresh(10));
        for number in [15, 11, 20, 12] {
            assert!(window.is_fresh(number));
            window.take(number, number.max(20));
            assert!(!window.is_fresh(number), "{number}");
        }
        assert!(window.is_fresh(13) && window.is_fresh(21));
        assert_eq!(window.highest(), 20);
        window.raise(13);
        assert!(!window.is_fresh(13) && window.is_fresh(14) && !window.is_fresh(15));
    }

    #[test]
    fn what_is_a_window_behind_is_refused() {
        let mut window = Window::after(0);
        window.take(1, WINDOW_LEN);
        assert!(!window.is_fresh(1) && window.is_fresh(2));
        window.take(WINDOW_LEN + 1, WINDOW_LEN + 1);
        assert!(!window.is_fresh(1), "its bit is another number's now, and it is too old");
        assert!(window.is_fresh(2));
        window.take(u32::MAX, u32::MAX);
        assert!(!window.is_fresh(2) && !window.is_fresh(u32::MAX) && window.is_fresh(u32::MAX - 1));
        window.raise(u32::MAX);
        assert!(!window.is_fresh(u32::MAX - 1));
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice(numbers in proptest::collection::vec((0u32..200_000, 0u32..1000), 1..200)) {
            let mut window = Window::after(5);
            let mut taken = std::collections::BTreeSet::new();
            for (number, ahead) in numbers {
                if window.is_fresh(number) {
                    prop_assert!(taken.insert(number) && number > 5);
                    window.take(number, number + ahead);
                } else {
                    let too_old = number + WINDOW_LEN <= window.highest();
                    prop_assert!(number <= 5 || too_old || taken.contains(&number), "{number}");
                }
            }
        }
    }
}
