//! The Delete payload (RFC 2408 section 3.15).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !              Domain of Interpretation  (DOI)                  !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  Protocol-Id  !   SPI Size    !           # of SPIs           !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~               Security Parameter Index(es) (SPI)              ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::error::{ApiMisuse, Error};

/// Security associations of one protocol that are no more. There is one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    doi: u32,
    protocol: u8,
    spi_size: u8,
    count: u16,
    spis: &'a [u8],
}

impl<'a> Delete<'a> {
    /// Makes a payload of SPIs that stand one behind the other in `spis`, each of `spi_size` octets.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::Spis`] unless they are 1 to 65,535 whole SPIs of an octet or more.
    pub fn new(doi: u32, protocol: u8, spi_size: u8, spis: &'a [u8]) -> Result<Self, Error> {
        let count = spis.len().checked_div(spi_size.into()).and_then(|count| u16::try_from(count).ok());
        match count {
            Some(count @ 1..) if usize::from(count) * usize::from(spi_size) == spis.len() => {
                Ok(Self { doi, protocol, spi_size, count, spis })
            }
            _ => Err(ApiMisuse::Spis.into()),
        }
    }

    /// Shows whose numbers the protocols are.
    pub fn doi(&self) -> u32 {
        self.doi
    }

    /// Shows the protocol of the security associations.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Says how many octets an SPI has.
    pub fn spi_size(&self) -> u8 {
        self.spi_size
    }

    /// Says how many SPIs there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Reads the SPIs, one behind the other.
    pub fn spis(&self) -> Reader<'a> {
        Reader::new(self.spis)
    }
}

impl<'a> Decode<'a> for Delete<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let doi = r.u32("delete DOI")?;
        let protocol = r.u8("delete protocol")?;
        let spi_size = r.u8("delete SPI size")?;
        let count = r.u16("number of SPIs")?;
        if count == 0 {
            return Err(DecodeError::Missing { what: "deleted SPI" });
        }
        if spi_size == 0 {
            return Err(DecodeError::Length { field: "deleted SPI" });
        }
        let spis = r.slice(usize::from(count) * usize::from(spi_size), "deleted SPI")?;
        Ok(Self { doi, protocol, spi_size, count, spis })
    }
}

impl Encode for Delete<'_> {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.doi);
        w.u8(self.protocol);
        w.u8(self.spi_size);
        w.u16(self.count);
        w.slice(self.spis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iana::DOI_IPSEC;

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        for (spi_size, spis) in [(4, &[1; 12][..]), (16, &[2; 16]), (1, &[3; 65_535])] {
            let delete = Delete::new(DOI_IPSEC, 3, spi_size, spis).unwrap();
            let octets = delete.to_octets();
            assert_eq!(Delete::from_octets(&octets), Ok(delete));
            assert_eq!(usize::from(delete.count()) * usize::from(spi_size), spis.len());
            for length in (0..octets.len()).take(64) {
                assert!(Delete::from_octets(&octets[..length]).is_err(), "cut at {length}");
            }
            assert!(Delete::from_octets(&[&octets[..], &[0]].concat()).is_err(), "one octet more");
        }
    }

    #[test]
    fn has_one_whole_spi_at_least() {
        assert!(Delete::new(DOI_IPSEC, 3, 4, &[]).is_err());
        assert!(Delete::new(DOI_IPSEC, 3, 4, &[1; 6]).is_err());
        assert!(Delete::new(DOI_IPSEC, 3, 0, &[1; 4]).is_err());
        assert!(Delete::new(DOI_IPSEC, 3, 1, &[1; 65_536]).is_err());
        let empty = [0, 0, 0, 1, 3, 0, 0, 1];
        assert_eq!(Delete::from_octets(&empty), Err(DecodeError::Length { field: "deleted SPI" }));
        let none = [0, 0, 0, 1, 3, 4, 0, 0];
        assert_eq!(Delete::from_octets(&none), Err(DecodeError::Missing { what: "deleted SPI" }));
    }
}
