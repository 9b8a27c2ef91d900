//! The I2s that came behind one generation of R1s, so that none does anything twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use claviger_identity::Hit;

/// Accepted I2s that one generation remembers; 32 octets each. A generation that is full is destroyed with its keys.
const ACCEPTED_MAX: usize = 1 << 20;

/// R2s to strangers that one generation keeps to repeat: whose R2 is lost repeats its I2 within seconds.
const STRANGERS_ANSWERS_MAX: usize = 1 << 10;

/// An I2 by what HIP_MAC covers of it.
pub(crate) type I2Digest = [u8; 32];

/// The I2s that were accepted, and the R2 for each peer's last.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    i2s: BTreeSet<I2Digest>,
    answers: BTreeMap<Hit, (I2Digest, Vec<u8>)>,
    /// The answers to strangers, the oldest first; of some nothing is left but this.
    strangers: VecDeque<(Hit, I2Digest)>,
}

impl Accepted {
    /// Says whether an I2 was accepted before.
    pub(crate) fn contains(&self, i2: &I2Digest) -> bool {
        self.i2s.contains(i2)
    }

    /// Finds the R2 to an I2, unless a later one of the same host has replaced it or it was forgotten.
    pub(crate) fn answer(&self, initiator: &Hit, i2: &I2Digest) -> Option<&[u8]> {
        self.answers.get(initiator).filter(|(of, _)| of == i2).map(|(_, r2)| &r2[..])
    }

    /// Remembers an I2 with its R2; of strangers, only the last R2s.
    pub(crate) fn note(&mut self, i2: I2Digest, initiator: Hit, r2: &[u8], is_stranger: bool) {
        self.i2s.insert(i2);
        self.answers.insert(initiator, (i2, r2.to_vec()));
        if !is_stranger {
            return;
        }
        self.strangers.push_back((initiator, i2));
        if self.strangers.len() > STRANGERS_ANSWERS_MAX
            && let Some((oldest, i2)) = self.strangers.pop_front()
            && self.answer(&oldest, &i2).is_some()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Says whether there is room for no more.
    pub(crate) fn is_full(&self) -> bool {
        self.i2s.len() >= ACCEPTED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: usize) -> (I2Digest, Hit) {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&number.to_be_bytes());
        let mut hit = [0; 16];
        hit[..8].copy_from_slice(&number.to_be_bytes());
        (octets, Hit::new(hit))
    }

    #[test]
    fn answers_to_strangers_are_few_and_those_to_others_stay() {
        let mut accepted = Accepted::default();
        let (listed_i2, listed) = host(0);
        accepted.note(listed_i2, listed, b"listed", false);
        for number in 1..=2 * STRANGERS_ANSWERS_MAX {
            let (i2, stranger) = host(number);
            accepted.note(i2, stranger, b"stranger", true);
        }
        assert_eq!(accepted.answers.len(), STRANGERS_ANSWERS_MAX + 1);
        assert_eq!(accepted.answer(&listed, &listed_i2), Some(&b"listed"[..]));
        let (first_i2, first) = host(1);
        assert!(accepted.contains(&first_i2), "what was accepted is known as long as its generation lives");
        assert_eq!(accepted.answer(&first, &first_i2), None);
    }

    #[test]
    fn the_answer_to_a_stranger_that_was_let_in_since_stays() {
        let mut accepted = Accepted::default();
        let ((refused, hit), (granted, _)) = (host(1), host(2));
        accepted.note(refused, hit, b"refused", true);
        accepted.note(granted, hit, b"granted", false);
        for number in 10..10 + 2 * STRANGERS_ANSWERS_MAX {
            let (i2, stranger) = host(number);
            accepted.note(i2, stranger, b"stranger", true);
        }
        assert_eq!(accepted.answer(&hit, &granted), Some(&b"granted"[..]));
    }
}
