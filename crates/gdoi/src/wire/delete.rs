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
use claviger_isakmp::wire as isakmp;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error, PeerIncompatible},
    iana::{DOI_GDOI, tek_protocol},
    limits::DELETE_SPIS_MAX,
};

/// A security association, or all of a kind, that is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// Every rekey SA of the group: an SPI of zero.
    AllKeks,
    /// Every data security SA of the group: an SPI of zero.
    AllTeks,
    /// This rekey SA.
    Kek(CookiePair),
    /// This data security SA.
    Tek(Spi),
}

/// The content of one payload: one or more security associations, all of one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletes(pub Vec<Delete>);

//= rfc6407#section-5.9
//# To delete a KEK SA, the value of
//# zero MUST be used as the protocol ID.
const PROTOCOL_KEK: u8 = 0;

/// The octets of a KEK's SPI.
const KEK_SPI_LEN: u8 = 16;

/// The octets of an ESP SPI.
const ESP_SPI_LEN: u8 = 4;

impl Delete {
    /// Says whether two can stand in one payload: it has one protocol.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.form() == other.form()
    }

    fn form(&self) -> (u8, u8) {
        match self {
            Self::AllKeks | Self::Kek(_) => (PROTOCOL_KEK, KEK_SPI_LEN),
            Self::AllTeks | Self::Tek(_) => (tek_protocol::IPSEC_ESP, ESP_SPI_LEN),
        }
    }
}

impl Decode<'_, Error> for Deletes {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let delete = isakmp::Delete::decode(r)?;
        let (doi, protocol, size) = (delete.doi(), delete.protocol(), delete.spi_size());
        if doi != DOI_GDOI {
            return Err(DecodeError::Value { field: "delete DOI", value: doi.into() }.into());
        }
        if usize::from(delete.count()) > DELETE_SPIS_MAX {
            return Err(DecodeError::TooMany { what: "deleted SPIs", limit: DELETE_SPIS_MAX }.into());
        }
        let decode_one = match (protocol, size) {
            (PROTOCOL_KEK, KEK_SPI_LEN) => decode_kek,
            (tek_protocol::IPSEC_ESP, ESP_SPI_LEN) => decode_tek,
            (PROTOCOL_KEK | tek_protocol::IPSEC_ESP, _) => {
                return Err(DecodeError::Length { field: "deleted SPI" }.into());
            }
            _ => return Err(PeerIncompatible::DeleteProtocol(protocol).into()),
        };
        let mut spis = delete.spis();
        Ok(Self((0..delete.count()).map(|_| decode_one(&mut spis)).collect::<Result<_, _>>()?))
    }
}

impl Deletes {
    /// Writes the body of the payload.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] if there are none, more than [`DELETE_SPIS_MAX`], or some of another protocol.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        let Self(deletes) = self;
        let Some(first) = deletes.first() else { return Err(ApiMisuse::MessageTooLong.into()) };
        if deletes.len() > DELETE_SPIS_MAX || !deletes.iter().all(|delete| delete.is_alike(first)) {
            return Err(ApiMisuse::MessageTooLong.into());
        }
        let (protocol, size) = first.form();
        let mut spis = Writer::new();
        for delete in deletes {
            match delete {
                Delete::AllKeks | Delete::AllTeks => spis.zeros(size.into()),
                Delete::Kek(spi) => spis.slice(&spi.0),
                Delete::Tek(spi) => spis.u32(spi.as_u32()),
            }
        }
        isakmp::Delete::new(DOI_GDOI, protocol, size, spis.octets())?.encode(w);
        Ok(())
    }
}

fn decode_kek(r: &mut Reader<'_>) -> Result<Delete, DecodeError> {
    let spi = r.array("deleted SPI")?;
    Ok(if spi == [0; 16] { Delete::AllKeks } else { Delete::Kek(CookiePair(spi)) })
}

fn decode_tek(r: &mut Reader<'_>) -> Result<Delete, DecodeError> {
    let spi = r.u32("deleted SPI")?;
    match Spi::new(spi) {
        Some(spi) => Ok(Delete::Tek(spi)),
        None if spi == 0 => Ok(Delete::AllTeks),
        None => Err(DecodeError::Value { field: "deleted SPI", value: spi.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{octets_of, refuses_every_cut};

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let tek = |n| Delete::Tek(Spi::new(n).unwrap());
        for deletes in [
            vec![Delete::AllKeks],
            vec![Delete::Kek(CookiePair([1; 16])), Delete::Kek(CookiePair([2; 16]))],
            vec![tek(256), Delete::AllTeks, tek(u32::MAX)],
        ] {
            let deletes = Deletes(deletes);
            let octets = octets_of(|w| deletes.encode(w));
            assert_eq!(refuses_every_cut(&octets, |octets| Deletes::from_octets(octets)), deletes);
        }
    }

    #[test]
    fn a_payload_has_one_protocol_and_an_spi() {
        let mut w = Writer::new();
        assert!(Deletes(vec![Delete::AllKeks, Delete::AllTeks]).encode(&mut w).is_err());
        assert!(Deletes(vec![]).encode(&mut w).is_err());
        assert!(Deletes(vec![Delete::AllTeks; DELETE_SPIS_MAX + 1]).encode(&mut w).is_err());
    }

    #[test]
    fn refuses_other_domains_protocols_and_sizes() {
        let octets = octets_of(|w| Deletes(vec![Delete::AllTeks]).encode(w));
        let broken = |position: usize, value: u8| {
            let mut octets = octets.clone();
            octets[position] = value;
            Deletes::from_octets(&octets).unwrap_err().reason()
        };
        assert_eq!(broken(3, 1), "malformed", "the DOI of IPsec");
        assert_eq!(broken(4, 2), "unsupported", "AH");
        assert_eq!(broken(5, 16), "malformed", "SPI size");
        assert_eq!(broken(7, 0), "malformed", "no SPI");
        assert_eq!(broken(11, 9), "malformed", "a reserved SPI");
        assert_eq!(broken(6, 9), "malformed", "more SPIs than anybody has");
    }
}
