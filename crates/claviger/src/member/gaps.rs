//! Counts what is missing from each sender, by the sequence numbers of ESP.

use std::collections::BTreeMap;

use claviger_esp::SenderKey;

/// Where a payload came from: the association, the sender, the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) spi: u32,
    pub(super) sender: SenderKey,
    pub(super) sequence: u32,
}

impl Origin {
    /// Reads it from the header of a packet that was opened (RFC 4303 section 2).
    pub(super) fn of(esp: &[u8], sender: SenderKey) -> Option<Self> {
        let (spi, rest) = esp.split_first_chunk()?;
        let sequence = rest.first_chunk()?;
        Some(Self { spi: u32::from_be_bytes(*spi), sender, sequence: u32::from_be_bytes(*sequence) })
    }
}

/// The senders that are followed; beyond them, gaps of further senders are not counted.
const SENDERS_MAX: usize = 1024;

/// The highest number of each sender.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    highest: BTreeMap<(u32, SenderKey), u32>,
}

impl Gaps {
    /// Says how many numbers were skipped just before this packet. The first packet of a sender skips none: nobody
    /// knows since when it has been sending.
    pub(super) fn note(&mut self, origin: &Origin) -> u64 {
        let key = (origin.spi, origin.sender);
        if !self.highest.contains_key(&key) && self.highest.len() >= SENDERS_MAX {
            return 0;
        }
        match self.highest.insert(key, origin.sequence) {
            None => 0,
            Some(highest) if origin.sequence > highest => u64::from(origin.sequence - highest - 1),
            Some(highest) => {
                self.highest.insert(key, highest);
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_skipped_numbers_of_each_sender() {
        let sender = |n| SenderKey::Id(claviger_esp::SenderId::new(16, n).unwrap());
        let mut gaps = Gaps::default();
        let mut note = |spi, who, sequence| gaps.note(&Origin { spi, sender: sender(who), sequence });
        assert_eq!(note(1, 1, 10), 0, "the first packet has no gap");
        assert_eq!(note(1, 1, 11), 0);
        assert_eq!(note(1, 1, 15), 3);
        assert_eq!(note(1, 1, 12), 0, "a late packet is no new gap");
        assert_eq!(note(1, 1, 16), 0);
        assert_eq!(note(1, 2, 500), 0, "another sender counts for itself");
        assert_eq!(note(2, 1, 1), 0, "and another association");
    }
}
