//! Which sender ids are whose (RFC 6407 section 3.5, RFC 6054 section 4).
//!
//! No id may serve two members under one TEK. A member may use any id that it was ever given, whether the message that
//! brought a later one arrived or not, and it gets new TEKs by PUSH: so it has all of them until it departs or begins anew.
//! Both replace the KEK by a path that its old leaf does not lie on. What it had meets no later TEK then, and is free for
//! those who are given none but later ones.
//!
//! RFC 6407 describes a counter that deletes the SAs of the whole group at its end. Here an id comes back with its member,
//! and a member that has used its share ([`allotment`]) begins anew by itself: nobody else has to.

use std::collections::{BTreeMap, BTreeSet};

use super::allotment::{allotment, runs_low};

/// The ids that a member may be using.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeldIds {
    /// Those of earlier PULLs first.
    ids: Vec<u32>,
    /// How many of them the last PULL brought.
    latest: u16,
}

impl HeldIds {
    /// Takes up what was stored: all ids, and how many of them the last PULL brought.
    pub(crate) fn restore(ids: Vec<u32>, latest: u16) -> Self {
        let latest = latest.min(u16::try_from(ids.len()).unwrap_or(u16::MAX));
        Self { ids, latest }
    }

    /// Shows all that the member was given.
    pub(crate) fn all(&self) -> &[u32] {
        &self.ids
    }

    /// Shows what the last PULL brought.
    pub(crate) fn latest(&self) -> &[u32] {
        &self.ids[self.ids.len() - usize::from(self.latest)..]
    }

    /// Says how many there are.
    pub(crate) fn len(&self) -> u32 {
        self.ids.len() as u32
    }

    /// Notes that the member is to use none of them any more. They stay taken: it may not have heard of that.
    pub(crate) fn withdraw(&mut self) {
        self.latest = 0;
    }

    fn add(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
        self.latest = ids.len() as u16;
    }
}

/// The ids of a group.
#[derive(Debug, Clone)]
pub(crate) struct SenderIds {
    /// How many there are in all.
    space: u32,
    /// The first that may be given: those below were given before it was noted to whom.
    first: u32,
    /// Where the search for the next one begins.
    next: u32,
    /// One more than the highest that was ever given.
    issued: u32,
    taken: BTreeSet<u32>,
    /// How many members have some.
    holders: u32,
    /// What was given back while the TEK of this number was the newest: under that one and those before it was in use.
    given_back: BTreeMap<u64, BTreeSet<u32>>,
}

impl SenderIds {
    /// Makes a space of ids with so many bits, all free.
    pub(crate) fn new(bits: u8) -> Self {
        Self {
            space: 1 << bits,
            first: 0,
            next: 0,
            issued: 0,
            taken: BTreeSet::new(),
            holders: 0,
            given_back: BTreeMap::new(),
        }
    }

    /// Takes up what was stored. The members' own ids are taken up by [`SenderIds::take_up`], and then
    /// [`SenderIds::taken_up`] says which TEK is the newest.
    pub(crate) fn restore(bits: u8, Spent { issued, first }: Spent) -> Self {
        let space = 1 << bits;
        let (issued, first) = (issued.min(space), first.min(space));
        Self { first, next: issued, issued, ..Self::new(bits) }
    }

    /// Takes up the ids that a member had before a restart.
    pub(crate) fn take_up(&mut self, held: &HeldIds) {
        self.holders += u32::from(!held.ids.is_empty());
        self.taken.extend(held.ids.iter().filter(|id| **id >= self.first));
    }

    /// Notes that all members' ids are taken up. Of the others it is not stored when they were given back: they count as
    /// given back under the newest TEK.
    pub(crate) fn taken_up(&mut self, newest_tek: u64) {
        let others = (self.first..self.issued).filter(|id| !self.taken.contains(id)).collect();
        self.given_back.insert(newest_tek, others);
    }

    /// Says what is to be stored beside the members' own ids.
    pub(crate) fn spent(&self) -> Spent {
        Spent { issued: self.issued, first: self.first }
    }

    /// Says whether more than half of all ids were given before it was noted to whom: only new SAs bring them back.
    pub(crate) fn is_unaccounted(&self) -> bool {
        self.first > self.space / 2
    }

    /// Says how many ids a member may have that holds these, or none yet.
    pub(crate) fn allotment(&self, held: &HeldIds) -> u32 {
        allotment(self.space, self.holders + u32::from(held.ids.is_empty()))
    }

    /// Says whether a member that pulls is to begin anew with a new TEK: its share is used, or ids run low.
    pub(crate) fn are_spent_by(&self, held: &HeldIds, current_tek: u64) -> bool {
        let has_some = !held.ids.is_empty();
        has_some && (held.len() >= self.allotment(held) || runs_low(self.space, self.free(current_tek)))
    }

    /// Says how many ids are free for one who is given TEKs from this number on.
    pub(crate) fn free(&self, first_tek: u64) -> u32 {
        let used: usize = self.given_back.range(first_tek..).map(|(_, ids)| ids.len()).sum();
        (self.space - self.first) - (self.taken.len() + used) as u32
    }

    /// Says how many ids are free under a TEK that is still to come.
    pub(crate) fn free_under_next(&self) -> u32 {
        (self.space - self.first) - self.taken.len() as u32
    }

    /// Gives a member ids, in ascending order from the last that was given; none if too few are free for one who is given
    /// TEKs from this number on.
    pub(crate) fn give(&mut self, held: &mut HeldIds, count: u16, first_tek: u64) -> Option<Vec<u32>> {
        if self.free(first_tek) < count.into() {
            return None;
        }
        let in_use = |id: &u32| {
            self.taken.contains(id) || self.given_back.range(first_tek..).any(|(_, ids)| ids.contains(id))
        };
        let start = self.next.clamp(self.first, self.space);
        let around = (start..self.space).chain(self.first..start);
        let ids: Vec<u32> = around.filter(|id| !in_use(id)).take(count.into()).collect();
        self.holders += u32::from(held.ids.is_empty());
        self.taken.extend(&ids);
        let last = ids.last().map_or(self.next, |last| last + 1);
        self.next = if last == self.space { self.first } else { last };
        self.issued = ids.iter().map(|id| id + 1).fold(self.issued, u32::max);
        held.add(&ids);
        Some(ids)
    }

    /// Takes back what a member had that departs, or begins anew, while this is the newest TEK: it gets the next one with
    /// other ids or not at all. `oldest_tek` is the first that is still given.
    pub(crate) fn give_back(&mut self, held: &mut HeldIds, newest_tek: u64, oldest_tek: u64) {
        self.given_back = self.given_back.split_off(&oldest_tek);
        let HeldIds { ids, .. } = std::mem::take(held);
        self.holders -= u32::from(!ids.is_empty());
        let taken = &mut self.taken;
        self.given_back.entry(newest_tek).or_default().extend(ids.into_iter().filter(|id| taken.remove(id)));
    }

    /// Takes all ids back: every SA under which any was used is deleted, and no member can follow to the next but by a PULL
    /// (RFC 6407 section 3.5, steps 5 and 6).
    pub(crate) fn reset<'a>(&mut self, held: impl Iterator<Item = &'a mut HeldIds>) {
        held.for_each(|held| *held = HeldIds::default());
        *self = Self { space: self.space, ..Self::new(0) };
    }
}

/// What is stored of a group's ids beside those of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    /// One more than the highest that was ever given.
    pub(crate) issued: u32,
    /// The first that may be given.
    pub(crate) first: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_with_their_member_and_meet_no_tek_that_they_were_used_under() {
        let mut ids = SenderIds::new(8);
        let (mut one, mut other) = (HeldIds::default(), HeldIds::default());
        assert_eq!(ids.give(&mut one, 2, 0), Some(vec![0, 1]));
        assert_eq!(ids.give(&mut other, 1, 0), Some(vec![2]));
        assert_eq!(ids.give(&mut one, 1, 0), Some(vec![3]), "fresh ones at each PULL");
        assert_eq!((one.all(), one.latest()), (&[0, 1, 3][..], &[3][..]));
        ids.give_back(&mut one, 5, 4);
        assert_eq!(one, HeldIds::default());
        assert_eq!((ids.free(4), ids.free(5), ids.free(6)), (252, 252, 255));
        // What was never given comes first, and then what is free under all the TEKs that are given.
        assert_eq!(ids.give(&mut one, 252, 5).map(|ids| ids[0]), Some(4));
        assert_eq!(ids.give(&mut one, 1, 5), None);
        assert_eq!(ids.give(&mut one, 3, 6), Some(vec![0, 1, 3]));
        assert_eq!(ids.free_under_next(), 0);
    }

    #[test]
    fn who_has_used_its_share_is_to_begin_anew_and_nobody_else_is() {
        let mut ids = SenderIds::new(8);
        let [mut greedy, mut modest] = [HeldIds::default(), HeldIds::default()];
        ids.give(&mut modest, 1, 0);
        for _ in 0..64 {
            assert!(!ids.are_spent_by(&greedy, 0));
            ids.give(&mut greedy, 1, 0);
        }
        assert!(ids.are_spent_by(&greedy, 0) && !ids.are_spent_by(&modest, 0));
        assert!(!ids.are_spent_by(&HeldIds::default(), 0));
    }

    #[test]
    fn after_a_restart_nothing_is_given_again_under_the_teks_of_before() {
        let mut ids = SenderIds::new(8);
        let [mut gone, mut stays, mut comes] = [(); 3].map(|()| HeldIds::default());
        ids.give(&mut gone, 2, 0);
        ids.give(&mut stays, 2, 0);
        ids.give_back(&mut gone, 0, 0);
        let mut restored = SenderIds::restore(8, ids.spent());
        restored.take_up(&stays);
        restored.taken_up(1);
        assert_eq!(restored.give(&mut comes, 1, 1), Some(vec![4]));
        assert_eq!((restored.free(1), restored.free(2)), (251, 253));
    }

    #[test]
    fn what_was_given_before_it_was_noted_to_whom_stays_taken() {
        let mut ids = SenderIds::restore(8, Spent { issued: 100, first: 100 });
        let mut early = HeldIds::restore(vec![7, 8], 2);
        ids.take_up(&early);
        ids.taken_up(0);
        assert_eq!((ids.free(0), ids.is_unaccounted()), (156, false));
        ids.give_back(&mut early, 0, 0);
        assert_eq!(ids.free(1), 156);
        let mut held = HeldIds::default();
        assert_eq!(ids.give(&mut held, 156, 1).map(|ids| (ids[0], ids[155])), Some((100, 255)));
        ids.reset([&mut held].into_iter());
        assert_eq!((ids.free(2), held.len()), (256, 0));
        assert!(SenderIds::restore(8, Spent { issued: 129, first: 129 }).is_unaccounted());
    }
}
