//! Opening, by a member.

use std::{collections::VecDeque, fmt};

use claviger_crypto::{
    CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, CipherKey},
    hash_tree::Node,
    sign::{KeyAlgorithm, PublicKey, Verifier},
};
use claviger_group::{CookiePair, PushAuthentication};
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    rules::{body_of, check},
    wire::{
        Header,
        payload::{Chain, RawPayload},
    },
};
use claviger_sansio::Time;
use claviger_wire::{Decode, DecodeError, rules::Element};
use tracing::trace;

use super::{
    batch::{self, BatchPlace, VerifiedBatch},
    control::Controls,
    message::{KekMaterial, SIGNED_PREFIX},
    signature,
    window::Window,
};
use crate::{
    error::{ApiMisuse, Error, PeerMisbehaved},
    extensions::Extensions,
    limits::BATCHES_REMEMBERED_MAX,
    policy, rules,
    wire::{Delete, Deletes, Dialect, Exchange, KeyDownload, SaPayload, SequenceNumber},
};

/// A member's rekey SA: what opens its messages and says who may have signed them.
pub struct RekeySa {
    kek: KekMaterial,
    cipher: Box<dyn CipherKey>,
    signing_key: Verifier,
    form: PushAuthentication,
    /// The last number, and those before it that may still come.
    window: Window,
    /// Batches whose signature was verified, the latest last.
    batches: VecDeque<VerifiedBatch>,
    controls: Controls,
    /// The last ciphertext block of the last message.
    last_block: Option<[u8; BLOCK_LEN]>,
    dialect: Dialect,
    extensions: Extensions,
}

/// A message whose signature verifies. Only [`RekeySa::open`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRekey {
    /// The rekey SA that it came under.
    spi: CookiePair,
    /// Its number.
    sequence: u32,
    /// How many numbers between the last message and this one were skipped.
    gap: u32,
    /// Where it stands among those that share its signature.
    batch: Option<(BatchPlace, VerifiedBatch)>,
    /// Whether a message of a later batch came before.
    overtaken: bool,
    deletes: Vec<Delete>,
    sa: Option<SaPayload>,
    kd: Option<KeyDownload>,
    /// The last ciphertext block of the message.
    last_block: [u8; BLOCK_LEN],
}

impl VerifiedRekey {
    /// Shows the cookies of the rekey SA that the message came under.
    pub fn spi(&self) -> CookiePair {
        self.spi
    }

    /// Shows the message's number.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Says how many numbers between the last message and this one were skipped: messages that were lost. Of a batch
    /// nobody needs all messages, so that only numbers between batches count; where there are places, nobody needs all
    /// batches of a rekey, and only numbers before it count.
    pub fn gap(&self) -> u32 {
        self.gap
    }

    /// Shows where the message stands among those that share its signature, if they do.
    pub fn batch(&self) -> Option<BatchPlace> {
        self.batch.as_ref().map(|(place, _)| *place)
    }

    /// Says whether a message of a later batch came before this one. What it says of data SAs is out of date then.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }

    /// Shows which SAs are no more.
    pub fn deletes(&self) -> &[Delete] {
        &self.deletes
    }

    /// Shows the policy of new SAs. Present if and only if [`VerifiedRekey::kd`] is; they fit each other.
    pub fn sa(&self) -> Option<&SaPayload> {
        self.sa.as_ref()
    }

    /// Shows the keys of new SAs.
    pub fn kd(&self) -> Option<&KeyDownload> {
        self.kd.as_ref()
    }
}

impl RekeySa {
    /// Takes a KEK into use. `sequence` is the number of the last message: what a GROUPKEY-PULL said, or zero for a
    /// KEK that a GROUPKEY-PUSH brought. `signature` is what the SA KEK asserts.
    ///
    /// # Errors
    ///
    /// [`PeerMisbehaved::SigningKeyKind`] if `signing_key` is of another kind,
    /// [`ApiMisuse::UnsupportedAlgorithm`] if the KEK does not fit its cipher, or the provider lacks an algorithm.
    pub fn new(
        provider: &CryptoProvider,
        kek: KekMaterial,
        signing_key: PublicKey,
        signature: KeyAlgorithm,
        sequence: u32,
    ) -> Result<Self, Error> {
        if signing_key.algorithm() != signature {
            return Err(PeerMisbehaved::SigningKeyKind.into());
        }
        let cipher = kek.prepare(provider)?;
        let signing_key =
            Verifier::new(provider, signing_key).map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
        Ok(Self {
            kek,
            cipher,
            signing_key,
            form: PushAuthentication::Message,
            window: Window::after(sequence),
            batches: VecDeque::new(),
            controls: Controls::new(),
            last_block: None,
            dialect: Dialect::RFC,
            extensions: Extensions::ALL,
        })
    }

    /// Expects signatures of another form: what the SA KEK asserts.
    pub fn with_form(self, form: PushAuthentication) -> Self {
        Self { form, ..self }
    }

    /// Accepts no private extensions of a successor but these.
    pub fn with_extensions(self, extensions: Extensions) -> Self {
        Self { extensions, ..self }
    }

    /// Shows which private extensions a successor may have.
    pub fn extensions(&self) -> Extensions {
        self.extensions
    }

    /// Tolerates the peculiarities of another implementation.
    pub fn with_dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Opens a message; nothing changes.
    ///
    /// The order is RFC 6407 section 7.3.5's: cheap checks first, the signature last, and nothing is interpreted
    /// before it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCookies`] if the message belongs to another SA, [`Error::Replayed`] if its number is not above
    /// the last one, [`Error::Auth`] if it is not by the group's key server; others name what is wrong.
    pub fn open(&self, datagram: &[u8]) -> Result<VerifiedRekey, Error> {
        let (header, ciphertext) = Header::split(datagram)?;
        self.check_header(&header)?;
        //= rfc6407#section-7.3.4
        //# Implementations SHOULD keep a record (e.g., a hash value) of recently
        //# received GROUPKEY-PUSH messages and reject duplicate messages prior
        //# to performing cryptographic operations.
        let last_block = *ciphertext.last_chunk().ok_or(DecodeError::Truncated { field: "ciphertext" })?;
        if self.last_block == Some(last_block) {
            return Err(Error::Replayed);
        }
        let plaintext = self.decrypt(ciphertext)?;
        let chain = Chain::parse(header.next_payload, plaintext.expose())?;
        check(rules::PUSH, &chain.payloads)?;
        let sequence = SequenceNumber::from_octets(body(&chain, PayloadType::SEQUENCE_NUMBER)?)?.0;
        //= rfc6407#section-7.3.4
        //# A
        //# group member will discard sequence numbers associated with the
        //# current KEK SPI that have the same or lower value as the most
        //# recently received replay number.
        let is_new = match self.form {
            PushAuthentication::Message => sequence > self.sequence(),
            // Messages of a batch come in any order.
            PushAuthentication::Batch => self.window.is_fresh(sequence),
        };
        if !is_new {
            return Err(Error::Replayed);
        }
        let batch = self.verify(datagram, plaintext.expose(), &chain, sequence)?;
        trace!(rekey_sa = %self.kek.spi, sequence, batch = batch.is_some(), length = datagram.len(), "GROUPKEY-PUSH is genuine");
        self.interpret(sequence, batch, last_block, &chain)
    }

    /// Advances to a message of this SA: it and what was sent before it are not accepted again.
    pub fn commit(&mut self, rekey: &VerifiedRekey) {
        if rekey.spi != self.kek.spi {
            return;
        }
        match &rekey.batch {
            None if rekey.sequence <= self.sequence() => return,
            None => self.window.raise(rekey.sequence),
            Some((place, batch)) => {
                self.window.take(rekey.sequence, place.last());
                self.remember(batch);
            }
        }
        self.last_block = Some(rekey.last_block);
    }

    /// Opens a message of the delivery of a batch under this SA ([`super::seal_controls`]): shows the octets that the
    /// key server vouches for.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCookies`] if it belongs to another SA, [`Error::Auth`] if it is not by the group's key
    /// server, [`crate::error::Limit::Controls`] if too many were not; others name what is wrong.
    pub fn open_control<'a>(&mut self, now: Time, datagram: &'a [u8]) -> Result<&'a [u8], Error> {
        if self.form != PushAuthentication::Batch {
            return Err(PeerMisbehaved::OutOfState.into());
        }
        self.controls.open(now, self.kek.spi, &self.signing_key, datagram)
    }

    fn remember(&mut self, batch: &VerifiedBatch) {
        if !self.batches.contains(batch) {
            if self.batches.len() == BATCHES_REMEMBERED_MAX {
                self.batches.pop_front();
            }
            self.batches.push_back(batch.clone());
        }
    }

    /// Raises the last number to what a GROUPKEY-PULL said. A lower one is stale and ignored (RFC 6407 section 3.3).
    pub fn raise_sequence(&mut self, sequence: u32) {
        self.window.raise(sequence);
    }

    /// Shows what encrypts the messages.
    pub fn kek(&self) -> &KekMaterial {
        &self.kek
    }

    /// Shows the cookies in the header of the messages.
    pub fn spi(&self) -> CookiePair {
        self.kek.spi
    }

    /// Shows whose signature the messages bear.
    pub fn signing_key(&self) -> &PublicKey {
        self.signing_key.key()
    }

    /// Shows the number of the last message; of a batch's last one, whichever of its messages came.
    pub fn sequence(&self) -> u32 {
        self.window.highest()
    }

    /// Shows which form the signatures have.
    pub fn form(&self) -> PushAuthentication {
        self.form
    }

    fn check_header(&self, header: &Header) -> Result<(), Error> {
        if header.exchange != ExchangeType::GROUPKEY_PUSH {
            let value = header.exchange.0.into();
            return Err(DecodeError::Value { field: "exchange type", value }.into());
        }
        if header.cookies != self.kek.spi {
            return Err(Error::UnknownCookies);
        }
        //= rfc6407#section-4.2
        //# Message ID MUST be set to zero.
        if header.message_id != 0 {
            let value = header.message_id.into();
            return Err(DecodeError::Value { field: "message id", value }.into());
        }
        Ok(())
    }

    fn decrypt(&self, ciphertext: &[u8]) -> Result<SecretBytes, Error> {
        let mut result = Ok(());
        let plaintext = SecretBytes::with(ciphertext.len(), |octets| {
            octets.copy_from_slice(ciphertext);
            result = self.cipher.decrypt(&self.kek.iv, octets);
        });
        result?;
        Ok(plaintext)
    }

    fn verify(
        &self,
        datagram: &[u8],
        plaintext: &[u8],
        chain: &Chain<'_>,
        sequence: u32,
    ) -> Result<Option<(BatchPlace, VerifiedBatch)>, Error> {
        let Some(RawPayload { kind: PayloadType::SIG, body: sig, start }) = chain.payloads.last() else {
            return Err(DecodeError::Missing { what: "SIG" }.into());
        };
        let unpadded = ((Header::LEN + chain.length) as u32).to_be_bytes();
        let signed = [SIGNED_PREFIX, &datagram[..Header::LENGTH_AT], &unpadded, &plaintext[..*start]];
        match self.form {
            PushAuthentication::Message => {
                let signed = SecretBytes::concat(&signed);
                signature::verify(&self.signing_key, signed.expose(), sig).map_err(Error::Auth)?;
                Ok(None)
            }
            PushAuthentication::Batch => {
                let known = &self.batches;
                batch::verify(self.kek.spi, sequence, Node::leaf(&signed), sig, &self.signing_key, known)
                    .map(Some)
            }
        }
    }

    fn interpret(
        &self,
        sequence: u32,
        batch: Option<(BatchPlace, VerifiedBatch)>,
        last_block: [u8; BLOCK_LEN],
        chain: &Chain<'_>,
    ) -> Result<VerifiedRekey, Error> {
        let mut deletes = Vec::new();
        for payload in chain.payloads.iter().filter(|payload| payload.kind == PayloadType::DELETE) {
            deletes.extend(Deletes::from_octets(payload.body)?.0);
        }
        let sa = body_of(&chain.payloads, PayloadType::SA)
            .map(|body| SaPayload::from_octets_in(body, Exchange::Push, self.dialect))
            .transpose()?;
        let kd =
            body_of(&chain.payloads, PayloadType::KEY_DOWNLOAD).map(KeyDownload::from_octets).transpose()?;
        match (&sa, &kd) {
            (Some(sa), Some(kd)) => self.check_assertions(sa, kd)?,
            (None, None) => {}
            (Some(_), None) => return Err(DecodeError::Missing { what: "KD" }.into()),
            (None, Some(_)) => return Err(DecodeError::Missing { what: "SA" }.into()),
        }
        let first = batch.as_ref().map_or(sequence, |(place, _)| place.first);
        // What stands between went to other places, or is on its way here.
        let rekey_first = sa.as_ref().and_then(|sa| sa.kek.as_ref()?.rekey_first);
        if rekey_first.is_some_and(|number| number > first) {
            return Err(PeerMisbehaved::RekeyFirst.into());
        }
        let first = rekey_first.unwrap_or(first);
        let gap = first.saturating_sub(self.sequence()).saturating_sub(1);
        let overtaken = batch.as_ref().is_some_and(|(place, _)| place.last() < self.sequence());
        Ok(VerifiedRekey { spi: self.kek.spi, sequence, gap, batch, overtaken, deletes, sa, kd, last_block })
    }

    fn check_assertions(&self, sa: &SaPayload, kd: &KeyDownload) -> Result<(), Error> {
        policy::check_extensions(self.extensions, sa)?;
        if self.dialect.keys_do_not_fit_policy {
            return Ok(());
        }
        sa.supported()?;
        policy::check_keys(Exchange::Push, sa, kd)
    }
}

impl fmt::Debug for RekeySa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RekeySa({}, after {})", self.kek.spi, self.sequence())
    }
}

fn body<'a>(chain: &Chain<'a>, kind: PayloadType) -> Result<&'a [u8], DecodeError> {
    body_of(&chain.payloads, kind).ok_or(DecodeError::Missing { what: kind.name() })
}
