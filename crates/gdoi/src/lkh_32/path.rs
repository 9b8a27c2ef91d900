//! The member's keys, and how new ones are gathered.
//!
//! A rekey may come in many messages, in any order, and a member needs few of them. It gathers the entries that
//! concern its path until they lead to the root's key that every message announces; what it holds stays in force until
//! then.

use std::collections::BTreeMap;

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm};
use claviger_group::CookiePair;
use claviger_keywrap::{Engine, Wrapped};

use super::{Degree, Handle, NodeId};
use crate::{
    error::{ApiMisuse, Error, PeerMisbehaved},
    push::KekMaterial,
    wire::lkh_32::{Entry, PathArray, Under, Update, UpdateHead},
};

/// The keys from a member's leaf to the root, one for each level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    degree: Degree,
    /// The node of the first key.
    leaf: NodeId,
    /// The keys of the leaf, its parent and so on; at least one, at most one for each level there is.
    keys: Vec<HeldKey>,
}

/// A node's key, which may lag behind the node's by some advances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// Which of the node's keys.
    pub handle: Handle,
    /// The key.
    pub key: SecretBytes,
}

/// A path that leads to the root that a rekey announced. [`KeyPath::commit`] takes it into use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPath {
    path: KeyPath,
}

/// What a member knows of one rekey so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathering {
    head: UpdateHead,
    /// The path from before the rekey.
    held: KeyPath,
    /// New keys, by level.
    fresh: BTreeMap<u8, HeldKey>,
    /// Entries for the path under keys that are not there yet; at most two a level.
    waiting: BTreeMap<(u8, Under), Waiting>,
    /// How many new keys the last path that was staged had; none before the first.
    staged: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    handle: Handle,
    wrapped: Vec<u8>,
}

/// What is known of a key that an entry names.
enum Found {
    Key(SecretBytes),
    /// It is new in this rekey, and will come.
    Later,
}

impl KeyPath {
    /// Takes the keys that a GROUPKEY-PULL brought.
    ///
    /// # Errors
    ///
    /// [`PeerMisbehaved::KeyLength`] if the keys are not for `cipher`, [`PeerMisbehaved::PathContent`] if the path does
    /// not end at a root.
    pub fn new(array: &PathArray, cipher: CipherAlgorithm) -> Result<Self, Error> {
        if array.keys.iter().any(|(_, key)| key.len() != cipher.key_len()) {
            return Err(PeerMisbehaved::KeyLength.into());
        }
        let keys: Vec<_> =
            array.keys.iter().map(|(handle, key)| HeldKey { handle: *handle, key: key.clone() }).collect();
        let path = Self { degree: array.degree, leaf: array.first, keys };
        let root =
            path.keys.len().checked_sub(1).and_then(|above| path.node(path.leaf.level() as usize + above));
        match root {
            Some(root) if root.index() == 0 => Ok(path),
            _ => Err(PeerMisbehaved::PathContent.into()),
        }
    }

    /// Begins to gather a rekey with the first of its messages that came.
    ///
    /// # Errors
    ///
    /// As [`Gathering::take`]; and [`PeerMisbehaved::RootNotNewer`] if the announced root is no successor of the one
    /// that is held, [`PeerMisbehaved::UpdateArrayNotForUs`] if it is not above this member's leaf,
    /// [`PeerMisbehaved::KeyLength`] if the new keys are not for `cipher`, which is the new rekey SA's.
    pub fn gather(
        &self,
        update: &Update,
        cipher: CipherAlgorithm,
    ) -> Result<(Gathering, Option<StagedPath>), Error> {
        let head = *update.head();
        if usize::from(head.key_len) != cipher.key_len() {
            return Err(PeerMisbehaved::KeyLength.into());
        }
        if head.degree != self.degree || self.node(head.root.level().into()) != Some(head.root) {
            return Err(PeerMisbehaved::UpdateArrayNotForUs.into());
        }
        if self.held(head.root.level()).is_some_and(|held| held.handle >= head.root_handle) {
            return Err(PeerMisbehaved::RootNotNewer.into());
        }
        let mut gathering = Gathering {
            head,
            held: self.clone(),
            fresh: BTreeMap::new(),
            waiting: BTreeMap::new(),
            staged: None,
        };
        let staged = gathering.take_ours(update)?;
        Ok((gathering, staged))
    }

    /// Takes a new path into use.
    pub fn commit(&mut self, staged: StagedPath) {
        *self = staged.path;
    }

    /// Shows the member's leaf.
    pub fn leaf(&self) -> NodeId {
        self.leaf
    }

    /// Goes through the nodes that messages for this member name ([`super::audience()`]): its leaf and all that are or may
    /// come to be above it.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        super::audience::path(self.leaf, self.degree)
    }

    /// Shows the keys: the leaf's first, the root's last.
    pub fn keys(&self) -> &[HeldKey] {
        &self.keys
    }

    /// Writes the keys down as a GROUPKEY-PULL carries them.
    pub fn to_array(&self) -> PathArray {
        let keys = self.keys.iter().map(|held| (held.handle, held.key.clone())).collect();
        PathArray { degree: self.degree, first: self.leaf, keys }
    }

    /// Makes the group KEK of a rekey SA: the root's key, with the IV that is derived from it.
    ///
    /// # Errors
    ///
    /// None in practice: every key was checked when it arrived.
    pub fn kek(&self, spi: CookiePair) -> Result<KekMaterial, Error> {
        let root = self.keys.last().ok_or(PeerMisbehaved::PathContent)?;
        kek_material(spi, &root.key)
    }

    /// Names the path's node of a level; none below the leaf.
    fn node(&self, level: usize) -> Option<NodeId> {
        let above = level.checked_sub(self.leaf.level().into())?;
        (0..above).try_fold(self.leaf, |node, _| node.parent(self.degree))
    }

    fn held(&self, level: u8) -> Option<&HeldKey> {
        self.keys.get(usize::from(level.checked_sub(self.leaf.level())?))
    }
}

impl HeldKey {
    /// Computes the key that a handle names: this one, or one that it becomes by advances; none otherwise.
    ///
    /// # Errors
    ///
    /// None in practice: a key that a path holds has 16 or 32 octets.
    pub fn advanced_to(&self, handle: Handle) -> Result<Option<Self>, Error> {
        let Some(advances) = self.handle.advances_to(handle) else { return Ok(None) };
        Ok(Some(Self { handle, key: advance(&self.key, advances)? }))
    }

    /// Unwraps what is wrapped under this key.
    ///
    /// # Errors
    ///
    /// [`PeerMisbehaved::UpdateArrayContent`] if it is wrapped under another key, or is none.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<SecretBytes, Error> {
        let wrapped = Wrapped { under: self.key.expose(), ciphertext: wrapped };
        Ok(Engine::best().unwrap_one(wrapped).map_err(|_| PeerMisbehaved::UpdateArrayContent)?)
    }
}

impl StagedPath {
    /// Shows the path.
    pub fn path(&self) -> &KeyPath {
        &self.path
    }

    /// Makes the new group KEK of a rekey SA.
    ///
    /// # Errors
    ///
    /// None in practice: every key was checked when it arrived.
    pub fn kek(&self, spi: CookiePair) -> Result<KekMaterial, Error> {
        self.path.kek(spi)
    }
}

impl Gathering {
    /// Takes what another message of the rekey brings. Returns a path once it leads to the announced root, and again
    /// whenever more keys of it are known: below a root that was only advanced, others may come late. Nothing changes
    /// if there is an error.
    ///
    /// # Errors
    ///
    /// [`PeerMisbehaved::UpdateHeadDiffers`] if the message is of another rekey,
    /// [`PeerMisbehaved::UpdateArrayNotForUs`] if a key of the path is wrapped under a key that came with an earlier
    /// rekey and is not held: that one was missed, [`PeerMisbehaved::HandleWentBack`] if under a key that came before
    /// the one that is held, [`PeerMisbehaved::UpdateArrayContent`] if a key does not unwrap, or is wrapped in two
    /// ways.
    pub fn take(&mut self, update: &Update) -> Result<Option<StagedPath>, Error> {
        if *update.head() != self.head {
            return Err(PeerMisbehaved::UpdateHeadDiffers.into());
        }
        // Most messages of a large rekey are for others.
        if update.entries().any(|(entry, _)| self.is_ours(entry)) { self.take_ours(update) } else { Ok(None) }
    }

    fn take_ours(&mut self, update: &Update) -> Result<Option<StagedPath>, Error> {
        let mut next = self.clone();
        for (entry, wrapped) in update.entries().filter(|(entry, _)| self.is_ours(entry)) {
            next.note(entry, wrapped)?;
        }
        next.unwrap_waiting()?;
        let staged = next.stage()?;
        *self = next;
        Ok(staged)
    }

    /// Shows what all messages of the rekey say.
    pub fn head(&self) -> &UpdateHead {
        &self.head
    }

    /// Says whether the announced root was reached.
    pub fn is_complete(&self) -> bool {
        self.staged.is_some()
    }

    /// Says whether an entry concerns the path: its target is on it, and what it is under too.
    fn is_ours(&self, entry: &Entry) -> bool {
        let level = entry.target.level();
        match entry.under {
            _ if self.held.node(level.into()) != Some(entry.target) => false,
            Under::Itself => true,
            Under::Child(place) => {
                let child = level.checked_sub(1).and_then(|below| self.held.node(below.into()));
                child.is_some_and(|child| child.place(self.held.degree) == place)
            }
        }
    }

    /// Keeps an entry of the path, unless the key is known already.
    fn note(&mut self, entry: &Entry, wrapped: &[u8]) -> Result<(), Error> {
        let level = entry.target.level();
        if self.fresh.contains_key(&level) {
            return Ok(());
        }
        let waiting = Waiting { handle: entry.handle, wrapped: wrapped.to_vec() };
        match self.waiting.insert((level, entry.under), waiting.clone()) {
            Some(known) if known != waiting => Err(PeerMisbehaved::UpdateArrayContent.into()),
            _ => Ok(()),
        }
    }

    /// Unwraps what can be, from the leaf upward: a new key may be what the next one is under.
    fn unwrap_waiting(&mut self) -> Result<(), Error> {
        let handle = Handle::new(self.head.epoch, 0).ok_or(PeerMisbehaved::UpdateArrayContent)?;
        for ((level, under), waiting) in std::mem::take(&mut self.waiting) {
            if self.fresh.contains_key(&level) {
                continue;
            }
            let found = match under {
                Under::Child(_) => self.find(level - 1, waiting.handle)?,
                Under::Itself => self.find(level, waiting.handle)?,
            };
            match found {
                Found::Key(key) => {
                    let wrapped = Wrapped { under: key.expose(), ciphertext: &waiting.wrapped };
                    let key =
                        Engine::best().unwrap_one(wrapped).map_err(|_| PeerMisbehaved::UpdateArrayContent)?;
                    self.fresh.insert(level, HeldKey { handle, key });
                }
                Found::Later => {
                    self.waiting.insert((level, under), waiting);
                }
            }
        }
        Ok(())
    }

    /// Finds the key that a handle names, among the new ones first.
    fn find(&self, level: u8, handle: Handle) -> Result<Found, Error> {
        let keys = [self.fresh.get(&level), self.held.held(level)];
        for held in keys.into_iter().flatten() {
            if let Some(advances) = held.handle.advances_to(handle) {
                return advance(&held.key, advances).map(Found::Key);
            }
        }
        let latest = keys.into_iter().flatten().map(|held| held.handle).max();
        match latest {
            Some(latest) if latest > handle => Err(PeerMisbehaved::HandleWentBack.into()),
            _ if handle.epoch() == self.head.epoch => Ok(Found::Later),
            _ => Err(PeerMisbehaved::UpdateArrayNotForUs.into()),
        }
    }

    /// Puts the path together if it leads to the announced root and has more new keys than before.
    fn stage(&mut self) -> Result<Option<StagedPath>, Error> {
        if self.staged == Some(self.fresh.len()) {
            return Ok(None);
        }
        let root = self.head.root.level();
        let mut keys = Vec::new();
        for level in self.held.leaf.level()..root {
            let Some(held) = self.fresh.get(&level).or(self.held.held(level)) else { return Ok(None) };
            keys.push(held.clone());
        }
        let Some(key) = self.root()? else { return Ok(None) };
        keys.push(HeldKey { handle: self.head.root_handle, key });
        self.staged = Some(self.fresh.len());
        let path = KeyPath { degree: self.held.degree, leaf: self.held.leaf, keys };
        Ok(Some(StagedPath { path }))
    }

    /// Finds the announced key of the root. It may have been there before the rekey, advanced or not.
    fn root(&self) -> Result<Option<SecretBytes>, Error> {
        let level = self.head.root.level();
        let known = [self.fresh.get(&level), self.held.held(level)].into_iter().flatten();
        let mut reached =
            known.filter_map(|held| Some((held, held.handle.advances_to(self.head.root_handle)?)));
        reached.next().map(|(held, advances)| advance(&held.key, advances)).transpose()
    }
}

/// Computes a key's successor so many times. A handle counts 15 at most.
fn advance(key: &SecretBytes, times: u8) -> Result<SecretBytes, Error> {
    let mut key = key.clone();
    for _ in 0..times {
        key = Engine::best().advance_one(key.expose())?;
    }
    Ok(key)
}

/// Makes a KEK of a bare key, as key server and members do: the IV of its messages is derived from it.
///
/// # Errors
///
/// [`ApiMisuse::UnsupportedAlgorithm`] if the key has neither 16 nor 32 octets.
pub fn kek_material(spi: CookiePair, key: &SecretBytes) -> Result<KekMaterial, Error> {
    let cipher = [CipherAlgorithm::Aes128Cbc, CipherAlgorithm::Aes256Cbc]
        .into_iter()
        .find(|cipher| cipher.key_len() == key.len())
        .ok_or(ApiMisuse::UnsupportedAlgorithm)?;
    let iv = Engine::best().derive_iv_one(key.expose())?;
    Ok(KekMaterial { spi, cipher, iv, key: key.clone() })
}
