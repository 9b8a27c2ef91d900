//! Runs one target under libFuzzer: the one that the environment names. See `fuzz/run`.
#![no_main]

use std::sync::LazyLock;

use claviger_fuzz::targets::{self, Target};
use libfuzzer_sys::fuzz_target;

/// Where the target's name stands.
const VARIABLE: &str = "CLAVIGER_FUZZ_TARGET";

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    targets::find(&name).unwrap_or_else(|| panic!("{VARIABLE} is {name:?}, which is no target"))
});

fuzz_target!(|input: &[u8]| (TARGET.feed)(input));
