//! How much repair goes out before anybody asks.

/// Classes of blocks by audience, two octaves of the number of receivers to a class, and by size, one octave of
/// the number of repairs that make up for a block to a class.
const CLASSES: usize = 16 * SIZES;
const SIZES: usize = 8;

/// The most repairs sent unasked, in permille of those that make up for the block.
const EXTRA_PERMILLE_MAX: u32 = 1_500;

/// The share of a class's blocks, as a divisor, that may go short without more being sent the next time: it is
/// cheaper to repair a few blocks on request than all of them beforehand.
const BLOCKS_SHORT_DIVISOR: usize = 4;

/// What is forgotten when nothing was missing, as a divisor of what was sent unasked: a loss that has passed does
/// not cost for long.
const FORGOTTEN_DIVISOR: u32 = 16;

/// The proactivity factor, learned from rekey to rekey: how many repairs are sent with the datagrams
/// themselves, before any report.
///
/// It follows Zhang, Lam, Lee and Yang ("Protocol design for scalable and reliable group rekeying"), who raise
/// their factor rho by what the reports of the first round still asked for, and lower it by one packet when few
/// came. Here it is kept for each class of blocks of like audience and size: of a hundred thousand receivers that need
/// the block with the tree's top some are always unlucky, of the thousand that need another block fewer are; and
/// the three datagrams of a single departure say nothing about a block of sixty. What a single receiver reports teaches
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proactivity {
    extra_permille: [u32; CLASSES],
}

impl Default for Proactivity {
    /// Sends nothing unasked until reports come.
    fn default() -> Self {
        Self { extra_permille: [0; CLASSES] }
    }
}

/// What the first round left of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How many receivers need the block.
    pub audience: u32,
    /// How many repairs make up for the whole of it.
    pub repairs: u16,
    /// How many more enough receivers asked for.
    pub missing: u16,
}

impl Proactivity {
    /// Starts with `permille` repairs to a thousand that make up for a block, in every class.
    pub fn uniform(permille: u32) -> Self {
        Self { extra_permille: [permille.min(EXTRA_PERMILLE_MAX); CLASSES] }
    }

    /// Returns the repairs to send unasked with a block for which `repairs` make up, and which `audience` receivers
    /// need.
    pub fn repairs(&self, audience: u32, repairs: u16) -> u16 {
        let unasked = (u32::from(repairs) * self.extra_permille[class(audience, repairs)]).div_ceil(1_000);
        u16::try_from(unasked)
            .expect("2,040 repairs make up for the largest block, and half as many are added")
    }

    /// Learns from the reports of a first round.
    pub fn learn(&mut self, outcomes: &[Outcome]) {
        for number in 0..CLASSES {
            let of_class = outcomes.iter().filter(|outcome| outcome.class() == number);
            let mut short: Vec<u32> = of_class.map(Outcome::missing_permille).collect();
            short.sort_unstable_by(|a, b| b.cmp(a));
            let Some(&decisive) = short.get(short.len() / BLOCKS_SHORT_DIVISOR) else { continue };
            let extra = &mut self.extra_permille[number];
            if decisive > 0 {
                // Half of the way, because a report is the worst of a sample and the next may be milder.
                *extra = (*extra + decisive.div_ceil(2)).min(EXTRA_PERMILLE_MAX);
            } else {
                let of_class = outcomes.iter().filter(|outcome| outcome.class() == number);
                let one_repair = of_class.map(|outcome| 1_000 / u32::from(outcome.repairs.max(1))).min();
                let less = one_repair.unwrap_or(0).max(*extra / FORGOTTEN_DIVISOR);
                *extra = extra.saturating_sub(less);
            }
        }
    }
}

impl Outcome {
    fn class(&self) -> usize {
        class(self.audience, self.repairs)
    }

    fn missing_permille(&self) -> u32 {
        (u32::from(self.missing) * 1_000).div_ceil(self.repairs.max(1).into())
    }
}

fn class(audience: u32, repairs: u16) -> usize {
    let size = (repairs.max(1).ilog2() as usize).min(SIZES - 1);
    audience.max(1).ilog2() as usize / 2 * SIZES + size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(audience: u32, missing: u16) -> Outcome {
        Outcome { audience, repairs: 32, missing }
    }

    #[test]
    fn rises_with_reports_and_falls_without_class_by_class() {
        let mut proactivity = Proactivity::default();
        assert_eq!(proactivity.repairs(100_000, 32), 0);
        proactivity.learn(&[outcome(100_000, 16), outcome(1_000, 0), outcome(1_000, 0)]);
        assert_eq!(proactivity.repairs(100_000, 32), 8);
        assert_eq!(proactivity.repairs(1_000, 32), 0);
        for _ in 0..9 {
            proactivity.learn(&[outcome(100_000, 0)]);
        }
        assert_eq!(proactivity.repairs(100_000, 32), 0);
    }

    #[test]
    fn a_few_blocks_gone_short_do_not_raise_it_for_all() {
        let mut proactivity = Proactivity::default();
        proactivity.learn(&[9, 0, 0, 0, 0, 0].map(|missing| outcome(1_000, missing)));
        assert_eq!(proactivity.repairs(1_000, 32), 0);
        proactivity.learn(&[9, 9, 9, 0, 0, 0].map(|missing| outcome(1_000, missing)));
        assert_ne!(proactivity.repairs(1_000, 32), 0);
    }

    #[test]
    fn a_small_batch_teaches_nothing_about_large_blocks() {
        let mut proactivity = Proactivity::default();
        proactivity.learn(&[Outcome { audience: 1_000, repairs: 3, missing: 3 }]);
        assert_eq!(proactivity.repairs(1_000, 3), 2);
        assert_eq!(proactivity.repairs(1_000, 64), 0);
    }

    #[test]
    fn is_bounded_whatever_is_reported() {
        let mut proactivity = Proactivity::uniform(u32::MAX);
        for _ in 0..100 {
            proactivity.learn(&[Outcome { audience: u32::MAX, repairs: 2040, missing: u16::MAX }]);
        }
        assert_eq!(proactivity.repairs(u32::MAX, 2040), 3060);
    }
}
