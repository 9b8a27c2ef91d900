//! What a member may do in a group.

use std::fmt;

use claviger_pki::Roles;

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

    /// Returns what either allows.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        match Self::from_bits(self.bits() | other.bits()) {
            Some(both) => both,
            None => self,
        }
    }

    /// Reads what a certificate gives a member, if anything. That it may be a key server is no role of a member.
    pub const fn of_rights(rights: Roles) -> Option<Self> {
        match (rights.receiver, rights.sender) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Receiver),
            (false, true) => Some(Self::Sender),
            (false, false) => None,
        }
    }

    /// Says what a certificate has to give, so that a member has the role.
    pub const fn rights(self) -> Roles {
        Roles { receiver: self.receives(), sender: self.sends(), key_server: false }
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
        for role in [Role::Receiver, Role::Sender, Role::Both] {
            assert_eq!(Role::of_rights(role.rights()), Some(role));
            assert_eq!(Role::of_rights(Roles { key_server: true, ..role.rights() }), Some(role));
            assert_eq!(role.union(role), role);
        }
        assert_eq!(Role::of_rights(Roles { key_server: true, ..Roles::NONE }), None);
        assert_eq!(Role::Sender.union(Role::Receiver), Role::Both);
        assert!(Role::Both.covers(Role::Sender));
        assert!(!Role::Receiver.covers(Role::Both));
        assert_eq!(Role::Both.intersection(Role::Receiver), Some(Role::Receiver));
        assert_eq!(Role::Sender.intersection(Role::Receiver), None);
    }
}
