//! One association, receiving.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use claviger_crypto::CryptoProvider;
use claviger_group::{Spi, Tek};
use claviger_sansio::ReplayWindow;

use crate::{
    Error, SenderKey,
    layout::HEADER_LEN,
    protection::Protection,
    sender::{self, SenderIdBits},
    trailer::{self, NEXT_HEADER_NONE},
};

/// How many senders one association tracks: 4096 windows of 144 octets are 600 kB, and no group of this product
/// has as many senders under one TEK. Packets of further senders are dropped, so that nobody is tracked at the
/// price of forgetting another, whose packets could then be replayed.
pub const SENDERS_MAX: usize = 4096;

/// The receiving half of an association: decrypts, and keeps a replay window for each sender.
pub struct InboundSa {
    spi: Spi,
    source: Option<IpAddr>,
    protection: Arc<Protection>,
    told_apart_by: ToldApartBy,
    windows: BTreeMap<SenderKey, ReplayWindow>,
    opened: u64,
}

/// What a packet held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The protocol of the payload: 17 is UDP, 4 and 41 are an IPv4 or IPv6 packet in tunnel mode.
    pub next_header: u8,
    /// The payload.
    pub payload: Vec<u8>,
    /// Who sent it.
    pub sender: SenderKey,
}

/// Where the name of a sender stands.
enum ToldApartBy {
    IvBits(SenderIdBits),
    SourceAddress,
}

impl InboundSa {
    /// Prepares to receive under a TEK. `sender_id_bits` is 8, 12 or 16, and means something in counter mode only.
    ///
    /// RFC 6407 tells that number to senders only. A receiver that does not know it says 16: counters never reach
    /// the octets behind a shorter id, so each sender still has one window.
    ///
    /// # Errors
    ///
    /// [`Error::SenderIdBits`], or [`Error::Crypto`] if the keys are not the transform's.
    pub fn new(provider: &CryptoProvider, tek: &Tek, sender_id_bits: u8) -> Result<Self, Error> {
        Self::with_protection(Arc::new(Protection::new(provider, tek)?), tek, sender_id_bits)
    }

    pub(crate) fn with_protection(
        protection: Arc<Protection>,
        tek: &Tek,
        sender_id_bits: u8,
    ) -> Result<Self, Error> {
        let told_apart_by = if tek.transform.is_counter_mode() {
            ToldApartBy::IvBits(SenderIdBits::new(sender_id_bits)?)
        } else {
            ToldApartBy::SourceAddress
        };
        Ok(Self {
            spi: tek.spi,
            source: tek.channel.source(),
            protection,
            told_apart_by,
            windows: BTreeMap::new(),
            opened: 0,
        })
    }

    /// Authenticates and decrypts a packet that came from `source`, from its SPI to its integrity check value.
    ///
    /// # Errors
    ///
    /// The reason to drop it. [`Error::Dummy`] is one too, and no fault. Only an authentic packet moves a window.
    pub fn open(&mut self, source: IpAddr, esp: &[u8]) -> Result<Opened, Error> {
        self.protection.check_form(esp)?;
        let source = source.to_canonical();
        if self.source.is_some_and(|only| only != source) {
            return Err(Error::WrongSource);
        }
        let spi = word(esp, 0);
        if spi != self.spi.as_u32() {
            return Err(Error::UnknownSpi(spi));
        }

        // The window is asked before the costly part and told after it (RFC 4303 section 3.4.3).
        let sequence = word(esp, 4);
        let sender = self.sender(source, esp);
        let fresh = match self.windows.get(&sender) {
            Some(window) => window.check(sequence.into()),
            None if self.windows.len() >= SENDERS_MAX => return Err(Error::TooManySenders),
            None => ReplayWindow::default().check(sequence.into()),
        };
        // A sender's first packet has number 1 (RFC 4303 section 3.3.3).
        let fresh = fresh.filter(|_| sequence != 0).ok_or(Error::Replayed)?;

        let mut payload = self.protection.open(esp)?;
        self.windows.entry(sender).or_default().mark(fresh);
        let next_header = trailer::strip(&mut payload)?;
        if next_header == NEXT_HEADER_NONE {
            return Err(Error::Dummy);
        }
        self.opened += 1;
        Ok(Opened { next_header, payload, sender })
    }

    /// Says how many senders have a window.
    pub fn senders(&self) -> usize {
        self.windows.len()
    }

    /// Says how many packets were opened, dummies aside.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    fn sender(&self, source: IpAddr, esp: &[u8]) -> SenderKey {
        match self.told_apart_by {
            ToldApartBy::IvBits(bits) => {
                let iv = esp[HEADER_LEN..HEADER_LEN + 8].try_into().expect("the packet's form was checked");
                SenderKey::Id(sender::of_iv(bits, iv))
            }
            ToldApartBy::SourceAddress => SenderKey::Address(source),
        }
    }
}

/// Reads four octets of a packet whose form was checked.
fn word(esp: &[u8], start: usize) -> u32 {
    u32::from_be_bytes(esp[start..start + 4].try_into().expect("the packet's form was checked"))
}
