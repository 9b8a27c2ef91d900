//! A tree that was stored and restored continues as if nothing had happened, and nothing but a tree is restored.

use std::collections::BTreeMap;

use claviger_crypto::{SecretBytes, SeededRandom};
use claviger_keytree::{
    Degree, Handle, Header, Inconsistency, Joining, KeyLength, KeyTree, Leaf, NodeId, NodeKey, TreeConfig,
    TreeError,
    place::{Binding, Place, PlaceError, Places},
};
use proptest::prelude::*;

use crate::history::{Step, histories, leaves, places_histories, seats};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn restored_trees_continue_identically(history in histories(20)) {
        let mut group = history.group();
        let mut stored: BTreeMap<NodeId, NodeKey> = group.snapshot().1.into_iter().collect();
        for (number, step) in history.steps.iter().enumerate() {
            let header = Header::from_octets(&group.tree.header().to_octets()).unwrap();
            // The nodes may come in any order.
            let nodes = stored.iter().rev().map(|(node, key)| (*node, key.clone()));
            let mut restored = KeyTree::restore(header, nodes).unwrap();
            prop_assert_eq!((restored.header(), owned(&restored)), group.snapshot());

            let dice = || SeededRandom::new(number as u64);
            let (one, other) = match step {
                Step::Batch { joins, leaves: picks } => {
                    let leaves = leaves(&group, picks);
                    let one = group.tree.batch(*joins, &leaves, &mut dice());
                    (one, restored.batch(*joins, &leaves, &mut dice()))
                }
                Step::BatchAt { seats: picks, leaves: left } => {
                    let leaves = leaves(&group, left);
                    let seats = seats(&group, picks, &leaves);
                    let one = group.tree.batch_at(&seats, &leaves, &mut dice());
                    (one, restored.batch_at(&seats, &leaves, &mut dice()))
                }
                Step::Refresh => (group.tree.refresh(&mut dice()), restored.refresh(&mut dice())),
            };
            prop_assert_eq!(&one, &other);
            // What a rekey names is all that the store must write.
            if let Ok(rekey) = one {
                for node in &rekey.removed {
                    prop_assert!(stored.remove(node).is_some(), "{} was there", node);
                }
                for node in rekey.changed.iter().chain(&rekey.advanced) {
                    stored.insert(*node, rekey.key(*node).unwrap().to_owned());
                }
            }
            prop_assert!(stored.iter().map(|(node, key)| (*node, key.as_ref())).eq(group.tree.nodes()));
        }
    }

    #[test]
    fn restored_places_continue_identically(history in places_histories(12)) {
        let mut group = history.group();
        let mut stored: BTreeMap<Place, Vec<u8>> =
            group.places.bindings().map(|binding| (binding.place, binding.to_octets())).collect();
        for (number, step) in history.steps.iter().enumerate() {
            step.act(&mut group);
            let bindings = stored.values().rev().map(|octets| Binding::from_octets(octets).unwrap());
            // Only what the batch names is written anew.
            let before: Vec<Binding> = bindings.collect();
            for binding in group.places.bindings() {
                if !before.contains(&binding) {
                    prop_assert!(group.rebound.contains(&binding.place), "{}", binding.place);
                    stored.insert(binding.place, binding.to_octets());
                }
            }
            let bindings = stored.values().rev().map(|octets| Binding::from_octets(octets).unwrap());
            let mut restored = Places::restore(&group.tree, bindings).unwrap();
            prop_assert!(restored.bindings().eq(group.places.bindings()));

            let (header, nodes) = group.snapshot();
            let mut trees = [(); 2].map(|()| KeyTree::restore(header, nodes.clone()).unwrap());
            let joins: Vec<Place> = restored.bindings().map(|binding| binding.place).collect();
            let dice = || SeededRandom::new(number as u64);
            let one = restored.batch(&mut trees[0], &joins, &[], &[], &mut dice());
            let mut original = Places::restore(&group.tree, group.places.bindings()).unwrap();
            prop_assert_eq!(one, original.batch(&mut trees[1], &joins, &[], &[], &mut dice()));
        }
    }
}

fn owned(tree: &KeyTree) -> Vec<(NodeId, NodeKey)> {
    tree.nodes().map(|(node, key)| (node, key.to_owned())).collect()
}

/// A ternary tree with members at leaves 0, 1, 4 and 9: depth 3.
fn sample() -> (Header, Vec<(NodeId, NodeKey)>) {
    let random = &mut SeededRandom::new(3);
    let (degree, key_length) = (Degree::new(3).unwrap(), KeyLength::Octets16);
    let config = TreeConfig { degree, key_length, capacity: 30, joining: Joining::Replace };
    let mut tree = KeyTree::new(config, random);
    tree.batch(10, &[], random).unwrap();
    tree.batch(0, &[2, 3, 5, 6, 7, 8].map(Leaf::new), random).unwrap();
    assert_eq!(tree.leaves().map(Leaf::index).collect::<Vec<_>>(), [0, 1, 4, 9]);
    (tree.header(), owned(&tree))
}

fn key(handle: u32, length: KeyLength) -> NodeKey {
    NodeKey::new(Handle::from_u32(handle), SecretBytes::new(vec![1; length.octets()])).unwrap()
}

#[test]
fn refuses_what_is_not_a_tree() {
    use Inconsistency::{Depth, Duplicate, Empty, Members, Orphan, Outside};
    type Nodes = Vec<(NodeId, NodeKey)>;
    type Change = fn(&mut Header, &mut Nodes);
    fn drop(nodes: &mut Nodes, level: u8, index: u32) {
        nodes.retain(|(node, _)| *node != NodeId::new(level, index).unwrap());
    }
    fn add(nodes: &mut Nodes, level: u8, index: u32) {
        nodes.push((NodeId::new(level, index).unwrap(), key(1 << 4, KeyLength::Octets16)));
    }
    let node = |level, index| NodeId::new(level, index).unwrap();
    let cases: [(Change, Inconsistency); 17] = [
        (|_, nodes| drop(nodes, 3, 0), Orphan(node(3, 0))),
        (|_, nodes| drop(nodes, 1, 1), Orphan(node(0, 4))),
        (|_, nodes| drop(nodes, 2, 1), Orphan(node(1, 3))),
        (|_, nodes| drop(nodes, 0, 4), Members { stated: 4, found: 3 }),
        (|_, nodes| add(nodes, 0, 3), Members { stated: 4, found: 5 }),
        (|_, nodes| add(nodes, 1, 2), Empty(node(1, 2))),
        (|_, nodes| add(nodes, 3, 1), Orphan(node(3, 1))),
        (|_, nodes| add(nodes, 4, 0), Outside(node(4, 0))),
        (|_, nodes| add(nodes, 0, 30), Outside(node(0, 30))),
        (|_, nodes| add(nodes, 0, 4), Duplicate(node(0, 4))),
        (|_, nodes| nodes[2].1 = key(4 << 4, KeyLength::Octets16), Inconsistency::Handle(node(0, 4))),
        (|_, nodes| nodes[2].1 = key(15, KeyLength::Octets16), Inconsistency::Handle(node(0, 4))),
        // Keys of a tree that replaces are never advanced, and others at most once in an epoch.
        (|_, nodes| nodes[2].1 = key(1 << 4 | 1, KeyLength::Octets16), Inconsistency::Handle(node(0, 4))),
        (
            |header, nodes| {
                header.config.joining = Joining::Advance;
                nodes[2].1 = key(1 << 4 | 3, KeyLength::Octets16);
            },
            Inconsistency::Handle(node(0, 4)),
        ),
        (|_, nodes| nodes[2].1 = key(1 << 4, KeyLength::Octets32), Inconsistency::KeyLength(node(0, 4))),
        (|header, _| header.depth = 4, Depth { stated: 4, needed: 3 }),
        (|header, _| header.depth = 200, Inconsistency::Header),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let (mut header, mut nodes) = sample();
        assert!(KeyTree::restore(header, nodes.clone()).is_ok());
        change(&mut header, &mut nodes);
        let error = KeyTree::restore(header, nodes).unwrap_err();
        assert_eq!(error, TreeError::Inconsistent(expected), "case {number}");
    }
}

#[test]
fn refuses_bindings_that_do_not_fit() {
    let (header, nodes) = sample();
    let tree = KeyTree::restore(header, nodes).unwrap();
    let binding = |place, height, indices: &[u32]| Binding {
        place: Place::new(place),
        height,
        subtrees: indices.iter().map(|index| NodeId::new(height, *index).unwrap()).collect(),
    };
    let restore = |bindings: Vec<Binding>| Places::restore(&tree, bindings).err();
    assert_eq!(restore(vec![binding(1, 1, &[0, 1]), binding(2, 2, &[1])]), None);
    assert_eq!(restore(vec![binding(1, 1, &[0, 1])]), Some(PlaceError::Unbound(Leaf::new(9))));
    assert_eq!(
        restore(vec![binding(1, 1, &[0]), binding(1, 2, &[1])]),
        Some(PlaceError::Bound(Place::new(1)))
    );
    let overlap = Some(PlaceError::Overlap(NodeId::new(1, 2).unwrap()));
    assert_eq!(restore(vec![binding(1, 2, &[0, 1]), binding(2, 1, &[2])]), overlap);
    assert_eq!(restore(vec![binding(1, 1, &[0, 1, 2, 2])]), overlap);
    for index in [10, NodeId::INDEX_MAX] {
        let outside = Some(PlaceError::Overlap(NodeId::new(1, index).unwrap()));
        assert_eq!(restore(vec![binding(1, 2, &[0, 1]), binding(2, 1, &[index])]), outside);
    }
    for height in [4, 20, 255] {
        assert_eq!(restore(vec![binding(3, height, &[])]), Some(PlaceError::TooLarge(Place::new(3))));
    }
}
