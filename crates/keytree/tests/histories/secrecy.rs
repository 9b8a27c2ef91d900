//! Whoever is in the group reads, and nobody else does: real encryptions, arbitrary histories, all outsiders
//! together. And the checker that says so is itself shown to fail on faulty trees.

use claviger_crypto::{Random, SeededRandom, random};
use claviger_keytree::{Degree, Joining, KeyLength, Leaf, NodeId, TreeConfig};
use proptest::prelude::*;

use crate::{
    checker::{Trial, Violation, everyone_inside_reads, nobody_outside_reads},
    group::{Encoding, Forgotten, Group},
    history::{histories, places_histories},
};

const ENCODINGS: [Encoding; 2] = [Encoding::Wraps, Encoding::Starts];
const JOININGS: [Joining; 2] = [Joining::Replace, Joining::Advance];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn only_members_read_in_any_history(history in histories(30)) {
        let mut group = history.group();
        for step in &history.steps {
            step.act(&mut group);
            prop_assert_eq!(everyone_inside_reads(&group), Ok(()));
        }
        prop_assert_eq!(nobody_outside_reads(&group, Trial::EveryKey), Ok(()));
    }

    #[test]
    fn only_members_read_wherever_they_move(history in places_histories(20)) {
        let mut group = history.group();
        for step in &history.steps {
            step.act(&mut group);
            prop_assert_eq!(everyone_inside_reads(&group), Ok(()));
        }
        prop_assert_eq!(nobody_outside_reads(&group, Trial::EveryKey), Ok(()));
    }
}

#[test]
fn only_members_read_in_a_long_history() {
    for ((encoding, joining), k) in ENCODINGS.into_iter().zip(JOININGS).zip([4, 3]) {
        let dice = &mut SeededRandom::new(2627);
        let mut group = group(k, KeyLength::Octets16, 300, joining, encoding);
        let mut depths = Vec::new();
        for step in 0..400 {
            // The group's size swings between nobody and everybody.
            let growing = step % 80 < 40;
            let most = if growing { (12, 5) } else { (5, 14) };
            let joins = (below(dice, most.0) as usize).min(300 - group.tree.len());
            let mut present: Vec<Leaf> = group.tree.leaves().collect();
            let count = (below(dice, most.1) as usize).min(present.len());
            let leaves: Vec<Leaf> =
                (0..count).map(|_| present.swap_remove(below(dice, present.len() as u32) as usize)).collect();
            group.batch(joins, &leaves).unwrap();
            assert_eq!(everyone_inside_reads(&group), Ok(()), "step {step}");
            depths.push(group.tree.depth());
        }
        assert_eq!(nobody_outside_reads(&group, Trial::NamedKey), Ok(()));
        assert!(depths.iter().any(|depth| *depth >= 4) && depths.windows(2).any(|pair| pair[1] < pair[0]));
    }
}

fn below(dice: &mut dyn Random, bound: u32) -> u32 {
    u32::from_be_bytes(random::array(dice)) % bound
}

fn group(k: u8, key_length: KeyLength, capacity: u32, joining: Joining, encoding: Encoding) -> Group {
    Group::new(TreeConfig { degree: Degree::new(k).unwrap(), key_length, capacity, joining }, encoding, 9)
}

/// A group of `k` to the power of 3 members that is full.
fn full(k: u8, joining: Joining, encoding: Encoding) -> Group {
    let members = u32::from(k).pow(3);
    let mut group = group(k, KeyLength::Octets32, members, joining, encoding);
    group.batch(members as usize, &[]).unwrap();
    group
}

#[test]
fn checker_finds_a_departure_that_skips_any_key_of_the_path() {
    for (encoding, joining) in ENCODINGS.into_iter().flat_map(|e| JOININGS.map(|j| (e, j))) {
        for level in 1..=3 {
            for trial in [Trial::EveryKey, Trial::NamedKey] {
                let mut group = full(3, joining, encoding);
                let departing = Leaf::new(14);
                let skipped = NodeId::new(level, 14 / 3_u32.pow(u32::from(level))).unwrap();
                group.batch_forgetting(0, &[departing], Forgotten(skipped));
                assert_eq!(everyone_inside_reads(&group), Ok(()), "those inside notice nothing");
                assert_eq!(
                    nobody_outside_reads(&group, trial),
                    Err(Violation::Readable { epoch: 2 }),
                    "{encoding:?}, level {level}, {trial:?}"
                );
            }
        }
    }
}

#[test]
fn checker_finds_a_join_that_skips_any_key_of_the_path() {
    for (encoding, joining) in ENCODINGS.into_iter().flat_map(|e| JOININGS.map(|j| (e, j))) {
        for level in 1..=3 {
            let mut group = full(3, joining, encoding);
            group.batch(0, &[Leaf::new(14)]).unwrap();
            assert_eq!(nobody_outside_reads(&group, Trial::EveryKey), Ok(()));
            let skipped = NodeId::new(level, 14 / 3_u32.pow(u32::from(level))).unwrap();
            let rekey = group.batch_forgetting(1, &[], Forgotten(skipped));
            assert_eq!(rekey.advanced.contains(&skipped), joining == Joining::Advance);
            assert_eq!(everyone_inside_reads(&group), Ok(()));
            assert_eq!(
                nobody_outside_reads(&group, Trial::EveryKey),
                Err(Violation::Readable { epoch: 2 }),
                "the joiner knows a key of the epoch before it joined"
            );
        }
    }
}

#[test]
fn every_encryption_of_a_departure_is_needed() {
    for k in [2, 4] {
        for lost in 0..usize::from(k) * 3 - 1 {
            let mut group = full(k, Joining::Advance, Encoding::Wraps);
            group.batch_losing(&[Leaf::new(5)], lost);
            assert!(matches!(everyone_inside_reads(&group), Err(Violation::Deaf { .. })), "wrap {lost}");
        }
    }
}
