//! The chain of payloads behind an ISAKMP header (RFC 2408 section 3.2).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ! Next Payload  !   RESERVED    !         Payload Length        !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_crypto::cipher::BLOCK_LEN;
use claviger_wire::{DecodeError, Encode, Reader, Writer};

#[cfg(doc)]
use crate::error::ApiMisuse;
use crate::{error::Error, iana::PayloadType, limits::PAYLOADS_MAX, wire::length_u16};

/// The octets of a generic payload header.
pub const GENERIC_LEN: usize = 4;

/// One payload of a message, not yet interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPayload<'a> {
    /// What it is.
    pub kind: PayloadType,
    /// Its octets behind the generic header.
    pub body: &'a [u8],
    /// Where its generic header begins in the plaintext.
    pub start: usize,
}

/// The payloads of a decrypted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The payloads in their order; one at least.
    pub payloads: Vec<RawPayload<'a>>,
    /// How many octets they fill; what follows is padding.
    pub length: usize,
}

impl<'a> Chain<'a> {
    /// Walks through a plaintext. What remains behind the last payload must be less than a block of zeros.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the field at fault.
    pub fn parse(first: PayloadType, plaintext: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(plaintext);
        let mut payloads = Vec::new();
        let mut kind = first;
        while kind != PayloadType::NONE {
            if payloads.len() == PAYLOADS_MAX {
                return Err(DecodeError::TooMany { what: "payloads", limit: PAYLOADS_MAX });
            }
            let start = r.position();
            let (next, body) = generic(&mut r)?;
            payloads.push(RawPayload { kind, body, start });
            kind = next;
        }
        if payloads.is_empty() {
            return Err(DecodeError::Missing { what: "payload" });
        }
        let length = r.position();
        if r.remaining() >= BLOCK_LEN {
            return Err(DecodeError::Trailing { octets: r.remaining() });
        }
        r.zeros(r.remaining(), "padding")?;
        Ok(Self { payloads, length })
    }
}

/// Reads a generic header and the body that it measures.
///
/// # Errors
///
/// [`DecodeError`] names the field at fault.
pub fn generic<'a>(r: &mut Reader<'a>) -> Result<(PayloadType, &'a [u8]), DecodeError> {
    let next = PayloadType(r.u8("next payload")?);
    r.zeros(1, "payload RESERVED")?;
    let length = usize::from(r.u16("payload length")?)
        .checked_sub(GENERIC_LEN)
        .ok_or(DecodeError::Length { field: "payload" })?;
    Ok((next, r.slice(length, "payload")?))
}

/// Writes a chain of payloads; each next-payload field is repaired when its successor is known.
#[derive(Debug, Default)]
pub struct ChainWriter {
    w: Writer,
    first: Option<PayloadType>,
    next_at: usize,
}

impl ChainWriter {
    /// Starts with no payload.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a payload whose body `body` writes.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::MessageTooLong`] if the payload exceeds 65,535 octets; those of `body`.
    pub fn payload<E: From<Error>>(
        &mut self,
        kind: PayloadType,
        body: impl FnOnce(&mut Writer) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.first {
            None => self.first = Some(kind),
            Some(_) => self.w.patch_u8(self.next_at, kind.0),
        }
        self.next_at = self.w.len();
        self.w.u8(PayloadType::NONE.0);
        self.w.u8(0);
        length_u16(&mut self.w, GENERIC_LEN, body)
    }

    /// Appends a payload whose body is `value`.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::MessageTooLong`] if the payload exceeds 65,535 octets.
    pub fn value(&mut self, kind: PayloadType, value: &impl Encode) -> Result<(), Error> {
        self.payload(kind, |w| {
            value.encode(w);
            Ok(())
        })
    }

    /// Appends a payload whose body is `octets`.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::MessageTooLong`] if the payload exceeds 65,535 octets.
    pub fn body(&mut self, kind: PayloadType, octets: &[u8]) -> Result<(), Error> {
        self.payload(kind, |w| {
            w.slice(octets);
            Ok(())
        })
    }

    /// Announces that a payload of another chain will be appended to the octets behind the last one.
    pub fn announce(&mut self, kind: PayloadType) {
        self.w.patch_u8(self.next_at, kind.0);
    }

    /// Says what the first payload is.
    pub fn first(&self) -> PayloadType {
        self.first.unwrap_or(PayloadType::NONE)
    }

    /// Shows the octets written so far.
    pub fn octets(&self) -> &[u8] {
        self.w.octets()
    }

    /// Gives the octets away.
    pub fn into_octets(self) -> Vec<u8> {
        self.w.into_octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ChainWriter {
        let mut chain = ChainWriter::new();
        for (kind, body) in
            [(PayloadType::HASH, &b"hash"[..]), (PayloadType::NONCE, b""), (PayloadType::ID, b"id")]
        {
            chain.body(kind, body).unwrap();
        }
        chain
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let chain = sample();
        let octets = chain.octets();
        let parsed = Chain::parse(chain.first(), octets).unwrap();
        assert_eq!(parsed.length, octets.len());
        let kinds: Vec<_> = parsed.payloads.iter().map(|p| (p.kind.0, p.body)).collect();
        assert_eq!(kinds, [(8, &b"hash"[..]), (10, b""), (5, b"id")]);
        for length in 0..octets.len() {
            assert!(Chain::parse(chain.first(), &octets[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn padding_is_less_than_a_block_of_zeros() {
        let chain = sample();
        for padding in 0..BLOCK_LEN {
            let padded = [chain.octets(), &vec![0; padding]].concat();
            assert_eq!(Chain::parse(chain.first(), &padded).unwrap().length, chain.octets().len());
        }
        let padded = [chain.octets(), &[0; BLOCK_LEN]].concat();
        assert_eq!(Chain::parse(chain.first(), &padded), Err(DecodeError::Trailing { octets: 16 }));
        let padded = [chain.octets(), &[0, 1]].concat();
        assert!(matches!(
            Chain::parse(chain.first(), &padded),
            Err(DecodeError::Value { field: "padding", .. })
        ));
    }

    #[test]
    fn refuses_short_lengths_reserved_bits_and_endless_chains() {
        let short = [0, 0, 0, 3];
        assert_eq!(Chain::parse(PayloadType::HASH, &short), Err(DecodeError::Length { field: "payload" }));
        let reserved = [0, 1, 0, 4];
        assert!(Chain::parse(PayloadType::HASH, &reserved).is_err());
        let endless = [8, 0, 0, 4].repeat(PAYLOADS_MAX + 1);
        assert!(matches!(Chain::parse(PayloadType::HASH, &endless), Err(DecodeError::TooMany { .. })));
        assert_eq!(Chain::parse(PayloadType::NONE, &[]), Err(DecodeError::Missing { what: "payload" }));
    }
}
