//! The Identification payload (RFC 2408 section 3.8, RFC 2407 section 4.6.2).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !   ID Type     !  Protocol ID  !             Port              !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                     Identification Data                       !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! RFC 2408 calls the second to fourth octets DOI Specific ID Data.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::IdentificationType;

/// Who or what is meant. Whether the data fits the type, the protocol above says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification<'a> {
    /// Of which type the data is.
    pub id_type: IdentificationType,
    /// The IP protocol; zero leaves it open.
    pub protocol: u8,
    /// The port; zero leaves it open.
    pub port: u16,
    /// The identification itself.
    pub data: &'a [u8],
}

impl<'a> Decode<'a> for Identification<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            id_type: IdentificationType(r.u8("ID type")?),
            protocol: r.u8("ID protocol")?,
            port: r.u16("ID port")?,
            data: r.take_rest(),
        })
    }
}

impl Encode for Identification<'_> {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.id_type.0);
        w.u8(self.protocol);
        w.u16(self.port);
        w.slice(self.data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut_of_its_fields() {
        for (id_type, protocol, port, data) in [
            (IdentificationType::IPV4_ADDR, 17, 500, &[192, 0, 2, 1][..]),
            (IdentificationType::FQDN, 0, 0, b"gcks.example"),
            (IdentificationType::KEY_ID, 0, 0, b""),
        ] {
            let id = Identification { id_type, protocol, port, data };
            let octets = id.to_octets();
            assert_eq!(Identification::from_octets(&octets), Ok(id));
            for length in 0..4 {
                assert!(Identification::from_octets(&octets[..length]).is_err());
            }
        }
    }
}
