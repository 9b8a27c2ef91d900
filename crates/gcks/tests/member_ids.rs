//! Members that are no HITs live through the store and a restart.
//!
//! Hosts join by HIP, and their records are given to others behind the key server's back: so members of every kind hold
//! grants. Those that hold none join in `phase_1.rs`.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_crypto::{SeededRandom, provider};
use claviger_gcks::{
    Eviction, Gcks, GcksConfig, RestoreError,
    event::{Departure, Event},
    view::HostView,
};
use claviger_group::{GroupId, MemberId, Role};
use claviger_hip::HostConfig;
use claviger_identity::Hit;
use claviger_sansio::durable::{Change, RecordKey};
use claviger_store::Store;
use claviger_testkit::network::{Network, group_id, policy};

const SECOND: Duration = Duration::from_secs(1);

fn market() -> GroupId {
    group_id("market")
}

/// One of each kind, and a key id that has 16 octets together with its kind, as a HIT has.
fn others() -> Vec<MemberId> {
    let written = [
        "addr:192.0.2.1",
        "addr:2001:22::1",
        "fqdn:host.example",
        "user:Kim@example.org",
        "key-id:fifteen-octets.",
        "key-id:0x00ff",
        "dn:3003020101",
    ];
    let members: Vec<MemberId> = written.iter().map(|written| written.parse().unwrap()).collect();
    assert_eq!(members[4].octets().len(), 15);
    members
}

/// Names the records of a host, by hand: what is stored must be read by later versions.
fn item(host: &MemberId) -> Vec<u8> {
    [&[0; 16][..], &[host.kind()], &host.octets()].concat()
}

/// A group whose members are these, with one more that is a HIT.
fn taken_over(others: &[MemberId]) -> Network {
    let mut network = Network::new(1);
    network.add_group(&market(), policy(1));
    let places: Vec<usize> = others.iter().map(|_| network.joined(&market(), Role::Both)).collect();
    network.joined(&market(), Role::Both);
    network.pass(20 * SECOND);
    let mut changes = Vec::new();
    for (place, other) in places.into_iter().zip(others) {
        let hit = network.members[place].hit();
        network.members[place].connected = false;
        for (table, key, value) in network.records() {
            if key.item == *hit.octets() && !key.scope.is_empty() {
                changes.push(Change::put(
                    table,
                    RecordKey::new(key.scope.clone(), item(other)),
                    value.expose().to_vec(),
                ));
                changes.push(Change::remove(table, key));
            }
        }
    }
    let _receipt = network.store.commit(&changes).unwrap();
    network.restart();
    network
}

fn hosts(network: &Network) -> Vec<HostView> {
    network.server.hosts(network.now, &market()).unwrap()
}

fn find(network: &Network, host: &MemberId) -> Option<HostView> {
    hosts(network).into_iter().find(|view| view.host == *host)
}

#[test]
fn members_of_every_kind_are_there_after_a_restart() {
    let others = others();
    let mut network = taken_over(&others);
    assert_eq!(hosts(&network).len(), others.len() + 1);
    for _ in 0..2 {
        for other in &others {
            let host = find(&network, other).unwrap();
            assert_eq!(
                (host.allowed, host.granted.map(|(role, _)| role)),
                (Some(Role::Both), Some(Role::Both))
            );
            assert!(host.member_since.is_some() && host.address.is_none(), "{other}");
        }
        network.restart();
    }
    // Nothing of them was written anew under another name.
    let items: Vec<Vec<u8>> = network.records().into_iter().map(|(_, key, _)| key.item).collect();
    for other in &others {
        assert_eq!(items.iter().filter(|stored| **stored == item(other)).count(), 3, "{other}");
    }
    assert!(network.is_current(others.len(), &market()), "the HIT among them has the keys in force");
}

#[test]
fn members_of_every_kind_are_narrowed_evicted_and_allowed_again() {
    let others = others();
    let mut network = taken_over(&others);
    for other in &others {
        network.server.allow(network.now, &market(), other, Role::Receiver).unwrap();
        network.settle();
        let granted = find(&network, other).unwrap().granted;
        assert_eq!(granted.map(|(role, _)| role), Some(Role::Receiver));
        assert_eq!(network.server.evict(network.now, &market(), other), Ok(Eviction::Leaving));
        network.settle();
        network.pass(10 * SECOND);
        let told = network.told.iter().any(|(_, event)| {
            matches!(event, Event::Departed { host, departure: Departure::Evicted, .. } if host == other)
        });
        assert!(told, "{other}");
        // That it is out is remembered.
        network.restart();
        let out = network.server.eviction(&market(), other);
        assert!(matches!(out, Some(Eviction::Unreadable { was_member: true, .. })), "{other}: {out:?}");
        assert!(find(&network, other).is_none());
    }
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 1);
    for other in &others {
        network.server.allow(network.now, &market(), other, Role::Sender).unwrap();
        network.settle();
        network.restart();
        assert_eq!(find(&network, other).unwrap().allowed, Some(Role::Sender));
        assert_eq!(network.server.eviction(&market(), other), None);
    }
    assert!(network.is_current(others.len(), &market()));
}

#[test]
fn grants_of_members_of_every_kind_end() {
    let others = others();
    let mut network = taken_over(&others);
    network.pass(policy(1).access.registration_lifetime + 20 * SECOND);
    for other in &others {
        let host = find(&network, other).unwrap();
        assert_eq!((host.granted, host.member_since), (None, None), "{other}");
    }
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 1);
    assert!(network.is_current(others.len(), &market()));
}

#[test]
fn a_restart_refuses_names_of_records_that_name_nobody() {
    let network = taken_over(&[]);
    for item in [
        &[0x20; 15][..],
        // A HIT has one name.
        &[&[0; 17][..], &[0x20; 16]].concat(),
        &[&[0x20; 16][..], b"\x0bkey"].concat(),
        &[&[0; 16][..], b"\x04kind"].concat(),
        &[&[0; 16][..], b"\x0b"].concat(),
    ] {
        let mut records = network.records();
        let access = records.iter_mut().find(|(table, ..)| table.name() == "access").unwrap();
        access.1.item = item.to_vec();
        let config = GcksConfig {
            hip: HostConfig::new(network.server_identity().clone(), provider()),
            provider: provider(),
            gdoi_port: 848,
            push_source_v4: None,
            push_source_v6: None,
        };
        let restored = Gcks::restore(config, Box::new(SeededRandom::new(1)), network.now, &records);
        let error = restored.err().unwrap();
        assert!(matches!(error, RestoreError::Decode { table: "access", .. }), "{item:02x?}: {error}");
    }
}

#[test]
fn the_name_of_a_hit_is_its_octets() {
    let network = taken_over(&[]);
    let hit: Hit = network.members[0].hit();
    let of_hit = |name: &str| {
        let records = network.records();
        records.iter().any(|(table, key, _)| table.name() == name && key.item == *hit.octets())
    };
    assert!(["access", "grant", "member"].into_iter().all(of_hit));
}
