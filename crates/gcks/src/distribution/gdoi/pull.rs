//! GROUPKEY-PULLs: which host is offered what, and which is given it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use claviger_gdoi::PullId;
use claviger_group::{CookiePair, GroupId, MemberId, Role, Spi};
use claviger_isakmp::iana::NotifyType;
use claviger_keytree::place::Place;
use claviger_sansio::{Counts, Time, durable::Change};
use tracing::debug;

use super::Gdoi;
use crate::{
    Counter,
    group::{
        WaitingJoin,
        announced::Turn,
        distribution::{Distribution, RequestId},
        lease::LeaseNeed,
    },
    groups::Groups,
};

/// The most sender ids that one PULL may ask for: one for each encryption module of a large sender.
const SENDER_IDS_MAX: u16 = 64;

/// How long an offer is remembered without an answer: longer than a member repeats message 3.
const OFFER_LIFETIME: Duration = Duration::from_secs(60);

/// The running PULLs.
#[derive(Default)]
pub(crate) struct Pulls {
    /// What message 2 announced.
    offers: BTreeMap<PullId, Offer>,
    /// Where the last PULL of a host has shown it to be, if that is not where its association is; none if nowhere. It
    /// is forgotten with the association, when that moves, and by a restart.
    addresses: BTreeMap<MemberId, Option<IpAddr>>,
}

struct Offer {
    host: MemberId,
    group: GroupId,
    /// The rekey SA named; that of the next epoch to a newcomer, whether the group has one or not.
    kek: Option<CookiePair>,
    teks: Vec<Spi>,
    joins: bool,
    /// Whether a member comes from another place.
    moves: bool,
    place: Place,
    /// Whether it was told that it needs a lease.
    lease: LeaseNeed,
    made: Time,
}

/// Why a PULL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullRefusal {
    /// The host asks for more sender ids than there may be, or sends nothing.
    SenderIdRequest,
    /// The keys that message 2 named are not those that the host would be given.
    KeysReplaced,
    /// The host holds no grant, or is not on the list.
    NotAuthorised,
    /// The host was not shown to be at the place whose keys it asks for.
    NotThere,
    /// There is no room for another member.
    Full,
    /// There is no room at the place that the member has come to.
    PlaceFull,
    /// No offer of the PULL is remembered.
    Unoffered,
}

impl PullRefusal {
    /// Says what the host is told.
    const fn notify(self) -> NotifyType {
        match self {
            Self::SenderIdRequest => NotifyType::ATTRIBUTES_NOT_SUPPORTED,
            Self::Full | Self::NotAuthorised => NotifyType::INVALID_ID_INFORMATION,
            Self::KeysReplaced | Self::NotThere | Self::PlaceFull | Self::Unoffered => {
                NotifyType::INVALID_SPI
            }
        }
    }

    /// Names the reason in the log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::KeysReplaced => "keys_replaced",
            Self::NotAuthorised => "not_authorised",
            Self::NotThere => "not_there",
            Self::PlaceFull => "place_full",
            Self::SenderIdRequest => "sender_id_request",
            Self::Unoffered => "unoffered",
        }
    }
}

impl Pulls {
    /// Notes where a PULL has shown a host to be, beside where its association is.
    pub(crate) fn note_address(
        &mut self,
        host: &MemberId,
        proven: Option<IpAddr>,
        associated: Option<IpAddr>,
    ) {
        if proven.is_some() && proven == associated {
            self.addresses.remove(host);
        } else {
            self.addresses.insert(host.clone(), proven);
        }
    }

    /// Returns where a host has been shown to be: by its last PULL, or else where its association is.
    pub(crate) fn address(&self, host: &MemberId, associated: Option<IpAddr>) -> Option<IpAddr> {
        self.addresses.get(host).copied().unwrap_or(associated)
    }

    /// Forgets where PULLs have shown a host to be.
    pub(crate) fn forget_address(&mut self, host: &MemberId) {
        self.addresses.remove(host);
    }

    /// Forgets offers that were not answered for long.
    pub(crate) fn expire(&mut self, now: Time) {
        self.offers.retain(|_, offer| offer.made + OFFER_LIFETIME > now);
    }

    /// Forgets what was announced in a PULL that has ended.
    pub(crate) fn decline(&mut self, pull: PullId) {
        self.offers.remove(&pull);
    }

    /// Shows who was offered the keys of which group, as far as it is remembered.
    pub(crate) fn offered(&self, pull: PullId) -> Option<(&MemberId, &GroupId)> {
        self.offers.get(&pull).map(|offer| (&offer.host, &offer.group))
    }
}

/// PULLs being answered: from what, and where it is written what follows.
pub(crate) struct Answering<'a> {
    pub(crate) gdoi: &'a mut Gdoi,
    pub(crate) groups: &'a mut Groups,
    pub(crate) changes: &'a mut Vec<Change>,
    pub(crate) counters: &'a mut Counts<Counter>,
}

/// Says that the sender ids of a group are spent: it is to start over, and this PULL to be refused behind that.
#[must_use = "the group starts over"]
pub(crate) struct SenderIdsSpent(pub(crate) PullId);

impl Answering<'_> {
    /// Answers message 1: the SAs in force to a member, those of the next epoch to a newcomer and to a member that comes
    /// from another place, if it `may_move`. The host was found to be admitted.
    pub(crate) fn offer(
        &mut self,
        now: Time,
        pull: PullId,
        (host, id): (MemberId, GroupId),
        lease: LeaseNeed,
        address: IpAddr,
        may_move: impl FnOnce() -> bool,
    ) {
        let group = &self.groups[&id];
        match group.distribution {
            Distribution::Gdoi => {}
        }
        let at = group.place_at(address);
        let sits = group.place_of(&host);
        let since = group.members.get(&host).map(|member| member.since);
        // Who moves for ever stays where it sits: it gets everything there too.
        let moves = sits.is_some_and(|sits| sits != at) && may_move();
        let place = if moves { at } else { sits.unwrap_or(at) };
        let joins = since.is_none();
        debug!(peer = %host, group = %id, joins, moves, "a host pulls");
        let voice = self.gdoi.voice(now, group);
        let sa = match since {
            Some(since) if !moves => voice.offer_current(since, place, lease),
            _ => voice.offer_join(place, lease),
        };
        let in_force = group.kek.map(|kek| kek.spi);
        let kek = if joins || moves { Some(group.announcements.open().kek) } else { in_force };
        let teks = sa.teks.iter().map(|tek| tek.spi).collect();
        if self.gdoi.server.offer(now, pull, &sa).is_ok() {
            if let Some(mut group) = self.groups.get_mut(&id) {
                group.announcements.tell(now, host.clone());
            }
            let offer = Offer { host, group: id, kek, teks, joins, moves, place, lease, made: now };
            self.gdoi.pulls.offers.insert(pull, offer);
        }
    }

    /// Answers message 3, or has the next rekey answer it. Everything is checked again (binding section 5): `authorised`
    /// is the role in which the host may have keys now, and whether it needs a lease in it.
    pub(crate) fn confirm(
        &mut self,
        now: Time,
        pull: PullId,
        authorised: Option<(Role, LeaseNeed)>,
        requested: Option<u16>,
        proven: Option<IpAddr>,
    ) -> Result<(), SenderIdsSpent> {
        let Some(offer) = self.gdoi.pulls.offers.remove(&pull) else {
            self.refuse_pull(now, pull, PullRefusal::Unoffered);
            return Ok(());
        };
        if let Some(mut group) = self.groups.get_mut(&offer.group) {
            group.answered(now, &offer.host);
        }
        let Some((role, need)) = authorised else {
            self.refuse_pull(now, pull, PullRefusal::NotAuthorised);
            return Ok(());
        };
        if need == LeaseNeed::Leased && offer.lease != LeaseNeed::Leased {
            // It was given a role since, and does not know that it needs a lease in it.
            self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
            return Ok(());
        }
        let offer = Offer { lease: need, ..offer };
        let wanted = requested.unwrap_or(0);
        if wanted > SENDER_IDS_MAX || (wanted > 0 && !role.sends()) {
            self.refuse_pull(now, pull, PullRefusal::SenderIdRequest);
            return Ok(());
        }
        if offer.joins || offer.moves {
            let group = &self.groups[&offer.group];
            let is_there = proven.is_some_and(|address| group.place_at(address) == offer.place);
            if group.places.is_some() && !is_there {
                // Message 1 came from elsewhere: only message 3 proves that the peer is where it says.
                self.refuse_pull(now, pull, PullRefusal::NotThere);
                return Ok(());
            }
            self.confirm_join(now, pull, offer, role, wanted);
            Ok(())
        } else {
            self.confirm_member(now, pull, offer, role, wanted)
        }
    }

    fn confirm_join(&mut self, now: Time, pull: PullId, offer: Offer, role: Role, sender_ids: u16) {
        let group = &self.groups[&offer.group];
        let turn = offer.kek.and_then(|kek| group.announcements.standing(kek));
        let Some(turn) = turn.filter(|_| group.members.contains_key(&offer.host) == offer.moves) else {
            // The announced rekey took place between messages 2 and 3; the member begins anew.
            if let Some(mut group) = self.groups.get_mut(&offer.group) {
                group.announcements.came_late(offer.host);
            }
            return self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
        };
        if offer.joins && group.is_full() {
            return self.refuse_pull(now, pull, PullRefusal::Full);
        }
        let Offer { host, group, moves, place, lease, .. } = offer;
        let request = RequestId(pull.as_u64());
        let mut group = self.groups.get_mut(&group).expect("an authorised host's group exists");
        group.waiting.forget_join(&host);
        let waiting = match turn {
            Turn::Next => &mut group.waiting.joins,
            Turn::Later => &mut group.waiting.later,
        };
        waiting.push(WaitingJoin { request, host, role, sender_ids, place, moves, lease });
        group.schedule_rekey(now);
    }

    fn confirm_member(
        &mut self,
        now: Time,
        pull: PullId,
        offer: Offer,
        role: Role,
        sender_ids: u16,
    ) -> Result<(), SenderIdsSpent> {
        let mut group = self.groups.get_mut(&offer.group).expect("an authorised host's group exists");
        let stale =
            group.kek.map(|kek| kek.spi) != offer.kek || !offer.teks.contains(&group.current_tek().tek.spi);
        let Some(member) = group.members.get_mut(&offer.host).filter(|_| !stale) else {
            drop(group);
            self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
            return Ok(());
        };
        member.role = role;
        member.last_pull = now;
        let leaf = member.leaf;
        drop(group);
        let sender_ids = self.sender_ids(&offer.group, &offer.host, role, sender_ids);
        let sender_ids = sender_ids.ok_or(SenderIdsSpent(pull))?;
        let group = &self.groups[&offer.group];
        let download = self.gdoi.voice(now, group).download(leaf, &offer.teks, sender_ids);
        let sequence = group.kek.map(|kek| kek.sequence);
        // A PULL that ended meanwhile needs no answer.
        let _ = self.gdoi.server.download(now, pull, sequence, &download);
        if let Some(mut group) = self.groups.get_mut(&offer.group) {
            group.lease_pulled(now, &offer.host, offer.lease);
        }
        Ok(())
    }

    /// Answers the message 3 of a joiner, or of a member that moved, once its leaf, KEK and TEK exist.
    pub(crate) fn download_to_joiner(
        &mut self,
        now: Time,
        id: &GroupId,
        join: &WaitingJoin,
    ) -> Result<(), SenderIdsSpent> {
        let pull = pull_of(join.request);
        let sender_ids = self.sender_ids(id, &join.host, join.role, join.sender_ids);
        let sender_ids = sender_ids.ok_or(SenderIdsSpent(pull))?;
        let group = &self.groups[id];
        let Some(member) = group.members.get(&join.host) else { return Ok(()) };
        let tek = group.current_tek().tek.spi;
        // The first message under the new KEK may be sealed already; the joiner has what it brings.
        let download = self.gdoi.voice(now, group).download(member.leaf, &[tek], sender_ids);
        let sequence = group.kek.map(|kek| kek.sequence);
        if self.gdoi.server.download(now, pull, sequence, &download).is_err() {
            // The group started over since this host was offered its keys, or the PULL has ended.
            self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
        }
        if let Some(mut group) = self.groups.get_mut(id) {
            group.lease_pulled(now, &join.host, join.lease);
        }
        Ok(())
    }

    /// Refuses a host that waits for message 4: there is no room for it.
    pub(crate) fn refuse_joiner(&mut self, now: Time, join: &WaitingJoin) {
        let pull = pull_of(join.request);
        let why = if join.moves { PullRefusal::PlaceFull } else { PullRefusal::Full };
        self.refuse_pull(now, pull, why);
    }

    /// Allocates sender ids to one who sends, where the group counts. The outer `None` says that they are spent:
    /// the group is to start over, and the member must pull again.
    #[expect(clippy::option_option, reason = "spent ids and a member that needs none are different answers")]
    fn sender_ids(
        &mut self,
        id: &GroupId,
        host: &MemberId,
        role: Role,
        count: u16,
    ) -> Option<Option<Vec<u32>>> {
        let mut group = self.groups.get_mut(id)?;
        if !role.sends() || !group.policy.data.transform.is_counter_mode() {
            self.changes.push(group.member_record(host));
            return Some(None);
        }
        if let Some(values) = group.allocate_sender_ids(count) {
            if let Some(member) = group.members.get_mut(host) {
                member.sender_ids.clone_from(&values);
            }
            self.changes.push(group.record());
            self.changes.push(group.member_record(host));
            return Some(Some(values));
        }
        None
    }

    pub(crate) fn refuse_pull(&mut self, now: Time, pull: PullId, why: PullRefusal) {
        debug!(%pull, reason = why.as_str(), "the PULL is refused");
        self.counters.count(Counter::PullRefused);
        // A PULL that ended meanwhile needs no refusal.
        let _ = self.gdoi.server.refuse(now, pull, why.notify());
    }
}

/// Says which PULL a request is.
const fn pull_of(request: RequestId) -> PullId {
    PullId::from_u64(request.0)
}
