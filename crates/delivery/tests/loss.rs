//! Deliveries over a network that loses: everybody is satisfied in the end, traffic is bounded, and a seed repeats.

mod support;

use std::time::Duration;

use claviger_crypto::SeededRandom;
use claviger_delivery::{Proactivity, SenderConfig};

use support::{Network, START, datagrams, tree_needs};

const RECEIVERS: usize = 400;
const DATAGRAMS: usize = 150;

#[test]
fn without_loss_one_round_is_enough_and_nobody_reports() {
    let batch = datagrams(DATAGRAMS, &mut SeededRandom::new(1));
    let needs = tree_needs(RECEIVERS, DATAGRAMS);
    let outcome = Network::new(0, 1).deliver(SenderConfig::default(), &batch, &needs, Proactivity::default());
    assert_eq!(outcome.satisfied, [RECEIVERS, RECEIVERS]);
    assert_eq!(outcome.traffic.datagrams as usize, DATAGRAMS);
    assert_eq!((outcome.traffic.repairs, outcome.traffic.unicasts, outcome.traffic.reports), (0, 0, 0));
}

#[test]
fn at_any_loss_every_receiver_is_satisfied_in_the_end() {
    let batch = datagrams(DATAGRAMS, &mut SeededRandom::new(2));
    let needs = tree_needs(RECEIVERS, DATAGRAMS);
    for (loss, seed) in [(10, 1), (50, 2), (200, 3), (400, 4)] {
        let outcome =
            Network::new(loss, seed).deliver(SenderConfig::default(), &batch, &needs, Proactivity::default());
        println!("{loss}: {outcome:?}");
        assert_eq!(outcome.satisfied.last(), Some(&RECEIVERS), "at {loss} permille");
        assert_eq!(outcome.gave_up, 0);
        assert!(outcome.satisfied[1] > outcome.satisfied[0], "repair by multicast satisfies many");
    }
}

#[test]
fn few_receivers_speak_for_many_while_repair_is_by_multicast() {
    let batch = datagrams(DATAGRAMS, &mut SeededRandom::new(3));
    let needs = tree_needs(RECEIVERS, DATAGRAMS);
    let outcome =
        Network::new(200, 5).deliver(SenderConfig::default(), &batch, &needs, Proactivity::default());
    let missing_after_one = RECEIVERS - outcome.satisfied[0];
    let missing_after_two = RECEIVERS - outcome.satisfied[1];
    assert!(missing_after_one > RECEIVERS / 3);
    let reports = outcome.traffic.reports as usize;
    assert!(
        reports < missing_after_one / 2 + 3 * missing_after_two,
        "{reports} reports of {missing_after_one}"
    );
}

#[test]
fn traffic_is_bounded_whatever_is_lost() {
    let batch = datagrams(DATAGRAMS, &mut SeededRandom::new(4));
    let needs = tree_needs(50, DATAGRAMS);
    let config = SenderConfig { rounds: 4, ..SenderConfig::default() };
    let mut network = Network::new(300, 6);
    network.deaf.extend([3, 4]);
    let outcome = network.deliver(config, &batch, &needs, Proactivity::uniform(u32::MAX));
    assert_eq!(outcome.satisfied.last(), Some(&48));
    assert!(outcome.traffic.repairs as usize <= DATAGRAMS * 3 / 2 + 5 + 3 * 2 * DATAGRAMS);
    assert!(outcome.traffic.announcements <= 4 * 8);
    assert!(outcome.traffic.unicasts <= 50 * 3 * 5);
    assert!(outcome.ended < START + config.deadline + Duration::from_secs(1));
}

#[test]
fn who_never_heard_how_the_batch_is_divided_is_served_by_the_callers_knowledge() {
    let batch = datagrams(3, &mut SeededRandom::new(5));
    let needs: Vec<Vec<u16>> = vec![vec![0, 1, 2]; 30];
    let outcome =
        Network::new(300, 7).deliver(SenderConfig::default(), &batch, &needs, Proactivity::default());
    assert_eq!(outcome.satisfied.last(), Some(&30));
}

#[test]
fn receivers_that_cannot_say_what_they_want_are_satisfied_too() {
    let batch = datagrams(40, &mut SeededRandom::new(6));
    let needs = tree_needs(50, 40);
    let mut network = Network::new(200, 8);
    network.hint = false;
    let outcome = network.deliver(SenderConfig::default(), &batch, &needs, Proactivity::default());
    assert_eq!(outcome.satisfied.last(), Some(&50));
}

#[test]
fn the_proactivity_factor_rises_until_more_receivers_are_satisfied_at_once() {
    let batch = datagrams(DATAGRAMS, &mut SeededRandom::new(7));
    let needs = tree_needs(RECEIVERS, DATAGRAMS);
    let mut proactivity = Proactivity::default();
    let mut after_one = Vec::new();
    for seed in 0..8 {
        let outcome = Network::new(100, seed).deliver(SenderConfig::default(), &batch, &needs, proactivity);
        proactivity = outcome.proactivity;
        after_one.push(outcome.satisfied[0]);
    }
    assert!(after_one[7] > after_one[0], "{after_one:?}");
    // It falls a little whenever nothing was missing, and two receivers of a block that miss more than the others do not
    // raise it.
    let last = &after_one[4..];
    assert!(last.iter().sum::<usize>() > last.len() * RECEIVERS * 98 / 100, "{after_one:?}");
}

#[test]
fn the_same_seed_gives_the_same_delivery() {
    let batch = datagrams(60, &mut SeededRandom::new(8));
    let needs = tree_needs(40, 60);
    let deliver = |seed| {
        Network::new(150, seed).deliver(SenderConfig::default(), &batch, &needs, Proactivity::uniform(100))
    };
    assert_eq!(deliver(9), deliver(9));
    assert_ne!(deliver(9), deliver(10));
}
