//! A registration SA and what is remembered about its message ids.

use std::collections::BTreeSet;

use claviger_crypto::{CryptoError, CryptoProvider, Random, SecretBytes, cipher::BLOCK_LEN, random};
use claviger_group::{MemberId, RegistrationSa};
use claviger_sansio::Time;
use claviger_wire::{DecodeError, Encode};

#[cfg(doc)]
use crate::error::ApiMisuse;
use crate::{
    error::{Error, Limit},
    exchange::message::{Authentic, Context, authenticate, decrypt, seal},
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    limits::{LeakyCounter, MESSAGE_IDS_MAX, NONCE_LEN, UNCOUNTED_LEN_MAX},
    wire::{Header, payload::ChainWriter},
};

/// A registration SA in use.
pub struct Registration {
    keys: ExchangeKeys,
    peer: MemberId,
    /// The M-IDs that either side has used; none may come again.
    message_ids: BTreeSet<u32>,
    /// Long messages whose HASH did not verify.
    failures: LeakyCounter,
}

impl Registration {
    /// Takes a registration SA into use.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the provider lacks one of its algorithms.
    pub fn new(provider: &CryptoProvider, sa: &RegistrationSa) -> Result<Self, CryptoError> {
        Ok(Self {
            keys: ExchangeKeys::new(provider, sa)?,
            peer: sa.peer.clone(),
            message_ids: BTreeSet::new(),
            failures: LeakyCounter::new(),
        })
    }

    /// Shows what protects its exchanges.
    pub fn keys(&self) -> &ExchangeKeys {
        &self.keys
    }

    /// Names the other side.
    pub fn peer(&self) -> &MemberId {
        &self.peer
    }

    /// Draws an M-ID: not zero, never used under these cookies.
    ///
    /// # Errors
    ///
    /// [`Limit::MessageIds`] if they are used up.
    pub fn draw_message_id(&mut self, random: &mut dyn Random) -> Result<u32, Error> {
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
    ///
    /// # Errors
    ///
    /// [`Error::Replayed`] if it is not, [`Limit::MessageIds`] if no more are remembered.
    pub fn check_message_id(&self, message_id: u32) -> Result<(), Error> {
        if self.message_ids.contains(&message_id) {
            return Err(Error::Replayed);
        }
        if self.message_ids.len() >= MESSAGE_IDS_MAX {
            return Err(Limit::MessageIds.into());
        }
        Ok(())
    }

    /// Remembers the M-ID of an exchange whose first message is authentic.
    pub fn remember(&mut self, message_id: u32) {
        self.message_ids.insert(message_id);
    }

    /// Decrypts and authenticates a message and hands it to `read`. Of long ones failures are counted, and too many of them
    /// stop the decrypting of long ones; short ones are always read ([`UNCOUNTED_LEN_MAX`]).
    ///
    /// # Errors
    ///
    /// [`Limit::Decryptions`] if there were too many of them, else what is wrong.
    pub fn open<T>(
        &mut self,
        now: Time,
        context: Context<'_>,
        header: &Header,
        ciphertext: &[u8],
        read: impl FnOnce(Authentic<'_>) -> T,
    ) -> Result<T, Error> {
        self.check_failures(now, ciphertext)?;
        self.try_open(context, header, ciphertext, read).inspect_err(|_| self.count_failure(now, ciphertext))
    }

    /// Opens a message that may be one of two, as [`Registration::open`] does one; what is neither counts once, and its
    /// error is that of the first.
    ///
    /// # Errors
    ///
    /// As [`Registration::open`].
    pub fn open_either<T>(
        &mut self,
        now: Time,
        header: &Header,
        ciphertext: &[u8],
        (first, read_first): (Context<'_>, impl FnOnce(Authentic<'_>) -> T),
        (second, read_second): (Context<'_>, impl FnOnce(Authentic<'_>) -> T),
    ) -> Result<T, Error> {
        self.check_failures(now, ciphertext)?;
        self.try_open(first, header, ciphertext, read_first)
            .or_else(|error| self.try_open(second, header, ciphertext, read_second).map_err(|_| error))
            .inspect_err(|_| self.count_failure(now, ciphertext))
    }

    fn check_failures(&self, now: Time, octets: &[u8]) -> Result<(), Error> {
        if octets.len() > UNCOUNTED_LEN_MAX && !self.failures.has_room(now) {
            return Err(Limit::Decryptions.into());
        }
        Ok(())
    }

    fn count_failure(&mut self, now: Time, octets: &[u8]) {
        if octets.len() > UNCOUNTED_LEN_MAX {
            self.failures.count(now);
        }
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

    /// Authenticates a message that is not encrypted; failures are counted as those of [`Registration::open`] are.
    ///
    /// # Errors
    ///
    /// [`Limit::Decryptions`] if there were too many of them, else what is wrong.
    pub fn open_plain<'a>(
        &mut self,
        now: Time,
        header: &Header,
        octets: &'a [u8],
    ) -> Result<Authentic<'a>, Error> {
        self.check_failures(now, octets)?;
        let context = Context {
            exchange: header.exchange,
            message_id: header.message_id,
            iv: [0; BLOCK_LEN],
            nonces: &[],
        };
        authenticate(&self.keys, context, header, octets).inspect_err(|_| self.count_failure(now, octets))
    }

    /// Writes an Informational exchange that carries one payload (RFC 2409 section 5.7).
    ///
    /// # Errors
    ///
    /// [`Limit::MessageIds`], [`ApiMisuse::MessageTooLong`].
    pub fn inform(
        &mut self,
        random: &mut dyn Random,
        kind: PayloadType,
        payload: &impl Encode,
    ) -> Result<Vec<u8>, Error> {
        let message_id = self.draw_message_id(random)?;
        let mut payloads = ChainWriter::new();
        payloads.value(kind, payload)?;
        seal(&self.keys, self.informational(message_id), &payloads)
    }

    /// Opens an Informational exchange of the peer and hands it to `read`. This side's own ones, reflected, are known by
    /// their M-IDs.
    ///
    /// # Errors
    ///
    /// [`Error::Replayed`] if its M-ID came before, else as [`Registration::open`].
    pub fn open_informational<T>(
        &mut self,
        now: Time,
        header: &Header,
        ciphertext: &[u8],
        read: impl FnOnce(Authentic<'_>) -> T,
    ) -> Result<T, Error> {
        self.check_message_id(header.message_id)?;
        let context = self.informational(header.message_id);
        let informed = self.open(now, context, header, ciphertext, read)?;
        self.remember(header.message_id);
        Ok(informed)
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
///
/// # Errors
///
/// [`DecodeError::Value`].
pub fn check_not_zero(header: &Header) -> Result<(), Error> {
    match header.message_id {
        0 => Err(DecodeError::Value { field: "message id", value: 0 }.into()),
        _ => Ok(()),
    }
}

/// Makes a nonce.
pub fn draw_nonce(random: &mut dyn Random) -> SecretBytes {
    SecretBytes::with(NONCE_LEN, |octets| random.fill(octets))
}

#[cfg(test)]
mod tests {
    use claviger_crypto::provider;

    use super::*;
    use crate::{
        error::AuthError,
        exchange::tests::{random, sa},
        limits::DECRYPTIONS_BURST,
        wire::Notification,
    };

    const NOW: Time = Time::from_secs(1_000);

    fn registration() -> Registration {
        Registration::new(provider(), &sa()).unwrap()
    }

    fn notification() -> Notification<'static> {
        Notification::new(1, 0, crate::iana::NotifyType::INVALID_SPI, b"spi").unwrap()
    }

    fn take(registration: &mut Registration, datagram: &[u8]) -> Result<Vec<u8>, Error> {
        let (header, ciphertext) = Header::split(datagram)?;
        registration.open_informational(NOW, &header, ciphertext, |message| {
            message.optional(PayloadType::NOTIFICATION).unwrap_or_default().to_vec()
        })
    }

    #[test]
    fn an_informational_is_taken_once_and_never_by_its_sender() {
        let (mut one, mut other) = (registration(), registration());
        let sent = one.inform(&mut *random(), PayloadType::NOTIFICATION, &notification()).unwrap();
        assert_eq!(take(&mut other, &sent), Ok(notification().to_octets()));
        assert_eq!(take(&mut other, &sent), Err(Error::Replayed));
        assert_eq!(take(&mut one, &sent), Err(Error::Replayed), "a reflection");
    }

    #[test]
    fn long_messages_with_a_wrong_hash_keep_short_ones_from_nobody() {
        let (mut one, mut other) = (registration(), registration());
        let short = one.inform(&mut *random(), PayloadType::NOTIFICATION, &notification()).unwrap();
        let mut payloads = ChainWriter::new();
        payloads.body(PayloadType::NOTIFICATION, &[7; UNCOUNTED_LEN_MAX]).unwrap();
        let long = seal(&one.keys, one.informational(7), &payloads).unwrap();
        let broken = |sent: &[u8]| {
            let mut broken = sent.to_vec();
            // The HASH's last octets: what precedes them keeps its form.
            broken[Header::LEN + 16] ^= 1;
            broken
        };
        for _ in 0..DECRYPTIONS_BURST {
            assert_eq!(take(&mut other, &broken(&long)), Err(AuthError::Hash.into()));
        }
        assert_eq!(take(&mut other, &long), Err(Limit::Decryptions.into()));
        for _ in 0..2 * DECRYPTIONS_BURST {
            assert_eq!(take(&mut other, &broken(&short)), Err(AuthError::Hash.into()));
        }
        assert!(take(&mut other, &short).is_ok());
    }

    #[test]
    fn a_plain_message_is_authenticated() {
        let mut registration = registration();
        let mut payloads = ChainWriter::new();
        payloads.body(PayloadType::DELIVERY, b"missed").unwrap();
        let exchange = ExchangeType::DELIVERY_REPORT;
        let sent = super::super::message::seal_plain(registration.keys(), exchange, 7, &payloads).unwrap();
        let mut open = |sent: &[u8]| {
            let (header, octets) = Header::split_plain(sent, exchange)?;
            registration
                .open_plain(NOW, &header, octets)
                .map(|message| message.optional(PayloadType::DELIVERY) == Some(b"missed"))
        };
        assert_eq!(open(&sent), Ok(true));
        let mut changed = sent.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(open(&changed), Err(AuthError::Hash.into()));
    }

    #[test]
    fn message_ids_are_drawn_once_and_run_out() {
        let mut registration = registration();
        let mut random = random();
        for _ in 0..MESSAGE_IDS_MAX {
            let message_id = registration.draw_message_id(&mut *random).unwrap();
            assert_ne!(message_id, 0);
            assert_eq!(registration.check_message_id(message_id), Err(Error::Replayed));
        }
        assert_eq!(registration.draw_message_id(&mut *random), Err(Limit::MessageIds.into()));
    }
}
