//! A group whose key tree has used up its epochs starts over, instead of using a key's name twice or failing for ever.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::{Event, event::RekeyCause};
use claviger_group::{KekManagement, Role};
use claviger_keytree::{Handle, Header};
use claviger_sansio::durable::Change;
use claviger_store::Store;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Network, group_id, policy},
};

const SECOND: Duration = Duration::from_secs(1);

/// Makes the stored tree of a network's one group old.
fn age(network: &mut Network, epoch: u32) {
    let stored = network.records().into_iter().find(|(table, ..)| table.name() == "group");
    let (table, key, value) = stored.unwrap();
    let mut octets = value.expose().to_vec();
    let is_header = |place: &usize| {
        let header = Header::from_octets(&octets[*place..][..Header::LEN]);
        header.is_ok_and(|header| header.members == network.members.len() as u32 && header.epoch < 100)
    };
    let places: Vec<usize> = (0..octets.len() - Header::LEN).filter(is_header).collect();
    assert_eq!(places.len(), 1, "the tree's header is found");
    let place = places[0];
    let header = Header::from_octets(&octets[place..][..Header::LEN]).unwrap();
    octets[place..][..Header::LEN].copy_from_slice(&Header { epoch, ..header }.to_octets());
    // Nothing waits for it.
    let _ = network.store.commit(&[Change::put(table, key, octets)]).unwrap();
    network.restart();
}

#[test]
fn a_group_outlives_the_epochs_of_its_tree() {
    for management in [KekManagement::Lkh, KekManagement::Lkh32] {
        for left in [0, 1, 20] {
            let mut network = Network::new(5);
            let group = group_id("old");
            let mut policy = policy(1);
            policy.rekey.management = management;
            network.add_group(&group, policy);
            let places: Vec<usize> = (0..5).map(|_| network.joined(&group, Role::Both)).collect();
            network.pass(3 * SECOND);
            age(&mut network, Handle::EPOCH_MAX - left);
            for place in &places[..3] {
                network.members[*place].member.leave(network.now);
                network.settle();
                network.until(30 * SECOND, |network| laggards(network, &group).is_empty());
                network.pass(3 * SECOND);
                network.send(places[4], &group, b"still here").unwrap();
            }
            network.restart();
            network.joined(&group, Role::Receiver);
            network.pass(3 * SECOND);
            assert!(laggards(&network, &group).is_empty());
            assert_eq!(network.server.group(network.now, &group).unwrap().members, 3);
            judge(&network, &group, &[]).acquit();
            let starts_over = |(_, event): &(_, Event)| matches!(event, Event::Rekeyed(rekeyed) if rekeyed.cause.contains(RekeyCause::EpochsSpent));
            assert!(network.told.iter().any(starts_over) || left == 20, "{left} epochs were left");
        }
    }
}
