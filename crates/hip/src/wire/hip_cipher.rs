//! HIP_CIPHER (RFC 7401 section 5.2.8).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{CipherId, ParameterType};

use super::Parameter;

/// The most Cipher IDs that a recipient looks at.
pub const CIPHERS_MAX: usize = 6;

/// The ciphers that a host supports, in its order of preference; in I2 the one that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HipCipher(pub Vec<CipherId>);

impl HipCipher {
    /// Shows the first six ciphers.
    //= rfc7401#section-5.2.8
    //# a recipient MUST be prepared to handle received transport
    //# parameters that contain more than six Cipher IDs by accepting the
    //# first six Cipher IDs and dropping the rest.
    pub fn accepted(&self) -> &[CipherId] {
        &self.0[..self.0.len().min(CIPHERS_MAX)]
    }

    /// Returns the cipher of a list of exactly one, as I2 carries it.
    pub fn chosen(&self) -> Option<CipherId> {
        match self.0[..] {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl Parameter for HipCipher {
    const TYPE: ParameterType = ParameterType::HIP_CIPHER;
}

impl Encode for HipCipher {
    fn encode(&self, w: &mut Writer) {
        self.0.iter().for_each(|cipher| w.u16(cipher.0));
    }
}

impl<'a> Decode<'a> for HipCipher {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ids = Vec::new();
        while !r.is_empty() {
            ids.push(CipherId(r.u16("cipher id")?));
        }
        Ok(Self(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes_and_looks_at_six() {
        survives(&HipCipher(vec![CipherId::AES_256_CBC, CipherId(99)]));
        let many = HipCipher((1..10).map(CipherId).collect());
        survives(&many);
        assert_eq!(many.accepted().len(), 6);
        assert_eq!(many.chosen(), None);
        assert_eq!(HipCipher(vec![CipherId::AES_128_CBC]).chosen(), Some(CipherId::AES_128_CBC));
        assert!(HipCipher::from_octets(&[0, 2, 0]).is_err());
    }
}
