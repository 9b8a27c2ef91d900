//! What logs say, and what they never say: everything at TRACE, searched for every secret there was.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod memory;
mod processes;
mod search;

/// Counts the lines of a log that a machine wrote at a level.
fn lines(log: &str, machine: &str, level: &str) -> usize {
    let target = format!(" claviger_{machine}::");
    log.lines().filter(|line| line.contains(&target) && line.contains(level)).count()
}
