//! Where there is room for another subtree.

use std::collections::BTreeSet;

use claviger_keypath::{Degree, NodeId};

use crate::node::node_at;

/// The leaves of a tree, given out in aligned subtrees.
///
/// What is free below the frontier is kept as the largest aligned subtrees that it makes; all above it is free.
pub(super) struct Ground {
    degree: Degree,
    capacity: u32,
    /// The free subtrees of each height, by index.
    free: Vec<BTreeSet<u32>>,
    /// One more than the highest leaf that was given out.
    frontier: u32,
}

impl Ground {
    /// Makes a ground of `capacity` leaves, all free.
    pub(super) fn new(degree: Degree, capacity: u32) -> Self {
        Self { degree, capacity, free: Vec::new(), frontier: 0 }
    }

    /// Returns the number of leaves.
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Gives out a subtree of `height`: out of the smallest free one that holds it, the lowest of these; none if no
    /// aligned one is left.
    pub(super) fn take(&mut self, height: u8) -> Option<NodeId> {
        let smallest = (usize::from(height)..self.free.len()).find(|height| !self.free[*height].is_empty());
        let Some(mut from) = smallest else {
            let start = u64::from(self.frontier).next_multiple_of(self.leaves(height)?);
            let index = u32::try_from(start / self.leaves(height)?).ok()?;
            return NodeId::new(height, index).filter(|subtree| self.claim(*subtree));
        };
        let mut index = self.free[from].pop_first().expect("a free subtree was found");
        let k = u32::from(self.degree.k());
        while from > usize::from(height) {
            from -= 1;
            index *= k;
            self.free[from].extend(index + 1..index + k);
        }
        Some(node_at(height, index))
    }

    /// Gives out a named subtree at or behind the frontier. Says whether it is there, and within the capacity.
    pub(super) fn claim(&mut self, subtree: NodeId) -> bool {
        let Some(leaves) = self.leaves(subtree.level()) else { return false };
        let start = u64::from(subtree.index()) * leaves;
        if start < u64::from(self.frontier) || start + leaves > u64::from(self.capacity) {
            return false;
        }
        // What lies between is free from now on, in the largest subtrees that are aligned.
        let mut free = u64::from(self.frontier);
        self.frontier = (start + leaves) as u32;
        while free < start {
            let fits = |height: &u8| {
                self.leaves(*height)
                    .is_some_and(|leaves| free.is_multiple_of(leaves) && free + leaves <= start)
            };
            let height = (0..=32).take_while(fits).last().unwrap_or(0);
            let leaves = u64::from(self.degree.k()).pow(u32::from(height));
            self.insert(node_at(height, (free / leaves) as u32));
            free += leaves;
        }
        true
    }

    /// Takes a subtree back.
    pub(super) fn give_back(&mut self, subtree: NodeId) {
        let mut free = subtree;
        self.insert(free);
        // A whole family of free subtrees is one larger free subtree.
        while let Some(parent) = self.free_family(free) {
            for sibling in (0..self.degree.k()).filter_map(|place| parent.child(self.degree, place)) {
                self.free[usize::from(sibling.level())].remove(&sibling.index());
            }
            self.insert(parent);
            free = parent;
        }
        while self.withdraw() {}
    }

    /// Names the node above a free subtree if all that is below that node is free.
    fn free_family(&self, subtree: NodeId) -> Option<NodeId> {
        let (parent, free) = (subtree.parent(self.degree)?, &self.free[usize::from(subtree.level())]);
        let is_free = |sibling: NodeId| free.contains(&sibling.index());
        (0..self.degree.k())
            .all(|place| parent.child(self.degree, place).is_some_and(is_free))
            .then_some(parent)
    }

    /// Draws the frontier back behind a free subtree that touches it, if there is one.
    fn withdraw(&mut self) -> bool {
        for height in 0..self.free.len() as u8 {
            let Some(leaves) = self.leaves(height) else { return false };
            let last = self.free[usize::from(height)].last().copied();
            let Some(last) = last.filter(|last| (u64::from(*last) + 1) * leaves == u64::from(self.frontier))
            else {
                continue;
            };
            self.free[usize::from(height)].remove(&last);
            self.frontier = (u64::from(last) * leaves) as u32;
            return true;
        }
        false
    }

    fn insert(&mut self, subtree: NodeId) {
        let height = usize::from(subtree.level());
        if height >= self.free.len() {
            self.free.resize_with(height + 1, BTreeSet::new);
        }
        self.free[height].insert(subtree.index());
    }

    /// Returns the leaves of a subtree; none if they are more than any tree has.
    fn leaves(&self, height: u8) -> Option<u64> {
        let leaves = u64::from(self.degree.k()).checked_pow(u32::from(height))?;
        (leaves <= 1 << 32).then_some(leaves)
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SeededRandom, random};

    use super::*;

    fn ground(k: u8, capacity: u32) -> Ground {
        Ground::new(Degree::new(k).unwrap(), capacity)
    }

    #[test]
    fn the_lowest_room_that_fits_is_taken() {
        let mut ground = ground(2, 64);
        let taken = [0, 2, 1, 0, 3].map(|height| ground.take(height).unwrap());
        // Leaf 0; leaves 4 to 7; 2 and 3 from the gap; 1; 8 to 15.
        assert_eq!(taken, [(0, 0), (2, 1), (1, 1), (0, 1), (3, 1)].map(|(h, i)| node_at(h, i)));
        ground.give_back(node_at(2, 1));
        assert_eq!(ground.take(1), Some(node_at(1, 2)));
        assert_eq!(ground.take(0), Some(node_at(0, 6)));
    }

    #[test]
    fn nothing_is_given_out_beyond_the_capacity() {
        let mut ground = ground(3, 20);
        assert_eq!(ground.take(3), None);
        assert_eq!(ground.take(2), Some(node_at(2, 0)));
        assert_eq!(ground.take(2), Some(node_at(2, 1)));
        assert_eq!(ground.take(2), None);
        assert_eq!(ground.take(1), None);
        assert_eq!([(); 3].map(|()| ground.take(0)), [Some(node_at(0, 18)), Some(node_at(0, 19)), None]);
        assert!(ground.take(200).is_none());
    }

    #[test]
    fn what_is_out_never_overlaps_and_what_comes_back_is_whole_again() {
        for k in [2, 3, 4, 7] {
            let mut ground = ground(k, 3000);
            let dice = &mut SeededRandom::new(u64::from(k));
            let mut below = |bound: u32| u32::from_be_bytes(random::array(dice)) % bound;
            let mut out: Vec<NodeId> = Vec::new();
            for step in 0..4000_u32 {
                if out.is_empty() || below(10) < if step / 500 % 2 == 0 { 7 } else { 3 } {
                    out.extend(ground.take(below(4) as u8));
                } else {
                    ground.give_back(out.swap_remove(below(out.len() as u32) as usize));
                }
                if step % 100 == 0 {
                    let mut leaves = vec![false; 3000];
                    for subtree in &out {
                        let count = u32::from(k).pow(subtree.level().into());
                        for leaf in subtree.index() * count..(subtree.index() + 1) * count {
                            assert!(
                                !std::mem::replace(&mut leaves[leaf as usize], true),
                                "{leaf} is out twice"
                            );
                        }
                    }
                }
            }
            out.into_iter().for_each(|subtree| ground.give_back(subtree));
            assert_eq!(ground.frontier, 0);
            assert!(ground.free.iter().all(BTreeSet::is_empty), "k = {k}");
        }
    }
}
