//! A member's keys.

use claviger_crypto::SecretBytes;

use crate::{Degree, Entry, Gathering, Handle, KeyLength, NodeId, NodeKey, PathError, UpdateHead};

/// The keys from a member's leaf to the root, one for each level. A key may lag behind its node's by some advances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    pub(crate) degree: Degree,
    /// The node of the first key.
    pub(crate) leaf: NodeId,
    /// The keys of the leaf, its parent and so on; at least one, at most one for each level there is.
    pub(crate) keys: Vec<NodeKey>,
}

/// A path that leads to the root that a rekey announced. [`KeyPath::commit`] takes it into use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPath {
    pub(crate) path: KeyPath,
}

impl KeyPath {
    /// Takes the keys of a leaf, its parent and so on to the root, as a registration brought them.
    ///
    /// # Errors
    ///
    /// [`PathError::KeyLength`] if a key has another length than `length`, [`PathError::PathContent`] if the path does
    /// not end at a root.
    pub fn new(
        degree: Degree,
        leaf: NodeId,
        length: KeyLength,
        keys: impl IntoIterator<Item = (Handle, SecretBytes)>,
    ) -> Result<Self, PathError> {
        let key = |(handle, key)| NodeKey::new(handle, key).filter(|key| key.length() == length);
        let keys = keys.into_iter().map(key).collect::<Option<Vec<_>>>().ok_or(PathError::KeyLength)?;
        let path = Self { degree, leaf, keys };
        let root = path
            .keys
            .len()
            .checked_sub(1)
            .and_then(|above| path.node(usize::from(path.leaf.level()) + above));
        match root {
            Some(root) if root.index() == 0 => Ok(path),
            _ => Err(PathError::PathContent),
        }
    }

    /// Begins to gather a rekey with the first of its messages that came: what all of them say, and the wrapped keys of
    /// this one. `length` is that of the new rekey SA's keys.
    ///
    /// # Errors
    ///
    /// As [`Gathering::take`]; and [`PathError::RootNotNewer`] if the announced root is no successor of the one that is
    /// held, [`PathError::NotForUs`] if it is not above this member's leaf, [`PathError::KeyLength`] if the new keys
    /// have another length than `length`.
    pub fn gather<'a>(
        &self,
        head: &UpdateHead,
        entries: impl IntoIterator<Item = (&'a Entry, &'a [u8])>,
        length: KeyLength,
    ) -> Result<(Gathering, Option<StagedPath>), PathError> {
        if usize::from(head.key_len) != length.octets() {
            return Err(PathError::KeyLength);
        }
        if head.degree != self.degree || self.node(head.root.level().into()) != Some(head.root) {
            return Err(PathError::NotForUs);
        }
        if self.held(head.root.level()).is_some_and(|held| held.handle >= head.root_handle) {
            return Err(PathError::RootNotNewer);
        }
        Gathering::begin(self, *head, entries)
    }

    /// Takes a new path into use.
    pub fn commit(&mut self, staged: StagedPath) {
        *self = staged.path;
    }

    /// Returns the degree of the tree.
    pub fn degree(&self) -> Degree {
        self.degree
    }

    /// Returns the member's leaf.
    pub fn leaf(&self) -> NodeId {
        self.leaf
    }

    /// Goes through the nodes that messages for this member name ([`crate::audience`]): its leaf and all that are or
    /// may come to be above it.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.leaf.upward(self.degree)
    }

    /// Shows the keys: the leaf's first, the root's last.
    pub fn keys(&self) -> &[NodeKey] {
        &self.keys
    }

    /// Shows the root's key, which is the group's.
    pub fn root(&self) -> &NodeKey {
        self.keys.last().expect("a path has at least one key")
    }

    /// Names the path's node of a level; none below the leaf.
    pub(crate) fn node(&self, level: usize) -> Option<NodeId> {
        let above = level.checked_sub(self.leaf.level().into())?;
        (0..above).try_fold(self.leaf, |node, _| node.parent(self.degree))
    }

    pub(crate) fn held(&self, level: u8) -> Option<&NodeKey> {
        self.keys.get(usize::from(level.checked_sub(self.leaf.level())?))
    }
}

impl StagedPath {
    /// Shows the path.
    pub fn path(&self) -> &KeyPath {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_a_root() {
        let key = |octets| (Handle::drawn(1).unwrap(), SecretBytes::new(vec![1; octets]));
        let (degree, length) = (Degree::new(2).unwrap(), KeyLength::Octets16);
        let of = |level, index, keys: &[usize]| {
            let keys = keys.iter().map(|octets| key(*octets));
            KeyPath::new(degree, NodeId::new(level, index).unwrap(), length, keys).map(|path| path.keys.len())
        };
        assert_eq!(of(0, 5, &[16; 4]), Ok(4));
        assert_eq!(of(0, 5, &[16; 3]), Err(PathError::PathContent), "(2,1) is no root");
        assert_eq!(of(0, 5, &[]), Err(PathError::PathContent));
        assert_eq!(of(31, 0, &[16; 2]), Err(PathError::PathContent), "there is no level 32");
        assert_eq!(of(0, 5, &[16, 32, 16, 16]), Err(PathError::KeyLength));
        assert_eq!(of(0, 5, &[24; 4]), Err(PathError::KeyLength));
    }
}
