//! Arbitrary histories of a group.

use claviger_keytree::{Degree, KeyLength, Leaf, TreeError};
use proptest::{prelude::*, sample::Index};

use crate::group::{Encoding, Group};

/// One step of a history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Batch { joins: usize, leaves: Vec<Index> },
    Refresh,
}

/// A history, and the tree that it happens to.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) degree: u8,
    pub(crate) key_length: KeyLength,
    pub(crate) capacity: u32,
    pub(crate) encoding: Encoding,
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn histories(steps: usize) -> impl Strategy<Value = History> {
    let step = prop_oneof![
        8 => (0..10_usize, prop::collection::vec(any::<Index>(), 0..4))
            .prop_map(|(joins, leaves)| Step::Batch { joins, leaves }),
        // Large departures empty whole subtrees and shrink the tree.
        3 => (0..3_usize, prop::collection::vec(any::<Index>(), 0..40))
            .prop_map(|(joins, leaves)| Step::Batch { joins, leaves }),
        1 => Just(Step::Refresh),
    ];
    (
        Degree::MIN.k()..=Degree::MAX.k(),
        prop_oneof![Just(KeyLength::Octets16), Just(KeyLength::Octets32)],
        1..80_u32,
        prop_oneof![Just(Encoding::Wraps), Just(Encoding::Starts)],
        any::<u64>(),
        prop::collection::vec(step, 1..steps),
    )
        .prop_map(|(degree, key_length, capacity, encoding, seed, steps)| History {
            degree,
            key_length,
            capacity,
            encoding,
            seed,
            steps,
        })
}

impl History {
    /// Starts the group.
    pub(crate) fn group(&self) -> Group {
        Group::new(self.degree, self.key_length, self.capacity, self.encoding, self.seed)
    }
}

impl Step {
    /// Does the step. A batch that the tree refuses as too large must leave it as it was.
    pub(crate) fn act(&self, group: &mut Group) {
        let Self::Batch { joins, leaves } = self else {
            group.refresh();
            return;
        };
        let leaves = self::leaves(group, leaves);
        let before = group.snapshot();
        let room = group.tree.capacity() as usize - (group.tree.len() - leaves.len());
        // Most batches are made to fit, and some are left too large.
        let joins = if *joins == 9 { 9 } else { room.min(*joins) };
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
