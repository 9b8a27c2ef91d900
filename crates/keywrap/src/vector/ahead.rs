//! Memory that will be read soon.

#![expect(
    unsafe_code,
    reason = "the instruction is of a set that the compiler does not take for granted here"
)]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// What a CPU fetches at once, in octets.
const LINE: usize = 64;

/// Asks for the cache lines of `octets`; perhaps not for the last one, if they begin within a line.
#[inline]
pub(crate) fn fetch(octets: &[u8]) {
    for line in octets.chunks(LINE) {
        // SAFETY: every x86-64 CPU has SSE. The instruction is a hint, which reads nothing and fails nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}
