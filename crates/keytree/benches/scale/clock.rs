//! CPU time.

use std::{sync::OnceLock, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Returns the CPU time that this thread has used. Other programs on the machine do not count.
fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has a clock for each thread").into()
}

/// Runs `work` and says how much CPU time it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = used();
    let result = work();
    (used().saturating_sub(begin).saturating_sub(overhead()), result)
}

/// Runs `work` several times and returns the median of what it took.
pub(crate) fn median_of(repetitions: usize, mut work: impl FnMut()) -> Duration {
    median(&mut (0..repetitions).map(|_| timed(&mut work).0).collect::<Vec<_>>())
}

/// Returns the median of at least one time.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Returns what reading the clock twice takes.
fn overhead() -> Duration {
    static OVERHEAD: OnceLock<Duration> = OnceLock::new();
    *OVERHEAD.get_or_init(|| {
        let mut times: Vec<_> = (0..1001)
            .map(|_| {
                let begin = used();
                used() - begin
            })
            .collect();
        median(&mut times)
    })
}
