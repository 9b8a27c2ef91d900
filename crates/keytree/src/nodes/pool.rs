//! Blocks of one size, side by side in slabs.
//!
//! A block holds the rows of one segment: their handles, then their keys. Blocks in use lie without gaps: when one is
//! given back, the last takes its place, so that the slabs behind the last go back to the system one by one. Slabs
//! double from a few blocks to a largest size, so that a small group stays small, a growing one never copies what it
//! has, and no single step of either is long.

use zeroize::Zeroize;

use super::memory::Memory;

/// The octets of the first slab, if blocks are smaller than that.
const SLAB_LEN_MIN: usize = 512;

/// The octets of a handle.
pub(crate) const HANDLE_LEN: usize = 4;

/// The segment that a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner {
    pub(super) level: u8,
    pub(super) segment: u32,
}

/// Where a block lies in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spot {
    pub(super) slab: u32,
    /// The number of the block in its slab, which has fewer than 2^16.
    pub(super) place: u16,
}

/// All blocks of one size.
pub(super) struct Pool {
    rows: usize,
    key_len: usize,
    block_len: usize,
    /// The most octets in a slab: what is mapped or unmapped in one step.
    slab_len_max: usize,
    slabs: Vec<Slab>,
    /// The blocks in use in the last slab, at least 1 if there is one.
    last_used: usize,
    /// A slab that would come next, kept while the last one is nearly full, so that a group that swings about the edge
    /// of a slab does not map and unmap each time.
    spare: Option<Slab>,
}

struct Slab {
    memory: Memory,
    owners: Box<[Owner]>,
}

impl Pool {
    /// Makes a pool of blocks of `rows` rows, in slabs of at most `slab_len_max` octets. It takes no memory yet.
    pub(super) fn new(rows: usize, key_len: usize, slab_len_max: usize) -> Self {
        let block_len = rows * (HANDLE_LEN + key_len);
        Self { rows, key_len, block_len, slab_len_max, slabs: Vec::new(), last_used: 0, spare: None }
    }

    /// Returns the rows of a block.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes a block, all zero, into use.
    pub(super) fn take(&mut self, owner: Owner) -> Spot {
        if self.slabs.last().is_none_or(|last| self.last_used == last.owners.len()) {
            if let Some(last) = self.slabs.last_mut() {
                last.memory.settle();
            }
            let slab = self.spare.take().unwrap_or_else(|| self.next_slab());
            self.slabs.push(slab);
            self.last_used = 0;
        }
        let spot = Spot { slab: (self.slabs.len() - 1) as u32, place: self.last_used as u16 };
        self.last_used += 1;
        *self.owner_mut(spot) = owner;
        spot
    }

    /// Makes the slab that comes next: with as many blocks as all before, but for the first and the largest.
    fn next_slab(&self) -> Slab {
        let first = (SLAB_LEN_MIN / self.block_len).max(1);
        let doubled = first << self.slabs.len().saturating_sub(1).min(usize::BITS as usize / 2);
        let (blocks, length) = if doubled * self.block_len < self.slab_len_max {
            (doubled, doubled * self.block_len)
        } else {
            (self.slab_len_max / self.block_len, self.slab_len_max)
        };
        Slab { memory: Memory::zeroed(length), owners: vec![Owner::default(); blocks].into() }
    }

    /// Erases a block and gives it back. The last block takes its place: its owner is returned, unless the block
    /// was itself the last.
    pub(super) fn give_back(&mut self, spot: Spot) -> Option<Owner> {
        let last = Spot { slab: (self.slabs.len() - 1) as u32, place: (self.last_used - 1) as u16 };
        let moved = (spot != last).then(|| self.copy(last, spot));
        self.block_mut(last).zeroize();
        self.last_used -= 1;
        if self.last_used == 0 {
            self.spare = self.slabs.pop();
            self.last_used = self.slabs.last().map_or(0, |last| last.owners.len());
        }
        let nearly_full = self.slabs.last().is_some_and(|last| self.last_used > last.owners.len() / 4 * 3);
        if !nearly_full {
            self.spare = None;
        }
        moved
    }

    fn copy(&mut self, from: Spot, to: Spot) -> Owner {
        let owner = *self.owner_mut(from);
        *self.owner_mut(to) = owner;
        let [from_start, to_start] = [from, to].map(|spot| usize::from(spot.place) * self.block_len);
        if from.slab == to.slab {
            let memory = &mut self.slabs[from.slab as usize].memory;
            memory.copy_within(from_start..from_start + self.block_len, to_start);
        } else {
            let (before, behind) = self.slabs.split_at_mut(from.slab as usize);
            let new = &mut before[to.slab as usize].memory[to_start..][..self.block_len];
            new.copy_from_slice(&behind[0].memory[from_start..][..self.block_len]);
        }
        owner
    }

    fn owner_mut(&mut self, spot: Spot) -> &mut Owner {
        &mut self.slabs[spot.slab as usize].owners[usize::from(spot.place)]
    }

    /// Shows a block's rows: handles of 4 octets in the machine's order, then keys.
    #[inline]
    pub(super) fn block(&self, spot: Spot) -> (&[u8], &[u8]) {
        let start = usize::from(spot.place) * self.block_len;
        self.slabs[spot.slab as usize].memory[start..][..self.block_len].split_at(self.rows * HANDLE_LEN)
    }

    /// Shows a block's rows, to be changed.
    #[inline]
    pub(super) fn parts_mut(&mut self, spot: Spot) -> (&mut [u8], &mut [u8]) {
        let handles = self.rows * HANDLE_LEN;
        self.block_mut(spot).split_at_mut(handles)
    }

    /// Shows a slab, to be changed.
    #[inline]
    pub(super) fn memory_mut(&mut self, slab: u32) -> &mut [u8] {
        &mut self.slabs[slab as usize].memory
    }

    /// Shows a slab.
    #[inline]
    pub(super) fn memory(&self, slab: u32) -> &[u8] {
        &self.slabs[slab as usize].memory
    }

    /// Erases a row.
    #[inline]
    pub(super) fn erase_row(&mut self, spot: Spot, row: usize) {
        let key_len = self.key_len;
        let (handles, keys) = self.parts_mut(spot);
        handles[row * HANDLE_LEN..][..HANDLE_LEN].fill(0);
        keys[row * key_len..][..key_len].zeroize();
    }

    /// Erases a row by moving those behind it down. The first `count` rows are in use.
    pub(super) fn close_row(&mut self, spot: Spot, row: usize, count: usize) {
        let key_len = self.key_len;
        let (handles, keys) = self.parts_mut(spot);
        handles.copy_within((row + 1) * HANDLE_LEN..count * HANDLE_LEN, row * HANDLE_LEN);
        keys.copy_within((row + 1) * key_len..count * key_len, row * key_len);
        self.erase_row(spot, count - 1);
    }

    /// Copies one row of a block of another pool.
    pub(super) fn copy_row(&mut self, to: (Spot, usize), from: (&Self, Spot, usize)) {
        let (source, block, row) = from;
        let (handles, keys) = source.block(block);
        let (new_handles, new_keys) = self.parts_mut(to.0);
        let key_len = source.key_len;
        new_handles[to.1 * HANDLE_LEN..][..HANDLE_LEN]
            .copy_from_slice(&handles[row * HANDLE_LEN..][..HANDLE_LEN]);
        new_keys[to.1 * key_len..][..key_len].copy_from_slice(&keys[row * key_len..][..key_len]);
    }

    #[inline]
    fn block_mut(&mut self, spot: Spot) -> &mut [u8] {
        let start = usize::from(spot.place) * self.block_len;
        &mut self.slabs[spot.slab as usize].memory[start..][..self.block_len]
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // What is not in use is zero, and is left untouched: its pages may not exist yet.
        let last = self.slabs.len().saturating_sub(1);
        for (number, slab) in self.slabs.iter_mut().enumerate() {
            let used = if number == last { self.last_used } else { slab.owners.len() };
            slab.memory[..used * self.block_len].zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLAB_LEN_MAX: usize = 1 << 20;

    impl Pool {
        /// Says whether no memory is held at all.
        pub(in crate::nodes) fn is_bare(&self) -> bool {
            self.slabs.is_empty() && self.spare.is_none() && self.last_used == 0
        }
    }

    fn owner(segment: u32) -> Owner {
        Owner { level: 3, segment }
    }

    #[test]
    fn slabs_double_up_to_the_most() {
        for (rows, key_len) in [(4, 16), (4, 32), (20, 32), (64, 16), (64, 32)] {
            let mut pool = Pool::new(rows, key_len, SLAB_LEN_MAX);
            let mut blocks = 0;
            while pool.slabs.len() < 20 {
                pool.take(owner(0));
                blocks += 1;
            }
            let lengths: Vec<usize> = pool.slabs.iter().map(|slab| slab.memory.len()).collect();
            assert!(lengths[0] <= SLAB_LEN_MIN.max(pool.block_len) && lengths[1] == lengths[0]);
            assert!(
                lengths[1..]
                    .windows(2)
                    .all(|pair| pair[1] == (2 * pair[0]).min(SLAB_LEN_MAX) || pair[1] == SLAB_LEN_MAX)
            );
            assert_eq!(lengths[19], SLAB_LEN_MAX);
            let room: usize = pool.slabs[..19].iter().map(|slab| slab.owners.len()).sum();
            assert_eq!(blocks, room + 1, "no block is left out");
            assert!(pool.slabs.iter().all(|slab| slab.owners.len() <= 1 << 16));
        }
    }

    #[test]
    fn the_last_block_fills_the_gap_and_slabs_go_back() {
        let mut pool = Pool::new(20, 32, SLAB_LEN_MAX);
        let spots: Vec<Spot> = (0..5000)
            .map(|number| {
                let spot = pool.take(owner(number));
                let (handles, keys) = pool.parts_mut(spot);
                assert!(handles.iter().chain(&*keys).all(|octet| *octet == 0));
                handles.fill(1);
                keys[..4].copy_from_slice(&number.to_ne_bytes());
                spot
            })
            .collect();
        let slabs = pool.slabs.len();
        assert_eq!(pool.give_back(spots[7]), Some(owner(4999)));
        assert_eq!(pool.block(spots[7]).1[..4], 4999_u32.to_ne_bytes());
        assert_eq!(pool.give_back(spots[4998]), None);
        for spot in spots[..4998].iter().rev() {
            pool.give_back(*spot);
        }
        assert!(slabs > 4 && pool.is_bare());
    }

    #[test]
    fn at_the_edge_of_a_slab_one_is_spared() {
        let mut pool = Pool::new(64, 32, SLAB_LEN_MAX);
        let mut spots: Vec<Spot> = (0..9).map(|number| pool.take(owner(number))).collect();
        // Slabs of 1, 1, 2, 4 blocks, and the first of 8.
        assert_eq!(pool.slabs.len(), 5);
        pool.give_back(spots.pop().unwrap());
        assert!(pool.slabs.len() == 4 && pool.spare.is_some());
        spots.push(pool.take(owner(9)));
        assert!(pool.slabs.len() == 5 && pool.spare.is_none());
        for spot in spots.drain(7..).rev() {
            pool.give_back(spot);
        }
        assert!(pool.slabs.len() == 4 && pool.spare.is_none());
    }

    #[test]
    fn a_block_given_back_is_erased() {
        let mut pool = Pool::new(4, 16, SLAB_LEN_MAX);
        let spots = [0xa0, 0xa1, 0xa2].map(|fill| {
            let spot = pool.take(owner(0));
            pool.parts_mut(spot).1.fill(fill);
            spot
        });
        pool.give_back(spots[0]);
        pool.give_back(spots[1]);
        let left: Vec<u8> = pool.slabs.iter().flat_map(|slab| slab.memory.iter().copied()).collect();
        assert_eq!(left.iter().filter(|octet| **octet == 0xa2).count(), 4 * 16);
        assert!(!left.contains(&0xa0) && !left.contains(&0xa1));
    }
}
