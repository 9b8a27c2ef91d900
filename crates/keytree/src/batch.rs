//! Joins, departures and refreshes: the changes of a tree.

use claviger_crypto::{Random, SecretBytes};

use crate::{
    Chain, KeyTree, Leaf, NodeId, NodeKey, Rekey, TreeError, UnderKey, Wrap,
    level::Level,
    plan::{Plan, Replaced},
};

impl KeyTree {
    /// Lets `joins` members join and the members at `leaves` depart, in one rekey.
    ///
    /// Every key that a departing member holds is replaced, and given to the remaining members under keys that it
    /// does not hold (RFC 2627 §5.4.1). Every key that a joiner will hold is replaced too, so that it cannot read
    /// what was sent before; where nobody departed, the new key goes under the previous one. Joiners are told
    /// nothing here: they get their [`KeyTree::path`] by other means.
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
            return Ok(Rekey::new(self.epoch, self.root_id()));
        }
        let plan = Plan::new(self, joins, leaves)?;
        self.carry_out(plan, random)
    }

    /// Replaces the root's key alone, under the previous one: a rekey that time demands, not a departure.
    ///
    /// # Errors
    ///
    /// [`TreeError::EpochsExhausted`], with nothing changed.
    pub fn refresh(&mut self, random: &mut dyn Random) -> Result<Rekey, TreeError> {
        let plan = Plan::refresh(self);
        self.carry_out(plan, random)
    }

    fn carry_out(&mut self, plan: Plan, random: &mut dyn Random) -> Result<Rekey, TreeError> {
        //= rfc6407#section-5.6.3.1
        //# Each new key distributed by the GCKS for this node will have a key handle identity distinct from
        //# previous or successive key handles specified for this node.
        let epoch = self.epoch.checked_add(1).ok_or(TreeError::EpochsExhausted)?;
        let material_len = self.key_length.material_len();
        let count = plan.joined.len() + plan.replaced.len();
        let fresh = SecretBytes::with(count * material_len, |octets| random.fill(octets));

        // The keys that the members hold are copied before they are overwritten.
        let mut rekey = Rekey::new(epoch, NodeId::new(plan.depth, 0));
        for replaced in &plan.replaced {
            self.deliver(replaced, &mut rekey);
        }
        let leaves = plan.joined.iter().map(|index| NodeId::new(0, *index));
        let nodes = leaves.chain(plan.replaced.iter().map(|replaced| replaced.node));
        for (node, material) in nodes.zip(fresh.expose().chunks_exact(material_len)) {
            let key = NodeKey::new(epoch, SecretBytes::copy_of(material));
            rekey.push_key(node, key.expect("the material has the length of the tree's keys"));
        }
        self.apply(&plan, &rekey);
        rekey.joined = plan.joined.into_iter().map(Leaf::new).collect();
        rekey.removed = plan.removed;
        Ok(rekey)
    }

    /// Says under which keys the new key of a node goes. Nodes come bottom up.
    fn deliver(&self, replaced: &Replaced, rekey: &mut Rekey) {
        let Replaced { node: target, heirs, renewed, under_previous } = *replaced;
        let chain = Chain::new(target, rekey.root, self.degree);
        if under_previous {
            let previous = self.key(target).expect("a node with a previous key is in the tree");
            rekey.push_start(target, previous, chain);
            return;
        }
        for place in (0..self.degree.k()).filter(|place| heirs >> place & 1 == 1) {
            let child = target.child(self.degree, place).expect("an heir is a child");
            if renewed >> place & 1 == 1 {
                rekey.wraps.push(Wrap { target, under: UnderKey::New(child) });
            } else {
                let held = self.key(child).expect("an heir without a new key is in the tree");
                rekey.push_start(child, held, chain);
            }
        }
    }

    /// Makes the tree what the plan and the new keys say.
    fn apply(&mut self, plan: &Plan, rekey: &Rekey) {
        for node in &plan.removed {
            self.levels[usize::from(node.level())].remove(node.index());
        }
        self.levels.resize_with(usize::from(plan.depth) + 1, || Level::new(self.key_length));
        for node in &rekey.changed {
            let key = rekey.key(*node).expect("a changed node has its new key in the rekey");
            self.set_key(*node, rekey.epoch, key.material());
        }
        self.epoch = rekey.epoch;
        self.depth = plan.depth;
        self.members = self.members - plan.departed.len() as u32 + plan.joined.len() as u32;
        self.holes.extend(&plan.departed);
        for index in &plan.joined {
            self.holes.remove(index);
        }
        self.holes.split_off(&plan.extent);
        self.extent = plan.extent;
    }
}
