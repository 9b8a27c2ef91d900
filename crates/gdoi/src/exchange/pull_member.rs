//! What a member awaits in a GROUPKEY-PULL.
//!
//! ```text
//! ExpectOffer --message 2--> ExpectAcceptance --accept--> ExpectDownload --message 4--> done
//!                                    ^                          |
//!                                    +------ message 2' --------+
//! ```
//!
//! A key server that was started again has lost the exchange, and cannot verify message 3. So message 1 is repeated
//! behind each repetition of message 3: the key server takes it for a new exchange and answers with another message 2,
//! under another nonce, from which on all is taken. One that knows the exchange drops the repetition.

use claviger_crypto::{Random, SecretBytes, cipher::BLOCK_LEN};
use claviger_group::GroupId;
use claviger_isakmp::{
    exchange::{
        message::{Authentic, Context, last_block, seal},
        registration::draw_nonce,
    },
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    wire::payload::ChainWriter,
};
use claviger_wire::Decode;

use crate::{
    error::{Error, Limit, PeerMisbehaved},
    extensions::Extensions,
    limits::OFFERS_MAX,
    policy,
    rules::{PULL_2, PULL_4},
    wire::{Dialect, Exchange, Gap, Identification, KeyDownload, Nonce, SaPayload, SequenceNumber},
};

/// What an exchange begins with, and what it goes on from whenever the key server offers anew.
#[derive(Debug)]
struct Begun {
    message_id: u32,
    nonce_i: SecretBytes,
    message_1: Vec<u8>,
    /// The key server's nonces of offers that later ones have superseded.
    superseded: Vec<Vec<u8>>,
}

/// Message 1 is sent; message 2 is awaited.
#[derive(Debug)]
pub(crate) struct ExpectOffer {
    begun: Begun,
}

/// Message 2 is authentic; the caller's acceptance is awaited.
#[derive(Debug)]
pub(crate) struct ExpectAcceptance {
    begun: Begun,
    offer: Offer,
    message_2_end: [u8; BLOCK_LEN],
}

/// Message 3 is sent; message 4 is awaited.
#[derive(Debug)]
pub(crate) struct ExpectDownload {
    begun: Begun,
    offer: Offer,
    message_2_end: [u8; BLOCK_LEN],
    message_3: Vec<u8>,
}

/// What message 2 brought.
#[derive(Debug)]
pub(crate) struct Offer {
    nonce_r: Vec<u8>,
    sa: SaPayload,
}

/// What message 4 brought.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) sequence: Option<u32>,
    pub(crate) kd: KeyDownload,
}

impl Begun {
    /// The context in which message 2 verifies, whichever.
    fn with_offer_context<T>(&self, open: impl FnOnce(Context<'_>) -> T) -> T {
        open(context(self.message_id, last_block(&self.message_1), &[self.nonce_i.expose()]))
    }
}

impl ExpectOffer {
    /// Writes message 1: HDR*, HASH(1), Ni, ID.
    pub(crate) fn begin(
        keys: &ExchangeKeys,
        random: &mut dyn Random,
        message_id: u32,
        group: &GroupId,
    ) -> Result<Self, Error> {
        let nonce_i = draw_nonce(random);
        let mut payloads = ChainWriter::new();
        payloads.body(PayloadType::NONCE, nonce_i.expose())?;
        payloads.value(PayloadType::ID, &Identification(group.clone()))?;
        let context = context(message_id, keys.first_iv(message_id), &[]);
        let message_1 = seal(keys, context, &payloads)?;
        Ok(Self { begun: Begun { message_id, nonce_i, message_1, superseded: Vec::new() } })
    }

    pub(crate) fn sent(&self) -> &[u8] {
        &self.begun.message_1
    }

    /// Hands the context in which message 2 verifies to `open`.
    pub(crate) fn with_context<T>(&self, open: impl FnOnce(Context<'_>) -> T) -> T {
        self.begun.with_offer_context(open)
    }

    pub(crate) fn offered(self, offer: Offer, message_2: &[u8]) -> ExpectAcceptance {
        ExpectAcceptance { begun: self.begun, offer, message_2_end: last_block(message_2) }
    }
}

impl Offer {
    /// Interprets message 2: HDR*, HASH(2), Nr, SA.
    pub(crate) fn read(message: &Authentic<'_>, extensions: Extensions) -> Result<Self, Error> {
        message.check(PULL_2)?;
        let nonce_r = Nonce::from_octets(message.required(PayloadType::NONCE)?)?.0;
        let body = message.required(PayloadType::SA)?;
        let sa = SaPayload::from_octets_in(body, Exchange::Pull, Dialect::RFC)?;
        policy::check_extensions(extensions, &sa)?;
        sa.supported()?;
        Ok(Self { nonce_r, sa })
    }
}

impl ExpectAcceptance {
    pub(crate) fn sa(&self) -> &SaPayload {
        &self.offer.sa
    }

    /// Says whether a datagram is message 2 once more.
    pub(crate) fn is_repeated(&self, datagram: &[u8]) -> bool {
        last_block(datagram) == self.message_2_end
    }

    /// Writes message 3: HDR*, HASH(3) [, GAP].
    pub(crate) fn accept(
        self,
        keys: &ExchangeKeys,
        sender_ids: Option<u16>,
    ) -> Result<ExpectDownload, Error> {
        let mut payloads = ChainWriter::new();
        if sender_ids.is_some() {
            let request = Gap { sender_id_request: sender_ids, ..Gap::default() };
            payloads.value(PayloadType::GROUP_ASSOCIATED_POLICY, &request)?;
        }
        let Self { begun, offer, message_2_end } = self;
        let nonces = [begun.nonce_i.expose(), &offer.nonce_r];
        let message_3 = seal(keys, context(begun.message_id, message_2_end, &nonces), &payloads)?;
        Ok(ExpectDownload { begun, offer, message_2_end, message_3 })
    }
}

impl ExpectDownload {
    pub(crate) fn sent(&self) -> &[u8] {
        &self.message_3
    }

    /// What is sent when no answer comes: message 3, which a key server that knows the exchange answers, and message 1
    /// for one that does not.
    pub(crate) fn repeated(&self) -> [&[u8]; 2] {
        [&self.message_3, &self.begun.message_1]
    }

    /// Says whether a datagram is message 2 once more.
    pub(crate) fn is_repeated(&self, datagram: &[u8]) -> bool {
        last_block(datagram) == self.message_2_end
    }

    /// Hands the context in which message 4 verifies to `open`, and the one in which another message 2 does.
    pub(crate) fn with_contexts<T>(&self, open: impl FnOnce(Context<'_>, Context<'_>) -> T) -> T {
        let nonces = [self.begun.nonce_i.expose(), &self.offer.nonce_r];
        let download = context(self.begun.message_id, last_block(&self.message_3), &nonces);
        self.begun.with_offer_context(|offer| open(download, offer))
    }

    /// Says whether an offer is later than those that were taken: a key server that makes one draws a nonce for it. A
    /// replay must not take the exchange back to keys that were superseded.
    pub(crate) fn check_later(&self, offer: &Offer) -> Result<(), Error> {
        let mut taken = self.begun.superseded.iter().chain([&self.offer.nonce_r]);
        if taken.any(|nonce_r| *nonce_r == offer.nonce_r) {
            return Err(Error::Replayed);
        }
        if self.begun.superseded.len() + 1 >= OFFERS_MAX {
            return Err(Limit::Offers.into());
        }
        Ok(())
    }

    /// Goes back to the caller with a later offer; nothing of the earlier one counts any more.
    pub(crate) fn offered(self, offer: Offer, message_2: &[u8]) -> ExpectAcceptance {
        let Self { mut begun, offer: superseded, .. } = self;
        begun.superseded.push(superseded.nonce_r);
        ExpectAcceptance { begun, offer, message_2_end: last_block(message_2) }
    }

    /// Interprets message 4: `HDR*, HASH(4), [SEQ,] KD`.
    pub(crate) fn read(&self, message: &Authentic<'_>) -> Result<Download, Error> {
        message.check(PULL_4)?;
        let sequence = message.optional(PayloadType::SEQUENCE_NUMBER).map(SequenceNumber::from_octets);
        let sequence = sequence.transpose()?.map(|SequenceNumber(number)| number);
        //= rfc6407#section-3.2
        //# The SEQ payload has no other use and is omitted from the GROUPKEY-
        //# PULL exchange when a KEK attribute is not included in the SA payload.
        match (&self.offer.sa.kek, sequence) {
            (Some(_), None) => return Err(PeerMisbehaved::SequenceMissing.into()),
            (None, Some(_)) => return Err(PeerMisbehaved::SequenceWithoutKek.into()),
            _ => {}
        }
        let kd = KeyDownload::from_octets(message.required(PayloadType::KEY_DOWNLOAD)?)?;
        policy::check_keys(Exchange::Pull, &self.offer.sa, &kd)?;
        Ok(Download { sequence, kd })
    }

    pub(crate) fn into_sa(self) -> SaPayload {
        self.offer.sa
    }
}

fn context<'a>(message_id: u32, iv: [u8; BLOCK_LEN], nonces: &'a [&'a [u8]]) -> Context<'a> {
    Context { exchange: ExchangeType::GROUPKEY_PULL, message_id, iv, nonces }
}
