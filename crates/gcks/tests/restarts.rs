//! A key server killed in the middle of a GROUPKEY-PULL and started again: the member has its keys soon, by the one PULL
//! that it began. Members and server have the product's own timers.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{cell::Cell, net::IpAddr, rc::Rc, time::Duration};

use claviger_group::{GroupId, GroupPlace, GroupPolicy, KekManagement, PushAuthentication, Role};
use claviger_member::Event;
use claviger_sansio::{Socket, Time};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{GDOI_PORT, Kind, Network, Origin, Sent, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

/// How long the server is away: it is started again at once, and reads its store.
const AWAY: Duration = Duration::from_millis(300);

/// What a kill may cost a member, counted from the kill.
const COST_MAX: Duration = Duration::from_secs(2);

fn market() -> GroupId {
    group_id("market")
}

/// Groups of all kinds that a PULL differs in.
fn policies() -> Vec<GroupPolicy> {
    let (plain, mut numbered, mut placed, mut gathering) = (policy(1), policy(1), policy(1), policy(1));
    numbered.rekey.management = KekManagement::Lkh32;
    placed.rekey.management = KekManagement::Lkh32;
    placed.rekey.authentication = PushAuthentication::Batch;
    let push_address = IpAddr::from([239, 192, 2, 1]);
    placed.tree.places =
        vec![GroupPlace { prefix: "198.18.0.0/16".parse().unwrap(), push_address, members: 16 }];
    gathering.rekey.batch_interval = SECOND / 5;
    vec![plain, numbered, placed, gathering]
}

/// Two members at rest.
fn begin(policy: GroupPolicy) -> Network {
    let mut network = Network::new(31);
    network.add_group(&market(), policy);
    for _ in 0..2 {
        network.joined(&market(), Role::Both);
    }
    network.pass(20 * SECOND);
    network
}

/// Where in the PULL of a member the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instant {
    /// Message 1 is on the wire.
    Asked,
    /// Message 2 is on the wire.
    Offered,
    /// Message 3 is on the wire.
    Accepted,
    /// What message 3 changes is stored, and nothing that rests on it has left.
    Committed,
    /// Message 4 has left, and is lost.
    Downloaded,
}

/// Counts the messages of a member's PULL in either direction, and says when the server is to be killed.
fn watch(network: &mut Network, member: usize, instant: Instant) -> Rc<Cell<bool>> {
    let address = network.members[member].address;
    let (reached, seen) = (Rc::new(Cell::new(false)), Cell::new((0, 0)));
    let dies = Rc::clone(&reached);
    network.passes = Some(Box::new(move |sent: &Sent| {
        if sent.kind != Kind::Control(Socket::Port848) {
            return true;
        }
        if dies.get() && sent.origin == Origin::Server {
            return false;
        }
        let (mut questions, mut answers) = seen.get();
        questions += u32::from(sent.origin == Origin::Member(member) && sent.destination.port() == GDOI_PORT);
        answers += u32::from(sent.origin == Origin::Server && sent.destination.ip() == IpAddr::V4(address));
        // Whatever rests on message 3 leaves behind its commit: the PUSHes, in no order with message 4.
        let rests_on_3 = questions == 2 && sent.origin == Origin::Server;
        seen.set((questions, answers));
        let passes = match instant {
            Instant::Asked => questions == 0,
            Instant::Offered => answers == 0,
            Instant::Accepted => questions < 2,
            Instant::Committed => !rests_on_3,
            Instant::Downloaded => answers < 2,
        };
        dies.set(dies.get() || !passes);
        // Message 2 arrives; anything else is lost with the server.
        passes || instant == Instant::Offered
    }));
    reached
}

struct Killed {
    at: Time,
    keyed: Time,
}

/// Has a member pull, kills the server at an instant of that, and waits until the member has its keys.
fn kill_at(
    network: &mut Network,
    member: usize,
    instant: Instant,
    begin: impl FnOnce(&mut Network),
) -> Killed {
    let pulls = |network: &Network| {
        network.members[member].member.subscription(&market()).map_or(0, |group| group.pulls())
    };
    let before = pulls(network);
    let reached = watch(network, member, instant);
    begin(network);
    network.until(10 * SECOND, |_| reached.get());
    let at = network.now;
    network.running = false;
    network.pass(AWAY);
    network.passes = None;
    network.running = true;
    network.restart();
    network.until(40 * SECOND, |network| pulls(network) > before);
    let again = |event: &Event| matches!(event, Event::PullAgain { .. });
    assert_eq!(network.members[member].count(again), 0, "it did not have to begin anew: {instant:?}");
    Killed { at, keyed: network.now }
}

const INSTANTS: [Instant; 5] =
    [Instant::Asked, Instant::Offered, Instant::Accepted, Instant::Committed, Instant::Downloaded];

fn acquit(network: &mut Network) {
    network.until(5 * SECOND, |network| laggards(network, &market()).is_empty());
    // A newcomer sends when the others have changed over to its first TEK.
    network.pass(2 * SECOND);
    for member in 0..network.members.len() {
        network.send(member, &market(), b"after the kill").unwrap();
    }
    network.pass(10 * SECOND);
    for member in &network.members {
        let heard = member.received.iter().filter(|(_, payload)| payload == b"after the kill").count();
        assert_eq!(heard, network.members.len() - 1);
    }
    judge(network, &market(), &[]).acquit();
}

#[test]
fn a_kill_anywhere_in_the_pull_of_a_newcomer_costs_it_two_seconds_at_most() {
    for policy in policies() {
        for instant in INSTANTS {
            let mut network = begin(policy.clone());
            let newcomer = network.add_member();
            let Killed { at, keyed } = kill_at(&mut network, newcomer, instant, |network| {
                network.join(newcomer, &market(), Role::Both);
            });
            assert!(keyed.since(at) <= COST_MAX, "{instant:?} of {policy:?}: {:?}", keyed.since(at));
            acquit(&mut network);
        }
    }
}

#[test]
fn a_kill_anywhere_in_the_pull_of_a_member_costs_it_two_seconds_at_most() {
    for policy in policies() {
        for instant in INSTANTS {
            let mut network = begin(policy.clone());
            let Killed { at, keyed } = kill_at(&mut network, 1, instant, |network| {
                let now = network.now;
                network.members[1].member.pull_now(now, &market());
                network.settle();
            });
            assert!(keyed.since(at) <= COST_MAX, "{instant:?} of {policy:?}: {:?}", keyed.since(at));
            acquit(&mut network);
        }
    }
}

// Before message 3 nothing was allocated. Behind its commit nobody knows whether the ids are in use.
#[test]
fn a_kill_before_message_3_takes_no_sender_id() {
    let ids = |instant: Option<Instant>| {
        let mut network = begin(policy(1));
        let newcomer = network.add_member();
        let join = |network: &mut Network| network.join(newcomer, &market(), Role::Both);
        if let Some(instant) = instant {
            kill_at(&mut network, newcomer, instant, join);
        } else {
            join(&mut network);
            network.until(SECOND, |network| network.is_keyed(newcomer, &market()));
        }
        let id = network.members[newcomer].id();
        let hosts = network.server.hosts(network.now, &market()).unwrap();
        hosts.into_iter().find(|host| host.host == id).unwrap().sender_ids
    };
    let undisturbed = ids(None);
    for instant in [Instant::Asked, Instant::Offered, Instant::Accepted] {
        assert_eq!(ids(Some(instant)), undisturbed, "{instant:?}");
    }
    for instant in [Instant::Committed, Instant::Downloaded] {
        assert_eq!(ids(Some(instant)), [undisturbed[0] + 1], "{instant:?}");
    }
}
