//! Groups whose packets outsiders can replay are made only where that is asked for by name.

use claviger_gcks::CommandError;
use claviger_group::{EspTransform, GroupPolicy, policy::PolicyError};
use claviger_testkit::network::{Network, group_id, policy};

fn cbc(replayable: bool) -> GroupPolicy {
    let mut cbc = policy(1);
    (cbc.data.transform, cbc.data.replayable) = (EspTransform::Aes128CbcHmacSha256, replayable);
    cbc
}

#[test]
fn a_group_whose_packets_can_be_replayed_is_not_made_unasked_and_stays_one_over_a_restart() {
    let mut network = Network::new(1);
    let group = group_id("film");
    let refused = network.server.add_group(network.now, group.clone(), cbc(false));
    assert_eq!(refused, Err(CommandError::Policy(PolicyError::Replayable)));
    network.add_group(&group, cbc(true));
    network.settle();
    network.restart();
    let view = network.server.group(network.now, &group).unwrap();
    assert_eq!(view.policy, cbc(true));
}
