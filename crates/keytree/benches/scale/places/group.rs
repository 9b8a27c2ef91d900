//! One group, keyed by two trees at once: one bound to the sites, one blind to them.

use claviger_crypto::SeededRandom;
use claviger_keytree::{
    Degree, Joining, KeyLength, KeyTree, Leaf, NodeId, Rekey, TreeConfig,
    place::{Place, Places},
};
use claviger_keywrap::wrapped_len;

use super::network::{Audience, Links, SITES, Site};
use crate::trees::Dice;

/// What names a key in a message, in octets: its node and its handle.
const NAME_LEN: usize = 8;

/// One who is or was in the group.
#[derive(Debug, Clone, Copy)]
struct Person {
    site: Site,
    bound: Leaf,
    blind: Leaf,
}

/// A number of a person, in the order of coming.
pub(super) type Number = usize;

/// What happens at once.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) joins: Vec<Site>,
    pub(super) moves: Vec<(Number, Site)>,
    pub(super) leaves: Vec<Number>,
}

/// What crossed the links, for each way of keying and sending.
pub(super) struct Traffic {
    /// The tree follows places; a wrap goes to the sites that need it.
    pub(super) bound: Links,
    /// The tree is blind to places; a wrap goes to the sites that need it.
    pub(super) blind: Links,
    /// The tree is blind to places; a wrap goes everywhere.
    pub(super) everywhere: Links,
    /// The keys that were sent to the group in the tree that follows places, and in the other.
    pub(super) keys: [usize; 2],
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self { bound: Links::new(), blind: Links::new(), everywhere: Links::new(), keys: [0; 2] }
    }
}

pub(super) struct Group {
    degree: Degree,
    key_len: usize,
    places: Places,
    bound: KeyTree,
    blind: KeyTree,
    /// The site of the member at each leaf of the blind tree.
    blind_sites: Vec<Option<Site>>,
    people: Vec<Option<Person>>,
    present: Vec<Number>,
    random: SeededRandom,
}

impl Group {
    /// Makes a group with so many members at each site, who came in no order.
    pub(super) fn new(members_a_site: u32, key_length: KeyLength, dice: &mut Dice) -> Self {
        let degree = Degree::default();
        let members = members_a_site * SITES as u32;
        // A place has room for a power of k members, and half as many may come besides.
        let room = u32::from(degree.k()).pow(degree.depth_for(2 * members).into());
        let config = TreeConfig { degree, key_length, capacity: room, joining: Joining::Advance };
        let mut random = SeededRandom::new(7);
        let mut places = Places::new(config);
        for site in 0..SITES as u64 {
            places.bind(Place::new(site), members_a_site).expect("the tree has room for every site");
        }
        let mut group = Self {
            degree,
            key_len: key_length.octets(),
            places,
            bound: KeyTree::new(config, &mut random),
            blind: KeyTree::new(config, &mut random),
            blind_sites: vec![None; room as usize],
            people: Vec::new(),
            present: Vec::new(),
            random,
        };
        // Sites come up one after the other, so that those of a region are neighbours in the tree; then members.
        group.change(
            &Change { joins: (0..SITES as Site).collect(), ..Change::default() },
            &mut Traffic::new(),
        );
        let mut seats: Vec<Site> =
            (SITES as u32..members).map(|seat| (seat % SITES as u32) as Site).collect();
        for last in (1..seats.len()).rev() {
            seats.swap(last, dice.below(last as u32 + 1) as usize);
        }
        group.change(&Change { joins: seats, ..Change::default() }, &mut Traffic::new());
        group
    }

    /// Picks members, each once.
    pub(super) fn pick(&self, count: u32, dice: &mut Dice) -> Vec<Number> {
        let places = dice.leaves(count, self.present.len() as u32);
        places.into_iter().map(|place| self.present[place.index() as usize]).collect()
    }

    /// Picks members at one site, each once.
    pub(super) fn pick_at(&self, site: Site, count: u32, dice: &mut Dice) -> Vec<Number> {
        let here = |number: &Number| self.people[*number].is_some_and(|person| person.site == site);
        let there: Vec<Number> = self.present.iter().copied().filter(here).collect();
        let places = dice.leaves(count.min(there.len() as u32), there.len() as u32);
        places.into_iter().map(|place| there[place.index() as usize]).collect()
    }

    /// Lets a change happen in both trees, and counts what crosses the links.
    pub(super) fn change(&mut self, change: &Change, traffic: &mut Traffic) {
        let person = |number: &Number| self.people[*number].expect("the person is present");
        let moved: Vec<Person> = change.moves.iter().map(|(number, _)| person(number)).collect();
        let gone: Vec<Person> = change.leaves.iter().map(person).collect();
        let newcomers: Vec<Site> =
            change.joins.iter().chain(change.moves.iter().map(|(_, site)| site)).copied().collect();

        let joins: Vec<Place> = change.joins.iter().copied().map(place).collect();
        let targets = change.moves.iter().map(|(_, site)| place(*site));
        let moves: Vec<(Leaf, Place)> = moved.iter().map(|person| person.bound).zip(targets).collect();
        let leaves: Vec<Leaf> = gone.iter().map(|person| person.bound).collect();
        let placed = self.places.batch(&mut self.bound, &joins, &moves, &leaves, &mut self.random);
        let bound = placed.expect("the tree has room").rekey;

        let departed: Vec<Leaf> = moved.iter().chain(&gone).map(|person| person.blind).collect();
        let blind =
            self.blind.batch(newcomers.len(), &departed, &mut self.random).expect("the tree has room");

        self.count(&bound, &blind, &departed, &newcomers, traffic);
        self.note(change, &newcomers, &bound.joined, &blind.joined);
    }

    /// Counts what is sent: each wrap to those who need it, and to each newcomer its path.
    fn count(
        &mut self,
        bound: &Rekey,
        blind: &Rekey,
        departed: &[Leaf],
        newcomers: &[Site],
        traffic: &mut Traffic,
    ) {
        let octets = (NAME_LEN + wrapped_len(self.key_len)) as u64;
        for wrap in &bound.wraps {
            let (under, _) = bound.under(wrap);
            let sites = self.places.places_below(under).into_iter().map(|place| place.value() as Site);
            traffic.bound.send(&sites.collect(), octets);
        }
        for leaf in departed {
            self.blind_sites[leaf.index() as usize] = None;
        }
        let everywhere = Audience::everywhere();
        for wrap in &blind.wraps {
            let (under, _) = blind.under(wrap);
            traffic.blind.send(&self.blind_sites_below(under), octets);
            traffic.everywhere.send(&everywhere, octets);
        }
        for site in newcomers {
            let only = Audience::from_iter([*site]);
            let path = |tree: &KeyTree| octets * (u64::from(tree.depth()) + 1);
            traffic.bound.send(&only, path(&self.bound));
            traffic.blind.send(&only, path(&self.blind));
            traffic.everywhere.send(&only, path(&self.blind));
        }
        traffic.keys[0] += bound.wraps.len();
        traffic.keys[1] += blind.wraps.len();
    }

    fn blind_sites_below(&self, node: NodeId) -> Audience {
        let span = usize::from(self.degree.k()).pow(node.level().into());
        let first = node.index() as usize * span;
        let end = (first + span).min(self.blind_sites.len());
        self.blind_sites[first..end].iter().flatten().copied().collect()
    }

    /// Takes down who is where now.
    fn note(&mut self, change: &Change, newcomers: &[Site], bound: &[Leaf], blind: &[Leaf]) {
        let left = change.moves.iter().map(|(number, _)| *number).chain(change.leaves.iter().copied());
        for number in left {
            self.people[number] = None;
        }
        self.present.retain(|number| self.people[*number].is_some());
        for ((site, bound), blind) in newcomers.iter().zip(bound).zip(blind) {
            self.blind_sites[blind.index() as usize] = Some(*site);
            self.present.push(self.people.len());
            self.people.push(Some(Person { site: *site, bound: *bound, blind: *blind }));
        }
    }
}

fn place(site: Site) -> Place {
    Place::new(site.into())
}
