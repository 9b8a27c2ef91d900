//! Where slabs lie.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use zeroize::Zeroize;

/// The least length in octets of a slab that is mapped on its own. What is smaller comes from the allocator, so that
/// a small group stays small; what is mapped goes back to the system when it is dropped, whatever the allocator
/// keeps.
const MAPPED_LEN_MIN: usize = 64 << 10;

/// The octets of a huge page of most systems.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// Octets that are zero at first.
pub(super) enum Memory {
    Allocated(Box<[u8]>),
    Huge(MmapMut),
    Mapped(MmapMut),
}

impl Memory {
    /// Takes `length` octets, all zero.
    pub(super) fn zeroed(length: usize) -> Self {
        if length >= MAPPED_LEN_MIN
            && let Ok(mapped) = MmapMut::map_anon(length)
        {
            return Self::Mapped(mapped);
        }
        // A system that maps nothing more may still have room in the allocator, which aborts if not.
        Self::Allocated(vec![0; length].into())
    }

    /// Moves what fills a huge page into one, where the system has them: keys that are looked up all over many
    /// megabytes then cost one miss each, rather than another for the address. Before it is full it stays in small
    /// pages, of which only those in use take memory.
    pub(super) fn settle(&mut self) {
        #[cfg(target_os = "linux")]
        if let Self::Mapped(mapped) = self
            && mapped.len() == HUGE_PAGE
            && let Ok(mut huge) = MmapMut::map_anon(HUGE_PAGE)
            && huge.advise(memmap2::Advice::HugePage).is_ok()
        {
            huge.copy_from_slice(mapped);
            mapped.zeroize();
            *self = Self::Huge(huge);
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Allocated(octets) => octets,
            Self::Huge(octets) | Self::Mapped(octets) => octets,
        }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Allocated(octets) => octets,
            Self::Huge(octets) | Self::Mapped(octets) => octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_settles_stays_what_it_is() {
        for length in [100, MAPPED_LEN_MIN, HUGE_PAGE] {
            let mut memory = Memory::zeroed(length);
            assert!(memory.len() == length && memory.iter().all(|octet| *octet == 0));
            memory[length - 7..].fill(5);
            memory.settle();
            assert_eq!(memory.iter().map(|octet| u32::from(*octet)).sum::<u32>(), 35);
            assert_eq!(memory.len(), length);
        }
    }
}
