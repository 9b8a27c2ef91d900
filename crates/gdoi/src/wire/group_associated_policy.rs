//! The Group Associated Policy payload (RFC 6407 section 5.4): nothing but attributes.

use claviger_isakmp::wire::attribute::{Attribute, basic, once};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    error::{Error, PeerIncompatible},
    iana::gap,
};

/// Delays that the key server asserts, or the sender ids that a member asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gap {
    /// ACTIVATION_TIME_DELAY: how many seconds senders keep the old SAs after new ones arrived.
    pub activation_delay: Option<u16>,
    /// DEACTIVATION_TIME_DELAY: how many seconds receivers keep the old SAs after new ones arrived.
    pub deactivation_delay: Option<u16>,
    /// SENDER_ID_REQUEST: how many sender ids the member wants.
    pub sender_id_request: Option<u16>,
    /// LEASE_TIME (private use): how many seconds the member may go on before the key server has answered it again.
    pub lease_time: Option<u16>,
    /// LEASE_RECEIVING (private use): that holds for what it accepts too, and not only for what it sends. The value is 1.
    pub lease_receiving: Option<u16>,
}

impl Decode<'_, Error> for Gap {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut policy = Self::default();
        while let Some(attribute) = Attribute::next(r)? {
            let (place, what) = match attribute.class {
                gap::ACTIVATION_TIME_DELAY => (&mut policy.activation_delay, "ACTIVATION_TIME_DELAY"),
                gap::DEACTIVATION_TIME_DELAY => (&mut policy.deactivation_delay, "DEACTIVATION_TIME_DELAY"),
                gap::SENDER_ID_REQUEST => (&mut policy.sender_id_request, "SENDER_ID_REQUEST"),
                gap::LEASE_TIME => (&mut policy.lease_time, "LEASE_TIME"),
                gap::LEASE_RECEIVING => (&mut policy.lease_receiving, "LEASE_RECEIVING"),
                //= rfc6407#section-5.4
                //# A GDOI implementation MUST abort if it encounters an attribute or
                //# capability that it does not understand.
                class => return Err(PeerIncompatible::GapAttribute(class).into()),
            };
            once(place, attribute.basic(what)?, what)?;
        }
        if policy.lease_time == Some(0) {
            return Err(DecodeError::Value { field: "LEASE_TIME", value: 0 }.into());
        }
        match (policy.lease_receiving, policy.lease_time) {
            (None, _) | (Some(1), Some(_)) => {}
            (Some(1), None) => return Err(DecodeError::Missing { what: "LEASE_TIME" }.into()),
            (Some(value), _) => {
                return Err(DecodeError::Value { field: "LEASE_RECEIVING", value: value.into() }.into());
            }
        }
        Ok(policy)
    }
}

impl Encode for Gap {
    fn encode(&self, w: &mut Writer) {
        let attributes = [
            (gap::ACTIVATION_TIME_DELAY, self.activation_delay),
            (gap::DEACTIVATION_TIME_DELAY, self.deactivation_delay),
            (gap::SENDER_ID_REQUEST, self.sender_id_request),
            (gap::LEASE_TIME, self.lease_time),
            (gap::LEASE_RECEIVING, self.lease_receiving),
        ];
        for (class, value) in attributes {
            if let Some(value) = value {
                basic(w, class, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let policy = Gap {
            activation_delay: Some(1),
            deactivation_delay: Some(5),
            sender_id_request: Some(2),
            lease_time: Some(600),
            lease_receiving: Some(1),
        };
        let octets = policy.to_octets();
        assert_eq!(octets, [0x80, 1, 0, 1, 0x80, 2, 0, 5, 0x80, 3, 0, 2, 0x80, 128, 2, 88, 0x80, 129, 0, 1]);
        assert_eq!(Gap::from_octets(&octets), Ok(policy));
        for length in (0..octets.len()).filter(|length| length % 4 != 0) {
            assert!(Gap::from_octets(&octets[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn aborts_at_attributes_that_are_not_understood() {
        assert_eq!(Gap::from_octets(&[0x80, 4, 0, 1]), Err(PeerIncompatible::GapAttribute(4).into()));
        for malformed in [&[0x80, 128, 0, 0][..], &[0x80, 129, 0, 1], &[0x80, 128, 0, 9, 0x80, 129, 0, 2]] {
            assert_eq!(Gap::from_octets(malformed).unwrap_err().reason(), "malformed");
        }
        assert_eq!(Gap::from_octets(&[0x80, 1, 0, 1, 0x80, 1, 0, 1]).unwrap_err().reason(), "malformed");
        assert_eq!(Gap::from_octets(&[0, 1, 0, 2, 0, 1]).unwrap_err().reason(), "malformed");
    }
}
