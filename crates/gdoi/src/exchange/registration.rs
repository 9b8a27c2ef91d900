//! A registration SA and what is remembered about its message ids.

use std::collections::BTreeSet;

use claviger_crypto::{CryptoError, CryptoProvider, Random, SecretBytes, cipher::BLOCK_LEN, random};
use claviger_group::{MemberId, RegistrationSa};
use claviger_sansio::Time;
use claviger_wire::{Decode, DecodeError};

use crate::{
    error::{ApiMisuse, Error, Limit},
    exchange::message::{Authentic, Context, authenticate, decrypt},
    iana::{ExchangeType, NotifyType, PayloadType},
    keys::ExchangeKeys,
    limits::{LeakyCounter, MESSAGE_IDS_MAX, REPORT_LEN_MAX},
    rules::{DELIVERY_REPORT, INFORMATIONAL},
    wire::{
        Header, Notification,
        payload::{ChainWriter, GENERIC_LEN},
    },
};

/// A registration SA in use.
pub(crate) struct Registration {
    pub(crate) keys: ExchangeKeys,
    pub(crate) peer: MemberId,
    /// The M-IDs that either side has used; none may come again.
    message_ids: BTreeSet<u32>,
    /// Messages whose HASH did not verify.
    failures: LeakyCounter,
}

impl Registration {
    pub(crate) fn new(provider: &CryptoProvider, sa: &RegistrationSa) -> Result<Self, CryptoError> {
        Ok(Self {
            keys: ExchangeKeys::new(provider, sa)?,
            peer: sa.peer.clone(),
            message_ids: BTreeSet::new(),
            failures: LeakyCounter::new(),
        })
    }

    /// Draws an M-ID: not zero, never used under these cookies.
    pub(crate) fn draw_message_id(&mut self, random: &mut dyn Random) -> Result<u32, Error> {
        if self.message_ids.len() >= MESSAGE_IDS_MAX {
            return Err(Limit::MessageIds.into());
        }
        loop {
            let message_id = u32::from_be_bytes(random::array(random));
            if message_id != 0 && self.message_ids.insert(message_id) {
                return Ok(message_id);
            }
        }
    }

    /// Says whether an exchange that the peer begins under this M-ID is new.
    pub(crate) fn check_message_id(&self, message_id: u32) -> Result<(), Error> {
        if self.message_ids.contains(&message_id) {
            return Err(Error::Replayed);
        }
        if self.message_ids.len() >= MESSAGE_IDS_MAX {
            return Err(Limit::MessageIds.into());
        }
        Ok(())
    }

    /// Remembers the M-ID of an exchange whose first message is authentic.
    pub(crate) fn remember(&mut self, message_id: u32) {
        self.message_ids.insert(message_id);
    }

    /// Decrypts and authenticates a message and hands it to `read`; failures are counted, and too many of them
    /// stop the decrypting.
    pub(crate) fn open<T>(
        &mut self,
        now: Time,
        context: Context<'_>,
        header: &Header,
        ciphertext: &[u8],
        read: impl FnOnce(Authentic<'_>) -> T,
    ) -> Result<T, Error> {
        if !self.failures.has_room(now) {
            return Err(Limit::Decryptions.into());
        }
        self.try_open(context, header, ciphertext, read).inspect_err(|_| self.failures.count(now))
    }

    /// Opens a message that may be one of two, as [`Registration::open`] does one; what is neither counts once, and its
    /// error is that of the first.
    pub(crate) fn open_either<T>(
        &mut self,
        now: Time,
        header: &Header,
        ciphertext: &[u8],
        (first, read_first): (Context<'_>, impl FnOnce(Authentic<'_>) -> T),
        (second, read_second): (Context<'_>, impl FnOnce(Authentic<'_>) -> T),
    ) -> Result<T, Error> {
        if !self.failures.has_room(now) {
            return Err(Limit::Decryptions.into());
        }
        self.try_open(first, header, ciphertext, read_first)
            .or_else(|error| self.try_open(second, header, ciphertext, read_second).map_err(|_| error))
            .inspect_err(|_| self.failures.count(now))
    }

    fn try_open<T>(
        &self,
        context: Context<'_>,
        header: &Header,
        ciphertext: &[u8],
        read: impl FnOnce(Authentic<'_>) -> T,
    ) -> Result<T, Error> {
        let plaintext = decrypt(&self.keys, &context.iv, ciphertext)?;
        authenticate(&self.keys, context, header, plaintext.expose()).map(read)
    }

    /// Writes an Informational exchange that tells the peer about the exchange `about`.
    pub(crate) fn inform(
        &mut self,
        random: &mut dyn Random,
        notify: NotifyType,
        about: u32,
    ) -> Result<Vec<u8>, Error> {
        let message_id = self.draw_message_id(random)?;
        let mut payloads = ChainWriter::new();
        let notification = Notification { notify, message_id: Some(about) };
        payloads.value(PayloadType::NOTIFICATION, &notification)?;
        super::message::seal(&self.keys, self.informational(message_id), &payloads)
    }

    /// Reads an Informational exchange of the peer. Its own ones, reflected, are known by their M-IDs.
    pub(crate) fn read_informational(
        &mut self,
        now: Time,
        header: &Header,
        ciphertext: &[u8],
    ) -> Result<Notification, Error> {
        self.check_message_id(header.message_id)?;
        let context = self.informational(header.message_id);
        let notification = self.open(now, context, header, ciphertext, |message| {
            message.check(INFORMATIONAL)?;
            Notification::from_octets(message.required(PayloadType::NOTIFICATION)?)
        })?;
        self.remember(header.message_id);
        Ok(notification?)
    }

    /// Writes a delivery report.
    pub(crate) fn report(&mut self, random: &mut dyn Random, report: &[u8]) -> Result<Vec<u8>, Error> {
        if report.len() > REPORT_LEN_MAX {
            return Err(ApiMisuse::MessageTooLong.into());
        }
        let message_id = self.draw_message_id(random)?;
        let mut payloads = ChainWriter::new();
        payloads.payload(PayloadType::DELIVERY, |w| {
            w.slice(report);
            Ok(())
        })?;
        super::message::seal_plain(&self.keys, ExchangeType::DELIVERY_REPORT, message_id, &payloads)
    }

    /// Reads a delivery report of the peer. Nothing of it is interpreted before its HASH verifies; wrong ones count as
    /// other messages' do.
    pub(crate) fn read_report(
        &mut self,
        now: Time,
        header: &Header,
        octets: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.check_message_id(header.message_id)?;
        if octets.len() > GENERIC_LEN * 2 + self.keys.hash_len() + REPORT_LEN_MAX {
            return Err(DecodeError::Length { field: "delivery report" }.into());
        }
        if !self.failures.has_room(now) {
            return Err(Limit::Decryptions.into());
        }
        let context = Context {
            exchange: ExchangeType::DELIVERY_REPORT,
            message_id: header.message_id,
            iv: [0; BLOCK_LEN],
            nonces: &[],
        };
        let message =
            authenticate(&self.keys, context, header, octets).inspect_err(|_| self.failures.count(now))?;
        self.message_ids.insert(header.message_id);
        message.check(DELIVERY_REPORT)?;
        let report = message.required(PayloadType::DELIVERY)?;
        if 2 * GENERIC_LEN + self.keys.hash_len() + report.len() != octets.len() {
            return Err(DecodeError::Length { field: "message" }.into());
        }
        Ok(report.to_vec())
    }

    fn informational(&self, message_id: u32) -> Context<'static> {
        Context {
            exchange: ExchangeType::INFORMATIONAL,
            message_id,
            iv: self.keys.first_iv(message_id),
            nonces: &[],
        }
    }
}

/// Refuses an M-ID of zero, which belongs to Phase 1 and to GROUPKEY-PUSH.
pub(crate) fn check_not_zero(header: &Header) -> Result<(), Error> {
    match header.message_id {
        0 => Err(DecodeError::Value { field: "message id", value: 0 }.into()),
        _ => Ok(()),
    }
}

/// Makes a nonce.
pub(crate) fn draw_nonce(random: &mut dyn Random) -> SecretBytes {
    SecretBytes::with(crate::limits::NONCE_LEN, |octets| random.fill(octets))
}
