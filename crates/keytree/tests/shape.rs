//! Which leaves and nodes there are after which batch, and what the tree refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};

use claviger_crypto::{Random, SeededRandom};
use claviger_keytree::{
    CAPACITY_MAX, Degree, Handle, Joining, KeyLength, KeyTree, Leaf, NodeId, NodeKey, Rekey, TreeConfig,
    TreeError, UnderKey,
};
use claviger_keywrap::Engine;

fn tree(k: u8, members: usize) -> KeyTree {
    tree_joining(k, members, Joining::Replace)
}

fn tree_joining(k: u8, members: usize, joining: Joining) -> KeyTree {
    let random = &mut SeededRandom::new(1);
    let degree = Degree::new(k).unwrap();
    let config = TreeConfig { degree, key_length: KeyLength::Octets16, capacity: 100, joining };
    let mut tree = KeyTree::new(config, random);
    tree.batch(members, &[], random).unwrap();
    tree
}

fn owned(tree: &KeyTree) -> Vec<(NodeId, NodeKey)> {
    tree.nodes().map(|(node, key)| (node, key.to_owned())).collect()
}

fn batch(tree: &mut KeyTree, joins: usize, leaves: &[u32]) -> Result<Rekey, TreeError> {
    let leaves: Vec<Leaf> = leaves.iter().copied().map(Leaf::new).collect();
    let seed = u64::from(tree.epoch());
    tree.batch(joins, &leaves, &mut SeededRandom::new(seed))
}

fn ids<const N: usize>(ids: [(u8, u32); N]) -> [NodeId; N] {
    ids.map(|(level, index)| NodeId::new(level, index).unwrap())
}

/// Lists the wraps as (target, under), with an underlying key that is new marked.
fn wraps(rekey: &Rekey) -> Vec<(String, String)> {
    let under = |wrap: &claviger_keytree::Wrap| {
        let (node, _) = rekey.under(wrap);
        match rekey.under_kind(wrap) {
            UnderKey::Advanced => format!("{node} advanced"),
            UnderKey::Held => format!("{node}"),
            UnderKey::New => format!("{node} new"),
        }
    };
    rekey.wraps.iter().map(|wrap| (rekey.target(wrap).to_string(), under(wrap))).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(target, under)| (target.to_owned(), under.to_owned())).to_vec()
}

#[test]
fn no_tree_has_more_leaves_than_have_names() {
    let random = &mut SeededRandom::new(1);
    let config = TreeConfig { capacity: u32::MAX, ..tree(2, 0).config() };
    let mut tree = KeyTree::new(config, random);
    assert_eq!(tree.capacity(), CAPACITY_MAX);
    for index in [CAPACITY_MAX, u32::MAX] {
        let leaf = Leaf::new(index);
        assert_eq!(tree.batch_at(&[leaf], &[], random), Err(TreeError::Outside(leaf)));
        assert_eq!(tree.batch(0, &[leaf], random), Err(TreeError::UnknownLeaf(leaf)));
        assert!(!tree.contains(leaf) && tree.path(leaf).is_none());
    }
    let last = Leaf::new(CAPACITY_MAX - 1);
    tree.batch_at(&[last], &[], random).unwrap();
    let path = tree.path(last).unwrap();
    assert_eq!((path.len(), path[27].0), (28, tree.root().0));
}

#[test]
fn a_new_tree_has_a_root_and_nobody() {
    let tree = tree(4, 0);
    assert!(tree.is_empty());
    assert_eq!((tree.depth(), tree.epoch()), (1, 1));
    assert!(tree.nodes().eq([tree.root()]));
    assert_eq!(tree.path(Leaf::new(0)), None);
}

#[test]
fn first_members_need_no_message() {
    let mut tree = tree(2, 0);
    let rekey = batch(&mut tree, 3, &[]).unwrap();
    assert_eq!(rekey.joined, [0, 1, 2].map(Leaf::new));
    assert!(rekey.wraps.is_empty() && rekey.starts().next().is_none());
    assert_eq!(rekey.changed, ids([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]));
    assert_eq!(rekey.root, NodeId::new(2, 0).unwrap());
}

#[test]
fn a_join_below_capacity_goes_under_previous_keys() {
    let mut tree = tree(3, 5);
    let (root, previous) = (tree.root().0, tree.root().1.to_owned());
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(5)]);
    assert_eq!(wraps(&rekey), pairs([("(1,1)", "(1,1)"), ("(2,0)", "(2,0)")]));
    let starts: Vec<_> = rekey.starts().collect();
    assert_eq!((starts[1].node, starts[1].key), (root, previous.as_ref()));
    assert_eq!(starts[0].chain.iter().collect::<Vec<_>>(), ids([(1, 1), (2, 0)]));
    assert_eq!(rekey.key(rekey.root), Some(tree.root().1));
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
    let (old, old_key) = (tree.root().0, tree.root().1.to_owned());
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(4)]);
    assert_eq!(wraps(&rekey), pairs([("(3,0)", "(2,0)")]));
    assert_eq!(tree.key(old), Some(old_key.as_ref()));
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
    assert_eq!(rekey.starts().count(), 1);
}

#[test]
fn a_departure_empties_nodes_and_they_vanish() {
    let mut tree = tree(2, 8);
    let rekey = batch(&mut tree, 0, &[2, 3]).unwrap();
    assert_eq!(rekey.removed, ids([(0, 2), (0, 3), (1, 1)]));
    assert_eq!(wraps(&rekey), pairs([("(2,0)", "(1,0)"), ("(3,0)", "(2,0) new"), ("(3,0)", "(2,1)")]));
    assert_eq!(tree.key(NodeId::new(1, 1).unwrap()), None);
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
    let before: Vec<_> =
        tree.path(Leaf::new(1)).unwrap().into_iter().map(|(node, key)| (node, key.to_owned())).collect();
    let rekey = batch(&mut tree, 1, &[1]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(1)]);
    for ((node, old), (same, new)) in before.iter().zip(tree.path(Leaf::new(1)).unwrap()) {
        assert_eq!(*node, same);
        assert!(old.handle < new.handle && old.key() != new.key);
    }
    assert_eq!(wraps(&rekey), pairs([("(1,0)", "(0,0)"), ("(2,0)", "(1,0) new"), ("(2,0)", "(1,1)")]));
}

#[test]
fn the_top_goes_when_the_first_subtree_holds_everyone() {
    let mut tree = tree(2, 5);
    let kept = tree.key(NodeId::new(1, 0).unwrap()).unwrap().to_owned();
    let rekey = batch(&mut tree, 0, &[4]).unwrap();
    assert_eq!((tree.depth(), rekey.root), (2, NodeId::new(2, 0).unwrap()));
    assert_eq!(rekey.removed, ids([(0, 4), (1, 2), (2, 1), (3, 0)]));
    // The new root was known to nobody who departed, and yet the group's key is a new one.
    assert_eq!(rekey.changed, ids([(2, 0)]));
    assert_eq!(wraps(&rekey), pairs([("(2,0)", "(2,0)")]));
    assert_eq!(tree.key(NodeId::new(1, 0).unwrap()), Some(kept.as_ref()));
}

#[test]
fn the_last_departure_leaves_a_root_that_nobody_has() {
    let mut tree = tree(2, 3);
    let before = tree.root().1.to_owned();
    let rekey = batch(&mut tree, 0, &[2, 0, 1]).unwrap();
    assert!(rekey.wraps.is_empty() && rekey.starts().next().is_none() && tree.is_empty());
    assert_eq!(rekey.changed, ids([(1, 0)]));
    assert_eq!(rekey.removed, ids([(0, 0), (0, 1), (0, 2), (1, 1), (2, 0)]));
    assert_ne!(before, tree.root().1);
    assert_eq!(tree.nodes().count(), 1);
}

#[test]
fn a_refresh_replaces_the_root_under_itself() {
    let random = &mut SeededRandom::new(8);
    let mut tree = tree(4, 7);
    let (root, previous) = (tree.root().0, tree.root().1.to_owned());
    let rekey = tree.refresh(random).unwrap();
    assert_eq!(rekey.changed, [root]);
    assert_eq!(wraps(&rekey), pairs([("(2,0)", "(2,0)")]));
    assert_eq!(rekey.starts().next().unwrap().key, previous.as_ref());
    assert_ne!(tree.root().1.key, previous.key());

    batch(&mut tree, 0, &[0, 1, 2, 3, 4, 5, 6]).unwrap();
    let rekey = tree.refresh(random).unwrap();
    assert!(rekey.wraps.is_empty() && rekey.changed == [NodeId::new(1, 0).unwrap()]);
}

#[test]
fn refusals_change_nothing() {
    let mut tree = tree(3, 98);
    let state = |tree: &KeyTree| (tree.header(), owned(tree));
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
    header.epoch = Handle::EPOCH_MAX - 1;
    let mut tree = KeyTree::restore(header, owned(&tree)).unwrap();
    assert_eq!(batch(&mut tree, 1, &[0]).unwrap().epoch, Handle::EPOCH_MAX);
    let before = tree.root().1.to_owned();
    assert_eq!(batch(&mut tree, 1, &[0]), Err(TreeError::EpochsExhausted));
    assert_eq!(tree.refresh(&mut SeededRandom::new(1)), Err(TreeError::EpochsExhausted));
    assert_eq!(before, tree.root().1);
    header.epoch = Handle::EPOCH_MAX + 1;
    assert!(KeyTree::restore(header, owned(&tree)).is_err());
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
    let before = owned(&tree);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = tree.batch(1, &[Leaf::new(2)], &mut Broken);
    }));
    assert!(outcome.is_err());
    assert!(owned(&tree) == before && tree.epoch() == 2);
}

#[test]
fn joins_advance_keys_and_need_no_message() {
    let mut tree = tree_joining(3, 5, Joining::Advance);
    let before: Vec<_> = ids([(1, 1), (2, 0)]).map(|node| tree.key(node).unwrap().to_owned()).to_vec();
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(rekey.joined, [Leaf::new(5)]);
    assert_eq!((&rekey.changed[..], &rekey.advanced[..]), (&ids([(0, 5)])[..], &ids([(1, 1), (2, 0)])[..]));
    assert!(rekey.wraps.is_empty() && !rekey.is_empty());
    for (before, node) in before.iter().zip(&rekey.advanced) {
        let after = tree.key(*node).unwrap();
        assert_eq!(before.handle.advances_to(after.handle), Some(1));
        assert_eq!(rekey.key(*node), Some(after));
        let mut expected = [0; 16];
        Engine::Portable.advance([before.key()], &mut expected).unwrap();
        assert_eq!(after.key, expected);
    }
}

#[test]
fn a_replaced_parent_goes_under_the_advanced_key_of_its_child() {
    let mut tree = tree_joining(3, 8, Joining::Advance);
    // Leaf 0 is left; leaf 8 is new, and the node above it only gains.
    let seats = [Leaf::new(8)];
    let rekey = tree.batch_at(&seats, &[Leaf::new(0)], &mut SeededRandom::new(2)).unwrap();
    assert_eq!(rekey.advanced, ids([(1, 2)]));
    assert_eq!(
        wraps(&rekey),
        pairs([
            ("(1,0)", "(0,1)"),
            ("(1,0)", "(0,2)"),
            ("(2,0)", "(1,0) new"),
            ("(2,0)", "(1,2) advanced"),
            ("(2,0)", "(1,1)")
        ])
    );
    assert_eq!(
        rekey.under(&rekey.wraps[3]),
        (NodeId::new(1, 2).unwrap(), tree.key(NodeId::new(1, 2).unwrap()).unwrap())
    );
    let starts: Vec<_> = rekey.starts().map(|start| (start.node, start.chain.len())).collect();
    assert_eq!(
        starts,
        [((0, 1), 2), ((0, 2), 2), ((1, 2), 1), ((1, 1), 1)]
            .map(|((l, i), n)| (NodeId::new(l, i).unwrap(), n))
    );
}

#[test]
fn the_sixteenth_advance_is_a_replacement_under_the_previous_key() {
    let mut tree = tree_joining(4, 2, Joining::Advance);
    for advances in 1..=15 {
        let rekey = batch(&mut tree, 1, &[]).unwrap();
        assert!(rekey.wraps.is_empty());
        assert_eq!(tree.key(NodeId::new(1, 0).unwrap()).unwrap().handle.advances(), advances);
        let joined = rekey.joined[0].index();
        // Its departure would replace everything: leaves are emptied in another tree.
        tree = KeyTree::restore(
            claviger_keytree::Header { members: 2, ..tree.header() },
            owned(&tree).into_iter().filter(|(node, _)| *node != NodeId::new(0, joined).unwrap()),
        )
        .unwrap();
    }
    let previous = tree.root().1.to_owned();
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert!(rekey.advanced.is_empty());
    assert_eq!(wraps(&rekey), pairs([("(1,0)", "(1,0)")]));
    assert_eq!(rekey.under(&rekey.wraps[0]).1, previous.as_ref());
    assert_eq!(tree.root().1.handle, Handle::drawn(tree.epoch()).unwrap());
    assert!(batch(&mut tree, 1, &[]).unwrap().wraps.is_empty());
}

#[test]
fn a_chain_ends_below_a_node_that_is_only_advanced() {
    let mut tree = tree_joining(2, 5, Joining::Advance);
    // (1,2) has gone through every advance, its parents through fewer: leaf 5 joins below them all.
    let mut nodes = owned(&tree);
    let mut header = tree.header();
    header.epoch = 100;
    for (node, key) in &mut nodes {
        if *node == NodeId::new(1, 2).unwrap() {
            key.handle = Handle::from_u32(1 << 4 | 15);
        }
    }
    tree = KeyTree::restore(header, nodes).unwrap();
    let rekey = batch(&mut tree, 1, &[]).unwrap();
    assert_eq!(wraps(&rekey), pairs([("(1,2)", "(1,2)")]));
    assert_eq!(rekey.advanced, ids([(2, 1), (3, 0)]));
    assert_eq!(rekey.starts().map(|start| start.chain.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn joiners_sit_where_they_are_put() {
    let mut tree = tree(3, 5);
    let random = &mut SeededRandom::new(3);
    let seats = [70, 3, 6].map(Leaf::new);
    let rekey = tree.batch_at(&seats, &[Leaf::new(3)], random).unwrap();
    assert_eq!(rekey.joined, seats);
    assert_eq!(tree.leaves().map(Leaf::index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 70]);
    assert_eq!(tree.depth(), 4);
    let before = owned(&tree);
    let mut refused = |joined: &[u32], leaves: &[u32]| {
        let [joined, leaves] = [joined, leaves].map(|l| l.iter().copied().map(Leaf::new).collect::<Vec<_>>());
        tree.batch_at(&joined, &leaves, random).unwrap_err()
    };
    assert_eq!(refused(&[5, 4], &[3]), TreeError::Occupied(Leaf::new(4)));
    assert_eq!(refused(&[5, 100], &[]), TreeError::Outside(Leaf::new(100)));
    assert_eq!(refused(&[5, 8, 5], &[]), TreeError::DuplicateLeaf(Leaf::new(5)));
    assert_eq!(refused(&[5], &[8]), TreeError::UnknownLeaf(Leaf::new(8)));
    assert_eq!(refused(&[], &[4, 4]), TreeError::DuplicateLeaf(Leaf::new(4)));
    assert!(tree.batch_at(&[], &[], random).unwrap().is_empty());
    assert_eq!(owned(&tree), before);
}

#[test]
fn jobs_are_the_wraps_in_order() {
    let mut tree = tree_joining(4, 60, Joining::Advance);
    let rekey = batch(&mut tree, 9, &[0, 7, 8, 31]).unwrap();
    let jobs: Vec<_> = rekey.jobs().collect();
    assert_eq!(jobs.len(), rekey.wraps.len());
    assert!(jobs.len() > 20 && rekey.wraps.iter().any(|wrap| rekey.under_kind(wrap) == UnderKey::Advanced));
    for (wrap, job) in rekey.wraps.iter().zip(&jobs) {
        assert_eq!(job.plaintext, tree.key(rekey.target(wrap)).unwrap().key);
        let (node, under) = rekey.under(wrap);
        assert_eq!(job.under, under.key);
        if rekey.under_kind(wrap) != UnderKey::Held {
            assert_eq!(Some(under), tree.key(node));
        }
    }
}

/// Lists the nodes from each leaf up to the root, each once.
fn paths(tree: &KeyTree, leaves: &[Leaf]) -> BTreeSet<NodeId> {
    let up =
        |leaf: &Leaf| leaf.node().unwrap().upward(tree.degree()).take(usize::from(tree.depth()) + 1).skip(1);
    leaves.iter().flat_map(up).collect()
}

/// Large trees, whose rows lie otherwise than those of small ones, and batches that meet in many ways: each is what the
/// paths of those who go and come say.
#[test]
fn large_batches_are_what_the_paths_say() {
    let random = &mut SeededRandom::new(11);
    for (k, joining) in (2..=8).flat_map(|k| [(k, Joining::Replace), (k, Joining::Advance)]) {
        let degree = Degree::new(k).unwrap();
        let config = TreeConfig { degree, key_length: KeyLength::Octets32, capacity: 3000, joining };
        let mut tree = KeyTree::new(config, random);
        tree.batch(3000, &[], random).unwrap();
        let below = |bound: usize, random: &mut SeededRandom| {
            u32::from_be_bytes(claviger_crypto::random::array(random)) as usize % bound
        };
        for (joins, leaves) in
            [(0, 1), (0, 300), (0, 30), (200, 0), (50, 300), (0, 1900), (1500, 100), (3, 2), (0, 5)]
        {
            let mut present: Vec<Leaf> = tree.leaves().collect();
            let departed: Vec<Leaf> =
                (0..leaves).map(|_| present.swap_remove(below(present.len(), random))).collect();
            let before: BTreeMap<NodeId, NodeKey> = owned(&tree).into_iter().collect();
            let rekey = tree.batch(joins, &departed, random).unwrap();

            let left = paths(&tree, &departed);
            let gained = paths(&tree, &rekey.joined);
            let staying = |node: &NodeId| tree.key(*node).is_some();
            let had_members: BTreeSet<NodeId> = paths(&tree, &present);
            let mut wraps = BTreeSet::new();
            for node in left.union(&gained).filter(|node| staying(node)) {
                let after = tree.key(*node).unwrap();
                assert_eq!(rekey.key(*node), Some(after), "{node} changed");
                let handed_down =
                    before.get(node).filter(|_| !left.contains(node) && had_members.contains(node));
                if let (Some(previous), Joining::Advance) = (handed_down, joining) {
                    assert_eq!(previous.handle.advances_to(after.handle), Some(1));
                    continue;
                }
                assert_eq!(after.handle.epoch(), rekey.epoch);
                let children = (0..k).filter_map(|place| node.child(degree, place));
                let heirs: Vec<NodeId> = children
                    .filter(|child| {
                        if child.is_leaf() {
                            tree.contains(Leaf::new(child.index()))
                                && !rekey.joined.contains(&Leaf::new(child.index()))
                        } else {
                            had_members.contains(child)
                        }
                    })
                    .collect();
                match handed_down {
                    Some(previous) if heirs.len() > 1 => {
                        wraps.insert((*node, *node, previous.key().to_vec()));
                    }
                    _ => wraps.extend(
                        heirs.iter().map(|heir| (*node, *heir, tree.key(*heir).unwrap().key.to_vec())),
                    ),
                }
            }
            let found: BTreeSet<_> = rekey
                .wraps
                .iter()
                .map(|wrap| (rekey.target(wrap), rekey.under(wrap).0, rekey.under(wrap).1.key.to_vec()))
                .collect();
            assert_eq!(found.len(), rekey.wraps.len(), "no wrap twice");
            assert!(found == wraps, "k = {k}, {joining:?}, {joins} come and {leaves} go");
            for (job, wrap) in rekey.jobs().zip(&rekey.wraps) {
                assert_eq!(Some(job.plaintext), tree.key(rekey.target(wrap)).map(|key| key.key));
                assert_eq!(job.under, rekey.under(wrap).1.key);
            }
            // What nobody's path touched is as it was.
            let untouched = before.iter().filter(|(node, _)| staying(node) && rekey.key(**node).is_none());
            assert!(untouched.clone().all(|(node, key)| tree.key(*node) == Some(key.as_ref())));
            tree.recycle(rekey);
        }
        let restored = KeyTree::restore(tree.header(), owned(&tree)).unwrap();
        assert_eq!(owned(&restored), owned(&tree));
    }
}

#[test]
fn recycled_rekeys_make_no_difference() {
    let mut trees = [4, 4].map(|k| tree_joining(k, 90, Joining::Advance));
    let mut batches =
        vec![(0, vec![1, 5, 9, 60]), (3, vec![]), (2, (10..50).collect()), (0, vec![70]), (9, vec![71])];
    batches.push((0, vec![]));
    for (joins, leaves) in batches {
        let [one, other] = &mut trees;
        let recycled = batch(one, joins, &leaves).unwrap();
        assert_eq!(recycled, batch(other, joins, &leaves).unwrap());
        one.recycle(recycled);
        assert_eq!(owned(one), owned(other));
    }
    // Nor does one of another tree.
    let mut large = tree_joining(8, 100, Joining::Replace);
    let foreign = batch(&mut large, 0, &[3, 4, 5]).unwrap();
    trees[0].recycle(foreign);
    assert_eq!(batch(&mut trees[0], 1, &[2]).unwrap(), batch(&mut trees[1], 1, &[2]).unwrap());
}
