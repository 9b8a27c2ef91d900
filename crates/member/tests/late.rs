//! What comes late, or in the wrong order, or not at all.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use claviger_esp::Counter;
use claviger_gcks::{Event as ServerEvent, RekeyWhat};
use claviger_group::{GroupId, Role};
use claviger_member::{
    Event,
    event::{PullReason, Source},
};
use claviger_sansio::Socket;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Kind, Network, Origin, SERVER, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// Two members, both of whom send, at rest.
fn pair(seed: u64) -> (Network, [usize; 2]) {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    let places = [network.joined(&market(), Role::Both), network.joined(&market(), Role::Both)];
    network.pass(5 * SECOND);
    (network, places)
}

fn rekey(network: &mut Network, what: RekeyWhat) {
    network.server.rekey(network.now, &market(), what).unwrap();
    network.settle();
}

/// Shows a member data under an SPI that nobody issued, so that it pulls.
fn alarm(network: &mut Network, place: usize) {
    let places = network.members[place].member.subscription(&market()).unwrap().places().unwrap();
    let destination = SocketAddr::new(places.channel.group(), places.encapsulation_port);
    network.fly(Origin::Server, (SERVER, 4500).into(), Kind::Esp, destination, vec![0x5a; 64]);
}

/// Says whether a datagram is the key server's answer in a GROUPKEY-PULL with this member.
fn is_answer_to(sent: &Sent, address: std::net::Ipv4Addr) -> bool {
    sent.origin == Origin::Server
        && sent.kind == Kind::Control(Socket::Port848)
        && sent.destination.ip() == std::net::IpAddr::V4(address)
}

fn is_push(sent: &Sent) -> bool {
    sent.kind == Kind::Control(Socket::Port848) && sent.destination.ip().is_multicast()
}

//   PULL 3        -->
//       (lost)    <--   4 { TEK 1 }
//                 <==   GROUPKEY-PUSH { TEK 2 }
//   PULL 3 again  -->
//                 <--   4 { TEK 1 } again
#[test]
fn an_answer_that_a_push_has_overtaken_takes_nothing_back() {
    for what in [RekeyWhat::Tek, RekeyWhat::Kek] {
        let (mut network, [place, _]) = pair(1);
        let address = network.members[place].address;
        let mut answers = 0;
        network.passes = Some(Box::new(move |sent| {
            answers += usize::from(is_answer_to(sent, address));
            !(is_answer_to(sent, address) && answers == 2)
        }));
        let pulling =
            |network: &Network| network.wire.iter().filter(|sent| is_answer_to(sent, address)).count();
        let before = pulling(&network);
        let now = network.now;
        network.members[place].member.pull_now(now, &market());
        network.settle();
        network.until(5 * SECOND, |network| pulling(network) == before + 2);
        rekey(&mut network, what);
        network.until(SECOND, |network| network.is_current(place, &market()));
        let end = network.now + 10 * SECOND;
        while network.step_before(end) {
            assert!(network.is_current(place, &market()), "{what:?} at {}", network.now);
        }
        assert!(pulling(&network) >= before + 5, "it pulled again");
    }
}

//                 <==   GROUPKEY-PUSH { SA KEK }, { D, SA TEK }       lost
//   PULL 1        -->   2.6 s of the activation delay remain
//       (lost)    <--   2
//   PULL 1 again  -->
//                 <--   2 again, as it was
#[test]
fn a_sender_whose_pull_took_long_changes_over_with_the_others() {
    let mut network = Network::new(9);
    let mut slow = policy(1);
    (slow.times.activation_delay, slow.times.deactivation_delay) = (3 * SECOND, 8 * SECOND);
    network.add_group(&market(), slow);
    let [sender, evicted, _] = [(); 3].map(|()| network.joined(&market(), Role::Both));
    network.pass(10 * SECOND);
    network.members[sender].connected = false;
    let id = network.members[evicted].id();
    network.server.evict(network.now, &market(), &id).unwrap();
    network.settle();
    network.pass(SECOND * 2 / 5);
    network.members[sender].connected = true;
    let (address, lost_until) = (network.members[sender].address, network.now + SECOND * 6 / 5);
    network.passes = Some(Box::new(move |sent| !is_answer_to(sent, address) || sent.at > lost_until));
    let now = network.now;
    network.members[sender].member.pull_now(now, &market());
    network.settle();
    for _ in 0..100 {
        send_if_possible(&mut network, sender);
        network.pass(Duration::from_millis(50));
    }
    assert!(network.is_current(sender, &market()));
    let deaf_at = network.told.iter().rev().find_map(|(_, event)| match event {
        ServerEvent::Departed { deaf_at, .. } => Some(*deaf_at),
        _ => None,
    });
    let deaf_at = deaf_at.unwrap();
    assert!(deaf_at > lost_until);
    let data = network.data(&market());
    let spi_of = |sent: &&Sent| sent.octets[..4].to_vec();
    let (old, late) = (data.first().map(spi_of), data.iter().filter(|sent| sent.at > deaf_at));
    let late: BTreeSet<Vec<u8>> = late.map(spi_of).collect();
    assert_eq!(late.len(), 1, "data flows again");
    assert!(!late.contains(&old.unwrap()), "nothing is sent under the old TEK when the evicted one is deaf");
    judge(&network, &market(), &[]).acquit();
}

/// Has a member send a payload unless it has no TEK that it may use now; says whether it sent.
fn send_if_possible(network: &mut Network, member: usize) -> bool {
    let sent = network.send(member, &market(), b"data");
    if let Err(error) = &sent {
        assert_eq!(error.reason(), claviger_esp::Error::NotActive.reason());
    }
    sent.is_ok()
}

/// Has `sender` send for four seconds, with a step in between; nothing of it is unknown to `receiver`.
///
/// A receiver that hears one copy of a TEK's message, be it the last one, can open what senders send under that TEK.
fn sends_what_is_known(
    network: &mut Network,
    sender: usize,
    receiver: usize,
    step: impl Fn(&mut Network, u32),
) {
    let before = network.members[receiver].received.len();
    let mut sent = 0;
    for millisecond in (0..4000).step_by(10) {
        step(network, millisecond);
        sent += usize::from(send_if_possible(network, sender));
        network.pass(Duration::from_millis(10));
    }
    assert!(send_if_possible(network, sender), "the pause is over");
    network.pass(SECOND);
    let counted = |network: &Network, member: usize, counter: Counter| {
        network.members[member].plane.counts(&market()).unwrap()[counter] as usize
    };
    assert_eq!(counted(network, receiver, Counter::UnknownSpi), 0);
    assert_eq!(network.members[receiver].received.len() - before, sent + 1, "all arrived");
    assert_eq!(counted(network, sender, Counter::NotActive), 400 - sent, "what was not sent is counted");
    assert!(network.is_current(sender, &market()) && network.is_current(receiver, &market()));
}

//   PULL 1        -->                                  lost, and again
//                 <==   GROUPKEY-PUSH { D, SA TEK 2 }  the last of three copies is the first to be heard
//   PULL 1 again  -->
//                 <--   2, 3, 4 { TEK 2 }              before that copy
#[test]
fn a_sender_whose_pull_took_long_does_not_use_a_tek_that_others_are_still_to_hear() {
    let (mut network, [sender, receiver]) = pair(10);
    let (begun, rekeyed) = (network.now, 1490);
    let heard_from = begun + Duration::from_millis(rekeyed + 90);
    network.passes = Some(Box::new(move |sent| match sent.origin {
        Origin::Member(member) => {
            let is_lost = sent.kind != Kind::Esp && sent.at < begun + SECOND;
            member != sender || !is_lost
        }
        Origin::Server => !is_push(sent) || sent.at >= heard_from,
    }));
    sends_what_is_known(&mut network, sender, receiver, |network, millisecond| {
        if millisecond == 0 {
            let now = network.now;
            network.members[sender].member.pull_now(now, &market());
            network.settle();
        }
        if u64::from(millisecond) == rekeyed {
            rekey(network, RekeyWhat::Tek);
        }
    });
    assert_eq!(network.members[sender].member.subscription(&market()).unwrap().pulls(), 2);
}

//                 <==   GROUPKEY-PUSH { D, SA TEK 2 }  stored; the server is killed before a copy leaves
//   PULL          <->   started again: 4 { TEK 2 }
//                 <==   GROUPKEY-PUSH { D, SA TEK 2 }  the last of three copies is the first to be heard
#[test]
fn a_restarted_server_says_that_others_are_still_to_hear_a_tek() {
    let (mut network, [sender, receiver]) = pair(11);
    network.passes = Some(Box::new(|sent| !is_push(sent)));
    rekey(&mut network, RekeyWhat::Tek);
    network.running = false;
    network.pass(5 * SECOND);
    network.running = true;
    let heard_from = network.now + Duration::from_millis(90);
    network.passes = Some(Box::new(move |sent| !is_push(sent) || sent.at >= heard_from));
    network.restart();
    sends_what_is_known(&mut network, sender, receiver, |network, millisecond| {
        if millisecond == 0 {
            let now = network.now;
            network.members[sender].member.pull_now(now, &market());
            network.settle();
        }
    });
}

//   <==   GROUPKEY-PUSH { SA KEK }             heard
//   <==   GROUPKEY-PUSH { D, SA TEK }          lost, all three of it
#[test]
fn a_tek_that_was_lost_behind_its_kek_is_fetched_without_a_sign_of_data() {
    let (mut network, [place, other]) = pair(2);
    let mut pushes = 0;
    // The KEK's three copies pass, the TEK's do not.
    network.passes = Some(Box::new(move |sent| {
        pushes += usize::from(is_push(sent));
        !is_push(sent) || pushes <= 3
    }));
    let joiner = network.add_member();
    network.join(joiner, &market(), Role::Receiver);
    network.pass(5 * SECOND);
    assert!(network.is_current(place, &market()) && network.is_current(other, &market()));
    let by_pull = |event: &Event| matches!(event, Event::Rekeyed { by: Source::Pull, .. });
    assert_eq!(network.members[place].count(by_pull), 2);
}

//   <==   GROUPKEY-PUSH { D, SA TEK 2 }, number n       lost, all three of it
//   <==   GROUPKEY-PUSH { SA KEK },      number n + 1   heard: a gap
#[test]
fn a_gap_is_not_forgotten_because_a_kek_came_behind_it() {
    let (mut network, [place, _]) = pair(3);
    network.passes = Some(Box::new(|sent| !is_push(sent)));
    rekey(&mut network, RekeyWhat::Tek);
    network.pass(SECOND);
    network.passes = None;
    assert!(!network.is_current(place, &market()));
    rekey(&mut network, RekeyWhat::Kek);
    network.pass(5 * SECOND);
    assert!(network.is_current(place, &market()));
    let gap = |event: &Event| matches!(event, Event::PullAgain { reason: PullReason::SequenceGap, .. });
    assert_eq!(network.members[place].count(gap), 1);
}

//   <==   GROUPKEY-PUSH { D, SA TEK 2 }    lost, all three of it
//   <==   GROUPKEY-PUSH { D, SA TEK 3 }    heard: a gap, and a PULL while others still send under TEK 2
#[test]
fn an_older_tek_that_comes_by_pull_is_never_sent_under() {
    let mut network = Network::new(7);
    let mut slow = policy(1);
    slow.times.activation_delay = 10 * SECOND;
    slow.times.deactivation_delay = 20 * SECOND;
    network.add_group(&market(), slow);
    let place = network.joined(&market(), Role::Both);
    network.joined(&market(), Role::Both);
    network.pass(30 * SECOND);
    network.members[place].connected = false;
    rekey(&mut network, RekeyWhat::Tek);
    network.pass(SECOND);
    network.members[place].connected = true;
    rekey(&mut network, RekeyWhat::Tek);
    network.pass(5 * SECOND);
    let subscription = network.members[place].member.subscription(&market()).unwrap();
    let held = network.members[place].plane.status(&market());
    assert_eq!((subscription.pulls(), held.len()), (2, 3), "TEK 2 came, to receive");
    network.pass(10 * SECOND);
    let newest = network.server.group(network.now, &market()).unwrap().teks.last().unwrap().spi;
    network.send(place, &market(), b"under the newest").unwrap();
    let sent = network.data(&market()).last().unwrap().octets.clone();
    assert_eq!(sent[..4], newest.as_u32().to_be_bytes());
    network.pass(20 * SECOND);
    assert_eq!(network.members[place].plane.status(&market()).len(), 1);
}

//   <==   GROUPKEY-PUSH { D(all TEKs), D(all KEKs) }    missed by one sender
//   PULL 1..4 { SID }                           <->     its new id was another's under the old TEK
#[test]
fn new_sender_ids_are_never_used_under_a_tek_from_before() {
    let mut network = Network::new(4);
    let group = market();
    let mut slow = policy(1);
    slow.data.sender_id_bits = 8;
    slow.times.activation_delay = 10 * SECOND;
    slow.times.deactivation_delay = 20 * SECOND;
    network.add_group(&group, slow);
    let steady = network.joined(&group, Role::Both);
    let mut current = network.joined(&group, Role::Both);
    network.pass(30 * SECOND);
    let kek = |network: &Network| network.server.group(network.now, &market()).unwrap().kek.unwrap().spi;
    let before = kek(&network);
    while kek(&network) == before {
        network.members[current].connected = false;
        let identity = network.members[current].identity.clone();
        current = network.add_member_as(identity);
        network.join(current, &group, Role::Both);
        // The one that is steady does not hear the end.
        network.members[steady].connected = network.members.len() < 250;
        network.reaches(SECOND, |network| network.is_keyed(current, &market()) || kek(network) != before);
        let _ = network.send(current, &group, b"one of many");
    }
    network.pass(Duration::from_millis(500));
    network.members[steady].connected = true;
    alarm(&mut network, steady);
    for _ in 0..200 {
        let _ = network.send(steady, &group, b"steady");
        network.pass(Duration::from_millis(100));
    }
    assert!(laggards(&network, &group).is_empty());
    judge(&network, &group, &[]).acquit();
}

#[test]
fn who_left_while_it_registered_can_come_back() {
    let mut network = Network::new(5);
    network.add_group(&market(), policy(1));
    let place = network.add_member();
    for milliseconds in 0..12 {
        network.join(place, &market(), Role::Both);
        network.pass(Duration::from_millis(milliseconds));
        let now = network.now;
        network.members[place].member.leave(now);
        network.settle();
        if milliseconds % 3 == 0 {
            network.pass(3 * SECOND);
        }
    }
    network.pass(61 * SECOND);
    network.join(place, &market(), Role::Both);
    network.until(10 * SECOND, |network| network.is_current(place, &market()));
    network.pass(60 * SECOND);
    assert!(network.is_current(place, &market()));
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 1);
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn a_joiner_whose_answer_was_late_makes_sure() {
    let (mut network, _) = pair(6);
    let joiner = network.add_member();
    let address = network.members[joiner].address;
    let mut answers = 0;
    network.passes = Some(Box::new(move |sent| {
        answers += usize::from(is_answer_to(sent, address));
        !(is_answer_to(sent, address) && (2..=3).contains(&answers))
    }));
    network.join(joiner, &market(), Role::Receiver);
    network.pass(SECOND);
    assert!(!network.is_keyed(joiner, &market()));
    // The others have newer keys before the joiner has its first, and all is quiet afterwards.
    rekey(&mut network, RekeyWhat::Tek);
    network.until(5 * SECOND, |network| network.is_keyed(joiner, &market()));
    network.until(5 * SECOND, |network| network.is_current(joiner, &market()));
}
