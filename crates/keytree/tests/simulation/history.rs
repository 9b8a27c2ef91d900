//! Seeded joins, departures, moves, batches and refreshes.

use claviger_crypto::{SeededRandom, random};
use claviger_keytree::{
    Degree, Joining, KeyLength, TreeConfig,
    place::{Place, Places},
};

use crate::{group::Group, knowledge::Violation};

/// The changes of each history. There are 21: seven degrees, three kinds; 100,800 changes in all.
const CHANGES: u32 = 4_800;

/// The changes in which a group grows, and then as many in which it shrinks.
const HALF_SWING: u32 = 400;

/// The members that a location has room for, as a power of the degree. Where the tree does not follow places, a
/// location is so many neighbouring leaves.
const LOCATION_LEVELS: u32 = 2;

/// The places of a tree that follows places.
const PLACES: u32 = 12;

#[test]
fn only_members_read_where_joins_replace_keys() {
    for k in Degree::MIN.k()..=Degree::MAX.k() {
        History::new(k, Joining::Replace, false).run();
    }
}

#[test]
fn only_members_read_where_joins_advance_keys() {
    for k in Degree::MIN.k()..=Degree::MAX.k() {
        History::new(k, Joining::Advance, false).run();
    }
}

#[test]
fn only_members_read_where_the_tree_follows_places() {
    for k in Degree::MIN.k()..=Degree::MAX.k() {
        let joining = if k.is_multiple_of(3) { Joining::Replace } else { Joining::Advance };
        History::new(k, joining, true).run();
    }
}

/// A group whose size swings between a few and `most`.
struct History {
    group: Group,
    places: Option<Places>,
    dice: SeededRandom,
    most: u32,
    counts: Counts,
}

/// What happened in a history.
#[derive(Debug, Default)]
struct Counts {
    joins: u32,
    departures: u32,
    moves: u32,
    batches: u32,
    refreshes: u32,
    largest: usize,
    depths: [u32; 16],
}

impl History {
    fn new(k: u8, joining: Joining, follows_places: bool) -> Self {
        let degree = Degree::new(k).unwrap();
        let key_length = if k.is_multiple_of(2) { KeyLength::Octets32 } else { KeyLength::Octets16 };
        let most = 100 + 60 * u32::from(k);
        // Places leave leaves vacant: each may have a subtree that is nearly so.
        let location = u32::from(k).pow(LOCATION_LEVELS);
        let capacity = if follows_places { 2 * most + PLACES * location } else { most };
        let config = TreeConfig { degree, key_length, capacity, joining };
        let places = follows_places.then(|| {
            let mut places = Places::new(config);
            for place in 0..PLACES {
                places.bind(Place::new(place.into()), location).unwrap();
            }
            places
        });
        let seed = u64::from(k);
        Self {
            group: Group::new(config, seed),
            places,
            dice: SeededRandom::new(!seed),
            most,
            counts: Counts::default(),
        }
    }

    fn run(mut self) {
        for number in 0..CHANGES {
            let growing = number % (2 * HALF_SWING) < HALF_SWING;
            let judged = self.change(growing);
            let config = self.group.tree.config();
            assert_eq!(judged, Ok(()), "change {number} of {config:?}");
            self.counts.largest = self.counts.largest.max(self.group.tree.len());
            self.counts.depths[usize::from(self.group.tree.depth())] += 1;
        }
        let Counts { joins, departures, moves, batches, refreshes, largest, depths } = &self.counts;
        println!(
            "{:?}: {joins} joins, {departures} departures, {moves} moves, {batches} batches, {refreshes} \
             refreshes; {largest} members at most; depths {depths:?}; the departed reach {} keys",
            self.group.tree.config(),
            self.group.reached_by_departed(),
        );
        assert!(*joins > 800 && *departures > 800 && *moves > 500 && *batches > 500 && *refreshes > 100);
        assert!(*largest > self.most as usize / 2, "the group grows");
        assert!(depths.iter().filter(|changes| **changes > 0).count() > 1, "the tree grows and shrinks");
    }

    /// Does one change. Of two that are as likely, the group's swing picks.
    fn change(&mut self, growing: bool) -> Result<(), Violation> {
        let present: Vec<u32> = self.group.leaves().collect();
        let room = self.most - present.len() as u32;
        let few = self.below(9);
        let fewer = self.below(5);
        let many = self.below(self.most / 4);
        match (self.below(100), growing) {
            (0..24, true) | (24..34, _) => {
                self.counts.joins += 1;
                self.batch(room.min(1), &[])
            }
            (0..24, false) | (34..44, _) => {
                self.counts.departures += 1;
                let leaves = self.pick(&present, 1);
                self.batch(0, &leaves)
            }
            (44..68, _) => {
                self.counts.moves += 1;
                self.moves(&present)
            }
            (68..93, _) => {
                self.counts.batches += 1;
                let (joins, departures) = if growing { (few, fewer) } else { (fewer, few) };
                let leaves = self.pick(&present, departures);
                self.batch(joins.min(room), &leaves)
            }
            (93, true) => {
                self.counts.batches += 1;
                self.batch(many.min(room), &[])
            }
            (93, false) => {
                self.counts.batches += 1;
                let leaves = self.pick(&present, many);
                self.batch(0, &leaves)
            }
            _ => {
                self.counts.refreshes += 1;
                self.group.refresh()
            }
        }
    }

    /// An empty batch changes nothing, and is not a change.
    fn batch(&mut self, joins: u32, leaves: &[u32]) -> Result<(), Violation> {
        if joins == 0 && leaves.is_empty() {
            return self.group.refresh();
        }
        let joining: Vec<Place> = (0..joins).map(|_| self.place()).collect();
        match &mut self.places {
            Some(places) => self.group.batch_at_places(places, &joining, &[], leaves),
            None => self.group.batch(joins as usize, leaves),
        }
    }

    /// Lets a member depart from its location and join another, in one change; sometimes others come and go as well.
    fn moves(&mut self, present: &[u32]) -> Result<(), Violation> {
        let picked = self.pick(present, 2);
        let Some((&from, others)) = picked.split_first() else { return self.group.refresh() };
        let place = self.place();
        if let Some(places) = &mut self.places {
            let (joins, leaves) =
                if self.counts.moves.is_multiple_of(4) { (&[place][..], others) } else { (&[][..], &[][..]) };
            return self.group.batch_at_places(places, joins, &[(from, place)], leaves);
        }
        let width = u32::from(self.group.tree.degree().k()).pow(LOCATION_LEVELS);
        let first = self.below(self.most / width) * width;
        let vacant = (first..first + width).find(|leaf| !self.group.is_occupied(*leaf));
        self.group.batch_at(&[vacant.unwrap_or(from)], &[from])
    }

    fn place(&mut self) -> Place {
        Place::new(self.below(PLACES).into())
    }

    /// Picks members, each once.
    fn pick(&mut self, present: &[u32], count: u32) -> Vec<u32> {
        let mut present = present.to_vec();
        let count = (count as usize).min(present.len());
        (0..count).map(|_| present.swap_remove(self.below(present.len() as u32) as usize)).collect()
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::from_be_bytes(random::array(&mut self.dice)) % bound.max(1)
    }
}
