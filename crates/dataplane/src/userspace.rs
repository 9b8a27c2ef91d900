//! ESP in this process.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use claviger_crypto::CryptoProvider;
use claviger_esp::{Counter, Event, Opened, Plane, PlaneConfig, SaStatus, SenderKey};
use claviger_group::{DataSa, GroupId, PlaneCommand, PlaneEvent, Role, SenderId, Spi, Tek};
use claviger_sansio::{Counts, Time};
use tracing::{Level, Span, debug, debug_span, enabled};

use crate::Error;

/// An [`esp::Plane`](claviger_esp::Plane) for each group.
pub struct Userspace {
    provider: CryptoProvider,
    groups: BTreeMap<GroupId, Group>,
}

struct Group {
    plane: Plane,
    /// The ids that this member sends with, and may hear itself by.
    sender_ids: Vec<SenderId>,
    /// SAs that were not taken, for the member to hear of.
    refused: VecDeque<Spi>,
}

impl Userspace {
    /// Makes one that holds no key.
    pub fn new(provider: &CryptoProvider) -> Self {
        Self { provider: *provider, groups: BTreeMap::new() }
    }

    /// Does what the member says of a group.
    pub fn apply(&mut self, now: Time, id: &GroupId, command: PlaneCommand) {
        let _group = span(id).entered();
        match command {
            PlaneCommand::Open { role, sender_id_bits, seed } => {
                let config = PlaneConfig::new(role, sender_id_bits);
                let plane = Plane::new(&self.provider, config, seed.generator());
                let group = Group { plane, sender_ids: Vec::new(), refused: VecDeque::new() };
                self.groups.insert(id.clone(), group);
            }
            PlaneCommand::Install(sa) => self.change(id, |group| group.install(now, sa)),
            PlaneCommand::Activate { spi, at, older_until } => {
                self.change(id, |group| group.activate(now, spi, at, older_until));
            }
            PlaneCommand::Deactivate { spi, at } => {
                self.change(id, |group| group.plane.deactivate(now, spi, at));
            }
            PlaneCommand::Lease(lease) => self.change(id, |group| group.plane.lease(now, lease)),
            PlaneCommand::Narrow(role) => self.change(id, |group| group.narrow(role)),
            PlaneCommand::DeleteAll => self.change(id, |group| group.plane.delete_all()),
            PlaneCommand::Close => drop(self.groups.remove(id)),
        }
    }

    /// Gives an event for the member.
    pub fn poll_event(&mut self) -> Option<(GroupId, PlaneEvent)> {
        self.groups.iter_mut().find_map(|(id, group)| {
            let event = group.poll_event()?;
            Some((id.clone(), event))
        })
    }

    /// Activates and removes what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        for (id, group) in &mut self.groups {
            let _group = span(id).entered();
            group.plane.handle_timeout(now);
        }
    }

    /// Says when [`Userspace::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.groups.values().filter_map(|group| group.plane.poll_timeout()).min()
    }
}

// The path of packets.
impl Userspace {
    /// Protects the concatenation of `payload`, of protocol `next_header`, for a group.
    ///
    /// # Errors
    ///
    /// [`Error::NotKeyed`], or those of [`Plane::seal`].
    pub fn seal(
        &mut self,
        now: Time,
        id: &GroupId,
        next_header: u8,
        payload: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        // Nothing is made for a log that nobody reads.
        let _group = enabled!(Level::TRACE).then(|| span(id).entered());
        let group = self.groups.get_mut(id).ok_or_else(|| Error::NotKeyed(id.clone()))?;
        Ok(group.plane.seal_parts(now, next_header, payload)?)
    }

    /// Opens an ESP packet of a group that came from `source`, if `check` says that what was inside fits.
    ///
    /// # Errors
    ///
    /// [`Error::NotKeyed`], or those of [`Plane::open_checked`].
    pub fn open_checked<T, E>(
        &mut self,
        now: Time,
        id: &GroupId,
        source: IpAddr,
        esp: &[u8],
        check: impl FnOnce(Opened) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        // As above.
        let _group = enabled!(Level::TRACE).then(|| span(id).entered());
        let group = self.groups.get_mut(id).ok_or_else(|| Error::NotKeyed(id.clone()))?;
        Ok(group.plane.open_checked(now, source, esp, check)?)
    }

    /// Says whether a packet of a group would leave.
    pub fn sends(&self, now: Time, id: &GroupId) -> bool {
        self.groups.get(id).is_some_and(|group| group.plane.sends(now))
    }

    /// Says whether packets of this sender are the member's own, as it hears them back from a group it receives.
    pub fn is_own(&self, id: &GroupId, sender: &SenderKey) -> bool {
        let ids = self.groups.get(id).map(|group| &group.sender_ids[..]).unwrap_or_default();
        match sender {
            SenderKey::Id(id) => ids.contains(id),
            SenderKey::Address(_) => false,
        }
    }

    /// Describes every SA of a group, the oldest first.
    pub fn status(&self, id: &GroupId) -> Vec<SaStatus> {
        self.groups.get(id).map(|group| group.plane.status()).unwrap_or_default()
    }

    /// Shows how many packets of a group passed, and how many did not and why; nothing before there are keys.
    pub fn counts(&self, id: &GroupId) -> Option<&Counts<Counter>> {
        self.groups.get(id).map(|group| group.plane.counts())
    }

    /// Changes a group. One that was closed has nothing left to be changed.
    fn change(&mut self, id: &GroupId, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.groups.get_mut(id) {
            change(group);
        }
    }
}

impl Group {
    fn install(&mut self, now: Time, sa: DataSa) {
        let DataSa { tek, expires, sender_ids } = sa;
        if !sender_ids.is_empty() {
            self.sender_ids.clone_from(&sender_ids);
        }
        let spi = tek.spi;
        // The command may have been some time on its way.
        let tek = Tek { lifetime: expires.since(now), ..tek };
        if let Err(error) = self.plane.install_inbound(now, tek, &sender_ids) {
            debug!(%spi, reason = error.reason(), %error, "an SA is not taken");
            self.refused.push_back(spi);
        }
    }

    fn activate(&mut self, now: Time, spi: Spi, at: Time, older_until: Time) {
        self.plane.activate(now, spi, at);
        if older_until < at {
            self.plane.supersede_older(now, spi, older_until);
        }
    }

    fn narrow(&mut self, role: Role) {
        self.plane.narrow(role);
        if !role.sends() {
            self.sender_ids.clear();
        }
    }

    fn poll_event(&mut self) -> Option<PlaneEvent> {
        if let Some(spi) = self.refused.pop_front() {
            return Some(PlaneEvent::Refused(spi));
        }
        loop {
            match self.plane.poll_event()? {
                Event::Activated(spi) => return Some(PlaneEvent::ChangedOver(spi)),
                Event::Exhausting(spi) => return Some(PlaneEvent::SenderIdSpent(spi)),
                Event::UnknownSpi(spi) => return Some(PlaneEvent::UnknownSpi(spi)),
                // They come when they are due, as the member has said.
                Event::Deactivated(_) | Event::Expired(_) | Event::LeaseEnded => {}
            }
        }
    }
}

fn span(group: &GroupId) -> Span {
    debug_span!("group", %group)
}
