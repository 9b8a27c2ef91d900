//! A role that is taken away, in part or whole, and given back.
//!
//! ```text
//! claviger member allow HIT --role receiver
//!                 <--   UPDATE { SEQ, MCAST_CHANNEL(receiver, lifetime 0, 203), REG_RESPONSE(201, 0) }
//! UPDATE { ACK }  -->
//!                 <==   GROUPKEY-PUSH { D(old TEK), SA TEK }
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::{
    Admittance, CommandError, Event as ServerEvent, RekeyWhat, event::RefusalReason, view::HostView,
};
use claviger_group::{GroupId, MemberId, Role};
use claviger_member::Event;
use claviger_testkit::{
    judge::judge,
    network::{Network, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// A network with the group `market`, a listener in it, and a member that joined in a role.
fn network(seed: u64, role: Role) -> (Network, usize, usize) {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    let listener = network.joined(&market(), Role::Receiver);
    let member = network.joined(&market(), role);
    network.pass(3 * SECOND);
    (network, listener, member)
}

/// Changes what the list allows a member; what follows is not delivered yet.
fn allow(network: &mut Network, member: usize, role: Role) {
    let id = network.members[member].id();
    network.server.allow(network.now, &market(), &id, role).unwrap();
    network.settle();
    agree(network);
}

/// The list of members and the group's own count say the same of who may send, and only senders have sender ids.
fn agree(network: &Network) {
    let group = network.server.group(network.now, &market()).unwrap();
    let hosts = network.server.hosts(network.now, &market()).unwrap();
    let sends = |host: &&HostView| host.role.is_some_and(Role::sends);
    assert_eq!(group.senders, hosts.iter().filter(sends).count(), "{hosts:?}");
    for host in &hosts {
        assert_eq!(host.role.is_some(), host.member_since.is_some(), "{host:?}");
        assert!(sends(&host) || host.sender_ids.is_empty(), "{host:?}");
        let granted = host.granted.map(|(role, _)| role);
        assert!(host.role.zip(granted).is_none_or(|(role, granted)| granted.covers(role)), "{host:?}");
    }
}

fn role_of(network: &Network, member: usize) -> Option<Role> {
    network.members[member].member.subscription(&market()).map(|subscription| subscription.role())
}

/// Lets time pass, and checks after each step that both views agree.
fn pass(network: &mut Network, duration: Duration) {
    let end = network.now + duration;
    while network.step_before(end) {
        agree(network);
    }
    network.now = end;
}

#[test]
fn a_sender_that_loses_the_role_stops_and_goes_on_receiving() {
    let (mut network, listener, demoted) = network(1, Role::Both);
    let group = market();
    let sender = network.joined(&group, Role::Sender);
    network.pass(3 * SECOND);
    network.send(demoted, &group, b"before").unwrap();
    network.pass(SECOND);
    let tek = network.server.group(network.now, &group).unwrap().teks.last().unwrap().spi;

    allow(&mut network, demoted, Role::Receiver);
    let view = network.server.group(network.now, &group).unwrap();
    assert_eq!(view.senders, 1, "the other one");
    assert_ne!(view.teks.last().unwrap().spi, tek, "the TEK is replaced at once");
    // The notice takes a millisecond.
    pass(&mut network, Duration::from_millis(5));
    assert!(network.send(demoted, &group, b"after").is_err());
    assert_eq!(role_of(&network, demoted), Some(Role::Receiver));
    assert_eq!(network.members[demoted].count(|event| matches!(event, Event::Evicted { .. })), 0);
    for _ in 0..5 {
        pass(&mut network, 3 * SECOND);
        assert!(network.is_current(demoted, &group), "it goes on receiving");
        assert!(network.send(demoted, &group, b"later").is_err());
        network.send(sender, &group, b"from another").unwrap();
        network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
        network.settle();
    }
    pass(&mut network, SECOND);
    let heard = |place: usize| network.members[place].received.iter().filter(|(_, p)| p == b"from another");
    assert_eq!((heard(demoted).count(), heard(listener).count()), (5, 5));
    judge(&network, &group, &[]).acquit();
}

#[test]
fn the_sender_ids_of_a_role_that_was_lost_are_nobodys() {
    let (mut network, _, demoted) = network(2, Role::Both);
    let group = market();
    let hosts = network.server.hosts(network.now, &group).unwrap();
    let id = network.members[demoted].id();
    let withdrawn = hosts.iter().find(|host| host.host == id).unwrap().sender_ids.clone();
    assert_eq!(withdrawn.len(), 1);
    allow(&mut network, demoted, Role::Receiver);
    for _ in 0..3 {
        network.joined(&group, Role::Both);
        agree(&network);
    }
    // It fetches its keys again, as a receiver.
    let now = network.now;
    network.members[demoted].member.pull_now(now, &group);
    network.settle();
    pass(&mut network, 3 * SECOND);
    let hosts = network.server.hosts(network.now, &group).unwrap();
    assert!(hosts.iter().all(|host| !host.sender_ids.contains(&withdrawn[0])), "{hosts:?}");
    assert!(network.send(demoted, &group, b"no id").is_err());
}

#[test]
fn a_role_narrowed_while_its_keys_wait_is_announced_and_costs_no_rekey() {
    let mut network = Network::new(3);
    let group = market();
    let mut batched = policy(1);
    batched.rekey.batch_interval = 2 * SECOND;
    network.add_group(&group, batched);
    let place = network.add_member();
    network.join(place, &group, Role::Both);
    network.pass(SECOND);
    let rekeys = |network: &Network| {
        network.told.iter().filter(|(_, event)| matches!(event, ServerEvent::Rekeyed(_))).count()
    };
    allow(&mut network, place, Role::Receiver);
    assert_eq!(rekeys(&network), 0);
    network.until(5 * SECOND, |n| n.is_keyed(place, &market()));
    agree(&network);
    assert_eq!(role_of(&network, place), Some(Role::Receiver));
    assert!(network.send(place, &group, b"no id").is_err());
    assert_eq!(rekeys(&network), 1, "its own joining");
}

#[test]
fn a_member_that_loses_receiving_goes_on_sending() {
    let (mut network, listener, member) = network(4, Role::Both);
    let group = market();
    let other = network.joined(&group, Role::Sender);
    network.pass(3 * SECOND);
    let tek = network.server.group(network.now, &group).unwrap().teks.last().unwrap().spi;
    allow(&mut network, member, Role::Sender);
    pass(&mut network, SECOND);
    let now_tek = network.server.group(network.now, &group).unwrap().teks.last().unwrap().spi;
    assert_eq!(now_tek, tek, "a sender holds the TEK all the same");
    assert_eq!(role_of(&network, member), Some(Role::Sender));
    network.send(member, &group, b"goes on").unwrap();
    network.send(other, &group, b"not for it").unwrap();
    pass(&mut network, SECOND);
    assert!(network.members[listener].received.iter().any(|(_, payload)| payload == b"goes on"));
    assert!(network.members[member].received.iter().all(|(_, payload)| payload != b"not for it"));
}

#[test]
fn a_role_that_is_given_back_is_asked_for_by_the_host() {
    let (mut network, _, member) = network(5, Role::Both);
    let group = market();
    allow(&mut network, member, Role::Receiver);
    pass(&mut network, 3 * SECOND);
    allow(&mut network, member, Role::Both);
    pass(&mut network, 10 * SECOND);
    assert_eq!(role_of(&network, member), Some(Role::Receiver), "it has not asked");
    assert!(network.send(member, &group, b"not yet").is_err());
    // The daemon is started again: the host asks anew.
    network.ask(member, &group, Role::Both);
    pass(&mut network, 10 * SECOND);
    network.send(member, &group, b"again").unwrap();
    judge(&network, &group, &[]).acquit();
}

#[test]
fn who_asks_for_the_role_that_it_lost_is_refused() {
    let (mut network, _, member) = network(6, Role::Both);
    let group = market();
    network.members[member].connected = false;
    allow(&mut network, member, Role::Receiver);
    // The notice is not acknowledged; the association is given up.
    pass(&mut network, 60 * SECOND);
    network.members[member].connected = true;
    network.ask(member, &group, Role::Both);
    pass(&mut network, 60 * SECOND);
    let refusals: Vec<_> = network.server.refused().map(|refusal| refusal.reason).collect();
    assert_eq!(refusals, [RefusalReason::RoleNotAuthorised]);
    assert!(!network.is_keyed(member, &group));
}

/// Takes the role away, with a restart before the `step`th step after that; says how many steps there were.
fn demotion_with_restart_at(step: usize) -> usize {
    let (mut network, listener, demoted) = network(7, Role::Both);
    let group = market();
    let id = network.members[demoted].id();
    network.server.allow(network.now, &group, &id, Role::Receiver).unwrap();
    network.settle();
    let end = network.now + 8 * SECOND;
    let mut steps = 0;
    while network.step_before(end) {
        if steps == step {
            network.restart();
        }
        agree(&network);
        steps += 1;
    }
    assert_eq!(role_of(&network, demoted), Some(Role::Receiver), "after a restart at step {step}");
    assert!(network.send(demoted, &group, b"no").is_err());
    for place in [listener, demoted] {
        assert!(network.is_current(place, &group), "after a restart at step {step}");
    }
    steps
}

#[test]
fn a_role_is_lost_whenever_the_key_server_is_killed() {
    let steps = demotion_with_restart_at(usize::MAX);
    assert!(steps > 8, "{steps}");
    for step in 0..steps {
        demotion_with_restart_at(step);
    }
}

#[test]
fn an_answer_with_sender_ids_that_comes_behind_the_notice_makes_no_sender() {
    let (mut network, _, demoted) = network(8, Role::Both);
    let group = market();
    let now = network.now;
    network.members[demoted].member.pull_now(now, &group);
    network.settle();
    // Messages 1 to 3; message 4 is on its way as the role is taken.
    network.pass(Duration::from_millis(3));
    allow(&mut network, demoted, Role::Receiver);
    pass(&mut network, 3 * SECOND);
    assert!(network.send(demoted, &group, b"no").is_err());
    assert!(network.is_current(demoted, &group));
}

#[test]
fn a_member_counts_as_a_sender_once_it_holds_the_keys_as_one() {
    let (mut network, _, member) = network(9, Role::Receiver);
    let group = market();
    let id = network.members[member].id();
    let view = |network: &Network| {
        let hosts = network.server.hosts(network.now, &market()).unwrap();
        let host = hosts.into_iter().find(|host| host.host == id).unwrap();
        let senders = network.server.group(network.now, &market()).unwrap().senders;
        (senders, host.granted.unwrap().0, host.role.unwrap())
    };
    network.server.allow(network.now, &group, &id, Role::Both).unwrap();
    network.ask(member, &group, Role::Both);
    network.until(10 * SECOND, |network| view(network).1 == Role::Both);
    assert_eq!(view(&network), (0, Role::Both, Role::Receiver), "its grant has come before its keys");
    agree(&network);
    pass(&mut network, 10 * SECOND);
    assert_eq!(view(&network), (1, Role::Both, Role::Both));
}

/// What the list says of who sends without a lease.
fn without_lease(network: &Network) -> Vec<MemberId> {
    let hosts = network.server.hosts(network.now, &market()).unwrap().into_iter();
    hosts.filter(|host| host.without_lease).map(|host| host.host).collect()
}

#[test]
fn who_may_send_without_a_lease_is_remembered_and_only_of_senders() {
    let (mut network, listener, member) = network(10, Role::Both);
    let (group, now) = (market(), network.now);
    let [listener, id] = [listener, member].map(|place| network.members[place].id());
    assert_eq!(without_lease(&network), [], "nobody by itself");
    let foreign = |role| Admittance { role, without_lease: true };
    network.server.allow(now, &group, &id, foreign(Role::Sender)).unwrap();
    network.settle();
    assert_eq!(without_lease(&network), std::slice::from_ref(&id));
    let error = network.server.allow(now, &group, &listener, foreign(Role::Receiver));
    assert_eq!(error, Err(CommandError::NoSender));
    network.restart();
    assert_eq!(without_lease(&network), std::slice::from_ref(&id));
    network.server.allow(network.now, &group, &id, Role::Sender).unwrap();
    network.settle();
    network.restart();
    assert_eq!(without_lease(&network), [], "allowed again without that");
}
