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
        Group, SenderIdVerdict, Standing, WaitingJoin,
        announced::Turn,
        arrival::Arrival,
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
    /// What the host is given keys by a rekey of its own for; none if it is given those in force.
    arrival: Option<Arrival>,
    place: Place,
    /// Whether it was told that it needs a lease.
    lease: LeaseNeed,
    made: Time,
}

/// Why a PULL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullRefusal {
    /// The host asks for more sender ids than a PULL may, or sends nothing.
    SenderIdRequest,
    /// The host would have more than its share of the sender ids.
    SenderIdShare,
    /// Other senders have the sender ids.
    SenderIdsTaken,
    /// The host has come too often of late.
    TooOften,
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
            Self::SenderIdRequest | Self::SenderIdShare | Self::SenderIdsTaken => {
                NotifyType::ATTRIBUTES_NOT_SUPPORTED
            }
            Self::Full | Self::NotAuthorised => NotifyType::INVALID_ID_INFORMATION,
            Self::KeysReplaced | Self::NotThere | Self::PlaceFull | Self::TooOften | Self::Unoffered => {
                NotifyType::INVALID_SPI
            }
        }
    }

    /// Says what counts it besides refusals.
    const fn counter(self) -> Option<Counter> {
        match self {
            Self::SenderIdShare | Self::SenderIdsTaken => Some(Counter::SenderIdsRefused),
            Self::TooOften => Some(Counter::TooOften),
            Self::Full
            | Self::KeysReplaced
            | Self::NotAuthorised
            | Self::NotThere
            | Self::PlaceFull
            | Self::SenderIdRequest
            | Self::Unoffered => None,
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
            Self::SenderIdShare => "sender_id_share",
            Self::SenderIdsTaken => "sender_ids_taken",
            Self::TooOften => "too_often",
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

/// What a member that pulls wants of sender ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// So many new ones; zero leaves it to the key server.
    Fresh(u16),
    /// None: it goes on with those that it was given (binding section 7.1).
    Kept,
}

impl Wanted {
    /// Reads a request, of one that holds some or not.
    fn of(requested: Option<u16>, holds_some: bool) -> Self {
        match requested {
            Some(0) if holds_some => Self::Kept,
            Some(count) => Self::Fresh(count),
            None => Self::Fresh(0),
        }
    }
}

/// PULLs being answered: from what, and where it is written what follows.
pub(crate) struct Answering<'a> {
    pub(crate) gdoi: &'a mut Gdoi,
    pub(crate) groups: &'a mut Groups,
    pub(crate) changes: &'a mut Vec<Change>,
    pub(crate) counters: &'a mut Counts<Counter>,
}

impl Answering<'_> {
    /// Answers message 1: the SAs in force to a member, those of the next epoch to a newcomer, and to a member that begins anew
    /// or comes from another place, if it `may_arrive`. The host was found to be admitted.
    pub(crate) fn offer(
        &mut self,
        now: Time,
        pull: PullId,
        (host, id): (MemberId, GroupId),
        lease: LeaseNeed,
        address: IpAddr,
        may_arrive: impl FnOnce() -> bool,
    ) {
        let group = &self.groups[&id];
        match group.distribution {
            Distribution::Gdoi => {}
        }
        let at = group.place_at(address);
        let sits = group.place_of(&host);
        let since = group.members.get(&host).map(|member| member.since);
        let arrival = match arrival(group, &host, sits.is_some_and(|sits| sits != at), may_arrive) {
            Ok(arrival) => arrival,
            Err(why) => return self.refuse_pull(now, pull, why),
        };
        let place = if arrival.is_some() { at } else { sits.unwrap_or(at) };
        debug!(peer = %host, group = %id, ?arrival, "a host pulls");
        let voice = self.gdoi.voice(now, group);
        let sa = match since {
            Some(since) if arrival.is_none() => voice.offer_current(since, place, lease),
            _ => voice.offer_join(&host, place, lease),
        };
        let in_force = group.kek.map(|kek| kek.spi);
        let kek = if arrival.is_some() { Some(group.announcements.open().kek) } else { in_force };
        let teks = sa.teks.iter().map(|tek| tek.spi).collect();
        if self.gdoi.server.offer(now, pull, &sa).is_ok() {
            if let Some(mut group) = self.groups.get_mut(&id) {
                group.announcements.tell(now, host.clone());
            }
            let offer = Offer { host, group: id, kek, teks, arrival, place, lease, made: now };
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
    ) {
        let Some(offer) = self.gdoi.pulls.offers.remove(&pull) else {
            return self.refuse_pull(now, pull, PullRefusal::Unoffered);
        };
        if let Some(mut group) = self.groups.get_mut(&offer.group) {
            group.answered(now, &offer.host);
        }
        let Some((role, need)) = authorised else {
            return self.refuse_pull(now, pull, PullRefusal::NotAuthorised);
        };
        if need == LeaseNeed::Leased && offer.lease != LeaseNeed::Leased {
            // It was given a role since, and does not know that it needs a lease in it.
            return self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
        }
        let offer = Offer { lease: need, ..offer };
        let wanted = requested.unwrap_or(0);
        if wanted > SENDER_IDS_MAX || (wanted > 0 && !role.sends()) {
            return self.refuse_pull(now, pull, PullRefusal::SenderIdRequest);
        }
        let answered = match offer.arrival {
            Some(arrival) => self.confirm_arrival(now, pull, (offer, arrival), role, (wanted, proven)),
            None => self.confirm_member(now, pull, offer, role, requested),
        };
        if let Err(why) = answered {
            self.refuse_pull(now, pull, why);
        }
    }

    fn confirm_arrival(
        &mut self,
        now: Time,
        pull: PullId,
        (offer, arrival): (Offer, Arrival),
        role: Role,
        (sender_ids, proven): (u16, Option<IpAddr>),
    ) -> Result<(), PullRefusal> {
        let group = &self.groups[&offer.group];
        let is_there = proven.is_some_and(|address| group.place_at(address) == offer.place);
        if group.places.is_some() && !is_there {
            // Message 1 came from elsewhere: only message 3 proves that the peer is where it says.
            return Err(PullRefusal::NotThere);
        }
        let turn = offer.kek.and_then(|kek| group.announcements.standing(kek));
        let is_member = group.members.contains_key(&offer.host);
        let Some(turn) = turn.filter(|_| is_member == arrival.is_member()) else {
            // The announced rekey took place between messages 2 and 3; the member begins anew.
            if let Some(mut group) = self.groups.get_mut(&offer.group) {
                group.announcements.came_late(offer.host);
            }
            return Err(PullRefusal::KeysReplaced);
        };
        if arrival == Arrival::Joins && group.is_full() {
            return Err(PullRefusal::Full);
        }
        check_sender_ids(group, &offer.host, role, sender_ids, Standing::Arrives(arrival))?;
        let Offer { host, group, place, lease, .. } = offer;
        let request = RequestId(pull.as_u64());
        let mut group = self.groups.get_mut(&group).expect("an authorised host's group exists");
        group.waiting.forget_join(&host);
        let waiting = match turn {
            Turn::Next => &mut group.waiting.joins,
            Turn::Later => &mut group.waiting.later,
        };
        waiting.push(WaitingJoin { request, host, role, sender_ids, place, arrival, lease });
        group.schedule_rekey(now);
        Ok(())
    }

    fn confirm_member(
        &mut self,
        now: Time,
        pull: PullId,
        offer: Offer,
        role: Role,
        requested: Option<u16>,
    ) -> Result<(), PullRefusal> {
        let mut group = self.groups.get_mut(&offer.group).expect("an authorised host's group exists");
        let stale =
            group.kek.map(|kek| kek.spi) != offer.kek || !offer.teks.contains(&group.current_tek().tek.spi);
        if stale {
            return Err(PullRefusal::KeysReplaced);
        }
        let Some(member) = group.members.get(&offer.host) else { return Err(PullRefusal::KeysReplaced) };
        let wanted = Wanted::of(requested, !member.sender_ids.latest().is_empty());
        if let Wanted::Fresh(count) = wanted {
            let first_tek = first_of(&group, &offer.teks);
            check_sender_ids(&group, &offer.host, role, count, Standing::Stays { first_tek })?;
        }
        let Some(member) = group.members.get_mut(&offer.host) else { return Err(PullRefusal::KeysReplaced) };
        member.role = role;
        member.last_pull = now;
        drop(group);
        self.download(now, pull, (&offer.group, &offer.host), (role, wanted), (&offer.teks, offer.lease))
    }

    /// Answers the message 3 of a joiner, or of a member that arrived, once its leaf, KEK and TEK exist.
    pub(crate) fn download_to_joiner(&mut self, now: Time, id: &GroupId, join: &WaitingJoin) {
        let pull = pull_of(join.request);
        let tek = self.groups[id].current_tek().tek.spi;
        let asked = (join.role, Wanted::Fresh(join.sender_ids));
        if let Err(why) = self.download(now, pull, (id, &join.host), asked, (&[tek], join.lease)) {
            self.refuse_pull(now, pull, why);
        }
    }

    /// Writes message 4 with sender ids of its own, and has both stored. The first message under the KEK may be sealed
    /// already; the member has what it brings.
    fn download(
        &mut self,
        now: Time,
        pull: PullId,
        (id, host): (&GroupId, &MemberId),
        (role, wanted): (Role, Wanted),
        (teks, lease): (&[Spi], LeaseNeed),
    ) -> Result<(), PullRefusal> {
        let mut group = self.groups.get_mut(id).expect("an authorised host's group exists");
        let Some(leaf) = group.members.get(host).map(|member| member.leaf) else { return Ok(()) };
        let mut values = None;
        if let Wanted::Fresh(count) = wanted
            && needs_sender_ids(&group, role)
        {
            let first_tek = first_of(&group, teks);
            let given = group.give_sender_ids(host, count.max(1), first_tek);
            values = Some(given.ok_or(PullRefusal::SenderIdsTaken)?);
            self.changes.push(group.record());
        }
        self.changes.push(group.member_record(host));
        group.lease_pulled(now, host, lease);
        drop(group);
        let group = &self.groups[id];
        let download = self.gdoi.voice(now, group).download(leaf, teks, values);
        let sequence = group.kek.map(|kek| kek.sequence);
        // The group started over since this host was offered its keys, or the PULL has ended.
        self.gdoi.server.download(now, pull, sequence, &download).map_err(|_| PullRefusal::KeysReplaced)
    }

    /// Refuses a host that waits for message 4: there is no room for it.
    pub(crate) fn refuse_joiner(&mut self, now: Time, join: &WaitingJoin) {
        let pull = pull_of(join.request);
        let why = if join.arrival.is_member() { PullRefusal::PlaceFull } else { PullRefusal::Full };
        self.refuse_pull(now, pull, why);
    }

    pub(crate) fn refuse_pull(&mut self, now: Time, pull: PullId, why: PullRefusal) {
        debug!(%pull, reason = why.as_str(), "the PULL is refused");
        self.counters.count(Counter::PullRefused);
        if let Some(counter) = why.counter() {
            self.counters.count(counter);
        }
        // A PULL that ended meanwhile needs no refusal.
        let _ = self.gdoi.server.refuse(now, pull, why.notify());
    }
}

/// Says which PULL a request is.
const fn pull_of(request: RequestId) -> PullId {
    PullId::from_u64(request.0)
}

/// Says for what a host that pulls is given keys by a rekey of its own, if it `may_arrive`; none if it is given the keys in
/// force.
fn arrival(
    group: &Group,
    host: &MemberId,
    is_elsewhere: bool,
    may_arrive: impl FnOnce() -> bool,
) -> Result<Option<Arrival>, PullRefusal> {
    let Some(member) = group.members.get(host) else { return Ok(Some(Arrival::Joins)) };
    if member.registered_anew {
        return if may_arrive() { Ok(Some(Arrival::Returns)) } else { Err(PullRefusal::TooOften) };
    }
    let arrival = if group.sender_ids.are_spent_by(&member.sender_ids, group.current_tek().number) {
        Arrival::Replenishes
    } else if is_elsewhere {
        Arrival::Moves
    } else {
        return Ok(None);
    };
    // Who comes too often stays where it sits, with what remains of its share: it gets everything there too.
    Ok(Some(arrival).filter(|_| may_arrive()))
}

/// Says whether a host is told sender ids: one that sends, where the group counts.
fn needs_sender_ids(group: &Group, role: Role) -> bool {
    role.sends() && group.policy.data.transform.is_counter_mode()
}

/// Checks that a host may have the sender ids that it asks for, if it needs any.
fn check_sender_ids(
    group: &Group,
    host: &MemberId,
    role: Role,
    count: u16,
    standing: Standing,
) -> Result<(), PullRefusal> {
    if !needs_sender_ids(group, role) {
        return Ok(());
    }
    match group.may_have_sender_ids(host, count.max(1), standing) {
        SenderIdVerdict::Granted => Ok(()),
        SenderIdVerdict::BeyondShare => Err(PullRefusal::SenderIdShare),
        SenderIdVerdict::NoneLeft => Err(PullRefusal::SenderIdsTaken),
    }
}

/// Says which number the first of these TEKs has, of those that are not forgotten.
fn first_of(group: &Group, teks: &[Spi]) -> u64 {
    let named = group.teks.iter().find(|issued| teks.contains(&issued.tek.spi));
    named.map_or(group.current_tek().number, |issued| issued.number)
}
