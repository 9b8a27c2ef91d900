//! What calls leave behind below the stack.

use std::hint::black_box;

/// How far below its caller [`erase_stack`] writes, in octets. Calls of the protocols into aws-lc take less, also where
/// nothing is optimised; threads of the runtime have 2 MiB.
const BELOW_LEN: usize = 64 << 10;

/// Overwrites what earlier calls have left on the stack below: keys that were passed by value, expanded, or spilled from
/// registers. Called at the end of a step that handled keys. Above its caller's frame it changes nothing.
#[inline(never)]
pub fn erase_stack() {
    black_box(&mut [0u8; BELOW_LEN]);
}
