//! A sender and many receivers over a network that loses datagrams, in one thread, under a seed.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeSet, time::Duration};

use claviger_crypto::{Random, SeededRandom, random};
use claviger_delivery::{
    Batch, BatchId, Error, Outgoing, Proactivity, Receiver, ReceiverConfig, ReceiverEvent, ReceiverId,
    Sender, SenderConfig, SenderEvent, Traffic,
    limits::REPORT_ENTRIES_MAX,
    seal::Authentic,
    wire::{Entry, Report},
};
use claviger_sansio::Time;
use claviger_wire::Encode;

pub(crate) const ID: BatchId = BatchId { spi: *b"sixteen octets!!", first_sequence: 1_000 };
pub(crate) const START: Time = Time::from_secs(1_000);
/// How long everything travels.
const DELAY: Duration = Duration::from_millis(20);

pub(crate) fn unsealed(payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    payloads
}

/// Datagrams of different lengths and content.
pub(crate) fn datagrams(count: usize, random: &mut dyn Random) -> Vec<Vec<u8>> {
    let datagram = |_| {
        let [length, ..] = random::array::<2>(random);
        let mut octets = vec![0; 60 + usize::from(length)];
        random.fill(&mut octets);
        octets
    };
    (0..count).map(datagram).collect()
}

pub(crate) fn batch(datagrams: &[Vec<u8>], receivers: usize) -> Batch {
    let (audience, labels) = (Vec::new(), Vec::new());
    Batch { id: ID, datagrams: datagrams.to_vec(), audience, labels, receivers: receivers as u32 }
}

pub(crate) fn below(limit: u32, random: &mut dyn Random) -> u32 {
    u32::from_be_bytes(random::array(random)) % limit
}

/// One receiver and the layer above it, which knows what it needs.
struct Member {
    receiver: Receiver,
    needs: BTreeSet<u16>,
    satisfied_in: Option<u8>,
    gave_up: bool,
}

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many receivers have what they need after each round; the last is after unicast.
    pub(crate) satisfied: Vec<usize>,
    /// How many receivers gave up.
    pub(crate) gave_up: usize,
    pub(crate) traffic: Traffic,
    pub(crate) proactivity: Proactivity,
    pub(crate) ended: Time,
}

pub(crate) struct Network {
    /// How many of a thousand datagrams are lost, one by one for each receiver, reports too.
    pub(crate) loss_permille: u32,
    /// How many datagrams one after the other are lost on average where one is.
    pub(crate) burst: u32,
    /// Receivers that lose everything.
    pub(crate) deaf: BTreeSet<usize>,
    /// How many more receivers report after each round that they got nothing at all.
    pub(crate) liars: u64,
    /// Receivers in a burst of losses.
    losing: BTreeSet<usize>,
    pub(crate) random: SeededRandom,
    pub(crate) hint: bool,
}

impl Network {
    pub(crate) fn new(loss_permille: u32, seed: u64) -> Self {
        Self {
            loss_permille,
            burst: 1,
            deaf: BTreeSet::new(),
            liars: 0,
            losing: BTreeSet::new(),
            random: SeededRandom::new(seed),
            hint: true,
        }
    }

    fn loses(&mut self, member: usize) -> bool {
        if self.deaf.contains(&member) {
            return true;
        }
        // Of a burst each datagram is the last with the same probability, and so is each between two bursts.
        let goes_on = self.losing.remove(&member) && below(self.burst, &mut self.random) > 0;
        let begins = |random: &mut SeededRandom| {
            let permille = if self.burst == 1 {
                self.loss_permille
            } else {
                self.loss_permille * 1_000 / (self.burst * (1_000 - self.loss_permille))
            };
            below(1_000, random) < permille
        };
        let loses = goes_on || begins(&mut self.random);
        if loses && self.burst > 1 {
            self.losing.insert(member);
        }
        loses
    }

    /// Delivers a batch to receivers with these needs, until the sender ends.
    pub(crate) fn deliver(
        &mut self,
        config: SenderConfig,
        datagrams: &[Vec<u8>],
        needs: &[Vec<u16>],
        proactivity: Proactivity,
    ) -> Outcome {
        let seal = &mut unsealed;
        let mut now = START;
        // A datagram's label is its index, and a receiver's are those of what it needs.
        let labels = (0..datagrams.len() as u32).map(|index| vec![index]).filter(|_| self.hint).collect();
        let batch = Batch { labels, ..batch(datagrams, needs.len()) };
        let mut sender = Sender::new(config, batch, proactivity, now, seal).expect("the batch is sound");
        let config = ReceiverConfig { receivers: needs.len() as u32, ..ReceiverConfig::default() };
        let member = |needs: &Vec<u16>| {
            let mut receiver = Receiver::new(config, ID, now);
            if self.hint {
                receiver = receiver.with_labels(needs.iter().map(|index| u32::from(*index)));
            }
            let needs = needs.iter().copied().collect();
            Member { receiver, needs, satisfied_in: None, gave_up: false }
        };
        let mut members: Vec<_> = needs.iter().map(member).collect();
        let mut reports: Vec<(Time, usize, Vec<u8>)> = Vec::new();
        let mut steps = 0;
        while !sender.has_ended() {
            steps += 1;
            assert!(steps < 2_000_000, "the delivery ends");
            sender.handle_timeout(now, seal);
            while let Some(outgoing) = sender.poll_transmit(now) {
                let round =
                    if matches!(outgoing, Outgoing::Unicast { .. }) { u8::MAX } else { sender.round() };
                for (number, member) in members.iter_mut().enumerate() {
                    let addressed = match outgoing {
                        Outgoing::Unicast { to, .. } => to == ReceiverId(number as u64),
                        _ => true,
                    };
                    if addressed && member.satisfied_in.is_none() && !self.loses(number) {
                        self.receive(now, round, member, &outgoing, datagrams);
                    }
                }
            }
            while let Some(event) = sender.poll_event() {
                match event {
                    SenderEvent::Lost(ReceiverId(number)) => {
                        let _ = sender.serve(now, ReceiverId(number), needs[number as usize].iter().copied());
                    }
                    SenderEvent::GaveUp(_) | SenderEvent::Ended => {}
                }
            }
            for (number, member) in members.iter_mut().enumerate() {
                member.receiver.handle_timeout(now, &mut self.random);
                while let Some(report) = member.receiver.poll_report() {
                    if below(1_000, &mut self.random) >= self.loss_permille {
                        reports.push((now + DELAY, number, report));
                    }
                }
                while let Some(event) = member.receiver.poll_event() {
                    assert_eq!(event, ReceiverEvent::GaveUp);
                    member.gave_up = true;
                }
            }
            for liar in 0..self.liars {
                let _ = sender.handle_report(now, ReceiverId(u64::MAX - liar), &lie(&sender));
            }
            let arrived: Vec<_> = reports.extract_if(.., |(due, ..)| *due <= now).collect();
            for (_, number, report) in arrived {
                let refused = sender.handle_report(now, ReceiverId(number as u64), &report).err();
                let expected = [None, Some(Error::Stale), Some(Error::Duplicate), Some(Error::Ended)];
                assert!(expected.contains(&refused), "{refused:?}");
            }
            let timeouts = members.iter().filter_map(|member| member.receiver.poll_timeout());
            let timeouts = timeouts.chain(sender.poll_timeout()).chain(reports.iter().map(|(due, ..)| *due));
            let next = timeouts.min().unwrap_or(now);
            now = next.max(now + Duration::from_micros(1));
        }
        let after = |round| members.iter().filter(|m| m.satisfied_in.is_some_and(|in_| in_ <= round)).count();
        Outcome {
            satisfied: (1..=sender.round()).chain([u8::MAX]).map(after).collect(),
            gave_up: members.iter().filter(|member| member.gave_up).count(),
            traffic: sender.traffic(),
            proactivity: sender.proactivity().clone(),
            ended: now,
        }
    }

    fn receive(
        &mut self,
        now: Time,
        round: u8,
        member: &mut Member,
        outgoing: &Outgoing,
        datagrams: &[Vec<u8>],
    ) {
        let taken = match outgoing {
            Outgoing::Datagram { index } | Outgoing::Unicast { index, .. } => {
                member.needs.remove(index);
                let octets = &datagrams[usize::from(*index)];
                member.receiver.handle_datagram(now, *index, datagrams.len() as u16, octets)
            }
            Outgoing::Sealed(octets) => {
                member.receiver.handle_control(now, Authentic::verified(octets), &mut self.random)
            }
        };
        let expected = [Error::Unneeded, Error::Duplicate, Error::Stale, Error::Ended];
        assert!(taken.is_ok() || taken.is_err_and(|error| expected.contains(&error)), "{taken:?}");
        while let Some(recovered) = member.receiver.poll_recovered() {
            assert_eq!(recovered.octets, datagrams[usize::from(recovered.index)]);
            member.needs.remove(&recovered.index);
        }
        if member.needs.is_empty() {
            member.satisfied_in = Some(round);
            member.receiver.satisfied();
        }
    }
}

/// Reports that nothing of the batch arrived, as far as one report can.
pub(crate) fn lie(sender: &Sender) -> Vec<u8> {
    let shape = sender.shape();
    let whole = |block| Entry {
        block,
        first: 0,
        last: (shape.datagrams_of(block) - 1) as u8,
        missing: shape.repairs(block).min(u8::MAX.into()) as u8,
    };
    let entries = shape.block_numbers().take(REPORT_ENTRIES_MAX).map(whole).collect();
    Report { batch: sender.batch(), round: sender.round(), received: 0, entries }.to_octets()
}

/// Needs as a key tree makes them: one datagram at the bottom, one in the middle close by, one at the top.
pub(crate) fn tree_needs(receivers: usize, datagrams: usize) -> Vec<Vec<u16>> {
    let needs = |receiver: usize| {
        let bottom = receiver * datagrams / receivers;
        let mut needs = vec![bottom, (bottom / 16 * 16 + 15).min(datagrams - 1), datagrams - 1];
        needs.dedup();
        needs.into_iter().map(|index| index as u16).collect()
    };
    (0..receivers).map(needs).collect()
}
