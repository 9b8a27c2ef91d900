//! A tree from what was stored of it.

use crate::{Header, Inconsistency, KeyTree, NodeId, NodeKey, TreeError};

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
        if header.depth == 0 || header.depth > header.degree.depth_for(header.capacity) {
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
        if node.level() > self.depth
            || node.is_leaf() && node.index() >= self.capacity
            || !node.is_leaf() && node.index() > self.capacity / u32::from(self.degree.k())
        {
            return Err(Inconsistency::Outside(node));
        }
        if key.length() != self.key_length {
            return Err(Inconsistency::KeyLength(node));
        }
        if key.handle == 0 || key.handle > self.epoch {
            return Err(Inconsistency::Handle(node));
        }
        if self.is_occupied(node) {
            return Err(Inconsistency::Duplicate(node));
        }
        self.set_key(node, key.handle, key.material());
        Ok(())
    }

    /// Works out the number of members, the extent and the holes.
    fn number_leaves(&mut self, header: Header) -> Result<(), Inconsistency> {
        let extent = self.levels[0].last().map_or(0, |last| last + 1);
        let mut next = 0;
        for index in self.levels[0].indices() {
            self.holes.extend(next..index);
            next = index + 1;
            self.members += 1;
        }
        self.extent = extent;
        if self.members != header.members {
            return Err(Inconsistency::Members { stated: header.members, found: self.members });
        }
        let needed = self.degree.depth_for(extent);
        if self.depth != needed {
            return Err(Inconsistency::Depth { stated: self.depth, needed });
        }
        Ok(())
    }

    /// Checks that each node has a parent, and each but the leaves and the root a child.
    fn check_shape(&self) -> Result<(), Inconsistency> {
        let root = self.root_id();
        if !self.is_occupied(root) {
            return Err(Inconsistency::Orphan(root));
        }
        for (level, nodes) in (0u8..).zip(&self.levels) {
            for node in nodes.indices().map(|index| NodeId::new(level, index)) {
                if node == root {
                    continue;
                }
                if !self.is_occupied(node.parent(self.degree)) {
                    return Err(Inconsistency::Orphan(node));
                }
                let mut children = (0..self.degree.k()).filter_map(|place| node.child(self.degree, place));
                if !node.is_leaf() && !children.any(|child| self.is_occupied(child)) {
                    return Err(Inconsistency::Empty(node));
                }
            }
        }
        Ok(())
    }
}
