//! DIFFIE_HELLMAN (RFC 7401 section 5.2.7).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{DhGroup, ParameterType};

use super::Parameter;

/// A public value.
///
/// ```text
/// |   Group ID    |      Public Value Length      | Public Value  /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffieHellman {
    /// The group.
    pub group: DhGroup,
    /// The public value, at most 65,535 octets; a packet holds no more than 2,001.
    pub public_value: Vec<u8>,
}

impl Parameter for DiffieHellman {
    const TYPE: ParameterType = ParameterType::DIFFIE_HELLMAN;
}

impl Encode for DiffieHellman {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.group.0);
        w.nested_u16(|w| w.slice(&self.public_value));
    }
}

impl<'a> Decode<'a> for DiffieHellman {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let group = DhGroup(r.u8("group id")?);
        let length = r.u16("public value length")?;
        Ok(Self { group, public_value: r.slice(length.into(), "public value")?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&DiffieHellman { group: DhGroup::NIST_P256, public_value: vec![7; 64] });
        assert!(DiffieHellman::from_octets(&[7, 0, 1, 1, 1]).is_err(), "octets behind the public value");
    }
}
