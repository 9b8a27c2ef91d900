//! REG_INFO, REG_REQUEST, REG_RESPONSE and REG_FAILED (RFC 8003 sections 4.2 to 4.5).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{ParameterType, RegFailure, RegType};

use super::{Lifetime, Parameter};

/// The services that a registrar offers, and for how long.
///
/// ```text
/// | Min Lifetime  | Max Lifetime  |  Reg Type #1  |  Reg Type #2  |
/// |      ...      |     ...       |  Reg Type #n  |    Padding    |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegInfo {
    /// The shortest lifetime offered.
    pub lifetime_min: Lifetime,
    /// The longest lifetime offered.
    pub lifetime_max: Lifetime,
    /// The services.
    pub types: Vec<RegType>,
}

/// The services that a requester asks for, in its order of preference.
///
/// ```text
/// |   Lifetime    |  Reg Type #1  |  Reg Type #2  |  Reg Type #3  |
/// |      ...      |     ...       |  Reg Type #n  |    Padding    |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegRequest {
    /// The lifetime asked for; zero cancels.
    pub lifetime: Lifetime,
    /// The services.
    pub types: Vec<RegType>,
}

/// The services that a registrar grants; laid out as [`RegRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegResponse {
    /// The lifetime granted; zero cancels.
    pub lifetime: Lifetime,
    /// The services.
    pub types: Vec<RegType>,
}

/// The services that a registrar refuses for one reason; the reason stands in the place of the lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegFailed {
    /// The reason.
    pub failure: RegFailure,
    /// The services.
    pub types: Vec<RegType>,
}

impl Parameter for RegInfo {
    const TYPE: ParameterType = ParameterType::REG_INFO;
}

impl Encode for RegInfo {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.lifetime_min.0);
        w.u8(self.lifetime_max.0);
        encode_types(&self.types, w);
    }
}

impl<'a> Decode<'a> for RegInfo {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            lifetime_min: Lifetime(r.u8("min lifetime")?),
            lifetime_max: Lifetime(r.u8("max lifetime")?),
            types: decode_types(r),
        })
    }
}

impl Parameter for RegRequest {
    const TYPE: ParameterType = ParameterType::REG_REQUEST;
}

impl Encode for RegRequest {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.lifetime.0);
        encode_types(&self.types, w);
    }
}

impl<'a> Decode<'a> for RegRequest {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { lifetime: Lifetime(r.u8("lifetime")?), types: decode_types(r) })
    }
}

impl Parameter for RegResponse {
    const TYPE: ParameterType = ParameterType::REG_RESPONSE;
}

impl Encode for RegResponse {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.lifetime.0);
        encode_types(&self.types, w);
    }
}

impl<'a> Decode<'a> for RegResponse {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { lifetime: Lifetime(r.u8("lifetime")?), types: decode_types(r) })
    }
}

impl Parameter for RegFailed {
    const TYPE: ParameterType = ParameterType::REG_FAILED;
}

impl Encode for RegFailed {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.failure.0);
        encode_types(&self.types, w);
    }
}

impl<'a> Decode<'a> for RegFailed {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { failure: RegFailure(r.u8("failure type")?), types: decode_types(r) })
    }
}

fn encode_types(types: &[RegType], w: &mut Writer) {
    types.iter().for_each(|reg_type| w.u8(reg_type.0));
}

fn decode_types(r: &mut Reader<'_>) -> Vec<RegType> {
    r.take_rest().iter().copied().map(RegType).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn read_what_they_write() {
        let types = vec![RegType(201), RegType(1)];
        let info = RegInfo { lifetime_min: Lifetime(90), lifetime_max: Lifetime(200), types: types.clone() };
        survives(&info);
        survives(&RegRequest { lifetime: Lifetime(150), types: types.clone() });
        survives(&RegResponse { lifetime: Lifetime::CANCEL, types: types.clone() });
        survives(&RegFailed { failure: RegFailure::INSUFFICIENT_RESOURCES, types });
        assert_eq!(info.to_octets(), [90, 200, 201, 1]);
        assert!(RegInfo::from_octets(&[90]).is_err());
        assert!(RegRequest::from_octets(&[]).is_err());
    }
}
