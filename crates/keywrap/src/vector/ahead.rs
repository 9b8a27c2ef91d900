//! Memory that will be read soon.

#![expect(
    unsafe_code,
    reason = "the instruction is of a set that the compiler does not take for granted here"
)]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// What a CPU fetches at once, in octets.
const LINE: usize = 64;

/// Asks for the cache lines of `octets`.
#[inline]
pub(crate) fn fetch(octets: &[u8]) {
    let ask = |octet: &u8| {
        // SAFETY: every x86-64 CPU has SSE. The instruction is a hint, which reads nothing and fails nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(octet).cast()) }
    };
    octets.iter().step_by(LINE).for_each(ask);
    // Octets that begin within a line end in one more.
    octets.last().into_iter().for_each(ask);
}
