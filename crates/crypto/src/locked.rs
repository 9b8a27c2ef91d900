//! Memory for secrets: pages that the system writes neither to a swap device nor into a core dump.
//!
//! A page is locked as a whole, and a process may lock few of them (RLIMIT_MEMLOCK: 8 MiB on most systems, no limit for
//! root). So secrets share pages, in slots of a few lengths, and pages that were locked once stay. Where no more can be
//! locked, secrets lie in ordinary memory; they are wiped there all the same.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// The octets of a slot, from the shortest key to the longest secret that is kept for long: the private key of a host.
const SLOT_LENS: [usize; 8] = [16, 32, 64, 128, 256, 512, 1024, 2048];

/// How many octets are locked at once. It is a multiple of every slot, and of the pages of most systems.
const CHUNK_LEN: usize = 64 << 10;

/// The slots that are free, for the whole process: the limit is the process's too.
static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// A part of a locked page. It is zero when it is taken, and wiped when it is given back.
pub(crate) struct Slot(&'static mut [u8]);

impl Slot {
    /// Takes a slot of at least `length` octets; none if no slot is so long, or nothing more can be locked.
    pub(crate) fn take(length: usize) -> Option<Self> {
        let kind = SLOT_LENS.iter().position(|slot_len| *slot_len >= length)?;
        pool().take(kind).map(Self)
    }

    /// Shows the octets.
    pub(crate) fn octets(&self) -> &[u8] {
        self.0
    }

    /// Shows the octets, to be written.
    pub(crate) fn octets_mut(&mut self) -> &mut [u8] {
        self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.zeroize();
        pool().give_back(std::mem::take(&mut self.0));
    }
}

/// Locks the first pages for secrets, so that a program can say at its start whether that is possible.
///
/// # Errors
///
/// What the system says: mostly that the process may lock no memory.
pub fn lock_pages() -> io::Result<()> {
    let mut pool = pool();
    if pool.free.iter().all(Vec::is_empty) { pool.grow(0) } else { Ok(()) }
}

fn pool() -> MutexGuard<'static, Pool> {
    // No step of the pool can panic half done.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pool {
    /// The free slots of each length.
    free: [Vec<&'static mut [u8]>; SLOT_LENS.len()],
    /// Whether the system has refused to lock more: it is not asked again for each secret.
    is_full: bool,
}

impl Pool {
    const fn new() -> Self {
        Self { free: [const { Vec::new() }; SLOT_LENS.len()], is_full: false }
    }

    fn take(&mut self, kind: usize) -> Option<&'static mut [u8]> {
        if self.free[kind].is_empty() && !self.is_full {
            self.is_full = self.grow(kind).is_err();
        }
        self.free[kind].pop()
    }

    fn give_back(&mut self, slot: &'static mut [u8]) {
        let kind = SLOT_LENS.iter().position(|slot_len| *slot_len == slot.len());
        self.free[kind.expect("a slot has one of the lengths")].push(slot);
    }

    /// Locks a chunk and cuts it into slots.
    fn grow(&mut self, kind: usize) -> io::Result<()> {
        let pages = MmapMut::map_anon(CHUNK_LEN)?;
        pages.lock()?;
        #[cfg(target_os = "linux")]
        pages.advise(Advice::DontDump)?;
        // They stay until the process ends: there will be secrets again.
        let pages: &'static mut MmapMut = Box::leak(Box::new(pages));
        self.free[kind].extend(pages.chunks_exact_mut(SLOT_LENS[kind]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_wiped_before_it_serves_again() {
        for length in [1, 16, 17, 1500, 2048] {
            let Some(mut slot) = Slot::take(length) else { continue };
            assert!(slot.octets().len() >= length);
            slot.octets_mut().fill(0xa5);
            let address = slot.octets().as_ptr();
            drop(slot);
            // Another test may have taken that one meanwhile; all are zero.
            let again = Slot::take(length).unwrap();
            assert!(again.octets().iter().all(|octet| *octet == 0), "{address:?}");
        }
        assert!(Slot::take(2049).is_none());
    }

    #[test]
    fn slots_cut_chunks_without_a_rest() {
        assert!(SLOT_LENS.iter().all(|length| CHUNK_LEN.is_multiple_of(*length)));
        assert!(SLOT_LENS.is_sorted());
    }

    /// Where the system lets nothing be locked there is nothing to see; the programs' test covers that.
    #[test]
    #[cfg(target_os = "linux")]
    fn secrets_lie_in_memory_that_the_kernel_counts_as_locked() {
        if lock_pages().is_err() {
            return;
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        let kilobytes: usize = locked.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes >= CHUNK_LEN / 1024, "{locked}");
    }
}
