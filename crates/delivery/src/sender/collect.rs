//! What the reports of one round come to.

use std::collections::BTreeSet;

use super::ReceiverId;
use crate::{
    Error,
    limits::{NEEDS_MAX, RECEIVERS_MAX, REPORTERS_MIN},
    wire::{Heard, Report},
};

/// The highest loss that is believed, so that what is divided by the rest stays small.
const LOSS_MAX: f64 = 0.75;

/// The reports of one round.
pub(super) struct Collected {
    reporters: BTreeSet<ReceiverId>,
    blocks: Vec<Needs>,
}

/// What was reported of one block.
#[derive(Clone)]
struct Needs {
    /// What so many reporters have to reach is believed.
    rank: usize,
    /// How many repairs each reporter misses.
    missing: Vec<u8>,
    /// How many repairs have to be sent for each.
    to_send: Vec<u32>,
}

impl Collected {
    /// Begins a round: for blocks with these audiences, all but some of whom, in permille, are repaired by multicast.
    pub(super) fn new(audiences: &[u32], quantile_permille: u16) -> Self {
        let needs = |audience: &u32| Needs {
            rank: rank(*audience, quantile_permille),
            missing: Vec::new(),
            to_send: Vec::new(),
        };
        Self { reporters: BTreeSet::new(), blocks: audiences.iter().map(needs).collect() }
    }

    /// Adds a report, whose blocks exist, of a receiver to whom `sent` datagrams were sent. Says whether others
    /// should hear of it.
    pub(super) fn add(&mut self, from: ReceiverId, report: &Report, sent: u64) -> Result<bool, Error> {
        if self.reporters.contains(&from) {
            return Err(Error::Duplicate);
        }
        if self.reporters.len() == RECEIVERS_MAX {
            return Err(Error::TooMany);
        }
        self.reporters.insert(from);
        let loss = 1.0 - f64::from(report.received) / sent.max(1) as f64;
        // Who reports nothing in particular has not heard how the batch is divided.
        let mut news = report.entries.is_empty();
        let mut before = None;
        for entry in &report.entries {
            if before.replace(entry.block) == Some(entry.block) {
                continue;
            }
            let block = &mut self.blocks[usize::from(entry.block)];
            let believed = block.missing();
            if block.missing.len() < NEEDS_MAX {
                block.missing.push(entry.missing);
                block.to_send.push(to_send(entry.missing, loss));
            }
            news |= block.missing() > believed;
        }
        Ok(news)
    }

    /// Returns the repairs that enough receivers miss of a block.
    pub(super) fn missing(&self, block: u8) -> u8 {
        self.blocks[usize::from(block)].missing()
    }

    /// Returns the repairs of a block to send so that all but too few have enough.
    pub(super) fn repairs(&self, block: u8) -> u32 {
        let Needs { rank, to_send, .. } = &self.blocks[usize::from(block)];
        reached_by(*rank, to_send)
    }

    /// Returns what receivers are told of it. What too few have reported keeps nobody silent.
    pub(super) fn heard(&self) -> Vec<Heard> {
        let believed = self.blocks.iter().map(Needs::missing).zip(0u8..=u8::MAX);
        let believed = believed.filter(|(missing, _)| *missing > 0);
        believed.map(|(missing, block)| Heard { block, missing }).collect()
    }

    pub(super) fn clear(&mut self) {
        self.reporters.clear();
        for Needs { rank: _, missing, to_send } in &mut self.blocks {
            missing.clear();
            to_send.clear();
        }
    }
}

impl Needs {
    fn missing(&self) -> u8 {
        reached_by(self.rank, &self.missing)
    }
}

/// Says how many of a block's audience have to miss as much as is repaired by multicast: one more than may be left to
/// unicast, and never so few that one liar could decide.
fn rank(audience: u32, quantile_permille: u16) -> usize {
    let left_out = u64::from(audience) * u64::from(1_000 - quantile_permille) / 1_000;
    usize::try_from(left_out).map_or(usize::MAX, |left_out| left_out.saturating_add(1)).max(REPORTERS_MIN)
}

/// Returns the most that so many values reach; zero if there are fewer.
fn reached_by<T: Copy + Ord + Default>(rank: usize, values: &[T]) -> T {
    let mut values = values.to_vec();
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(rank - 1).copied().unwrap_or_default()
}

/// Returns the repairs to send so that a receiver with this loss gets `missing` of them more likely than not, by one
/// standard deviation; and one more, because as many symbols as a block has fail to decode once in a hundred.
fn to_send(missing: u8, loss: f64) -> u32 {
    let (missing, loss) = (f64::from(missing), loss.clamp(0.0, LOSS_MAX));
    ((missing + (missing * loss).sqrt()) / (1.0 - loss)).ceil() as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Entry, test::BATCH};

    fn report(received: u32, missing: u8) -> Report {
        let entries = vec![
            Entry { block: 1, first: 0, last: 0, missing },
            Entry { block: 1, first: 2, last: 3, missing },
        ];
        Report { batch: BATCH, round: 1, received, entries }
    }

    fn collected(audience: u32, quantile_permille: u16) -> Collected {
        let mut collected = Collected::new(&[audience; 2], quantile_permille);
        for receiver in 0..10 {
            let missing = receiver as u8 + 1;
            let news = collected.add(ReceiverId(receiver), &report(100, missing), 100);
            assert_eq!(news, Ok(receiver + 1 >= collected.blocks[1].rank as u64), "{receiver}");
        }
        collected
    }

    #[test]
    fn what_three_receivers_miss_is_believed_and_each_counts_once() {
        let mut collected = collected(1_000, 1_000);
        assert_eq!(collected.add(ReceiverId(3), &report(100, 200), 100), Err(Error::Duplicate));
        assert_eq!(collected.add(ReceiverId(10), &report(100, 2), 100), Ok(false), "others said more");
        assert_eq!((collected.missing(1), collected.repairs(1)), (8, 9));
        assert_eq!((collected.missing(0), collected.repairs(0)), (0, 0));
        assert_eq!(collected.heard(), [Heard { block: 1, missing: 8 }]);
        collected.clear();
        assert_eq!(collected.missing(1), 0);
    }

    #[test]
    fn the_quantile_is_one_of_the_audience_and_not_of_those_who_report() {
        assert_eq!(collected(1_000, 996).missing(1), 6);
        assert_eq!(collected(1_000, 500).missing(1), 0, "501 would have to report");
        assert_eq!(collected(3, 1).missing(1), 8, "two may be left to unicast");
        let mut alone = Collected::new(&[2; 2], 1_000);
        for receiver in 0..2 {
            assert_eq!(alone.add(ReceiverId(receiver), &report(0, 9), 100), Ok(false));
        }
        assert_eq!((alone.missing(1), alone.heard()), (0, vec![]), "they are served alone");
    }

    #[test]
    fn more_is_sent_where_more_is_lost_but_not_without_bounds() {
        assert_eq!(to_send(10, 0.0), 11);
        assert_eq!(to_send(10, 0.2), 16);
        assert_eq!(to_send(10, 1.0), to_send(10, LOSS_MAX));
        assert_eq!(to_send(10, -3.0), 11, "who claims to have received more than was sent lost nothing");
    }
}
