//! Another data plane than the product's: one that records what it is told.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{cell::RefCell, rc::Rc, time::Duration};

use claviger_gcks::RekeyWhat;
use claviger_group::{DataSa, GroupId, PlaneCommand, PlaneEvent, Role, Spi};
use claviger_member::{
    Event,
    event::{PolicyFault, PullReason, Refusal},
};
use claviger_sansio::Time;
use claviger_testkit::network::{Network, group_id, policy};

const SECOND: Duration = Duration::from_secs(1);

const ACTIVATION: Duration = Duration::from_secs(3);

const DEACTIVATION: Duration = Duration::from_secs(8);

fn market() -> GroupId {
    group_id("market")
}

/// What the plane was told, and when. It protects nothing.
#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Vec<(Time, PlaneCommand)>>>);

impl Recorder {
    /// Takes what was told since the last call.
    fn take(&self) -> Vec<(Time, PlaneCommand)> {
        std::mem::take(&mut *self.0.borrow_mut())
    }
}

/// A member of the market whose data plane is a recorder, beside one that sends as others do.
fn recorded(role: Role) -> (Network, usize, Recorder) {
    let mut network = Network::new(71);
    let mut slow = policy(1);
    (slow.times.activation_delay, slow.times.deactivation_delay) = (ACTIVATION, DEACTIVATION);
    network.add_group(&market(), slow);
    network.joined(&market(), Role::Both);
    network.pass(20 * SECOND);
    let (place, recorder) = (network.add_member(), Recorder::default());
    let written = recorder.clone();
    network.members[place].other_plane = Some(Box::new(move |now, group, command| {
        assert_eq!(*group, market());
        written.0.borrow_mut().push((now, command));
    }));
    network.join(place, &market(), role);
    network.until(30 * SECOND, |network| network.is_keyed(place, &market()));
    (network, place, recorder)
}

/// Names the commands.
fn words(commands: &[(Time, PlaneCommand)]) -> Vec<&'static str> {
    let word = |(_, command): &(Time, PlaneCommand)| match command {
        PlaneCommand::Open { .. } => "open",
        PlaneCommand::Install(_) => "install",
        PlaneCommand::Activate { .. } => "activate",
        PlaneCommand::Deactivate { .. } => "deactivate",
        PlaneCommand::Lease(_) => "lease",
        PlaneCommand::Narrow(_) => "narrow",
        PlaneCommand::DeleteAll => "delete all",
        PlaneCommand::Close => "close",
    };
    commands.iter().map(word).collect()
}

fn installed(commands: &[(Time, PlaneCommand)]) -> Vec<&DataSa> {
    let mut sas = Vec::new();
    for (_, command) in commands {
        match command {
            PlaneCommand::Install(sa) => sas.push(sa),
            PlaneCommand::Open { .. }
            | PlaneCommand::Activate { .. }
            | PlaneCommand::Deactivate { .. }
            | PlaneCommand::Lease(_)
            | PlaneCommand::Narrow(_)
            | PlaneCommand::DeleteAll
            | PlaneCommand::Close => {}
        }
    }
    sas
}

fn newest(network: &Network) -> Spi {
    network.server.newest_keys(&market()).unwrap().1
}

#[test]
fn a_first_pull_opens_installs_and_then_activates() {
    let (network, _, recorder) = recorded(Role::Both);
    let commands = recorder.take();
    assert_eq!(words(&commands), ["open", "lease", "install", "activate"]);
    let (at, ref open) = commands[0];
    assert!(matches!(open, PlaneCommand::Open { role: Role::Both, sender_id_bits: 16, .. }));
    let [DataSa { tek, expires, sender_ids }] = installed(&commands)[..] else { panic!("one SA") };
    assert_eq!((tek.spi, *expires), (newest(&network), at + tek.lifetime));
    assert_eq!(sender_ids.len(), 1);
    let PlaneCommand::Activate { spi, at: from, older_until } = commands[3].1 else { panic!("the last") };
    assert_eq!(spi, tek.spi);
    assert!(older_until <= from && from <= at + ACTIVATION && at <= from);
}

//   <==   GROUPKEY-PUSH { D(TEK 1), SA TEK 2 }
#[test]
fn a_push_ends_the_old_sa_behind_the_new_one_and_both_after_their_delays() {
    let (mut network, _, recorder) = recorded(Role::Both);
    network.pass(20 * SECOND);
    let old = newest(&network);
    recorder.take();
    network.server.rekey(network.now, &market(), RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(SECOND);
    let commands = recorder.take();
    assert_eq!(words(&commands), ["deactivate", "install", "activate"]);
    let (now, new) = (commands[0].0, newest(&network));
    assert!(commands.iter().all(|(at, _)| *at == now), "by one message");
    let [(_, deactivate), (_, install), (_, activate)] = &commands[..] else { panic!("three") };
    assert_eq!(*deactivate, PlaneCommand::Deactivate { spi: old, at: now + DEACTIVATION });
    let at = now + ACTIVATION;
    assert_eq!(*activate, PlaneCommand::Activate { spi: new, at, older_until: at });
    assert!(matches!(install, PlaneCommand::Install(sa) if sa.tek.spi == new && sa.expires > at));
    // The plane keeps the times: nothing is said when they come.
    network.pass(20 * SECOND);
    assert_eq!(words(&recorder.take()), [""; 0]);
}

#[test]
fn whoever_leaves_or_is_put_out_has_every_sa_deleted_at_once_and_is_told_of_none_any_more() {
    for leaves in [true, false] {
        let (mut network, place, recorder) = recorded(Role::Both);
        network.pass(20 * SECOND);
        recorder.take();
        let (now, host) = (network.now, network.members[place].id());
        if leaves {
            network.members[place].member.leave(now);
        } else {
            network.server.evict(now, &market(), &host).unwrap();
        }
        network.settle();
        network.pass(20 * SECOND);
        let commands = recorder.take();
        assert_eq!(words(&commands), ["close"], "leaves: {leaves}");
        let told = commands[0].0.since(now);
        assert!(if leaves { told.is_zero() } else { told < SECOND }, "{told:?}");
    }
}

#[test]
fn a_group_that_is_joined_again_is_closed_before_it_is_opened() {
    let (mut network, place, recorder) = recorded(Role::Both);
    network.pass(20 * SECOND);
    let now = network.now;
    network.members[place].member.leave(now);
    network.settle();
    network.pass(20 * SECOND);
    network.join(place, &market(), Role::Receiver);
    network.until(30 * SECOND, |network| network.is_keyed(place, &market()));
    let commands = recorder.take();
    let first = ["open", "lease", "install", "activate"];
    // A receiver needs no lease.
    let then = ["close", "open", "lease", "install", "activate"];
    assert_eq!(words(&commands), [&first[..], &then].concat());
    assert_eq!(commands[6].1, PlaneCommand::Lease(None));
    assert!(matches!(commands[5].1, PlaneCommand::Open { role: Role::Receiver, sender_id_bits: 16, .. }));
    assert!(installed(&commands)[1].sender_ids.is_empty());
}

#[test]
fn a_role_that_is_taken_narrows_the_plane_and_no_sender_id_comes_behind_it() {
    let (mut network, place, recorder) = recorded(Role::Both);
    network.pass(20 * SECOND);
    recorder.take();
    let host = network.members[place].id();
    network.server.allow(network.now, &market(), &host, Role::Receiver).unwrap();
    network.settle();
    network.pass(20 * SECOND);
    let commands = recorder.take();
    assert!(commands.iter().any(|(_, command)| *command == PlaneCommand::Narrow(Role::Receiver)));
    let narrowed = words(&commands).iter().position(|word| *word == "narrow").unwrap();
    assert!(installed(&commands[narrowed..]).iter().all(|sa| sa.sender_ids.is_empty()));
}

#[test]
fn what_a_plane_has_spent_makes_the_member_pull_again_and_what_it_does_not_know_only_ask() {
    for (event, reason) in [
        (PlaneEvent::UnknownSpi(0xdddd_dddd), None),
        (PlaneEvent::SenderIdSpent(Spi::new(300).unwrap()), Some(PullReason::SenderIdSpent)),
    ] {
        let (mut network, place, recorder) = recorded(Role::Both);
        network.pass(20 * SECOND);
        recorder.take();
        let now = network.now;
        network.members[place].member.handle_plane_event(now, &market(), event);
        network.settle();
        network.pass(5 * SECOND);
        let why = |event: &Event| match event {
            Event::PullAgain { reason, .. } => Some(*reason),
            _ => None,
        };
        assert_eq!(network.members[place].last(why), reason, "{event:?}");
        let told: &[&str] = match reason {
            // The answer renews its lease besides.
            None => &["lease"],
            Some(_) => &["lease", "install", "activate"],
        };
        assert_eq!(words(&recorder.take()), told, "{event:?}");
    }
}

#[test]
fn an_unknown_spi_before_a_newcomer_sends_is_the_old_tek_and_no_sign() {
    let (mut network, place, recorder) = recorded(Role::Both);
    let PlaneCommand::Activate { at, .. } = recorder.take()[3].1 else { panic!("the last") };
    assert!(at > network.now);
    let now = network.now;
    let event = PlaneEvent::UnknownSpi(0xdddd_dddd);
    network.members[place].member.handle_plane_event(now, &market(), event);
    network.settle();
    network.pass(10 * SECOND);
    assert_eq!(network.members[place].count(|event| matches!(event, Event::PullAgain { .. })), 0);
}

#[test]
fn a_group_whose_keys_the_plane_does_not_take_is_given_up() {
    let (mut network, place, recorder) = recorded(Role::Both);
    let spi = installed(&recorder.take())[0].tek.spi;
    let now = network.now;
    network.members[place].member.handle_plane_event(now, &market(), PlaneEvent::Refused(spi));
    network.settle();
    let refused = Event::Refused { group: market(), refusal: Refusal::Policy(PolicyFault::DataPlane) };
    assert_eq!(network.members[place].count(|event| *event == refused), 1);
    assert_eq!(words(&recorder.take()), ["close"]);
}

#[test]
fn an_sa_of_a_push_that_the_plane_does_not_take_is_pulled() {
    let (mut network, place, recorder) = recorded(Role::Both);
    network.pass(20 * SECOND);
    network.server.rekey(network.now, &market(), RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(SECOND);
    recorder.take();
    let (now, event) = (network.now, PlaneEvent::Refused(newest(&network)));
    network.members[place].member.handle_plane_event(now, &market(), event);
    network.settle();
    network.pass(5 * SECOND);
    assert_eq!(network.members[place].count(|event| matches!(event, Event::PullAgain { .. })), 1);
    assert!(words(&recorder.take()).contains(&"install"));
}

#[test]
fn commands_print_nothing_of_the_keys_in_them() {
    let (_network, _, recorder) = recorded(Role::Both);
    let commands = recorder.take();
    let keys = &installed(&commands)[0].tek.keys;
    let octets = &keys.encryption.expose()[..4];
    let list = format!("{octets:?}");
    let list = list.trim_matches(['[', ']']);
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    for printed in [format!("{commands:?}"), format!("{commands:#?}")] {
        let printed = printed.to_lowercase();
        assert!(printed.contains("secretbytes(..)"), "{printed}");
        for secret in [list, &hex] {
            assert!(!printed.contains(secret), "{secret} is in {printed}");
        }
    }
}
