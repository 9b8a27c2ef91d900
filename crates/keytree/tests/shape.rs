//! Which leaves and nodes there are after which batch, and what the tree refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use claviger_crypto::{Random, SeededRandom};
use claviger_keytree::{Degree, KeyLength, KeyTree, Leaf, NodeId, Rekey, TreeError, UnderKey};

fn tree(k: u8, members: usize) -> KeyTree {
    let random = &mut SeededRandom::new(1);
    let mut tree = KeyTree::new(Degree::new(k).unwrap(), KeyLength::Octets16, 100, random);
    tree.batch(members, &[], random).unwrap();
    tree
}

fn batch(tree: &mut KeyTree, joins: usize, leaves: &[u32]) -> Result<Rekey, TreeError> {
    let leaves: Vec<Leaf> = leaves.iter().copied().map(Leaf::new).collect();
    let seed = u64::from(tree.epoch());
    tree.batch(joins, &leaves, &mut SeededRandom::new(seed))
}

fn ids<const N: usize>(ids: [(u8, u32); N]) -> [NodeId; N] {
    ids.map(|(level, index)| NodeId::new(level, index))
}

/// Lists the wraps as (target, under), with an underlying key that is new marked.
fn wraps(rekey: &Rekey) -> Vec<(String, String)> {
    let under = |wrap| match rekey.under(wrap).unwrap() {
        (node, _) if matches!(wrap.under, UnderKey::New(_)) => format!("{node} new"),
        (node, _) => format!("{node}"),
    };
    rekey.wraps.iter().map(|wrap| (wrap.target.to_string(), under(wrap))).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(target, under)| (target.to_owned(), under.to_owned())).to_vec()
}

#[test]
fn a_new_tree_has_a_root_and_nobody() {
    let tree = tree(4, 0);
    assert!(tree.is_empty());
    assert_eq!((tree.depth(), tree.epoch()), (1, 1));
    assert_eq!(tree.nodes().collect::<Vec<_>>(), [tree.root()]);
    assert_eq!(tree.path(Leaf::new(0)), None);
}

#[test]
fn first_members_need_no_message() {
    let mut tree = tree(2, 0);
    let rekey = batch(&mut tree, 3, &[]).unwrap();
    assert_eq!(rekey.joined, [0, 1, 2].map(Leaf::new));
    assert!(rekey.wraps.is_empty() && rekey.starts.is_empty());
    assert_eq!(rekey.changed, ids([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]));
    assert_eq!(rekey.root, NodeId::new(2, 0));
}

#[test]
fn a_join_below_capacity_goes_under_previous_keys() {
    let mut tree = tree(3, 5);
    let previous = tree.root();
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(5)]);
    assert_eq!(wraps(&rekey), pairs([("(1,1)", "(1,1)"), ("(2,0)", "(2,0)")]));
    assert_eq!((rekey.starts[1].node, rekey.starts[1].key.clone()), previous);
    assert_eq!(rekey.starts[0].chain.iter().collect::<Vec<_>>(), ids([(1, 1), (2, 0)]));
    assert_eq!(rekey.key(rekey.root), Some(&tree.root().1));
}

#[test]
fn a_join_beside_a_single_member_goes_under_its_key() {
    let mut tree = tree(3, 4);
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(wraps(&rekey), pairs([("(1,1)", "(0,3)"), ("(2,0)", "(2,0)")]));
}

#[test]
fn growth_puts_the_old_root_below_a_new_one() {
    let mut tree = tree(2, 4);
    let old = tree.root();
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(4)]);
    assert_eq!(wraps(&rekey), pairs([("(3,0)", "(2,0)")]));
    assert_eq!(tree.key(old.0), Some(old.1));
    assert_eq!(rekey.changed, ids([(0, 4), (1, 2), (2, 1), (3, 0)]));
}

#[test]
fn growth_by_several_levels_at_once() {
    let mut tree = tree(2, 2);
    let rekey = batch(&mut tree, 30, &[]).unwrap();
    assert_eq!(tree.depth(), 5);
    assert_eq!(
        wraps(&rekey),
        pairs([("(2,0)", "(1,0)"), ("(3,0)", "(2,0) new"), ("(4,0)", "(3,0) new"), ("(5,0)", "(4,0) new")])
    );
    assert_eq!(rekey.starts.len(), 1);
}

#[test]
fn a_departure_empties_nodes_and_they_vanish() {
    let mut tree = tree(2, 8);
    let rekey = batch(&mut tree, 0, &[2, 3]).unwrap();
    assert_eq!(rekey.removed, ids([(0, 2), (0, 3), (1, 1)]));
    assert_eq!(wraps(&rekey), pairs([("(2,0)", "(1,0)"), ("(3,0)", "(2,0) new"), ("(3,0)", "(2,1)")]));
    assert_eq!(tree.key(NodeId::new(1, 1)), None);
}

#[test]
fn holes_are_filled_lowest_first_and_just_left_leaves_among_them() {
    let mut tree = tree(3, 9);
    batch(&mut tree, 0, &[1, 7]).unwrap();
    let rekey = batch(&mut tree, 4, &[4]).unwrap();
    assert_eq!(rekey.joined, [1, 4, 7, 9].map(Leaf::new));
    assert!(rekey.removed.is_empty());
    // Nobody who joins is a receiver: leaves 1, 4, 7 and 9 appear nowhere, nor does the node above leaf 9 alone.
    assert_eq!(
        wraps(&rekey),
        pairs([
            ("(1,0)", "(1,0)"),
            ("(1,1)", "(0,3)"),
            ("(1,1)", "(0,5)"),
            ("(1,2)", "(1,2)"),
            ("(2,0)", "(1,0) new"),
            ("(2,0)", "(1,1) new"),
            ("(2,0)", "(1,2) new"),
            ("(3,0)", "(2,0) new"),
        ])
    );
}

#[test]
fn a_leaf_that_changes_hands_gets_another_key() {
    let mut tree = tree(2, 4);
    let before = tree.path(Leaf::new(1)).unwrap();
    let rekey = batch(&mut tree, 1, &[1]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(1)]);
    for ((node, old), (same, new)) in before.iter().zip(tree.path(Leaf::new(1)).unwrap()) {
        assert_eq!(*node, same);
        assert!(old.handle < new.handle && old.iv() != new.iv() && old.key() != new.key());
    }
    assert_eq!(wraps(&rekey), pairs([("(1,0)", "(0,0)"), ("(2,0)", "(1,0) new"), ("(2,0)", "(1,1)")]));
}

#[test]
fn the_top_goes_when_the_first_subtree_holds_everyone() {
    let mut tree = tree(2, 5);
    let kept = tree.key(NodeId::new(1, 0)).unwrap();
    let rekey = batch(&mut tree, 0, &[4]).unwrap();
    assert_eq!((tree.depth(), rekey.root), (2, NodeId::new(2, 0)));
    assert_eq!(rekey.removed, ids([(0, 4), (1, 2), (2, 1), (3, 0)]));
    // The new root was known to nobody who departed, and yet the group's key is a new one.
    assert_eq!(rekey.changed, ids([(2, 0)]));
    assert_eq!(wraps(&rekey), pairs([("(2,0)", "(2,0)")]));
    assert_eq!(tree.key(NodeId::new(1, 0)), Some(kept));
}

#[test]
fn the_last_departure_leaves_a_root_that_nobody_has() {
    let mut tree = tree(2, 3);
    let before = tree.root();
    let rekey = batch(&mut tree, 0, &[2, 0, 1]).unwrap();
    assert!(rekey.wraps.is_empty() && rekey.starts.is_empty() && tree.is_empty());
    assert_eq!(rekey.changed, ids([(1, 0)]));
    assert_eq!(rekey.removed, ids([(0, 0), (0, 1), (0, 2), (1, 1), (2, 0)]));
    assert_ne!(tree.root(), before);
    assert_eq!(tree.nodes().count(), 1);
}

#[test]
fn a_refresh_replaces_the_root_under_itself() {
    let random = &mut SeededRandom::new(8);
    let mut tree = tree(4, 7);
    let (root, previous) = tree.root();
    let rekey = tree.refresh(random).unwrap();
    assert_eq!(rekey.changed, [root]);
    assert_eq!(wraps(&rekey), pairs([("(2,0)", "(2,0)")]));
    assert_eq!(rekey.starts[0].key, previous);
    assert_ne!(tree.root().1.key(), previous.key());

    batch(&mut tree, 0, &[0, 1, 2, 3, 4, 5, 6]).unwrap();
    let rekey = tree.refresh(random).unwrap();
    assert!(rekey.wraps.is_empty() && rekey.changed == [NodeId::new(1, 0)]);
}

#[test]
fn refusals_change_nothing() {
    let mut tree = tree(3, 98);
    let state = |tree: &KeyTree| (tree.header(), tree.nodes().collect::<Vec<_>>());
    let before = state(&tree);
    assert_eq!(batch(&mut tree, 3, &[]), Err(TreeError::Full { capacity: 100 }));
    assert_eq!(batch(&mut tree, usize::MAX, &[5]), Err(TreeError::Full { capacity: 100 }));
    assert_eq!(batch(&mut tree, 0, &[98]), Err(TreeError::UnknownLeaf(Leaf::new(98))));
    assert_eq!(batch(&mut tree, 0, &[5, u32::MAX]), Err(TreeError::UnknownLeaf(Leaf::new(u32::MAX))));
    assert_eq!(batch(&mut tree, 1, &[5, 7, 5]), Err(TreeError::DuplicateLeaf(Leaf::new(5))));
    assert_eq!(state(&tree), before);
    assert!(batch(&mut tree, 0, &[]).unwrap().is_empty());
    assert_eq!(state(&tree), before);
    batch(&mut tree, 3, &[97]).unwrap();
    assert_eq!(tree.len(), 100);
}

#[test]
fn no_handle_is_used_after_the_last_epoch() {
    let tree = tree(2, 3);
    let mut header = tree.header();
    header.epoch = u32::MAX - 1;
    let mut tree = KeyTree::restore(header, tree.nodes()).unwrap();
    assert_eq!(batch(&mut tree, 1, &[0]).unwrap().epoch, u32::MAX);
    let before = tree.root();
    assert_eq!(batch(&mut tree, 1, &[0]), Err(TreeError::EpochsExhausted));
    assert_eq!(tree.refresh(&mut SeededRandom::new(1)), Err(TreeError::EpochsExhausted));
    assert_eq!(tree.root(), before);
}

/// A source that fails its health check.
struct Broken;

impl Random for Broken {
    fn fill(&mut self, _: &mut [u8]) {
        panic!("the source repeats itself");
    }
}

#[test]
fn a_failing_random_source_changes_nothing() {
    let mut tree = tree(2, 5);
    let before: Vec<_> = tree.nodes().collect();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = tree.batch(1, &[Leaf::new(2)], &mut Broken);
    }));
    assert!(outcome.is_err());
    assert!(tree.nodes().eq(before) && tree.epoch() == 2);
}
