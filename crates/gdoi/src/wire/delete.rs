//! The Delete payload (RFC 2408 section 3.15, RFC 6407 section 5.9).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !              Domain of Interpretation  (DOI) = 2              !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  Protocol-Id  !   SPI Size    !           # of SPIs           !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~               Security Parameter Index(es) (SPI)              ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_group::{CookiePair, Spi};
use claviger_wire::{DecodeError, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error, incompatible},
    iana::{DOI_GDOI, tek_protocol},
    limits::DELETE_SPIS_MAX,
};

/// Which security associations are no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// Every rekey SA of the group: an SPI of zero.
    AllKeks,
    /// Every data security SA of the group: an SPI of zero.
    AllTeks,
    /// These rekey SAs.
    Keks(Vec<CookiePair>),
    /// These data security SAs.
    Teks(Vec<Spi>),
}

//= rfc6407#section-5.9
//# To delete a KEK SA, the value of
//# zero MUST be used as the protocol ID.
const PROTOCOL_KEK: u8 = 0;

/// The octets of a KEK's SPI.
const KEK_SPI_LEN: u8 = 16;

/// The octets of an ESP SPI.
const ESP_SPI_LEN: u8 = 4;

impl Delete {
    /// Reads the body of a Delete payload.
    ///
    /// # Errors
    ///
    /// [`Error::PeerIncompatible`] for a protocol other than ESP and the KEK, [`Error::Decode`] for a wrong form.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        let doi = r.u32("delete DOI")?;
        if doi != DOI_GDOI {
            return Err(DecodeError::Value { field: "delete DOI", value: doi.into() }.into());
        }
        let protocol = r.u8("delete protocol")?;
        let size = r.u8("delete SPI size")?;
        let count = r.u16("number of SPIs")?;
        if usize::from(count) > DELETE_SPIS_MAX {
            return Err(DecodeError::TooMany { what: "deleted SPIs", limit: DELETE_SPIS_MAX }.into());
        }
        if count == 0 {
            return Err(DecodeError::Missing { what: "deleted SPI" }.into());
        }
        let expected = match protocol {
            PROTOCOL_KEK => KEK_SPI_LEN,
            tek_protocol::IPSEC_ESP => ESP_SPI_LEN,
            _ => return Err(incompatible("delete protocol", protocol)),
        };
        if size != expected {
            return Err(DecodeError::Length { field: "deleted SPI" }.into());
        }
        let delete =
            if protocol == PROTOCOL_KEK { decode_keks(&mut r, count) } else { decode_teks(&mut r, count) }?;
        r.finish()?;
        Ok(delete)
    }

    /// Writes the body of a Delete payload.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] if it names no SPI, or more than [`DELETE_SPIS_MAX`].
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        let (protocol, size, count) = match self {
            Self::AllKeks => (PROTOCOL_KEK, KEK_SPI_LEN, 1),
            Self::AllTeks => (tek_protocol::IPSEC_ESP, ESP_SPI_LEN, 1),
            Self::Keks(spis) => (PROTOCOL_KEK, KEK_SPI_LEN, spis.len()),
            Self::Teks(spis) => (tek_protocol::IPSEC_ESP, ESP_SPI_LEN, spis.len()),
        };
        if !(1..=DELETE_SPIS_MAX).contains(&count) {
            return Err(ApiMisuse::MessageTooLong.into());
        }
        w.u32(DOI_GDOI);
        w.u8(protocol);
        w.u8(size);
        w.u16(count as u16);
        match self {
            Self::AllKeks | Self::AllTeks => w.zeros(size.into()),
            Self::Keks(spis) => spis.iter().for_each(|spi| w.slice(&spi.0)),
            Self::Teks(spis) => spis.iter().for_each(|spi| w.u32(spi.as_u32())),
        }
        Ok(())
    }
}

fn decode_keks(r: &mut Reader<'_>, count: u16) -> Result<Delete, DecodeError> {
    let spis = (0..count)
        .map(|_| Ok(CookiePair(r.array("deleted SPI")?)))
        .collect::<Result<Vec<_>, DecodeError>>()?;
    let all = spis.iter().any(|spi| spi.0 == [0; 16]);
    Ok(if all { Delete::AllKeks } else { Delete::Keks(spis) })
}

fn decode_teks(r: &mut Reader<'_>, count: u16) -> Result<Delete, DecodeError> {
    let numbers = (0..count).map(|_| r.u32("deleted SPI")).collect::<Result<Vec<_>, DecodeError>>()?;
    if numbers.contains(&0) {
        return Ok(Delete::AllTeks);
    }
    let spi = |number: u32| {
        Spi::new(number).ok_or(DecodeError::Value { field: "deleted SPI", value: number.into() })
    };
    Ok(Delete::Teks(numbers.into_iter().map(spi).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{octets_of, refuses_every_cut};

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let spi = |n| Spi::new(n).unwrap();
        for delete in [
            Delete::AllKeks,
            Delete::AllTeks,
            Delete::Keks(vec![CookiePair([1; 16]), CookiePair([2; 16])]),
            Delete::Teks(vec![spi(256), spi(u32::MAX)]),
        ] {
            let octets = octets_of(|w| delete.encode(w));
            assert_eq!(refuses_every_cut(&octets, Delete::decode), delete);
        }
    }

    #[test]
    fn refuses_other_domains_protocols_and_sizes() {
        let octets = octets_of(|w| Delete::AllTeks.encode(w));
        let broken = |position: usize, value: u8| {
            let mut octets = octets.clone();
            octets[position] = value;
            Delete::decode(&octets).unwrap_err().reason()
        };
        assert_eq!(broken(3, 1), "malformed", "the DOI of IPsec");
        assert_eq!(broken(4, 2), "unsupported", "AH");
        assert_eq!(broken(5, 16), "malformed", "SPI size");
        assert_eq!(broken(7, 0), "malformed", "no SPI");
        assert_eq!(broken(11, 9), "malformed", "a reserved SPI");
        assert_eq!(broken(6, 9), "malformed", "more SPIs than anybody has");
    }
}
