//! Offers and downloads: the GDOI side of the key server.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use claviger_gdoi::{PullId, ServerEvent as GdoiEvent};
use claviger_group::{CookiePair, GroupId, Role, Spi, registration::PeerIdentity};
use claviger_identity::Hit;
use claviger_isakmp::iana::NotifyType;
use claviger_keytree::place::Place;
use claviger_sansio::Time;
use tracing::debug;

use crate::{Counter, Gcks, delivery::Route, event::RekeyCause, group::WaitingJoin};

/// The most sender ids that one PULL may ask for: one for each encryption module of a large sender.
const SENDER_IDS_MAX: u16 = 64;

/// How long an offer is remembered without an answer: longer than a member repeats message 3.
const OFFER_LIFETIME: Duration = Duration::from_secs(60);

/// What message 2 of the running PULLs announced.
#[derive(Default)]
pub(crate) struct Pulls {
    offers: BTreeMap<PullId, Offer>,
    /// Where the last PULL of a host has shown it to be, if that is not where its association is; none if nowhere. It
    /// is forgotten with the association, when that moves, and by a restart.
    addresses: BTreeMap<Hit, Option<IpAddr>>,
}

struct Offer {
    hit: Hit,
    group: GroupId,
    kek: CookiePair,
    teks: Vec<Spi>,
    joins: bool,
    /// Whether a member comes from another place.
    moves: bool,
    place: Place,
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

impl Gcks {
    pub(crate) fn handle_gdoi_event(&mut self, now: Time, event: GdoiEvent) {
        match event {
            GdoiEvent::PullRequested { pull, peer: PeerIdentity::Hit(hit), group, peer_address, .. } => {
                self.offer(now, pull, hit, group, peer_address.ip());
            }
            GdoiEvent::PullConfirmed {
                pull,
                peer: PeerIdentity::Hit(hit),
                sender_ids,
                proven_address,
                ..
            } => {
                self.note_address(hit, proven_address);
                self.confirm(now, pull, sender_ids, proven_address);
            }
            GdoiEvent::PullDeclined { pull, peer, group, notify } => {
                debug!(%peer, %group, notify_type = notify.0, "the host declines the policy");
                // It cannot follow the policy, and says so before message 3: nothing was made for it.
                self.pulls.offers.remove(&pull);
                self.counters.gcks.count(Counter::PullsDeclined);
            }
            GdoiEvent::Reported { peer: PeerIdentity::Hit(hit), report, peer_address, own_address } => {
                let route = Route { peer: peer_address, own: own_address };
                self.handle_report(now, hit, route, &report);
            }
        }
    }

    /// Notes where a PULL has shown a host to be.
    fn note_address(&mut self, hit: Hit, proven: Option<IpAddr>) {
        if proven.is_some() && proven == self.associated_address(&hit) {
            self.pulls.addresses.remove(&hit);
        } else {
            self.pulls.addresses.insert(hit, proven);
        }
    }

    /// Returns where a host has been shown to be: only there is it sent what it did not ask for with a round trip.
    pub(crate) fn address(&self, hit: &Hit) -> Option<IpAddr> {
        let noted = self.pulls.addresses.get(hit).copied();
        noted.unwrap_or_else(|| self.associated_address(hit))
    }

    /// Forgets where PULLs have shown a host to be: its association has ended, or shows where it is now.
    pub(crate) fn forget_address(&mut self, hit: &Hit) {
        self.pulls.addresses.remove(hit);
    }

    fn associated_address(&self, hit: &Hit) -> Option<IpAddr> {
        self.address_of(hit).map(|address| address.ip())
    }

    /// Answers message 1: the SAs in force to a member, those of the next epoch to a newcomer and to a member that comes
    /// from another place.
    fn offer(&mut self, now: Time, pull: PullId, hit: Hit, id: GroupId, address: IpAddr) {
        self.pulls.offers.retain(|_, offer| offer.made + OFFER_LIFETIME > now);
        if self.authorised(now, &hit, &id).is_none() {
            return self.refuse_pull(now, pull, PullRefusal::NotAuthorised);
        }
        let group = &self.groups[&id];
        let at = group.place_at(address);
        let sits = group.place_of(&hit);
        let since = group.members.get(&hit).map(|member| member.since);
        // Who moves for ever stays where it sits: it gets everything there too.
        let moves = sits.is_some_and(|sits| sits != at) && self.limiter.admit(now, hit, &id);
        let place = if moves { at } else { sits.unwrap_or(at) };
        let joins = since.is_none();
        debug!(peer = %hit, group = %id, joins, moves, "a host pulls");
        let sa = self.with_group(now, &id, |group, context| match since {
            Some(since) if !moves => group.offer_current(context, since, place),
            _ => group.offer_join(context, place),
        });
        let Ok(sa) = sa else { return };
        let group = &self.groups[&id];
        let kek = if joins || moves { group.next.kek } else { group.kek.spi };
        let teks = sa.teks.iter().map(|tek| tek.spi).collect();
        if self.gdoi.offer(now, pull, &sa).is_ok() {
            let offer = Offer { hit, group: id, kek, teks, joins, moves, place, made: now };
            self.pulls.offers.insert(pull, offer);
        }
    }

    /// Answers message 3, or has the next rekey answer it. Everything is checked again (binding section 5).
    fn confirm(&mut self, now: Time, pull: PullId, requested: Option<u16>, proven: Option<IpAddr>) {
        let Some(offer) = self.pulls.offers.remove(&pull) else {
            return self.refuse_pull(now, pull, PullRefusal::Unoffered);
        };
        let Some(role) = self.authorised(now, &offer.hit, &offer.group) else {
            return self.refuse_pull(now, pull, PullRefusal::NotAuthorised);
        };
        let wanted = requested.unwrap_or(0);
        if wanted > SENDER_IDS_MAX || (wanted > 0 && !role.sends()) {
            return self.refuse_pull(now, pull, PullRefusal::SenderIdRequest);
        }
        if offer.joins || offer.moves {
            let group = &self.groups[&offer.group];
            let is_there = proven.is_some_and(|address| group.place_at(address) == offer.place);
            if group.places.is_some() && !is_there {
                // Message 1 came from elsewhere: only message 3 proves that the peer is where it says.
                return self.refuse_pull(now, pull, PullRefusal::NotThere);
            }
            self.confirm_join(now, pull, offer, role, wanted);
        } else {
            self.confirm_member(now, pull, offer, role, wanted);
        }
    }

    fn confirm_join(&mut self, now: Time, pull: PullId, offer: Offer, role: Role, sender_ids: u16) {
        let group = &self.groups[&offer.group];
        if group.next.kek != offer.kek || group.members.contains_key(&offer.hit) != offer.moves {
            // Another rekey took the announced epoch between messages 2 and 3; the member begins anew.
            return self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
        }
        if offer.joins && group.is_full() {
            return self.refuse_pull(now, pull, PullRefusal::Full);
        }
        let Offer { hit, moves, place, .. } = offer;
        let join = WaitingJoin { pull, hit, role, sender_ids, place, moves };
        let mut group = self.groups.get_mut(&offer.group).expect("an authorised host's group exists");
        group.waiting.joins.retain(|waiting| waiting.hit != offer.hit);
        group.waiting.joins.push(join);
        group.schedule_rekey(now, false);
    }

    fn confirm_member(&mut self, now: Time, pull: PullId, offer: Offer, role: Role, sender_ids: u16) {
        let mut group = self.groups.get_mut(&offer.group).expect("an authorised host's group exists");
        let stale = group.kek.spi != offer.kek || !offer.teks.contains(&group.current_tek().tek.spi);
        let Some(member) = group.members.get_mut(&offer.hit).filter(|_| !stale) else {
            drop(group);
            return self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
        };
        member.role = role;
        member.last_pull = now;
        let leaf = member.leaf;
        drop(group);
        let Some(sender_ids) = self.sender_ids(now, &offer.group, offer.hit, role, sender_ids) else {
            return self.refuse_pull(now, pull, PullRefusal::KeysReplaced);
        };
        let group = &self.groups[&offer.group];
        let download = group.download(leaf, &offer.teks, sender_ids);
        let sequence = Some(group.kek.sequence);
        // A PULL that ended meanwhile needs no answer.
        let _ = self.gdoi.download(now, pull, sequence, &download);
    }

    /// Answers the message 3 of a joiner, or of a member that moved, once its leaf, KEK and TEK exist.
    pub(crate) fn download_to_joiner(&mut self, now: Time, id: &GroupId, join: &WaitingJoin) {
        let Some(sender_ids) = self.sender_ids(now, id, join.hit, join.role, join.sender_ids) else {
            return self.refuse_pull(now, join.pull, PullRefusal::KeysReplaced);
        };
        let group = &self.groups[id];
        let Some(member) = group.members.get(&join.hit) else { return };
        let tek = group.current_tek().tek.spi;
        // The first message under the new KEK may be sealed already; the joiner has what it brings.
        let download = group.download(member.leaf, &[tek], sender_ids);
        if self.gdoi.download(now, join.pull, Some(group.kek.sequence), &download).is_err() {
            // The group started over since this host was offered its keys, or the PULL has ended.
            self.refuse_pull(now, join.pull, PullRefusal::KeysReplaced);
        }
    }

    /// Allocates sender ids to one who sends, where the group counts. The outer `None` says that they are spent:
    /// the group has started over and the member must pull again.
    #[expect(clippy::option_option, reason = "spent ids and a member that needs none are different answers")]
    fn sender_ids(
        &mut self,
        now: Time,
        id: &GroupId,
        hit: Hit,
        role: Role,
        count: u16,
    ) -> Option<Option<Vec<u32>>> {
        let mut group = self.groups.get_mut(id)?;
        if !role.sends() || !group.policy.data.transform.is_counter_mode() {
            self.changes.push(group.member_record(&hit));
            return Some(None);
        }
        if let Some(values) = group.allocate_sender_ids(count) {
            if let Some(member) = group.members.get_mut(&hit) {
                member.sender_ids.clone_from(&values);
            }
            self.changes.push(group.record());
            self.changes.push(group.member_record(&hit));
            return Some(Some(values));
        }
        drop(group);
        if let Ok(outcome) =
            self.with_group(now, id, |group, context| group.start_over(context, RekeyCause::SenderIdsSpent))
        {
            self.apply(now, id, outcome);
        }
        None
    }

    pub(crate) fn refuse_pull(&mut self, now: Time, pull: PullId, why: PullRefusal) {
        debug!(%pull, reason = why.as_str(), "the PULL is refused");
        self.counters.gcks.count(Counter::PullRefused);
        // A PULL that ended meanwhile needs no refusal.
        let _ = self.gdoi.refuse(now, pull, why.notify());
    }
}
