//! How a level is cut into segments of whole families.

use claviger_keypath::Degree;

/// Where each node of a level is: its segment, and its place there. Divisions are by shifts where the degree is a power
/// of two, which takes a fraction of the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    k: u32,
    /// The families of a segment: as many as 64 nodes hold.
    families: u32,
    /// The bits of k and of `families`, where both are powers of two.
    logs: Option<(u32, u32)>,
}

impl Cut {
    /// Cuts the levels of trees of `degree`.
    pub(super) fn new(degree: Degree) -> Self {
        let k = u32::from(degree.k());
        let families = 64 / k;
        Self { k, families, logs: k.is_power_of_two().then(|| (k.ilog2(), families.ilog2())) }
    }

    /// Returns the nodes of a segment of a tree of degree `K`.
    pub(super) const fn nodes_of<const K: usize>() -> u32 {
        (64 / K * K) as u32
    }

    /// Finds the children of a node of a tree of degree `K`: segment, and the first one's place in it.
    #[inline]
    pub(super) const fn family_of<const K: usize>(parent: u32) -> (u32, u32) {
        let families = (64 / K) as u32;
        (parent / families, parent % families * K as u32)
    }

    /// Picks `K` children out of a word that begins with the first one.
    #[inline]
    pub(super) const fn bits_of<const K: usize>(word: u64) -> u8 {
        word as u8 & (u8::MAX >> (8 - K))
    }

    /// Returns the nodes of a segment.
    pub(super) fn nodes(self) -> u32 {
        self.k * self.families
    }

    /// Finds a node: segment, and place in it.
    #[inline]
    pub(super) fn node(self, index: u32) -> (u32, u32) {
        match self.logs {
            Some((k, families)) => (index >> (k + families), index & ((1 << (k + families)) - 1)),
            None => (index / self.nodes(), index % self.nodes()),
        }
    }

    /// Finds the children of a node: segment, and the first one's place in it.
    #[inline]
    pub(super) fn family(self, parent: u32) -> (u32, u32) {
        match self.logs {
            Some((k, families)) => (parent >> families, (parent & ((1 << families) - 1)) << k),
            None => (parent / self.families, parent % self.families * self.k),
        }
    }

    /// Picks the children out of a word that begins with the first one.
    #[inline]
    pub(super) fn family_bits(self, word: u64) -> u8 {
        word as u8 & (u8::MAX >> (8 - self.k))
    }

    /// Says whether a segment has no vacant place.
    #[inline]
    pub(super) fn is_full(self, occupied: u64) -> bool {
        occupied == u64::MAX >> (64 - self.nodes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_whole() {
        for k in 2..=8 {
            let cut = Cut::new(Degree::new(k).unwrap());
            assert!((57..=64).contains(&cut.nodes()));
            for parent in (0..300).chain([u32::MAX / u32::from(k)]) {
                let (segment, first) = cut.family(parent);
                for place in 0..u32::from(k) {
                    let Some(child) = (parent * u32::from(k)).checked_add(place) else { break };
                    assert_eq!(cut.node(child), (segment, first + place));
                }
            }
            for parent in [0, 15, 16, 1000, u32::MAX] {
                let expected = match k {
                    2 => (Cut::family_of::<2>(parent), Cut::nodes_of::<2>()),
                    3 => (Cut::family_of::<3>(parent), Cut::nodes_of::<3>()),
                    4 => (Cut::family_of::<4>(parent), Cut::nodes_of::<4>()),
                    5 => (Cut::family_of::<5>(parent), Cut::nodes_of::<5>()),
                    6 => (Cut::family_of::<6>(parent), Cut::nodes_of::<6>()),
                    7 => (Cut::family_of::<7>(parent), Cut::nodes_of::<7>()),
                    _ => (Cut::family_of::<8>(parent), Cut::nodes_of::<8>()),
                };
                assert_eq!((cut.family(parent), cut.nodes()), expected);
            }
            assert_eq!(cut.family_bits(u64::MAX).count_ones(), u32::from(k));
            assert!(
                cut.is_full((1_u128 << cut.nodes()).wrapping_sub(1) as u64) && !cut.is_full(u64::MAX >> 9)
            );
        }
    }
}
