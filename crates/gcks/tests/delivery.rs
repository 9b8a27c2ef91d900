//! Rekeys of many messages on networks that lose: repaired as members report, then by unicast, so that who stays becomes
//! current without fetching anything.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{net::IpAddr, time::Duration};

use claviger_crypto::{
    SystemRandom, provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_delivery::{Counter as Delivery, wire::MessageType};
use claviger_gcks::{Counter, Event, Eviction, event::Rekeyed};
use claviger_gdoi::push::seal_controls;
use claviger_group::{CookiePair, GroupId, KekManagement, PushAuthentication, Role};
use claviger_isakmp::{
    iana::ExchangeType,
    wire::{Header, header, payload::GENERIC_LEN},
};
use claviger_sansio::{NotSent, Socket};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Conditions, GDOI_PORT, Kind, Network, Origin, SERVER, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

/// How long a delivery with everything that follows takes at most here: one host in some hundreds loses each of the first
/// five reports or what answers them, where a fifth of all is lost, and pulls in the end.
const DELIVERED: Duration = Duration::from_secs(45);

const MEMBERS: usize = 304;

/// One rekey in which one of four members leaves.
struct Rekey {
    network: Network,
    group: GroupId,
    staying: Vec<usize>,
    /// How many PULLs who stays had made before.
    before: u64,
}

impl Rekey {
    /// Keys a group on a perfect network, and has members leave it in one batch on one that loses.
    fn begin(seed: u64, loss_permille: u32) -> Self {
        let mut policy = policy(1);
        policy.rekey.management = KekManagement::Lkh32;
        policy.rekey.authentication = PushAuthentication::Batch;
        policy.rekey.batch_interval = SECOND;
        let mut network = Network::new(seed);
        let group = group_id("delivered");
        network.add_group(&group, policy);
        let places: Vec<usize> = (0..MEMBERS).map(|_| network.add_member()).collect();
        for place in &places {
            network.join(*place, &group, if *place == 0 { Role::Both } else { Role::Receiver });
        }
        network.until(60 * SECOND, |network| {
            let everybody = network.server.group(network.now, &group).unwrap().members == MEMBERS;
            everybody && laggards(network, &group).is_empty()
        });
        network.pass(20 * SECOND);
        network.send(0, &group, b"before").unwrap();
        let (gone, staying): (Vec<usize>, Vec<usize>) = places.iter().partition(|place| *place % 4 == 1);
        assert!(gone.len() > 40);
        for place in gone {
            network.members[place].member.leave(network.now);
        }
        network.settle();
        network.pass(SECOND / 2);
        let mut rekey = Self { network, group, staying, before: 0 };
        rekey.before = rekey.pulls();
        rekey.network.conditions = Conditions {
            loss_permille,
            duplication_permille: 10,
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(30),
        };
        rekey
    }

    fn pulls(&self) -> u64 {
        let pulls = |place: &usize| {
            self.network.members[*place].member.subscription(&self.group).map_or(0, |held| held.pulls())
        };
        self.staying.iter().map(pulls).sum()
    }

    fn count(&self, counter: Delivery) -> u64 {
        self.network.server.counters().delivery[counter]
    }

    /// The rekeys that the key server told of since the members left.
    fn told(&self) -> Vec<Rekeyed> {
        let rekeyed = |event: &Event| match event {
            Event::Rekeyed(rekeyed) if rekeyed.departed > 0 => Some(rekeyed.clone()),
            _ => None,
        };
        self.network.told.iter().filter_map(|(_, event)| rekeyed(event)).collect()
    }

    /// Lets the delivery run to its end, prints what it cost and judges it. Returns how many PULLs were made.
    fn judged(&mut self, what: &str) -> u64 {
        let staying = self.staying.len();
        let rekeyed = |(_, event): &(_, Event)| matches!(event, Event::Rekeyed(rekey) if rekey.departed > 0);
        self.network.until(DELIVERED, |network| network.told.iter().any(rekeyed));
        let now = self.told()[0].at;
        let mut lags = Vec::new();
        while lags.len() < staying {
            assert!(self.network.now.since(now) < DELIVERED);
            self.network.pass(SECOND / 10);
            let current = staying - laggards(&self.network, &self.group).len();
            lags.resize(current.max(lags.len()), self.network.now.since(now));
        }
        let (median, lag) = (lags[staying / 2], lags[staying - 1]);
        self.network.pass(DELIVERED);
        assert!(laggards(&self.network, &self.group).is_empty(), "and stays so");
        // What a member hears of the keys in force does not depend on luck any more.
        self.network.conditions = Conditions::PERFECT;
        self.network.send(0, &self.group, b"after").unwrap();
        self.network.pass(SECOND);
        let [rekey] = &self.told()[..] else { panic!("one rekey for all: {:?}", self.told()) };
        assert_eq!(rekey.departed, MEMBERS - staying);
        assert_eq!(self.count(Delivery::Ended), 1);
        let pulls = self.pulls() - self.before;
        println!(
            "{what}: {} messages, {} repairs, {} announcements, {} reports, {} by unicast; {staying} members \
             current after {lag:?}, half of them after {median:?}; {pulls} more PULLs",
            rekey.messages,
            self.count(Delivery::Repairs),
            self.count(Delivery::Announcements),
            self.count(Delivery::Reports),
            self.count(Delivery::Unicasts),
        );
        let stored = self.network.stored();
        assert!(!stored.keys().any(|table| table.name() == "push"), "no record stays: {stored:?}");
        judge(&self.network, &self.group, &[]).acquit();
        pulls
    }

    /// Goes to the moment when the first control of the delivery is on the wire.
    fn first_control(&mut self) -> (CookiePair, Vec<u8>) {
        let mut found = None;
        self.network.until(DELIVERED, |network| {
            let control = network.wire.iter().find_map(|sent| match header::peek(&sent.octets) {
                Some((ExchangeType::DELIVERY_CONTROL, cookies)) if sent.kind != Kind::Esp => {
                    Some((cookies, sent.octets.clone()))
                }
                _ => None,
            });
            found = control;
            found.is_some()
        });
        found.unwrap()
    }
}

#[test]
fn without_loss_nothing_is_repaired() {
    let mut rekey = Rekey::begin(11, 0);
    assert_eq!(rekey.judged("no loss"), 0);
    for counter in [Delivery::Repairs, Delivery::Unicasts, Delivery::Reports] {
        assert_eq!(rekey.count(counter), 0, "{counter:?}");
    }
    let messages = rekey.told()[0].messages as u64;
    let is_push = |octets: &[u8]| header::peek(octets).is_some_and(|(e, _)| e == ExchangeType::GROUPKEY_PUSH);
    let since = rekey.told()[0].at;
    let sent = rekey.network.wire.iter().filter(|sent| sent.at >= since && is_push(&sent.octets)).count();
    assert!((sent as u64) < messages + 6, "{sent} for {messages}: each once, and copies of the TEK's");

    // Who departed is deaf when each message, and three copies of the TEK's, were heard and followed.
    let departed = |event: &Event| match event {
        Event::Departed { deaf_at, .. } => Some(*deaf_at),
        _ => None,
    };
    let deaf_at = rekey.network.told.iter().find_map(|(_, event)| departed(event)).unwrap();
    let activation_delay =
        rekey.network.server.group(since, &rekey.group).unwrap().policy.times.activation_delay;
    let early =
        |sent: &&Sent| sent.at >= since && is_push(&sent.octets) && sent.at + activation_delay <= deaf_at;
    assert_eq!(rekey.network.wire.iter().filter(early).count() as u64, messages + 2);
}

#[test]
fn with_five_percent_of_loss_everybody_is_brought_up_to_date() {
    let mut rekey = Rekey::begin(12, 50);
    assert_eq!(rekey.judged("5 % loss"), 0);
    let is_control =
        |octets: &[u8]| header::peek(octets).is_some_and(|(e, _)| e == ExchangeType::DELIVERY_CONTROL);
    let controls = rekey.network.wire.iter().filter(|sent| is_control(&sent.octets));
    let longest = controls.map(|sent| sent.octets.len()).max().unwrap();
    assert!(longest <= 1_280 - 40 - 8, "{longest} octets are more than every IPv6 path carries");
    assert!(rekey.count(Delivery::Repairs) > 0 && rekey.count(Delivery::Reports) > 0);
}

#[test]
fn members_ask_for_what_is_theirs_only() {
    let mut rekey = Rekey::begin(18, 200);
    let delivery = rekey.network.wire.len();
    assert!(rekey.judged("20 % loss, what is asked for") <= PULLS_AT_A_FIFTH);
    // One message in the reports of those that nobody repaired for is for them, and one or two above it.
    let (reports, unicasts) = (rekey.count(Delivery::Reports), rekey.count(Delivery::Unicasts));
    assert!(unicasts <= 3 * reports, "{unicasts} for {reports} reports");
    let directories = |sent: &&Sent| {
        let kind = sent.octets.get(Header::LEN + GENERIC_LEN..).and_then(MessageType::of);
        header::peek(&sent.octets).is_some_and(|(e, _)| e == ExchangeType::DELIVERY_CONTROL)
            && kind == Some(MessageType::Directory)
    };
    let directories = rekey.network.wire[delivery..].iter().filter(directories).count() as u64;
    assert_eq!(rekey.count(Delivery::Directories), directories);
    assert!(directories >= 2, "one at least, twice");
}

#[test]
fn who_reports_from_where_it_was_never_seen_to_be_is_not_served_there() {
    let mut rekey = Rekey::begin(19, 200);
    rekey.network.passes = Some(Box::new(|sent| {
        let exchange = header::peek(&sent.octets).map(|(exchange, _)| exchange);
        let kind = sent.octets.get(Header::LEN + GENERIC_LEN..).and_then(MessageType::of);
        (exchange, kind) != (Some(ExchangeType::DELIVERY_CONTROL), Some(MessageType::Repair))
    }));
    // A sixth of the members sends from other addresses than those that their associations and PULLs came from.
    let moved: Vec<usize> = rekey.staying.iter().copied().step_by(6).collect();
    for place in &moved {
        let [_, _, c, d] = rekey.network.members[*place].address.octets();
        rekey.network.members[*place].address = [203, 0, c, d].into();
    }
    let before = rekey.network.wire.len();
    rekey.network.until(DELIVERED, |network| {
        network.told.iter().any(|(_, e)| matches!(e, Event::Rekeyed(r) if r.departed > 0))
    });
    let group = rekey.group.clone();
    for _ in 0..60 {
        rekey.network.pass(SECOND);
    }
    assert!(laggards(&rekey.network, &group).is_empty(), "who is not served there pulls from there");
    let pulls = rekey.pulls() - rekey.before;
    assert!(pulls > 0 && pulls <= moved.len() as u64 + PULLS_AT_A_FIFTH, "{pulls} more PULLs");
    let counters = rekey.network.server.counters();
    assert!(counters.gcks[Counter::ReportElsewhere] > 0, "{counters:?}");
    let is_push = |octets: &[u8]| header::peek(octets).is_some_and(|(e, _)| e == ExchangeType::GROUPKEY_PUSH);
    let mut sent = rekey.network.wire[before..].iter().filter(|sent| is_push(&sent.octets));
    let strange = sent.find(|sent| matches!(sent.destination.ip(), IpAddr::V4(ip) if ip.octets()[0] == 203));
    assert!(strange.is_none(), "{strange:?}");
    assert!(rekey.count(Delivery::Unicasts) > 0, "others were served");
}

#[test]
fn with_a_fifth_of_loss_hardly_anybody_has_to_pull() {
    let mut rekey = Rekey::begin(13, 200);
    let pulls = rekey.judged("20 % loss");
    assert!(pulls <= PULLS_AT_A_FIFTH, "{pulls} more PULLs");
    assert!(rekey.count(Delivery::Repairs) > 0 && rekey.count(Delivery::Reports) > 0);
}

#[test]
fn where_no_repair_comes_through_those_who_report_are_served_alone() {
    let mut rekey = Rekey::begin(16, 200);
    rekey.network.passes = Some(Box::new(|sent| {
        let exchange = header::peek(&sent.octets).map(|(exchange, _)| exchange);
        let kind = sent.octets.get(Header::LEN + GENERIC_LEN..).and_then(MessageType::of);
        (exchange, kind) != (Some(ExchangeType::DELIVERY_CONTROL), Some(MessageType::Repair))
    }));
    let pulls = rekey.judged("20 % loss, no repair");
    assert!(pulls <= PULLS_AT_A_FIFTH, "{pulls} more PULLs");
    for counter in [Delivery::Repairs, Delivery::Unicasts, Delivery::Reports] {
        assert!(rekey.count(counter) > 0, "{counter:?}");
    }
}

/// Of 210 members, those that heard no copy of the TEK message behind a KEK that they took up.
const PULLS_AT_A_FIFTH: u64 = 4;

#[test]
fn a_forged_control_or_report_changes_nothing() {
    let mut rekey = Rekey::begin(14, 50);
    let mut seen = 0;
    rekey.network.damage = Some(Box::new(move |socket, octets| match header::peek(octets) {
        Some((exchange @ (ExchangeType::DELIVERY_CONTROL | ExchangeType::DELIVERY_REPORT), _))
            if socket == Socket::Port848 =>
        {
            seen += 1;
            if exchange == ExchangeType::DELIVERY_CONTROL && seen % 16 != 0 {
                // To look at all members for each copy that each of them gets takes long.
                return Vec::new();
            }
            let flipped = |place: usize| {
                let mut flipped = octets.to_vec();
                flipped[place] ^= 0x10;
                flipped
            };
            let last = octets.len() - 1;
            vec![flipped(last), flipped(60), flipped(20), octets[..last].to_vec()]
        }
        _ => Vec::new(),
    }));
    let (cookies, control) = rekey.first_control();
    // An outsider signs an announcement of its own, and a departed member's neighbour reports in nobody's name.
    let forger =
        SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().unwrap()).unwrap();
    let forged = seal_controls(cookies, &[control[32..].to_vec()], &forger).unwrap().remove(0);
    let mut unknown = control.clone();
    unknown[18] = ExchangeType::DELIVERY_REPORT.0;
    let push = rekey.network.server.group(rekey.network.now, &rekey.group).unwrap().push_destination;
    let outsider = ([203, 0, 113, 9], GDOI_PORT).into();
    for (destination, octets) in [(push, forged), ((SERVER, GDOI_PORT).into(), unknown)] {
        rekey.network.fly(Origin::Server, outsider, Kind::Control(Socket::Port848), destination, octets);
    }
    assert_eq!(rekey.judged("forgeries, 5 % loss"), 0);
    let drops = &rekey.network.drops;
    assert!(drops.contains_key("bad_signature") || drops.contains_key("signature"), "{drops:?}");
}

#[test]
fn a_restart_sends_what_was_under_way_in_plain_rounds() {
    let mut rekey = Rekey::begin(15, 50);
    rekey.first_control();
    rekey.network.restart();
    let group = rekey.group.clone();
    rekey.network.until(DELIVERED, |network| laggards(network, &group).is_empty());
    rekey.network.pass(DELIVERED);
    let stored = rekey.network.stored();
    assert!(!stored.keys().any(|table| table.name() == "push"), "no record stays: {stored:?}");
    judge(&rekey.network, &rekey.group, &[]).acquit();
}

#[test]
fn an_eviction_in_the_midst_of_a_delivery_waits_for_nobody_and_loses_nobody() {
    let mut rekey = Rekey::begin(17, 200);
    rekey.first_control();
    let evicted = rekey.staying.pop().unwrap();
    rekey.before = rekey.pulls();
    let (now, id) = (rekey.network.now, rekey.network.members[evicted].id());
    rekey.network.server.evict(now, &rekey.group, &id).unwrap();
    rekey.network.settle();
    rekey.network.pass(SECOND);
    let from = match rekey.network.server.eviction(&rekey.group, &id) {
        Some(Eviction::Unreadable { from, .. }) => from,
        other => panic!("its messages have not left: {other:?}"),
    };
    assert!(from.since(now) < 2 * SECOND, "{:?}", from.since(now));
    let group = rekey.group.clone();
    let current = |network: &Network| laggards(network, &group).is_empty();
    while !current(&rekey.network) {
        assert!(rekey.network.now.since(now) < DELIVERED);
        rekey.network.pass(SECOND / 2);
        // Who missed all of a short rekey learns of it by data.
        let _ = rekey.network.send(0, &group, b"tick");
    }
    let lag = rekey.network.now.since(now);
    rekey.network.pass(DELIVERED);
    assert!(current(&rekey.network) && rekey.told().len() == 2);
    let (pulls, members) = (rekey.pulls() - rekey.before, rekey.staying.len());
    println!(
        "eviction behind a rekey, 20 % loss: {members} members current after {lag:?}, {pulls} more PULLs"
    );
    assert!(pulls <= PULLS_OF_THE_OVERTAKEN, "{pulls} more PULLs");
    judge(&rekey.network, &rekey.group, &[]).acquit();
}

/// Who still collects one rekey while another goes out under its KEK hears some of that one too early, and may have to pull.
const PULLS_OF_THE_OVERTAKEN: u64 = 40;

#[test]
fn a_delivery_whose_messages_do_not_leave_goes_on_where_it_stopped() {
    let mut rekey = Rekey::begin(20, 0);
    rekey.first_control();
    // Longer than all rounds and what follows them would have taken.
    let open_at = rekey.network.now + 15 * SECOND;
    rekey.network.refuses = Some(Box::new(move |now, transmit| {
        let is_refused = now < open_at && transmit.destination.ip().is_multicast();
        is_refused.then_some(NotSent::Unreported)
    }));
    assert_eq!(rekey.judged("stopped for 15 s"), 0, "nobody has to pull");
    assert_eq!(rekey.count(Delivery::Unicasts), 0);
    let departed = rekey.network.told.iter().filter_map(|(_, event)| match event {
        Event::Departed { deaf_at, .. } => Some(*deaf_at),
        _ => None,
    });
    assert!(departed.min().unwrap() > open_at);
}

#[test]
fn a_restart_in_the_midst_of_a_delivery_that_does_not_leave_loses_no_message() {
    let mut rekey = Rekey::begin(21, 0);
    rekey.first_control();
    let open_at = rekey.network.now + 15 * SECOND;
    rekey.network.refuses = Some(Box::new(move |now, transmit| {
        let is_refused = now < open_at && transmit.destination.ip().is_multicast();
        is_refused.then_some(NotSent::Unreported)
    }));
    rekey.network.pass(5 * SECOND);
    rekey.network.restart();
    let group = rekey.group.clone();
    rekey.network.pass(DELIVERED);
    assert!(laggards(&rekey.network, &group).is_empty());
    let stored = rekey.network.stored();
    assert!(!stored.keys().any(|table| table.name() == "push"), "no record stays: {stored:?}");
    assert_eq!(rekey.pulls() - rekey.before, 0, "nobody has to pull");
    judge(&rekey.network, &rekey.group, &[]).acquit();
}
