//! A group with real members, and a recording of all that was sent.

use std::collections::{BTreeMap, BTreeSet};

use claviger_crypto::{
    SecretBytes, SeededRandom,
    cipher::{CipherAlgorithm, CipherKey},
    provider,
};
use claviger_keytree::{
    Degree, Header, KeyLength, KeyTree, Leaf, NodeId, NodeKey, Rekey, TreeError, UnderKey,
};

/// How a rekey is sent: the tree's own encryptions, or whole paths as in RFC 6407's LKH_UPDATE_ARRAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Wraps,
    Starts,
}

/// Names one key: its node and its handle.
pub(crate) type KeyName = (NodeId, u32);

/// One encrypted key as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) under: KeyName,
    pub(crate) target: KeyName,
    pub(crate) ciphertext: Vec<u8>,
}

/// One who is or was in the group. What it has comes from its path at the join and from messages, nothing else.
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
    pub(crate) encoding: Encoding,
    pub(crate) people: Vec<Person>,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) recording: Vec<Message>,
    random: SeededRandom,
}

impl Group {
    pub(crate) fn new(
        degree: u8,
        key_length: KeyLength,
        capacity: u32,
        encoding: Encoding,
        seed: u64,
    ) -> Self {
        let mut random = SeededRandom::new(seed);
        let tree = KeyTree::new(Degree::new(degree).unwrap(), key_length, capacity, &mut random);
        let mut group =
            Self { tree, encoding, people: Vec::new(), epochs: Vec::new(), recording: Vec::new(), random };
        group.begin_epoch();
        group
    }

    pub(crate) fn batch(&mut self, joins: usize, leaves: &[Leaf]) -> Result<Rekey, TreeError> {
        let rekey = self.tree.batch(joins, leaves, &mut self.random)?;
        let messages = send(&rekey, self.encoding, None);
        self.follow(&rekey, leaves, messages);
        Ok(rekey)
    }

    pub(crate) fn refresh(&mut self) -> Rekey {
        let rekey = self.tree.refresh(&mut self.random).unwrap();
        let messages = send(&rekey, self.encoding, None);
        self.follow(&rekey, &[], messages);
        rekey
    }

    /// Does what a tree would do that forgot to replace the key of `skipped`.
    pub(crate) fn batch_skipping(&mut self, joins: usize, leaves: &[Leaf], skipped: NodeId) -> Rekey {
        let old = self.tree.key(skipped).unwrap();
        let rekey = self.tree.batch(joins, leaves, &mut self.random).unwrap();
        assert!(rekey.changed.contains(&skipped), "{skipped} was to be replaced");
        let nodes: Vec<_> = self
            .tree
            .nodes()
            .map(|(node, key)| (node, if node == skipped { old.clone() } else { key }))
            .collect();
        self.tree = KeyTree::restore(self.tree.header(), nodes).unwrap();
        let messages = send(&rekey, self.encoding, Some((skipped, &old)));
        self.follow(&rekey, leaves, messages);
        rekey
    }

    /// Lets members depart, and one message of the rekey reach nobody.
    pub(crate) fn batch_losing(&mut self, leaves: &[Leaf], lost: usize) {
        let rekey = self.tree.batch(0, leaves, &mut self.random).unwrap();
        let mut messages = send(&rekey, self.encoding, None);
        messages.remove(lost);
        self.follow(&rekey, leaves, messages);
    }

    /// Goes through the present members.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(|person| person.until.is_none())
    }

    pub(crate) fn snapshot(&self) -> (Header, Vec<(NodeId, NodeKey)>) {
        (self.tree.header(), self.tree.nodes().collect())
    }

    fn follow(&mut self, rekey: &Rekey, leaves: &[Leaf], messages: Vec<Message>) {
        let now = self.epochs.len();
        for person in self.people.iter_mut().filter(|person| person.until.is_none()) {
            if leaves.contains(&person.leaf) {
                person.until = Some(now);
            } else {
                person.receive(&messages);
                person.root = rekey.root;
            }
        }
        self.recording.extend(messages);
        for leaf in &rekey.joined {
            let keys: BTreeMap<_, _> = self.tree.path(*leaf).unwrap().into_iter().collect();
            let held = keys.values().map(|key| key.material().to_vec()).collect();
            self.people.push(Person { leaf: *leaf, keys, root: rekey.root, held, since: now, until: None });
        }
        self.begin_epoch();
    }

    fn begin_epoch(&mut self) {
        let keys =
            self.tree.nodes().map(|(node, key)| ((node, key.handle), key.material().to_vec())).collect();
        self.epochs.push(Epoch { keys });
    }
}

impl Person {
    /// Takes from `messages`, in one pass, every key that one at hand opens.
    pub(crate) fn receive(&mut self, messages: &[Message]) {
        for message in messages {
            let (node, handle) = message.under;
            let Some(key) = self.keys.get(&node).filter(|key| key.handle == handle) else { continue };
            let material = open(&*cipher_of(key.key()), key.iv(), &message.ciphertext);
            self.held.insert(material.clone());
            let (node, handle) = message.target;
            self.keys.insert(node, NodeKey::new(handle, SecretBytes::new(material)).unwrap());
        }
    }
}

/// Encrypts a rekey. A faulty tree's `kept` key stands in for the new key of its node.
fn send(rekey: &Rekey, encoding: Encoding, kept: Option<(NodeId, &NodeKey)>) -> Vec<Message> {
    let new = |node| match kept {
        Some((skipped, old)) if skipped == node => (node, old),
        _ => (node, rekey.key(node).unwrap()),
    };
    let mut messages = Vec::new();
    match encoding {
        Encoding::Wraps => {
            for wrap in &rekey.wraps {
                let under = match wrap.under {
                    UnderKey::New(child) => new(child),
                    UnderKey::Held(_) => rekey.under(wrap).unwrap(),
                };
                messages.push(encrypt(under, new(wrap.target)));
            }
        }
        Encoding::Starts => {
            for start in &rekey.starts {
                let mut under = (start.node, &start.key);
                for node in start.chain.iter() {
                    messages.push(encrypt(under, new(node)));
                    under = new(node);
                }
                assert_eq!(under.0, rekey.root, "a chain culminates in the group's key");
            }
        }
    }
    messages
}

fn encrypt(under: (NodeId, &NodeKey), target: (NodeId, &NodeKey)) -> Message {
    let mut ciphertext = target.1.material().to_vec();
    cipher_of(under.1.key()).encrypt(under.1.iv(), &mut ciphertext).unwrap();
    Message { under: (under.0, under.1.handle), target: (target.0, target.1.handle), ciphertext }
}

pub(crate) fn cipher_of(key: &[u8]) -> Box<dyn CipherKey> {
    let algorithm = if key.len() == 16 { CipherAlgorithm::Aes128Cbc } else { CipherAlgorithm::Aes256Cbc };
    provider().cipher(algorithm).unwrap().key(key).unwrap()
}

pub(crate) fn open(key: &dyn CipherKey, iv: &[u8; 16], ciphertext: &[u8]) -> Vec<u8> {
    let mut material = ciphertext.to_vec();
    key.decrypt(iv, &mut material).unwrap();
    material
}
