//! Members in doubt: what anybody can send makes them ask whether their keys are in force, and fetch nothing while these are.
//!
//! ```text
//!                                          <==   GROUPKEY-PUSH or ESP under cookies or an SPI that nobody has
//! HDR, HASH, LEASE { nonce, group: keys? }   -->
//!                                          <--   HDR, HASH, LEASE { nonce, group: in force | behind }
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use claviger_crypto::{
    SeededRandom, provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gcks::RekeyWhat;
use claviger_gdoi::{
    Counter as GdoiCounter,
    error::AuthError,
    push::{self, Push},
    wire::Delete,
};
use claviger_group::{GroupId, GroupPolicy, Role, policy::LeasePolicy};
use claviger_isakmp::{
    iana::ExchangeType,
    limits::{DECRYPTION_INTERVAL, DECRYPTIONS_BURST},
    wire::header,
};
use claviger_member::{Event, event::PullReason};
use claviger_sansio::{Datagram, Socket, Time};
use claviger_testkit::{
    judge::judge,
    network::{GDOI_PORT, Kind, Network, Origin, SERVER, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// A policy without leases, so that nobody asks unless it is in doubt.
fn unleased() -> GroupPolicy {
    let mut policy = policy(1);
    policy.lease = LeasePolicy::OFF;
    policy
}

fn network_of(seed: u64, policy: GroupPolicy, members: usize, role: Role) -> Network {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy);
    let places: Vec<usize> = (0..members).map(|_| network.add_member()).collect();
    for place in &places {
        network.join(*place, &market(), role);
    }
    network.until(120 * SECOND, |network| places.iter().all(|place| network.is_current(*place, &market())));
    network.pass(20 * SECOND);
    network
}

fn exchange_of(sent: &Sent) -> Option<ExchangeType> {
    let exchange = header::peek(&sent.octets).map(|(exchange, _)| exchange);
    exchange.filter(|_| sent.kind == Kind::Control(Socket::Port848))
}

/// Counts the messages of an exchange that members have sent since a mark.
fn sent_since(network: &Network, mark: usize, exchange: ExchangeType) -> usize {
    let by_members = network.wire[mark..].iter().filter(|sent| sent.origin != Origin::Server);
    by_members.filter(|sent| exchange_of(sent) == Some(exchange)).count()
}

fn pulls(network: &Network) -> u64 {
    network.members.iter().map(|node| node.member.subscription(&market()).unwrap().pulls()).sum()
}

fn sender_ids(network: &Network) -> BTreeMap<String, Vec<u32>> {
    let hosts = network.server.hosts(network.now, &market()).unwrap().into_iter();
    hosts.map(|host| (format!("{:?}", host.host), host.sender_ids)).collect()
}

/// Has an outsider send a header of a GROUPKEY-PUSH to where the group hears those, under cookies that nobody has.
fn forge(network: &mut Network, number: u32) {
    let places = network.members[0].member.subscription(&market()).unwrap().places().unwrap();
    let mut octets = vec![0; 60];
    octets[..4].copy_from_slice(&(0xdead_0000 + number).to_be_bytes());
    (octets[8], octets[16], octets[17]) = (1, 14, 0x10);
    (octets[18], octets[19]) = (ExchangeType::GROUPKEY_PUSH.0, 1);
    octets[24..28].copy_from_slice(&60u32.to_be_bytes());
    let source = SocketAddr::from(([203, 0, 113, 66], 999));
    network.fly(Origin::Server, source, Kind::Control(Socket::Port848), places.push.unwrap(), octets);
}

/// One datagram of 60 octets made 60 members fetch their keys: 240 datagrams, and an answer that is much longer.
#[test]
fn one_forged_datagram_makes_nobody_pull() {
    let mut network = network_of(1, unleased(), 60, Role::Receiver);
    let (before, mark) = (pulls(&network), network.wire.len());
    forge(&mut network, 1);
    network.pass(5 * SECOND);
    assert_eq!(pulls(&network), before);
    assert_eq!(sent_since(&network, mark, ExchangeType::LEASE), 60, "each has asked once");
    let asked = network.wire[mark..].iter().filter(|sent| exchange_of(sent) == Some(ExchangeType::LEASE));
    let times: Vec<Time> = asked.map(|sent| sent.at).collect();
    assert!(times[times.len() - 1].since(times[0]) > SECOND, "not at once");
    let octets: usize = network.wire[mark + 1..].iter().map(|sent| sent.octets.len()).sum();
    println!("1 forged datagram of 60 octets: {} datagrams, {octets} octets", network.wire.len() - mark - 1);
}

/// An outsider had each sender fetch its keys, and spend a sender id, again and again, until the group started over.
#[test]
fn a_forged_datagram_a_second_deletes_no_sa_and_spends_no_sender_id() {
    let mut policy = unleased();
    policy.data.sender_id_bits = 8;
    let mut network = network_of(2, policy, 40, Role::Both);
    let (before, ids) = (pulls(&network), sender_ids(&network));
    for second in 0..600 {
        forge(&mut network, second);
        network.pass(SECOND);
        network.wire.clear();
    }
    assert_eq!(pulls(&network), before);
    assert_eq!(sender_ids(&network), ids);
    let deleted = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::Deleted, .. });
    assert!(network.members.iter().all(|node| node.count(deleted) == 0));
}

//                                          <==   GROUPKEY-PUSH { SA KEK }, { SA TEK }    lost
//                                          <==   ESP under the new TEK
// LEASE { keys? }                            -->
//                                          <--   LEASE { behind }
// PULL 1, 3 { SENDER_ID_REQUEST 0 }          -->
//                                          <--   PULL 2, 4
#[test]
fn a_member_that_is_told_that_it_is_behind_pulls_and_keeps_its_sender_ids() {
    let mut network = network_of(3, unleased(), 3, Role::Both);
    let (ids, deaf) = (sender_ids(&network), 1);
    assert!(ids.values().all(|ids| !ids.is_empty()));
    network.hears = Some(Box::new(move |place, sent| {
        place != deaf || exchange_of(sent) != Some(ExchangeType::GROUPKEY_PUSH)
    }));
    network.server.rekey(network.now, &market(), RekeyWhat::Kek).unwrap();
    network.settle();
    network.pass(SECOND);
    network.server.rekey(network.now, &market(), RekeyWhat::Tek).unwrap();
    network.settle();
    let began = network.now;
    while !network.is_current(deaf, &market()) {
        network.pass(Duration::from_millis(500));
        let _ = network.send(0, &market(), b"data");
        assert!(network.now.since(began) < 8 * SECOND);
    }
    let behind = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::Behind, .. });
    assert_eq!(network.members[deaf].count(behind), 1);
    assert_eq!(sender_ids(&network), ids);
    network.pass(2 * SECOND);
    network.send(deaf, &market(), b"here again").unwrap();
    network.pass(SECOND);
    judge(&network, &market(), &[]).acquit();
}

/// A key server that is older, or another's, does not answer.
#[test]
fn where_no_question_is_answered_members_in_doubt_pull_and_not_all_the_time() {
    let mut network = network_of(4, unleased(), 20, Role::Receiver);
    network.passes = Some(Box::new(|sent| exchange_of(sent) != Some(ExchangeType::LEASE)));
    let before = pulls(&network);
    let reason = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::UnknownRekeySa, .. });
    forge(&mut network, 0);
    network.pass(10 * SECOND);
    assert_eq!(pulls(&network) - before, 20);
    assert!(network.members.iter().all(|node| node.count(reason) == 1));
    let mark = network.wire.len();
    for second in 1..300 {
        forge(&mut network, second);
        network.pass(SECOND);
    }
    assert_eq!(sent_since(&network, mark, ExchangeType::LEASE), 0, "it is not asked in vain again at once");
    assert!((60..=200).contains(&(pulls(&network) - before)), "{}", pulls(&network) - before);
}

/// An insider knows the KEK, and had every member verify as many signatures as it liked.
#[test]
fn forged_pushes_of_an_insider_cost_few_verifications_and_the_rekey_is_followed_within_seconds() {
    const EACH_MILLISECOND: u64 = 60;
    // Not when another verification has just become due, by which a copy may get through.
    const REKEYED: u64 = 1_040;
    for (seed, source) in [(5, SERVER), (6, [203, 0, 113, 66].into())] {
        let mut network = network_of(seed, unleased(), 2, Role::Both);
        let victim = 0;
        let kek = network.members[victim].ledger(&market()).unwrap().rekeys.last().unwrap().kek.clone();
        let places = network.members[victim].member.subscription(&market()).unwrap().places().unwrap();
        let deletes = [Delete::AllTeks];
        let forged = Push { kek: &kek, sequence: 1_000, deletes: &deletes, sa: None, kd: None };
        let random = &mut SeededRandom::new(66);
        let forger = SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, random).unwrap();
        let forged = push::seal(provider(), &forged, &forger).unwrap();
        let datagram = Datagram {
            socket: Socket::Port848,
            source: (source, GDOI_PORT).into(),
            destination: places.push.unwrap(),
            payload: &forged,
        };
        let (began, before) = (network.now, pulls(&network));
        let mut current_at = None;
        for millisecond in 0..9_000 {
            let now = network.now;
            for _ in 0..EACH_MILLISECOND {
                assert!(network.members[victim].member.handle_datagram(now, datagram).is_err());
            }
            if millisecond == REKEYED {
                network.server.rekey(now, &market(), RekeyWhat::Tek).unwrap();
                network.settle();
            }
            network.pass(Duration::from_millis(1));
            if millisecond > REKEYED && network.is_current(victim, &market()) {
                current_at = Some(network.now);
                break;
            }
        }
        let took = current_at.expect("the rekey is followed").since(began);
        let counters = network.members[victim].member.counters();
        let verified = counters.gdoi[GdoiCounter::Auth(AuthError::Signature)];
        let most = u64::from(DECRYPTIONS_BURST) + (took.as_millis() / DECRYPTION_INTERVAL.as_millis()) as u64;
        assert!(verified <= most + 1, "{verified} verifications in {took:?}");
        if source == SERVER {
            println!("rekeyed after {REKEYED} ms, followed after {took:?}, {verified} verifications");
            assert_eq!(pulls(&network) - before, 1, "it asked, and was behind");
        } else {
            assert!(took < 1_100 * Duration::from_millis(1), "{took:?}");
            assert_eq!(pulls(&network), before, "who cannot forge the key server's address delays nothing");
        }
    }
}

/// Whoever sees the cookies of a member, and can send, kept it from its PULLs.
#[test]
fn a_pull_goes_through_within_two_seconds_under_junk_under_its_cookies() {
    for (seed, each_millisecond) in [(7, 1), (8, 10)] {
        let mut network = network_of(seed, unleased(), 2, Role::Both);
        let of_pulls = |sent: &&Sent| exchange_of(sent) == Some(ExchangeType::GROUPKEY_PULL);
        let by_victim = |sent: &&Sent| sent.origin == Origin::Member(0);
        let last = network.wire.iter().rev().filter(of_pulls).find(by_victim).unwrap();
        let genuine = last.octets.clone();
        let junk = |network: &mut Network, number: u32| {
            let mut octets = genuine.clone();
            octets[20..24].copy_from_slice(&(0x7000_0000 + number).to_be_bytes());
            // From the member's own address too: a limit by source would lock that out.
            let source = match number % 2 {
                0 => (network.members[0].address, GDOI_PORT).into(),
                _ => SocketAddr::from(([203, 0, 113, 5], 5_555)),
            };
            let kind = Kind::Control(Socket::Port848);
            network.fly(Origin::Server, source, kind, (SERVER, GDOI_PORT).into(), octets);
        };
        let mut sent = 0;
        for millisecond in 0..4_000 {
            for _ in 0..each_millisecond {
                sent += 1;
                junk(&mut network, sent);
            }
            if millisecond == 2_000 {
                let now = network.now;
                network.members[0].member.pull_now(now, &market());
                network.settle();
            }
            network.pass(Duration::from_millis(1));
        }
        let rekeyed = |event: &Event| matches!(event, Event::Rekeyed { .. });
        let last = network.members[0].member.subscription(&market()).unwrap().last_rekey().unwrap();
        assert!(network.members[0].count(rekeyed) > 1);
        assert!(network.now.since(last) < 2 * SECOND, "{} datagrams of junk", sent);
        let wrong = ["bad_hash", "malformed"].map(|reason| network.drops.get(reason).copied().unwrap_or(0));
        assert_eq!(wrong.iter().sum::<u32>(), sent, "junk costs a HASH and no more");
    }
}
