//! The keys of one group, as the ways that data goes see them.

use std::net::IpAddr;

use claviger_dataplane::{DataPlane, Error};
use claviger_esp::{Opened, SenderKey, packet::PacketError};
use claviger_group::GroupId;
use claviger_sansio::Time;

use super::dropped::Dropped;

/// The keys of a group, as a packet meets them.
pub(super) struct GroupKeys<'a> {
    pub(super) now: Time,
    pub(super) group: &'a GroupId,
    pub(super) plane: &'a mut DataPlane,
}

impl GroupKeys<'_> {
    pub(super) fn seal(&mut self, next_header: u8, payload: &[&[u8]]) -> Result<Vec<u8>, Error> {
        self.plane.seal(self.now, self.group, next_header, payload)
    }

    /// Opens a packet if `check` says that what was inside fits what was outside; see
    /// [`DataPlane::open_checked`].
    pub(super) fn open<T>(
        &mut self,
        source: IpAddr,
        esp: &[u8],
        check: impl FnOnce(Opened) -> Result<T, PacketError>,
    ) -> Result<T, Dropped> {
        Ok(self.plane.open_checked(self.now, self.group, source, esp, check)??)
    }

    pub(super) fn is_own(&self, sender: &SenderKey) -> bool {
        self.plane.is_own(self.group, sender)
    }
}
