//! What a key server awaits in a GROUPKEY-PULL.
//!
//! ```text
//! message 1 --> ExpectOffer --offer--> ExpectAcknowledgement --message 3--> ExpectDownload --download--> Answered
//!                    \--refuse--> Refused                                         \--refuse--> Refused
//! ```
//!
//! Each state keeps the digest of the message that led to it, so that the member's repetition is known before
//! anything is decrypted, and the answer to it.

use claviger_crypto::{SecretBytes, cipher::BLOCK_LEN, hash::Digest};
use claviger_group::GroupId;
use claviger_isakmp::{
    exchange::message::{Authentic, Context, last_block, seal},
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    wire::payload::ChainWriter,
};
use claviger_wire::Decode;

use crate::{
    error::{ApiMisuse, Error},
    policy,
    rules::{PULL_1, PULL_3},
    wire::{Exchange, Gap, Identification, KeyDownload, Nonce, SaPayload, SequenceNumber},
};

/// Message 1 is authentic; the caller's offer is awaited.
#[derive(Debug)]
pub(crate) struct ExpectOffer {
    message_id: u32,
    nonce_i: Vec<u8>,
    iv: [u8; BLOCK_LEN],
}

/// Message 2 is sent; message 3 is awaited.
#[derive(Debug)]
pub(crate) struct ExpectAcknowledgement {
    message_id: u32,
    nonce_i: Vec<u8>,
    nonce_r: SecretBytes,
    sa: SaPayload,
    message_2: Vec<u8>,
}

/// Message 3 is authentic; the caller's download is awaited.
#[derive(Debug)]
pub(crate) struct ExpectDownload {
    message_id: u32,
    nonce_i: Vec<u8>,
    nonce_r: SecretBytes,
    sa: SaPayload,
    iv: [u8; BLOCK_LEN],
    message_3: Digest,
}

/// Message 4 is sent.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) message_3: Digest,
    pub(crate) message_4: Vec<u8>,
}

/// The exchange ended with a notification.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Message 3 if it answered that, and not message 1.
    pub(crate) message_3: Option<Digest>,
    pub(crate) informational: Vec<u8>,
}

/// What message 1 brought.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) group: GroupId,
    nonce_i: Vec<u8>,
}

impl Request {
    /// The context in which message 1 verifies.
    pub(crate) fn context(keys: &ExchangeKeys, message_id: u32) -> Context<'static> {
        context(message_id, keys.first_iv(message_id), &[])
    }

    /// Interprets message 1: HDR*, HASH(1), Ni, ID.
    pub(crate) fn read(message: &Authentic<'_>) -> Result<Self, Error> {
        message.check(PULL_1)?;
        let nonce_i = Nonce::from_octets(message.required(PayloadType::NONCE)?)?.0;
        let group = Identification::from_octets(message.required(PayloadType::ID)?)?.0;
        Ok(Self { group, nonce_i })
    }

    pub(crate) fn requested(self, message_id: u32, message_1: &[u8]) -> (GroupId, ExpectOffer) {
        (self.group, ExpectOffer { message_id, nonce_i: self.nonce_i, iv: last_block(message_1) })
    }
}

impl ExpectOffer {
    /// Writes message 2: HDR*, HASH(2), Nr, SA.
    pub(crate) fn offer(
        &self,
        keys: &ExchangeKeys,
        nonce_r: SecretBytes,
        sa: &SaPayload,
    ) -> Result<ExpectAcknowledgement, Error> {
        let mut payloads = ChainWriter::new();
        payloads.body(PayloadType::NONCE, nonce_r.expose())?;
        payloads.payload(PayloadType::SA, |w| sa.encode(Exchange::Pull, w))?;
        let message_2 = seal(keys, context(self.message_id, self.iv, &[&self.nonce_i]), &payloads)?;
        Ok(ExpectAcknowledgement {
            message_id: self.message_id,
            nonce_i: self.nonce_i.clone(),
            nonce_r,
            sa: sa.clone(),
            message_2,
        })
    }
}

impl ExpectAcknowledgement {
    pub(crate) fn sent(&self) -> &[u8] {
        &self.message_2
    }

    /// Hands the context in which message 3 verifies to `open`.
    pub(crate) fn with_context<T>(&self, open: impl FnOnce(Context<'_>) -> T) -> T {
        let nonces = [&self.nonce_i[..], self.nonce_r.expose()];
        open(context(self.message_id, last_block(&self.message_2), &nonces))
    }

    /// Interprets message 3: HDR*, HASH(3) [, GAP]; returns how many sender ids are requested.
    pub(crate) fn read(message: &Authentic<'_>) -> Result<Option<u16>, Error> {
        message.check(PULL_3)?;
        let gap = message.optional(PayloadType::GROUP_ASSOCIATED_POLICY).map(Gap::from_octets).transpose()?;
        Ok(gap.and_then(|gap| gap.sender_id_request))
    }

    pub(crate) fn acknowledged(self, message_3: &[u8], digest: Digest) -> ExpectDownload {
        ExpectDownload {
            message_id: self.message_id,
            nonce_i: self.nonce_i,
            nonce_r: self.nonce_r,
            sa: self.sa,
            iv: last_block(message_3),
            message_3: digest,
        }
    }
}

impl ExpectDownload {
    /// Writes message 4: `HDR*, HASH(4), [SEQ,] KD`.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::DownloadMismatch`] unless keys and sequence number fit the policy that was offered.
    pub(crate) fn download(
        &self,
        keys: &ExchangeKeys,
        sequence: Option<u32>,
        kd: &KeyDownload,
    ) -> Result<Answered, Error> {
        let fits = policy::check_keys(Exchange::Pull, &self.sa, kd).is_ok();
        if !fits || sequence.is_some() != self.sa.kek.is_some() {
            return Err(ApiMisuse::DownloadMismatch.into());
        }
        let mut payloads = ChainWriter::new();
        if let Some(sequence) = sequence {
            payloads.value(PayloadType::SEQUENCE_NUMBER, &SequenceNumber(sequence))?;
        }
        payloads.payload(PayloadType::KEY_DOWNLOAD, |w| kd.encode(w))?;
        let nonces = [&self.nonce_i[..], self.nonce_r.expose()];
        let message_4 = seal(keys, context(self.message_id, self.iv, &nonces), &payloads)?;
        Ok(Answered { message_3: self.message_3.clone(), message_4 })
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.message_3
    }
}

fn context<'a>(message_id: u32, iv: [u8; BLOCK_LEN], nonces: &'a [&'a [u8]]) -> Context<'a> {
    Context { exchange: ExchangeType::GROUPKEY_PULL, message_id, iv, nonces }
}
