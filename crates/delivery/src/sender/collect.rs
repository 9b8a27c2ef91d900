//! What the reports of one round come to.

use std::collections::BTreeSet;

use super::ReceiverId;
use crate::{
    Error,
    limits::{NEEDS_MAX, RECEIVERS_MAX},
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
#[derive(Default, Clone)]
struct Needs {
    /// The most repairs missed so far.
    worst: u8,
    /// How many repairs each reporter misses, and how many have to be sent for it.
    needs: Vec<(u8, u32)>,
}

impl Collected {
    pub(super) fn new(blocks: usize) -> Self {
        Self { reporters: BTreeSet::new(), blocks: vec![Needs::default(); blocks] }
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
            news |= entry.missing > block.worst;
            block.worst = block.worst.max(entry.missing);
            if block.needs.len() < NEEDS_MAX {
                block.needs.push((entry.missing, to_send(entry.missing, loss)));
            }
        }
        Ok(news)
    }

    /// Returns the repairs that the receiver at the quantile misses of a block.
    pub(super) fn missing(&self, block: u8, quantile_permille: u16) -> u16 {
        let needs = self.blocks[usize::from(block)].needs.iter().map(|(missing, _)| u32::from(*missing));
        quantile(needs.collect(), quantile_permille) as u16
    }

    /// Returns the repairs of a block to send for the receiver at the quantile.
    pub(super) fn repairs(&self, block: u8, quantile_permille: u16) -> u32 {
        let needs = self.blocks[usize::from(block)].needs.iter().map(|(_, to_send)| *to_send);
        quantile(needs.collect(), quantile_permille)
    }

    /// Returns what receivers are told of it.
    pub(super) fn heard(&self) -> Vec<Heard> {
        let worst = self.blocks.iter().zip(0u8..=u8::MAX).filter(|(needs, _)| needs.worst > 0);
        worst.map(|(needs, block)| Heard { block, missing: needs.worst }).collect()
    }

    pub(super) fn clear(&mut self) {
        self.reporters.clear();
        self.blocks.fill(Needs::default());
    }
}

/// Returns the repairs to send so that a receiver with this loss gets `missing` of them more likely than not, by one
/// standard deviation; and one more, because as many symbols as a block has fail to decode once in a hundred.
fn to_send(missing: u8, loss: f64) -> u32 {
    let (missing, loss) = (f64::from(missing), loss.clamp(0.0, LOSS_MAX));
    ((missing + (missing * loss).sqrt()) / (1.0 - loss)).ceil() as u32 + 1
}

/// Returns the need that so many permille of `needs` do not exceed; zero if there is none.
fn quantile(mut needs: Vec<u32>, permille: u16) -> u32 {
    needs.sort_unstable();
    let rank = (needs.len() * usize::from(permille)).div_ceil(1_000).max(1);
    needs.get(rank - 1).copied().unwrap_or(0)
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

    #[test]
    fn the_worst_or_the_quantile_decides_and_a_receiver_counts_once() {
        let mut collected = Collected::new(2);
        for receiver in 0..10 {
            let missing = receiver as u8 + 1;
            assert_eq!(collected.add(ReceiverId(receiver), &report(100, missing), 100), Ok(true));
        }
        assert_eq!(collected.add(ReceiverId(3), &report(100, 200), 100), Err(Error::Duplicate));
        assert_eq!(collected.add(ReceiverId(10), &report(100, 2), 100), Ok(false), "others said more");
        assert_eq!(collected.missing(1, 1_000), 10);
        assert_eq!(collected.missing(1, 900), 9);
        assert_eq!(collected.repairs(1, 1_000), 11);
        assert_eq!(collected.repairs(0, 1_000), 0);
        assert_eq!(collected.heard(), [Heard { block: 1, missing: 10 }]);
        collected.clear();
        assert_eq!(collected.missing(1, 1_000), 0);
    }

    #[test]
    fn more_is_sent_where_more_is_lost_but_not_without_bounds() {
        assert_eq!(to_send(10, 0.0), 11);
        assert_eq!(to_send(10, 0.2), 16);
        assert_eq!(to_send(10, 1.0), to_send(10, LOSS_MAX));
        assert_eq!(to_send(10, -3.0), 11, "who claims to have received more than was sent lost nothing");
    }
}
