//! The judgement fails on faulty trees, and at once.

use claviger_keytree::{Degree, Joining, KeyLength, NodeId, TreeConfig};

use crate::{group::Group, knowledge::Violation};

const K: u8 = 3;

/// The leaf at which members come and go.
const LEAF: u32 = 14;

/// A group of 27 members whose tree is full, after a few changes.
fn full(joining: Joining) -> Group {
    let degree = Degree::new(K).unwrap();
    let config = TreeConfig { degree, key_length: KeyLength::Octets32, capacity: 27, joining };
    let mut group = Group::new(config, 9);
    group.batch(27, &[]).unwrap();
    group.batch(0, &[2, 20]).unwrap();
    group.refresh().unwrap();
    group.batch(2, &[]).unwrap();
    assert_eq!(group.leaves().len(), 27);
    group
}

/// Goes through the nodes above the leaf at which members come and go.
fn path() -> impl Iterator<Item = NodeId> {
    (1..=3).map(|level| NodeId::new(level, LEAF / u32::from(K).pow(u32::from(level))).unwrap())
}

#[test]
fn a_departure_that_skips_a_key_of_the_path_is_found() {
    for joining in [Joining::Replace, Joining::Advance] {
        for node in path() {
            let mut group = full(joining);
            let kept = group.key(node);
            let judged = group.faulty_batch(0, &[LEAF], |change| change.keep(node, kept));
            assert_eq!(judged, Err(Violation::ReachedByDeparted { node }), "{joining:?}");
        }
    }
}

#[test]
fn a_departure_in_a_mixed_batch_that_skips_a_key_of_the_path_is_found() {
    for node in path() {
        let mut group = full(Joining::Advance);
        group.batch(0, &[5]).unwrap();
        let kept = group.key(node);
        let judged = group.faulty_batch(1, &[LEAF], |change| change.keep(node, kept));
        assert_eq!(judged, Err(Violation::ReachedByDeparted { node }));
    }
}

#[test]
fn a_join_that_skips_a_key_of_the_path_is_found() {
    for joining in [Joining::Replace, Joining::Advance] {
        for node in path() {
            let mut group = full(joining);
            group.batch(0, &[LEAF]).unwrap();
            let kept = group.key(node);
            let judged = group.faulty_batch(1, &[], |change| {
                // Where joins advance keys, this is the tree that forgets an advance.
                let (name, _) = change.keys.iter().find(|(name, _)| name.node == node).unwrap();
                let advances = kept.0.handle.advances_to(name.handle);
                assert_eq!(advances.is_some(), joining == Joining::Advance);
                change.keep(node, kept);
            });
            let held = kept.0.handle.epoch();
            let Err(Violation::ReachedByJoiner { joined, held: found }) = judged else {
                panic!("{joining:?} {node}: {judged:?}")
            };
            assert!(joined > held && found >= held, "{joining:?} {node}: {joined} {held} {found}");
        }
    }
}

#[test]
fn a_new_key_under_one_that_a_departing_member_holds_is_found() {
    for joining in [Joining::Replace, Joining::Advance] {
        for held in path() {
            for node in path() {
                let mut group = full(joining);
                let under = group.key(held);
                let judged = group.faulty_batch(0, &[LEAF], |change| change.leak(node, under));
                assert_eq!(judged, Err(Violation::ReachedByDeparted { node }), "{joining:?} under {held}");
            }
        }
    }
}

#[test]
fn a_new_key_under_one_that_a_member_held_who_departed_long_ago_is_found() {
    let root = NodeId::new(3, 0).unwrap();
    for joining in [Joining::Replace, Joining::Advance] {
        let mut group = full(joining);
        let leaf = group.key(NodeId::new(0, LEAF).unwrap());
        group.batch(0, &[LEAF]).unwrap();
        for _ in 0..3 {
            group.batch(1, &[]).unwrap();
            group.batch(0, &[LEAF]).unwrap();
            group.refresh().unwrap();
        }
        let judged = group.faulty_batch(0, &[3], |change| change.leak(root, leaf));
        assert_eq!(judged, Err(Violation::ReachedByDeparted { node: root }), "{joining:?}");
    }
}

#[test]
fn a_key_that_departed_members_compute_is_found() {
    // The tree advances the root at a departure, as if it were a join.
    let root = NodeId::new(3, 0).unwrap();
    for times in 1..=2 {
        let mut group = full(Joining::Advance);
        let (_, mut key) = group.key(root);
        for _ in 0..times {
            key = group.advance(key);
        }
        let judged = group.faulty_batch(0, &[LEAF], |change| change.replace(root, key));
        assert_eq!(judged, Err(Violation::ReachedByDeparted { node: root }), "{times} advances");
    }
}

#[test]
fn every_encryption_of_a_departure_is_needed() {
    for lost in 0..usize::from(K) * 3 - 1 {
        let mut group = full(Joining::Replace);
        let judged = group.faulty_batch(0, &[LEAF], |change| {
            assert_eq!(change.entries.len(), usize::from(K) * 3 - 1, "kd - 1");
            change.entries.remove(lost);
        });
        assert!(matches!(judged, Err(Violation::Deaf { .. })), "{lost}: {judged:?}");
    }
}
