//! One association, sending.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use claviger_crypto::{CryptoProvider, Random, cipher::BLOCK_LEN, random};
use claviger_group::{Spi, Tek};

use crate::{Error, SenderId, layout::HEADER_LEN, protection::Protection, sender};

/// The last sequence number; there are no extended ones here.
const SEQUENCE_MAX: u32 = u32::MAX;

/// The sending half of an association.
///
/// One counter makes both the sequence number and, in counter mode, the sender-specific half of the
/// initialization vector: it starts anew with each sender id and ends before the sequence number cycles. What was
/// sent under an id is remembered as long as the key is, so an id that comes back goes on where it stopped and no
/// nonce is used twice. Without counter mode there is no id, and the counter never starts anew: a member that
/// loses it, in a restart, say, and gets the same TEK again must [`resume`](Self::resume), or receivers take its
/// packets for replays.
pub struct OutboundSa {
    spi: Spi,
    protection: Arc<Protection>,
    numbering: Numbering,
    /// How many packets were sent under the active sender id; the last sequence number used.
    sent: u32,
}

enum Numbering {
    /// In counter mode: the ids to send with, one after the other.
    BySenderId {
        active: SenderId,
        next: VecDeque<SenderId>,
        /// How many packets were sent under each id that is not active.
        used: BTreeMap<SenderId, u32>,
    },
    /// With random initialization vectors: the association's own number is all there is.
    Random,
}

/// How many packets were sent under a key, without the key: what must outlive an association that may come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    by_sender_id: BTreeMap<SenderId, u32>,
    without_sender_id: u32,
}

impl OutboundSa {
    /// Prepares to send under a TEK. Counter mode needs a sender id, other modes ignore it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSenderId`], or [`Error::Crypto`] if the keys are not the transform's.
    pub fn new(provider: &CryptoProvider, tek: &Tek, sender: Option<SenderId>) -> Result<Self, Error> {
        let protection = Arc::new(Protection::new(provider, tek)?);
        Self::with_protection(protection, tek, sender.as_slice(), Ledger::default())
    }

    /// Prepares to send behind what `ledger` says was sent already.
    pub(crate) fn with_protection(
        protection: Arc<Protection>,
        tek: &Tek,
        senders: &[SenderId],
        ledger: Ledger,
    ) -> Result<Self, Error> {
        if !tek.transform.is_counter_mode() {
            let sent = ledger.without_sender_id;
            return Ok(Self { spi: tek.spi, protection, numbering: Numbering::Random, sent });
        }
        let (&active, next) = senders.split_first().ok_or(Error::NoSenderId)?;
        same_bits(active, next)?;
        let mut used = ledger.by_sender_id;
        let sent = used.remove(&active).unwrap_or(0);
        let numbering = Numbering::BySenderId { active, next: next.iter().copied().collect(), used };
        Ok(Self { spi: tek.spi, protection, numbering, sent })
    }

    /// Protects a payload of protocol `next_header` and returns the packet from its SPI on.
    ///
    /// `random` makes the initialization vector of AES-CBC; counter mode draws nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] once every sequence number under every sender id is spent; [`Error::TooLong`].
    pub fn seal(
        &mut self,
        random: &mut dyn Random,
        next_header: u8,
        payload: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.seal_parts(random, next_header, &[payload])
    }

    /// Does what [`Self::seal`] does with the concatenation of `payload`, which saves the caller from joining it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::seal`].
    pub fn seal_parts(
        &mut self,
        random: &mut dyn Random,
        next_header: u8,
        payload: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        //= rfc4303#section-3.3.3
        //# In other words, the sender MUST NOT send a packet on an SA if doing so would cause the sequence
        //# number to cycle.
        if self.sent == SEQUENCE_MAX && !self.take_next_sender_id() {
            return Err(Error::Exhausted);
        }
        let counter = self.sent;
        let sequence = counter + 1;
        let mut header = [0; HEADER_LEN];
        header[..4].copy_from_slice(&self.spi.as_u32().to_be_bytes());
        header[4..].copy_from_slice(&sequence.to_be_bytes());
        // Spent before it is used: a failure below must not let the same number serve another packet.
        self.sent = sequence;
        match &self.numbering {
            Numbering::BySenderId { active, .. } => {
                self.protection.seal(header, &sender::iv(*active, counter), next_header, payload)
            }
            Numbering::Random => {
                let iv = random::array::<BLOCK_LEN>(random);
                self.protection.seal(header, &iv, next_header, payload)
            }
        }
    }

    /// Replaces the sender ids by those of a new registration (RFC 6407 section 5.6.4.3). The counter starts anew
    /// with an id that was never active here. Without counter mode nothing happens.
    ///
    /// # Errors
    ///
    /// [`Error::NoSenderId`] if there are none, [`Error::SenderIdBits`] if their lengths differ from each other or
    /// from those before; then nothing changes.
    pub fn set_sender_ids(&mut self, senders: &[SenderId]) -> Result<(), Error> {
        let Numbering::BySenderId { active, next, used } = &mut self.numbering else {
            return Ok(());
        };
        let (&first, rest) = senders.split_first().ok_or(Error::NoSenderId)?;
        same_bits(*active, senders)?;
        used.insert(*active, self.sent);
        *active = first;
        *next = rest.iter().copied().collect();
        self.sent = used.remove(&first).unwrap_or(0);
        Ok(())
    }

    /// Goes on behind `sent` packets if fewer were sent: for a member that kept the count over a restart.
    pub fn resume(&mut self, sent: u32) {
        self.sent = self.sent.max(sent);
    }

    /// Says how many packets were sent under the active sender id, which is the last sequence number.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Shows the sender id in use; `None` without counter mode.
    pub fn sender_id(&self) -> Option<SenderId> {
        match &self.numbering {
            Numbering::BySenderId { active, .. } => Some(*active),
            Numbering::Random => None,
        }
    }

    /// Says how many packets can still be sent under all sender ids at hand.
    pub fn remaining(&self) -> u64 {
        let active = u64::from(SEQUENCE_MAX - self.sent);
        match &self.numbering {
            Numbering::BySenderId { next, used, .. } => next
                .iter()
                .fold(active, |sum, id| sum + u64::from(SEQUENCE_MAX - used.get(id).copied().unwrap_or(0))),
            Numbering::Random => active,
        }
    }

    /// Keeps the numbers and drops the key.
    pub(crate) fn into_ledger(self) -> Ledger {
        match self.numbering {
            Numbering::BySenderId { active, used: mut by_sender_id, .. } => {
                by_sender_id.insert(active, self.sent);
                Ledger { by_sender_id, without_sender_id: 0 }
            }
            Numbering::Random => Ledger { by_sender_id: BTreeMap::new(), without_sender_id: self.sent },
        }
    }

    /// Moves on to the next sender id that has numbers left.
    fn take_next_sender_id(&mut self) -> bool {
        let Numbering::BySenderId { active, next, used } = &mut self.numbering else {
            return false;
        };
        while let Some(candidate) = next.pop_front() {
            used.insert(*active, self.sent);
            *active = candidate;
            self.sent = used.remove(&candidate).unwrap_or(0);
            if self.sent < SEQUENCE_MAX {
                return true;
            }
        }
        false
    }
}

/// Says whether the ids are as long as each other: the same octets could otherwise stand for two of them.
///
//= rfc6054#section-3
//# The number of bits used by the SID may vary depending on group policy, though for each particular Security
//# Association, each SID used with that SA MUST have the same length.
fn same_bits(first: SenderId, others: &[SenderId]) -> Result<(), Error> {
    if others.iter().all(|other| other.bits() == first.bits()) { Ok(()) } else { Err(Error::SenderIdBits) }
}
