//! What a member may do in a group.

use std::fmt;

/// The roles of a member; at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Receives only.
    Receiver,
    /// Sends only.
    Sender,
    /// Receives and sends.
    Both,
}

impl Role {
    /// Reads the bits of an MCAST_CHANNEL: 0x01 receiver, 0x02 sender; other bits, or none, are no role.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Self::Receiver),
            2 => Some(Self::Sender),
            3 => Some(Self::Both),
            _ => None,
        }
    }

    /// Writes the bits of an MCAST_CHANNEL.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Receiver => 1,
            Self::Sender => 2,
            Self::Both => 3,
        }
    }

    /// Says whether the role includes sending.
    pub const fn sends(self) -> bool {
        self.bits() & Self::Sender.bits() != 0
    }

    /// Says whether the role includes receiving.
    pub const fn receives(self) -> bool {
        self.bits() & Self::Receiver.bits() != 0
    }

    /// Returns what both have in common, if anything.
    pub const fn intersection(self, other: Self) -> Option<Self> {
        Self::from_bits(self.bits() & other.bits())
    }

    /// Says whether `self` allows everything that `asked` wants.
    pub const fn covers(self, asked: Self) -> bool {
        self.bits() & asked.bits() == asked.bits()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receiver => "receiver",
            Self::Sender => "sender",
            Self::Both => "receiver and sender",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_roles_correspond() {
        for bits in 0..=255u8 {
            assert_eq!(Role::from_bits(bits).map(Role::bits), (1..=3).contains(&bits).then_some(bits));
        }
        assert!(Role::Both.covers(Role::Sender));
        assert!(!Role::Receiver.covers(Role::Both));
        assert_eq!(Role::Both.intersection(Role::Receiver), Some(Role::Receiver));
        assert_eq!(Role::Sender.intersection(Role::Receiver), None);
    }
}
