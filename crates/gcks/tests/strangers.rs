//! Hosts that are on no list: they are told so, and leave nothing behind.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use claviger_crypto::{SeededRandom, provider};
use claviger_group::{GroupId, Role};
use claviger_hip::{FailReason, HostConfig, PeerIncompatible, iana::RegFailure, wire::Lifetime};
use claviger_hip_groups::{
    Event as HipEvent, Host, McastChannel, RegistrationAnswer, RegistrationRequest,
    iana::{ChannelStatus, GCKS_GDOI},
};
use claviger_member::Event;
use claviger_sansio::{Datagram, Socket};
use claviger_testkit::network::{HIP_PORT, Network, SERVER, group_id, new_identity, policy};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Where a host is that is no member of the laboratory.
const ELSEWHERE: [u8; 4] = [203, 0, 113, 1];

fn market() -> GroupId {
    group_id("market")
}

fn network(seed: u64) -> Network {
    let mut network = Network::new(seed);
    network.add_group(&market(), policy(1));
    network
}

/// Counts the commits from now on.
fn commits(network: &mut Network) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    network.tamper = Some(Box::new(move |changes| {
        counted.set(counted.get() + 1);
        changes
    }));
    count
}

/// Calls the key server as a plain HIP host, and returns what that host was told.
fn call(network: &mut Network, request: Option<RegistrationRequest>) -> Vec<HipEvent> {
    let mut config = HostConfig::new(new_identity(), provider());
    config.dh_groups.truncate(1);
    let mut host = Host::new(config, Box::new(SeededRandom::new(7)), network.now).unwrap();
    let (source, server) = (SocketAddr::from((ELSEWHERE, HIP_PORT)), SocketAddr::from((SERVER, HIP_PORT)));
    host.connect(network.now, network.server_hit(), server, Socket::HipUdp, request).unwrap();
    let mut told = Vec::new();
    while let Some(transmit) = host.poll_transmit() {
        let payload = &transmit.payload[..];
        let datagram = Datagram { socket: Socket::HipUdp, source, destination: server, payload };
        network.server.handle_datagram(network.now, datagram).unwrap();
        for answer in network.said_to(source) {
            let payload = &answer.payload[..];
            let datagram = Datagram { socket: Socket::HipUdp, source: server, destination: source, payload };
            // An R2 that refuses the association is an error to who takes it.
            let _ = host.handle_datagram(network.now, datagram);
            while !host.associations().any(|info| info.state != claviger_hip::AssociationState::I1Sent)
                && host.poll_timeout().is_some_and(|due| due <= network.now)
            {
                host.handle_timeout(network.now);
            }
        }
        told.extend(std::iter::from_fn(|| host.poll_event()));
    }
    told
}

/// What the key server answered to a registration.
fn answered(network: &mut Network, items: Vec<McastChannel>, lifetime: Duration) -> RegistrationAnswer {
    let told = call(network, Some(RegistrationRequest { reg_type: GCKS_GDOI, lifetime, items }));
    let answer = told.into_iter().find_map(|event| match event {
        HipEvent::Registered { answer, .. } => Some(answer),
        _ => None,
    });
    answer.unwrap()
}

#[test]
fn a_stranger_writes_nothing_to_the_store() {
    let mut network = network(1);
    let stranger = network.add_member();
    let commits = commits(&mut network);
    network.ask(stranger, &market(), Role::Receiver);
    network.pass(2 * SECOND);
    assert_eq!(network.members[stranger].count(|event| matches!(event, Event::Refused { .. })), 1);
    assert_eq!(network.server.associations(), 1);
    // It falls silent, and the key server closes its association.
    network.members[stranger].connected = false;
    network.pass(20 * 60 * SECOND);
    assert_eq!(network.server.associations(), 0);
    assert_eq!(commits.get(), 0);
}

#[test]
fn a_registration_without_a_group_is_no_grant_to_a_stranger() {
    let mut network = network(2);
    let stored = network.stored();
    let answer = answered(&mut network, Vec::new(), 24 * HOUR);
    assert_eq!((answer.granted, answer.failure), (None, Some(RegFailure::ADDITIONAL_CREDENTIALS)));
    let never_joined = McastChannel {
        reg_type: GCKS_GDOI,
        role: Role::Receiver,
        group: market(),
        channel: None,
        lifetime: Lifetime::CANCEL,
        status: ChannelStatus::GRANTED,
    };
    let answer = answered(&mut network, vec![never_joined], 24 * HOUR);
    assert_eq!(answer.granted, Some(Duration::ZERO), "what it never had it may leave");
    let answer = answered(&mut network, Vec::new(), Duration::ZERO);
    assert_eq!(answer.granted, Some(Duration::ZERO));
    assert_eq!(network.stored(), stored);
    network.pass(20 * 60 * SECOND);
    assert_eq!(network.server.associations(), 0, "nothing keeps an unused association");
}

#[test]
fn who_asks_for_no_registration_is_told_that_one_is_required() {
    let mut network = network(3);
    let told = call(&mut network, None);
    let required = FailReason::Incompatible(PeerIncompatible::RegistrationRequired);
    assert!(matches!(told[..], [HipEvent::Failed { reason, .. }] if reason == required), "{told:?}");
    assert_eq!(network.server.associations(), 0);
}

/// The key server forgets at its restart what it has granted nothing to, and says nothing of it.
#[test]
fn a_host_that_was_refused_is_let_in_as_soon_as_it_is_listed_though_it_was_forgotten() {
    let mut network = network(4);
    let host = network.add_member();
    network.ask(host, &market(), Role::Receiver);
    network.pass(2 * SECOND);
    assert_eq!(network.members[host].count(|event| matches!(event, Event::Refused { .. })), 1);
    network.restart();
    assert_eq!(network.server.associations(), 0);
    network.join(host, &market(), Role::Receiver);
    network.until(2 * SECOND, |network| network.is_keyed(host, &market()));
}
