//! Hears that this machine was restored from a snapshot.

use std::{io, os::fd::AsRawFd, os::fd::OwnedFd};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket},
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::{debug, warn};

use crate::ready::register;

/// The netlink group by which the kernel itself sends uevents.
const FROM_KERNEL: u32 = 1;
/// Octets kept for one uevent: the kernel's own are at most 2,048, with a path before them.
const UEVENT: usize = 8 * 1024;
/// The variable that the kernel's driver vmgenid sets, and no other.
const NEW_GENERATION: &[u8] = b"NEW_VMGENID=1";

/// Hears that this virtual machine has a new generation: that it was restored from a snapshot, or cloned.
///
/// What it holds then may be old, however short a time its clock shows, and another machine may go on with the same state.
/// Hypervisors tell the guest by a VM Generation ID, and Linux tells its programs by a uevent of the driver vmgenid, since
/// April 2024 (6.9). A machine without that device never has a new generation, and a program in a user namespace of its own,
/// as in a container without privilege, is told nothing by the kernel.
#[derive(Debug)]
pub struct VmGeneration {
    /// None where uevents cannot be heard.
    uevents: Option<AsyncFd<OwnedFd>>,
}

impl VmGeneration {
    /// Begins to hear. Where the host does not allow that, there is never a new generation, and the log says why. It needs a
    /// tokio runtime with I/O.
    pub fn listen() -> Self {
        let uevents = open();
        if let Err(error) = &uevents {
            debug!(%error, "uevents cannot be heard: a restore from a snapshot goes unnoticed");
        }
        Self { uevents: uevents.ok() }
    }

    /// Waits until this machine has a new generation since the last time. Dropping the future loses none.
    ///
    /// If the kernel lost uevents because they were not read in time, it may have been among them, and is taken to be.
    pub async fn changed(&mut self) {
        while let Some(uevents) = &self.uevents {
            match uevents.async_io(Interest::READABLE, receive).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, "uevents cannot be heard any more: a restore from a snapshot goes unnoticed");
                    self.uevents = None;
                }
            }
        }
        std::future::pending().await
    }
}

fn open() -> io::Result<AsyncFd<OwnedFd>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkKObjectUEvent,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, FROM_KERNEL))?;
    register(socket)
}

/// Receives one uevent, and says whether it tells of a new generation.
fn receive(socket: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [0; UEVENT];
    match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer) {
        // Any program may write to this socket, but only the kernel has no port.
        Ok((length, Some(sender))) => Ok(sender.pid() == 0 && is_new_generation(&buffer[..length])),
        Ok((_, None)) => Ok(false),
        Err(Errno::ENOBUFS) => Ok(true),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Says whether a uevent tells of a new generation: `change@` and the path of a device, then the variables, each with a zero
/// octet behind it.
fn is_new_generation(uevent: &[u8]) -> bool {
    let Some(uevent) = uevent.strip_suffix(&[0]) else { return false };
    let mut parts = uevent.split(|octet| *octet == 0);
    parts.next().is_some_and(|head| head.starts_with(b"change@")) && parts.any(|part| part == NEW_GENERATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.10 and later sends it.
    const RESTORED: &[u8] = b"change@/devices/platform/VMGENCTR:00\0ACTION=change\0\
        DEVPATH=/devices/platform/VMGENCTR:00\0SUBSYSTEM=platform\0NEW_VMGENID=1\0DRIVER=vmgenid\0\
        MODALIAS=acpi:VMGENCTR:VM_GEN_COUNTER:\0SEQNUM=1234\0";

    #[test]
    fn knows_a_restored_machine_under_every_path_and_among_any_variables() {
        assert!(is_new_generation(RESTORED));
        assert!(is_new_generation(
            b"change@/devices/LNXSYSTM:00/LNXSYBUS:00/QEMUVGID:00\0ACTION=change\0SUBSYSTEM=acpi\0NEW_VMGENID=1\0"
        ));
    }

    #[test]
    fn every_cut_says_it_only_with_the_whole_variable() {
        let variable =
            RESTORED.windows(NEW_GENERATION.len()).position(|part| part == NEW_GENERATION).unwrap();
        for length in 0..RESTORED.len() {
            let is_whole = length > variable + NEW_GENERATION.len() && RESTORED[length - 1] == 0;
            assert_eq!(is_new_generation(&RESTORED[..length]), is_whole, "cut at {length}");
        }
    }

    #[test]
    fn other_uevents_and_junk_are_not_taken_for_it() {
        for other in [
            &b""[..],
            b"\0",
            b"\0\0\0\0",
            b"change@\0",
            b"NEW_VMGENID=1\0",
            b"change@/devices/platform/VMGENCTR:00 NEW_VMGENID=1\0",
            b"change@/devices/x\0NEW_VMGENID=0\0",
            b"change@/devices/x\0NEW_VMGENID=12\0",
            b"change@/devices/x\0XNEW_VMGENID=1\0",
            b"change@/devices/x\0new_vmgenid=1\0",
            b"add@/devices/platform/VMGENCTR:00\0ACTION=add\0NEW_VMGENID=1\0",
            b"change@/devices/virtual/block/loop0\0ACTION=change\0SUBSYSTEM=block\0DISK_MEDIA_CHANGE=1\0SEQNUM=9\0",
            // As udev sends events on, to another group.
            b"libudev\0\xfe\xed\xca\xfe\0change@/devices/x\0NEW_VMGENID=1\0",
        ] {
            assert!(!is_new_generation(other), "{}", other.escape_ascii());
        }
        let mut octets: Vec<u8> = RESTORED.to_vec();
        for _ in 0..octets.len() {
            octets.rotate_left(1);
            assert_eq!(is_new_generation(&octets), octets == RESTORED);
        }
    }
}
