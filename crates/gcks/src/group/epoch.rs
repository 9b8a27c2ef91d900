//! One change of a group's keys: what is new, what it supersedes, and for whom it is.
//!
//! A change of membership replaces the path keys of the tree, the KEK and the TEK. Those who remain are to be told the new
//! KEK under the one before, and the new TEK under the new KEK, which a member that departed therefore cannot read.
//! Newcomers, and members that come from another place, are given both.
//!
//! Nothing here knows how that is told: [`Epoch`] is what a distribution makes its messages from.

use claviger_crypto::{Random, SecretBytes};
use claviger_group::{CookiePair, MemberId, Spi};
use claviger_keypath::Handle;
use claviger_keytree::{KeyTree, Leaf, Rekey};
use claviger_sansio::{Time, durable::Change};
use tracing::debug;

use super::{
    Group, WaitingJoin, announced::Announced, arrival::Arrival, member::Membership, place::Seated,
    sa::RekeySa, sender_ids::HeldIds,
};
use crate::{
    event::{RekeyCause, RekeyCauses},
    record,
};

/// The epoch of a tree from which on it is replaced by a new one: a few are left for what is under way. At a rekey each
/// second that is after eight years.
const EPOCH_LAST: u32 = Handle::EPOCH_MAX - 16;

/// What is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// Everything that those who depart hold, or those who come must not have read: the joins, moves and departures that
    /// wait are carried out.
    Membership,
    /// The KEK alone: its lifetime nears the end, nobody came or went.
    Kek(RekeyCause),
    /// The TEK alone.
    Tek(RekeyCause),
    /// All of it: every SA ends at once, and members fetch new ones, and sender ids (RFC 6407 section 3.5, steps 5 and 6). The
    /// epochs of the tree are spent, or the group ends.
    Everything(RekeyCause),
}

/// What one change of keys made.
pub(crate) struct Epoch {
    pub(crate) causes: RekeyCauses,
    /// The KEK before, under which those who remain can be told; none if the group has none.
    pub(crate) before: Option<Kek>,
    /// The rekey SA from now on, if its key was replaced.
    pub(crate) kek: Option<CookiePair>,
    /// The change of the tree that leads to its key, for those who remain.
    pub(crate) tree: Option<Rekey>,
    /// The TEK from now on, if it was replaced.
    pub(crate) tek: Option<Spi>,
    /// The TEKs that it supersedes.
    pub(crate) superseded: Vec<Spi>,
    /// Whether every SA before ends at once.
    pub(crate) ends_all: bool,
    /// Whether anybody remains to be told.
    pub(crate) has_audience: bool,
    /// Those who joined, and the members that moved or began anew.
    pub(crate) joined: Vec<WaitingJoin>,
    /// Those for whom there was no room.
    pub(crate) refused: Vec<WaitingJoin>,
    pub(crate) departed: Vec<MemberId>,
    /// What is to be stored of it besides the group's own record.
    pub(crate) changes: Vec<Change>,
}

/// A rekey SA and its key.
pub(crate) struct Kek {
    pub(crate) sa: RekeySa,
    pub(crate) key: SecretBytes,
}

impl Group {
    /// Replaces keys. None if there is nothing to replace: nobody waits any more, or the group has no KEK.
    pub(crate) fn change(&mut self, now: Time, random: &mut dyn Random, what: KeyChange) -> Option<Epoch> {
        match what {
            KeyChange::Membership => self.change_membership(now, random),
            KeyChange::Kek(cause) => self.change_kek(now, random, cause),
            KeyChange::Tek(cause) => {
                let spi = Spi::random(random);
                let mut epoch = Epoch::begin(cause.into(), self.kek());
                epoch.replace_tek(self, spi, now, random);
                epoch.has_audience = true;
                Some(epoch)
            }
            KeyChange::Everything(cause) => Some(self.start_over(now, random, cause)),
        }
    }

    /// Says whether the epochs of the tree are nearly spent: no key's name may be used again.
    pub(crate) fn is_spent(&self) -> bool {
        self.tree.epoch() >= EPOCH_LAST
    }

    /// Shows the rekey SA in force with its key, the root of the tree.
    pub(crate) fn kek(&self) -> Option<Kek> {
        let (_, root) = self.tree.root();
        self.kek.map(|sa| Kek { sa, key: SecretBytes::copy_of(root.key) })
    }

    fn change_membership(&mut self, now: Time, random: &mut dyn Random) -> Option<Epoch> {
        let takes_joins = self.takes_joins(now);
        let departures = std::mem::take(&mut self.waiting.departures);
        let mut joins = Vec::new();
        if takes_joins {
            let later = std::mem::take(&mut self.waiting.later);
            joins = std::mem::replace(&mut self.waiting.joins, later);
        }
        (self.waiting.due, self.waiting.evicts) = (None, false);
        let departed: Vec<MemberId> =
            departures.into_iter().filter(|host| self.members.contains_key(host)).collect();
        let leaves: Vec<_> = departed.iter().filter_map(|host| self.take_leave(host)).collect();
        departed.iter().for_each(|host| self.leases.remove(host));
        // A host that is no member has no leaf to leave.
        joins.retain(|join| !join.arrival.is_member() || self.members.contains_key(&join.host));
        // Names that newcomers were told are for a rekey that lets them in.
        let announced =
            if takes_joins { self.announcements.take(now, random) } else { Announced::draw(random) };
        if departed.is_empty() && joins.is_empty() {
            return None;
        }

        let mut causes = RekeyCauses::default();
        causes.extend(joins.iter().map(|join| join.arrival.cause()));
        let mut epoch = Epoch::begin(causes, self.kek());
        let Seated { rekey, joined, refused, rebound } = self.seat(joins, &leaves, random);
        let members = joined.iter().filter(|join| join.arrival.is_member()).count();
        epoch.has_audience = self.members.len() > members;
        for (join, leaf) in joined.iter().zip(&rekey.joined) {
            self.let_in(now, join, *leaf);
        }
        epoch.replace_kek(self, announced.kek, now);
        epoch.replace_tek(self, announced.tek, now, random);
        epoch.changes.extend(self.node_changes(&rekey));
        epoch.changes.extend(rebound.into_iter().map(|place| self.place_record(place)));
        let touched = departed.iter().chain(joined.iter().map(|join| &join.host));
        epoch.changes.extend(touched.map(|host| self.member_record(host)));
        Some(Epoch { tree: Some(rekey), joined, refused, departed, ..epoch })
    }

    /// Ends a membership; returns its leaf.
    fn take_leave(&mut self, host: &MemberId) -> Option<Leaf> {
        let mut member = self.members.remove(host)?;
        self.take_sender_ids_back(&mut member);
        Some(member.leaf)
    }

    /// Makes a host a member at a leaf, or has a member go on there.
    fn let_in(&mut self, now: Time, join: &WaitingJoin, leaf: Leaf) {
        let mut member = self.members.remove(&join.host).unwrap_or(Membership {
            leaf,
            role: join.role,
            since: now,
            last_pull: now,
            sender_ids: HeldIds::default(),
            registered_anew: false,
        });
        (member.leaf, member.role, member.last_pull) = (leaf, join.role, now);
        if join.arrival.begins_anew() {
            self.take_sender_ids_back(&mut member);
            member.since = now;
        }
        member.registered_anew &= join.arrival != Arrival::Returns;
        self.members.insert(join.host.clone(), member);
    }

    /// Says whether those who wait to join are let in now. A rekey that waits for nothing leaves them to the next one,
    /// unless that could not be sooner: some may be about to answer, and a newcomer must not send before copies have left
    /// that stand before those of its own rekey.
    fn takes_joins(&self, now: Time) -> bool {
        let waits = self.messages_from() > now || self.announcements.awaits_until(now).is_some();
        let is_left_out = self.waiting.evicts && waits;
        !self.waiting.joins.is_empty() && !is_left_out
    }

    fn change_kek(&mut self, now: Time, random: &mut dyn Random, cause: RekeyCause) -> Option<Epoch> {
        let mut epoch = Epoch::begin(cause.into(), Some(self.kek()?));
        let rekey = self.tree.refresh(random).expect("a tree is replaced before its epochs are spent");
        epoch.replace_kek(self, Announced::draw(random).kek, now);
        epoch.has_audience = true;
        epoch.changes.extend(self.node_changes(&rekey));
        Some(Epoch { tree: Some(rekey), ..epoch })
    }

    fn start_over(&mut self, now: Time, random: &mut dyn Random, cause: RekeyCause) -> Epoch {
        debug!(cause = cause.as_str(), members = self.members.len(), "the group starts over");
        let mut epoch = Epoch::begin(cause.into(), self.kek());
        epoch.ends_all = true;
        epoch.has_audience = !self.members.is_empty();
        if self.is_spent() {
            let leaves: Vec<_> = self.tree.leaves().collect();
            self.tree = KeyTree::new(self.tree.config(), random);
            self.tree.batch_at(&leaves, &[], random).expect("a new tree has room for the leaves of its like");
            epoch.changes.push(Change::remove_scope(record::NODE, record::scope(&self.id)));
            epoch.changes.extend(self.tree_records());
        } else {
            let rekey = self.tree.refresh(random).expect("a tree is replaced before its epochs are spent");
            epoch.changes.extend(self.node_changes(&rekey));
        }
        let fresh = Announced::draw(random);
        epoch.replace_kek(self, fresh.kek, now);
        self.teks.clear();
        epoch.replace_tek(self, fresh.tek, now, random);
        epoch.changes.extend(self.reset_sender_ids());
        epoch
    }
}

impl Group {
    /// Takes all sender ids back; returns the records of the members that had some.
    fn reset_sender_ids(&mut self) -> Vec<Change> {
        let holders: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(_, member)| !member.sender_ids.all().is_empty())
            .map(|(host, _)| host.clone())
            .collect();
        self.sender_ids.reset(self.members.values_mut().map(|member| &mut member.sender_ids));
        holders.iter().map(|host| self.member_record(host)).collect()
    }
}

impl Epoch {
    fn begin(causes: RekeyCauses, before: Option<Kek>) -> Self {
        Self {
            causes,
            before,
            kek: None,
            tree: None,
            tek: None,
            superseded: Vec::new(),
            ends_all: false,
            has_audience: false,
            joined: Vec::new(),
            refused: Vec::new(),
            departed: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Names the KEK anew, where there is one: no message has been sent under it.
    fn replace_kek(&mut self, group: &mut Group, spi: CookiePair, now: Time) {
        if let Some(sa) = &mut group.kek {
            *sa = RekeySa { spi, sequence: 0, issued: now, ..*sa };
            self.kek = Some(spi);
        }
    }

    /// Issues a TEK, and notes those that it supersedes.
    fn replace_tek(&mut self, group: &mut Group, spi: Spi, now: Time, random: &mut dyn Random) {
        let superseded = group.teks.iter().filter(|issued| issued.superseded.is_none());
        self.superseded = superseded.map(|issued| issued.tek.spi).collect();
        group.issue_tek(spi, random, now);
        self.tek = Some(spi);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use claviger_crypto::{SeededRandom, provider};
    use claviger_group::{Channel, GroupPolicy};

    use super::*;
    use crate::{
        distribution::gdoi::tests::gdoi,
        group::{
            lease::LeaseNeed,
            place::{
                ELSEWHERE,
                tests::{host, join},
            },
        },
    };

    fn group() -> Group {
        let policy = GroupPolicy::new(Channel::new([239, 192, 0, 1].into(), None).unwrap());
        let id = "small".parse().unwrap();
        Group::new(id, policy, provider(), &mut SeededRandom::new(1), Time::EPOCH)
            .unwrap_or_else(|_| unreachable!())
    }

    /// Changes the membership, one second after the other: hosts come, and go.
    fn change(group: &mut Group, second: u64, joins: &[u8], departures: &[u8]) -> Epoch {
        group.waiting.joins = joins.iter().map(|number| join(*number, ELSEWHERE, Arrival::Joins)).collect();
        group.waiting.departures = departures.iter().map(|number| host(*number)).collect();
        let now = Time::EPOCH + Duration::from_secs(second);
        group
            .change(now, &mut SeededRandom::new(100 + second), KeyChange::Membership)
            .expect("somebody waits")
    }

    #[test]
    fn a_group_without_kek_lives_through_joins_and_departures() {
        let mut group = Group { kek: None, ..group() };
        let gdoi = gdoi();
        for (second, joins, departures, members) in [
            (1, &[1, 2][..], &[][..], vec![1, 2]),
            (2, &[3], &[], vec![1, 2, 3]),
            (3, &[], &[2], vec![1, 3]),
            (4, &[4], &[1], vec![3, 4]),
        ] {
            let earlier = group.current_tek().tek.spi;
            let epoch = change(&mut group, second, joins, departures);
            assert!(epoch.before.is_none() && epoch.kek.is_none());
            assert_eq!(
                (epoch.tek, epoch.superseded.clone()),
                (Some(group.current_tek().tek.spi), vec![earlier])
            );
            assert_eq!(
                group.members.keys().cloned().collect::<Vec<_>>(),
                members.iter().map(|n| host(*n)).collect::<Vec<_>>()
            );
            // Nobody is told: members learn it when they pull, and what they are offered has no KEK.
            let now = Time::EPOCH + Duration::from_secs(second);
            let rekey = gdoi.rekey(now, provider(), &mut group, &epoch, &mut Vec::new());
            assert!(rekey.messages.is_empty());
            let member = &group.members[&host(members[0])];
            let sa = gdoi.voice(now, &group).offer_current(member.since, ELSEWHERE, LeaseNeed::None);
            assert!(sa.kek.is_none() && !sa.teks.is_empty());
            let spis: Vec<_> = sa.teks.iter().map(|tek| tek.spi).collect();
            let kd = gdoi.voice(now, &group).download(member.leaf, &spis, None);
            assert_eq!(kd.teks.len(), spis.len());
            assert!(kd.kek_spi().is_none());
        }
        let mut random = SeededRandom::new(9);
        assert!(group.change(Time::EPOCH, &mut random, KeyChange::Kek(RekeyCause::Timer)).is_none());
        assert!(group.kek_due().is_none());
    }

    #[test]
    fn a_departed_member_gets_neither_the_kek_nor_the_tek_that_follow() {
        let mut group = group();
        change(&mut group, 1, &[1, 2, 3], &[]);
        let before = group.kek().expect("it has a KEK");
        let epoch = change(&mut group, 2, &[], &[2]);
        let old = epoch.before.as_ref().expect("it had a KEK");
        assert_eq!((old.sa.spi, old.key.expose()), (before.sa.spi, before.key.expose()));
        let new = group.kek().expect("it has a KEK");
        assert_eq!(epoch.kek, Some(new.sa.spi));
        assert_ne!(new.key.expose(), before.key.expose());
        assert_eq!((new.sa.sequence, epoch.departed, epoch.has_audience), (0, vec![host(2)], true));
        let tree = epoch.tree.expect("the path of the member was replaced");
        assert!(!tree.wraps.is_empty(), "those who remain are to be told it");
    }
}
