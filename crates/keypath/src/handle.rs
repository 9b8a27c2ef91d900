//! The names of the successive keys of one node.

use std::fmt;

/// The bits of a handle that count advances.
const ADVANCE_BITS: u32 = 4;

/// Tells the successive keys of one node apart: in which epoch the key was drawn (28 bits), and how many times it
/// went through the one-way advance since (4 bits).
///
/// No handle is used twice for a node, and a later key has a greater one. Protocols carry it as an opaque number,
/// such as the Key Handle of RFC 6407 section 5.6.3.1; a member that holds a key of the same epoch with fewer advances
/// computes the later one by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u32);

impl Handle {
    /// The last epoch that a handle can name.
    pub const EPOCH_MAX: u32 = u32::MAX >> ADVANCE_BITS;
    /// The most advances of one key; the next change replaces it.
    pub const ADVANCES_MAX: u8 = (1 << ADVANCE_BITS) - 1;

    /// Names the key that was drawn in `epoch` and not advanced since. Returns nothing for an epoch of 0 or beyond
    /// [`Handle::EPOCH_MAX`].
    pub const fn drawn(epoch: u32) -> Option<Self> {
        Self::new(epoch, 0)
    }

    /// Names the key that was drawn in `epoch` and advanced so many times since. Returns nothing for an epoch of 0 or
    /// beyond [`Handle::EPOCH_MAX`], or more advances than [`Handle::ADVANCES_MAX`].
    pub const fn new(epoch: u32, advances: u8) -> Option<Self> {
        if epoch == 0 || epoch > Self::EPOCH_MAX || advances > Self::ADVANCES_MAX {
            return None;
        }
        Some(Self(epoch << ADVANCE_BITS | advances as u32))
    }

    /// Takes a handle from its number. One that no tree gives out (of epoch 0) is taken too: it names no key.
    pub const fn from_u32(value: u32) -> Self {
        Self(value)
    }

    /// Returns the number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Returns the epoch in which the key was drawn, counted from 1.
    pub const fn epoch(self) -> u32 {
        self.0 >> ADVANCE_BITS
    }

    /// Returns how many times the key was advanced since, at most [`Handle::ADVANCES_MAX`].
    pub const fn advances(self) -> u8 {
        self.0 as u8 & Self::ADVANCES_MAX
    }

    /// Names the key after one more advance; none after the last.
    pub const fn advanced(self) -> Option<Self> {
        if self.advances() == Self::ADVANCES_MAX {
            return None;
        }
        Some(Self(self.0 + 1))
    }

    /// Says how many advances lead from this key to `later` of the same node; none if no number does.
    pub const fn advances_to(self, later: Self) -> Option<u8> {
        if self.epoch() != later.epoch() {
            return None;
        }
        later.advances().checked_sub(self.advances())
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.epoch(), self.advances())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grow_with_each_epoch_and_each_advance() {
        let first = Handle::drawn(1).unwrap();
        assert_eq!((first.as_u32(), first.epoch(), first.advances()), (16, 1, 0));
        let mut last = first;
        while let Some(next) = last.advanced() {
            assert!(next > last && next.epoch() == 1);
            last = next;
        }
        assert_eq!(last.advances(), Handle::ADVANCES_MAX);
        assert!(Handle::drawn(2).unwrap() > last);
        assert_eq!(first.advances_to(last), Some(15));
        assert_eq!(last.advances_to(first), None);
        assert_eq!(first.advances_to(Handle::drawn(2).unwrap()), None);
    }

    #[test]
    fn have_28_bits_for_the_epoch() {
        assert_eq!(Handle::drawn(0), None);
        assert_eq!(Handle::drawn(Handle::EPOCH_MAX + 1), None);
        let last = Handle::drawn(Handle::EPOCH_MAX).unwrap();
        assert_eq!((last.epoch(), last.as_u32()), (0x0fff_ffff, 0xffff_fff0));
        assert_eq!(Handle::from_u32(0x123).to_string(), "18+3");
    }
    #[test]
    fn have_their_bits() {
        let handle = Handle::new(3, 2).unwrap();
        assert_eq!((handle.as_u32(), handle.epoch(), handle.advances()), (0x32, 3, 2));
        assert_eq!((Handle::new(0, 1), Handle::new(1, 16), Handle::new(1 << 28, 0)), (None, None, None));
    }

    #[test]
    fn advances_lead_forward_within_an_epoch() {
        let handle = |epoch, advances| Handle::new(epoch, advances).unwrap();
        assert_eq!(handle(3, 2).advances_to(handle(3, 7)), Some(5));
        assert_eq!(handle(3, 2).advances_to(handle(3, 2)), Some(0));
        assert_eq!(handle(3, 2).advances_to(handle(3, 1)), None);
        assert_eq!(handle(3, 2).advances_to(handle(4, 7)), None);
    }
}
