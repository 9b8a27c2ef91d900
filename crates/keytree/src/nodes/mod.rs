//! The keys of all nodes.
//!
//! Each level is cut into segments of up to 64 neighbouring nodes. While a segment is well occupied, its rows lie
//! side by side, the i-th node's in the i-th row; as it empties, they are packed in order into ever smaller blocks,
//! and the larger block serves another segment. So memory follows the nodes wherever they are, a change touches the
//! rows of one segment at most, and nothing is ever copied as a whole.
//!
//! | module | what |
//! |---|---|
//! | `cut` | how a level is cut into segments |
//! | `directory` | which nodes of a level there are, and in which block |
//! | `family` | the rows of siblings |
//! | `pool` | blocks of one size, without gaps, in slabs that come and go |
//! | `memory` | where slabs lie |

use claviger_keywrap::fetch_ahead;

mod cut;
mod directory;
mod family;
mod memory;
mod pool;

use claviger_keypath::{Degree, Handle, KeyLength, KeyRef, NodeId};

use self::{
    cut::Cut,
    directory::{Directory, Segment},
    pool::{Owner, Pool},
};
pub(crate) use self::{
    family::{FamilyMut, Rows, Siblings},
    pool::HANDLE_LEN,
};

/// The rows of a packed block, by class. One more class follows, with a row for each node of a segment.
const PACKED_ROWS: [usize; 13] = [4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52];
/// The class of blocks with a row for each node.
const DIRECT: u8 = PACKED_ROWS.len() as u8;
/// A direct block is packed when this many nodes are left in it: fewer than the largest packed block holds, so that a
/// segment that swings about either number is not packed and unpacked each time.
const DIRECT_NODES_MIN: u32 = 44;

/// The most octets in a slab of packed blocks: of each class the last one is not full.
const PACKED_SLAB_LEN: usize = 256 << 10;
/// The most octets in a slab of direct blocks.
const DIRECT_SLAB_LEN: usize = memory::HUGE_PAGE;

/// The keys of all nodes of a tree.
pub(crate) struct Nodes {
    key_len: usize,
    cut: Cut,
    levels: Vec<Directory>,
    pools: Vec<Pool>,
    /// How often any row went from one place to another, up to a wrap-around.
    moves: u32,
}

/// A level that is looked at from the one above it.
#[derive(Clone, Copy)]
pub(crate) struct Below<'a> {
    directory: Option<&'a Directory>,
}

impl Below<'_> {
    /// Says which of `K` children the node at `index` has. A set bit i stands for a child in place i.
    #[inline]
    pub(crate) fn children<const K: usize>(&self, index: u32) -> u8 {
        let Some(directory) = self.directory else { return 0 };
        let (number, first) = Cut::family_of::<K>(index);
        Cut::bits_of::<K>(directory.segment(number).occupied >> first)
    }
}

/// Reads one row.
#[inline]
fn row_of<'a>(handles: &'a [u8], keys: &'a [u8], row: usize, key_len: usize) -> KeyRef<'a> {
    let handle = handles[row * HANDLE_LEN..].first_chunk().expect("each row has a handle");
    KeyRef {
        handle: Handle::from_u32(u32::from_ne_bytes(*handle)),
        key: &keys[row * key_len..(row + 1) * key_len],
    }
}

/// Counts the nodes of a segment before `place`.
fn rank(occupied: u64, place: u32) -> usize {
    (occupied & ((1 << place) - 1)).count_ones() as usize
}

#[inline]
fn row(segment: Segment, place: u32) -> usize {
    if segment.class == DIRECT { place as usize } else { rank(segment.occupied, place) }
}

impl Nodes {
    /// Makes `levels` levels without nodes.
    pub(crate) fn new(degree: Degree, key_length: KeyLength, levels: usize) -> Self {
        let (cut, key_len) = (Cut::new(degree), key_length.octets());
        let packed = PACKED_ROWS.map(|rows| Pool::new(rows, key_len, PACKED_SLAB_LEN));
        let direct = Pool::new(cut.nodes() as usize, key_len, DIRECT_SLAB_LEN);
        let pools = packed.into_iter().chain([direct]).collect();
        let mut nodes = Self { key_len, cut, levels: Vec::new(), pools, moves: 0 };
        nodes.set_levels(levels);
        nodes
    }

    /// Adds levels at the top, or takes away such as have no nodes.
    pub(crate) fn set_levels(&mut self, levels: usize) {
        self.levels.resize_with(levels, Directory::default);
    }

    /// Returns the number of levels.
    pub(crate) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Says whether a node is there.
    pub(crate) fn is_occupied(&self, node: NodeId) -> bool {
        let Some(directory) = self.levels.get(usize::from(node.level())) else { return false };
        let (number, place) = self.cut.node(node.index());
        directory.segment(number).occupied >> place & 1 == 1
    }

    /// Shows the key of a node.
    pub(crate) fn key(&self, node: NodeId) -> Option<KeyRef<'_>> {
        let (number, place) = self.cut.node(node.index());
        let segment = self.levels.get(usize::from(node.level()))?.segment(number);
        if segment.occupied >> place & 1 == 0 {
            return None;
        }
        let (handles, keys) = self.pools[usize::from(segment.class)].block(segment.spot());
        Some(row_of(handles, keys, row(segment, place), self.key_len))
    }

    /// Says which children of a node there are. A set bit i stands for a child in place i.
    pub(crate) fn children(&self, parent: NodeId) -> u8 {
        let below = usize::from(parent.level()).checked_sub(1);
        let Some(directory) = below.and_then(|below| self.levels.get(below)) else { return 0 };
        let (number, first) = self.cut.family(parent.index());
        self.cut.family_bits(directory.segment(number).occupied >> first)
    }

    /// Looks from a level at the one below it.
    pub(crate) fn below(&self, level: u8) -> Below<'_> {
        let below = usize::from(level).checked_sub(1);
        Below { directory: below.and_then(|below| self.levels.get(below)) }
    }

    /// Finds the children of a node, whose level is there, and asks for their rows, which will be changed soon. The degree
    /// is `K`, and keys have `L` octets. It writes in place, since small fields that are copied as one wide value would
    /// be waited for behind everything else that is being written.
    #[inline]
    pub(crate) fn find_ahead<const K: usize, const L: usize>(&self, parent: NodeId, siblings: &mut Siblings) {
        self.find::<K, L>(parent, siblings);
        if siblings.is_direct {
            let memory = self.pools[usize::from(DIRECT)].memory(siblings.slab);
            fetch_ahead(&memory[siblings.handles_at as usize..][..K * HANDLE_LEN]);
            fetch_ahead(&memory[siblings.keys_at as usize..][..K * L]);
        }
    }

    /// Finds the children of a node.
    #[inline]
    fn find<const K: usize, const L: usize>(&self, parent: NodeId, siblings: &mut Siblings) {
        let (number, first) = Cut::family_of::<K>(parent.index());
        let segment = self.levels[usize::from(parent.level()) - 1].segment(number);
        let nodes = Cut::nodes_of::<K>() as usize;
        let block_at = usize::from(segment.spot().place) * nodes * (HANDLE_LEN + L);
        siblings.slab = segment.spot().slab;
        siblings.handles_at = (block_at + first as usize * HANDLE_LEN) as u32;
        siblings.keys_at = (block_at + nodes * HANDLE_LEN + first as usize * L) as u32;
        siblings.moves = self.moves;
        siblings.occupied = self.cut.family_bits(segment.occupied >> first);
        siblings.is_direct = segment.class == DIRECT;
    }

    /// Shows the rows of the children of a node, to be changed: one for each place, whether a child is there or not. None
    /// if there are rows only for those that are there. What was found ahead is looked up once more if rows have moved
    /// since.
    #[inline]
    pub(crate) fn rows_mut<const K: usize, const L: usize>(
        &mut self,
        parent: NodeId,
        siblings: &mut Siblings,
    ) -> Option<Rows<'_, K, L>> {
        if siblings.moves != self.moves {
            self.find::<K, L>(parent, siblings);
        }
        if !siblings.is_direct {
            return None;
        }
        let memory = self.pools[usize::from(DIRECT)].memory_mut(siblings.slab);
        let (handles, keys) = memory.split_at_mut(siblings.keys_at as usize);
        let handles = handles[siblings.handles_at as usize..].as_chunks_mut().0;
        Some(Rows { handles: handles.first_chunk_mut()?, keys: keys.as_chunks_mut().0.first_chunk_mut()? })
    }

    /// Takes note of children that have gone, whose rows are erased already. A set bit i stands for the child in place i,
    /// which was there.
    #[inline]
    pub(crate) fn note_gone(&mut self, parent: NodeId, gone: u8) {
        let (number, first) = self.cut.family(parent.index());
        let level = parent.level() - 1;
        let directory = &mut self.levels[usize::from(level)];
        let segment = directory.vacate(number, u64::from(gone) << first);
        if segment.occupied == 0 {
            directory.set(number, Segment::VACANT, false);
            self.give_back(segment);
        } else if is_sparse(segment) {
            self.repack(level, number, segment);
        }
    }

    /// Shows the children of a node, of which there is at least one, to be changed, however they lie. Keys have `L`
    /// octets.
    pub(crate) fn family_mut<const L: usize>(&mut self, parent: NodeId) -> FamilyMut<'_, L> {
        let (number, first) = self.cut.family(parent.index());
        let segment = self.levels[usize::from(parent.level()) - 1].segment(number);
        let (handles, keys) = self.pools[usize::from(segment.class)].parts_mut(segment.spot());
        let first_row = row(segment, first);
        FamilyMut {
            occupied: self.cut.family_bits(segment.occupied >> first),
            direct: segment.class == DIRECT,
            handles: &mut handles.as_chunks_mut().0[first_row..],
            keys: &mut keys.as_chunks_mut().0[first_row..],
        }
    }

    /// Sets the key of a node, and brings the node into being if it is not there. Its level is there, `handle` is of
    /// some epoch, and `key` has the length of all keys.
    pub(crate) fn set(&mut self, node: NodeId, handle: Handle, key: &[u8]) {
        debug_assert_ne!(handle.epoch(), 0, "epochs count from 1");
        let (number, place) = self.cut.node(node.index());
        let mut segment = self.levels[usize::from(node.level())].segment(number);
        if segment.occupied >> place & 1 == 0 {
            segment = self.insert(node.level(), number, segment, place);
        }
        let row = row(segment, place);
        let (handles, keys) = self.pools[usize::from(segment.class)].parts_mut(segment.spot());
        handles[row * HANDLE_LEN..][..HANDLE_LEN].copy_from_slice(&handle.as_u32().to_ne_bytes());
        keys[row * self.key_len..][..self.key_len].copy_from_slice(key);
    }

    /// Makes room for a row.
    fn insert(&mut self, level: u8, number: u32, mut segment: Segment, place: u32) -> Segment {
        let count = segment.occupied.count_ones() as usize;
        let class = class_for(count + 1);
        if count == 0 {
            let spot = self.pools[usize::from(class)].take(Owner { level, segment: number });
            segment = Segment::new(0, class, spot);
        } else if segment.class != DIRECT && count == self.pools[usize::from(segment.class)].rows() {
            segment = self.rebuild(level, number, segment, class);
        }
        if segment.class != DIRECT {
            let row = rank(segment.occupied, place);
            let key_len = self.key_len;
            let (handles, keys) = self.pools[usize::from(segment.class)].parts_mut(segment.spot());
            handles.copy_within(row * HANDLE_LEN..count * HANDLE_LEN, (row + 1) * HANDLE_LEN);
            keys.copy_within(row * key_len..count * key_len, (row + 1) * key_len);
        }
        self.moves = self.moves.wrapping_add(1);
        segment.occupied |= 1 << place;
        let full = self.cut.is_full(segment.occupied);
        self.levels[usize::from(level)].set(number, segment, full);
        segment
    }

    /// Erases a node.
    pub(crate) fn remove(&mut self, node: NodeId) {
        let (number, place) = self.cut.node(node.index());
        let Some(directory) = self.levels.get_mut(usize::from(node.level())) else { return };
        let segment = directory.segment(number);
        let left = segment.occupied & !(1 << place);
        if left == segment.occupied {
            return;
        }
        let pool = &mut self.pools[usize::from(segment.class)];
        if segment.class == DIRECT {
            pool.erase_row(segment.spot(), place as usize);
        } else {
            pool.close_row(segment.spot(), row(segment, place), segment.occupied.count_ones() as usize);
            self.moves = self.moves.wrapping_add(1);
        }
        if left == 0 {
            directory.set(number, Segment::VACANT, false);
            self.give_back(segment);
            return;
        }
        let segment = directory.vacate(number, 1 << place);
        if is_sparse(segment) {
            self.repack(node.level(), number, segment);
        }
    }

    /// Moves the rows of a segment into a smaller block, if a smaller one has room for them.
    fn repack(&mut self, level: u8, number: u32, segment: Segment) {
        let class = class_left(segment.class, segment.occupied.count_ones());
        if class < segment.class {
            self.rebuild(level, number, segment, class);
        }
    }

    /// Moves the rows of a segment into a block of another class.
    fn rebuild(&mut self, level: u8, number: u32, segment: Segment, class: u8) -> Segment {
        let spot = self.pools[usize::from(class)].take(Owner { level, segment: number });
        let [new, old] = self
            .pools
            .get_disjoint_mut([usize::from(class), usize::from(segment.class)])
            .expect("the classes differ, and each has its pool");
        let after = Segment::new(segment.occupied, class, spot);
        for place in places(segment.occupied) {
            new.copy_row((spot, row(after, place)), (old, segment.spot(), row(segment, place)));
        }
        self.levels[usize::from(level)].set(number, after, false);
        self.give_back(segment);
        after
    }

    /// Gives back the block of a segment that has none any more.
    fn give_back(&mut self, segment: Segment) {
        self.moves = self.moves.wrapping_add(1);
        if let Some(moved) = self.pools[usize::from(segment.class)].give_back(segment.spot()) {
            self.levels[usize::from(moved.level)].relocate(moved.segment, segment.spot());
        }
    }

    /// Returns the highest leaf that is there, but for those in `except`, which is ascending.
    pub(crate) fn last_leaf_but(&self, except: &[u32]) -> Option<u32> {
        let mut except = except.iter().rev().copied().peekable();
        self.levels[0].iter().rev().find_map(|(number, segment)| {
            let first = number * self.cut.nodes();
            let mut occupied = segment.occupied;
            while let Some(index) = except.next_if(|index| *index >= first) {
                if let Some(bit) = 1_u64.checked_shl(index - first) {
                    occupied &= !bit;
                }
            }
            occupied.checked_ilog2().map(|place| first + place)
        })
    }

    /// Returns the lowest leaf from `from` on that is not there. It may be beyond every leaf.
    pub(crate) fn next_vacant_leaf(&self, from: u32) -> u64 {
        let (mut number, mut place) = self.cut.node(from);
        loop {
            let vacant = !self.levels[0].segment(number).occupied & (u64::MAX << place);
            let first = vacant.trailing_zeros();
            if first < self.cut.nodes() {
                return u64::from(number) * u64::from(self.cut.nodes()) + u64::from(first);
            }
            number = self.levels[0].next_with_vacancy(number + 1);
            place = 0;
        }
    }

    /// Goes through the indices of a level from `from` on, in order.
    pub(crate) fn indices_from(&self, level: u8, from: u32) -> impl Iterator<Item = u32> {
        let (first_segment, _) = self.cut.node(from);
        let segments = self.levels.get(usize::from(level)).into_iter();
        segments
            .flat_map(move |directory| directory.iter_from(first_segment))
            .flat_map(|(number, segment)| {
                let first = number * self.cut.nodes();
                places(segment.occupied).map(move |place| first + place)
            })
            .skip_while(move |index| *index < from)
    }

    /// Goes through the nodes of a level and their keys, in the order of their indices.
    pub(crate) fn iter(&self, level: u8) -> impl Iterator<Item = (u32, KeyRef<'_>)> {
        let segments = self.levels.get(usize::from(level)).into_iter().flat_map(Directory::iter);
        segments.flat_map(move |(number, segment)| {
            let (handles, keys) = self.pools[usize::from(segment.class)].block(segment.spot());
            places(segment.occupied).map(move |place| {
                let key = row_of(handles, keys, row(segment, place), self.key_len);
                (number * self.cut.nodes() + place, key)
            })
        })
    }
}

/// Says whether a smaller block may have room for a segment.
#[inline]
fn is_sparse(segment: Segment) -> bool {
    segment.class != DIRECT || segment.occupied.count_ones() <= DIRECT_NODES_MIN
}

/// Goes through the set bits of a word.
fn places(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = word.checked_ilog2().map(|_| word.trailing_zeros())?;
        word &= word - 1;
        Some(place)
    })
}

/// Returns the class of the smallest block for a segment that has grown to `count` nodes.
fn class_for(count: usize) -> u8 {
    PACKED_ROWS.partition_point(|rows| *rows < count) as u8
}

/// Returns the class of block for a segment of `class` in which `count` nodes are left. A smaller block is taken only
/// with a little room to spare.
fn class_left(class: u8, count: u32) -> u8 {
    if class == DIRECT && count > DIRECT_NODES_MIN {
        return class;
    }
    class_for(count as usize + 1).min(class)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use claviger_crypto::{SeededRandom, random};

    use super::*;
    use crate::node::node_at;

    fn nodes(k: u8) -> Nodes {
        Nodes::new(Degree::new(k).unwrap(), KeyLength::Octets16, 3)
    }

    fn handle(number: u32) -> Handle {
        Handle::drawn(number).unwrap()
    }

    #[test]
    fn keep_what_was_set_and_forget_what_was_removed() {
        for k in 2..=8 {
            let (mut nodes, mut model) = (nodes(k), BTreeMap::new());
            let dice = &mut SeededRandom::new(u64::from(k));
            let mut below = |bound: u32| u32::from_be_bytes(random::array(dice)) % bound;
            for step in 1..30_000_u32 {
                // The occupancy swings, so that segments go through all classes.
                let growing = step / 3000 % 2 == 0;
                let node = node_at(below(2) as u8, below(700));
                if below(8) < if growing { 7 } else { 1 } {
                    let key: [u8; 16] = [step.to_be_bytes(); 4].concat().try_into().unwrap();
                    nodes.set(node, handle(step), &key);
                    model.insert(node, (handle(step), key));
                } else {
                    nodes.remove(node);
                    model.remove(&node);
                }
                let held = nodes.key(node).map(|key| (key.handle, key.key.try_into().unwrap()));
                assert_eq!(held, model.get(&node).copied());
                assert_eq!(nodes.is_occupied(node), held.is_some());
                if step % 1000 == 0 {
                    check(&mut nodes, &model, k);
                }
            }
            for node in model.keys() {
                nodes.remove(*node);
            }
            assert!(nodes.pools.iter().all(Pool::is_bare), "k = {k}");
        }
    }

    fn check(nodes: &mut Nodes, model: &BTreeMap<NodeId, (Handle, [u8; 16])>, k: u8) {
        for level in 0..2 {
            let expected = model.iter().filter(|(node, _)| node.level() == level);
            let found = nodes.iter(level).map(|(index, key)| (index, key.handle, key.key.to_vec()));
            assert!(found.eq(expected.map(|(node, (handle, key))| (node.index(), *handle, key.to_vec()))));
        }
        let degree = Degree::new(k).unwrap();
        for parent in (0..90).map(|index| node_at(1, index)) {
            let children: Vec<_> = (0..k).map(|place| parent.child(degree, place).unwrap()).collect();
            let there = children.iter().enumerate().filter(|(_, child)| nodes.is_occupied(**child));
            let bits = there.map(|(place, _)| 1 << place).sum::<u8>();
            assert_eq!(nodes.children(parent), bits);
            for place in (0..k).filter(|place| bits >> place & 1 == 1) {
                let expected = model[&children[usize::from(place)]];
                let family = nodes.family_mut::<16>(parent);
                assert_eq!(family.key(u32::from(place)), (expected.0, &expected.1));
            }
        }
        let leaves: Vec<u32> = nodes.indices_from(0, 0).collect();
        assert_eq!(nodes.last_leaf_but(&[]), leaves.last().copied());
        let (kept, except) = leaves.split_at(leaves.len() / 3);
        assert_eq!(nodes.last_leaf_but(except), kept.last().copied());
        for from in [0, 63, 350, 699, 5000] {
            let vacant = (from..).find(|index| !leaves.contains(index)).unwrap();
            assert_eq!(nodes.next_vacant_leaf(from), u64::from(vacant));
            assert!(nodes.indices_from(0, from).eq(leaves.iter().copied().filter(|index| *index >= from)));
        }
    }

    #[test]
    fn a_removed_key_is_erased() {
        let mut nodes = nodes(4);
        for index in 0..64 {
            nodes.set(node_at(0, index), handle(1), &[0xaa; 16]);
        }
        let rows = |nodes: &Nodes| {
            let segment = nodes.levels[0].segment(0);
            let (handles, keys) = nodes.pools[usize::from(segment.class)].block(segment.spot());
            (segment.class, handles.chunks(4).filter(|handle| **handle != [0; 4]).count(), keys.to_vec())
        };
        for index in 0..60 {
            nodes.remove(node_at(0, index));
            let (class, handles, keys) = rows(&nodes);
            assert_eq!(class == DIRECT, index < 19);
            let left = 63 - index as usize;
            assert_eq!((handles, keys.iter().filter(|octet| **octet == 0xaa).count()), (left, 16 * left));
        }
    }

    #[test]
    fn the_last_indices_are_places_too() {
        let mut nodes = nodes(3);
        for index in [NodeId::INDEX_MAX, NodeId::INDEX_MAX - 1] {
            let node = node_at(0, index);
            nodes.set(node, handle(5), &[1; 16]);
            assert!(nodes.is_occupied(node));
        }
        assert_eq!(nodes.last_leaf_but(&[NodeId::INDEX_MAX]), Some(NodeId::INDEX_MAX - 1));
    }
}
