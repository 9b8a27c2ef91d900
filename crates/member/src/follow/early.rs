//! Rekey messages under a KEK that has not come.

use std::collections::VecDeque;

use super::origin::Origin;

/// The most messages that wait for a KEK that has not come, of each origin: the TEK's, those of a short rekey that follows, and
/// some that forgers put among them. They are not verified yet.
const EARLY_MAX: usize = 16;

/// The longest of them in octets: more than any path carries in one piece but for jumbo frames.
const EARLY_LEN_MAX: usize = 4096;

/// Messages that are kept until their KEK comes, the latest last.
#[derive(Default)]
pub(crate) struct Early {
    key_server: VecDeque<Vec<u8>>,
    elsewhere: VecDeque<Vec<u8>>,
}

impl Early {
    /// Keeps a message. Says whether it did: where no more fit, a later one takes the place of an earlier one, or is dropped
    /// if these are `wanted`, for their KEK is being collected.
    pub(crate) fn keep(&mut self, datagram: &[u8], origin: Origin, wanted: bool) -> bool {
        let queue = match origin {
            Origin::KeyServer => &mut self.key_server,
            // What waited once and was not for the KEK that came waits for the next.
            Origin::Elsewhere | Origin::Kept => &mut self.elsewhere,
        };
        if queue.iter().any(|early| early == datagram) {
            return true;
        }
        if datagram.len() > EARLY_LEN_MAX || (queue.len() == EARLY_MAX && wanted) {
            return false;
        }
        if queue.len() == EARLY_MAX {
            queue.pop_front();
        }
        queue.push_back(datagram.to_vec());
        true
    }

    /// Gives them all, those of the key server's address first.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        std::mem::take(&mut self.key_server).into_iter().chain(std::mem::take(&mut self.elsewhere))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_messages_from_elsewhere_push_nothing_out_that_came_from_the_key_server() {
        for wanted in [false, true] {
            let mut early = Early::default();
            let forge = |early: &mut Early, first: u8| {
                (first..first + 100).for_each(|number| _ = early.keep(&[number], Origin::Elsewhere, wanted));
            };
            forge(&mut early, 1);
            assert!(early.keep(b"TEK", Origin::KeyServer, wanted));
            forge(&mut early, 101);
            let kept: Vec<Vec<u8>> = early.take().collect();
            assert_eq!((&kept[0][..], kept.len()), (&b"TEK"[..], 1 + EARLY_MAX));
        }
    }

    #[test]
    fn later_messages_take_the_place_of_earlier_ones_unless_these_are_wanted() {
        for (wanted, first) in [(false, 1), (true, 0)] {
            let mut early = Early::default();
            let kept = |number: u8, early: &mut Early| early.keep(&[number], Origin::KeyServer, wanted);
            assert!((0..EARLY_MAX as u8).all(|number| kept(number, &mut early)));
            assert_eq!(kept(EARLY_MAX as u8, &mut early), !wanted);
            assert!(kept(5, &mut early), "a copy is there already");
            assert_eq!(early.take().next(), Some(vec![first]));
        }
        assert!(!Early::default().keep(&[0; EARLY_LEN_MAX + 1], Origin::KeyServer, false));
    }
}
