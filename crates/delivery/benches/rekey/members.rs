//! A hundred thousand receivers, by the rule by which a receiver collects and decodes.

use claviger_delivery::Shape;

use super::loss::Dice;

/// As many symbols as a block has fail to decode in 1 of 100 cases; each one more leaves a hundredth of that
/// (RFC 6330's code: 1e-2 at K, 1e-4 at K + 1, 1e-6 at K + 2).
const DECODES: f64 = 0.99;

/// A block of which a member needs something.
#[derive(Clone, Copy)]
struct Wanted {
    block: u8,
    /// Bits of the needed datagrams of the block that are missing, as places in the member's needs.
    missing: u8,
    /// How many symbols it has, a datagram, and a repair.
    symbols: u32,
    parts: u32,
    bundle: u32,
    received: u32,
}

/// One member: which blocks it needs, and what it has of them.
pub(crate) struct Member {
    needs: Vec<u16>,
    wanted: Vec<Wanted>,
    /// The round in which it got what it needs; the unicast stage counts as 255.
    pub(crate) satisfied_in: Option<u8>,
}

impl Member {
    pub(crate) fn new(needs: &[u16], shape: &Shape) -> Self {
        assert!(needs.len() <= 8, "a path lies in few datagrams");
        let mut wanted: Vec<Wanted> = Vec::new();
        for (number, index) in needs.iter().enumerate() {
            let place = shape.place(*index).expect("what is needed is in the batch");
            match wanted.last_mut().filter(|last| last.block == place.block) {
                Some(last) => last.missing |= 1 << number,
                None => wanted.push(Wanted {
                    block: place.block,
                    missing: 1 << number,
                    symbols: shape.symbols(place.block),
                    parts: shape.parts().into(),
                    bundle: shape.bundle().into(),
                    received: 0,
                }),
            }
        }
        let satisfied_in = needs.is_empty().then_some(1);
        Self { needs: needs.to_vec(), wanted, satisfied_in }
    }

    /// Returns the blocks of which something is missing, one bit each.
    pub(crate) fn needed(&self) -> u64 {
        let missing = self.wanted.iter().filter(|wanted| wanted.missing != 0);
        missing.fold(0, |bits, wanted| bits | 1 << wanted.block)
    }

    /// Takes a datagram of the batch.
    pub(crate) fn take_datagram(&mut self, index: u16, block: u8, round: u8, dice: &mut Dice) {
        let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.block == block) else { return };
        if let Some(number) = self.needs.iter().position(|needed| *needed == index) {
            wanted.missing &= !(1 << number);
        }
        wanted.receive(wanted.parts, dice);
        self.settle(round);
    }

    /// Takes a repair.
    pub(crate) fn take_repair(&mut self, block: u8, round: u8, dice: &mut Dice) {
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.block == block) {
            wanted.receive(wanted.bundle, dice);
            self.settle(round);
        }
    }

    /// Takes a datagram by unicast or as a bare repetition, which counts for nothing but itself.
    pub(crate) fn take_alone(&mut self, index: u16, round: u8) {
        if let Some(number) = self.needs.iter().position(|needed| *needed == index) {
            for wanted in &mut self.wanted {
                wanted.missing &= !(1 << number);
            }
        }
        self.settle(round);
    }

    /// Goes through the blocks of which something is missing: the block, how many repairs more would do, and the
    /// missing datagrams.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (u8, u8, impl Iterator<Item = u16>)> {
        self.wanted.iter().filter(|wanted| wanted.missing != 0).map(|wanted| {
            let indices = self.needs.iter().enumerate();
            let indices =
                indices.filter(|(number, _)| wanted.missing >> number & 1 == 1).map(|(_, index)| *index);
            let symbols = wanted.symbols.saturating_sub(wanted.received);
            let repairs = symbols.div_ceil(wanted.bundle).clamp(1, u8::MAX.into());
            (wanted.block, repairs as u8, indices)
        })
    }

    fn settle(&mut self, round: u8) {
        if self.satisfied_in.is_none() && self.wanted.iter().all(|wanted| wanted.missing == 0) {
            self.satisfied_in = Some(round);
        }
    }
}

impl Wanted {
    fn receive(&mut self, symbols: u32, dice: &mut Dice) {
        self.received += symbols;
        if self.missing != 0 && self.received >= self.symbols && dice.chance(DECODES) {
            self.missing = 0;
        }
    }
}
