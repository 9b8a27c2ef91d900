//! GROUPKEY-PUSH: sealing by the key server, opening by a member (RFC 6407 section 4).
//!
//! ```text
//! HDR*, SEQ, [D...,] [SA, KD,] SIG        * encrypted under the KEK
//! ```
//!
//! The signature is over "rekey" | HDR | the payloads before SIG. RFC 6407 leaves open which HDR: it is the one
//! that is sent, the Encryption flag set, but with the Length that the message has before the padding of
//! encryption; so other implementations do it too.

use std::fmt;

use claviger_crypto::{
    CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, CipherAlgorithm, CipherKey},
    sign::{KeyAlgorithm, PublicKey, SigningKey},
};
use claviger_group::CookiePair;
use claviger_wire::{DecodeError, Encode, Writer};

use crate::{
    error::{ApiMisuse, AuthError, Error, PeerMisbehaved, incompatible},
    iana::{ExchangeType, PayloadType, kek},
    limits::{DELETES_MAX, MESSAGE_LEN_MAX},
    rules,
    wire::{
        Delete, Dialect, Header, KeyDownload, SaPayload, delete, header,
        payload::{Chain, ChainWriter, RawPayload},
        sa_kek::signature_algorithm,
        sequence_number,
    },
};

/// What encrypts the messages of a rekey SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KekMaterial {
    /// The cookies in the header of its messages.
    pub spi: CookiePair,
    /// The cipher.
    pub cipher: CipherAlgorithm,
    /// The IV of every message.
    pub iv: [u8; BLOCK_LEN],
    /// The KEK.
    pub key: SecretBytes,
}

impl KekMaterial {
    /// Takes a KEK of the cipher's key length.
    pub fn new(spi: CookiePair, cipher: CipherAlgorithm, iv: [u8; BLOCK_LEN], key: &[u8]) -> Self {
        Self { spi, cipher, iv, key: SecretBytes::copy_of(key) }
    }
}

/// A message to seal. SA and KD stand together or not at all.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// The rekey SA that it goes out under.
    pub kek: &'a KekMaterial,
    /// Its number under that SA: the first is 1.
    pub sequence: u32,
    /// Which SAs are no more. Neighbours of one protocol share a payload; there are at most 8.
    pub deletes: &'a [Delete],
    /// The policy of new SAs.
    pub sa: Option<&'a SaPayload>,
    /// Their keys.
    pub kd: Option<&'a KeyDownload>,
}

/// What precedes the header under the signature.
//= rfc6407#section-4
//# The HASH is taken over the string 'rekey', the
//# GROUPKEY-PUSH HDR, followed by all payloads preceding the SIG
//# payload.
const SIGNED_PREFIX: &[u8] = b"rekey";

/// Signs and encrypts a message.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if it exceeds 65,507 octets, [`ApiMisuse::DownloadMismatch`] if the keys do not fit
/// the policy, [`ApiMisuse::UnsupportedAlgorithm`] if a key does not fit its algorithm.
pub fn seal(provider: &CryptoProvider, push: &Push<'_>, signer: &SigningKey) -> Result<Vec<u8>, Error> {
    let payloads = write_payloads(push)?;
    let algorithm = signature_algorithm(signer.public().algorithm());
    let signature_len = signature_len(signer.public())?;
    let unpadded = Header::LEN + payloads.octets().len() + 4 + signature_len;
    let length = Header::LEN + (unpadded - Header::LEN).next_multiple_of(BLOCK_LEN);
    if length > MESSAGE_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    let mut header = Header {
        cookies: push.kek.spi,
        next_payload: payloads.first(),
        exchange: ExchangeType::GROUPKEY_PUSH,
        message_id: 0,
        length: unpadded as u32,
    };
    let mut payloads = payloads;
    payloads.announce(PayloadType::SIG);
    let signed = [SIGNED_PREFIX, &header.to_octets(), payloads.octets()].concat();
    let signature = signer.sign(algorithm, &signed).map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
    payloads.payload(PayloadType::SIG, |w| {
        w.slice(&signature);
        Ok(())
    })?;

    header.length = length as u32;
    let mut w = Writer::new();
    header.encode(&mut w);
    w.slice(payloads.octets());
    w.pad_to(Header::LEN, BLOCK_LEN);
    let mut octets = w.into_octets();
    prepare(provider, push.kek)?.encrypt(&push.kek.iv, &mut octets[Header::LEN..])?;
    Ok(octets)
}

fn write_payloads(push: &Push<'_>) -> Result<ChainWriter, Error> {
    let mut payloads = ChainWriter::new();
    payloads.payload(PayloadType::SEQUENCE_NUMBER, |w| {
        w.u32(push.sequence);
        Ok(())
    })?;
    let alike: Vec<_> = push.deletes.chunk_by(Delete::is_alike).collect();
    if alike.len() > DELETES_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    for deletes in alike {
        payloads.payload(PayloadType::DELETE, |w| delete::encode(deletes, w))?;
    }
    match (push.sa, push.kd) {
        (Some(sa), Some(kd)) if rules::check_keys(rules::Exchange::Push, sa, kd).is_ok() => {
            payloads.payload(PayloadType::SA, |w| sa.encode(w))?;
            payloads.payload(PayloadType::KEY_DOWNLOAD, |w| kd.encode(w))?;
        }
        (None, None) => {}
        _ => return Err(ApiMisuse::DownloadMismatch.into()),
    }
    Ok(payloads)
}

/// Says how long the signatures of a key are; all kinds here have one length.
fn signature_len(key: &PublicKey) -> Result<usize, ApiMisuse> {
    match key {
        PublicKey::EcdsaP256(point) | PublicKey::EcdsaP384(point) => Ok(point.len()),
        PublicKey::Ed25519(_) => Ok(64),
        PublicKey::Rsa { modulus, .. } => Ok(modulus.len()),
        _ => Err(ApiMisuse::UnsupportedAlgorithm),
    }
}

fn prepare(provider: &CryptoProvider, kek: &KekMaterial) -> Result<Box<dyn CipherKey>, ApiMisuse> {
    let cipher = provider.cipher(kek.cipher).map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
    cipher.key(kek.key.expose()).map_err(|_| ApiMisuse::UnsupportedAlgorithm)
}

/// Finds the rekey SA that a datagram belongs to; `None` if it is no GROUPKEY-PUSH.
pub fn cookies(datagram: &[u8]) -> Option<CookiePair> {
    let (exchange, cookies) = header::peek(datagram)?;
    (exchange == ExchangeType::GROUPKEY_PUSH).then_some(cookies)
}

/// A member's rekey SA: what opens its messages and says who may have signed them.
pub struct RekeySa {
    kek: KekMaterial,
    cipher: Box<dyn CipherKey>,
    signing_key: PublicKey,
    sequence: u32,
    /// The last ciphertext block of the last message.
    last_block: Option<[u8; BLOCK_LEN]>,
    dialect: Dialect,
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

    /// Says how many numbers between the last message and this one were skipped: messages that were lost.
    pub fn gap(&self) -> u32 {
        self.gap
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
    /// [`ApiMisuse::UnsupportedAlgorithm`] if the KEK does not fit its cipher.
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
        let cipher = prepare(provider, &kek)?;
        Ok(Self { kek, cipher, signing_key, sequence, last_block: None, dialect: Dialect::RFC })
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
    /// the last one, [`AuthError::Signature`] if it is not by the group's key server; others name what is wrong.
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
        rules::check(rules::PUSH, &chain.payloads)?;
        let sequence = sequence_number::decode(body(&chain, PayloadType::SEQUENCE_NUMBER)?)?;
        //= rfc6407#section-7.3.4
        //# A
        //# group member will discard sequence numbers associated with the
        //# current KEK SPI that have the same or lower value as the most
        //# recently received replay number.
        if sequence <= self.sequence {
            return Err(Error::Replayed);
        }
        self.verify(datagram, plaintext.expose(), &chain)?;
        self.interpret(sequence, last_block, &chain)
    }

    /// Advances to a message of this SA: it and what was sent before it are not accepted again.
    pub fn commit(&mut self, rekey: &VerifiedRekey) {
        if rekey.spi == self.kek.spi && rekey.sequence > self.sequence {
            self.sequence = rekey.sequence;
            self.last_block = Some(rekey.last_block);
        }
    }

    /// Raises the last number to what a GROUPKEY-PULL said. A lower one is stale and ignored (RFC 6407 section 3.3).
    pub fn raise_sequence(&mut self, sequence: u32) {
        self.sequence = self.sequence.max(sequence);
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
        &self.signing_key
    }

    /// Shows the number of the last message.
    pub fn sequence(&self) -> u32 {
        self.sequence
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

    fn verify(&self, datagram: &[u8], plaintext: &[u8], chain: &Chain<'_>) -> Result<(), Error> {
        let Some(RawPayload { kind: PayloadType::SIG, body: signature, start }) = chain.payloads.last()
        else {
            return Err(DecodeError::Missing { what: "SIG" }.into());
        };
        let unpadded = (Header::LEN + chain.length) as u32;
        let signed =
            [SIGNED_PREFIX, &datagram[..Header::LENGTH_AT], &unpadded.to_be_bytes(), &plaintext[..*start]]
                .concat();
        self.signing_key
            .verify(signature_algorithm(self.signing_key.algorithm()), &signed, signature)
            .map_err(|_| Error::Auth(AuthError::Signature))
    }

    fn interpret(
        &self,
        sequence: u32,
        last_block: [u8; BLOCK_LEN],
        chain: &Chain<'_>,
    ) -> Result<VerifiedRekey, Error> {
        let mut deletes = Vec::new();
        for payload in chain.payloads.iter().filter(|payload| payload.kind == PayloadType::DELETE) {
            deletes.extend(delete::decode(payload.body)?);
        }
        let sa = rules::body_of(&chain.payloads, PayloadType::SA)
            .map(|body| SaPayload::decode(body, self.dialect))
            .transpose()?;
        let kd = rules::body_of(&chain.payloads, PayloadType::KEY_DOWNLOAD)
            .map(KeyDownload::decode)
            .transpose()?;
        match (&sa, &kd) {
            (Some(sa), Some(kd)) => self.check_assertions(sa, kd)?,
            (None, None) => {}
            (Some(_), None) => return Err(DecodeError::Missing { what: "KD" }.into()),
            (None, Some(_)) => return Err(DecodeError::Missing { what: "SA" }.into()),
        }
        let gap = sequence - self.sequence - 1;
        Ok(VerifiedRekey { spi: self.kek.spi, sequence, gap, deletes, sa, kd, last_block })
    }

    fn check_assertions(&self, sa: &SaPayload, kd: &KeyDownload) -> Result<(), Error> {
        if let Some(management) = sa.kek.as_ref().and_then(|kek| kek.management)
            && management != kek::MANAGEMENT_LKH
        {
            return Err(incompatible("KEK_MANAGEMENT_ALGORITHM", management));
        }
        if self.dialect.keys_do_not_fit_policy {
            return Ok(());
        }
        sa.supported()?;
        rules::check_keys(rules::Exchange::Push, sa, kd)
    }
}

impl fmt::Debug for RekeySa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RekeySa({}, after {})", self.kek.spi, self.sequence)
    }
}

fn body<'a>(chain: &Chain<'a>, kind: PayloadType) -> Result<&'a [u8], DecodeError> {
    rules::body_of(&chain.payloads, kind).ok_or(DecodeError::Missing { what: "payload" })
}
