//! CERT (RFC 8002 section 2).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{CertType, ParameterType};

use super::{Parameter, parameter};

/// One certificate of a group of certificates.
///
/// ```text
/// |  CERT group   |  CERT count   |    CERT ID    |   CERT type   |
/// |                          Certificate                          /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cert {
    /// Which certificates belong together.
    pub group: u8,
    /// How many there are in the group.
    pub count: u8,
    /// The number of this one: 1 to `count`.
    pub id: u8,
    /// What the octets are.
    pub cert_type: CertType,
    /// The octets.
    pub certificate: Vec<u8>,
}

impl Cert {
    /// Says how many octets a CERT fills whose certificate has a given length.
    pub(crate) fn filled_len(certificate_len: usize) -> usize {
        parameter::padded_len(4 + certificate_len)
    }
}

impl Parameter for Cert {
    const TYPE: ParameterType = ParameterType::CERT;
}

impl Encode for Cert {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.group);
        w.u8(self.count);
        w.u8(self.id);
        w.u8(self.cert_type.0);
        w.slice(&self.certificate);
    }
}

impl<'a> Decode<'a> for Cert {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (group, count, id) = (r.u8("CERT group")?, r.u8("CERT count")?, r.u8("CERT ID")?);
        if id == 0 || id > count {
            return Err(DecodeError::Value { field: "CERT ID", value: id.into() });
        }
        let cert_type = CertType(r.u8("CERT type")?);
        Ok(Self { group, count, id, cert_type, certificate: r.take_rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        let certificate = vec![0x30, 0x82];
        survives(&Cert { group: 1, count: 2, id: 2, cert_type: CertType::X509_V3, certificate });
        for (count, id) in [(0, 0), (1, 0), (1, 2)] {
            assert!(Cert::from_octets(&[1, count, id, 1]).is_err());
        }
    }
}
