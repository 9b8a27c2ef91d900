//! The one place where the time is read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger_sansio::Time;
use nix::time::{ClockId, clock_gettime};

/// Makes [`Time`]: the wall clock as it stood at the start, advanced by the time since the host was booted.
///
/// It never goes back while the program runs, whatever is done to the wall clock, and its times can be stored
/// and compared after a restart. All copies of one clock agree. A program makes one at its start and hands out
/// copies: a second one would see whatever happened to the wall clock in between.
///
/// It counts while the host is suspended (`CLOCK_BOOTTIME`): keys, registrations and leases grow older all the same. A
/// virtual machine that is restored from a snapshot cannot see by any clock of its own how long that lay;
/// [`VmGeneration`](crate::VmGeneration) hears of it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Time,
    /// How long the host had run at the start.
    started: Duration,
}

impl Clock {
    /// Starts a clock at the wall clock's time, or at `floor` if the wall clock has not reached it: the earliest time at
    /// which what the program has stored makes sense.
    #[expect(clippy::disallowed_methods, reason = "this is where the programs read their clock")]
    pub fn starting_at(floor: Time) -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(Time::EPOCH, |since_epoch| Time::EPOCH + since_epoch);
        Self { base: wall.max(floor), started: since_boot() }
    }

    /// Says what time it is.
    pub fn now(&self) -> Time {
        self.base + since_boot().saturating_sub(self.started)
    }

    /// Waits until the clock shows `time` or more; returns at once if it already does.
    ///
    /// The wait may be up to a few milliseconds too long, as tokio's timers are; and up to a second where the host was
    /// suspended meanwhile.
    pub async fn sleep_until(&self, time: Time) {
        loop {
            let left = time.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }
}

/// Says how long the host has run, suspended or not.
fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has this clock since 2.6.39").into()
}

/// After this time at most a wait looks at the clock again: tokio's timers stand still while the host is suspended.
///
/// A timer of the kernel that counts suspensions (`timerfd`) would need five system calls for each wait, and the programs
/// begin a new one with each datagram. An idle daemon wakes once more each second instead.
const NAP_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_floor_that_lies_ahead_of_the_wall_clock() {
        let floor = Clock::starting_at(Time::EPOCH).now() + Duration::from_secs(3600);
        let clock = Clock::starting_at(floor);
        assert!(clock.now() >= floor);
        assert!(clock.now() < floor + Duration::from_secs(60));
    }

    #[test]
    fn starts_at_the_wall_clock_when_the_floor_is_past() {
        let seconds = std::process::Command::new("date").arg("+%s").output().expect("date runs").stdout;
        let wall: u64 = String::from_utf8(seconds).unwrap().trim().parse().unwrap();
        let now = Clock::starting_at(Time::from_secs(1)).now().as_secs();
        assert!(now.abs_diff(wall) < 60, "{now} is not near {wall}");
    }

    #[test]
    fn never_goes_back_and_copies_agree() {
        let clock = Clock::starting_at(Time::EPOCH);
        let copy = clock;
        let mut last = clock.now();
        for round in 0..20_000 {
            let now = if round % 2 == 0 { clock.now() } else { copy.now() };
            assert!(now >= last, "{now} came after {last}");
            last = now;
        }
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now().since(last) >= Duration::from_millis(5), "and it does advance");
    }

    #[tokio::test]
    async fn wakes_at_the_time_named_and_not_before() {
        let clock = Clock::starting_at(Time::EPOCH);
        let due = clock.now() + Duration::from_millis(30);
        clock.sleep_until(due).await;
        assert!(clock.now() >= due);
        clock.sleep_until(Time::EPOCH).await;
        let never = clock.sleep_until(Time::from_micros(u64::MAX));
        assert!(tokio::time::timeout(Duration::from_millis(20), never).await.is_err());
    }
}
