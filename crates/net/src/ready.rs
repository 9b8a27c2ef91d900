//! Gives descriptors to the runtime, which says when they can be read and written.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tun_rs::SyncDevice;

/// A type that owns one descriptor, which stays open and the same until the value is dropped.
pub(crate) trait OwnsDescriptor: AsRawFd {}

impl OwnsDescriptor for OwnedFd {}
impl OwnsDescriptor for Socket {}
impl OwnsDescriptor for SyncDevice {}

/// Registers a non-blocking descriptor with the runtime that this is called in.
#[expect(unsafe_code, reason = "tokio cannot know that a type keeps its descriptor")]
pub(crate) fn register<T: OwnsDescriptor>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `OwnsDescriptor` is implemented only for types that keep one open descriptor as long as they live, and
    // nothing in this crate takes them out of the `AsyncFd` or hands out `&mut` to them.
    unsafe { AsyncFd::register(owner) }.map_err(|refused| refused.into_parts().1)
}
