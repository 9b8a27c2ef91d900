//! The Identification payload, which names the group (RFC 2408 section 3.8, RFC 6407 section 5.1).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !   ID Type     !             DOI Specific ID Data = 0          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                   Identification Data                         !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_group::{
    GroupId,
    id::{GroupIdError, IdType},
};
use claviger_isakmp::{iana::IdentificationType, wire as isakmp};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

/// The group that a member asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identification(pub GroupId);

impl Decode<'_> for Identification {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let isakmp::Identification { id_type, protocol, port, data } = isakmp::Identification::decode(r)?;
        //= rfc6407#section-5.1
        //# When used with the GDOI, the DOI-Specific ID Data field MUST be set
        //# to 0.
        if (protocol, port) != (0, 0) {
            let value = u64::from(protocol) << 16 | u64::from(port);
            return Err(DecodeError::Value { field: "DOI-specific ID data", value });
        }
        let group = GroupId::new(IdType(id_type.0), data).map_err(|error| match error {
            GroupIdError::Empty => DecodeError::Truncated { field: "identification data" },
            GroupIdError::Control | GroupIdError::Number | GroupIdError::TooLong => {
                DecodeError::Length { field: "identification data" }
            }
        })?;
        Ok(Self(group))
    }
}

impl Encode for Identification {
    fn encode(&self, w: &mut Writer) {
        let Self(group) = self;
        let id_type = IdentificationType(group.id_type().0);
        isakmp::Identification { id_type, protocol: 0, port: 0, data: group.octets() }.encode(w);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for name in ["#1234", "market"] {
            let id = Identification(name.parse().unwrap());
            let octets = id.to_octets();
            assert_eq!(Identification::from_octets(&octets), Ok(id));
            for length in 0..=4 {
                assert!(Identification::from_octets(&octets[..length]).is_err());
            }
        }
    }

    #[test]
    fn refuses_ports_and_long_names() {
        assert!(Identification::from_octets(&[11, 17, 0, 0, 1]).is_err());
        assert!(Identification::from_octets(&[[11, 0, 0, 0].as_slice(), &[1; 256]].concat()).is_err());
    }
}
