//! A node that a change of the tree touches, and what becomes of it.

use crate::bits::count;

/// A node at or above a changed leaf. In the masks, a set bit i stands for child i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) index: u32,
    /// The number of its key in the rekey: those drawn count first, then those advanced.
    pub(crate) key: u32,
    /// The children with remaining members below them: those who must receive the new key. Joiners need not,
    /// because they get their whole path by other means.
    pub(crate) heirs: u8,
    /// The children that are marked themselves.
    pub(crate) marked: u8,
    /// Those of them that are there afterwards, with another key.
    pub(crate) renewed: u8,
    pub(crate) fate: Fate,
    /// A member departed below.
    pub(crate) left: bool,
}

/// What becomes of a marked node. Those that are not there afterwards come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Fate {
    /// It was not there and will not be: it lies between a root that vanishes and one far above it.
    Absent,
    /// It vanishes.
    Removed,
    /// Its key goes through the one-way advance.
    Advanced,
    /// It was not there; its heirs receive its first key under their own keys.
    Created,
    /// It gets a new key, which its heirs receive under their own keys.
    Replaced,
    /// It gets a new key, which its heirs receive under its previous one.
    UnderPrevious,
}

impl Mark {
    pub(crate) const BLANK: Self =
        Self { index: 0, key: 0, heirs: 0, marked: 0, renewed: 0, fate: Fate::Absent, left: false };

    /// Returns the number of marked children.
    #[inline]
    pub(crate) fn children(&self) -> usize {
        count(self.marked)
    }

    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        self.fate > Fate::Removed
    }
}
