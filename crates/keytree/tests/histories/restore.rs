//! A tree that was stored and restored continues as if nothing had happened, and nothing but a tree is restored.

use std::collections::BTreeMap;

use claviger_crypto::{SecretBytes, SeededRandom};
use claviger_keytree::{Degree, Header, Inconsistency, KeyLength, KeyTree, Leaf, NodeId, NodeKey, TreeError};
use proptest::prelude::*;

use crate::history::{Step, histories, leaves};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn restored_trees_continue_identically(history in histories(20)) {
        let mut group = history.group();
        let mut stored: BTreeMap<NodeId, NodeKey> = group.tree.nodes().collect();
        for (number, step) in history.steps.iter().enumerate() {
            let header = Header::from_octets(&group.tree.header().to_octets()).unwrap();
            // The nodes may come in any order.
            let nodes = stored.iter().rev().map(|(node, key)| (*node, key.clone()));
            let mut restored = KeyTree::restore(header, nodes).unwrap();
            prop_assert_eq!((restored.header(), restored.nodes().collect()), group.snapshot());

            let dice = || SeededRandom::new(number as u64);
            let (one, other) = match step {
                Step::Batch { joins, leaves: picks } => {
                    let leaves = leaves(&group, picks);
                    let one = group.tree.batch(*joins, &leaves, &mut dice());
                    (one, restored.batch(*joins, &leaves, &mut dice()))
                }
                Step::Refresh => (group.tree.refresh(&mut dice()), restored.refresh(&mut dice())),
            };
            prop_assert_eq!(&one, &other);
            // What a rekey names is all that the store must write.
            if let Ok(rekey) = one {
                for node in &rekey.removed {
                    prop_assert!(stored.remove(node).is_some(), "{} was there", node);
                }
                for node in &rekey.changed {
                    stored.insert(*node, rekey.key(*node).unwrap().clone());
                }
            }
            prop_assert!(stored.iter().map(|(node, key)| (*node, key.clone())).eq(group.tree.nodes()));
        }
    }
}

/// A ternary tree with members at leaves 0, 1, 4 and 9: depth 3.
fn sample() -> (Header, Vec<(NodeId, NodeKey)>) {
    let random = &mut SeededRandom::new(3);
    let mut tree = KeyTree::new(Degree::new(3).unwrap(), KeyLength::Octets16, 30, random);
    tree.batch(10, &[], random).unwrap();
    tree.batch(0, &[2, 3, 5, 6, 7, 8].map(Leaf::new), random).unwrap();
    assert_eq!(tree.leaves().map(Leaf::index).collect::<Vec<_>>(), [0, 1, 4, 9]);
    (tree.header(), tree.nodes().collect())
}

fn key(handle: u32, length: KeyLength) -> NodeKey {
    NodeKey::new(handle, SecretBytes::new(vec![1; length.material_len()])).unwrap()
}

#[test]
fn refuses_what_is_not_a_tree() {
    use Inconsistency::{Depth, Duplicate, Empty, Handle, Members, Orphan, Outside};
    type Nodes = Vec<(NodeId, NodeKey)>;
    type Change = fn(&mut Header, &mut Nodes);
    fn drop(nodes: &mut Nodes, level: u8, index: u32) {
        nodes.retain(|(node, _)| *node != NodeId::new(level, index));
    }
    fn add(nodes: &mut Nodes, level: u8, index: u32) {
        nodes.push((NodeId::new(level, index), key(1, KeyLength::Octets16)));
    }
    let node = NodeId::new;
    let cases: [(Change, Inconsistency); 15] = [
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
        (|_, nodes| nodes[2].1 = key(4, KeyLength::Octets16), Handle(node(0, 4))),
        (|_, nodes| nodes[2].1 = key(0, KeyLength::Octets16), Handle(node(0, 4))),
        (|_, nodes| nodes[2].1 = key(1, KeyLength::Octets32), Inconsistency::KeyLength(node(0, 4))),
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
