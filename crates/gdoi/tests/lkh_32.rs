//! Trees with 32-bit node ids: members that follow them, through every exchange and in any order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use claviger_crypto::{Random, SeededRandom, cipher::CipherAlgorithm};
use claviger_gdoi::{
    Error,
    error::PeerMisbehaved,
    lkh_32::{Wrap, pack},
    wire::lkh_32::{PathArray, Update},
};
use claviger_keypath::{Degree, Entry, Gathering, Handle, KeyPath, NodeId, StagedPath, Under, UpdateHead};
use proptest::prelude::*;
use support::tree::{OwnWrap, Rekey, Tree};

const CIPHER: CipherAlgorithm = CipherAlgorithm::Aes256Cbc;

/// Room for about nine entries.
const ROOM: usize = 420;

fn path(tree: &Tree, index: u32) -> KeyPath {
    tree.path(index).to_path(CIPHER).unwrap()
}

/// Begins to gather with a message as GDOI carries it.
fn gather(
    path: &KeyPath,
    update: &Update,
    cipher: CipherAlgorithm,
) -> Result<(Gathering, Option<StagedPath>), Error> {
    Ok(path.gather(update.head(), update.entries(), cipher.into())?)
}

/// Takes another such message.
fn take(gathering: &mut Gathering, update: &Update) -> Result<Option<StagedPath>, Error> {
    Ok(gathering.take(update.head(), update.entries())?)
}

fn shuffle<T>(items: &mut [T], random: &mut SeededRandom) {
    for last in (1..items.len()).rev() {
        let mut octets = [0; 8];
        random.fill(&mut octets);
        items.swap(last, (u64::from_be_bytes(octets) % (last as u64 + 1)) as usize);
    }
}

/// Has a member follow a rekey; says whether it reached the root.
fn follow(path: &mut KeyPath, updates: &[Update]) -> Result<bool, Error> {
    let mut gathering: Option<Gathering> = None;
    for update in updates {
        let staged = match &mut gathering {
            Some(gathering) => take(gathering, update)?,
            None => {
                let (begun, staged) = gather(path, update, CIPHER)?;
                gathering = Some(begun);
                staged
            }
        };
        if let Some(staged) = staged {
            path.commit(staged);
        }
    }
    Ok(gathering.is_some_and(|gathering| gathering.is_complete()))
}

fn root(path: &KeyPath) -> &[u8] {
    path.root().key()
}

#[test]
fn members_follow_joins_and_leaves_and_the_departed_cannot() {
    for k in 2..=8u8 {
        let mut random = SeededRandom::new(k.into());
        let levels = if k == 2 { 6 } else { 3 };
        let capacity = u32::from(k).pow(levels.into());
        let mut tree = Tree::new(k, levels, 32, (0..capacity).filter(|leaf| leaf % 3 != 1));
        let mut members: BTreeMap<u32, KeyPath> =
            (0..capacity).filter(|leaf| leaf % 3 != 1).map(|leaf| (leaf, path(&tree, leaf))).collect();
        let mut departed: Vec<KeyPath> = Vec::new();
        for round in 0..40u32 {
            let mut draw = |below: u32| {
                let mut octets = [0; 4];
                random.fill(&mut octets);
                u32::from_be_bytes(octets) % below
            };
            let (present, vacant): (Vec<u32>, Vec<u32>) =
                (0..capacity).partition(|leaf| members.contains_key(leaf));
            let some = |from: &[u32], count: u32, draw: &mut dyn FnMut(u32) -> u32| {
                let mut chosen: Vec<u32> = (0..count.min(from.len() as u32 / 2))
                    .map(|_| from[draw(from.len() as u32) as usize])
                    .collect();
                chosen.sort_unstable();
                chosen.dedup();
                chosen
            };
            let joins = some(&vacant, if round % 3 == 0 { 0 } else { 1 + draw(3) }, &mut draw);
            let leaves = some(&present, if round % 3 == 1 { 0 } else { 1 + draw(4) }, &mut draw);
            if joins.is_empty() && leaves.is_empty() {
                continue;
            }
            let rekey = tree.change(&joins, &leaves);
            departed.extend(leaves.iter().map(|leaf| members.remove(leaf).unwrap()));
            let mut updates = rekey.updates(ROOM);
            shuffle(&mut updates, &mut random);
            for (leaf, member) in &mut members {
                assert_eq!(follow(member, &updates), Ok(true), "k {k}, round {round}, leaf {leaf}");
                assert_eq!(root(member), tree.kek().expose(), "k {k}, round {round}, leaf {leaf}");
            }
            for gone in &mut departed {
                assert_ne!(follow(gone, &updates), Ok(true), "k {k}, round {round}");
                assert_ne!(root(gone), tree.kek().expose());
            }
            for leaf in joins {
                members.insert(leaf, path(&tree, leaf));
            }
        }
    }
}

#[test]
fn joins_alone_need_one_message_without_any_key() {
    let mut tree = Tree::new(4, 3, 32, 0..20);
    let mut member = path(&tree, 0);
    for joining in 20..35 {
        let rekey = tree.change(&[joining], &[]);
        let updates = rekey.updates(ROOM);
        assert_eq!((rekey.wraps.len(), updates.len(), updates[0].encoded_len()), (0, 1, Update::OVERHEAD));
        assert_eq!(follow(&mut member, &updates), Ok(true));
        assert_eq!(root(&member), tree.kek().expose());
    }
    // The sixteenth advance of the root is a replacement, under its previous key.
    let rekey = tree.change(&[35], &[]);
    assert_eq!(rekey.wraps.len(), 1);
    assert_eq!(follow(&mut member, &rekey.updates(ROOM)), Ok(true));
    assert_eq!(root(&member), tree.kek().expose());
    assert_eq!(tree.keys[&tree.root()].0, Handle::new(tree.epoch, 0).unwrap());
}

#[test]
fn keys_below_the_root_that_lag_behind_catch_up_when_they_are_needed() {
    let mut tree = Tree::new(2, 4, 32, [0, 1, 2, 3, 8]);
    let mut member = path(&tree, 0);
    for joining in 4..8 {
        assert_eq!(follow(&mut member, &tree.change(&[joining], &[]).updates(ROOM)), Ok(true));
    }
    let lagging = member.keys()[2].handle;
    // Leaf 8 goes: the root is wrapped under (3,0), which advanced while nobody said so.
    assert_eq!(follow(&mut member, &tree.change(&[], &[8]).updates(ROOM)), Ok(true));
    assert_eq!(root(&member), tree.kek().expose());
    assert_eq!(member.keys()[2].handle, lagging, "what is not needed stays");
}

#[test]
fn a_key_that_comes_after_the_root_is_taken_up_too() {
    // Node (2,0) has used up its advances, the root has not.
    let mut tree = Tree::new(2, 3, 32, [0, 4]);
    let mut member = path(&tree, 0);
    let node = NodeId::new(2, 0).unwrap();
    let rekey = loop {
        let rekey = tree.change(&[1], &[]);
        if rekey.wraps.iter().any(|wrap| wrap.target == node) {
            break rekey;
        }
        assert_eq!(follow(&mut member, &rekey.updates(ROOM)), Ok(true));
        // The newcomer's leaf is taken away without a trace, for more to come.
        tree.keys.remove(&NodeId::new(0, 1).unwrap());
        if tree.keys[&tree.root()].0.advances() == 14 {
            assert_eq!(follow(&mut member, &tree.change(&[], &[4]).updates(ROOM)), Ok(true));
            tree.keys.insert(NodeId::new(0, 4).unwrap(), (Handle::new(1, 0).unwrap(), vec![4; 32].into()));
        }
    };
    let (late, early): (Vec<_>, Vec<_>) =
        rekey.wraps.iter().map(OwnWrap::borrow).partition(|w| w.target == node);
    let first = pack(rekey.head, early, ROOM).unwrap();
    let second = pack(rekey.head, late, ROOM).unwrap();
    let (mut gathering, staged) = gather(&member, &first[0], CIPHER).unwrap();
    member.commit(staged.expect("the root was only advanced"));
    assert_eq!(root(&member), tree.kek().expose());
    let before = member.keys()[2].handle;
    member.commit(take(&mut gathering, &second[0]).unwrap().expect("one more key"));
    assert!(member.keys()[2].handle > before);
    assert_eq!(take(&mut gathering, &second[0]), Ok(None), "nothing new");
    assert_eq!(root(&member), tree.kek().expose());
}

#[test]
fn a_tree_grows_and_shrinks_at_the_top() {
    let mut tree = Tree::new(4, 2, 32, 0..16);
    let mut member = path(&tree, 5);
    for levels in [3, 4, 3, 2] {
        assert_eq!(follow(&mut member, &tree.resize(levels).updates(ROOM)), Ok(true), "{levels}");
        assert_eq!(member.keys().len(), usize::from(levels) + 1);
        assert_eq!(root(&member), tree.kek().expose());
    }
    // One whose leaf is beyond what is left is told so.
    let wide = Tree::new(4, 3, 32, [0, 63]);
    let outside = path(&wide, 63);
    let update =
        Update::new(UpdateHead { root: NodeId::new(2, 0).unwrap(), epoch: 9, ..wide.head() }).unwrap();
    assert_eq!(gather(&outside, &update, CIPHER).err(), Some(PeerMisbehaved::UpdateArrayNotForUs.into()));
}

/// Leaf 0 of eight; leaf 1 goes.
fn departure() -> (KeyPath, Tree, Rekey) {
    let mut tree = Tree::new(2, 3, 32, 0..8);
    let member = path(&tree, 0);
    let rekey = tree.change(&[], &[1]);
    (member, tree, rekey)
}

fn all_in_one(rekey: &Rekey) -> Update {
    let mut updates = rekey.updates(60_000);
    assert_eq!(updates.len(), 1);
    updates.remove(0)
}

/// The update with one entry changed: of all those for this target.
fn with_changed(update: &Update, level: u8, change: impl Fn(&mut Entry, &mut Vec<u8>)) -> Update {
    let mut changed = Update::new(*update.head()).unwrap();
    for (entry, wrapped) in update.entries() {
        let (mut entry, mut wrapped) = (*entry, wrapped.to_vec());
        if entry.target.level() == level {
            change(&mut entry, &mut wrapped);
        }
        changed.push(entry, &wrapped).unwrap();
    }
    changed
}

#[test]
fn each_broken_rule_is_named_and_changes_nothing() {
    let (member, tree, rekey) = departure();
    let good = all_in_one(&rekey);
    assert!(gather(&member, &good, CIPHER).unwrap().1.is_some());
    let refused = |update: &Update| match gather(&member, update, CIPHER) {
        Err(Error::PeerMisbehaved(rule)) => rule,
        other => panic!("{other:?}"),
    };
    // A key that does not unwrap.
    let damaged = with_changed(&good, 2, |_, wrapped| wrapped[9] ^= 1);
    assert_eq!(refused(&damaged), PeerMisbehaved::UpdateArrayContent);
    // Under a key that advances do not lead to.
    let advanced = with_changed(&good, 1, |entry, _| entry.handle = Handle::new(1, 3).unwrap());
    assert_eq!(refused(&advanced), PeerMisbehaved::UpdateArrayContent);
    // Under a key of a rekey that this member never saw.
    let head = UpdateHead { epoch: 9, root_handle: Handle::new(9, 0).unwrap(), ..*good.head() };
    let mut later = Update::new(head).unwrap();
    for (entry, wrapped) in good.entries() {
        let handle = Handle::new(if entry.handle.epoch() == 2 { 9 } else { 4 }, 0).unwrap();
        later.push(Entry { handle, ..*entry }, wrapped).unwrap();
    }
    assert_eq!(refused(&later), PeerMisbehaved::UpdateArrayNotForUs);
    // Under a key from before the one that is held.
    let mut advanced = tree.path(0);
    advanced.keys = PathArray::from(&member).keys;
    advanced.keys[0].0 = Handle::new(1, 4).unwrap();
    let advanced = advanced.to_path(CIPHER).unwrap();
    assert_eq!(gather(&advanced, &good, CIPHER).err(), Some(PeerMisbehaved::HandleWentBack.into()));
    // A root that is held already, and one from before.
    for advances in [0, 1] {
        let mut newer = PathArray::from(&member);
        newer.keys[3].0 = Handle::new(2, advances).unwrap();
        let held = newer.to_path(CIPHER).unwrap();
        assert_eq!(gather(&held, &good, CIPHER).err(), Some(PeerMisbehaved::RootNotNewer.into()));
    }
    // Keys for another cipher.
    assert_eq!(
        gather(&member, &good, CipherAlgorithm::Aes128Cbc).err(),
        Some(PeerMisbehaved::KeyLength.into())
    );
    // Another tree.
    let degree = Degree::new(4).unwrap();
    let other = Update::new(UpdateHead { degree, ..*good.head() }).unwrap();
    assert_eq!(refused(&other), PeerMisbehaved::UpdateArrayNotForUs);
    // A second message that is of another rekey, or says something else of the same key.
    let empty = Update::new(*good.head()).unwrap();
    let (mut gathering, staged) = gather(&member, &empty, CIPHER).unwrap();
    assert_eq!((staged, gathering.is_complete()), (None, false));
    let before = gathering.clone();
    let other = Update::new(UpdateHead { epoch: 3, ..*good.head() }).unwrap();
    assert_eq!(take(&mut gathering, &other), Err(PeerMisbehaved::UpdateHeadDiffers.into()));
    let mut root_only = Update::new(*good.head()).unwrap();
    for (entry, wrapped) in good.entries().filter(|(entry, _)| entry.target.level() == 3) {
        root_only.push(*entry, wrapped).unwrap();
    }
    assert_eq!(take(&mut gathering, &root_only), Ok(None));
    let contradiction = with_changed(&root_only, 3, |_, wrapped| wrapped[0] ^= 1);
    assert_eq!(take(&mut gathering, &contradiction), Err(PeerMisbehaved::UpdateArrayContent.into()));
    assert_eq!(take(&mut gathering, &damaged), Err(PeerMisbehaved::UpdateArrayContent.into()));
    assert_ne!(gathering, before, "what was sound was kept");
    assert!(take(&mut gathering, &good).unwrap().is_some(), "and leads to the root after all");
}

#[test]
fn an_excluded_member_is_never_complete() {
    let (_, tree, rekey) = departure();
    let gone = path(&Tree::new(2, 3, 32, 0..8), 1);
    let (gathering, staged) = gather(&gone, &all_in_one(&rekey), CIPHER).unwrap();
    assert_eq!((staged, gathering.is_complete()), (None, false));
    let entries: Vec<NodeId> = rekey.wraps.iter().map(|wrap| wrap.under).collect();
    assert!(!entries.contains(&NodeId::new(0, 1).unwrap()));
    assert_eq!(entries.len(), 2 * 3 - 1, "k d - 1 keys for a departure from a full tree");
    assert!(tree.keys.contains_key(&tree.root()));
}

#[test]
fn a_path_leads_to_a_root() {
    let tree = Tree::new(2, 3, 32, 0..8);
    let good = tree.path(5);
    assert_eq!(PathArray::from(&good.to_path(CIPHER).unwrap()), good);
    let broken = |change: fn(&mut PathArray)| {
        let mut array = tree.path(5);
        change(&mut array);
        array.to_path(CIPHER).err()
    };
    assert_eq!(broken(|path| drop(path.keys.pop())), Some(PeerMisbehaved::PathContent.into()));
    assert_eq!(broken(|path| path.keys.clear()), Some(PeerMisbehaved::PathContent.into()));
    assert_eq!(
        broken(|path| path.first = NodeId::new(31, 0).unwrap()),
        Some(PeerMisbehaved::PathContent.into())
    );
    assert_eq!(broken(|path| path.keys[1].1 = vec![0; 16].into()), Some(PeerMisbehaved::KeyLength.into()));
}

#[test]
fn no_key_is_packed_twice_and_none_is_lost() {
    let mut tree = Tree::new(4, 4, 32, 0..256);
    let leaves: Vec<u32> = (0..256).filter(|leaf| leaf % 11 == 3).collect();
    let rekey = tree.change(&[], &leaves);
    for room in [ROOM, 600, 900, 60_000] {
        let updates = rekey.updates(room);
        let mut packed: Vec<(NodeId, Under, Handle, Vec<u8>)> = Vec::new();
        for update in &updates {
            assert!(update.encoded_len() <= room);
            packed
                .extend(update.entries().map(|(e, wrapped)| (e.target, e.under, e.handle, wrapped.to_vec())));
        }
        let total = packed.len();
        packed.sort();
        packed.dedup();
        assert_eq!((packed.len(), total), (rekey.wraps.len(), rekey.wraps.len()), "room {room}");
    }
    let wraps = || rekey.wraps.iter().map(OwnWrap::borrow);
    let shuffled = {
        let mut wraps: Vec<_> = wraps().collect();
        shuffle(&mut wraps, &mut SeededRandom::new(3));
        wraps
    };
    assert_eq!(pack(rekey.head, shuffled, 600), pack(rekey.head, wraps(), 600), "in any order");
    use claviger_gdoi::ApiMisuse;
    assert_eq!(pack(rekey.head, wraps().chain(wraps().take(1)), 600), Err(ApiMisuse::KeyTree), "twice");
    assert_eq!(pack(rekey.head, wraps(), 60), Err(ApiMisuse::MessageTooLong));
    assert_eq!(pack(rekey.head, wraps(), 10), Err(ApiMisuse::MessageTooLong));
    let stranger = |wrap: Wrap<'static>| pack(rekey.head, [wrap], 600);
    let id = |level, index| NodeId::new(level, index).unwrap();
    let handle = Handle::new(1, 0).unwrap();
    for (target, under, wrapped) in [
        (id(1, 0), id(0, 4), &[0; 40][..]),
        (id(2, 0), id(0, 0), &[0; 40]),
        (id(1, 0), id(0, 0), &[0; 24]),
        (id(4, 1), id(3, 4), &[0; 40]),
        (id(5, 0), id(4, 0), &[0; 40]),
    ] {
        assert_eq!(stranger(Wrap { target, under, handle, wrapped }), Err(ApiMisuse::KeyTree), "{target}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes in whatever order, a member that is not excluded ends with the root, and not before it has every
    /// key that it needs.
    #[test]
    fn any_order_of_messages_leads_to_the_root(
        k in 2u8..=8, seed in any::<u64>(), room in 420usize..1200,
        leaves in proptest::collection::btree_set(0u32..64, 1..20), whole in any::<bool>(),
    ) {
        let levels = if k == 2 { 6 } else if k < 4 { 4 } else { 3 };
        let capacity = u32::from(k).pow(levels.into()).min(64);
        let mut tree = Tree::new(k, levels, 32, 0..capacity);
        let leaves: Vec<u32> = leaves.into_iter().filter(|leaf| *leaf < capacity && *leaf != 7).collect();
        let mut member = path(&tree, 7);
        let random = &mut SeededRandom::new(seed);
        let rekey = tree.change(&[], &leaves);
        let mut updates = rekey.updates(room);
        shuffle(&mut updates, random);
        if !whole {
            updates.pop();
        }
        let complete = follow(&mut member, &updates);
        if leaves.is_empty() {
            return Ok(());
        }
        let reached = root(&member) == tree.kek().expose();
        prop_assert_eq!(complete.unwrap_or(false), reached);
        if whole {
            prop_assert_eq!(complete, Ok(true));
        }
    }
}
