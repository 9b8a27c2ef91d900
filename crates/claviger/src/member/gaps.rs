//! Tells, by the sequence numbers of ESP, which datagrams of each sender have not come.

use std::collections::BTreeMap;

use claviger_esp::SenderKey;

/// Where a payload came from: the association, the sender, the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) spi: u32,
    pub(super) sender: SenderKey,
    pub(super) sequence: u32,
}

impl Origin {
    /// Reads it from the header of a packet that was opened (RFC 4303 section 2).
    pub(super) fn of(esp: &[u8], sender: SenderKey) -> Option<Self> {
        let (spi, rest) = esp.split_first_chunk()?;
        let sequence = rest.first_chunk()?;
        Some(Self { spi: u32::from_be_bytes(*spi), sender, sequence: u32::from_be_bytes(*sequence) })
    }
}

/// What a datagram tells of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is one that was missing until now.
    Late,
    /// Nothing.
    Next,
    /// So many numbers before it have not come yet.
    Skipped(u64),
}

/// The senders that are followed, each under each SPI: some hours of a busy group. Then the one that has been silent
/// longest is forgotten.
const FOLLOWED_MAX: usize = 1024;

/// The numbers of each sender that have come. Their replay windows see to it that none comes twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Gaps {
    followed: BTreeMap<(u32, SenderKey), Followed>,
    noted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    /// Nobody knows since when a sender has been sending: what is below its first datagram is not missing.
    first: u32,
    highest: u32,
    /// When it was last heard, counted in datagrams.
    heard: u64,
}

impl Gaps {
    /// Takes note of a datagram that has come.
    pub(super) fn note(&mut self, origin: &Origin) -> Noted {
        let sequence = origin.sequence;
        self.noted += 1;
        let heard = self.noted;
        let Some(followed) = self.followed.get_mut(&(origin.spi, origin.sender)) else {
            self.follow(origin, heard);
            return Noted::Next;
        };
        followed.heard = heard;
        if sequence > followed.highest {
            let skipped = sequence - followed.highest - 1;
            followed.highest = sequence;
            return if skipped == 0 { Noted::Next } else { Noted::Skipped(skipped.into()) };
        }
        if sequence > followed.first { Noted::Late } else { Noted::Next }
    }

    /// Says whether a datagram is older than the newest that its sender had sent by then.
    pub(super) fn is_behind(&self, origin: &Origin) -> bool {
        let followed = self.followed.get(&(origin.spi, origin.sender));
        followed.is_some_and(|followed| origin.sequence < followed.highest)
    }

    fn follow(&mut self, origin: &Origin, heard: u64) {
        if self.followed.len() >= FOLLOWED_MAX {
            let silent = self.followed.iter().min_by_key(|(_, followed)| followed.heard);
            if let Some(key) = silent.map(|(key, _)| *key) {
                self.followed.remove(&key);
            }
        }
        let followed = Followed { first: origin.sequence, highest: origin.sequence, heard };
        self.followed.insert((origin.spi, origin.sender), followed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(n: u32) -> SenderKey {
        SenderKey::Id(claviger_esp::SenderId::new(16, n).unwrap())
    }

    fn noting() -> impl FnMut(u32, u32, u32) -> Noted {
        let mut gaps = Gaps::default();
        move |spi, who, sequence| gaps.note(&Origin { spi, sender: sender(who), sequence })
    }

    #[test]
    fn counts_skipped_numbers_of_each_sender() {
        let mut note = noting();
        assert_eq!(note(1, 1, 10), Noted::Next, "nothing is missing before the first datagram");
        assert_eq!(note(1, 1, 11), Noted::Next);
        assert_eq!(note(1, 1, 15), Noted::Skipped(3));
        assert_eq!(note(1, 1, 16), Noted::Next);
        assert_eq!(note(1, 2, 500), Noted::Next, "another sender counts for itself");
        assert_eq!(note(2, 1, 1), Noted::Next, "and another association");
    }

    #[test]
    fn a_datagram_that_was_skipped_and_comes_is_late() {
        let mut note = noting();
        assert_eq!(note(1, 1, 10), Noted::Next);
        assert_eq!(note(1, 1, 13), Noted::Skipped(2));
        assert_eq!(note(1, 1, 12), Noted::Late);
        assert_eq!(note(1, 1, 11), Noted::Late);
        assert_eq!(note(1, 1, 9), Noted::Next, "it is older than all that was awaited");
        assert_eq!(note(1, 1, 14), Noted::Next);
    }

    #[test]
    fn senders_beyond_the_limit_take_the_place_of_the_one_silent_longest() {
        let mut note = noting();
        for who in 1..=FOLLOWED_MAX as u32 {
            note(1, who, 1);
        }
        note(1, 1, 2);
        note(2, 1, 1);
        assert_eq!(note(2, 1, 4), Noted::Skipped(2), "the newcomer is followed");
        assert_eq!(note(1, 1, 4), Noted::Skipped(1), "and so is the one heard lately");
        assert_eq!(note(1, 2, 9), Noted::Next, "the one silent longest begins anew");
    }
}
