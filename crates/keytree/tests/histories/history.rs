//! Arbitrary histories of a group.

use claviger_keytree::{Degree, Joining, KeyLength, Leaf, TreeConfig, TreeError, place::Place};
use proptest::{prelude::*, sample::Index};

use crate::group::{Encoding, Group};

/// One step of a history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Batch {
        joins: usize,
        leaves: Vec<Index>,
    },
    /// Joiners take vacant leaves wherever they are, or those just left.
    BatchAt {
        seats: Vec<Index>,
        leaves: Vec<Index>,
    },
    Refresh,
}

/// A history, and the tree that it happens to.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) config: TreeConfig,
    pub(crate) encoding: Encoding,
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Step>,
}

/// One step of a history at places: joins, moves and departures in one batch.
#[derive(Debug, Clone)]
pub(crate) struct PlacesStep {
    joins: Vec<Place>,
    moves: Vec<(Index, Place)>,
    leaves: Vec<Index>,
}

/// A history of members who are at places.
#[derive(Debug, Clone)]
pub(crate) struct PlacesHistory {
    pub(crate) config: TreeConfig,
    pub(crate) seed: u64,
    /// The members that a subtree of each place is bound for.
    pub(crate) sizes: Vec<u32>,
    pub(crate) steps: Vec<PlacesStep>,
}

pub(crate) fn histories(steps: usize) -> impl Strategy<Value = History> {
    let step = prop_oneof![
        8 => (0..10_usize, prop::collection::vec(any::<Index>(), 0..4))
            .prop_map(|(joins, leaves)| Step::Batch { joins, leaves }),
        // Large departures empty whole subtrees and shrink the tree.
        3 => (0..3_usize, prop::collection::vec(any::<Index>(), 0..40))
            .prop_map(|(joins, leaves)| Step::Batch { joins, leaves }),
        2 => (prop::collection::vec(any::<Index>(), 0..6), prop::collection::vec(any::<Index>(), 0..4))
            .prop_map(|(seats, leaves)| Step::BatchAt { seats, leaves }),
        1 => Just(Step::Refresh),
    ];
    (configs(1..80), encodings(), any::<u64>(), prop::collection::vec(step, 1..steps))
        .prop_map(|(config, encoding, seed, steps)| History { config, encoding, seed, steps })
}

pub(crate) fn places_histories(steps: usize) -> impl Strategy<Value = PlacesHistory> {
    prop::collection::vec(1..9_u32, 1..6).prop_flat_map(move |sizes| {
        let places = sizes.len() as u64;
        let place = move || (0..places).prop_map(Place::new);
        let step = (
            prop::collection::vec(place(), 0..6),
            prop::collection::vec((any::<Index>(), place()), 0..3),
            // Now and then a place is deserted.
            prop_oneof![
                4 => prop::collection::vec(any::<Index>(), 0..4),
                1 => prop::collection::vec(any::<Index>(), 0..60)
            ],
        )
            .prop_map(|(joins, moves, leaves)| PlacesStep { joins, moves, leaves });
        (configs(100..400), any::<u64>(), Just(sizes), prop::collection::vec(step, 1..steps))
            .prop_map(|(config, seed, sizes, steps)| PlacesHistory { config, seed, sizes, steps })
    })
}

fn configs(capacities: std::ops::Range<u32>) -> impl Strategy<Value = TreeConfig> {
    (
        Degree::MIN.k()..=Degree::MAX.k(),
        prop_oneof![Just(KeyLength::Octets16), Just(KeyLength::Octets32)],
        capacities,
        prop_oneof![Just(Joining::Replace), Just(Joining::Advance)],
    )
        .prop_map(|(k, key_length, capacity, joining)| TreeConfig {
            degree: Degree::new(k).unwrap(),
            key_length,
            capacity,
            joining,
        })
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![Just(Encoding::Wraps), Just(Encoding::Starts)]
}

impl History {
    /// Starts the group.
    pub(crate) fn group(&self) -> Group {
        Group::new(self.config, self.encoding, self.seed)
    }
}

impl PlacesHistory {
    /// Starts the group, and binds the places.
    pub(crate) fn group(&self) -> Group {
        let mut group = Group::new(self.config, Encoding::Wraps, self.seed);
        for (number, size) in self.sizes.iter().enumerate() {
            group.places.bind(Place::new(number as u64), *size).unwrap();
        }
        group
    }
}

impl PlacesStep {
    /// Does the step. A batch that finds no room must leave everything as it was.
    pub(crate) fn act(&self, group: &mut Group) {
        let picks: Vec<Index> = self.moves.iter().map(|(pick, _)| *pick).chain(self.leaves.clone()).collect();
        let mut departed = leaves(group, &picks).into_iter();
        let moves: Vec<_> = departed.by_ref().zip(self.moves.iter().map(|(_, place)| *place)).collect();
        let moves = &moves[..moves.len().min(self.moves.len())];
        let departed: Vec<Leaf> = departed.collect();
        let before = (group.snapshot(), group.places.bindings().collect::<Vec<_>>());
        match group.batch_in_places(&self.joins, moves, &departed) {
            Ok(rekey) => {
                let wanted = self.joins.iter().copied().chain(moves.iter().map(|(_, place)| *place));
                let found = rekey.joined.iter().map(|leaf| group.places.place_of(*leaf));
                assert!(found.eq(wanted.map(Some)), "each newcomer is where it wants to be");
            }
            Err(error) => {
                assert!(matches!(error, claviger_keytree::place::PlaceError::Full(_)), "{error}");
                assert_eq!(before, (group.snapshot(), group.places.bindings().collect()));
            }
        }
    }
}

impl Step {
    /// Does the step. A batch that the tree refuses as too large must leave it as it was.
    pub(crate) fn act(&self, group: &mut Group) {
        match self {
            Self::Batch { joins, leaves } => act_batch(group, *joins, leaves),
            Self::BatchAt { seats, leaves } => {
                let leaves = self::leaves(group, leaves);
                let seats = self::seats(group, seats, &leaves);
                assert_eq!(group.batch_at(&seats, &leaves).unwrap().joined, seats);
            }
            Self::Refresh => drop(group.refresh()),
        }
    }
}

fn act_batch(group: &mut Group, joins: usize, leaves: &[Index]) {
    let leaves = self::leaves(group, leaves);
    let before = group.snapshot();
    let room = group.tree.capacity() as usize - (group.tree.len() - leaves.len());
    // Most batches are made to fit, and some are left too large.
    let joins = if joins == 9 { 9 } else { room.min(joins) };
    match group.batch(joins, &leaves) {
        Ok(rekey) => {
            assert!(joins <= room);
            assert_eq!(rekey.joined.len(), joins);
        }
        Err(error) => {
            assert_eq!(error, TreeError::Full { capacity: group.tree.capacity() });
            assert!(joins > room && before == group.snapshot());
        }
    }
}

/// Picks present members, each once.
pub(crate) fn leaves(group: &Group, picks: &[Index]) -> Vec<Leaf> {
    let present: Vec<Leaf> = group.tree.leaves().collect();
    if present.is_empty() {
        return Vec::new();
    }
    let mut leaves = Vec::new();
    for pick in picks {
        let leaf = *pick.get(&present);
        if !leaves.contains(&leaf) {
            leaves.push(leaf);
        }
    }
    leaves
}

/// Picks leaves for joiners: vacant ones, and such as `left` names.
pub(crate) fn seats(group: &Group, picks: &[Index], left: &[Leaf]) -> Vec<Leaf> {
    let mut vacant: Vec<Leaf> = group.tree.vacancies_from(Leaf::new(0)).chain(left.iter().copied()).collect();
    let mut seats = Vec::new();
    for pick in picks.iter().take(vacant.len()) {
        seats.push(vacant.swap_remove(pick.index(vacant.len())));
    }
    seats
}
