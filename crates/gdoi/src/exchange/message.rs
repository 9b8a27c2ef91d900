//! Sealing and authenticating one message under a registration SA (RFC 6407 section 3.2).

use claviger_crypto::{SecretBytes, cipher::BLOCK_LEN};
use claviger_wire::{
    DecodeError, Encode, Writer,
    rules::{Element, Rule},
};

use crate::{
    error::{ApiMisuse, AuthError, Error},
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    limits::MESSAGE_LEN_MAX,
    rules,
    wire::{
        Header,
        payload::{Chain, ChainWriter, GENERIC_LEN, RawPayload},
    },
};

/// Which message is sealed or opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) exchange: ExchangeType,
    pub(crate) message_id: u32,
    pub(crate) iv: [u8; BLOCK_LEN],
    /// The nonces that earlier messages carried and the HASH covers: none, Ni_b, or Ni_b and Nr_b.
    pub(crate) nonces: &'a [&'a [u8]],
}

/// The payloads of a message whose HASH verifies. Only [`authenticate`] makes it.
#[derive(Debug)]
pub(crate) struct Authentic<'a> {
    payloads: Vec<RawPayload<'a>>,
}

/// Writes a message: header, HASH, `payloads`, padding; everything behind the header encrypted.
pub(crate) fn seal(
    keys: &ExchangeKeys,
    context: Context<'_>,
    payloads: &ChainWriter,
) -> Result<Vec<u8>, Error> {
    let hash = keys.hash(context.message_id, context.nonces, payloads.octets());
    let mut chain = ChainWriter::new();
    chain.payload(PayloadType::HASH, |w| {
        w.slice(&hash);
        Ok(())
    })?;
    chain.announce(payloads.first());

    let length = Header::LEN + (chain.octets().len() + payloads.octets().len()).next_multiple_of(BLOCK_LEN);
    if length > MESSAGE_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    let header = Header {
        cookies: keys.cookies(),
        next_payload: PayloadType::HASH,
        exchange: context.exchange,
        message_id: context.message_id,
        length: length as u32,
    };
    let mut w = Writer::new();
    header.encode(&mut w);
    w.slice(chain.octets());
    w.slice(payloads.octets());
    w.pad_to(Header::LEN, BLOCK_LEN);
    let mut octets = w.into_octets();
    keys.cipher()?.encrypt(&context.iv, &mut octets[Header::LEN..])?;
    Ok(octets)
}

/// Writes a message that is authenticated and not encrypted: header, HASH, `payloads`.
pub(crate) fn seal_plain(
    keys: &ExchangeKeys,
    exchange: ExchangeType,
    message_id: u32,
    payloads: &ChainWriter,
) -> Result<Vec<u8>, Error> {
    let hash = keys.hash(message_id, &[], payloads.octets());
    let mut chain = ChainWriter::new();
    chain.payload(PayloadType::HASH, |w| {
        w.slice(&hash);
        Ok(())
    })?;
    chain.announce(payloads.first());
    let length = Header::LEN + chain.octets().len() + payloads.octets().len();
    let header = Header {
        cookies: keys.cookies(),
        next_payload: PayloadType::HASH,
        exchange,
        message_id,
        length: length as u32,
    };
    let mut w = Writer::new();
    header.encode(&mut w);
    w.slice(chain.octets());
    w.slice(payloads.octets());
    Ok(w.into_octets())
}

/// Decrypts what stands behind a header.
pub(crate) fn decrypt(
    keys: &ExchangeKeys,
    iv: &[u8; BLOCK_LEN],
    ciphertext: &[u8],
) -> Result<SecretBytes, Error> {
    let mut result = Ok(());
    let cipher = keys.cipher()?;
    let plaintext = SecretBytes::with(ciphertext.len(), |octets| {
        octets.copy_from_slice(ciphertext);
        result = cipher.decrypt(iv, octets);
    });
    result?;
    Ok(plaintext)
}

/// Verifies the HASH of a decrypted message; nothing is interpreted before that but the payloads' lengths.
pub(crate) fn authenticate<'a>(
    keys: &ExchangeKeys,
    context: Context<'_>,
    header: &Header,
    plaintext: &'a [u8],
) -> Result<Authentic<'a>, Error> {
    let chain = Chain::parse(header.next_payload, plaintext)?;
    let Some(hash) = chain.payloads.first().filter(|payload| payload.kind == PayloadType::HASH) else {
        return Err(DecodeError::Missing { what: "HASH" }.into());
    };
    if hash.body.len() != keys.hash_len() {
        return Err(DecodeError::Length { field: "HASH" }.into());
    }
    let behind = &plaintext[GENERIC_LEN + hash.body.len()..chain.length];
    if !keys.hash(context.message_id, context.nonces, behind).ct_eq(hash.body) {
        return Err(Error::Auth(AuthError::Hash));
    }
    Ok(Authentic { payloads: chain.payloads })
}

impl<'a> Authentic<'a> {
    /// Compares the payloads with their table.
    pub(crate) fn check(&self, rules: &[Rule<PayloadType>]) -> Result<(), DecodeError> {
        rules::check(rules, &self.payloads)
    }

    /// Finds a payload's body.
    pub(crate) fn optional(&self, kind: PayloadType) -> Option<&'a [u8]> {
        rules::body_of(&self.payloads, kind)
    }

    /// Finds the body of a payload that [`Authentic::check`] has demanded.
    pub(crate) fn required(&self, kind: PayloadType) -> Result<&'a [u8], DecodeError> {
        self.optional(kind).ok_or(DecodeError::Missing { what: kind.name() })
    }
}

/// Shows the last ciphertext block of a message, which is the IV of the exchange's next one.
pub(crate) fn last_block(datagram: &[u8]) -> [u8; BLOCK_LEN] {
    *datagram.last_chunk().expect("a sealed or split message has at least one block")
}
