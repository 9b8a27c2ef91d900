//! Joins, departures and refreshes: the changes of a tree.

use std::convert::Infallible;

use claviger_crypto::Random;
use claviger_keywrap::Engine;

use crate::{
    Handle, KeyTree, Leaf, NodeId, Rekey, TreeError, UnderKey, Wrap,
    keys::Keys,
    plan::{Fate, Mark, Plan},
    rekey::Held,
};

impl KeyTree {
    /// Lets `joins` members join and the members at `leaves` depart, in one rekey.
    ///
    /// Every key that a departing member holds is replaced, and given to the remaining members under keys that it
    /// does not hold (RFC 2627 §5.4.1). Every key that a joiner will hold is changed too, so that it cannot read
    /// what was sent before: where nobody departed, it goes through the one-way advance or, in a tree that
    /// [replaces](crate::Joining::Replace), the new key goes under the previous one. Joiners are told nothing here:
    /// they get their [`KeyTree::path`] by other means.
    ///
    /// Joiners take the lowest vacant leaves, those just left among them. An empty batch changes nothing.
    ///
    /// # Errors
    ///
    /// [`TreeError::UnknownLeaf`], [`TreeError::DuplicateLeaf`], [`TreeError::Full`] or
    /// [`TreeError::EpochsExhausted`], with nothing changed.
    pub fn batch(
        &mut self,
        joins: usize,
        leaves: &[Leaf],
        random: &mut dyn Random,
    ) -> Result<Rekey, TreeError> {
        if joins == 0 && leaves.is_empty() {
            return Ok(self.no_rekey());
        }
        let plan = Plan::lowest(self, joins, leaves)?;
        let mut rekey = self.carry_out(&plan, random)?;
        rekey.joined = plan.joined.into_iter().map(Leaf::new).collect();
        Ok(rekey)
    }

    /// Lets members join at the leaves `joined`, and those at `leaves` depart, as [`KeyTree::batch`] does. A joiner's
    /// leaf is vacant, or among those just left.
    ///
    /// # Errors
    ///
    /// [`TreeError::UnknownLeaf`], [`TreeError::DuplicateLeaf`], [`TreeError::Occupied`], [`TreeError::Outside`] or
    /// [`TreeError::EpochsExhausted`], with nothing changed.
    pub fn batch_at(
        &mut self,
        joined: &[Leaf],
        leaves: &[Leaf],
        random: &mut dyn Random,
    ) -> Result<Rekey, TreeError> {
        if joined.is_empty() && leaves.is_empty() {
            return Ok(self.no_rekey());
        }
        let plan = Plan::at(self, joined, leaves)?;
        let mut rekey = self.carry_out(&plan, random)?;
        rekey.joined = joined.to_vec();
        Ok(rekey)
    }

    /// Replaces the root's key alone, under the previous one: a rekey that time demands, not a departure.
    ///
    /// # Errors
    ///
    /// [`TreeError::EpochsExhausted`], with nothing changed.
    pub fn refresh(&mut self, random: &mut dyn Random) -> Result<Rekey, TreeError> {
        let plan = Plan::refresh(self);
        self.carry_out(&plan, random)
    }

    fn no_rekey(&self) -> Rekey {
        Rekey::none(self.epoch, self.root_id(), self.config.degree, self.config.key_length)
    }

    fn carry_out(&mut self, plan: &Plan, random: &mut dyn Random) -> Result<Rekey, TreeError> {
        //= rfc6407#section-5.6.3.1
        //# Each new key distributed by the GCKS for this node will have a key handle identity distinct from
        //# previous or successive key handles specified for this node.
        let drawn = Handle::drawn(self.epoch + 1).ok_or(TreeError::EpochsExhausted)?;
        let mut rekey = self.draw(plan, drawn, random);
        // From here on nothing fails.
        let levels = self.nodes.levels().max(usize::from(plan.depth) + 1);
        self.nodes.set_levels(levels);
        for leaf in plan.level(0) {
            self.change_leaf(leaf, &rekey);
        }
        for level in 1..plan.levels() {
            let mut children = plan.level(level - 1);
            for mark in plan.level(level) {
                let (family, others) = children.split_at(usize::from(mark.children));
                children = others;
                self.change(NodeId::new(level, mark.index), mark, family, &mut rekey);
            }
        }
        self.nodes.set_levels(usize::from(plan.depth) + 1);
        self.epoch = rekey.epoch;
        self.depth = plan.depth;
        self.members = self.members - plan.departed.len() as u32 + plan.joined.len() as u32;
        self.extent = plan.extent;
        Ok(rekey)
    }

    /// Makes all keys of a rekey, and lists the nodes that they are for.
    fn draw(&self, plan: &Plan, drawn: Handle, random: &mut dyn Random) -> Rekey {
        let length = self.config.key_length;
        let mut rekey = Rekey::none(drawn.epoch(), NodeId::new(plan.depth, 0), self.config.degree, length);
        rekey.changed.reserve_exact(plan.counts.changed as usize);
        rekey.advanced.reserve_exact(plan.counts.advanced as usize);
        for (level, mark) in plan.marks() {
            let nodes = match mark.fate {
                Fate::Absent => continue,
                Fate::Advanced => &mut rekey.advanced,
                Fate::Removed => &mut rekey.removed,
                Fate::Replaced | Fate::UnderPrevious => &mut rekey.changed,
            };
            nodes.push(NodeId::new(level, mark.index));
        }
        let Ok(new) = Keys::filled(rekey.changed.len(), length, |octets| {
            random.fill(octets);
            Ok::<_, Infallible>(())
        });
        let before = |node: &NodeId| self.key(*node).expect("an advanced node was there");
        let advanced = Keys::filled(rekey.advanced.len(), length, |octets| {
            Engine::best().advance(rekey.advanced.iter().map(|node| before(node).key), octets)
        });
        let advanced = advanced.expect("the keys of a tree have one length, and so have their successors");
        let handles = rekey.advanced.iter().map(|node| {
            before(node)
                .handle
                .advanced()
                .expect("a key that has been advanced as often as can be is replaced")
        });
        let handles = handles.collect();
        rekey.wraps.reserve_exact(plan.counts.wraps);
        rekey.held = Held::with_capacity(plan.counts.held, length);
        rekey.with_keys(drawn, new, handles, advanced)
    }

    fn change_leaf(&mut self, mark: &Mark, rekey: &Rekey) {
        let node = NodeId::new(0, mark.index);
        match mark.fate {
            Fate::Removed => self.nodes.remove(node),
            _ => {
                let key = rekey.new_key(mark.position as usize);
                self.nodes.set(node, key.handle, key.key);
            }
        }
    }

    /// Changes a node above the leaves, and says under which keys its new key goes. Nodes come bottom up.
    fn change(&mut self, target: NodeId, mark: &Mark, marked: &[Mark], rekey: &mut Rekey) {
        let position = mark.position as usize;
        match mark.fate {
            Fate::Absent => {}
            Fate::Advanced => {
                let key = rekey.advanced_key(position);
                self.nodes.set(target, key.handle, key.key);
            }
            Fate::Removed => self.nodes.remove(target),
            Fate::Replaced => {
                self.deliver(target, mark, marked, rekey);
                let key = rekey.new_key(position);
                self.nodes.set(target, key.handle, key.key);
            }
            Fate::UnderPrevious => {
                // The key that the members hold is copied before it is overwritten.
                let previous = self.key(target).expect("a node with a previous key is in the tree");
                let under = rekey.held.push_previous(previous);
                rekey.wraps.push(Wrap { target, under });
                let key = rekey.new_key(position);
                self.nodes.set(target, key.handle, key.key);
            }
        }
    }

    /// Says under which keys of its children the new key of a node goes.
    fn deliver(&self, target: NodeId, mark: &Mark, marked: &[Mark], rekey: &mut Rekey) {
        let family = self.nodes.family(target);
        let key_len = self.config.key_length.octets();
        let first_child = target.index() * u32::from(self.config.degree.k());
        let mut marked = marked.iter();
        let mut heirs = mark.heirs;
        while heirs != 0 {
            let place = heirs.trailing_zeros();
            heirs &= heirs - 1;
            let under = if mark.renewed >> place & 1 == 1 {
                let child = marked.find(|child| child.index == first_child + place);
                let child = child.expect("an heir with a changed key is marked");
                match child.fate {
                    Fate::Advanced => UnderKey::Advanced(child.position),
                    _ => UnderKey::New(child.position),
                }
            } else {
                rekey.held.push_child(place as u8, family.key(place, key_len))
            };
            rekey.wraps.push(Wrap { target, under });
        }
    }
}
