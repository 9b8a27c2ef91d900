//! How many children a node has.

use std::{error, fmt};

/// The degree k of a tree: the most children that a node has, 2 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degree(u8);

impl Degree {
    /// The smallest degree.
    pub const MIN: Self = Self(2);
    /// The largest degree. Above it a departure costs more than in a narrower tree, at every size of group.
    pub const MAX: Self = Self(8);

    /// Accepts 2 to 8.
    ///
    /// # Errors
    ///
    /// [`DegreeError`] for every other number.
    pub const fn new(k: u8) -> Result<Self, DegreeError> {
        if k < Self::MIN.0 || k > Self::MAX.0 {
            return Err(DegreeError(k));
        }
        Ok(Self(k))
    }

    /// Returns k.
    pub const fn k(self) -> u8 {
        self.0
    }

    /// Returns the least depth d of a tree with room for `leaves` leaves. It is at least 1, so that the group's
    /// key is never a member's own.
    pub fn depth_for(self, leaves: u32) -> u8 {
        let (mut depth, mut room) = (1, u64::from(self.0));
        while room < u64::from(leaves) {
            room *= u64::from(self.0);
            depth += 1;
        }
        depth
    }
}

impl Default for Degree {
    /// Returns 4: a departure costs about as many keys as at degree 2, and a member stores half as many.
    fn default() -> Self {
        Self(4)
    }
}

/// A number that is no degree: not 2 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DegreeError(pub u8);

impl fmt::Display for DegreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key tree degree {} is not 2 to 8", self.0)
    }
}

impl error::Error for DegreeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_two_to_eight_only() {
        for k in 0..=u8::MAX {
            assert_eq!(Degree::new(k).is_ok(), (2..=8).contains(&k), "{k}");
        }
    }

    #[test]
    fn depth_grows_just_when_the_leaves_are_too_many() {
        let two = Degree::new(2).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 8, 9].map(|n| two.depth_for(n)), [1, 1, 1, 2, 2, 3, 3, 4]);
        assert_eq!(two.depth_for(u32::MAX), 32);
        let three = Degree::new(3).unwrap();
        assert_eq!([3, 4, 9, 10, 177_147, 177_148].map(|n| three.depth_for(n)), [1, 2, 2, 3, 11, 12]);
    }
}
