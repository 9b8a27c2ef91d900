//! A group with real members, and a recording of all that was sent.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use claviger_crypto::{SecretBytes, SeededRandom};
use claviger_keytree::{
    Degree, Handle, Header, KeyRef, KeyTree, Leaf, NodeId, NodeKey, Rekey, TreeConfig, TreeError, UnderKey,
    place::{Place, PlaceError, Places},
};
use claviger_keywrap::{Engine, Job, Wrapped, wrapped_len};

/// How a rekey is sent: the tree's own encryptions, or whole paths as in RFC 6407's LKH_UPDATE_ARRAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Wraps,
    Starts,
}

/// Names one key: its node and its handle.
pub(crate) type KeyName = (NodeId, Handle);

/// One encrypted key as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) under: KeyName,
    pub(crate) target: KeyName,
    pub(crate) ciphertext: Vec<u8>,
}

/// One who is or was in the group. What it has comes from its path at the join, from messages and from the one-way
/// advance, nothing else.
pub(crate) struct Person {
    pub(crate) leaf: Leaf,
    /// The keys it has now, one for each node.
    pub(crate) keys: BTreeMap<NodeId, NodeKey>,
    /// The key of the group, as it believes.
    pub(crate) root: NodeId,
    /// Every key it ever had.
    pub(crate) held: BTreeSet<Vec<u8>>,
    /// The epochs of its membership: from the first to before the second.
    pub(crate) since: usize,
    pub(crate) until: Option<usize>,
}

/// What was true between two changes: every key of the tree.
pub(crate) struct Epoch {
    pub(crate) keys: Vec<(KeyName, Vec<u8>)>,
}

pub(crate) struct Group {
    pub(crate) tree: KeyTree,
    pub(crate) places: Places,
    /// The places that the last batch named as changed.
    pub(crate) rebound: BTreeSet<Place>,
    pub(crate) encoding: Encoding,
    pub(crate) people: Vec<Person>,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) recording: Vec<Message>,
    random: SeededRandom,
}

/// How a tree may be faulty: it forgets one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forgotten(pub(crate) NodeId);

impl Group {
    pub(crate) fn new(config: TreeConfig, encoding: Encoding, seed: u64) -> Self {
        let mut random = SeededRandom::new(seed);
        let tree = KeyTree::new(config, &mut random);
        let mut group = Self {
            tree,
            places: Places::new(config),
            rebound: BTreeSet::new(),
            encoding,
            people: Vec::new(),
            epochs: Vec::new(),
            recording: Vec::new(),
            random,
        };
        group.begin_epoch();
        group
    }

    pub(crate) fn batch(&mut self, joins: usize, leaves: &[Leaf]) -> Result<Rekey, TreeError> {
        let rekey = self.tree.batch(joins, leaves, &mut self.random)?;
        self.send_and_follow(&rekey, leaves);
        Ok(rekey)
    }

    pub(crate) fn batch_at(&mut self, joined: &[Leaf], leaves: &[Leaf]) -> Result<Rekey, TreeError> {
        let rekey = self.tree.batch_at(joined, leaves, &mut self.random)?;
        self.send_and_follow(&rekey, leaves);
        Ok(rekey)
    }

    /// Changes members at places. Each wrap goes only to the places that need it, and every member there has to manage
    /// with that.
    pub(crate) fn batch_in_places(
        &mut self,
        joins: &[Place],
        moves: &[(Leaf, Place)],
        leaves: &[Leaf],
    ) -> Result<Rekey, PlaceError> {
        let placed = self.places.batch(&mut self.tree, joins, moves, leaves, &mut self.random)?;
        let departed: Vec<Leaf> = moves.iter().map(|(leaf, _)| *leaf).chain(leaves.iter().copied()).collect();
        let rekey = placed.rekey;
        self.rebound = placed.rebound;
        let messages = send(&rekey, self.tree.degree(), self.encoding, None);
        let audiences: Vec<BTreeSet<Place>> =
            messages.iter().map(|message| self.places.places_below(message.under.0)).collect();
        self.follow(&rekey, &departed, messages, |places, leaf, message| {
            audiences[message].contains(&places.place_of(leaf).expect("a member is at a place"))
        });
        Ok(rekey)
    }

    pub(crate) fn refresh(&mut self) -> Rekey {
        let rekey = self.tree.refresh(&mut self.random).unwrap();
        self.send_and_follow(&rekey, &[]);
        rekey
    }

    fn send_and_follow(&mut self, rekey: &Rekey, leaves: &[Leaf]) {
        let messages = send(rekey, self.tree.degree(), self.encoding, None);
        self.follow(rekey, leaves, messages, |_, _, _| true);
    }

    /// Does what a tree would do that forgot to change the key of one node.
    pub(crate) fn batch_forgetting(&mut self, joins: usize, leaves: &[Leaf], forgotten: Forgotten) -> Rekey {
        let Forgotten(skipped) = forgotten;
        let old = self.tree.key(skipped).unwrap().to_owned();
        let rekey = self.tree.batch(joins, leaves, &mut self.random).unwrap();
        assert!(rekey.key(skipped).is_some(), "{skipped} was to be changed");
        let nodes: Vec<_> = self
            .snapshot()
            .1
            .into_iter()
            .map(|(node, key)| (node, if node == skipped { old.clone() } else { key }))
            .collect();
        self.tree = KeyTree::restore(self.tree.header(), nodes).unwrap();
        let messages = send(&rekey, self.tree.degree(), self.encoding, Some((skipped, &old)));
        self.follow(&rekey, leaves, messages, |_, _, _| true);
        rekey
    }

    /// Lets members depart, and one message of the rekey reach nobody.
    pub(crate) fn batch_losing(&mut self, leaves: &[Leaf], lost: usize) {
        let rekey = self.tree.batch(0, leaves, &mut self.random).unwrap();
        let messages = send(&rekey, self.tree.degree(), self.encoding, None);
        self.follow(&rekey, leaves, messages, |_, _, message| message != lost);
    }

    /// Goes through the present members.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(|person| person.until.is_none())
    }

    pub(crate) fn snapshot(&self) -> (Header, Vec<(NodeId, NodeKey)>) {
        let nodes = self.tree.nodes().map(|(node, key)| (node, key.to_owned()));
        (self.tree.header(), nodes.collect())
    }

    /// Lets members depart, those who stay receive what `arrives` lets through, and newcomers join.
    fn follow(
        &mut self,
        rekey: &Rekey,
        leaves: &[Leaf],
        messages: Vec<Message>,
        arrives: impl Fn(&Places, Leaf, usize) -> bool,
    ) {
        let now = self.epochs.len();
        for person in self.people.iter_mut().filter(|person| person.until.is_none()) {
            if leaves.contains(&person.leaf) {
                person.until = Some(now);
            } else {
                for (number, message) in messages.iter().enumerate() {
                    if arrives(&self.places, person.leaf, number) {
                        person.receive(message);
                    }
                }
                person.root = rekey.root;
            }
        }
        self.recording.extend(messages);
        for leaf in &rekey.joined {
            let path = self.tree.path(*leaf).unwrap();
            let keys: BTreeMap<_, _> = path.into_iter().map(|(node, key)| (node, key.to_owned())).collect();
            let held = keys.values().map(|key| key.key().to_vec()).collect();
            self.people.push(Person { leaf: *leaf, keys, root: rekey.root, held, since: now, until: None });
        }
        self.begin_epoch();
    }

    fn begin_epoch(&mut self) {
        let keys = self.tree.nodes().map(|(node, key)| ((node, key.handle), key.key.to_vec())).collect();
        self.epochs.push(Epoch { keys });
    }
}

impl Person {
    /// Takes from a message the key that it brings, if one at hand opens it.
    fn receive(&mut self, message: &Message) {
        let Some(under) = self.key(message.under) else { return };
        let target = open(&under, &message.ciphertext).expect("a key that is named opens the message");
        let (node, handle) = message.target;
        self.held.extend([under, target.clone()]);
        self.keys.insert(node, NodeKey::new(handle, SecretBytes::new(target)).unwrap());
    }

    /// Returns the key of this name: the one at hand, or one that it leads to by one-way advances.
    pub(crate) fn key(&self, (node, handle): KeyName) -> Option<Vec<u8>> {
        let held = self.keys.get(&node)?;
        let advances = held.handle.advances_to(handle)?;
        Some((0..advances).fold(held.key().to_vec(), |key, _| advance(&key)))
    }
}

/// Encrypts a rekey. A faulty tree's `kept` key stands in for the new key of its node.
fn send(rekey: &Rekey, degree: Degree, encoding: Encoding, kept: Option<(NodeId, &NodeKey)>) -> Vec<Message> {
    let after = |node| match kept {
        Some((skipped, old)) if skipped == node => (node, old.as_ref()),
        _ => (node, rekey.key(node).unwrap()),
    };
    let known = |(node, key)| if rekey.advanced.contains(&node) { after(node) } else { (node, key) };
    let mut messages = Vec::new();
    match encoding {
        Encoding::Wraps => {
            for wrap in &rekey.wraps {
                let under = rekey.under(wrap);
                let under =
                    if rekey.under_kind(wrap) == UnderKey::New { after(under.0) } else { known(under) };
                messages.push(encrypt(under, after(rekey.target(wrap))));
            }
        }
        Encoding::Starts => {
            for start in rekey.starts() {
                let mut under = known((start.node, start.key));
                for node in start.chain.iter() {
                    messages.push(encrypt(under, after(node)));
                    under = after(node);
                }
                let ends = under.0 == rekey.root
                    || under.0.parent(degree).is_some_and(|parent| rekey.advanced.contains(&parent));
                assert!(ends, "a chain leads to the group's key, or to below one that was only advanced");
            }
        }
    }
    messages
}

fn encrypt(under: (NodeId, KeyRef<'_>), target: (NodeId, KeyRef<'_>)) -> Message {
    let mut ciphertext = vec![0; wrapped_len(target.1.key.len())];
    let job = Job { under: under.1.key, plaintext: target.1.key };
    Engine::best().wrap([job], &mut ciphertext).unwrap();
    Message { under: (under.0, under.1.handle), target: (target.0, target.1.handle), ciphertext }
}

/// Opens a message, if this is the key for it, by both our engine and aws-lc.
pub(crate) fn open(under: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let target = Engine::best().unwrap_one(Wrapped { under, ciphertext }).ok();
    let target = target.map(|target| target.expose().to_vec());
    assert_eq!(target, open_by_aws_lc(under, ciphertext));
    target
}

/// Opens a message by aws-lc alone, which is fast in a debug build too.
pub(crate) fn open_by_aws_lc(under: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let mut target = [0; 40];
    let target = match under.len() {
        16 => AesKek::new(&AES_128, under).unwrap().unwrap(ciphertext, &mut target),
        _ => AesKek::new(&AES_256, under).unwrap().unwrap(ciphertext, &mut target),
    };
    Some(target.ok()?.to_vec())
}

/// Computes the one-way advance.
pub(crate) fn advance(key: &[u8]) -> Vec<u8> {
    let mut next = vec![0; key.len()];
    Engine::best().advance([key], &mut next).unwrap();
    next
}
