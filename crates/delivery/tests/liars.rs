//! What members that lie about their losses cost the others, and what believing nobody alone costs the honest ones.

mod support;

use claviger_crypto::SeededRandom;
use claviger_delivery::{
    Batch, BatchId, Proactivity, ReceiverId, Sender, SenderConfig, SenderEvent, Traffic,
    limits::{UNICAST_SHARE_DIVISOR, UNICAST_SHARE_MIN},
    wire::Report,
};
use claviger_wire::Encode;

use support::{Network, START, batch, datagrams, lie, tree_needs, unsealed};

/// How many rekeys follow each other, each with what was learned from those before.
const REKEYS: u32 = 4;

/// The octets of everything that was sent.
fn octets(traffic: Traffic) -> u64 {
    traffic.multicast_octets + traffic.unicast_octets
}

/// Says what was sent for each of some rekeys of so many messages without loss, of whose receivers so many lie at every
/// occasion: that they got nothing, and where that is refused, that they do not know what they want.
fn rekeys(messages: usize, liars: u64) -> Vec<Traffic> {
    let mut proactivity = Proactivity::default();
    let rekey = |number: u32| {
        let id = BatchId { spi: [7; 16], first_sequence: number * 10_000 };
        let batch = Batch { id, ..batch(&vec![vec![7; 1_232]; messages], 100_000) };
        let seal = &mut unsealed;
        let mut now = START;
        let mut sender =
            Sender::new(SenderConfig::default(), batch, proactivity.clone(), now, seal).expect("it is sound");
        while !sender.has_ended() {
            while sender.poll_transmit(now).is_some() {}
            sender.handle_timeout(now, seal);
            let empty = Report { batch: id, round: sender.round(), received: 0, entries: Vec::new() };
            for liar in 0..liars {
                if sender.handle_report(now, ReceiverId(liar), &lie(&sender)).is_err() {
                    let _ = sender.handle_report(now, ReceiverId(liar), &empty.to_octets());
                }
            }
            while let Some(event) = sender.poll_event() {
                if let SenderEvent::Lost(receiver) = event {
                    let _ = sender.serve(now, receiver, 0..10);
                }
            }
            now = sender.poll_timeout().map_or(now, |due| due.max(now));
        }
        proactivity = sender.proactivity().clone();
        sender.traffic()
    };
    (0..REKEYS).map(rekey).collect()
}

#[test]
fn one_member_that_lies_costs_the_group_at_most_a_tenth_rekey_after_rekey() {
    for messages in [300, 964] {
        let (honest, lying) = (rekeys(messages, 0), rekeys(messages, 1));
        for (honest, lying) in honest.iter().zip(&lying) {
            assert!(lying.reports > honest.reports, "the lies were heard");
            let ratio = octets(*lying) as f64 / octets(*honest) as f64;
            println!("{messages} messages: {ratio:.3} times as many octets");
            assert!(ratio <= 1.10, "{ratio} of {messages}: {lying:?}");
        }
    }
}

#[test]
fn of_a_short_rekey_one_member_that_lies_is_sent_sixteen_messages() {
    for lying in rekeys(20, 1) {
        assert_eq!((lying.repairs, lying.unicasts), (0, UNICAST_SHARE_MIN as u64), "{lying:?}");
    }
}

#[test]
fn two_members_that_lie_are_served_alone_and_three_are_believed() {
    let share = 964 / UNICAST_SHARE_DIVISOR as u64;
    for lying in rekeys(964, 2) {
        assert_eq!((lying.repairs, lying.unicasts), (0, 2 * share), "{lying:?}");
    }
    assert!(rekeys(964, 3).iter().all(|lying| lying.repairs > 0));
}

#[test]
fn one_member_that_lies_among_honest_ones_that_lose_costs_at_most_a_tenth() {
    let batch = datagrams(320, &mut SeededRandom::new(10));
    let needs = tree_needs(100, 320);
    let deliver = |liars| {
        let mut network = Network::new(50, 3);
        network.liars = liars;
        let outcome = network.deliver(SenderConfig::default(), &batch, &needs, Proactivity::uniform(100));
        assert_eq!(outcome.satisfied.last(), Some(&100));
        octets(outcome.traffic)
    };
    let ratio = deliver(1) as f64 / deliver(0) as f64;
    println!("{ratio:.3} times as many octets");
    assert!(ratio <= 1.10, "{ratio}");
}

/// The octets that [`honest_loss_costs_no_more_than_when_the_worst_report_was_believed`] saw when it was: loss in permille,
/// the length of a burst, octets of all rekeys.
const WHEN_THE_WORST_WAS_BELIEVED: [(u32, u32, u64); 4] =
    [(100, 1, 136_225), (200, 1, 172_223), (100, 5, 159_251), (200, 5, 221_503)];

#[test]
fn honest_loss_costs_no_more_than_when_the_worst_report_was_believed() {
    let batch = datagrams(150, &mut SeededRandom::new(9));
    let needs = tree_needs(400, 150);
    for (loss, burst, before) in WHEN_THE_WORST_WAS_BELIEVED {
        let (mut proactivity, mut sent) = (Proactivity::default(), 0);
        for seed in 0..3 {
            let mut network = Network::new(loss, seed);
            network.burst = burst;
            let outcome = network.deliver(SenderConfig::default(), &batch, &needs, proactivity);
            assert_eq!(outcome.satisfied.last(), Some(&400), "{loss} permille in bursts of {burst}");
            proactivity = outcome.proactivity;
            sent += octets(outcome.traffic);
        }
        println!("{loss} permille in bursts of {burst}: {sent} octets, {before} before");
        assert!(sent * 100 <= before * 105, "{sent} octets instead of {before}");
    }
}
