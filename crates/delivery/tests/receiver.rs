//! When a receiver speaks, when it keeps silent, and what it keeps.

mod support;

use std::time::Duration;

use claviger_crypto::SeededRandom;
use claviger_delivery::{
    Receiver, ReceiverConfig, ReceiverEvent, Shape,
    code::BlockEncoder,
    seal::Authentic,
    wire::{Announcement, Directory, Entry, Heard, Repair, Report},
};
use claviger_sansio::Time;
use claviger_wire::{Decode, Encode};

use support::{ID, START, datagrams};

const COUNT: u16 = 40;

struct Bench {
    receiver: Receiver,
    octets: Vec<Vec<u8>>,
    shape: Shape,
    random: SeededRandom,
    now: Time,
}

impl Bench {
    /// A receiver that has all of 40 datagrams in two blocks but those at `lost`.
    fn new(lost: &[u16]) -> Self {
        let octets = datagrams(COUNT.into(), &mut SeededRandom::new(1));
        let longest = octets.iter().map(Vec::len).max().expect("there are datagrams");
        let shape = Shape::divide(COUNT.into(), longest, 20, 1_000).expect("the batch is sound");
        let mut receiver = Receiver::new(ReceiverConfig::default(), ID, START).with_labels([3, 1_000]);
        for index in (0..COUNT).filter(|index| !lost.contains(index)) {
            let octets = &octets[usize::from(index)];
            receiver.handle_datagram(START, index, COUNT, octets).expect("it is the batch's");
        }
        Self { receiver, octets, shape, random: SeededRandom::new(2), now: START }
    }

    fn announce(&mut self, round: u8, last: bool, heard: &[(u8, u8)]) {
        let heard = heard.iter().map(|&(block, missing)| Heard { block, missing }).collect();
        let (shape, window_ms, receivers) = (self.shape, 1_000, 1_000);
        let announcement = Announcement { batch: ID, round, last, shape, window_ms, receivers, heard };
        let message = announcement.to_octets();
        let taken = self.receiver.handle_control(self.now, Authentic::verified(&message), &mut self.random);
        assert_eq!(taken, Ok(()));
    }

    /// Says that each datagram from `first` on has its index as its label.
    fn tell(&mut self, first: u16, last: u16) {
        let labels = (first..=last).map(|index| vec![index.into()]).collect();
        let message = Directory { batch: ID, round: 1, shape: self.shape, first, labels }.to_octets();
        let taken = self.receiver.handle_control(self.now, Authentic::verified(&message), &mut self.random);
        assert_eq!(taken, Ok(()));
    }

    fn repair(&mut self, round: u8, block: u8, count: u32) {
        let first = usize::from(self.shape.first(block));
        let datagrams = &self.octets[first..first + usize::from(self.shape.datagrams_of(block))];
        for (symbol_id, symbols) in BlockEncoder::new(&self.shape, block, datagrams).repair(0, count) {
            let repair = Repair { batch: ID, round, shape: self.shape, block, symbol_id, symbols };
            let message = repair.to_octets();
            let _ = self.receiver.handle_control(self.now, Authentic::verified(&message), &mut self.random);
        }
    }

    /// Lets so much time pass, and returns what was reported.
    fn wait(&mut self, time: Duration) -> Vec<Report> {
        let until = self.now + time;
        let mut reports = Vec::new();
        while let Some(due) = self.receiver.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            self.receiver.handle_timeout(due, &mut self.random);
            while let Some(report) = self.receiver.poll_report() {
                reports.push(Report::from_octets(&report).expect("a report is sound"));
            }
        }
        self.now = until;
        reports
    }
}

#[test]
fn reports_within_the_window_what_it_misses() {
    let mut bench = Bench::new(&[3, 4, 7, 25]);
    bench.announce(1, false, &[]);
    let reports = bench.wait(Duration::from_secs(1));
    let entry = |block, first, last, missing| Entry { block, first, last, missing };
    let entries = vec![entry(0, 3, 4, 3), entry(0, 7, 7, 3), entry(1, 5, 5, 1)];
    assert_eq!(reports, [Report { batch: ID, round: 1, received: 36, entries }]);
}

#[test]
fn who_misses_very_much_says_how_much_of_each_block() {
    let octets = datagrams(200, &mut SeededRandom::new(1));
    let shape = Shape::divide(200, 400, 20, 1_000).expect("the batch is sound");
    let random = &mut SeededRandom::new(2);
    for last in [false, true] {
        let mut receiver = Receiver::new(ReceiverConfig::default(), ID, START);
        for index in (0..200).step_by(2) {
            receiver
                .handle_datagram(START, index, 200, &octets[usize::from(index)])
                .expect("it is the batch's");
        }
        let heard = Vec::new();
        let announcement =
            Announcement { batch: ID, round: 1, last, shape, window_ms: 1_000, receivers: 1_000, heard };
        let message = announcement.to_octets();
        receiver.handle_control(START, Authentic::verified(&message), random).expect("it is sound");
        receiver.handle_timeout(receiver.poll_timeout().expect("a report is due"), random);
        let report = receiver.poll_report().and_then(|report| Report::from_octets(&report).ok());
        let entries = report.expect("it reports").entries;
        if last {
            assert_eq!(entries.len(), 64, "so many single datagrams, and more the next time");
            assert!(entries.iter().all(|entry| entry.first == entry.last));
        } else {
            let whole = |block| Entry { block, first: 1, last: 19, missing: 10 };
            assert_eq!(entries, (0..10).map(whole).collect::<Vec<_>>());
        }
    }
}

#[test]
fn keeps_silent_when_others_have_said_as_much_of_every_block() {
    let mut bench = Bench::new(&[3, 4, 25]);
    bench.announce(1, false, &[]);
    bench.announce(1, false, &[(0, 2), (1, 1)]);
    assert_eq!(bench.wait(Duration::from_secs(2)), []);

    for heard in [&[(0, 2)][..], &[(0, 1), (1, 1)], &[(1, 9)]] {
        let mut bench = Bench::new(&[3, 4, 25]);
        bench.announce(1, false, heard);
        assert_eq!(bench.wait(Duration::from_secs(1)).len(), 1, "{heard:?} is less than it misses");
    }
}

#[test]
fn speaks_after_the_last_round_whatever_others_have_said() {
    let mut bench = Bench::new(&[3]);
    bench.announce(1, false, &[(0, 5)]);
    bench.announce(1, true, &[(0, 5)]);
    assert_eq!(bench.wait(Duration::from_secs(1)).len(), 1);
}

#[test]
fn a_round_that_has_begun_makes_a_report_needless() {
    let mut bench = Bench::new(&[3, 4]);
    bench.announce(1, false, &[]);
    bench.repair(2, 0, 1);
    assert_eq!(bench.wait(Duration::from_millis(999)), [], "what it would say is outdated");
    bench.repair(2, 0, 3);
    let recovered = [(); 2].map(|()| bench.receiver.poll_recovered().expect("the block was recovered"));
    assert_eq!(recovered.map(|recovered| recovered.index), [3, 4]);
}

#[test]
fn speaks_unasked_after_silence_and_gives_up_in_the_end() {
    let mut bench = Bench::new(&[3]);
    let config = ReceiverConfig::default();
    let reports = bench.wait(config.quiet + config.window);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].entries, [], "it does not know how the batch is divided");
    bench.announce(1, true, &[]);
    let reports = bench.wait(Duration::from_secs(600));
    assert_eq!(reports.len(), usize::from(config.attempts) - 1);
    assert_eq!(bench.receiver.poll_event(), Some(ReceiverEvent::GaveUp));
    assert!(bench.receiver.has_ended());
}

#[test]
fn says_so_when_the_batch_cannot_help() {
    let mut bench = Bench::new(&[]);
    bench.announce(1, false, &[]);
    assert_eq!(bench.wait(Duration::from_secs(1)), []);
    assert_eq!(bench.receiver.poll_event(), Some(ReceiverEvent::NothingMissing));
}

#[test]
fn what_no_directory_speaks_of_may_be_wanted() {
    let mut bench = Bench::new(&[3, 25]);
    bench.announce(1, false, &[]);
    bench.tell(0, 20);
    let entries = bench.wait(Duration::from_secs(1)).pop().expect("something is missing").entries;
    assert_eq!(entries.len(), 2, "{entries:?}");
}

#[test]
fn keeps_only_what_helps_with_what_is_wanted() {
    let mut bench = Bench::new(&[3, 25]);
    let all: usize = bench.octets.iter().map(Vec::len).sum();
    let first_block: usize = bench.octets[..20].iter().map(Vec::len).sum();
    let lost = |index: usize| bench.octets[index].len();
    let (lost_3, lost_25) = (lost(3), lost(25));
    assert_eq!(bench.receiver.buffered_octets(), all - lost_3 - lost_25);
    bench.announce(1, false, &[]);
    bench.tell(0, 30);
    assert_eq!(bench.receiver.buffered_octets(), first_block - lost_3);
    let mut reports = bench.wait(Duration::from_secs(1));
    let entries = reports.pop().expect("something is missing").entries;
    assert_eq!(entries, [Entry { block: 0, first: 3, last: 3, missing: 1 }], "the other loss is not its own");
    bench.repair(2, 1, 3);
    assert_eq!(bench.receiver.poll_recovered(), None, "the other block is not wanted");
    assert_eq!(bench.receiver.buffered_octets(), first_block - lost_3);
    bench.repair(2, 0, 3);
    let recovered = bench.receiver.poll_recovered().expect("the block was recovered");
    assert_eq!((recovered.index, &recovered.octets), (3, &bench.octets[3]));
    assert_eq!(bench.receiver.buffered_octets(), 0);
    bench.receiver.satisfied();
    assert_eq!(bench.receiver.poll_timeout(), None);
}
