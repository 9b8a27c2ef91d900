//! Hears of changes to packet filters.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};
use tokio::io::unix::AsyncFd;

use crate::ready::register;

/// The kernel tells these listeners of each transaction of nf_tables (`NFNLGRP_NFTABLES`, the seventh).
const LISTENERS: u32 = 1 << 6;

/// Octets that are read at once: what they say does not matter.
const READ: usize = 4096;

/// A socket on which the kernel tells of changes.
#[derive(Debug)]
pub(crate) struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Begins to listen. It needs a tokio runtime with I/O.
    pub(crate) fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, LISTENERS))?;
        Ok(Self(register(socket)?))
    }

    /// Waits until something has changed since it was asked last.
    pub(crate) async fn next(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut buffer = [0; READ];
        loop {
            match recv(self.0.get_ref().as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // What did not fit the socket's buffer was a change too.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
