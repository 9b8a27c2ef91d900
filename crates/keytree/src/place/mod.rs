//! Subtrees that follow places.
//!
//! A place is what the caller takes for one: a prefix, a site, a subordinate server. The members at a place sit in
//! subtrees of their own, so that the keys that a change there replaces are mostly needed there alone:
//! [`Places::places_below`] says for each wrap where it has to be sent.
//!
//! ```
//! # use claviger_crypto::SeededRandom;
//! # use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, TreeConfig};
//! use claviger_keytree::place::{Place, Places};
//!
//! # let (degree, key_length) = (Degree::new(4)?, KeyLength::Octets16);
//! # let config = TreeConfig { degree, key_length, capacity: 10_000, joining: Joining::Advance };
//! # let random = &mut SeededRandom::new(1);
//! let mut tree = KeyTree::new(config, random);
//! let mut places = Places::new(config);
//! let (north, south) = (Place::new(1), Place::new(2));
//! places.bind(north, 16)?;
//! places.bind(south, 16)?;
//! let joined = places.batch(&mut tree, &[north, north, south], &[], &[], random)?.rekey.joined;
//!
//! // The second member moves south, and the keys of both paths change.
//! let moved = places.batch(&mut tree, &[], &[(joined[1], south)], &[], random)?;
//! assert_eq!(places.place_of(moved.rekey.joined[0]), Some(south));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`binding`] | what is stored of a place |
//! | [`error`] | why places refuse |
//! | [`name`] | the names of places |
//! | `ground` | where there is room for another subtree |
//! | `seating` | joins, moves and departures at places |

pub mod binding;
pub mod error;
pub mod name;

mod ground;
mod seating;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use claviger_keypath::{Degree, NodeId};

use self::ground::Ground;
pub use self::{binding::Binding, error::PlaceError, name::Place, seating::Placed};
use crate::{CAPACITY_MAX, KeyTree, Leaf, TreeConfig};

/// The places of a tree, and the subtrees that are bound to each.
///
/// A tree with places is changed by [`Places::batch`] and [`KeyTree::refresh`] only. A place has subtrees of one
/// size, as many as its members need: it takes another when it outgrows them, and gives one back when the last member
/// leaves it.
pub struct Places {
    degree: Degree,
    ground: Ground,
    plots: BTreeMap<Place, Plot>,
    /// All bound subtrees, by their first leaf.
    subtrees: BTreeMap<u32, Subtree>,
}

/// What one place has.
struct Plot {
    height: u8,
    members: u32,
    /// The first leaves of its subtrees.
    subtrees: BTreeSet<u32>,
    /// Those of them with a vacant leaf.
    open: BTreeSet<u32>,
}

/// A bound subtree.
struct Subtree {
    node: NodeId,
    place: Place,
    members: u32,
}

impl Places {
    /// Makes the places of a tree that has no members yet: none.
    pub fn new(config: TreeConfig) -> Self {
        let (degree, capacity) = (config.degree, config.capacity.min(CAPACITY_MAX));
        Self {
            degree,
            ground: Ground::new(degree, capacity),
            plots: BTreeMap::new(),
            subtrees: BTreeMap::new(),
        }
    }

    /// Makes the places anew whose [`Places::bindings`] were stored beside `tree`. They may come in any order.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Bound`], [`PlaceError::Malformed`], [`PlaceError::Overlap`] or [`PlaceError::TooLarge`] for
    /// bindings that no tree of this capacity has; [`PlaceError::Unbound`] if a member's leaf is in none of them.
    pub fn restore(tree: &KeyTree, bindings: impl IntoIterator<Item = Binding>) -> Result<Self, PlaceError> {
        let mut places = Self::new(tree.config());
        let mut subtrees = BTreeMap::new();
        for Binding { place, height, subtrees: nodes } in bindings {
            places.bind_height(place, height, tree.capacity())?;
            for node in nodes {
                if node.level() != height {
                    return Err(PlaceError::Malformed);
                }
                let first = u32::try_from(places.range(node).start).map_err(|_| PlaceError::Overlap(node))?;
                if subtrees.insert(first, (node, place)).is_some() {
                    return Err(PlaceError::Overlap(node));
                }
            }
        }
        for (node, place) in subtrees.into_values() {
            if !places.ground.claim(node) {
                return Err(PlaceError::Overlap(node));
            }
            places.settle(node, place);
        }
        for leaf in tree.leaves() {
            let first = places.subtree_at(leaf.index()).ok_or(PlaceError::Unbound(leaf))?.0;
            places.count(first, 1);
        }
        Ok(places)
    }

    /// Binds a place. Each of its subtrees will have room for `members` members, rounded up to a power of the degree.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Bound`], or [`PlaceError::TooLarge`] if the tree has not as many leaves.
    pub fn bind(&mut self, place: Place, members: u32) -> Result<(), PlaceError> {
        self.bind_height(place, self.degree.depth_for(members), self.ground.capacity())
    }

    fn bind_height(&mut self, place: Place, height: u8, capacity: u32) -> Result<(), PlaceError> {
        let leaves = u64::from(self.degree.k()).checked_pow(height.into());
        if leaves.is_none_or(|leaves| leaves > u64::from(capacity)) {
            return Err(PlaceError::TooLarge(place));
        }
        if self.plots.contains_key(&place) {
            return Err(PlaceError::Bound(place));
        }
        let plot = Plot { height, members: 0, subtrees: BTreeSet::new(), open: BTreeSet::new() };
        self.plots.insert(place, plot);
        Ok(())
    }

    /// Forgets a place without members.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Unknown`] or [`PlaceError::Occupied`].
    pub fn unbind(&mut self, place: Place) -> Result<(), PlaceError> {
        match self.plots.get(&place) {
            None => Err(PlaceError::Unknown(place)),
            Some(plot) if plot.members != 0 => Err(PlaceError::Occupied(place)),
            Some(_) => {
                self.plots.remove(&place);
                Ok(())
            }
        }
    }

    /// Says at which place a leaf lies; none outside every bound subtree.
    pub fn place_of(&self, leaf: Leaf) -> Option<Place> {
        Some(self.subtree_at(leaf.index())?.1.place)
    }

    /// Goes through the bound subtrees that lie below `node`, or the one that `node` itself lies in.
    pub fn subtrees_below(&self, node: NodeId) -> impl Iterator<Item = (NodeId, Place)> {
        let range = self.range(node);
        let around = u32::try_from(range.start).ok().and_then(|start| self.subtree_at(start));
        let around = around.filter(|(first, _)| u64::from(*first) < range.start).map(|(_, subtree)| subtree);
        let last = u32::try_from(range.end - 1).unwrap_or(u32::MAX);
        let below = u32::try_from(range.start).ok().map(|start| self.subtrees.range(start..=last));
        let below = below.into_iter().flatten().map(|(_, subtree)| subtree);
        around.into_iter().chain(below).map(|subtree| (subtree.node, subtree.place))
    }

    /// Says which places have members below `node`: those that need what is encrypted under its key.
    pub fn places_below(&self, node: NodeId) -> BTreeSet<Place> {
        self.subtrees_below(node).map(|(_, place)| place).collect()
    }

    /// Returns the number of members at a place; none if it is not bound.
    pub fn members(&self, place: Place) -> Option<u32> {
        Some(self.plots.get(&place)?.members)
    }

    /// Returns what the store keeps of a place.
    pub fn binding(&self, place: Place) -> Option<Binding> {
        Some(self.binding_of(place, self.plots.get(&place)?))
    }

    /// Goes through what the store keeps of all places.
    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.plots.iter().map(|(place, plot)| self.binding_of(*place, plot))
    }

    fn binding_of(&self, place: Place, plot: &Plot) -> Binding {
        let subtrees = plot.subtrees.iter().map(|first| self.subtrees[first].node).collect();
        Binding { place, height: plot.height, subtrees }
    }

    /// Binds a subtree that the ground gave out.
    fn settle(&mut self, node: NodeId, place: Place) -> u32 {
        let first = self.range(node).start as u32;
        let plot = self.plots.get_mut(&place).expect("a subtree is bound to a known place");
        plot.subtrees.insert(first);
        plot.open.insert(first);
        self.subtrees.insert(first, Subtree { node, place, members: 0 });
        first
    }

    /// Gives back a subtree without members.
    fn clear(&mut self, first: u32) -> Place {
        let subtree = self.subtrees.remove(&first).expect("a subtree that is cleared is bound");
        debug_assert_eq!(subtree.members, 0, "a subtree that is cleared is vacant");
        let plot = self.plots.get_mut(&subtree.place).expect("a subtree is bound to a known place");
        plot.subtrees.remove(&first);
        plot.open.remove(&first);
        self.ground.give_back(subtree.node);
        subtree.place
    }

    /// Adds `change` members to a subtree.
    fn count(&mut self, first: u32, change: i64) {
        let size = u64::from(self.degree.k());
        let subtree = self.subtrees.get_mut(&first).expect("members sit in bound subtrees");
        let plot = self.plots.get_mut(&subtree.place).expect("a subtree is bound to a known place");
        subtree.members = (i64::from(subtree.members) + change) as u32;
        plot.members = (i64::from(plot.members) + change) as u32;
        if u64::from(subtree.members) == size.pow(subtree.node.level().into()) {
            plot.open.remove(&first);
        } else {
            plot.open.insert(first);
        }
    }

    /// Finds the bound subtree around a leaf, and its first leaf.
    fn subtree_at(&self, leaf: u32) -> Option<(u32, &Subtree)> {
        let (first, subtree) = self.subtrees.range(..=leaf).next_back()?;
        (u64::from(leaf) < self.range(subtree.node).end).then_some((*first, subtree))
    }

    /// Returns the leaves below a node.
    fn range(&self, node: NodeId) -> std::ops::Range<u64> {
        let size = u64::from(self.degree.k()).saturating_pow(node.level().into());
        let start = u64::from(node.index()).saturating_mul(size);
        start..start.saturating_add(size)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.bindings()).finish()
    }
}
