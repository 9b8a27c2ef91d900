//! Arbitrary histories: hosts join, leave, are put out, timers run, the key server dies, the network loses.
//!
//! However it went: who remains holds the keys in force in the end; no key that a departed host ever held, or that
//! opens by those, opens what was sent later, and no joiner's what was sent before; nothing is used twice.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use claviger_crypto::sign::KeyAlgorithm;
use claviger_gcks::{Event, RekeyWhat};
use claviger_group::{GroupId, GroupPlace, KekManagement, PushAuthentication, Role, policy::LeasePolicy};
use claviger_proof::Ledger;
use claviger_sansio::durable::Change;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Conditions, Network, group_id, policy},
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

/// How many hosts a history may have: enough for a tree of three levels.
const HOSTS_MAX: usize = 10;

/// One thing that happens. Hosts are chosen by number, modulo those there are.
#[derive(Debug, Clone, Copy)]
enum Step {
    Evict(usize),
    Join(bool),
    Kek,
    Leave(usize),
    /// To another address, at one of the places or elsewhere.
    Move(usize, u8),
    Restart,
    Return(usize),
    Tek,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<bool>().prop_map(Step::Join),
        3 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Evict),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(number, to)| Step::Move(number, to)),
        2 => any::<usize>().prop_map(Step::Return),
        1 => Just(Step::Tek),
        1 => Just(Step::Kek),
        2 => Just(Step::Restart),
        6 => (1u16..2500).prop_map(Step::Wait),
    ]
}

/// What the policy and the network are like.
#[derive(Debug, Clone, Copy)]
struct World {
    seed: u64,
    degree: u8,
    batch: bool,
    short_lives: bool,
    kek_management: KekManagement,
    push_authentication: PushAuthentication,
    places: bool,
    signature: KeyAlgorithm,
    loss_permille: u32,
    jitter_ms: u64,
}

impl World {
    /// An honest network, and either all of the private extensions or none.
    fn plain(seed: u64, degree: u8, extended: bool) -> Self {
        Self {
            seed,
            degree,
            batch: false,
            short_lives: false,
            kek_management: if extended { KekManagement::Lkh32 } else { KekManagement::Lkh },
            push_authentication: if extended {
                PushAuthentication::Batch
            } else {
                PushAuthentication::Message
            },
            places: false,
            signature: KeyAlgorithm::EcdsaP256,
            loss_permille: 0,
            jitter_ms: 1,
        }
    }
}

fn world() -> impl Strategy<Value = World> {
    let loss = prop_oneof![Just(0u32), Just(50), Just(200)];
    let extensions = (
        prop_oneof![Just(KekManagement::Lkh), Just(KekManagement::Lkh32)],
        prop_oneof![Just(PushAuthentication::Message), Just(PushAuthentication::Batch)],
        Just(false),
    );
    let places = (Just(KekManagement::Lkh32), Just(PushAuthentication::Batch), Just(true));
    let extensions = prop_oneof![2 => extensions, 1 => places];
    (any::<u64>(), 2u8..=4, any::<bool>(), any::<bool>(), extensions, loss, 1u64..40).prop_map(
        |(seed, degree, batch, short_lives, extensions, loss_permille, jitter_ms)| World {
            seed,
            degree,
            batch,
            short_lives,
            kek_management: extensions.0,
            push_authentication: extensions.1,
            places: extensions.2,
            signature: KeyAlgorithm::EcdsaP256,
            loss_permille,
            jitter_ms,
        },
    )
}

/// A history under way.
struct History {
    network: Network,
    group: GroupId,
    /// Who wants to be in.
    wanting: BTreeMap<usize, Role>,
}

/// An address of a host: of four prefixes, two are places where a group has any.
fn address_at(host: usize, to: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, to % 4, to, host as u8 + 1)
}

impl History {
    fn begin(world: World) -> Self {
        let mut network = Network::signing_by(world.signature, world.seed);
        let group = group_id("history");
        let mut policy = policy(1);
        policy.tree.degree = world.degree;
        policy.rekey.management = world.kek_management;
        policy.rekey.authentication = world.push_authentication;
        policy.rekey.signature = world.signature;
        if world.batch {
            policy.rekey.batch_interval = Duration::from_millis(1500);
        }
        if world.short_lives {
            policy.times.tek_lifetime = 20 * SECOND;
            policy.times.tek_rekey = 7 * SECOND;
            policy.times.kek_lifetime = 40 * SECOND;
            policy.times.kek_rekey = 11 * SECOND;
            policy.lease = LeasePolicy::for_tek_lifetime(policy.times.tek_lifetime);
        }
        if world.places {
            let place = |number: u8| GroupPlace {
                prefix: format!("10.{number}.0.0/16").parse().unwrap(),
                push_address: [239, 192, 2, number].into(),
                members: number.into(),
            };
            policy.tree.places = vec![place(1), place(3)];
        }
        network.add_group(&group, policy);
        network.conditions = Conditions {
            loss_permille: world.loss_permille,
            duplication_permille: world.loss_permille / 2,
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(1 + world.jitter_ms),
        };
        Self { network, group, wanting: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) {
        let now = self.network.now;
        let group = self.group.clone();
        match step {
            Step::Join(sends) if self.network.members.len() < HOSTS_MAX => {
                let place = self.network.add_member();
                self.network.members[place].address = address_at(place, place as u8);
                self.want(place, if sends { Role::Both } else { Role::Receiver });
            }
            Step::Join(_) => {}
            Step::Move(number, to) => {
                if let Some(place) = self.chosen(number) {
                    self.network.readdress(place, address_at(place, to));
                }
            }
            Step::Leave(number) => {
                if let Some(place) = self.chosen(number) {
                    self.wanting.remove(&place);
                    self.network.members[place].member.leave(now);
                    self.network.settle();
                }
            }
            Step::Evict(number) => {
                if let Some(place) = self.chosen(number) {
                    self.wanting.remove(&place);
                    let id = self.network.members[place].id();
                    // It may not have come so far yet.
                    let _ = self.network.server.evict(now, &group, &id);
                    self.network.settle();
                }
            }
            Step::Return(number) => {
                let out: Vec<usize> =
                    (0..self.network.members.len()).filter(|p| !self.wanting.contains_key(p)).collect();
                if !out.is_empty() {
                    self.want(out[number % out.len()], Role::Both);
                }
            }
            Step::Tek | Step::Kek => {
                let what = if matches!(step, Step::Tek) { RekeyWhat::Tek } else { RekeyWhat::Kek };
                self.network.server.rekey(now, &group, what).unwrap();
                self.network.settle();
            }
            Step::Restart => self.network.restart(),
            Step::Wait(milliseconds) => self.wait(Duration::from_millis(milliseconds.into())),
        }
        self.talk();
    }

    fn want(&mut self, place: usize, role: Role) {
        let group = self.group.clone();
        self.wanting.insert(place, role);
        self.network.join(place, &group, role);
    }

    fn chosen(&self, number: usize) -> Option<usize> {
        let count = self.wanting.len();
        (count > 0).then(|| *self.wanting.keys().nth(number % count).unwrap())
    }

    /// Everybody who can, sends.
    fn talk(&mut self) {
        let group = self.group.clone();
        for place in 0..self.network.members.len() {
            let _ = self.network.send(place, &group, b"something to be read");
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.network.now + duration;
        while self.network.now < end {
            self.network.pass(Duration::from_millis(250).min(end.since(self.network.now)));
            self.talk();
        }
    }

    /// Lets everything come to rest on a network that behaves.
    fn end(&mut self) {
        let group = self.group.clone();
        self.network.conditions.loss_permille = 0;
        self.wait(5 * SECOND);
        self.network.server.rekey(self.network.now, &group, RekeyWhat::Tek).unwrap();
        self.network.settle();
        // Who was refused because it came too often, or whose request crossed its eviction, was told so: it asks again.
        self.wait(61 * SECOND);
        let wanting: Vec<usize> = self.wanting.keys().copied().collect();
        for place in &wanting {
            if self.network.members[*place].member.subscription(&group).is_none() {
                self.want(*place, Role::Both);
            }
        }
        let all_current = |n: &Network| wanting.iter().all(|place| n.is_current(*place, &group));
        assert!(
            self.network.reaches(300 * SECOND, all_current),
            "these do not hold the keys in force: {:?}",
            wanting
                .iter()
                .filter(|place| !self.network.is_current(**place, &group))
                .map(|place| (place, &self.network.members[*place].events))
                .collect::<Vec<_>>()
        );
        self.wait(3 * SECOND);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn secrets_stay_with_members_and_members_keep_up(
        world in world(),
        steps in proptest::collection::vec(step(), 4..28),
    ) {
        let mut history = History::begin(world);
        for step in steps {
            history.step(step);
        }
        history.end();
        judge(&history.network, &history.group, &[]).acquit();
    }
}

/// What one seed puts on the wire, of everything that a history can have: losses, moves, a restart.
fn datagrams(world: World) -> Vec<String> {
    let mut history = History::begin(world);
    for place in 0..5 {
        history.step(Step::Join(place % 2 == 0));
        history.wait(SECOND);
    }
    for step in [Step::Evict(1), Step::Move(2, 3), Step::Tek, Step::Restart, Step::Leave(0), Step::Kek] {
        history.step(step);
        history.wait(3 * SECOND);
    }
    history.step(Step::Join(true));
    history.wait(3 * SECOND);
    history.network.wire.iter().map(|sent| format!("{sent:02x?}")).collect()
}

/// The keys of ECDH and Ed25519, nonces, IVs and puzzles all come from the sources that the machines are given, and an
/// Ed25519 signature needs none.
#[test]
fn one_seed_puts_the_same_octets_on_the_wire_every_time() {
    for (extended, places) in [(false, false), (true, false), (true, true)] {
        let world = World {
            places,
            signature: KeyAlgorithm::Ed25519,
            loss_permille: 50,
            jitter_ms: 20,
            ..World::plain(11, 3, extended)
        };
        let (one, other) = (datagrams(world), datagrams(world));
        assert!(one.len() > 100);
        for (number, (one, other)) in one.iter().zip(&other).enumerate() {
            assert_eq!(one, other, "datagram {number}");
        }
        assert_eq!(one.len(), other.len());
        assert_ne!(one, datagrams(World { seed: 12, ..world }));
    }
}

/// Nine members, one of whom is put out; the key server restarts; a tenth comes.
fn scripted(tamper: bool, extended: bool) -> History {
    let mut history = History::begin(World::plain(7, 4, extended));
    for _ in 0..9 {
        history.step(Step::Join(true));
        history.wait(SECOND);
    }
    if tamper {
        // The store forgets one changed node: the root.
        let mut dropped = false;
        history.network.tamper = Some(Box::new(move |mut changes| {
            let node =
                |change: &Change| matches!(change, Change::Put { .. }) && change.table().name() == "node";
            if let Some(position) = changes.iter().rposition(node)
                && !dropped
            {
                dropped = true;
                changes.remove(position);
            }
            changes
        }));
    }
    history.step(Step::Evict(1));
    history.network.tamper = None;
    history.wait(3 * SECOND);
    history.step(Step::Restart);
    history.step(Step::Join(true));
    history.wait(3 * SECOND);
    history
}

#[test]
fn the_judge_finds_nothing_in_an_honest_history() {
    for extended in [false, true] {
        let history = scripted(false, extended);
        assert!(laggards(&history.network, &history.group).is_empty());
        let verdict = judge(&history.network, &history.group, &[]);
        verdict.acquit();
        assert!(verdict.opened > verdict.tried.0, "members read something");
    }
}

#[test]
fn the_judge_finds_a_later_key_in_the_hands_of_the_evicted() {
    for extended in [false, true] {
        let history = scripted(false, extended);
        let (stayer, evicted) = (&history.network.members[0], &history.network.members[1]);
        let held = stayer.ledger(&history.group).unwrap();
        let finds = |betrayed: Ledger| {
            let verdict = judge(&history.network, &history.group, &[(evicted.id(), betrayed)]);
            assert!(
                verdict.complaints.iter().any(|complaint| complaint.contains("opens data")),
                "{verdict:?}"
            );
        };
        finds(Ledger { teks: held.teks.last().cloned().into_iter().collect(), ..Ledger::default() });
        // A later KEK does as well: what it opens is closed over.
        finds(Ledger { rekeys: held.rekeys.last().cloned().into_iter().collect(), ..Ledger::default() });
    }
}

/// Both are out, and one was not told: it goes on under a key that the other had.
#[test]
fn the_judge_asks_no_secrecy_of_what_an_evicted_host_says() {
    let mut history = History::begin(World::plain(9, 4, false));
    for _ in 0..2 {
        history.step(Step::Join(true));
        history.wait(2 * SECOND);
    }
    let unaware = history.network.members[1].address;
    history.network.passes = Some(Box::new(move |sent| sent.destination.ip() != unaware));
    history.step(Step::Evict(1));
    history.step(Step::Leave(0));
    let said = history.network.data(&history.group).len();
    history.wait(3 * SECOND);
    assert!(history.network.data(&history.group).len() > said);
    judge(&history.network, &history.group, &[]).acquit();
}

#[test]
fn the_judge_finds_a_store_that_forgets_one_node() {
    for extended in [false, true] {
        let history = scripted(true, extended);
        let verdict = judge(&history.network, &history.group, &[]);
        let evicted = history.network.members[1].id().to_string();
        assert!(verdict.complaints.iter().any(|complaint| complaint.starts_with(&evicted)), "{verdict:?}");
    }
}

#[test]
fn the_judge_finds_a_store_that_forgets_its_last_commit() {
    let mut history = History::begin(World::plain(8, 2, false));
    for _ in 0..3 {
        history.step(Step::Join(true));
        history.wait(SECOND);
    }
    let commits = Arc::new(Mutex::new(0));
    let before = history.network.store.clone();
    let count = Arc::clone(&commits);
    history.network.tamper = Some(Box::new(move |changes| {
        *count.lock().unwrap() += 1;
        changes
    }));
    history.step(Step::Tek);
    history.wait(SECOND);
    assert!(*commits.lock().unwrap() > 0);
    history.network.store = before;
    history.step(Step::Restart);
    history.step(Step::Tek);
    history.wait(SECOND);
    let verdict = judge(&history.network, &history.group, &[]);
    assert!(verdict.complaints.iter().any(|complaint| complaint.contains("used twice")), "{verdict:?}");
}

/// A sender that comes back in the last part of a second of the activation delay does not send under the old TEK until
/// that second is full.
#[test]
fn who_pulls_during_a_change_over_changes_with_the_others() {
    for extended in [false, true] {
        let world = World { batch: true, ..World::plain(0, 2, extended) };
        let mut history = History::begin(world);
        for step in [
            Step::Join(false),
            Step::Join(false),
            Step::Wait(708),
            Step::Join(false),
            Step::Wait(803),
            Step::Leave(1),
            Step::Join(true),
            Step::Leave(0),
            Step::Evict(0),
            Step::Leave(0),
            Step::Wait(802),
            Step::Return(1),
        ] {
            history.step(step);
        }
        history.end();
        judge(&history.network, &history.group, &[]).acquit();
    }
}

/// Hosts come, go and move between places while the key server dies again and again.
#[test]
fn the_judge_finds_nothing_in_a_history_of_moves() {
    let mut history = History::begin(World { places: true, ..World::plain(9, 3, true) });
    for _ in 0..8 {
        history.step(Step::Join(true));
    }
    history.wait(3 * SECOND);
    for number in 0..12 {
        history.step(Step::Move(number, (number * 5) as u8));
        history.wait(3 * SECOND);
        history.step(match number % 3 {
            0 => Step::Restart,
            1 => Step::Leave(number),
            _ => Step::Return(number),
        });
        history.wait(2 * SECOND);
    }
    let moved = |event: &Event| matches!(event, Event::Relocated { .. });
    assert!(history.network.told.iter().filter(|(_, event)| moved(event)).count() > 6);
    history.end();
    judge(&history.network, &history.group, &[]).acquit();
}

/// A leave and a join in a row, while the network delays some copies more than others.
#[test]
fn who_hears_the_next_rekey_early_has_not_lost_the_one_before() {
    let world =
        World { loss_permille: 200, jitter_ms: 28, ..World::plain(7_666_166_080_496_966_004, 2, false) };
    let mut history = History::begin(world);
    for step in [
        Step::Join(false),
        Step::Join(false),
        Step::Leave(0),
        Step::Join(false),
        Step::Return(0),
        Step::Wait(1011),
        Step::Evict(1),
        Step::Wait(3272),
        Step::Move(0, 159),
        Step::Join(true),
        Step::Leave(1),
    ] {
        history.step(step);
    }
    history.end();
    judge(&history.network, &history.group, &[]).acquit();
}
