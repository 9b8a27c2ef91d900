//! The Notification payload (RFC 2408 section 3.14).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !              Domain of Interpretation  (DOI)                  !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  Protocol-ID  !   SPI Size    !      Notify Message Type      !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                Security Parameter Index (SPI)                 ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                       Notification Data                       ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error},
    iana::NotifyType,
};

/// What one side lets the other know, about itself or about a security association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// Whose numbers the protocol and the type are.
    pub doi: u32,
    /// The protocol of what the SPI names.
    pub protocol: u8,
    /// What it is.
    pub notify: NotifyType,
    spi: &'a [u8],
    /// What is said besides.
    pub data: &'a [u8],
}

impl<'a> Notification<'a> {
    /// Makes a notification without data.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::Spis`] if the SPI has more than 255 octets.
    pub fn new(doi: u32, protocol: u8, notify: NotifyType, spi: &'a [u8]) -> Result<Self, Error> {
        if u8::try_from(spi.len()).is_err() {
            return Err(ApiMisuse::Spis.into());
        }
        Ok(Self { doi, protocol, notify, spi, data: &[] })
    }

    /// Shows what the notification is about; empty if it is about nothing that has an SPI.
    pub fn spi(&self) -> &'a [u8] {
        self.spi
    }
}

impl<'a> Decode<'a> for Notification<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let doi = r.u32("notification DOI")?;
        let protocol = r.u8("notification protocol")?;
        let spi_size = r.u8("notification SPI size")?;
        let notify = NotifyType(r.u16("notify message type")?);
        let spi = r.slice(spi_size.into(), "notification SPI")?;
        Ok(Self { doi, protocol, notify, spi, data: r.take_rest() })
    }
}

impl Encode for Notification<'_> {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.doi);
        w.u8(self.protocol);
        w.u8(self.spi.len() as u8);
        w.u16(self.notify.0);
        w.slice(self.spi);
        w.slice(self.data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iana::DOI_IPSEC;

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut_of_its_fields() {
        for spi in [&[][..], &[1, 2, 3, 4], &[9; 255]] {
            let bare = Notification::new(DOI_IPSEC, 3, NotifyType::NO_PROPOSAL_CHOSEN, spi).unwrap();
            let notification = Notification { data: b"data", ..bare };
            let octets = notification.to_octets();
            assert_eq!(Notification::from_octets(&octets), Ok(notification));
            assert_eq!(notification.spi(), spi);
            for length in 0..8 + spi.len() {
                assert!(Notification::from_octets(&octets[..length]).is_err(), "cut at {length}");
            }
        }
        assert!(Notification::new(DOI_IPSEC, 3, NotifyType::NO_PROPOSAL_CHOSEN, &[9; 256]).is_err());
    }
}
