//! What a clock makes of a suspension.
//!
//! No test can suspend its host. Only the time since boot counts a suspension, and so a process sees what a suspension leaves
//! behind when it enters a time namespace in which that clock is ahead: the monotonic clock, by which tokio's timers go, and
//! the wall clock stay as they are. Only a process of one thread may enter one, and so this file is a program of its own.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::{fs, fs::File, time::Duration};

use claviger_net::Clock;
use claviger_sansio::Time;
use nix::sched::{CloneFlags, setns, unshare};

/// How long the host is suspended.
const SUSPENSION: Duration = Duration::from_secs(24 * 3600);
/// What is waited for meanwhile.
const DUE: Duration = Duration::from_secs(3600);
/// How long a program under test may take for what takes it a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the time since boot jump ahead, for this process alone.
fn suspend() {
    let new_time = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);
    unshare(new_time)
        .expect("the kernel has time namespaces, and this is root or in a user namespace of its own");
    fs::write("/proc/self/timens_offsets", format!("boottime {} 0", SUSPENSION.as_secs())).unwrap();
    setns(File::open("/proc/self/ns/time_for_children").unwrap(), new_time).unwrap();
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Clock::starting_at(Time::EPOCH);
        let began = clock.now();
        let waiting = clock.sleep_until(began + DUE);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
        assert!(early.is_err(), "it is not due");
        suspend();
        let slept = clock.now().since(began);
        assert!(
            (SUSPENSION..SUSPENSION + PATIENCE).contains(&slept),
            "the clock counts a suspension: {slept:?}"
        );
        // By the timers of tokio it is due in an hour.
        tokio::time::timeout(PATIENCE, waiting).await.expect("what was due meanwhile is seen soon after");
    });
    println!("the clock counts a suspension, and wakes what was due meanwhile");
}
