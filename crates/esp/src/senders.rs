//! The senders that one association has heard.

use std::collections::BTreeMap;

use claviger_sansio::replay::Fresh;

use crate::{
    Error, SenderKey,
    window::{Marked, SenderWindow},
};

/// How many senders one association tracks: 4096 windows of 200 octets are 800 kB, and no group of this product has as
/// many senders under one TEK.
pub const SENDERS_MAX: usize = 4096;

/// What stands behind the names of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// A packet under another name than its sender's is not genuine. Of whom something was delivered is not forgotten, or
    /// it could be delivered again; when there is no room, new senders are refused.
    Authentic,
    /// Anybody can repeat a packet under another name, so that a window protects its sender from nothing worse than
    /// that. Made-up senders take nobody's place who was heard again: who was heard least makes room.
    Spoofable,
}

/// The windows of an association's senders.
pub(crate) struct Senders {
    names: Names,
    heard: BTreeMap<SenderKey, Heard>,
    /// Who may make room, the first to go first.
    forgettable: BTreeMap<Rank, SenderKey>,
    /// How many packets were marked.
    packets: u64,
}

/// What was heard of a sender.
#[derive(Default)]
struct Heard {
    window: SenderWindow,
    rank: Rank,
}

/// Who goes first: who was heard least, and of those who was silent longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Rank {
    standing: Standing,
    last: u64,
}

/// How much was heard of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Standing {
    /// Nothing was delivered: its packets leap.
    #[default]
    Unbelieved,
    /// One packet was delivered.
    Once,
    /// More were.
    Again,
}

impl Senders {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, heard: BTreeMap::new(), forgettable: BTreeMap::new(), packets: 0 }
    }

    /// Says whether a sender's number is new. It is asked before a packet is authenticated, and remembers nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Replayed`], or [`Error::TooManySenders`] if there is no room for this one.
    pub(crate) fn check(&self, sender: &SenderKey, number: u32) -> Result<Fresh, Error> {
        let fresh = match self.heard.get(sender) {
            Some(heard) => heard.window.check(number),
            None if self.is_full() && self.forgettable.is_empty() => return Err(Error::TooManySenders),
            None => SenderWindow::default().check(number),
        };
        // A sender's first packet has number 1 (RFC 4303 section 3.3.3).
        fresh.filter(|_| number != 0).ok_or(Error::Replayed)
    }

    /// Takes the number of a packet that proved to be genuine.
    ///
    /// # Errors
    ///
    /// [`Error::Leap`]: the packet is not delivered.
    pub(crate) fn mark(&mut self, sender: SenderKey, fresh: Fresh) -> Result<(), Error> {
        if self.is_full() && !self.heard.contains_key(&sender) {
            let (_, first) = self.forgettable.pop_first().ok_or(Error::TooManySenders)?;
            self.heard.remove(&first);
        }
        self.packets += 1;
        let heard = self.heard.entry(sender).or_default();
        self.forgettable.remove(&heard.rank);
        let marked = heard.window.mark(fresh);
        heard.rank = Rank { standing: heard.rank.standing.after(marked), last: self.packets };
        if self.names == Names::Spoofable || heard.rank.standing == Standing::Unbelieved {
            self.forgettable.insert(heard.rank, sender);
        }
        match marked {
            Marked::Believed => Ok(()),
            Marked::Leaps => Err(Error::Leap),
        }
    }

    /// Says how many are tracked.
    pub(crate) fn len(&self) -> usize {
        self.heard.len()
    }

    fn is_full(&self) -> bool {
        self.heard.len() >= SENDERS_MAX
    }
}

impl Standing {
    fn after(self, marked: Marked) -> Self {
        match (self, marked) {
            (standing, Marked::Leaps) => standing,
            (Self::Unbelieved, Marked::Believed) => Self::Once,
            (Self::Once | Self::Again, Marked::Believed) => Self::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn sender(number: usize) -> SenderKey {
        SenderKey::Address(IpAddr::V4(Ipv4Addr::from_bits(number as u32)))
    }

    fn hear(senders: &mut Senders, from: usize, number: u32) -> Result<(), Error> {
        let fresh = senders.check(&sender(from), number)?;
        senders.mark(sender(from), fresh)
    }

    /// A full table: of the first sender two packets were delivered, of each other one.
    fn full(names: Names) -> Senders {
        let mut senders = Senders::new(names);
        for number in [1, 2] {
            assert_eq!(hear(&mut senders, 0, number), Ok(()));
        }
        for from in 1..SENDERS_MAX {
            assert_eq!(hear(&mut senders, from, 1), Ok(()));
        }
        assert_eq!(senders.len(), SENDERS_MAX);
        senders
    }

    #[test]
    fn nothing_that_was_delivered_under_an_authentic_name_is_forgotten() {
        let mut senders = full(Names::Authentic);
        assert_eq!(hear(&mut senders, SENDERS_MAX, 1), Err(Error::TooManySenders));
        for from in 0..SENDERS_MAX {
            assert_eq!(hear(&mut senders, from, 1), Err(Error::Replayed));
        }
    }

    #[test]
    fn senders_of_whom_nothing_was_delivered_make_room_under_authentic_names_too() {
        let mut senders = Senders::new(Names::Authentic);
        for from in 0..SENDERS_MAX {
            assert_eq!(hear(&mut senders, from, u32::MAX), Err(Error::Leap));
        }
        for from in SENDERS_MAX..2 * SENDERS_MAX {
            assert_eq!(hear(&mut senders, from, 1), Ok(()));
        }
        assert_eq!(hear(&mut senders, 0, 1), Err(Error::TooManySenders));
    }

    #[test]
    fn of_spoofable_senders_those_heard_once_make_room_before_those_heard_again() {
        let mut senders = full(Names::Spoofable);
        for from in SENDERS_MAX..3 * SENDERS_MAX {
            assert_eq!(hear(&mut senders, from, 1), Ok(()));
            assert_eq!(senders.len(), SENDERS_MAX);
        }
        assert_eq!(hear(&mut senders, 0, 2), Err(Error::Replayed), "it was never forgotten");
        assert_eq!(hear(&mut senders, 0, 3), Ok(()));
    }

    #[test]
    fn of_spoofable_senders_heard_again_the_one_silent_longest_makes_room() {
        let mut senders = Senders::new(Names::Spoofable);
        for from in 0..SENDERS_MAX {
            for number in [1, 2] {
                assert_eq!(hear(&mut senders, from, number), Ok(()));
            }
        }
        assert_eq!(hear(&mut senders, 0, 3), Ok(()));
        assert_eq!(hear(&mut senders, SENDERS_MAX, 1), Ok(()));
        assert_eq!(hear(&mut senders, 0, 3), Err(Error::Replayed), "it spoke last");
        assert_eq!(hear(&mut senders, 2, 2), Err(Error::Replayed));
        assert_eq!(hear(&mut senders, 1, 1), Ok(()), "it was forgotten");
    }
}
