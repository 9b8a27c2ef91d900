//! Sealing and authenticating one message under a security association (RFC 2409 section 5.7, RFC 6407 section 3.2).

use claviger_crypto::{SecretBytes, cipher::BLOCK_LEN, hash::Digest};
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
pub struct Context<'a> {
    /// What it belongs to.
    pub exchange: ExchangeType,
    /// The exchange under the cookies.
    pub message_id: u32,
    /// What its encryption begins with: hashed for the first message of an exchange, then the last block of the one before.
    pub iv: [u8; BLOCK_LEN],
    /// The nonces that earlier messages carried and the HASH covers: none, Ni_b, or Ni_b and Nr_b.
    pub nonces: &'a [&'a [u8]],
}

/// The payloads of a message whose HASH verifies. Only [`authenticate`] makes it.
#[derive(Debug)]
pub struct Authentic<'a> {
    payloads: Vec<RawPayload<'a>>,
}

/// Writes a message: header, HASH, `payloads`, padding; everything behind the header encrypted.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if it exceeds 65,507 octets; [`Error::Crypto`].
pub fn seal(keys: &ExchangeKeys, context: Context<'_>, payloads: &ChainWriter) -> Result<Vec<u8>, Error> {
    let hash = keys.hash(context.message_id, context.nonces, payloads.octets());
    let hash = hash_payload(&hash, payloads)?;
    let length = Header::LEN + (hash.len() + payloads.octets().len()).next_multiple_of(BLOCK_LEN);
    if length > MESSAGE_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    let header = Header {
        cookies: keys.cookies(),
        next_payload: PayloadType::HASH,
        exchange: context.exchange,
        encrypted: true,
        message_id: context.message_id,
        length: length as u32,
    };
    let mut w = Writer::new();
    header.encode(&mut w);
    w.slice(&hash);
    w.slice(payloads.octets());
    w.pad_to(Header::LEN, BLOCK_LEN);
    let mut octets = w.into_octets();
    keys.cipher()?.encrypt(&context.iv, &mut octets[Header::LEN..])?;
    Ok(octets)
}

/// Writes a message that is authenticated and not encrypted: header, HASH, `payloads`.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if it exceeds 65,507 octets.
pub fn seal_plain(
    keys: &ExchangeKeys,
    exchange: ExchangeType,
    message_id: u32,
    payloads: &ChainWriter,
) -> Result<Vec<u8>, Error> {
    plain(keys, exchange, message_id, payloads, |_| keys.hash(message_id, &[], payloads.octets()))
}

/// Does what [`seal_plain`] does with a HASH of the caller's own, which is made of the header.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if it exceeds 65,507 octets.
pub fn plain(
    keys: &ExchangeKeys,
    exchange: ExchangeType,
    message_id: u32,
    payloads: &ChainWriter,
    hash: impl FnOnce(&[u8]) -> Digest,
) -> Result<Vec<u8>, Error> {
    let length = Header::LEN + GENERIC_LEN + keys.hash_len() + payloads.octets().len();
    if length > MESSAGE_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    let header = Header {
        cookies: keys.cookies(),
        next_payload: PayloadType::HASH,
        exchange,
        encrypted: false,
        message_id,
        length: length as u32,
    };
    let mut w = Writer::new();
    header.encode(&mut w);
    let hash = hash_payload(&hash(w.octets()), payloads)?;
    w.slice(&hash);
    w.slice(payloads.octets());
    Ok(w.into_octets())
}

/// Writes the HASH payload that precedes `payloads`.
fn hash_payload(hash: &Digest, payloads: &ChainWriter) -> Result<Vec<u8>, Error> {
    let mut chain = ChainWriter::new();
    chain.body(PayloadType::HASH, hash)?;
    chain.announce(payloads.first());
    Ok(chain.into_octets())
}

/// Decrypts what stands behind a header.
///
/// # Errors
///
/// [`Error::Crypto`] if it is not whole blocks, or the provider cannot.
pub fn decrypt(keys: &ExchangeKeys, iv: &[u8; BLOCK_LEN], ciphertext: &[u8]) -> Result<SecretBytes, Error> {
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
///
/// # Errors
///
/// [`DecodeError`] if it has no HASH or its payloads have no form, [`AuthError::Hash`].
pub fn authenticate<'a>(
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
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the payload.
    pub fn check(&self, rules: &[Rule<PayloadType>]) -> Result<(), DecodeError> {
        rules::check(rules, &self.payloads)
    }

    /// Finds a payload's body.
    pub fn optional(&self, kind: PayloadType) -> Option<&'a [u8]> {
        rules::body_of(&self.payloads, kind)
    }

    /// Finds the body of a payload that [`Authentic::check`] has demanded.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Missing`] names the payload.
    pub fn required(&self, kind: PayloadType) -> Result<&'a [u8], DecodeError> {
        self.optional(kind).ok_or(DecodeError::Missing { what: kind.name() })
    }
}

/// Shows the last ciphertext block of a message, which is the IV of the exchange's next one.
///
/// # Panics
///
/// If the message is shorter than a block: what was sealed here, or came out of [`Header::split`], is not.
pub fn last_block(datagram: &[u8]) -> [u8; BLOCK_LEN] {
    *datagram.last_chunk().expect("a sealed or split message has at least one block")
}

#[cfg(test)]
mod tests {
    use claviger_wire::rules::one;

    use super::*;
    use crate::exchange::tests::keys;

    const TABLE: &[Rule<PayloadType>] = &[one(PayloadType::HASH), one(PayloadType::NOTIFICATION)];

    fn context<'a>(keys: &ExchangeKeys, nonces: &'a [&'a [u8]]) -> Context<'a> {
        let message_id = 0x0102_0304;
        Context { exchange: ExchangeType::GROUPKEY_PULL, message_id, iv: keys.first_iv(message_id), nonces }
    }

    fn open(keys: &ExchangeKeys, context: Context<'_>, datagram: &[u8]) -> Result<Vec<u8>, Error> {
        let (header, ciphertext) = Header::split(datagram)?;
        let plaintext = decrypt(keys, &context.iv, ciphertext)?;
        let message = authenticate(keys, context, &header, plaintext.expose())?;
        message.check(TABLE)?;
        Ok(message.required(PayloadType::NOTIFICATION)?.to_vec())
    }

    #[test]
    fn a_message_opens_in_its_context_and_in_no_other() {
        let keys = keys();
        let mut payloads = ChainWriter::new();
        payloads.body(PayloadType::NOTIFICATION, b"said").unwrap();
        let sealed = seal(&keys, context(&keys, &[b"nonce"]), &payloads).unwrap();
        assert_eq!(open(&keys, context(&keys, &[b"nonce"]), &sealed).as_deref(), Ok(&b"said"[..]));
        let other_nonce = context(&keys, &[b"other"]);
        assert_eq!(open(&keys, other_nonce, &sealed), Err(AuthError::Hash.into()));
        let other_iv = Context { iv: last_block(&sealed), ..context(&keys, &[b"nonce"]) };
        assert!(open(&keys, other_iv, &sealed).is_err());
        let other_id = Context { message_id: 5, ..context(&keys, &[b"nonce"]) };
        assert_eq!(open(&keys, other_id, &sealed), Err(AuthError::Hash.into()));
    }

    #[test]
    fn no_octet_behind_the_header_can_be_changed() {
        let keys = keys();
        let mut payloads = ChainWriter::new();
        payloads.body(PayloadType::NOTIFICATION, &[1; 40]).unwrap();
        let sealed = seal(&keys, context(&keys, &[]), &payloads).unwrap();
        for position in Header::LEN..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(open(&keys, context(&keys, &[]), &changed).is_err(), "octet {position}");
        }
    }
}
