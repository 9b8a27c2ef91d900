//! What a forger, a liar and a broken network cannot do.

mod support;

use claviger_crypto::SeededRandom;
use claviger_delivery::{
    Batch, BatchId, Error, Outgoing, Proactivity, Receiver, ReceiverConfig, ReceiverId, Sender, SenderConfig,
    SenderEvent,
    limits::{REPAIR_FACTOR_MAX, REPORTERS_MIN},
    seal::Authentic,
    wire::{Entry, Repair, Report},
};
use claviger_sansio::Time;
use claviger_wire::{Decode, Encode};

use support::{ID, START, batch, datagrams, unsealed};

const COUNT: usize = 20;

/// A sender whose first round was sent, what it sent, and the time.
fn sent(proactivity: u32, config: SenderConfig) -> (Sender, Vec<Vec<u8>>, Vec<Outgoing>, Time) {
    let octets = datagrams(COUNT, &mut SeededRandom::new(1));
    let seal = &mut unsealed;
    let mut now = START;
    let mut sender = Sender::new(config, batch(&octets, 10), Proactivity::uniform(proactivity), now, seal)
        .expect("the batch is sound");
    let mut sent = Vec::new();
    let announced = |outgoing: &Outgoing| matches!(outgoing, Outgoing::Sealed(octets) if octets[1] == 2);
    while !sent.last().is_some_and(announced) {
        match sender.poll_transmit(now) {
            Some(outgoing) => sent.push(outgoing),
            None => now = sender.poll_timeout().expect("the sender has not ended"),
        }
        sender.handle_timeout(now, seal);
    }
    (sender, octets, sent, now)
}

fn report(round: u8, entries: &[[u8; 4]]) -> Vec<u8> {
    let entries = entries.iter().map(|&[block, first, last, missing]| Entry { block, first, last, missing });
    Report { batch: ID, round, received: 10, entries: entries.collect() }.to_octets()
}

#[test]
fn cut_and_flipped_messages_are_refused_or_harmless() {
    let (_, octets, sent, now) = sent(500, SenderConfig::default());
    let random = &mut SeededRandom::new(2);
    let mut refused = 0;
    for message in &sent {
        let Outgoing::Sealed(message) = message else { continue };
        for length in 0..message.len() {
            let mut receiver = Receiver::new(ReceiverConfig::default(), ID, now);
            let cut = receiver.handle_control(now, Authentic::verified(&message[..length]), random);
            assert!(cut.is_err(), "cut at {length}");
        }
        for bit in 0..40 * 8 {
            let mut flipped = message.clone();
            let Some(octet) = flipped.get_mut(bit / 8) else { continue };
            *octet ^= 1 << (bit % 8);
            let mut receiver = Receiver::new(ReceiverConfig::default(), ID, now);
            for (index, datagram) in octets.iter().enumerate().skip(1) {
                receiver.handle_datagram(now, index as u16, COUNT as u16, datagram).unwrap();
            }
            refused +=
                usize::from(receiver.handle_control(now, Authentic::verified(&flipped), random).is_err());
        }
    }
    assert!(refused > 100);
}

#[test]
fn a_damaged_symbol_taken_for_authentic_is_found_out_and_thrown_away() {
    let (_, octets, sent, now) = sent(500, SenderConfig::default());
    let random = &mut SeededRandom::new(3);
    let repairs: Vec<_> = sent
        .iter()
        .filter_map(|outgoing| match outgoing {
            Outgoing::Sealed(octets) => Repair::from_octets(octets).ok(),
            _ => None,
        })
        .collect();
    let size = repairs[0].symbols.len();
    // In the middle it changes the datagram, which the layer above refuses; at both ends it is seen at once.
    for position in [0, 30, size - 1] {
        let mut receiver = Receiver::new(ReceiverConfig::default(), ID, now);
        for (index, datagram) in octets.iter().enumerate().skip(1) {
            receiver.handle_datagram(now, index as u16, COUNT as u16, datagram).unwrap();
        }
        let mut damaged = repairs[0].clone();
        damaged.symbols[position] ^= 0x5a;
        let taken = receiver.handle_control(now, Authentic::verified(&damaged.to_octets()), random);
        match receiver.poll_recovered() {
            Some(recovered) => {
                assert_eq!(recovered.index, 0);
                assert_ne!(recovered.octets, octets[0], "the layer above refuses it");
                receiver.reject(0);
            }
            None => assert_eq!(taken, Err(Error::Damaged)),
        }
        // After that K sound symbols are needed: the sources that are still here, and as many repairs.
        for repair in &repairs {
            let _ = receiver.handle_control(now, Authentic::verified(&repair.to_octets()), random);
            for (index, datagram) in octets.iter().enumerate().skip(1) {
                let _ = receiver.handle_datagram(now, index as u16, COUNT as u16, datagram);
            }
        }
        let rest = receiver.handle_datagram(now, 0, COUNT as u16, &octets[0]);
        match receiver.poll_recovered() {
            Some(recovered) => assert_eq!(recovered.octets, octets[0], "at {position}"),
            None => assert_eq!(rest, Ok(()), "it can still come by unicast"),
        }
    }
}

#[test]
fn messages_of_another_batch_or_shape_are_refused() {
    let (_, octets, sent, now) = sent(500, SenderConfig::default());
    let random = &mut SeededRandom::new(4);
    let repair = sent.iter().find_map(|outgoing| match outgoing {
        Outgoing::Sealed(octets) => Repair::from_octets(octets).ok(),
        _ => None,
    });
    let repair = repair.unwrap();
    let mut receiver = Receiver::new(ReceiverConfig::default(), ID, now);
    let mut take = |repair: &Repair, receiver: &mut Receiver| {
        receiver.handle_control(now, Authentic::verified(&repair.to_octets()), random)
    };
    let other = Repair { batch: BatchId { first_sequence: 1, ..ID }, ..repair.clone() };
    assert_eq!(take(&other, &mut receiver), Err(Error::OtherBatch));
    receiver.handle_datagram(now, 0, COUNT as u16 + 1, &octets[0]).unwrap();
    assert_eq!(take(&repair, &mut receiver), Err(Error::OtherShape), "the datagrams said otherwise");

    let mut receiver = Receiver::new(ReceiverConfig::default(), ID, now);
    assert_eq!(take(&repair, &mut receiver), Ok(()));
    assert_eq!(take(&repair, &mut receiver), Err(Error::Duplicate));
    let refused = receiver.handle_datagram(now, 0, COUNT as u16 + 1, &octets[0]);
    assert_eq!(refused, Err(Error::OtherShape));
    assert_eq!(receiver.handle_datagram(now, COUNT as u16, COUNT as u16, b"x"), Err(Error::OutOfRange));
    assert_eq!(receiver.handle_datagram(now, 1, COUNT as u16, &[0; 2_000]), Err(Error::OtherShape));
    receiver.satisfied();
    assert_eq!(take(&repair, &mut receiver), Err(Error::Ended));
}

#[test]
fn a_receiver_that_exaggerates_costs_a_bounded_round() {
    let config = SenderConfig { rounds: 9, ..SenderConfig::default() };
    let (mut sender, _, _, mut now) = sent(0, config);
    let seal = &mut unsealed;
    for receiver in 0..5_000 {
        let all = Report { received: 0, ..Report::from_octets(&report(1, &[[0, 0, 19, 20]])).unwrap() };
        sender.handle_report(now, ReceiverId(receiver), &all.to_octets()).unwrap();
    }
    while sender.round() == 1 {
        now = sender.poll_timeout().unwrap();
        while sender.poll_transmit(now).is_some() {}
        sender.handle_timeout(now, seal);
    }
    assert!(sender.traffic().repairs <= (COUNT * REPAIR_FACTOR_MAX) as u64);
    assert!(sender.traffic().announcements <= 8);
}

#[test]
fn a_later_round_sends_symbols_that_no_earlier_one_sent() {
    let (mut sender, _, mut all, mut now) = sent(200, SenderConfig { rounds: 3, ..SenderConfig::default() });
    let seal = &mut unsealed;
    for round in 1..3 {
        let first = all.len();
        for receiver in 0..REPORTERS_MIN as u64 {
            sender.handle_report(now, ReceiverId(receiver), &report(round, &[[0, 0, 0, 3]])).unwrap();
        }
        while all.len() == first || sender.round() == round {
            now = sender.poll_timeout().unwrap();
            sender.handle_timeout(now, seal);
            all.extend(sender.poll_transmit(now));
        }
        while !matches!(all.last(), Some(Outgoing::Sealed(octets)) if octets[1..3] == [2, round + 1]) {
            now = sender.poll_timeout().unwrap();
            sender.handle_timeout(now, seal);
            all.extend(sender.poll_transmit(now));
        }
    }
    let repairs = all.iter().filter_map(|outgoing| match outgoing {
        Outgoing::Sealed(octets) => Repair::from_octets(octets).ok(),
        _ => None,
    });
    let mut ids: Vec<_> = repairs.map(|repair| (repair.block, repair.symbol_id)).collect();
    let total = ids.len();
    assert!(total > 10, "{total} repairs");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), total);
}

#[test]
fn reports_that_do_not_fit_the_batch_are_refused() {
    let (mut sender, _, _, now) = sent(0, SenderConfig::default());
    let from = ReceiverId(1);
    let mut refuse = |octets: &[u8]| sender.handle_report(now, from, octets).unwrap_err();
    assert!(matches!(refuse(&[]), Error::Decode(_)));
    assert_eq!(refuse(&report(1, &[[1, 0, 0, 1]])), Error::OutOfRange, "no such block");
    assert_eq!(refuse(&report(1, &[[0, 0, 20, 1]])), Error::OutOfRange, "no such datagram");
    assert_eq!(refuse(&report(1, &[[0, 0, 0, 21]])), Error::OutOfRange, "more than the block has");
    assert_eq!(refuse(&report(2, &[[0, 0, 0, 1]])), Error::OutOfRange, "a round to come");
    let other = Report { batch: BatchId { spi: [0; 16], ..ID }, round: 1, received: 0, entries: Vec::new() };
    assert_eq!(refuse(&other.to_octets()), Error::OtherBatch);
    assert_eq!(sender.handle_report(now, from, &report(1, &[[0, 0, 0, 1]])), Ok(()));
    let again = sender.handle_report(now, from, &report(1, &[[0, 0, 0, 20]]));
    assert_eq!(again, Err(Error::Duplicate), "it counts once");
    assert_eq!(sender.serve(now, from, [1]), Err(Error::Stale), "unicast comes after the rounds");
}

#[test]
fn who_asks_for_ever_is_given_up() {
    let config = SenderConfig { rounds: 1, ..SenderConfig::default() };
    let (mut sender, _, _, mut now) = sent(0, config);
    let from = ReceiverId(9);
    let mut served = 0;
    for _ in 0..config.unicast_attempts {
        sender.handle_report(now, from, &report(1, &[[0, 0, 1, 1]])).unwrap();
        while let Some(due) = sender.poll_timeout().filter(|due| *due < now + config.linger / 2) {
            now = now.max(due);
            while let Some(outgoing) = sender.poll_transmit(now) {
                served += usize::from(matches!(outgoing, Outgoing::Unicast { .. }));
            }
        }
    }
    assert_eq!(served, 2 * usize::from(config.unicast_attempts));
    sender.handle_report(now, from, &report(1, &[[0, 0, 1, 1]])).unwrap();
    assert_eq!(sender.poll_event(), Some(SenderEvent::GaveUp(from)));
    assert_eq!(sender.handle_report(now, from, &report(1, &[[0, 0, 1, 1]])), Err(Error::Ended));
}

#[test]
fn who_cannot_say_what_it_misses_is_served_by_the_callers_knowledge() {
    let (mut sender, _, _, mut now) = sent(0, SenderConfig { rounds: 1, ..SenderConfig::default() });
    let from = ReceiverId(9);
    assert_eq!(sender.handle_report(now, from, &report(1, &[])), Ok(()));
    assert_eq!(sender.poll_event(), Some(SenderEvent::Lost(from)));
    // An index beyond the batch is no reason to refuse the others.
    assert_eq!(sender.serve(now, from, [5, 19, 20]), Ok(()));
    let mut served = Vec::new();
    while served.len() < 2 {
        now = sender.poll_timeout().unwrap();
        served.extend(sender.poll_transmit(now));
    }
    assert_eq!(served, [5, 19].map(|index| Outgoing::Unicast { to: from, index }));
}

#[test]
fn impossible_batches_and_configurations_are_refused() {
    let octets = datagrams(3, &mut SeededRandom::new(1));
    let new = |config, batch| Sender::new(config, batch, Proactivity::default(), START, &mut unsealed).err();
    let sound = SenderConfig::default();
    assert_eq!(new(sound, batch(&[], 1)), Some(Error::BatchSize));
    assert_eq!(new(sound, batch(&[Vec::new()], 1)), Some(Error::DatagramLength));
    assert_eq!(new(sound, batch(&[vec![0; 10_000]], 1)), Some(Error::DatagramLength));
    let mut uneven = batch(&octets, 1);
    uneven.audience = vec![1];
    assert_eq!(new(sound, uneven), Some(Error::Config));
    for labels in [vec![vec![1]], vec![vec![1], vec![2, 1], vec![]], vec![(0..300).collect(), vec![], vec![]]]
    {
        let uneven = Batch { labels, ..batch(&octets, 1) };
        assert_eq!(new(sound, uneven), Some(Error::Config));
    }
    for config in [
        SenderConfig { block_datagrams: 0, ..sound },
        SenderConfig { block_datagrams: 256, ..sound },
        SenderConfig { rounds: 0, ..sound },
        SenderConfig { window: std::time::Duration::from_secs(70), ..sound },
        SenderConfig { quantile_permille: 0, ..sound },
        SenderConfig { unicast_attempts: 0, ..sound },
    ] {
        assert_eq!(new(config, batch(&octets, 1)), Some(Error::Config), "{config:?}");
    }
}
