//! One association, receiving.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use claviger_crypto::CryptoProvider;
use claviger_group::{Spi, Tek};

use crate::{
    Error, SenderKey,
    layout::HEADER_LEN,
    protection::Protection,
    sender::{self, SenderIdBits},
    senders::{Names, Senders},
    trailer::{self, NEXT_HEADER_NONE},
};

pub use crate::{
    senders::SENDERS_MAX,
    window::{LEAP_PROOF, REACH},
};

/// The receiving half of an association: decrypts, and keeps a replay window for each sender.
pub struct InboundSa {
    spi: Spi,
    source: Option<IpAddr>,
    protection: Arc<Protection>,
    told_apart_by: ToldApartBy,
    senders: Senders,
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
            senders: Senders::new(names_under(tek)),
            opened: 0,
        })
    }

    /// Authenticates and decrypts a packet that came from `source`, from its SPI to its integrity check value. It is for
    /// callers to whom a packet fits that passed this; see [`Self::open_checked`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::open_checked`].
    pub fn open(&mut self, source: IpAddr, esp: &[u8]) -> Result<Opened, Error> {
        let Ok(opened) = self.open_checked(source, esp, Ok::<_, Infallible>)?;
        Ok(opened)
    }

    /// Authenticates and decrypts a packet that came from `source`, from its SPI to its integrity check value, and has the
    /// caller say whether what was inside fits what was outside.
    ///
    /// With AES-CBC the sender is the source address, which the integrity check does not cover: only the caller can
    /// compare it with addresses inside a tunnel, or with UDP's checksum ([`packet::unwrap_bare`](crate::packet::unwrap_bare)
    /// does). `check` may be asked about a packet that is not delivered after all, so that it does nothing with it.
    ///
    /// # Errors
    ///
    /// The reason to drop it, within it that of `check`. [`Error::Dummy`] is one too, and no fault. Only an authentic packet
    /// that fits moves a window; one that leaps ([`Error::Leap`]) does not yet.
    pub fn open_checked<T, E>(
        &mut self,
        source: IpAddr,
        esp: &[u8],
        check: impl FnOnce(Opened) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        let sender = self.sender(source, esp)?;
        // The window is asked before the costly part and told after it (RFC 4303 section 3.4.3).
        let fresh = self.senders.check(&sender, word(esp, SEQUENCE_AT))?;
        let opened = self.decrypt(sender, esp)?;
        if opened.next_header == NEXT_HEADER_NONE {
            self.senders.mark(sender, fresh)?;
            return Err(Error::Dummy);
        }
        let checked = check(opened);
        if checked.is_ok() {
            self.senders.mark(sender, fresh)?;
            self.opened += 1;
        }
        Ok(checked)
    }

    /// Does what [`Self::open`] does whatever the packet's number, and remembers nothing: what somebody can read who has
    /// the key.
    ///
    /// # Errors
    ///
    /// The reason why the packet is not one of this association.
    pub fn read(&self, source: IpAddr, esp: &[u8]) -> Result<Opened, Error> {
        self.decrypt(self.sender(source, esp)?, esp)
    }

    /// Says how many senders have a window.
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Says how many packets were opened, dummies aside.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Says whose packet it claims to be, if it has the form of one of this association.
    fn sender(&self, source: IpAddr, esp: &[u8]) -> Result<SenderKey, Error> {
        self.protection.check_form(esp)?;
        let source = source.to_canonical();
        if self.source.is_some_and(|only| only != source) {
            return Err(Error::WrongSource);
        }
        let spi = word(esp, SPI_AT);
        if spi != self.spi.as_u32() {
            return Err(Error::UnknownSpi(spi));
        }
        Ok(match self.told_apart_by {
            ToldApartBy::IvBits(bits) => {
                let iv = esp[HEADER_LEN..HEADER_LEN + 8].try_into().expect("the packet's form was checked");
                SenderKey::Id(sender::of_iv(bits, iv))
            }
            ToldApartBy::SourceAddress => SenderKey::Address(source),
        })
    }

    fn decrypt(&self, sender: SenderKey, esp: &[u8]) -> Result<Opened, Error> {
        let mut payload = self.protection.open(esp)?;
        let next_header = trailer::strip(&mut payload)?;
        Ok(Opened { next_header, payload, sender })
    }
}

/// Says what stands behind the names of a TEK's senders, if the caller checks what [`InboundSa::open_checked`] says.
fn names_under(tek: &Tek) -> Names {
    if tek.transform.refuses_replays(&tek.channel, tek.encapsulation) {
        Names::Authentic
    } else {
        Names::Spoofable
    }
}

/// Where the SPI begins, in octets.
const SPI_AT: usize = 0;

/// Where the sequence number begins, in octets.
const SEQUENCE_AT: usize = 4;

/// Reads four octets of a packet whose form was checked.
fn word(esp: &[u8], start: usize) -> u32 {
    u32::from_be_bytes(esp[start..start + 4].try_into().expect("the packet's form was checked"))
}
