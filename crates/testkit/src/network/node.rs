//! A member on the network, with its data plane.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use claviger_dataplane::DataPlane;
use claviger_group::{GroupId, MemberId, PlaneCommand};
use claviger_identity::{Hit, HostIdentity};
use claviger_member::{Event as MemberEvent, event::Places, member::Member};
use claviger_proof::{Ledger, Ledgers};
use claviger_sansio::Time;

/// A member on the network.
pub struct Node {
    /// The machine.
    pub member: Member,
    /// What protects its data.
    pub plane: DataPlane,
    /// What its member's keys go to in the place of `plane`.
    pub other_plane: Option<OtherPlane>,
    /// Who it is.
    pub identity: Arc<HostIdentity>,
    /// Where it is.
    pub address: Ipv4Addr,
    /// What it told, and when.
    pub events: Vec<(Time, MemberEvent)>,
    /// The payloads of group data that it opened, and when.
    pub received: Vec<(Time, Vec<u8>)>,
    /// Whether the network reaches it.
    pub connected: bool,
    pub(super) ledgers: Ledgers,
    pub(super) places: BTreeMap<GroupId, Places>,
    /// When its timer is due, as it said last.
    pub(super) due: Option<Time>,
}

impl Node {
    /// Returns its HIT.
    pub fn hit(&self) -> Hit {
        self.identity.hit()
    }

    /// Returns the identity that it registers by.
    pub fn id(&self) -> MemberId {
        self.identity.hit().into()
    }

    /// Returns every key of a group that came to it until now, unless [`Network::keeps_keys`](super::Network::keeps_keys) was off.
    pub fn ledger(&self, group: &GroupId) -> Option<Ledger> {
        self.ledgers.of(group)
    }

    /// Carries what the member says of its keys to its data plane, and what that has met back.
    pub(super) fn carry_keys(&mut self, now: Time) {
        loop {
            while let Some((group, command)) = self.member.poll_plane() {
                match &mut self.other_plane {
                    Some(other) => other(now, &group, command),
                    None => self.plane.apply(now, &group, command),
                }
            }
            let Some((group, event)) = self.plane.poll_event() else { return };
            self.member.handle_plane_event(now, &group, event);
        }
    }

    /// Counts the events that `wanted` likes.
    pub fn count(&self, wanted: impl Fn(&MemberEvent) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| wanted(event)).count()
    }

    /// Returns the last event that `wanted` makes something of.
    pub fn last<T>(&self, wanted: impl Fn(&MemberEvent) -> Option<T>) -> Option<T> {
        self.events.iter().rev().find_map(|(_, event)| wanted(event))
    }
}

/// A data plane that is none of the product's.
pub type OtherPlane = Box<dyn FnMut(Time, &GroupId, PlaneCommand)>;
