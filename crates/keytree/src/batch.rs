//! Joins, departures and refreshes: the changes of a tree.

use claviger_crypto::Random;
use claviger_keypath::{Handle, KeyLength, NodeId};
use claviger_keywrap::Engine;

use crate::{
    KeyTree, Leaf, Rekey, TreeError,
    deliver::Delivery,
    mark::{Fate, Mark},
    node::node_at,
    nodes::Siblings,
    plan::Plan,
};

/// Families whose rows are asked for before they are visited: enough to keep the memory busy meanwhile, and few enough
/// to stay in the nearest cache. One by one, each would be waited for.
const FOUND_AHEAD: usize = 16;

/// A recycled rekey is kept if it has room for no more keys than this part of the members, so that it takes a fraction of
/// what the tree itself does. A batch of 1 % has half as many.
const SPARE_PART: usize = 4;
/// Or for no more keys than these, 32 KiB at most: that is little beside any group.
const SPARE_KEYS: usize = 1 << 10;

impl KeyTree {
    /// Lets `joins` members join and the members at `leaves` depart, in one rekey.
    ///
    /// Every key that a departing member holds is replaced, and given to the remaining members under keys that it
    /// does not hold (RFC 2627 section 5.4.1). Every key that a joiner will hold is changed too, so that it cannot read
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
        let spare = self.spare();
        let plan = Plan::lowest(self, joins, leaves, spare)?;
        self.carry_out(plan, None, random)
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
        let spare = self.spare();
        let plan = Plan::at(self, joined, leaves, spare)?;
        self.carry_out(plan, Some(joined), random)
    }

    /// Replaces the root's key alone, under the previous one: a rekey that time demands, not a departure.
    ///
    /// # Errors
    ///
    /// [`TreeError::EpochsExhausted`], with nothing changed.
    pub fn refresh(&mut self, random: &mut dyn Random) -> Result<Rekey, TreeError> {
        let spare = self.spare();
        let plan = Plan::refresh(self, spare);
        self.carry_out(plan, None, random)
    }

    /// Takes back a rekey that is done with. Its keys are erased, and the next change takes its memory: where rekeys are
    /// large and follow each other, much of their time would else go into memory that is given back and taken again. One
    /// that is large beside the group is dropped: as a rule the next one is not.
    pub fn recycle(&mut self, mut rekey: Rekey) {
        if rekey.room() > (self.len() / SPARE_PART).max(SPARE_KEYS) {
            return;
        }
        rekey.clear();
        self.spare = Some(rekey);
    }

    fn no_rekey(&self) -> Rekey {
        Rekey::none(self.epoch, self.root_id(), self.config.degree, self.config.key_length)
    }

    fn spare(&mut self) -> Rekey {
        let spare = self.spare.take();
        spare.filter(|spare| spare.fits(self.config)).unwrap_or_else(|| self.no_rekey())
    }

    /// Carries out a plan. The joiners' leaves are told in the order of `joined`, or else lowest first.
    fn carry_out(
        &mut self,
        mut plan: Plan,
        joined: Option<&[Leaf]>,
        random: &mut dyn Random,
    ) -> Result<Rekey, TreeError> {
        //= rfc6407#section-5.6.3.1
        //# Each new key distributed by the GCKS for this node will have a key handle identity distinct from
        //# previous or successive key handles specified for this node.
        let drawn = Handle::drawn(self.epoch + 1).ok_or(TreeError::EpochsExhausted)?;
        let mut rekey = self.no_rekey();
        std::mem::swap(&mut rekey, &mut plan.rekey);
        rekey.epoch = drawn.epoch();
        rekey.root = node_at(plan.depth, 0);
        rekey.drawn = drawn;
        match joined {
            Some(joined) => rekey.joined.extend_from_slice(joined),
            None => rekey.joined.extend(plan.joined.iter().copied().map(Leaf::new)),
        }
        rekey.make_room(plan.wraps, plan.held);
        self.draw(&mut rekey, random);
        // From here on nothing fails.
        self.nodes.set_levels(self.nodes.levels().max(usize::from(plan.depth) + 1));
        let marks = std::mem::take(&mut rekey.marks);
        match self.config.key_length {
            KeyLength::Octets16 => self.change_keys(&plan, &marks, Delivery::<16>::new(&mut rekey)),
            KeyLength::Octets32 => self.change_keys(&plan, &marks, Delivery::<32>::new(&mut rekey)),
        }
        rekey.marks = marks;
        rekey.trim(plan.wraps, plan.held);
        self.nodes.set_levels(usize::from(plan.depth) + 1);
        self.epoch = rekey.epoch;
        self.depth = plan.depth;
        self.members = self.members - plan.departed.len() as u32 + plan.joined.len() as u32;
        self.extent = plan.extent;
        Ok(rekey)
    }

    /// Makes the keys of a rekey: those that it draws, and those that follow from others.
    fn draw(&self, rekey: &mut Rekey, random: &mut dyn Random) {
        let Rekey { changed, advanced, keys, handles, .. } = rekey;
        let (new, others) = keys.octets_mut(changed.len());
        random.fill(new);
        let before = |node: &NodeId| self.key(*node).expect("an advanced node was there");
        let length = advanced.len() * self.config.key_length.octets();
        Engine::best()
            .advance(advanced.iter().map(|node| before(node).key), &mut others[..length])
            .expect("the keys of a tree have one length, and so have their successors");
        for (node, handle) in advanced.iter().zip(handles) {
            let after = before(node).handle.advanced();
            *handle = after.expect("a key that has been advanced as often as can be is replaced");
        }
    }

    fn change_keys<const L: usize>(&mut self, plan: &Plan, marks: &[Mark], delivery: Delivery<'_, L>) {
        match self.config.degree.k() {
            2 => self.change::<2, L>(plan, marks, delivery),
            3 => self.change::<3, L>(plan, marks, delivery),
            4 => self.change::<4, L>(plan, marks, delivery),
            5 => self.change::<5, L>(plan, marks, delivery),
            6 => self.change::<6, L>(plan, marks, delivery),
            7 => self.change::<7, L>(plan, marks, delivery),
            _ => self.change::<8, L>(plan, marks, delivery),
        }
    }

    /// Changes the nodes and says what is wrapped under what, level by level. The degree is `K`, and keys have `L`
    /// octets.
    fn change<const K: usize, const L: usize>(
        &mut self,
        plan: &Plan,
        marks: &[Mark],
        mut delivery: Delivery<'_, L>,
    ) {
        for level in 0..plan.levels() {
            let mut children = plan.level(marks, level);
            if level + 1 == plan.levels() {
                // The top has no parent whose family it could be changed with.
                self.remove(level, children);
                for mark in children {
                    if let Some((handle, key)) = delivery.key_after(mark) {
                        self.nodes.set(node_at(level, mark.index), handle, key);
                    }
                }
                break;
            }
            let parents = plan.level(marks, level + 1);
            let node = |mark: &Mark| node_at(level + 1, mark.index);
            let mut ahead: [Siblings; FOUND_AHEAD] = Default::default();
            for (siblings, parent) in ahead.iter_mut().zip(parents) {
                self.nodes.find_ahead::<K, L>(node(parent), siblings);
            }
            for (number, parent) in parents.iter().enumerate() {
                let siblings = &mut ahead[number % FOUND_AHEAD];
                let (family, others) = children.split_at(parent.children());
                children = others;
                if plan.is_growing(level) {
                    self.create(level, family, &delivery);
                }
                self.change_family::<K, L>(node(parent), parent, family, siblings, &mut delivery);
                if let Some(parent) = parents.get(number + FOUND_AHEAD) {
                    self.nodes.find_ahead::<K, L>(node(parent), siblings);
                }
            }
        }
    }

    /// Brings the new ones among nodes of a level into being.
    fn create<const L: usize>(&mut self, level: u8, marks: &[Mark], delivery: &Delivery<'_, L>) {
        for mark in marks.iter().filter(|mark| mark.fate == Fate::Created) {
            let (handle, key) = delivery.key_after(mark).expect("a new node has a key");
            self.nodes.set(node_at(level, mark.index), handle, key);
        }
    }

    /// Removes those of the nodes of a level that vanish.
    fn remove(&mut self, level: u8, marks: &[Mark]) {
        for mark in marks.iter().filter(|mark| mark.fate == Fate::Removed) {
            self.nodes.remove(node_at(level, mark.index));
        }
    }

    /// Changes the keys of the marked children of a node, and says under which keys the node's own new key goes. Its
    /// own key changes later, with its siblings': so the rows of a family are visited once.
    #[inline]
    fn change_family<const K: usize, const L: usize>(
        &mut self,
        target: NodeId,
        mark: &Mark,
        marked: &[Mark],
        siblings: &mut Siblings,
        delivery: &mut Delivery<'_, L>,
    ) {
        if mark.fate == Fate::UnderPrevious {
            let previous = self.key(target).expect("a node with a previous key is in the tree");
            let key = previous.key.first_chunk().expect("keys have one length");
            delivery.under_previous(mark, previous.handle, key);
        }
        let delivers = matches!(mark.fate, Fate::Created | Fate::Replaced);
        let heirs = if delivers { mark.heirs } else { 0 };
        if delivery.is_plain(mark, heirs)
            && let Some(rows) = self.nodes.rows_mut::<K, L>(target, siblings)
        {
            delivery.visit_rows(mark, heirs, rows);
            let gone = siblings.occupied & mark.marked & !mark.renewed;
            if gone != 0 {
                self.nodes.note_gone(target, gone);
            }
            return;
        }
        self.remove(target.level() - 1, marked);
        if heirs | mark.renewed != 0 {
            delivery.visit(mark, heirs, marked, self.nodes.family_mut(target));
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::SeededRandom;
    use claviger_keypath::Degree;

    use super::*;
    use crate::{Joining, TreeConfig};

    #[test]
    fn recycled_memory_stays_a_fraction_of_the_tree() {
        let random = &mut SeededRandom::new(1);
        let config = TreeConfig {
            degree: Degree::default(),
            key_length: KeyLength::Octets32,
            capacity: 100_000,
            joining: Joining::Advance,
        };
        let mut tree = KeyTree::new(config, random);
        let all = tree.batch(100_000, &[], random).unwrap();
        let leaves: Vec<Leaf> = all.joined.iter().copied().step_by(100).collect();
        tree.recycle(all);
        assert!(tree.spare.is_none());
        let some = tree.batch(0, &leaves, random).unwrap();
        tree.recycle(some);
        assert!(tree.spare.is_some());
        // What was a fraction of a large group is much beside a small one.
        let rest: Vec<Leaf> = tree.leaves().skip(10).collect();
        let most = tree.batch(0, &rest, random).unwrap();
        tree.recycle(most);
        assert!(tree.spare.is_none());
        let one = tree.batch(1, &[], random).unwrap();
        tree.recycle(one);
        assert!(tree.spare.is_some());
    }
}
