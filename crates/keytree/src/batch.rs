//! Joins, departures and refreshes: the changes of a tree.

use claviger_crypto::Random;
use claviger_keywrap::Engine;

use crate::{
    Handle, KeyLength, KeyTree, Leaf, NodeId, Rekey, TreeError, UnderKey, Wrap,
    nodes::FamilyMut,
    plan::{Fate, Mark, Plan},
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
    /// large and follow each other, half of their time would else go into memory that is given back and taken again.
    pub fn recycle(&mut self, mut rekey: Rekey) {
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
        rekey.root = NodeId::new(plan.depth, 0);
        rekey.drawn = drawn;
        match joined {
            Some(joined) => rekey.joined.extend_from_slice(joined),
            None => rekey.joined.extend(plan.joined.iter().copied().map(Leaf::new)),
        }
        rekey.wraps.reserve_exact(plan.wraps);
        rekey.held.renew(plan.held);
        self.draw(&mut rekey, random);
        // From here on nothing fails.
        self.nodes.set_levels(self.nodes.levels().max(usize::from(plan.depth) + 1));
        let marks = std::mem::take(&mut rekey.scratch.0);
        match self.config.key_length {
            KeyLength::Octets16 => self.change::<16>(&plan, &marks, &mut rekey),
            KeyLength::Octets32 => self.change::<32>(&plan, &marks, &mut rekey),
        }
        rekey.scratch.0 = marks;
        self.nodes.set_levels(usize::from(plan.depth) + 1);
        self.epoch = rekey.epoch;
        self.depth = plan.depth;
        self.members = self.members - plan.departed.len() as u32 + plan.joined.len() as u32;
        self.extent = plan.extent;
        Ok(rekey)
    }

    /// Makes the keys of a rekey: those that it draws, and those that follow from others.
    fn draw(&self, rekey: &mut Rekey, random: &mut dyn Random) {
        random.fill(rekey.new.draw(rekey.changed.len()));
        let before = |node: &NodeId| self.key(*node).expect("an advanced node was there");
        let Rekey { advanced, advanced_handles, advanced_keys, .. } = rekey;
        let octets = advanced_keys.draw(advanced.len());
        Engine::best()
            .advance(advanced.iter().map(|node| before(node).key), octets)
            .expect("the keys of a tree have one length, and so have their successors");
        advanced_handles.extend(advanced.iter().map(|node| {
            before(node)
                .handle
                .advanced()
                .expect("a key that has been advanced as often as can be is replaced")
        }));
    }

    /// Changes the nodes and says what is wrapped under what, level by level. Keys have `L` octets.
    fn change<const L: usize>(&mut self, plan: &Plan, marks: &[Mark], rekey: &mut Rekey) {
        for level in 0..plan.levels() {
            let marked = plan.level(marks, level);
            self.come_and_go(level, marked, rekey);
            if level + 1 == plan.levels() {
                // The top has no parent whose family it could be changed with.
                for mark in marked {
                    if let Some((handle, key)) = key_after::<L>(mark, rekey) {
                        self.nodes.set(NodeId::new(level, mark.index), handle, key);
                    }
                }
                break;
            }
            let mut children = marked;
            for mark in plan.level(marks, level + 1) {
                let (family, others) = children.split_at(usize::from(mark.children));
                children = others;
                self.change_family::<L>(NodeId::new(level + 1, mark.index), mark, family, rekey);
            }
        }
    }

    /// Removes the nodes of a level that vanish, and brings new ones into being.
    fn come_and_go(&mut self, level: u8, marks: &[Mark], rekey: &Rekey) {
        for mark in marks {
            let node = NodeId::new(level, mark.index);
            match mark.fate {
                Fate::Created => self.nodes.set(node, rekey.drawn, rekey.new.key(mark.position as usize)),
                Fate::Removed => self.nodes.remove(node),
                _ => {}
            }
        }
    }

    /// Changes the keys of the marked children of a node, and says under which keys the node's own new key goes. Its
    /// own key changes later, with its siblings': so the rows of a family are visited once.
    #[inline]
    fn change_family<const L: usize>(
        &mut self,
        target: NodeId,
        mark: &Mark,
        marked: &[Mark],
        rekey: &mut Rekey,
    ) {
        if mark.fate == Fate::UnderPrevious {
            let previous = self.key(target).expect("a node with a previous key is in the tree");
            let key = previous.key.first_chunk::<L>().expect("keys have one length");
            let under = rekey.held.push_previous(previous.handle, key);
            rekey.wraps.push(Wrap { target, under });
        }
        let delivers = matches!(mark.fate, Fate::Created | Fate::Replaced) && mark.heirs != 0;
        if !delivers && marked.iter().all(|child| matches!(child.fate, Fate::Absent | Fate::Removed)) {
            return;
        }
        let first_child = target.index() * u32::from(self.config.degree.k());
        let mut family: FamilyMut<'_, L> = self.nodes.family_mut(target);
        for child in marked {
            if let Some((handle, key)) = key_after::<L>(child, rekey) {
                family.set(child.index - first_child, handle, key);
            }
        }
        if delivers {
            deliver(target, mark, marked, &family, rekey);
        }
    }
}

/// Finds the handle and the key that a node has after the change; none if it is not there.
#[inline]
fn key_after<'a, const L: usize>(mark: &Mark, rekey: &'a Rekey) -> Option<(Handle, &'a [u8; L])> {
    let position = mark.position as usize;
    match mark.fate {
        Fate::Absent | Fate::Removed => None,
        Fate::Advanced => Some((rekey.advanced_handles[position], &rekey.advanced_keys.all()[position])),
        Fate::Created | Fate::Replaced | Fate::UnderPrevious => {
            Some((rekey.drawn, &rekey.new.all()[position]))
        }
    }
}

/// Says under which keys of its children the new key of a node goes.
#[inline]
fn deliver<const L: usize>(
    target: NodeId,
    mark: &Mark,
    marked: &[Mark],
    family: &FamilyMut<'_, L>,
    rekey: &mut Rekey,
) {
    let mut renewed = marked.iter().filter(|child| child.heirs != 0);
    let mut heirs = mark.heirs;
    while heirs != 0 {
        let place = heirs.trailing_zeros();
        heirs &= heirs - 1;
        let under = if mark.renewed >> place & 1 == 1 {
            let child = renewed.next().expect("an heir with a changed key is marked");
            match child.fate {
                Fate::Advanced => UnderKey::Advanced(child.position),
                _ => UnderKey::New(child.position),
            }
        } else {
            let (handle, key) = family.key(place);
            rekey.held.push_child(place as u8, handle, key)
        };
        rekey.wraps.push(Wrap { target, under });
    }
}
