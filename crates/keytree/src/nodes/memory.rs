//! Where slabs lie.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// The least length in octets of a slab that is mapped on its own. What is smaller comes from the allocator, so that
/// a small group stays small; what is mapped goes back to the system when it is dropped, whatever the allocator
/// keeps.
const MAPPED_LEN_MIN: usize = 64 << 10;

/// Zeroed octets at a place that does not change.
pub(super) enum Memory {
    Allocated(Box<[u8]>),
    Mapped(MmapMut),
}

impl Memory {
    /// Takes `length` octets, all zero.
    pub(super) fn zeroed(length: usize) -> Self {
        if length >= MAPPED_LEN_MIN
            && let Ok(mapped) = MmapMut::map_anon(length)
        {
            #[cfg(target_os = "linux")]
            if length >= 2 << 20 {
                let _ = mapped.advise(memmap2::Advice::HugePage);
            }
            return Self::Mapped(mapped);
        }
        // A system that maps nothing more may still have room in the allocator, which aborts if not.
        Self::Allocated(vec![0; length].into())
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Allocated(octets) => octets,
            Self::Mapped(octets) => octets,
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Allocated(octets) => octets,
            Self::Mapped(octets) => octets,
        }
    }
}
