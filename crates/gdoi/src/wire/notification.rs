//! The Notification payload (RFC 2408 section 3.14).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !              Domain of Interpretation  (DOI) = 2              !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  Protocol-ID  !   SPI Size    !      Notify Message Type      !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                Security Parameter Index (SPI)                 ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                       Notification Data                       ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! A notification about a GROUPKEY-PULL names the exchange by the M-ID in the SPI field (RFC 2408 section 3.14:
//! it "is identified by the Initiator and Responder cookie pair in the ISAKMP Header and the Message ID and SPI
//! associated with the current negotiation"); the Protocol-ID is zero. A peer that sends no SPI means the one
//! exchange that is in progress.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{DOI_GDOI, NotifyType};

/// A notification about an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// What is to be told.
    pub notify: NotifyType,
    /// The M-ID of the exchange; `None` if the SPI field holds something else, or nothing.
    pub message_id: Option<u32>,
}

/// The DOI of ISAKMP itself.
const DOI_ISAKMP: u32 = 0;

/// The DOI of IPsec.
const DOI_IPSEC: u32 = 1;

/// The octets of an M-ID.
const MESSAGE_ID_LEN: u8 = 4;

impl Decode<'_> for Notification {
    /// Reads a notification; its data is not interpreted.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let doi = r.u32("notification DOI")?;
        if ![DOI_ISAKMP, DOI_IPSEC, DOI_GDOI].contains(&doi) {
            return Err(DecodeError::Value { field: "notification DOI", value: doi.into() });
        }
        let protocol = r.u8("notification protocol")?;
        let spi_size = r.u8("notification SPI size")?;
        let notify = NotifyType(r.u16("notify message type")?);
        let mut spi = r.sub(spi_size.into(), "notification SPI")?;
        let message_id = (doi == DOI_GDOI && protocol == 0 && spi_size == MESSAGE_ID_LEN)
            .then(|| spi.u32("notification SPI"))
            .transpose()?;
        r.take_rest();
        Ok(Self { notify, message_id })
    }
}

impl Encode for Notification {
    fn encode(&self, w: &mut Writer) {
        w.u32(DOI_GDOI);
        w.u8(0);
        w.u8(if self.message_id.is_some() { MESSAGE_ID_LEN } else { 0 });
        w.u16(self.notify.0);
        if let Some(message_id) = self.message_id {
            w.u32(message_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        for message_id in [None, Some(7)] {
            let notification = Notification { notify: NotifyType::INVALID_ID_INFORMATION, message_id };
            let mut w = Writer::new();
            notification.encode(&mut w);
            assert_eq!(Notification::from_octets(w.octets()), Ok(notification));
            for length in 0..w.len() {
                assert!(Notification::from_octets(&w.octets()[..length]).is_err());
            }
        }
    }

    #[test]
    fn reads_foreign_forms() {
        let with_cookies = [&[0, 0, 0, 0, 1, 16, 0, 18][..], &[9; 16], b"data"].concat();
        let notification = Notification::from_octets(&with_cookies).unwrap();
        assert_eq!(notification, Notification { notify: NotifyType(18), message_id: None });
        assert!(Notification::from_octets(&[0, 0, 0, 3, 0, 0, 0, 18]).is_err());
    }
}
