//! Network namespaces that are held by a file descriptor, and so vanish with the process that made them.
//!
//! Nothing is written to `/run/netns` and no name is taken: tests of several processes cannot meet. A thread enters
//! a namespace for the time of one closure; the sockets that it makes there, and the processes that it starts,
//! stay in it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    process, thread,
};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace of its own.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace in which nothing is up, not even loopback.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without CAP_SYS_ADMIN.
    pub fn new() -> io::Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        };
        let file =
            thread::scope(|scope| scope.spawn(make).join().expect("making a namespace does not panic"))?;
        Ok(Self { file })
    }

    /// Runs a closure in the namespace, on a thread of its own, and returns what it returns.
    ///
    /// # Panics
    ///
    /// If the closure does, with the same message.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let run = || {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
                .expect("a namespace can be entered by whom it belongs to");
            inside()
        };
        match thread::scope(|scope| scope.spawn(run).join()) {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Names the namespace to `ip link ... netns PATH`, as long as it lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }
}
