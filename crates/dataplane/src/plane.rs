//! The data planes that there are.

use std::{convert::Infallible, net::IpAddr};

use claviger_crypto::{CryptoProvider, erase_stack};
use claviger_esp::{Counter, Opened, SaStatus, SenderKey};
use claviger_group::{GroupId, PlaneCommand, PlaneEvent};
use claviger_sansio::{Counts, Time};

use crate::{Error, userspace::Userspace};

/// What protects the packets of a member's groups.
pub enum DataPlane {
    /// ESP in this process.
    Userspace(Userspace),
}

impl DataPlane {
    /// Makes one that does ESP in this process and holds no key.
    pub fn userspace(provider: &CryptoProvider) -> Self {
        Self::Userspace(Userspace::new(provider))
    }

    /// Does what the member says of a group. What comes of it that the member has to know is an event.
    pub fn apply(&mut self, now: Time, group: &GroupId, command: PlaneCommand) {
        match self {
            Self::Userspace(plane) => plane.apply(now, group, command),
        }
        // It may have brought a TEK.
        erase_stack();
    }

    /// Gives an event for the member.
    pub fn poll_event(&mut self) -> Option<(GroupId, PlaneEvent)> {
        match self {
            Self::Userspace(plane) => plane.poll_event(),
        }
    }

    /// Activates and removes what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        match self {
            Self::Userspace(plane) => plane.handle_timeout(now),
        }
    }

    /// Says when [`DataPlane::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Userspace(plane) => plane.poll_timeout(),
        }
    }

    /// Protects the concatenation of `payload`, of protocol `next_header`, for a group.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be sent.
    pub fn seal(
        &mut self,
        now: Time,
        group: &GroupId,
        next_header: u8,
        payload: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        match self {
            Self::Userspace(plane) => plane.seal(now, group, next_header, payload),
        }
    }

    /// Opens a packet of a group that came from `source`, for callers to whom every packet fits that is authentic.
    ///
    /// # Errors
    ///
    /// The reason to drop it.
    pub fn open(
        &mut self,
        now: Time,
        group: &GroupId,
        source: IpAddr,
        packet: &[u8],
    ) -> Result<Opened, Error> {
        let Ok(opened) = self.open_checked(now, group, source, packet, Ok::<_, Infallible>)?;
        Ok(opened)
    }

    /// Opens a packet of a group that came from `source`, and has the caller say whether what was inside fits what was
    /// outside: only then was the sender heard.
    ///
    /// # Errors
    ///
    /// The reason to drop it, within it that of `check`.
    pub fn open_checked<T, E>(
        &mut self,
        now: Time,
        group: &GroupId,
        source: IpAddr,
        packet: &[u8],
        check: impl FnOnce(Opened) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        match self {
            Self::Userspace(plane) => plane.open_checked(now, group, source, packet, check),
        }
    }

    /// Says whether a packet of a group would leave: there is an SA to send under, and its lease has not ended.
    pub fn sends(&self, now: Time, group: &GroupId) -> bool {
        match self {
            Self::Userspace(plane) => plane.sends(now, group),
        }
    }

    /// Says whether packets of this sender are the member's own, as it hears them back from a group it receives.
    pub fn is_own(&self, group: &GroupId, sender: &SenderKey) -> bool {
        match self {
            Self::Userspace(plane) => plane.is_own(group, sender),
        }
    }

    /// Describes every SA of a group, the oldest first.
    pub fn status(&self, group: &GroupId) -> Vec<SaStatus> {
        match self {
            Self::Userspace(plane) => plane.status(group),
        }
    }

    /// Shows how many packets of a group passed, and how many did not and why; nothing before there are keys.
    pub fn counts(&self, group: &GroupId) -> Option<&Counts<Counter>> {
        match self {
            Self::Userspace(plane) => plane.counts(group),
        }
    }
}
