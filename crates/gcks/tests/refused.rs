//! The list of hosts that were refused.

use std::time::Duration;

use claviger_group::Role;
use claviger_testkit::network::{Network, group_id, policy};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_host_that_asks_for_many_groups_has_one_line_and_pushes_nobody_out() {
    let mut network = Network::new(1);
    network.add_group(&group_id("market"), policy(1));
    let wanted = network.add_member();
    network.ask(wanted, &group_id("market"), Role::Receiver);
    network.pass(5 * SECOND);
    let stranger = network.add_member();
    for name in 0..32 {
        network.ask(stranger, &group_id(&format!("made up {name}")), Role::Receiver);
    }
    network.pass(5 * SECOND);
    let listed: Vec<_> = network.server.refused().map(|refusal| refusal.host.clone()).collect();
    assert_eq!(listed, [network.members[stranger].id(), network.members[wanted].id()]);
}
