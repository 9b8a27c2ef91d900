//! A tree from what was stored of it.

use claviger_keypath::{Handle, NodeId, NodeKey};

use crate::{Header, Inconsistency, Joining, KeyTree, TreeError, node::node_at};

impl KeyTree {
    /// Makes the tree anew whose [`KeyTree::header`] and [`KeyTree::nodes`] were stored. The nodes may come in
    /// any order. The tree then continues as the stored one would have.
    ///
    /// # Errors
    ///
    /// [`TreeError::Inconsistent`] with the first [`Inconsistency`] found.
    pub fn restore(
        header: Header,
        nodes: impl IntoIterator<Item = (NodeId, NodeKey)>,
    ) -> Result<Self, TreeError> {
        let deepest = header.config.degree.depth_for(header.config.capacity);
        if header.depth == 0 || header.depth > deepest || header.epoch > Handle::EPOCH_MAX {
            return Err(Inconsistency::Header.into());
        }
        let mut tree = Self::vacant(header);
        for (node, key) in nodes {
            tree.accept(node, &key)?;
        }
        tree.number_leaves(header)?;
        tree.check_shape()?;
        Ok(tree)
    }

    fn accept(&mut self, node: NodeId, key: &NodeKey) -> Result<(), Inconsistency> {
        let capacity = self.config.capacity;
        if node.level() > self.depth
            || node.is_leaf() && node.index() >= capacity
            || !node.is_leaf() && node.index() > capacity / u32::from(self.degree().k())
        {
            return Err(Inconsistency::Outside(node));
        }
        if key.length() != self.config.key_length {
            return Err(Inconsistency::KeyLength(node));
        }
        if !self.gave(key.handle) {
            return Err(Inconsistency::Handle(node));
        }
        if self.nodes.is_occupied(node) {
            return Err(Inconsistency::Duplicate(node));
        }
        self.nodes.set(node, key.handle, key.key());
        Ok(())
    }

    /// Says whether a past epoch can have given this handle: each advance took one, and only advancing trees advance.
    fn gave(&self, handle: Handle) -> bool {
        let most = match self.config.joining {
            Joining::Replace => 0,
            Joining::Advance => self.epoch.saturating_sub(handle.epoch()),
        };
        handle.epoch() != 0 && handle.epoch() <= self.epoch && u32::from(handle.advances()) <= most
    }

    /// Works out the number of members and the extent.
    fn number_leaves(&mut self, header: Header) -> Result<(), Inconsistency> {
        self.extent = self.nodes.last_leaf_but(&[]).map_or(0, |last| last + 1);
        self.members = self.leaves().map(|_| 1).sum();
        if self.members != header.members {
            return Err(Inconsistency::Members { stated: header.members, found: self.members });
        }
        let needed = self.degree().depth_for(self.extent);
        if self.depth != needed {
            return Err(Inconsistency::Depth { stated: self.depth, needed });
        }
        Ok(())
    }

    /// Checks that each node has a parent, and each but the leaves and the root a child.
    fn check_shape(&self) -> Result<(), Inconsistency> {
        let root = self.root_id();
        if !self.nodes.is_occupied(root) {
            return Err(Inconsistency::Orphan(root));
        }
        for level in 0..=self.depth {
            for node in self.nodes.indices_from(level, 0).map(|index| node_at(level, index)) {
                if node == root {
                    continue;
                }
                if !node.parent(self.degree()).is_some_and(|parent| self.nodes.is_occupied(parent)) {
                    return Err(Inconsistency::Orphan(node));
                }
                if !node.is_leaf() && self.nodes.children(node) == 0 {
                    return Err(Inconsistency::Empty(node));
                }
            }
        }
        Ok(())
    }
}
