//! Blocks of one size, side by side in slabs.
//!
//! A block holds the rows of one segment: their handles, then their keys. Blocks in use are numbered without gaps:
//! when one is given back, the last takes its place, so that the slabs behind the last go back to the system one by
//! one. Slabs double from a few blocks to [`SLAB_LEN_MAX`], so that a small group stays small, a growing one never
//! copies what it has, and no single step of either is long.

use zeroize::Zeroize;

use super::memory::Memory;

/// The most octets in a slab: what is mapped or unmapped in one step.
const SLAB_LEN_MAX: usize = 1 << 20;
/// The octets of the first slab, if blocks are smaller than that.
const SLAB_LEN_MIN: usize = 512;

/// The octets of a handle.
pub(super) const HANDLE_LEN: usize = 4;

/// The segment that a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner {
    pub(super) level: u8,
    pub(super) segment: u32,
}

/// All blocks of one size.
pub(super) struct Pool {
    rows: usize,
    key_len: usize,
    block_len: usize,
    /// The blocks in the first slab, as a power of two.
    first_log: u32,
    /// The most blocks in a slab, as a power of two.
    most_log: u32,
    /// The blocks in use.
    used: u32,
    slabs: Vec<Slab>,
}

struct Slab {
    memory: Memory,
    owners: Box<[Owner]>,
}

impl Pool {
    /// Makes a pool of blocks of `rows` rows. It takes no memory yet.
    pub(super) fn new(rows: usize, key_len: usize) -> Self {
        let block_len = rows * (HANDLE_LEN + key_len);
        let log = |length: usize| (length / block_len).max(1).ilog2();
        Self {
            rows,
            key_len,
            block_len,
            first_log: log(SLAB_LEN_MIN),
            most_log: log(SLAB_LEN_MAX),
            used: 0,
            slabs: Vec::new(),
        }
    }

    /// Returns the rows of a block.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of blocks in use.
    #[cfg(test)]
    pub(super) fn block_count(&self) -> u32 {
        self.used
    }

    /// Takes a block, all zero, into use.
    pub(super) fn take(&mut self, owner: Owner) -> u32 {
        let block = self.used;
        let (slab, place) = self.locate(block);
        if slab == self.slabs.len() {
            let blocks = 1 << self.slab_log(slab);
            let memory = Memory::zeroed(blocks * self.block_len);
            self.slabs.push(Slab { memory, owners: vec![Owner::default(); blocks].into() });
        }
        self.slabs[slab].owners[place] = owner;
        self.used += 1;
        block
    }

    /// Erases a block and gives it back. The last block takes its place: its owner is returned, unless the block
    /// was itself the last.
    pub(super) fn give_back(&mut self, block: u32) -> Option<Owner> {
        let last = self.used - 1;
        let moved = (block != last).then(|| self.copy(last, block));
        self.block_mut(last).zeroize();
        self.used = last;
        self.release();
        moved
    }

    fn copy(&mut self, from: u32, to: u32) -> Owner {
        let (length, (from_slab, from_place), (to_slab, to_place)) =
            (self.block_len, self.locate(from), self.locate(to));
        let owner = self.slabs[from_slab].owners[from_place];
        self.slabs[to_slab].owners[to_place] = owner;
        let (from, to) = (from_place * length, to_place * length);
        if from_slab == to_slab {
            self.slabs[from_slab].memory.copy_within(from..from + length, to);
        } else {
            let (before, behind) = self.slabs.split_at_mut(from_slab);
            before[to_slab].memory[to..to + length].copy_from_slice(&behind[0].memory[from..from + length]);
        }
        owner
    }

    /// Gives the last slab back once it is empty and the one before it no longer nearly full, so that a group that
    /// swings about the edge of a slab does not map and unmap each time.
    fn release(&mut self) {
        let Some(last) = self.slabs.len().checked_sub(1) else { return };
        let spare = if last == 0 { 0 } else { 1 << (self.slab_log(last - 1).saturating_sub(2)) };
        if self.used == 0 || self.used + spare <= self.slab_start(last) {
            self.slabs.truncate(if self.used == 0 { 0 } else { last });
        }
    }

    /// Shows a block's rows: handles of 4 octets in the machine's order, then keys.
    pub(super) fn block(&self, block: u32) -> (&[u8], &[u8]) {
        let (slab, place) = self.locate(block);
        let start = place * self.block_len;
        self.slabs[slab].memory[start..start + self.block_len].split_at(self.rows * HANDLE_LEN)
    }

    /// Shows a block's rows, to be changed.
    pub(super) fn parts_mut(&mut self, block: u32) -> (&mut [u8], &mut [u8]) {
        let handles = self.rows * HANDLE_LEN;
        self.block_mut(block).split_at_mut(handles)
    }

    /// Copies one row of a block of another pool.
    pub(super) fn copy_row(&mut self, to: (u32, usize), from: (&Self, u32, usize)) {
        let (source, block, row) = from;
        let (handles, keys) = source.block(block);
        let (new_handles, new_keys) = self.parts_mut(to.0);
        let key_len = source.key_len;
        new_handles[to.1 * HANDLE_LEN..][..HANDLE_LEN]
            .copy_from_slice(&handles[row * HANDLE_LEN..][..HANDLE_LEN]);
        new_keys[to.1 * key_len..][..key_len].copy_from_slice(&keys[row * key_len..][..key_len]);
    }

    fn block_mut(&mut self, block: u32) -> &mut [u8] {
        let (slab, place) = self.locate(block);
        &mut self.slabs[slab].memory[place * self.block_len..][..self.block_len]
    }

    /// Finds a block: slab, and place in it. Slabs have 1, 1, 2, 4, ... times the first one's blocks.
    fn locate(&self, block: u32) -> (usize, usize) {
        let doubled = 1_u64 << (self.most_log + 1);
        if u64::from(block) >= doubled {
            let beyond = u64::from(block) - doubled;
            let slab = u64::from(self.most_log - self.first_log + 2) + (beyond >> self.most_log);
            return (slab as usize, (beyond & ((1 << self.most_log) - 1)) as usize);
        }
        match (block >> self.first_log).checked_ilog2() {
            None => (0, block as usize),
            Some(log) => ((log + 1) as usize, block as usize - (1 << (self.first_log + log))),
        }
    }

    /// Returns the number of a slab's first block.
    fn slab_start(&self, slab: usize) -> u32 {
        let doubling = (self.most_log - self.first_log + 2) as usize;
        match slab {
            0 => 0,
            _ if slab < doubling => 1 << (self.first_log as usize + slab - 1),
            _ => (1 << (self.most_log + 1)) + (((slab - doubling) as u32) << self.most_log),
        }
    }

    /// Returns the number of blocks in a slab, as a power of two.
    fn slab_log(&self, slab: usize) -> u32 {
        (self.first_log + slab.saturating_sub(1) as u32).min(self.most_log)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // What is not in use is zero, and is left untouched: its pages may not exist yet.
        for slab in 0..self.slabs.len() {
            let in_use =
                (self.used.saturating_sub(self.slab_start(slab)) as usize).min(1 << self.slab_log(slab));
            self.slabs[slab].memory[..in_use * self.block_len].zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(segment: u32) -> Owner {
        Owner { level: 3, segment }
    }

    #[test]
    fn slabs_double_up_to_the_most() {
        for (rows, key_len) in [(4, 16), (4, 32), (20, 32), (64, 16), (64, 32)] {
            let pool = Pool::new(rows, key_len);
            let (mut slab, mut place) = (0, 0);
            for block in 0..3 << pool.most_log {
                assert_eq!(pool.locate(block), (slab, place), "{rows} rows, block {block}");
                place += 1;
                if place == 1 << pool.slab_log(slab) {
                    (slab, place) = (slab + 1, 0);
                    assert_eq!(pool.slab_start(slab), block + 1);
                    assert!(pool.block_len << pool.slab_log(slab) <= SLAB_LEN_MAX);
                }
            }
        }
    }

    #[test]
    fn the_last_block_fills_the_gap_and_slabs_go_back() {
        let mut pool = Pool::new(20, 32);
        let count = 5000;
        for number in 0..count {
            let block = pool.take(owner(number));
            assert_eq!(block, number);
            let (handles, keys) = pool.parts_mut(block);
            assert!(handles.iter().chain(&*keys).all(|octet| *octet == 0));
            handles.fill(1);
            keys[..4].copy_from_slice(&number.to_ne_bytes());
        }
        let slabs = pool.slabs.len();
        assert_eq!(pool.give_back(7), Some(owner(count - 1)));
        assert_eq!(pool.block(7).1[..4], (count - 1).to_ne_bytes());
        assert_eq!(pool.give_back(count - 2), None);
        for block in (0..count - 2).rev() {
            pool.give_back(block);
        }
        assert!(slabs > 4 && pool.slabs.is_empty());
    }

    #[test]
    fn a_block_given_back_is_erased() {
        let mut pool = Pool::new(4, 16);
        for number in 0..3 {
            let block = pool.take(owner(number));
            pool.parts_mut(block).1.fill(0xa0 + number as u8);
        }
        pool.give_back(0);
        pool.give_back(1);
        let left: Vec<u8> = pool.slabs.iter().flat_map(|slab| slab.memory.iter().copied()).collect();
        assert_eq!(left.iter().filter(|octet| **octet == 0xa2).count(), 4 * 16);
        assert!(!left.contains(&0xa0) && !left.contains(&0xa1));
    }
}
