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

use claviger_isakmp::{
    iana::{DOI_IPSEC, DOI_ISAKMP, NotifyType},
    wire as isakmp,
};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::DOI_GDOI;

/// A notification about an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// What is to be told.
    pub notify: NotifyType,
    /// The M-ID of the exchange; `None` if the SPI field holds something else, or nothing.
    pub message_id: Option<u32>,
}

/// The protocol of a notification about an exchange.
const PROTOCOL_EXCHANGE: u8 = 0;

impl Decode<'_> for Notification {
    /// Reads a notification; its data is not interpreted.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let notification = isakmp::Notification::decode(r)?;
        let doi = notification.doi;
        if ![DOI_ISAKMP, DOI_IPSEC, DOI_GDOI].contains(&doi) {
            return Err(DecodeError::Value { field: "notification DOI", value: doi.into() });
        }
        let is_about_exchange = doi == DOI_GDOI && notification.protocol == PROTOCOL_EXCHANGE;
        let message_id = <[u8; 4]>::try_from(notification.spi()).ok().filter(|_| is_about_exchange);
        Ok(Self { notify: notification.notify, message_id: message_id.map(u32::from_be_bytes) })
    }
}

impl Encode for Notification {
    fn encode(&self, w: &mut Writer) {
        let message_id = self.message_id.map(u32::to_be_bytes);
        let spi = message_id.as_ref().map_or(&[][..], |octets| octets);
        isakmp::Notification::new(DOI_GDOI, PROTOCOL_EXCHANGE, self.notify, spi)
            .expect("an M-ID has four octets")
            .encode(w);
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
