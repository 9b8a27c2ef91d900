//! What a batch will do, worked out before anything is touched.
//!
//! Every node on the way from a changed leaf to the root is marked once, level by level, however many changes
//! meet in it. Nothing of the tree changes here, so that a refusal or a failing random source leaves it whole.

use crate::{KeyTree, Leaf, NodeId, TreeError};

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
    /// The nodes above the leaves that get a new key, bottom up.
    pub(crate) replaced: Vec<Replaced>,
    /// The nodes that vanish, bottom up.
    pub(crate) removed: Vec<NodeId>,
}

/// A node above the leaves that gets a new key. A set bit i stands for child i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) node: NodeId,
    /// The children with remaining members below them: those who must receive the new key. Joiners need not,
    /// because they get their whole path by other means.
    pub(crate) heirs: u8,
    /// The heirs that get a new key themselves.
    pub(crate) renewed: u8,
    /// Whether the new key goes under the node's own previous key, rather than under each heir's key.
    pub(crate) under_previous: bool,
}

/// A marked node, as its parent sees it.
struct Mark {
    index: u32,
    /// A member departed below.
    left: bool,
    /// The node exists after the batch.
    alive: bool,
    /// A member that was there before remains below.
    heir: bool,
}

impl Plan {
    /// Plans a batch.
    ///
    /// # Errors
    ///
    /// [`TreeError::UnknownLeaf`], [`TreeError::DuplicateLeaf`] or [`TreeError::Full`].
    pub(crate) fn new(tree: &KeyTree, joins: usize, leaves: &[Leaf]) -> Result<Self, TreeError> {
        let departed = departures(tree, leaves)?;
        let remaining = tree.len() - departed.len();
        if joins > tree.capacity as usize - remaining {
            return Err(TreeError::Full { capacity: tree.capacity });
        }
        let joined = vacancies(tree, &departed, joins);
        let extent = extent_after(tree, &departed, &joined);
        let depth = tree.degree.depth_for(extent);
        let mut plan = Self { joined, departed, extent, depth, replaced: Vec::new(), removed: Vec::new() };
        plan.mark(tree);
        Ok(plan)
    }

    /// Plans a new root key alone.
    pub(crate) fn refresh(tree: &KeyTree) -> Self {
        let mut plan = Self {
            joined: Vec::new(),
            departed: Vec::new(),
            extent: tree.extent,
            depth: tree.depth,
            replaced: Vec::new(),
            removed: Vec::new(),
        };
        let (mut root, _) = plan.look_below(tree, tree.root_id(), &[]);
        root.under_previous = root.heirs != 0;
        plan.replaced.push(root);
        plan
    }

    /// Marks each level from the marks of the one below.
    fn mark(&mut self, tree: &KeyTree) {
        let mut marks = self.leaf_marks();
        for level in 1..=self.depth.max(tree.depth) {
            let k = u32::from(tree.degree.k());
            let mut above = Vec::new();
            // When the top of the tree was dropped, the new root may have no change below it, and yet the group's
            // key must be new.
            if level == self.depth && marks.first().is_none_or(|mark| mark.index >= k) {
                above.push(self.mark_node(tree, NodeId::new(level, 0), &[]));
            }
            for siblings in marks.chunk_by(|one, next| one.index / k == next.index / k) {
                above.push(self.mark_node(tree, NodeId::new(level, siblings[0].index / k), siblings));
            }
            marks = above;
        }
        self.removed.sort_unstable();
    }

    fn leaf_marks(&mut self) -> Vec<Mark> {
        let mut marks = Vec::with_capacity(self.joined.len() + self.departed.len());
        let mut departed = self.departed.iter().copied().peekable();
        for &index in &self.joined {
            while let Some(gone) = departed.next_if(|gone| *gone < index) {
                marks.push(Mark { index: gone, left: true, alive: false, heir: false });
            }
            let left = departed.next_if_eq(&index).is_some();
            marks.push(Mark { index, left, alive: true, heir: false });
        }
        marks.extend(departed.map(|index| Mark { index, left: true, alive: false, heir: false }));
        self.removed.extend(marks.iter().filter(|mark| !mark.alive).map(|mark| NodeId::new(0, mark.index)));
        marks
    }

    /// Marks a node, given the marks of its marked children.
    fn mark_node(&mut self, tree: &KeyTree, node: NodeId, marked: &[Mark]) -> Mark {
        let (mut replaced, has_child) = self.look_below(tree, node, marked);
        let existed = tree.is_occupied(node);
        let is_root = node == NodeId::new(self.depth, 0);
        let alive = node.level() <= self.depth && (has_child || is_root);
        let left = marked.iter().any(|mark| mark.left);
        if alive {
            // Whoever departed from below knows the previous key. With a single heir, its key does as well, and
            // it saves the heir a second start.
            replaced.under_previous = existed && !left && replaced.heirs.count_ones() > 1;
            self.replaced.push(replaced);
        } else if existed {
            self.removed.push(node);
        }
        Mark { index: node.index(), left, alive, heir: replaced.heirs != 0 }
    }

    /// Finds the children of a node that matter, and says whether it has any child after the batch.
    fn look_below(&self, tree: &KeyTree, node: NodeId, marked: &[Mark]) -> (Replaced, bool) {
        let mut replaced = Replaced { node, heirs: 0, renewed: 0, under_previous: false };
        let mut has_child = false;
        let mut marked = marked.iter().peekable();
        for place in 0..tree.degree.k() {
            let Some(child) = node.child(tree.degree, place) else { break };
            if let Some(mark) = marked.next_if(|mark| mark.index == child.index()) {
                has_child |= mark.alive;
                replaced.heirs |= u8::from(mark.heir) << place;
                replaced.renewed |= u8::from(mark.heir) << place;
            } else if tree.is_occupied(child) {
                has_child = true;
                replaced.heirs |= 1 << place;
            }
        }
        (replaced, has_child)
    }
}

/// Sorts the departing leaves and checks that each has a member and is named once.
fn departures(tree: &KeyTree, leaves: &[Leaf]) -> Result<Vec<u32>, TreeError> {
    if let Some(unknown) = leaves.iter().find(|leaf| !tree.contains(**leaf)) {
        return Err(TreeError::UnknownLeaf(*unknown));
    }
    let mut departed: Vec<u32> = leaves.iter().map(|leaf| leaf.index()).collect();
    departed.sort_unstable();
    match departed.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(TreeError::DuplicateLeaf(Leaf::new(pair[0]))),
        None => Ok(departed),
    }
}

/// Chooses leaves for the joiners: the lowest vacant ones, those just left among them, then new ones.
fn vacancies(tree: &KeyTree, departed: &[u32], joins: usize) -> Vec<u32> {
    let mut joined = Vec::with_capacity(joins);
    let mut holes = tree.holes.iter().copied().peekable();
    let mut left = departed.iter().copied().peekable();
    while joined.len() < joins {
        let lowest = match (holes.peek(), left.peek()) {
            (Some(hole), Some(gone)) if hole < gone => holes.next(),
            (_, Some(_)) => left.next(),
            (_, None) => holes.next(),
        };
        let Some(lowest) = lowest else { break };
        joined.push(lowest);
    }
    let new = (joins - joined.len()) as u32;
    joined.extend(tree.extent..tree.extent + new);
    joined
}

/// Finds one more than the highest leaf that is occupied after the batch.
fn extent_after(tree: &KeyTree, departed: &[u32], joined: &[u32]) -> u32 {
    let joined_extent = joined.last().map_or(0, |last| last + 1);
    let mut extent = tree.extent;
    let mut departed = departed.iter().rev().copied().peekable();
    while extent > joined_extent {
        let last = extent - 1;
        if departed.next_if_eq(&last).is_none() && !tree.holes.contains(&last) {
            break;
        }
        extent = last;
    }
    extent.max(joined_extent)
}
