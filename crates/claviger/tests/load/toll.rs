//! What a flood cost, and what it may cost.

use std::{fmt, time::Duration};

use claviger_testkit::flood::{Sent, Traffic};
use serde_json::Value;

/// Why a scenario shows nothing: this machine could not flood as hard as it was to be flooded.
pub(crate) struct Weak(pub(crate) Sent);

/// What a scenario may come to, if nothing that it claims is false.
pub(crate) type Shown = Result<(), Weak>;

/// What a flood cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Toll {
    pub(crate) sent: Sent,
    pub(crate) cpu: Duration,
    pub(crate) traffic: Traffic,
}

impl Toll {
    /// The CPU time of a datagram that was taken, in microseconds.
    pub(crate) fn per_datagram_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.traffic.datagrams_taken.max(1) as f64
    }

    /// Which part of a core the daemon used.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.sent.duration.as_secs_f64()
    }

    /// Asserts that a datagram costs at most so many times what one of junk costs.
    pub(crate) fn assert_ratio(&self, junk: &Self, ratio_max: f64) {
        let (own, of_junk) = (self.per_datagram_us(), junk.per_datagram_us());
        println!("  {own:.1} us for a datagram, {of_junk:.1} us for one of junk");
        assert!(own <= of_junk * ratio_max, "{own:.1} us are more than {ratio_max} times {of_junk:.1} us");
    }

    /// Asserts that at most so many signatures a second were verified: a daemon's counter says how many were wrong.
    pub(crate) fn assert_verified(&self, status: &Value, (machine, counter): (&str, &str), per_second: f64) {
        let verified = status["drops"][machine][counter].as_u64().unwrap_or(0);
        println!("  {verified} signatures were verified");
        let max = per_second * self.sent.duration.as_secs_f64();
        assert!(verified as f64 <= max, "{verified} signatures are more than {max:.0}");
    }

    /// Asserts that the daemon used at most such a part of a core.
    pub(crate) fn assert_cores(&self, cores_max: f64) {
        assert!(self.cores() <= cores_max, "{:.2} of a core are more than {cores_max}", self.cores());
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, traffic, .. } = self;
        write!(
            f,
            "{} a second for {:.1} s, {} taken and {} dropped by the kernel, {:.2} of a core, {} octets in, {} out",
            sent.per_second(),
            sent.duration.as_secs_f64(),
            traffic.datagrams_taken,
            traffic.datagrams_dropped,
            self.cores(),
            traffic.octets_in,
            traffic.octets_out,
        )
    }
}
