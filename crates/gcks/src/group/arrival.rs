//! As what a host comes that is given keys by a rekey of its own.

use crate::event::RekeyCause;

/// Why a host's message 3 has the group rekeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is a newcomer: it must not read what was sent before.
    Joins,
    /// It is a member that has come from another place of the tree.
    Moves,
    /// It is a sender that has used its share of sender ids: under a new TEK it begins with fresh ones.
    Replenishes,
    /// It is a member that has registered anew, perhaps because it was started again. What it knew of the TEK in force it may
    /// have forgotten: which numbers it has sent, and which it has received. Under a new TEK it begins with nothing.
    Returns,
}

impl Arrival {
    /// Says whether the host is a member already.
    pub(crate) const fn is_member(self) -> bool {
        match self {
            Self::Joins => false,
            Self::Moves | Self::Replenishes | Self::Returns => true,
        }
    }

    /// Says whether the member departs by the same rekey from what it had: it can follow to the new keys by its PULL only, and
    /// what it held before cannot meet them, its sender ids among it.
    pub(crate) const fn begins_anew(self) -> bool {
        match self {
            Self::Joins | Self::Moves => false,
            Self::Replenishes | Self::Returns => true,
        }
    }

    /// Says why the group is rekeyed.
    pub(crate) const fn cause(self) -> RekeyCause {
        match self {
            Self::Joins => RekeyCause::Join,
            Self::Moves => RekeyCause::Move,
            Self::Replenishes => RekeyCause::SenderIdsSpent,
            Self::Returns => RekeyCause::Return,
        }
    }
}
