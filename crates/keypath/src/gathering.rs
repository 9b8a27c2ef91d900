//! How a member gathers new keys.
//!
//! A rekey may come in many messages, in any order, and a member needs few of them. It gathers the entries that
//! concern its path until they lead to the root's key that every message announces; what it holds stays in force until
//! then.

use std::collections::BTreeMap;

use crate::{Entry, Handle, KeyPath, NodeKey, PathError, StagedPath, Under, UpdateHead};

/// What a member knows of one rekey so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathering {
    head: UpdateHead,
    /// The path from before the rekey.
    held: KeyPath,
    /// New keys, by level.
    fresh: BTreeMap<u8, NodeKey>,
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
    Key(NodeKey),
    /// It is new in this rekey, and will come.
    Later,
}

impl Gathering {
    /// Begins with the first message of a rekey that is one of this path's tree.
    pub(crate) fn begin<'a>(
        held: &KeyPath,
        head: UpdateHead,
        entries: impl IntoIterator<Item = (&'a Entry, &'a [u8])>,
    ) -> Result<(Self, Option<StagedPath>), PathError> {
        let mut gathering =
            Self { head, held: held.clone(), fresh: BTreeMap::new(), waiting: BTreeMap::new(), staged: None };
        // A message without any key is enough where the root was only advanced.
        let ours = gathering.ours(entries);
        let staged = gathering.take_ours(&ours)?;
        Ok((gathering, staged))
    }

    /// Takes what another message of the rekey brings. Returns a path once it leads to the announced root, and again
    /// whenever more keys of it are known: below a root that was only advanced, others may come late. Nothing changes
    /// if there is an error.
    ///
    /// # Errors
    ///
    /// [`PathError::HeadDiffers`] if the message is of another rekey, [`PathError::NotForUs`] if a key of the path is
    /// wrapped under a key that came with an earlier rekey and is not held: that one was missed,
    /// [`PathError::HandleWentBack`] if under a key that came before the one that is held, [`PathError::Content`] if a
    /// key does not unwrap, or is wrapped in two ways.
    pub fn take<'a>(
        &mut self,
        head: &UpdateHead,
        entries: impl IntoIterator<Item = (&'a Entry, &'a [u8])>,
    ) -> Result<Option<StagedPath>, PathError> {
        if *head != self.head {
            return Err(PathError::HeadDiffers);
        }
        // Most messages of a large rekey are for others.
        let ours = self.ours(entries);
        if ours.is_empty() { Ok(None) } else { self.take_ours(&ours) }
    }

    /// Shows what all messages of the rekey say.
    pub fn head(&self) -> &UpdateHead {
        &self.head
    }

    /// Says whether the announced root was reached.
    pub fn is_complete(&self) -> bool {
        self.staged.is_some()
    }

    fn take_ours(&mut self, ours: &[(&Entry, &[u8])]) -> Result<Option<StagedPath>, PathError> {
        let mut next = self.clone();
        for (entry, wrapped) in ours {
            next.note(entry, wrapped)?;
        }
        next.unwrap_waiting()?;
        let staged = next.stage();
        *self = next;
        Ok(staged)
    }

    /// Picks out the entries that concern the path.
    fn ours<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a Entry, &'a [u8])>,
    ) -> Vec<(&'a Entry, &'a [u8])> {
        entries.into_iter().filter(|(entry, _)| self.is_ours(entry)).collect()
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
    fn note(&mut self, entry: &Entry, wrapped: &[u8]) -> Result<(), PathError> {
        let level = entry.target.level();
        if self.fresh.contains_key(&level) {
            return Ok(());
        }
        let waiting = Waiting { handle: entry.handle, wrapped: wrapped.to_vec() };
        match self.waiting.insert((level, entry.under), waiting.clone()) {
            Some(known) if known != waiting => Err(PathError::Content),
            _ => Ok(()),
        }
    }

    /// Unwraps what can be, from the leaf upward: a new key may be what the next one is under.
    fn unwrap_waiting(&mut self) -> Result<(), PathError> {
        let handle = Handle::drawn(self.head.epoch).ok_or(PathError::Content)?;
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
                    self.fresh.insert(level, key.unwrap_key(handle, &waiting.wrapped)?);
                }
                Found::Later => {
                    self.waiting.insert((level, under), waiting);
                }
            }
        }
        Ok(())
    }

    /// Finds the key that a handle names, among the new ones first.
    fn find(&self, level: u8, handle: Handle) -> Result<Found, PathError> {
        if let Some(key) = self.known(level).find_map(|held| held.advanced_to(handle)) {
            return Ok(Found::Key(key));
        }
        match self.known(level).map(|held| held.handle).max() {
            Some(latest) if latest > handle => Err(PathError::HandleWentBack),
            _ if handle.epoch() == self.head.epoch => Ok(Found::Later),
            _ => Err(PathError::NotForUs),
        }
    }

    /// Goes through the keys of a level that are there: the new one, and the one from before.
    fn known(&self, level: u8) -> impl Iterator<Item = &NodeKey> {
        [self.fresh.get(&level), self.held.held(level)].into_iter().flatten()
    }

    /// Puts the path together if it leads to the announced root and has more new keys than before.
    fn stage(&mut self) -> Option<StagedPath> {
        if self.staged == Some(self.fresh.len()) {
            return None;
        }
        let root = self.head.root.level();
        let below = (self.held.leaf.level()..root).map(|level| self.known(level).next().cloned());
        let mut keys = below.collect::<Option<Vec<_>>>()?;
        // The announced key of the root may have been there before the rekey, advanced or not.
        keys.push(self.known(root).find_map(|held| held.advanced_to(self.head.root_handle))?);
        self.staged = Some(self.fresh.len());
        let path = KeyPath { degree: self.held.degree, leaf: self.held.leaf, keys };
        Some(StagedPath { path })
    }
}
