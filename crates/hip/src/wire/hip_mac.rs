//! HIP_MAC and HIP_MAC_2 (RFC 7401 sections 5.2.12 and 5.2.13).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// A MAC over what stands before it, as long as RHASH's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HipMac(pub Vec<u8>);

/// A MAC that covers the sender's HOST_ID too, which is not in the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HipMac2(pub Vec<u8>);

impl Parameter for HipMac {
    const TYPE: ParameterType = ParameterType::HIP_MAC;
}

impl Encode for HipMac {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.0);
    }
}

impl<'a> Decode<'a> for HipMac {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(r.take_rest().to_vec()))
    }
}

impl Parameter for HipMac2 {
    const TYPE: ParameterType = ParameterType::HIP_MAC_2;
}

impl Encode for HipMac2 {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.0);
    }
}

impl<'a> Decode<'a> for HipMac2 {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(r.take_rest().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn read_what_they_write() {
        survives(&HipMac(vec![7; 48]));
        survives(&HipMac2(vec![7; 32]));
    }
}
