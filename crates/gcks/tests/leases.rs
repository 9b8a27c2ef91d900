//! Leases: a sender goes on for no longer than its key server has confirmed, so that an eviction ends even what a sender
//! sends that missed it.
//!
//! ```text
//! HDR, HASH, LEASE { nonce, group: rekey SA, number, TEK }   -->
//!                                                            <--   HDR, HASH, LEASE { nonce, group: granted, in force }
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use claviger_dataplane::Error;
use claviger_gcks::{Admittance, Eviction, SilenceView};
use claviger_group::{GroupId, GroupPolicy, MemberId, Role, policy::LeasePolicy};
use claviger_isakmp::{iana::ExchangeType, wire::header};
use claviger_member::{Event, event::PullReason};
use claviger_sansio::{Socket, Time};
use claviger_testkit::{
    judge::{Deafness, judge, judge_by},
    network::{Conditions, Filter, Kind, Network, Origin, SERVER, Sent, group_id, policy},
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The default: a sixth of the TEK's hour.
const LEASE: Duration = Duration::from_secs(600);

/// What the key server's bound is later by than a lease.
const MARGIN: Duration = SECOND;

fn market() -> GroupId {
    group_id("market")
}

fn network_under(seed: u64, policy: GroupPolicy) -> Network {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy);
    network
}

fn leased(time: Duration) -> GroupPolicy {
    let mut policy = policy(1);
    policy.lease = LeasePolicy { time: Some(time), receivers: false };
    policy
}

/// A group under a policy with a sender, a receiver and a host that will be put out.
fn trio(seed: u64, policy: GroupPolicy) -> (Network, usize, usize, usize) {
    let mut network = network_under(seed, policy);
    let sender = network.joined(&market(), Role::Both);
    let receiver = network.joined(&market(), Role::Receiver);
    let evil = network.joined(&market(), Role::Receiver);
    network.pass(10 * SECOND);
    (network, sender, receiver, evil)
}

fn evict(network: &mut Network, place: usize) -> Time {
    let host = network.members[place].id();
    network.server.evict(network.now, &market(), &host).unwrap();
    network.settle();
    network.now
}

fn silence(network: &Network, place: usize) -> SilenceView {
    network.server.silence(network.now, &market(), &network.members[place].id()).unwrap()
}

fn is_lease(sent: &Sent) -> bool {
    let exchange = header::peek(&sent.octets).map(|(exchange, _)| exchange);
    sent.kind == Kind::Control(Socket::Port848) && exchange == Some(ExchangeType::LEASE)
}

/// Sends each second, and says how many of so many were sent.
fn sends(network: &mut Network, place: usize, seconds: u64) -> usize {
    let mut sent = 0;
    for _ in 0..seconds {
        network.pass(SECOND);
        sent += usize::from(network.send(place, &market(), b"quote").is_ok());
    }
    sent
}

/// Says whether nothing was sent because the lease has ended.
fn is_over(sent: Result<(), Error>) -> bool {
    sent.is_err_and(|error| error.reason() == "lease_ended")
}

fn pulls(network: &Network, place: usize) -> usize {
    network.members[place].count(|event| matches!(event, Event::PullAgain { .. }))
}

fn leased_until(network: &Network, place: usize) -> Time {
    network.members[place].member.subscription(&market()).unwrap().leased_until().unwrap()
}

/// SECURITY.md: "who departed reads nothing sent later". A sender that misses the rekey went on for half an hour.
#[test]
fn an_evicted_host_reads_nothing_of_a_jammed_sender_once_its_lease_is_over() {
    let (mut network, sender, _, evil) = trio(2, policy(1));
    network.members[sender].connected = false;
    let evicted = evict(&mut network, evil);
    let silent_from = silence(&network, evil).from.unwrap();
    assert!(silent_from <= evicted + LEASE + MARGIN, "{silent_from}");
    let sent = sends(&mut network, sender, 3_600);
    assert!((400..=600).contains(&sent), "it goes on while it has a lease, and no longer: {sent}");
    assert!(is_over(network.send(sender, &market(), b"late")));
    let verdict = judge(&network, &market(), &[]);
    verdict.acquit();
    assert!(verdict.opened > sent, "what was sent before is readable to those who were there");
    assert!(network.now > silent_from);
    assert_eq!(silence(&network, evil).laggards, []);
}

#[test]
fn an_eviction_that_every_sender_hears_of_is_over_when_all_have_stated_it() {
    let mut network = network_under(3, policy(1));
    let senders: Vec<usize> = (0..12).map(|_| network.joined(&market(), Role::Both)).collect();
    let evil = network.joined(&market(), Role::Both);
    network.pass(10 * SECOND);
    let evicted = evict(&mut network, evil);
    let begin = silence(&network, evil);
    assert_eq!((begin.members, begin.laggards.len()), (Some((0, 12)), 12));
    network.until(3 * SECOND, |network| silence(network, evil).laggards.is_empty());
    // Copies of two messages, the activation delay, and what chance adds to a statement.
    assert!(network.now.since(evicted) < 2 * SECOND, "{:?}", network.now.since(evicted));
    let end = silence(&network, evil);
    assert_eq!(end.members, Some((12, 12)));
    assert!(end.stated_at.unwrap() <= network.now);
    for sender in senders {
        network.send(sender, &market(), b"after").unwrap();
    }
    network.pass(SECOND);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_sender_that_cannot_be_heard_is_named_with_the_end_of_its_lease() {
    let mut network = network_under(4, policy(1));
    let [one, deaf, evil] = [(); 3].map(|()| network.joined(&market(), Role::Both));
    network.pass(10 * SECOND);
    network.members[deaf].connected = false;
    let evicted = evict(&mut network, evil);
    network.pass(5 * SECOND);
    let silence = silence(&network, evil);
    assert_eq!(silence.members, Some((1, 2)), "{one} has stated it");
    let [laggard] = &silence.laggards[..] else { panic!("one is missing") };
    assert_eq!((&laggard.host, laggard.without_lease), (&network.members[deaf].id(), false));
    assert!(laggard.until > evicted && Some(laggard.until) == silence.from);
    assert!(laggard.until >= leased_until(&network, deaf), "it has stopped by then");
}

/// Nothing that is held back makes a lease longer: it runs from the request, and holds for what the answer names.
#[test]
fn an_answer_that_is_held_back_or_repeated_buys_nothing() {
    let (mut network, sender, _, evil) = trio(5, leased(60 * SECOND));
    let held = Rc::new(RefCell::new(Vec::<Sent>::new()));
    let holds = held.clone();
    network.passes = Some(Box::new(move |sent| {
        let holds_back = is_lease(sent) && sent.origin == Origin::Server;
        if holds_back {
            holds.borrow_mut().push(sent.clone());
        }
        !holds_back
    }));
    network.pass(40 * SECOND);
    let until = leased_until(&network, sender);
    assert!(!held.borrow().is_empty());
    network.passes = Some(Box::new(|sent| sent.origin != Origin::Server));
    let evicted = evict(&mut network, evil);
    let release = |network: &mut Network| {
        for Sent { kind, destination, octets, .. } in held.borrow().iter() {
            network.passes = None;
            let source = SocketAddr::from((SERVER, 848));
            network.fly(Origin::Server, source, *kind, *destination, octets.clone());
            network.passes = Some(Box::new(|sent| sent.origin != Origin::Server));
        }
        network.pass(SECOND / 10);
    };
    network.pass(5 * SECOND);
    assert_eq!(leased_until(&network, sender), until);
    release(&mut network);
    let late = leased_until(&network, sender);
    assert!(late > until, "answers from before the eviction are good");
    assert!(late <= evicted + 60 * SECOND, "and each runs from its request: {late}");
    for _ in 0..300 {
        network.pass(SECOND);
        release(&mut network);
        let _ = network.send(sender, &market(), b"late");
    }
    assert_eq!(leased_until(&network, sender), late.max(until), "once and never again");
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_key_server_that_is_away_for_half_a_lease_costs_nothing() {
    let (mut network, sender, ..) = trio(6, policy(1));
    // Just before it is asked again.
    network.pass(LEASE / 3 - 5 * SECOND);
    let before = pulls(&network, sender);
    network.running = false;
    assert_eq!(sends(&mut network, sender, 300), 300);
    network.running = true;
    network.restart();
    assert_eq!(sends(&mut network, sender, 600), 600);
    assert_eq!(pulls(&network, sender), before, "an outage makes no sender pull");
    assert_eq!(network.members[sender].count(|event| matches!(event, Event::LeaseEnded { .. })), 0);
}

#[test]
fn after_an_outage_of_two_leases_all_send_again_within_five_seconds() {
    let mut policy = leased(60 * SECOND);
    policy.times.tek_lifetime = 3_600 * SECOND;
    let mut network = network_under(7, policy);
    let senders: Vec<usize> = (0..40).map(|_| network.joined(&market(), Role::Both)).collect();
    network.pass(10 * SECOND);
    let before: Vec<usize> = senders.iter().map(|place| pulls(&network, *place)).collect();
    network.running = false;
    network.pass(120 * SECOND);
    for sender in &senders {
        assert!(is_over(network.send(*sender, &market(), b"silent")));
        assert_eq!(network.members[*sender].count(|event| matches!(event, Event::LeaseEnded { .. })), 1);
    }
    network.running = true;
    network.restart();
    network.pass(5 * SECOND);
    for (sender, before) in senders.iter().zip(before) {
        network.send(*sender, &market(), b"again").unwrap();
        assert_eq!(pulls(&network, *sender), before, "nobody pulls for it");
        assert_eq!(network.members[*sender].count(|event| matches!(event, Event::LeaseResumed { .. })), 1);
    }
    network.pass(SECOND);
    judge(&network, &market(), &[]).acquit();
}

/// A key server that was started again has forgotten whom it answered: everybody counts as answered then.
#[test]
fn after_a_start_every_sender_counts_as_leased() {
    let (mut network, sender, _, evil) = trio(8, policy(1));
    network.pass(100 * SECOND);
    network.members[sender].connected = false;
    network.restart();
    let started = network.now;
    evict(&mut network, evil);
    let [laggard] = &silence(&network, evil).laggards[..] else { panic!("it counts") };
    assert_eq!(laggard.until, started + LEASE + MARGIN);
    // What was said of the eviction outlives another start.
    let from = silence(&network, evil).from;
    network.pass(10 * SECOND);
    network.restart();
    assert_eq!(silence(&network, evil).from, from);
    assert_eq!(silence(&network, evil).members, None, "who is missing is forgotten");
    sends(&mut network, sender, 1_200);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_sender_that_the_answer_shows_to_be_behind_fetches_its_keys() {
    let (mut network, sender, _, evil) = trio(9, leased(30 * SECOND));
    network.passes = Some(Box::new(|sent| {
        // Only what is multicast is lost: the sender hears its key server, and nothing of the rekey.
        sent.kind == Kind::Esp || !sent.destination.ip().is_multicast()
    }));
    evict(&mut network, evil);
    network.until(30 * SECOND, |network| network.is_current(sender, &market()));
    let behind = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::Behind, .. });
    assert_eq!(network.members[sender].count(behind), 1);
    network.until(3 * SECOND, |network| silence(network, evil).laggards.is_empty());
    assert!(sends(&mut network, sender, 60) >= 58);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_group_without_leases_says_how_long_a_sender_may_go_on_that_missed_the_rekey() {
    let mut policy = policy(1);
    policy.lease = LeasePolicy::OFF;
    let (mut network, sender, _, evil) = trio(10, policy);
    assert_eq!(network.members[sender].member.subscription(&market()).unwrap().leased_until(), None);
    network.members[sender].connected = false;
    let evicted = evict(&mut network, evil);
    let view = silence(&network, evil);
    assert_eq!((view.members, view.laggards), (None, Vec::new()));
    let until = view.from.unwrap();
    assert!(until > evicted + 50 * MINUTE && until <= evicted + 60 * MINUTE, "{until}");
    sends(&mut network, sender, 4_000);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_host_that_may_send_without_a_lease_is_named_and_ends_with_its_keys() {
    let mut network = network_under(11, policy(1));
    let sender = network.joined(&market(), Role::Both);
    let foreign = network.add_member_with(claviger_testkit::network::new_identity(), |config| {
        config.extensions = claviger_gdoi::Extensions::NONE;
    });
    let host = network.members[foreign].id();
    // Who knows no leases is not let in as a sender.
    network.join(foreign, &market(), Role::Both);
    network.pass(10 * SECOND);
    let refused = |event: &Event| matches!(event, Event::Refused { .. });
    assert_eq!(network.members[foreign].count(refused), 1);
    let without = Admittance { role: Role::Both, without_lease: true };
    network.server.allow(network.now, &market(), &host, without).unwrap();
    network.ask(foreign, &market(), Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(foreign, &market()));
    let evil = network.joined(&market(), Role::Receiver);
    network.pass(10 * SECOND);
    let evicted = evict(&mut network, evil);
    network.pass(3 * SECOND);
    let view = silence(&network, evil);
    assert_eq!(view.members, Some((1, 2)), "{sender} has stated it");
    let [laggard] = &view.laggards[..] else { panic!("the other cannot") };
    assert_eq!((&laggard.host, laggard.without_lease), (&host, true));
    assert!(laggard.until > evicted + 50 * MINUTE);
    assert!(sends(&mut network, foreign, 1_000) > 990, "nobody stops it");
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn where_receivers_need_leases_nothing_of_an_evicted_host_is_accepted_once_they_are_over() {
    let mut policy = leased(30 * SECOND);
    policy.lease.receivers = true;
    for jammed in [true, false] {
        let mut network = network_under(12, policy.clone());
        let receiver = network.joined(&market(), Role::Receiver);
        let evil = network.joined(&market(), Role::Both);
        network.pass(10 * SECOND);
        assert_eq!(network.send(evil, &market(), b"before"), Ok(()));
        network.pass(SECOND);
        assert_eq!(network.members[receiver].received.len(), 1);
        // The evicted host knows of nothing, sends on, and only it is heard by the receiver.
        let gone = network.members[evil].address;
        network.passes = Some(Box::new(move |sent: &Sent| {
            let to_evil = sent.destination.ip() == std::net::IpAddr::V4(gone);
            !(to_evil || jammed && sent.kind != Kind::Esp)
        }));
        evict(&mut network, evil);
        let mut accepted = network.now;
        for _ in 0..1_800 {
            network.pass(SECOND / 20);
            let before = network.members[receiver].received.len();
            // It takes no notice of its own lease.
            network.members[evil].plane.apply(
                network.now,
                &market(),
                claviger_group::PlaneCommand::Lease(None),
            );
            let _ = network.send(evil, &market(), b"forged");
            network.pass(SECOND / 20);
            if network.members[receiver].received.len() > before {
                accepted = network.now;
            }
        }
        let silent_from = silence(&network, evil).from.unwrap();
        assert!(accepted < silent_from, "jammed {jammed}: accepted at {accepted}, {silent_from}");
        assert_eq!(silence(&network, evil).unheard_from, Some(silent_from));
        assert_eq!(silence(&network, evil).laggards, []);
    }
}

#[test]
fn without_leases_for_receivers_it_is_said_until_when_an_evicted_host_may_still_be_heard() {
    let (mut network, _, receiver, _) = trio(13, policy(1));
    let evil = network.joined(&market(), Role::Both);
    network.pass(10 * SECOND);
    network.members[receiver].connected = false;
    let evicted = evict(&mut network, evil);
    let unheard_from = silence(&network, evil).unheard_from.unwrap();
    assert!(unheard_from <= evicted + 60 * MINUTE && unheard_from > evicted + 50 * MINUTE);
}

#[test]
fn a_sender_whose_role_is_taken_stops_though_it_does_not_hear_of_it() {
    let (mut network, sender, ..) = trio(14, leased(30 * SECOND));
    let host = network.members[sender].id();
    let address = network.members[sender].address;
    network.passes = Some(Box::new(move |sent: &Sent| {
        let to_it = sent.destination.ip() == std::net::IpAddr::V4(address);
        // HIP does not reach it, and so not the UPDATE that takes the role.
        !(to_it && matches!(sent.kind, Kind::Control(Socket::HipUdp | Socket::HipRaw)))
    }));
    network.server.allow(network.now, &market(), &host, Role::Receiver).unwrap();
    network.settle();
    let taken = network.now;
    network.until(40 * SECOND, |network| {
        let subscription = network.members[sender].member.subscription(&market());
        subscription.is_none_or(|subscription| subscription.leased_until().is_none_or(|at| at <= network.now))
    });
    assert!(network.now <= taken + 30 * SECOND + MARGIN);
    assert!(network.send(sender, &market(), b"no more").is_err());
}

#[test]
fn a_machine_that_was_restored_sends_nothing_until_it_has_pulled() {
    let (mut network, sender, ..) = trio(15, policy(1));
    let now = network.now;
    network.members[sender].member.machine_restored(now);
    network.settle();
    assert!(network.send(sender, &market(), b"from the past").is_err());
    network.pass(5 * SECOND);
    let restored = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::Restored, .. });
    assert_eq!(network.members[sender].count(restored), 1);
    network.send(sender, &market(), b"here again").unwrap();
}

/// Whoever leaves, is put out again or asks again is answered from what is known.
#[test]
fn an_eviction_is_remembered_with_what_was_said_of_it() {
    let (mut network, _, _, evil) = trio(16, policy(1));
    let host = network.members[evil].id();
    evict(&mut network, evil);
    network.pass(5 * SECOND);
    let said = network.server.silence(network.now, &market(), &host).unwrap();
    assert_eq!(said.members, Some((1, 1)));
    assert!(matches!(
        network.server.evict(network.now, &market(), &host),
        Ok(Eviction::Unreadable { was_member: true, .. })
    ));
    assert_eq!(network.server.silence(network.now, &market(), &host), Some(said));
    let nobody: MemberId = claviger_testkit::network::new_identity().hit().into();
    assert_eq!(network.server.silence(network.now, &market(), &nobody), None);
}

/// One thing that happens to a group whose evicted hosts jam whom they like.
#[derive(Debug, Clone, Copy)]
enum Step {
    Evict(usize),
    Join(bool),
    Leave(usize),
    /// Cuts a host off, or lets it hear again.
    Cut(usize, bool),
    /// Loses what is multicast, what is not, or nothing.
    Jam(u8),
    Disk(u16),
    Restart,
    Tek,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<usize>().prop_map(Step::Evict),
        3 => any::<bool>().prop_map(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(number, cut)| Step::Cut(number, cut)),
        2 => (0u8..3).prop_map(Step::Jam),
        1 => (0u16..3_000).prop_map(Step::Disk),
        1 => Just(Step::Restart),
        1 => Just(Step::Tek),
        6 => (1u16..15_000).prop_map(Step::Wait),
    ]
}

/// Lets time pass, in which everybody sends who can.
fn talk(network: &mut Network, duration: Duration) {
    let end = network.now + duration;
    while network.now < end {
        network.pass(SECOND.min(end.since(network.now)));
        for place in 0..network.members.len() {
            let _ = network.send(place, &market(), b"word");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Under any loss, delay, silence towards a sender and slowness of the disk.
    #[test]
    fn nothing_that_is_sent_after_the_last_lease_opens_under_an_evicted_members_keys(
        seed in any::<u64>(),
        seconds in 10u64..40,
        loss_permille in prop_oneof![Just(0u32), Just(100), Just(400)],
        latency_ms in 1u64..3_000,
        steps in proptest::collection::vec(step(), 10..40),
    ) {
        let mut network = network_under(seed, leased(Duration::from_secs(seconds)));
        for _ in 0..2 {
            network.joined(&market(), Role::Both);
        }
        network.conditions = Conditions {
            loss_permille,
            duplication_permille: 20,
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(latency_ms),
        };
        for step in steps {
            let count = network.members.len();
            match step {
                Step::Evict(number) => _ = evict_if_known(&mut network, number % count),
                Step::Join(sends) if count < 8 => {
                    let place = network.add_member();
                    network.join(place, &market(), if sends { Role::Both } else { Role::Receiver });
                }
                Step::Join(_) => {}
                Step::Leave(number) => {
                    let now = network.now;
                    network.members[number % count].member.leave(now);
                    network.settle();
                }
                Step::Cut(number, cut) => network.members[number % count].connected = !cut,
                Step::Jam(what) => network.passes = jam(what),
                Step::Disk(ms) => network.disk = Duration::from_millis(ms.into()),
                Step::Restart => network.restart(),
                Step::Tek => {
                    let _ = network.server.rekey(network.now, &market(), claviger_gcks::RekeyWhat::Tek);
                    network.settle();
                }
                Step::Wait(ms) => talk(&mut network, Duration::from_millis(ms.into())),
            }
        }
        talk(&mut network, Duration::from_secs(3 * seconds));
        judge_by(&network, &market(), &[], Deafness::Leases).acquit();
    }
}

fn evict_if_known(network: &mut Network, place: usize) -> bool {
    let host = network.members[place].id();
    let known = network.server.evict(network.now, &market(), &host).is_ok();
    network.settle();
    known
}

fn jam(what: u8) -> Option<Filter> {
    match what {
        0 => None,
        1 => Some(Box::new(|sent| sent.kind == Kind::Esp || !sent.destination.ip().is_multicast())),
        _ => Some(Box::new(|sent| sent.kind == Kind::Esp || sent.destination.ip().is_multicast())),
    }
}
