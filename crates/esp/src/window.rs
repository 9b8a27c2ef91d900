//! The sequence numbers of one sender, and how far ahead one packet may take them.

use claviger_sansio::{ReplayWindow, replay::Fresh};

/// How far ahead of what was heard a number is believed at once: as far as the window reaches back.
pub const REACH: u64 = ReplayWindow::SIZE;

/// How many packets have to come from where a leap leads before it is believed: more than one, so that no single packet
/// moves a window, and few, because they are lost to a receiver that was cut off.
pub const LEAP_PROOF: u8 = 3;

/// A replay window that does not follow a single packet out of its sender's reach.
///
/// A number beyond [`REACH`] is a leap: the receiver was cut off, or somebody who has the key speaks as this sender.
/// The window stays where it is until [`LEAP_PROOF`] packets came from there without one from where the sender was: each
/// behind the one before it, and not by a leap. Those before the last are not delivered, so that none can be delivered
/// twice. A sender that was never heard stands at zero.
#[derive(Debug, Clone, Default)]
pub(crate) struct SenderWindow {
    window: ReplayWindow,
    leap: Option<Leap>,
}

/// Where a sender may have gone.
#[derive(Debug, Clone, Copy)]
struct Leap {
    highest: u64,
    packets: u8,
}

/// Whether a packet is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a leap is not delivered"]
pub(crate) enum Marked {
    /// Its number is spent.
    Believed,
    /// It leaps, and too few others did.
    Leaps,
}

impl SenderWindow {
    /// Says whether `number` is new: neither seen before nor too old to know.
    pub(crate) fn check(&self, number: u32) -> Option<Fresh> {
        self.window.check(number.into())
    }

    /// Takes the number of a packet that proved to be genuine.
    pub(crate) fn mark(&mut self, fresh: Fresh) -> Marked {
        let (number, highest) = (fresh.number(), self.window.highest().unwrap_or(0));
        if number > highest {
            if number - highest > REACH && !self.is_proven(number) {
                return Marked::Leaps;
            }
            self.leap = None;
        }
        self.window.mark(fresh);
        Marked::Believed
    }

    /// Takes a packet that leaps, and says whether it is the last that was wanting.
    fn is_proven(&mut self, number: u64) -> bool {
        let leap = self.leap.get_or_insert(Leap { highest: number, packets: 0 });
        // Packets may overtake each other: one from a little before says neither more nor less.
        if number.abs_diff(leap.highest) > REACH {
            *leap = Leap { highest: number, packets: 1 };
        } else if number > leap.highest || leap.packets == 0 {
            *leap = Leap { highest: number, packets: leap.packets + 1 };
        }
        leap.packets == LEAP_PROOF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells of each number whether it is delivered.
    fn delivered(window: &mut SenderWindow, numbers: &[u32]) -> Vec<bool> {
        let take =
            |number: &u32| window.check(*number).is_some_and(|fresh| window.mark(fresh) == Marked::Believed);
        numbers.iter().map(take).collect()
    }

    #[test]
    fn a_window_follows_a_sender_as_far_as_it_reaches_back() {
        let mut window = SenderWindow::default();
        assert_eq!(delivered(&mut window, &[960, 1920, 1921, 962]), [true; 4]);
        assert_eq!(delivered(&mut window, &[1920, 1921 + 961]), [false; 2]);
    }

    #[test]
    fn a_leap_is_believed_with_its_third_packet_though_some_are_lost_or_overtake_others() {
        for leap in [[10_000, 10_001, 10_002], [10_000, 10_007, 10_960]] {
            let mut window = SenderWindow::default();
            assert_eq!(delivered(&mut window, &[1]), [true]);
            assert_eq!(delivered(&mut window, &leap), [false, false, true]);
            assert_eq!(delivered(&mut window, &[2, leap[2] + 1]), [false, true], "the window has moved");
        }
        let mut window = SenderWindow::default();
        assert_eq!(
            delivered(&mut window, &[10_001, 10_000, 10_003, 10_002, 10_004]),
            [false, false, false, false, true]
        );
    }

    #[test]
    fn nothing_of_a_leap_is_delivered_twice() {
        let mut window = SenderWindow::default();
        assert_eq!(delivered(&mut window, &[5000, 5000, 5000, 5001]), [false; 4], "one packet is no proof");
        assert_eq!(
            delivered(&mut window, &[5002, 5000, 5001]),
            [true; 3],
            "what was not delivered yet is late"
        );
        assert_eq!(delivered(&mut window, &[5000, 5001, 5002]), [false; 3]);
    }

    #[test]
    fn a_leap_is_forgotten_when_the_sender_goes_on_where_it_was() {
        let mut window = SenderWindow::default();
        assert_eq!(delivered(&mut window, &[1, u32::MAX - 2, u32::MAX - 1]), [true, false, false]);
        assert_eq!(delivered(&mut window, &[2, u32::MAX, 3]), [true, false, true]);
    }

    #[test]
    fn another_leap_takes_the_place_of_the_one_before() {
        let mut window = SenderWindow::default();
        assert_eq!(delivered(&mut window, &[5000, 5001, 9000, 9001, 5002, 9002]), [false; 6]);
        assert_eq!(delivered(&mut window, &[9003, 9004]), [false, true]);
    }
}
