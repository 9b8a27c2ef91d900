//! Judges a history by its recording: who can reach which key, whatever the labels on the messages say.

use std::collections::BTreeMap;

use claviger_keytree::NodeId;

use crate::group::{Group, KeyName, Person, advance, open_by_aws_lc};

/// What the checker found wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The present member at this leaf lacks the current key of a node on its path.
    Deaf { leaf: u32, node: NodeId },
    /// Those who were outside the group in this epoch can together reach a key of it.
    Readable { epoch: usize },
}

/// Checks that each present member has exactly the keys of its path, or such as lead to them by the one-way advance,
/// and knows its root.
pub(crate) fn everyone_inside_reads(group: &Group) -> Result<(), Violation> {
    for person in group.members() {
        let path = group.tree.path(person.leaf).expect("a present member has a leaf");
        for (node, key) in &path {
            if person.key((*node, key.handle)).as_deref() != Some(key.key) {
                return Err(Violation::Deaf { leaf: person.leaf.index(), node: *node });
            }
        }
        assert_eq!(Some(person.root), path.last().map(|(node, _)| *node));
    }
    Ok(())
}

/// How the checker finds out which key opens a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trial {
    /// It tries every key that ever was on every message.
    EveryKey,
    /// It tries the key that the message names, and is satisfied only if that opens it: for long histories.
    NamedKey,
}

/// Checks, for every epoch, that all who were outside the group in it (departed before, or joined after) cannot
/// together reach any key of the tree in that epoch, though they pool every key that they ever had and every
/// message that was ever sent.
///
/// Each message opens with one key, and each key leads to one other by the one-way advance. What a coalition reaches is
/// therefore found by following both from all of its keys, and each key has a first epoch in which the departed reach
/// it, and a last in which later joiners do.
pub(crate) fn nobody_outside_reads(group: &Group, trial: Trial) -> Result<(), Violation> {
    let keys = Keys::of(group);
    let opened = match trial {
        Trial::EveryKey => keys.try_every_key(group),
        Trial::NamedKey => keys.try_named_keys(group),
    };
    let opened = keys.with_advances(opened);
    let mut departed: Vec<_> =
        group.people.iter().filter_map(|person| Some((person.until?, keys.held(person)))).collect();
    departed.sort();
    let departed_reach = follow(departed, &opened);

    let mut joined: Vec<_> = group.people.iter().map(|person| (person.since, keys.held(person))).collect();
    joined.sort_by(|one, other| other.cmp(one));
    let joiners_reach = follow(joined, &opened);

    for (number, epoch) in group.epochs.iter().enumerate() {
        for (_, material) in &epoch.keys {
            let key = keys.numbers[material];
            if departed_reach[key].is_some_and(|first| first <= number)
                || joiners_reach[key].is_some_and(|last| last > number)
            {
                return Err(Violation::Readable { epoch: number });
            }
        }
    }
    Ok(())
}

/// Goes through holders of keys in order, and says for each key the epoch of the first who reaches it.
fn follow(holders: Vec<(usize, Vec<usize>)>, opened: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut reached = vec![None; opened.len()];
    for (epoch, mut new) in holders {
        while let Some(key) = new.pop() {
            if reached[key].is_none() {
                reached[key] = Some(epoch);
                new.extend(&opened[key]);
            }
        }
    }
    reached
}

/// Every key that ever was.
struct Keys {
    numbers: BTreeMap<Vec<u8>, usize>,
    names: BTreeMap<KeyName, Vec<u8>>,
}

impl Keys {
    fn of(group: &Group) -> Self {
        let (mut numbers, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (name, material) in group.epochs.iter().flat_map(|epoch| &epoch.keys) {
            let next = numbers.len();
            numbers.entry(material.clone()).or_insert(next);
            let named = names.entry(*name).or_insert_with(|| material.clone());
            assert_eq!(named, material, "a handle is never used for two keys of a node");
        }
        Self { numbers, names }
    }

    fn held(&self, person: &Person) -> Vec<usize> {
        person.held.iter().map(|material| self.numbers[material]).collect()
    }

    /// For each key, lists the keys that it brings out of some message.
    fn try_every_key(&self, group: &Group) -> Vec<Vec<usize>> {
        let mut opened = vec![Vec::new(); self.numbers.len()];
        for (key, number) in &self.numbers {
            opened[*number] = group
                .recording
                .iter()
                .filter_map(|message| open_by_aws_lc(key, &message.ciphertext))
                .map(|target| self.numbers[&target])
                .collect();
        }
        let openings: usize = opened.iter().map(Vec::len).sum();
        assert_eq!(openings, group.recording.len(), "every message is opened by one key");
        opened
    }

    /// The same, but each message is opened with the one key that it names.
    fn try_named_keys(&self, group: &Group) -> Vec<Vec<usize>> {
        let mut opened = vec![Vec::new(); self.numbers.len()];
        for message in &group.recording {
            let key = &self.names[&message.under];
            let target = open_by_aws_lc(key, &message.ciphertext).expect("the key that is named opens it");
            opened[self.numbers[key]].push(self.numbers[&target]);
        }
        opened
    }

    /// Adds to what each key opens the key that follows it by the one-way advance, if the tree ever had that one.
    fn with_advances(&self, mut opened: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        for (key, number) in &self.numbers {
            opened[*number].extend(self.numbers.get(&advance(key)));
        }
        opened
    }
}
