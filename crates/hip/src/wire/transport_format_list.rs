//! TRANSPORT_FORMAT_LIST (RFC 7401 section 5.2.11).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// The transport formats that a host supports, by the types of their parameters, in its order of preference; in I2
/// the one that was chosen. A peer that only registers sends none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFormatList(pub Vec<ParameterType>);

impl Parameter for TransportFormatList {
    const TYPE: ParameterType = ParameterType::TRANSPORT_FORMAT_LIST;
}

impl Encode for TransportFormatList {
    fn encode(&self, w: &mut Writer) {
        self.0.iter().for_each(|format| w.u16(format.0));
    }
}

impl<'a> Decode<'a> for TransportFormatList {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut formats = Vec::new();
        while !r.is_empty() {
            formats.push(ParameterType(r.u16("transport format")?));
        }
        Ok(Self(formats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes_also_nothing() {
        survives(&TransportFormatList(vec![ParameterType::ESP_TRANSFORM, ParameterType(2051)]));
        survives(&TransportFormatList(vec![]));
        assert!(TransportFormatList::from_octets(&[15]).is_err());
    }
}
