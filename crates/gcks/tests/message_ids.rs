//! M-IDs of GROUPKEY-PULLs: none is taken twice under the same cookies, whatever becomes of the key server.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use claviger_gcks::Gcks;
use claviger_group::{GroupId, Role};
use claviger_isakmp::{iana::ExchangeType, wire::Header};
use claviger_sansio::{Socket, durable::Table};
use claviger_testkit::network::{GDOI_PORT, Kind, Network, Origin, SERVER, group_id, policy};

const SECOND: Duration = Duration::from_secs(1);

/// How long a GROUPKEY-PULL may take.
const EXCHANGE: Duration = Duration::from_secs(60);

/// Somebody who never asked for anything.
const ELSEWHERE: ([u8; 4], u16) = ([198, 51, 100, 77], 848);

fn market() -> GroupId {
    group_id("market")
}

/// A group with two members, of which the first has pulled so many times.
fn begun(seed: u64, pulls: usize) -> Network {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    for _ in 0..2 {
        network.joined(&market(), Role::Both);
    }
    for _ in 0..pulls {
        network.pass(5 * SECOND);
        let now = network.now;
        network.members[0].member.pull_now(now, &market());
        network.settle();
    }
    network.pass(5 * SECOND);
    network
}

/// The first messages of all PULLs of a member.
fn first_messages(network: &Network, member: usize) -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let pulls = network
        .wire
        .iter()
        .filter(|sent| sent.origin == Origin::Member(member) && sent.kind == Kind::Control(Socket::Port848));
    let mut is_first = |octets: &Vec<u8>| {
        let header = Header::split(octets).map(|(header, _)| header);
        header.is_ok_and(|header| {
            header.exchange == ExchangeType::GROUPKEY_PULL && seen.insert((header.cookies, header.message_id))
        })
    };
    pulls.map(|sent| sent.octets.clone()).filter(|octets| is_first(octets)).collect()
}

/// Sends them again from elsewhere; returns how many datagrams went there.
fn replay(network: &mut Network, messages: &[Vec<u8>]) -> usize {
    let (mark, elsewhere) = (network.wire.len(), SocketAddr::from(ELSEWHERE));
    for message in messages {
        let server = (SERVER, GDOI_PORT).into();
        network.fly(Origin::Server, elsewhere, Kind::Control(Socket::Port848), server, message.clone());
        network.pass(SECOND / 100);
    }
    network.wire[mark..].iter().filter(|sent| sent.destination == elsewhere).count()
}

fn stored(network: &Network) -> usize {
    let table = |table: &Table| table.name() == "message-id";
    let table = Gcks::TABLES.into_iter().find(table).unwrap();
    network.stored().get(&table).copied().unwrap_or_default()
}

#[test]
fn a_first_message_that_was_recorded_is_not_answered_after_a_restart() {
    let mut network = begun(70, 20);
    network.pass(EXCHANGE);
    let recorded = first_messages(&network, 0);
    assert_eq!(recorded.len(), 21);
    for _ in 0..3 {
        network.restart();
        assert_eq!(replay(&mut network, &recorded), 0);
    }
    // Its own PULL finds nothing in its way.
    network.restart();
    let before = network.members[0].member.subscription(&market()).unwrap().pulls();
    let now = network.now;
    network.members[0].member.pull_now(now, &market());
    network.settle();
    network.pass(SECOND);
    assert_eq!(network.members[0].member.subscription(&market()).unwrap().pulls(), before + 1);
}

// Whoever awaits message 4 of a key server that was started again repeats message 1.
#[test]
fn an_exchange_that_a_restart_cuts_off_goes_on_once_and_not_after_its_time() {
    let mut network = begun(71, 3);
    let recorded = first_messages(&network, 0);
    let last = recorded[recorded.len() - 1..].to_vec();
    network.restart();
    assert_eq!(replay(&mut network, &last), 1, "it could be the member's own repetition");
    network.pass(EXCHANGE);
    assert_eq!(replay(&mut network, &recorded), 0);
    network.restart();
    assert_eq!(replay(&mut network, &recorded), 0);
}

#[test]
fn what_is_stored_of_message_ids_ends_with_the_registration() {
    let mut network = begun(72, 4);
    assert_eq!(stored(&network), 5 + 1);
    let now = network.now;
    network.members[0].member.leave(now);
    network.settle();
    network.pass(2 * SECOND);
    assert_eq!(stored(&network), 1);
    network.restart();
    assert_eq!(stored(&network), 1);
}
