//! One delivery: a real sender, receivers of which a sample is real, and time that is only counted.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use claviger_delivery::{
    Batch, BatchId, Outgoing, Proactivity, Receiver, ReceiverConfig, ReceiverId, Sender, SenderConfig,
    Traffic, backoff,
    receiver::PATIENCE_MAX,
    seal::Authentic,
    wire::{Announcement, Entry, MessageType, Repair, Report},
};
use claviger_sansio::Time;
use claviger_wire::{Decode, Encode};
use criterion::measurement::{Measurement, WallTime};

use super::{
    loss::Network,
    members::Member,
    packing::{Packed, unsealed},
};

pub(crate) const ID: BatchId = BatchId { spi: [7; 16], first_sequence: 1 };
const START: Time = Time::from_secs(1_000_000);
/// How long a report travels.
const UPSTREAM: Duration = Duration::from_millis(50);
/// As in the configuration of real receivers.
const ATTEMPTS: u8 = 8;

/// What one delivery came to.
pub(crate) struct Outcome {
    /// How many members were satisfied after each multicast round, then after unicast.
    pub(crate) satisfied: Vec<usize>,
    pub(crate) traffic: Traffic,
    /// Reports that members sent, before any was lost.
    pub(crate) reports: u64,
    /// Time spent in the sender.
    pub(crate) cpu: Duration,
    pub(crate) proactivity: Proactivity,
    /// The time from the start until so many in a thousand had their keys.
    pub(crate) latest: Option<Duration>,
    /// How many real receivers were in the sample, and how many datagrams they recovered by decoding.
    pub(crate) sample: usize,
    pub(crate) decoded: usize,
    /// The most octets that a real receiver kept.
    pub(crate) buffered: usize,
    /// How many of the sample were satisfied after the first round.
    pub(crate) sample_satisfied: usize,
}

struct Real {
    number: usize,
    receiver: Receiver,
    needs: Vec<u16>,
}

pub(crate) struct Simulation<'a> {
    packed: &'a Packed,
    /// One member of so many is real.
    sample: usize,
    network: Network,
    sender: Sender,
    cpu: Duration,
    members: Vec<Member>,
    /// Which blocks each member still needs, one bit each; none when it is satisfied.
    needed: Vec<u64>,
    /// How many datagrams arrived by multicast for each member.
    received: Vec<u32>,
    real: Vec<Real>,
    /// When members report, unless the time was changed since.
    timers: BinaryHeap<Reverse<(Time, usize)>>,
    due: Vec<Option<Time>>,
    attempts: Vec<u8>,
    in_flight: BinaryHeap<Reverse<(Time, usize, Vec<u8>)>>,
    /// The round of the last announcement, and whether it was the last round.
    announced: u8,
    last: bool,
    reports: u64,
    decoded: usize,
    buffered: usize,
    latest: Option<Time>,
    window: Duration,
    quiet: Duration,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(
        config: SenderConfig,
        packed: &'a Packed,
        sample: usize,
        labelled: bool,
        network: Network,
        proactivity: Proactivity,
    ) -> Self {
        let count = packed.needs.len();
        let (datagrams, audience) = (packed.datagrams.clone(), packed.audience.clone());
        let labels = packed.labels.iter().filter(|_| labelled).cloned().collect();
        let batch = Batch { id: ID, datagrams, audience, labels, receivers: count as u32 };
        let begin = WallTime.start();
        let sender =
            Sender::new(config, batch, proactivity, START, &mut packed.seal()).expect("the batch is sound");
        let cpu = WallTime.end(begin);
        let shape = sender.shape();
        let members: Vec<_> = packed.needs.iter().map(|needs| Member::new(needs, &shape)).collect();
        let receiver_config = ReceiverConfig { receivers: count as u32, ..ReceiverConfig::default() };
        let real = (0..count).step_by(sample).map(|number| {
            let receiver = Receiver::new(receiver_config, ID, START);
            let receiver = receiver.with_labels(packed.paths[number].iter().copied());
            Real { number, receiver, needs: packed.needs[number].clone() }
        });
        Self {
            packed,
            sample,
            buffered: 0,
            network,
            sender,
            cpu,
            real: real.collect(),
            needed: members.iter().map(Member::needed).collect(),
            received: vec![0; count],
            members,
            timers: BinaryHeap::new(),
            due: vec![None; count],
            attempts: vec![0; count],
            in_flight: BinaryHeap::new(),
            announced: 0,
            last: false,
            reports: 0,
            decoded: 0,
            latest: None,
            window: config.window,
            quiet: receiver_config.quiet,
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        let mut now = START;
        let mut round = 1;
        while !self.sender.has_ended() {
            let begin = WallTime.start();
            self.sender.handle_timeout(now, &mut self.packed.seal());
            self.cpu += WallTime.end(begin);
            if self.sender.round() != round {
                round = self.sender.round();
                self.network.settle();
            }
            while let Some(outgoing) = self.sender.poll_transmit(now) {
                self.transmit(now, round, &outgoing);
            }
            while self.sender.poll_event().is_some() {}
            self.report_what_is_due(now);
            while self.in_flight.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
                let Reverse((_, number, report)) = self.in_flight.pop().expect("it was there");
                let begin = WallTime.start();
                let _ = self.sender.handle_report(now, ReceiverId(number as u64), &report);
                self.cpu += WallTime.end(begin);
            }
            let timers = self.timers.peek().map(|Reverse((due, _))| *due);
            let in_flight = self.in_flight.peek().map(|Reverse((due, ..))| *due);
            let real = self.real.iter().filter_map(|real| real.receiver.poll_timeout()).min();
            let next = [timers, in_flight, real, self.sender.poll_timeout()].into_iter().flatten().min();
            now = next.map_or(now, |next| next.max(now + Duration::from_micros(1)));
        }
        let after =
            |round| self.members.iter().filter(|m| m.satisfied_in.is_some_and(|in_| in_ <= round)).count();
        let real = |round| {
            let real = self.members.iter().step_by(self.sample);
            real.filter(|member| member.satisfied_in.is_some_and(|in_| in_ <= round)).count()
        };
        Outcome {
            satisfied: (1..=self.sender.round()).chain([u8::MAX]).map(after).collect(),
            traffic: self.sender.traffic(),
            reports: self.reports,
            cpu: self.cpu,
            proactivity: self.sender.proactivity().clone(),
            latest: self.latest.map(|latest| latest.since(START)),
            sample: self.real.len(),
            decoded: self.decoded,
            buffered: self.buffered,
            sample_satisfied: real(1),
        }
    }

    /// Carries one datagram to whoever it is for.
    fn transmit(&mut self, now: Time, round: u8, outgoing: &Outgoing) {
        if let Outgoing::Unicast { to, index } = outgoing {
            let number = to.0 as usize;
            if !self.network.loses_alone() {
                self.members[number].take_alone(*index, u8::MAX);
                self.take_real(now, number, outgoing);
                self.note(now, number);
            }
            return;
        }
        self.network.send();
        let shape = self.sender.shape();
        let (block, index) = match outgoing {
            Outgoing::Sealed(octets) => match MessageType::of(unsealed(octets)) {
                Some(MessageType::Announcement) => {
                    let announcement = Announcement::from_octets(unsealed(octets));
                    return self.announce(now, &announcement.expect("the sender wrote it"), outgoing);
                }
                Some(MessageType::Directory) => return self.tell(now, outgoing),
                _ => (Repair::from_octets(unsealed(octets)).expect("the sender wrote it").block, None),
            },
            Outgoing::Datagram { index } | Outgoing::Unicast { index, .. } => {
                (shape.place(*index).expect("it is in the batch").block, Some(*index))
            }
        };
        for number in 0..self.members.len() {
            if self.needed[number] == 0 || self.network.loses(number) {
                continue;
            }
            self.received[number] += 1;
            if number.is_multiple_of(self.sample) {
                // Of the sample the decoder itself says what it recovers.
                self.take_real(now, number, outgoing);
            } else if self.needed[number] >> block & 1 == 1 {
                let (member, dice) = (&mut self.members[number], &mut self.network.dice);
                match index {
                    Some(index) => member.take_datagram(index, block, round, dice),
                    None => member.take_repair(block, round, dice),
                }
            } else {
                continue;
            }
            self.note(now, number);
        }
    }

    /// Lets a real receiver take what arrived.
    fn take_real(&mut self, now: Time, number: usize, outgoing: &Outgoing) {
        if !number.is_multiple_of(self.sample) {
            return;
        }
        let real = &mut self.real[number / self.sample];
        let (member, count) = (&mut self.members[number], self.packed.datagrams.len() as u16);
        let in_round = if self.last { u8::MAX } else { self.sender.round() };
        match outgoing {
            Outgoing::Datagram { index } | Outgoing::Unicast { index, .. } => {
                let octets = &self.packed.datagrams[usize::from(*index)];
                let _ = real.receiver.handle_datagram(now, *index, count, octets);
                real.needs.retain(|needed| needed != index);
            }
            Outgoing::Sealed(octets) => {
                let message = Authentic::verified(unsealed(octets));
                let _ = real.receiver.handle_control(now, message, &mut self.network.dice);
            }
        }
        self.buffered = self.buffered.max(real.receiver.buffered_octets());
        while let Some(recovered) = real.receiver.poll_recovered() {
            assert_eq!(
                recovered.octets,
                self.packed.datagrams[usize::from(recovered.index)],
                "what was sent comes out"
            );
            real.needs.retain(|needed| *needed != recovered.index);
            self.decoded += 1;
        }
        if real.needs.is_empty() {
            real.receiver.satisfied();
            member.satisfied_in.get_or_insert(in_round);
        }
    }

    /// Carries a directory: the modelled members know what it says.
    fn tell(&mut self, now: Time, outgoing: &Outgoing) {
        for number in 0..self.members.len() {
            if self.needed[number] != 0 && !self.network.loses(number) {
                self.take_real(now, number, outgoing);
            }
        }
    }

    /// Carries an announcement: members draw the delay of their report, or keep silent.
    fn announce(&mut self, now: Time, announcement: &Announcement, outgoing: &Outgoing) {
        let new_round = announcement.round > self.announced || announcement.last && !self.last;
        if new_round {
            self.announced = announcement.round;
            self.due.fill(None);
        }
        self.last |= announcement.last;
        for number in 0..self.members.len() {
            if self.members[number].satisfied_in.is_some() {
                continue;
            }
            let lost = self.network.loses(number);
            if number.is_multiple_of(self.sample) {
                if !lost {
                    self.take_real(now, number, outgoing);
                }
                continue;
            }
            let (window, dice) = (self.window, &mut self.network.dice);
            let covered = !announcement.heard.is_empty()
                && self.members[number].missing().all(|(block, missing, _)| {
                    announcement.heard.iter().any(|heard| heard.block == block && heard.missing >= missing)
                });
            let delay = match (lost, self.last, covered) {
                (false, false, true) => {
                    self.due[number] = None;
                    continue;
                }
                (false, true, _) => backoff::spread(window, dice),
                (false, false, false) => backoff::suppressed(window, announcement.receivers, dice),
                // Who did not hear it reports after a while of silence.
                (true, ..) => self.quiet + backoff::suppressed(window, announcement.receivers, dice),
            };
            if new_round {
                self.attempts[number] = 0;
                self.set_timer(number, now + delay);
            }
        }
    }

    fn report_what_is_due(&mut self, now: Time) {
        while let Some(Reverse((due, number))) =
            self.timers.peek().copied().filter(|Reverse((due, _))| *due <= now)
        {
            self.timers.pop();
            let member = &self.members[number];
            if self.due[number] != Some(due)
                || member.satisfied_in.is_some()
                || self.attempts[number] == ATTEMPTS
            {
                continue;
            }
            let shape = self.sender.shape();
            let entries = member.missing().flat_map(|(block, missing, indices)| {
                indices.map(move |index| {
                    let symbol = shape.place(index).expect("it is in the batch").number;
                    Entry { block, first: symbol, last: symbol, missing }
                })
            });
            let (round, received) = (self.announced, self.received[number]);
            let report = Report { batch: ID, round, received, entries: entries.collect() };
            self.attempts[number] += 1;
            let patience = self.window * (1u32 << self.attempts[number]).min(PATIENCE_MAX);
            let jitter = backoff::spread(self.window, &mut self.network.dice);
            self.set_timer(number, now + patience + jitter);
            self.send_report(now, number, report.to_octets());
        }
        for place in 0..self.real.len() {
            let real = &mut self.real[place];
            real.receiver.handle_timeout(now, &mut self.network.dice);
            let number = real.number;
            while let Some(report) = self.real[place].receiver.poll_report() {
                self.send_report(now, number, report);
            }
        }
    }

    fn send_report(&mut self, now: Time, number: usize, report: Vec<u8>) {
        self.reports += 1;
        if !self.network.loses_alone() {
            self.in_flight.push(Reverse((now + UPSTREAM, number, report)));
        }
    }

    fn set_timer(&mut self, number: usize, due: Time) {
        self.due[number] = Some(due);
        self.timers.push(Reverse((due, number)));
    }

    fn note(&mut self, now: Time, number: usize) {
        let member = &self.members[number];
        self.needed[number] = if member.satisfied_in.is_some() { 0 } else { member.needed() };
        if member.satisfied_in.is_some() {
            self.latest = Some(now);
        }
    }
}
