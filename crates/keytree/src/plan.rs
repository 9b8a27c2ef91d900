//! What a batch will do, worked out before anything is touched.
//!
//! Every node on the way from a changed leaf to the root is marked once, level by level, however many changes
//! meet in it. Nothing of the tree changes here, so that a refusal or a failing random source leaves it whole.

use std::ops::Range;

use claviger_keypath::{Handle, NodeId};

use crate::{
    Joining, KeyTree, Leaf, Rekey, TreeError,
    bits::count,
    mark::{Fate, Mark},
    node::node_at,
    sort::sort,
};

/// What a batch will do.
pub(crate) struct Plan {
    /// The leaves that joiners get, ascending.
    pub(crate) joined: Vec<u32>,
    /// The leaves that departing members leave, ascending; some may be among the joined.
    pub(crate) departed: Vec<u32>,
    /// The tree's extent afterwards.
    pub(crate) extent: u32,
    /// The tree's depth afterwards.
    pub(crate) depth: u8,
    /// How many wraps there will be, and how many of them under keys that members hold.
    pub(crate) wraps: usize,
    pub(crate) held: usize,
    /// The rekey in the making, with the nodes that change, and the marked nodes, bottom up, as its scratch.
    pub(crate) rekey: Rekey,
    /// Where among the marks each level ends.
    ends: Vec<usize>,
    /// A set bit i stands for a level i in which nodes come into being.
    growing: u64,
}

/// What the marked children of a node have in store for it. In the masks, a set bit i stands for child i.
#[derive(Debug, Clone, Copy, Default)]
struct Family {
    marked: u8,
    /// The children that are there afterwards.
    renewed: u8,
    /// The children with remaining members below them.
    inheriting: u8,
    /// A member departed below.
    left: bool,
}

impl Family {
    /// Gathers the first of `marks`, as far as they are of the `K` children from `first` on.
    #[inline]
    fn gather<const K: usize>(marks: &[Mark], first: u32) -> Self {
        let mut family = Self::default();
        for child in marks {
            let place = child.index - first;
            if place >= K as u32 {
                break;
            }
            family.marked |= 1 << place;
            family.renewed |= u8::from(child.is_there()) << place;
            family.inheriting |= u8::from(child.heirs != 0) << place;
            family.left |= child.left;
        }
        family
    }
}

impl Plan {
    /// Plans a batch whose joiners take the lowest vacant leaves.
    ///
    /// # Errors
    ///
    /// [`TreeError::UnknownLeaf`], [`TreeError::DuplicateLeaf`] or [`TreeError::Full`].
    pub(crate) fn lowest(
        tree: &KeyTree,
        joins: usize,
        leaves: &[Leaf],
        spare: Rekey,
    ) -> Result<Self, TreeError> {
        let departed = sorted(leaves)?;
        // Where joiners may sit depends on who goes. Without joiners, leaves without member are noticed on the way, but not
        // those behind all that have one: they may have no name as nodes.
        let is_outside = departed.last().is_some_and(|last| *last >= tree.extent);
        if joins != 0 || is_outside {
            check_members(tree, &departed)?;
        }
        let remaining = tree.len().saturating_sub(departed.len());
        if joins > tree.capacity() as usize - remaining {
            return Err(TreeError::Full { capacity: tree.capacity() });
        }
        let joined = lowest_vacancies(tree, &departed, joins);
        Self::marked(tree, joined, departed, spare)
    }

    /// Plans a batch whose joiners take named leaves.
    ///
    /// # Errors
    ///
    /// [`TreeError::UnknownLeaf`], [`TreeError::DuplicateLeaf`], [`TreeError::Outside`] or [`TreeError::Occupied`].
    pub(crate) fn at(
        tree: &KeyTree,
        joined: &[Leaf],
        leaves: &[Leaf],
        spare: Rekey,
    ) -> Result<Self, TreeError> {
        let departed = sorted(leaves)?;
        check_members(tree, &departed)?;
        let joined = sorted(joined)?;
        if let Some(last) = joined.last().filter(|last| **last >= tree.capacity()) {
            return Err(TreeError::Outside(Leaf::new(*last)));
        }
        let stays = |leaf: &&u32| tree.contains(Leaf::new(**leaf)) && departed.binary_search(leaf).is_err();
        if let Some(taken) = joined.iter().find(stays) {
            return Err(TreeError::Occupied(Leaf::new(*taken)));
        }
        Self::marked(tree, joined, departed, spare)
    }

    /// Plans a new root key alone.
    pub(crate) fn refresh(tree: &KeyTree, spare: Rekey) -> Self {
        let mut plan = Self::unmarked(tree, Vec::new(), Vec::new(), tree.extent, spare);
        let heirs = tree.nodes.children(tree.root_id());
        let fate = if heirs == 0 { Fate::Replaced } else { Fate::UnderPrevious };
        plan.ends.resize(usize::from(tree.depth), 0);
        plan.push(tree.depth, Mark { heirs, fate, ..Mark::BLANK });
        plan.ends.push(1);
        plan
    }

    fn unmarked(tree: &KeyTree, joined: Vec<u32>, departed: Vec<u32>, extent: u32, spare: Rekey) -> Self {
        let depth = tree.degree().depth_for(extent);
        let mut plan = Self {
            joined,
            departed,
            extent,
            depth,
            wraps: 0,
            held: 0,
            rekey: spare,
            ends: Vec::new(),
            growing: 0,
        };
        // On each level above the changed leaves there are at most as many nodes, and mostly far fewer.
        let room = (plan.joined.len() + plan.departed.len()) * 4;
        plan.rekey.marks.reserve(room);
        plan.rekey.changed.reserve(room);
        plan
    }

    /// Marks the leaves, and then each level from the marks of the one below.
    ///
    /// # Errors
    ///
    /// [`TreeError::UnknownLeaf`].
    fn marked(tree: &KeyTree, joined: Vec<u32>, departed: Vec<u32>, spare: Rekey) -> Result<Self, TreeError> {
        let extent = extent_after(tree, &departed, &joined);
        let mut plan = Self::unmarked(tree, joined, departed, extent, spare);
        plan.mark_leaves();
        match tree.degree().k() {
            2 => plan.mark_levels::<2>(tree)?,
            3 => plan.mark_levels::<3>(tree)?,
            4 => plan.mark_levels::<4>(tree)?,
            5 => plan.mark_levels::<5>(tree)?,
            6 => plan.mark_levels::<6>(tree)?,
            7 => plan.mark_levels::<7>(tree)?,
            _ => plan.mark_levels::<8>(tree)?,
        }
        plan.number_advanced();
        Ok(plan)
    }

    /// Marks the levels above the leaves of a tree of degree `K`.
    fn mark_levels<const K: usize>(&mut self, tree: &KeyTree) -> Result<(), TreeError> {
        for level in 1..=self.depth.max(tree.depth) {
            let gone = self.mark_level::<K>(tree, level);
            // Leaves that go without having been there are noticed where their siblings are looked at.
            if level == 1 && gone {
                check_members(tree, &self.departed)?;
            }
        }
        Ok(())
    }

    /// Numbers the keys that are advanced behind those that are drawn, once it is known how many these are.
    fn number_advanced(&mut self) {
        let drawn = self.rekey.changed.len() as u32;
        if !self.rekey.advanced.is_empty() {
            let advanced = self.rekey.marks.iter_mut().filter(|mark| mark.fate == Fate::Advanced);
            advanced.for_each(|mark| mark.key += drawn);
        }
    }

    fn mark_leaves(&mut self) {
        let (joined, departed) = (std::mem::take(&mut self.joined), std::mem::take(&mut self.departed));
        let mark = |index, fate, left| Mark { index, fate, left, ..Mark::BLANK };
        let mut gone = departed.iter().copied().peekable();
        for index in &joined {
            while let Some(departed) = gone.next_if(|departed| departed < index) {
                self.push(0, mark(departed, Fate::Removed, true));
            }
            let left = gone.next_if_eq(index).is_some();
            self.push(0, mark(*index, if left { Fate::Replaced } else { Fate::Created }, left));
        }
        for departed in gone {
            self.push(0, mark(departed, Fate::Removed, true));
        }
        (self.joined, self.departed) = (joined, departed);
        self.ends.push(self.rekey.marks.len());
    }

    /// Marks a level. Says whether there are marked nodes below that are gone and were not there before.
    fn mark_level<const K: usize>(&mut self, tree: &KeyTree, level: u8) -> bool {
        let Range { start, end } = self.range(level - 1);
        let below = tree.nodes.below(level);
        // When the top of the tree is dropped, the new root may have no change below it, and yet the group's key must be
        // new. When a top is added, the old root must hang from it, wherever the joiners sit. And the root of a tree
        // without members may be left without a child.
        let top_changes = level >= self.depth || level > tree.depth || level == tree.depth && tree.is_empty();
        if top_changes && self.rekey.marks[start..].first().is_none_or(|mark| mark.index >= K as u32) {
            self.mark_node(tree, node_at(level, 0), below.children::<K>(0), Family::default());
        }
        let (mut next, mut absent) = (start, 0);
        while next < end {
            let index = self.rekey.marks[next].index / K as u32;
            let family = Family::gather::<K>(&self.rekey.marks[next..end], index * K as u32);
            let before = below.children::<K>(index);
            absent |= family.marked & !family.renewed & !before;
            next += count(family.marked);
            self.mark_node(tree, node_at(level, index), before, family);
        }
        self.ends.push(self.rekey.marks.len());
        absent != 0
    }

    /// Marks a node that has the children `before`, given its marked ones.
    #[inline]
    fn mark_node(&mut self, tree: &KeyTree, node: NodeId, before: u8, family: Family) {
        let Family { marked, renewed, inheriting, left } = family;
        let there = before & !marked | renewed;
        let heirs = before & !marked | inheriting;
        // Every node up to the root is there while it has a child, and the root always.
        let existed = node.level() <= tree.depth && (before != 0 || node == tree.root_id());
        let stays = node.level() <= self.depth && (there != 0 || node == node_at(self.depth, 0));
        let fate = match (existed, stays) {
            // Whoever departed from below knows the previous key.
            (true, true) if left || heirs == 0 => Fate::Replaced,
            (true, true) if marked != 0 && tree.config.joining == Joining::Advance => {
                if tree.can_advance(node) { Fate::Advanced } else { Fate::UnderPrevious }
            }
            // With a single heir, its key does as well, and it saves the heir a second start.
            (true, true) if heirs.is_power_of_two() => Fate::Replaced,
            (true, true) => Fate::UnderPrevious,
            (true, false) => Fate::Removed,
            (false, true) => Fate::Created,
            (false, false) => Fate::Absent,
        };
        self.push(node.level(), Mark { index: node.index(), key: 0, heirs, marked, renewed, fate, left });
    }

    /// Adds a mark, and lists and counts what it stands for.
    #[inline]
    fn push(&mut self, level: u8, mut mark: Mark) {
        let node = node_at(level, mark.index);
        match mark.fate {
            Fate::Absent => {}
            Fate::Removed => self.rekey.removed.push(node),
            Fate::Advanced => {
                mark.key = self.rekey.advanced.len() as u32;
                self.rekey.advanced.push(node);
            }
            Fate::Created | Fate::Replaced | Fate::UnderPrevious => {
                mark.key = self.rekey.changed.len() as u32;
                self.rekey.changed.push(node);
                let is_single = mark.fate == Fate::UnderPrevious;
                self.wraps += if is_single { 1 } else { count(mark.heirs) };
                self.held += if is_single { 1 } else { count(mark.heirs & !mark.marked) };
            }
        }
        self.growing |= u64::from(mark.fate == Fate::Created) << level;
        self.rekey.marks.push(mark);
    }

    /// Says whether nodes of a level come into being.
    pub(crate) fn is_growing(&self, level: u8) -> bool {
        self.growing >> level & 1 == 1
    }

    /// Returns the marks of a level, out of all.
    pub(crate) fn level<'a>(&self, marks: &'a [Mark], level: u8) -> &'a [Mark] {
        &marks[self.range(level)]
    }

    /// Returns the number of levels with marks.
    pub(crate) fn levels(&self) -> u8 {
        self.ends.len() as u8
    }

    fn range(&self, level: u8) -> Range<usize> {
        let start = usize::from(level).checked_sub(1).map_or(0, |below| self.ends[below]);
        start..self.ends[usize::from(level)]
    }
}

impl KeyTree {
    /// Says whether the key of a node may be advanced once more.
    fn can_advance(&self, node: NodeId) -> bool {
        self.key(node).is_some_and(|key| key.handle.advances() < Handle::ADVANCES_MAX)
    }
}

/// Checks that each departing leaf has a member.
fn check_members(tree: &KeyTree, departed: &[u32]) -> Result<(), TreeError> {
    match departed.iter().find(|leaf| !tree.contains(Leaf::new(**leaf))) {
        Some(unknown) => Err(TreeError::UnknownLeaf(Leaf::new(*unknown))),
        None => Ok(()),
    }
}

/// Sorts leaves and checks that each is named once.
fn sorted(leaves: &[Leaf]) -> Result<Vec<u32>, TreeError> {
    let mut sorted: Vec<u32> = leaves.iter().map(|leaf| leaf.index()).collect();
    sort(&mut sorted);
    match sorted.array_windows().find(|[one, next]| one == next) {
        Some([twice, _]) => Err(TreeError::DuplicateLeaf(Leaf::new(*twice))),
        None => Ok(sorted),
    }
}

/// Chooses leaves for the joiners: the lowest vacant ones, those just left among them.
fn lowest_vacancies(tree: &KeyTree, departed: &[u32], joins: usize) -> Vec<u32> {
    let mut joined = Vec::with_capacity(joins);
    let mut vacant = tree.vacancies_from(Leaf::new(0)).map(Leaf::index).peekable();
    let mut left = departed.iter().copied().peekable();
    while joined.len() < joins {
        let lowest = match (vacant.peek(), left.peek()) {
            (Some(hole), Some(gone)) if hole < gone => vacant.next(),
            (_, Some(_)) => left.next(),
            (_, None) => vacant.next(),
        };
        joined.push(lowest.expect("the tree has room for the joiners"));
    }
    joined
}

/// Finds one more than the highest leaf that is occupied after the batch.
fn extent_after(tree: &KeyTree, departed: &[u32], joined: &[u32]) -> u32 {
    let kept = match departed.last() {
        Some(last) if last.checked_add(1) == Some(tree.extent) => {
            tree.nodes.last_leaf_but(departed).map_or(0, |last| last + 1)
        }
        _ => tree.extent,
    };
    joined.last().map_or(0, |last| last + 1).max(kept)
}
