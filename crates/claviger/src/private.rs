//! Keeps the memory of this process to itself.

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
};

/// Has the kernel write no core dump of this process, and let no other process of this user look into it. What it
/// refuses, [`report`] finds.
pub(crate) fn close() {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}

/// Has the log say, at the start of a process that has keys, what of them may get out of its memory.
pub(crate) fn report() {
    if !matches!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0))) {
        tracing::warn!("keys may be written into a core dump: its limit could not be set to 0");
    }
    if !matches!(prctl::get_dumpable(), Ok(false)) {
        tracing::warn!("other processes of this user may read keys: the kernel lets this one be traced");
    }
    if let Err(error) = claviger_crypto::locked::lock_pages() {
        tracing::warn!(%error, "keys may be written to swap: no page of them can be locked in memory (ulimit -l)");
    }
}
