//! The ISAKMP header (RFC 2408 section 3.1).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                      Initiator Cookie (8)                     !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                      Responder Cookie (8)                     !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  Next Payload ! MjVer ! MnVer ! Exchange Type !     Flags     !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                          Message ID                           !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                            Length                             !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_crypto::cipher::BLOCK_LEN;
use claviger_group::CookiePair;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{Encryption, ExchangeType, PayloadType};

/// The header of a message: version 1.0, and no flag but Encryption, which fits the exchange type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The cookies: they name a security association, or in Phase 1 the one that is being made.
    pub cookies: CookiePair,
    /// What the first payload is.
    pub next_payload: PayloadType,
    /// What the message belongs to.
    pub exchange: ExchangeType,
    /// Whether what follows is encrypted.
    pub encrypted: bool,
    /// The exchange under the cookies; zero in Phase 1 and in a GROUPKEY-PUSH.
    pub message_id: u32,
    /// The octets of the whole message, the header and the padding of encryption included.
    pub length: u32,
}

/// Major version 1, minor version 0.
const VERSION: u8 = 0x10;

/// The Encryption flag; Commit and Authentication Only have no use here.
const FLAG_ENCRYPTION: u8 = 0x01;

impl Header {
    /// The octets of a header.
    pub const LEN: usize = 28;

    /// Where the length stands in a header.
    pub const LENGTH_AT: usize = 24;

    /// Splits a datagram into header and ciphertext, and checks that they belong together: the Length is the
    /// datagram's, and the ciphertext consists of whole blocks, one at least.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the field at fault.
    pub fn split(datagram: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut r = Reader::new(datagram);
        let header = Self::decode(&mut r)?;
        header.check_encrypted(true)?;
        let ciphertext = r.take_rest();
        if usize::try_from(header.length) != Ok(datagram.len()) {
            return Err(DecodeError::Length { field: "message" });
        }
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK_LEN) {
            return Err(DecodeError::Length { field: "ciphertext" });
        }
        Ok((header, ciphertext))
    }

    /// Splits a datagram that is not encrypted into header and payloads, and checks that the Length is the datagram's
    /// and the exchange type the one that is meant.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the field at fault.
    pub fn split_plain(datagram: &[u8], exchange: ExchangeType) -> Result<(Self, &[u8]), DecodeError> {
        let mut r = Reader::new(datagram);
        let header = Self::decode(&mut r)?;
        if header.exchange != exchange {
            return Err(DecodeError::Value { field: "exchange type", value: header.exchange.0.into() });
        }
        header.check_encrypted(false)?;
        if usize::try_from(header.length) != Ok(datagram.len()) {
            return Err(DecodeError::Length { field: "message" });
        }
        Ok((header, r.take_rest()))
    }

    fn check_encrypted(&self, encrypted: bool) -> Result<(), DecodeError> {
        if self.encrypted == encrypted {
            Ok(())
        } else {
            Err(DecodeError::Value { field: "flags", value: self.flags().into() })
        }
    }

    const fn flags(&self) -> u8 {
        if self.encrypted { FLAG_ENCRYPTION } else { 0 }
    }
}

/// Reads the flags of a message: whether it is encrypted; `None` if its exchange does not have such messages.
const fn encrypted(exchange: ExchangeType, flags: u8) -> Option<bool> {
    match (exchange.encryption(), flags) {
        (Encryption::Always | Encryption::Sometimes, FLAG_ENCRYPTION) => Some(true),
        (Encryption::Never | Encryption::Sometimes, 0) => Some(false),
        (Encryption::Always | Encryption::Never | Encryption::Sometimes, _) => None,
    }
}

/// Looks at the first octets of a message: the exchange type and the cookies.
pub fn peek(datagram: &[u8]) -> Option<(ExchangeType, CookiePair)> {
    let header = Header::decode(&mut Reader::new(datagram)).ok()?;
    Some((header.exchange, header.cookies))
}

impl<'a> Decode<'a> for Header {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let cookies = CookiePair(r.array("cookies")?);
        let next_payload = PayloadType(r.u8("next payload")?);
        let version = r.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::Value { field: "version", value: version.into() });
        }
        let exchange = ExchangeType(r.u8("exchange type")?);
        let flags = r.u8("flags")?;
        let forbidden = DecodeError::Value { field: "flags", value: flags.into() };
        let encrypted = encrypted(exchange, flags).ok_or(forbidden)?;
        let message_id = r.u32("message id")?;
        let length = r.u32("message length")?;
        Ok(Self { cookies, next_payload, exchange, encrypted, message_id, length })
    }
}

impl Encode for Header {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.cookies.0);
        w.u8(self.next_payload.0);
        w.u8(VERSION);
        w.u8(self.exchange.0);
        w.u8(self.flags());
        w.u32(self.message_id);
        w.u32(self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            cookies: CookiePair(std::array::from_fn(|i| i as u8)),
            next_payload: PayloadType::HASH,
            exchange: ExchangeType::GROUPKEY_PULL,
            encrypted: true,
            message_id: 0x0102_0304,
            length: 44,
        }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let octets = sample().to_octets();
        assert_eq!(octets.len(), Header::LEN);
        assert_eq!(Header::from_octets(&octets), Ok(sample()));
        for length in 0..octets.len() {
            assert!(Header::from_octets(&octets[..length]).is_err());
        }
    }

    #[test]
    fn refuses_other_versions_and_flags() {
        for (position, field) in [(17, "version"), (19, "flags")] {
            let mut octets = sample().to_octets();
            octets[position] ^= 2;
            assert!(matches!(
                Header::from_octets(&octets),
                Err(DecodeError::Value { field: found, .. }) if found == field
            ));
        }
    }

    #[test]
    fn the_length_is_the_datagrams_and_leaves_whole_blocks() {
        let mut datagram = sample().to_octets();
        datagram.extend_from_slice(&[0; 16]);
        assert_eq!(Header::split(&datagram).unwrap().1, [0; 16]);
        datagram.push(0);
        assert_eq!(Header::split(&datagram), Err(DecodeError::Length { field: "message" }));
        datagram[27] = 45;
        assert_eq!(Header::split(&datagram), Err(DecodeError::Length { field: "ciphertext" }));
        datagram.truncate(28);
        datagram[27] = 28;
        assert_eq!(Header::split(&datagram), Err(DecodeError::Length { field: "ciphertext" }));
    }

    #[test]
    fn encryption_is_as_the_exchange_says() {
        let read = |exchange: ExchangeType, flags| {
            let mut octets = sample().to_octets();
            (octets[18], octets[19]) = (exchange.0, flags);
            Header::from_octets(&octets).ok().map(|header| header.encrypted)
        };
        for (exchange, plain, encrypted) in [
            (ExchangeType::MAIN_MODE, Some(false), Some(true)),
            (ExchangeType::AGGRESSIVE_MODE, Some(false), Some(true)),
            (ExchangeType::INFORMATIONAL, Some(false), Some(true)),
            (ExchangeType::GROUPKEY_PULL, None, Some(true)),
            (ExchangeType::GROUPKEY_PUSH, None, Some(true)),
            (ExchangeType::DELIVERY_CONTROL, Some(false), None),
            (ExchangeType::DELIVERY_REPORT, Some(false), None),
        ] {
            assert_eq!((read(exchange, 0), read(exchange, 1)), (plain, encrypted), "{exchange}");
        }
    }

    #[test]
    fn an_informational_is_split_as_it_was_sent() {
        let mut datagram = sample().to_octets();
        datagram.extend_from_slice(&[0; 16]);
        datagram[18] = ExchangeType::INFORMATIONAL.0;
        let flags = |value| Err(DecodeError::Value { field: "flags", value });
        assert!(Header::split(&datagram).is_ok());
        assert_eq!(Header::split_plain(&datagram, ExchangeType::INFORMATIONAL), flags(1));
        datagram[19] = 0;
        assert!(Header::split_plain(&datagram, ExchangeType::INFORMATIONAL).is_ok());
        assert_eq!(Header::split(&datagram), flags(0));
    }
}
