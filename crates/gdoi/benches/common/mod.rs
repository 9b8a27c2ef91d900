//! What the benches share.

use std::time::{Duration, Instant};

/// Times the work so many times, and returns the least: what disturbed the others is not its cost.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn quickest(tries: usize, mut work: impl FnMut()) -> Duration {
    let try_once = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    (0..tries).map(try_once).min().expect("there is more than one try")
}
