//! How long members lag behind when the network loses.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_gcks::RekeyWhat;
use claviger_group::Role;
use claviger_testkit::{
    judge::{judge, laggards},
    network::{Conditions, Network, group_id, policy},
};

/// The bound that is stated: a sign of missed keys comes with the next data under the new TEK (the activation delay of
/// 1 s, and the time between two packets), the PULL begins 0.4 to 2 s later, and goes on for 32 s at most before it
/// would begin anew.
const BOUND: Duration = Duration::from_secs(35);

/// What nearly all members meet: those that heard one of three copies, or whose PULL lost little.
const USUAL: Duration = Duration::from_secs(8);

#[test]
fn two_hundred_members_on_a_network_that_loses_a_tenth_keep_up() {
    let mut network = Network::new(30);
    let group = group_id("loss");
    network.add_group(&group, policy(1));
    let places: Vec<usize> = (0..200).map(|_| network.add_member()).collect();
    for (number, place) in places.iter().enumerate() {
        network.join(*place, &group, if number < 2 { Role::Both } else { Role::Receiver });
        if number % 20 == 19 {
            network.pass(Duration::from_millis(700));
        }
    }
    network.until(Duration::from_secs(120), |n| laggards(n, &group).is_empty());
    network.pass(Duration::from_secs(3));
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 200);
    network.conditions = Conditions {
        loss_permille: 100,
        duplication_permille: 10,
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(30),
    };
    let pulls = |network: &Network| -> u64 {
        places.iter().map(|place| network.members[*place].member.subscription(&group).unwrap().pulls()).sum()
    };
    let before = pulls(&network);
    let mut lags = Vec::new();
    for rekey in 0..30 {
        let what = if rekey % 3 == 0 { RekeyWhat::Kek } else { RekeyWhat::Tek };
        network.server.rekey(network.now, &group, what).unwrap();
        network.settle();
        let began = network.now;
        let mut behind = places.clone();
        while !behind.is_empty() {
            network.pass(Duration::from_millis(100));
            let lag = network.now.since(began);
            assert!(lag <= BOUND, "{} members are behind after {lag:?}", behind.len());
            if lag.as_millis().is_multiple_of(500) {
                for sender in 0..2 {
                    // One that has no keys in force for a moment sends nothing.
                    let _ = network.send(sender, &group, b"tick");
                }
            }
            let late = laggards(&network, &group);
            behind.retain(|place| {
                late.contains(place) || {
                    lags.push(lag);
                    false
                }
            });
        }
    }
    lags.sort();
    let (median, most) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    let usual = lags.iter().filter(|lag| **lag <= USUAL).count();
    println!(
        "30 rekeys, 200 members, 10 % loss: median lag {median:?}, 99.9 % {:?}, longest {most:?}; {} more PULLs",
        lags[lags.len() * 999 / 1000],
        pulls(&network) - before
    );
    assert!(median <= Duration::from_millis(500));
    assert!(usual * 1000 >= lags.len() * 995, "{usual} of {}", lags.len());
    assert!(pulls(&network) - before < 200, "a lost copy is no lost message");
    // The judge tries every ledger against all data; three of them tell as much as two hundred.
    network.members.truncate(3);
    judge(&network, &group, &[]).acquit();
}
