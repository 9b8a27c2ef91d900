//! Joins, moves and departures at places.

use std::collections::{BTreeMap, BTreeSet};

use claviger_crypto::Random;

use super::{Place, PlaceError, Places};
use crate::{KeyTree, Leaf, Rekey, TreeError};

/// What a batch at places did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The change of the tree. Its [`Rekey::joined`] are the joiners' leaves, then those of the members that moved,
    /// each in the order asked for.
    pub rekey: Rekey,
    /// The places whose [`Places::binding`] changed: to be stored.
    pub rebound: BTreeSet<Place>,
}

/// A choice of leaves that is not carried out yet.
#[derive(Default)]
struct Choice {
    /// The leaf of each newcomer.
    leaves: Vec<Option<Leaf>>,
    /// The first leaves of the subtrees that were bound for them.
    settled: Vec<u32>,
}

impl Places {
    /// Lets members join at places, move to others, and depart, in one rekey.
    ///
    /// A move is a departure and a join: the keys of the old path and of the new one change, and the member gets its
    /// new path by other means, as a joiner does. Each newcomer takes the lowest leaf of its place that is vacant or
    /// just left.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Unknown`], [`PlaceError::Full`], or [`PlaceError::Tree`] with what [`KeyTree::batch_at`] refuses;
    /// nothing has changed.
    pub fn batch(
        &mut self,
        tree: &mut KeyTree,
        joins: &[Place],
        moves: &[(Leaf, Place)],
        leaves: &[Leaf],
        random: &mut dyn Random,
    ) -> Result<Placed, PlaceError> {
        let departed: Vec<Leaf> = moves.iter().map(|(leaf, _)| *leaf).chain(leaves.iter().copied()).collect();
        let newcomers: Vec<Place> =
            joins.iter().copied().chain(moves.iter().map(|(_, place)| *place)).collect();
        let gone = self.departures(tree, &departed)?;
        let mut choice = Choice { leaves: vec![None; newcomers.len()], settled: Vec::new() };
        let outcome = self.choose(tree, &newcomers, &gone, &mut choice).and_then(|()| {
            let joined: Vec<Leaf> = choice.leaves.iter().copied().flatten().collect();
            Ok(tree.batch_at(&joined, &departed, random)?)
        });
        match outcome {
            Ok(rekey) => Ok(self.commit(rekey, &gone, &choice)),
            Err(error) => {
                // What was bound last goes first, so that the ground is as it was.
                for first in choice.settled.iter().rev() {
                    self.clear(*first);
                }
                Err(error)
            }
        }
    }

    /// Gathers the leaves that are left, ascending, by subtree.
    fn departures(
        &self,
        tree: &KeyTree,
        departed: &[Leaf],
    ) -> Result<BTreeMap<u32, BTreeSet<u32>>, PlaceError> {
        let mut gone: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for leaf in departed {
            if !tree.contains(*leaf) {
                return Err(TreeError::UnknownLeaf(*leaf).into());
            }
            let (first, _) = self.subtree_at(leaf.index()).ok_or(PlaceError::Unbound(*leaf))?;
            if !gone.entry(first).or_default().insert(leaf.index()) {
                return Err(TreeError::DuplicateLeaf(*leaf).into());
            }
        }
        Ok(gone)
    }

    /// Chooses a leaf for each newcomer, and binds further subtrees where they are needed.
    fn choose(
        &mut self,
        tree: &KeyTree,
        newcomers: &[Place],
        gone: &BTreeMap<u32, BTreeSet<u32>>,
        choice: &mut Choice,
    ) -> Result<(), PlaceError> {
        let mut by_place: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (number, place) in newcomers.iter().enumerate() {
            by_place.entry(*place).or_default().push(number);
        }
        for (place, numbers) in by_place {
            let plot = self.plots.get(&place).ok_or(PlaceError::Unknown(place))?;
            let height = plot.height;
            let mut numbers = numbers.into_iter().peekable();
            let left = gone.keys().filter(|first| plot.subtrees.contains(first));
            let open: BTreeSet<u32> = plot.open.iter().chain(left).copied().collect();
            for first in open {
                if numbers.peek().is_none() {
                    break;
                }
                self.seat(tree, first, gone.get(&first), &mut numbers, choice);
            }
            while numbers.peek().is_some() {
                let node = self.ground.take(height).ok_or(PlaceError::Full(place))?;
                let first = self.settle(node, place);
                choice.settled.push(first);
                self.seat(tree, first, None, &mut numbers, choice);
            }
        }
        Ok(())
    }

    /// Gives newcomers the lowest leaves of a subtree that are vacant or just left, while there are some of both.
    fn seat(
        &self,
        tree: &KeyTree,
        first: u32,
        gone: Option<&BTreeSet<u32>>,
        numbers: &mut impl Iterator<Item = usize>,
        choice: &mut Choice,
    ) {
        let end = self.range(self.subtrees[&first].node).end;
        let vacant = tree.vacancies_from(Leaf::new(first)).map(Leaf::index);
        let mut vacant = vacant.take_while(|leaf| u64::from(*leaf) < end).peekable();
        let mut left = gone.into_iter().flatten().copied().peekable();
        while let Some(lowest) = match (vacant.peek(), left.peek()) {
            (Some(hole), Some(gone)) if hole < gone => vacant.next(),
            (_, Some(_)) => left.next(),
            (_, None) => vacant.next(),
        } {
            let Some(number) = numbers.next() else { return };
            choice.leaves[number] = Some(Leaf::new(lowest));
        }
    }

    /// Counts members anew, and gives back the subtrees that the last one left.
    fn commit(&mut self, rekey: Rekey, gone: &BTreeMap<u32, BTreeSet<u32>>, choice: &Choice) -> Placed {
        let mut rebound: BTreeSet<Place> =
            choice.settled.iter().map(|first| self.subtrees[first].place).collect();
        for (first, leaves) in gone {
            self.count(*first, -(leaves.len() as i64));
        }
        for leaf in &rekey.joined {
            let (first, _) = self.subtree_at(leaf.index()).expect("a chosen leaf is in a bound subtree");
            self.count(first, 1);
        }
        for first in gone.keys() {
            if self.subtrees[first].members == 0 {
                rebound.insert(self.clear(*first));
            }
        }
        Placed { rekey, rebound }
    }
}
