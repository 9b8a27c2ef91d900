//! A store belongs to one host identity.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use claviger_crypto::{SeededRandom, provider};
use claviger_gcks::{Gcks, GcksConfig, Record, RestoreError};
use claviger_group::Role;
use claviger_hip::HostConfig;
use claviger_identity::{Hit, HostIdentity};
use claviger_sansio::durable::Receipt;
use claviger_store::StoreError;
use claviger_testkit::network::{Network, group_id, new_identity, policy};

fn restore(
    identity: &Arc<HostIdentity>,
    network: &Network,
    records: &[Record],
) -> Result<Gcks, RestoreError> {
    let config = GcksConfig {
        hip: HostConfig::new(identity.clone(), provider()),
        provider: provider(),
        gdoi_port: 848,
        push_source_v4: None,
        push_source_v6: None,
    };
    Gcks::restore(config, Box::new(SeededRandom::new(1)), network.now, records)
}

fn belongs_to(result: Result<Gcks, RestoreError>, owner: Hit, host: &HostIdentity) {
    match result {
        Err(RestoreError::OtherIdentity { stored, own }) => assert_eq!((stored, own), (owner, host.hit())),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("another host took the store up"),
    }
}

#[test]
fn a_store_is_taken_up_by_its_own_host_only() {
    let mut network = Network::new(1);
    network.add_group(&group_id("market"), policy(1));
    network.restart();
    let stranger = new_identity();
    let records = network.records();
    belongs_to(restore(&stranger, &network, &records), network.server_hit(), &stranger);
}

#[test]
fn a_store_from_before_owners_were_noted_is_known_by_its_associations() {
    let mut network = Network::new(2);
    let group = group_id("market");
    network.add_group(&group, policy(1));
    let stranger = new_identity();
    // Nothing names the owner: whoever comes first is noted.
    let mut gcks = restore(&stranger, &network, &network.records()).unwrap();
    let mut noted = Vec::new();
    let staged = gcks.stage(network.now).unwrap();
    let commit = staged.commit(|changes| {
        noted.extend_from_slice(changes);
        Ok::<_, StoreError>(Receipt::attest(changes))
    });
    assert!(commit.is_ok());
    assert!(noted.iter().any(|change| change.table().name() == "owner"));

    network.joined(&group, Role::Receiver);
    let records = network.records();
    assert!(records.iter().all(|(table, ..)| table.name() != "owner"));
    belongs_to(restore(&stranger, &network, &records), network.server_hit(), &stranger);
    network.restart();
    assert_eq!(network.stored().iter().find(|(table, _)| table.name() == "owner").map(|(_, n)| *n), Some(1));
}
