//! How much of a long test this run does.

/// Says whether this run takes its time, as `./test --all` does: what is slow is done in its full size.
pub fn is_whole() -> bool {
    std::env::var("CLAVIGER_TESTS").is_ok_and(|extent| extent == "all")
}
