//! ESP_INFO and ESP_TRANSFORM (RFC 7402 section 5.1).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{EspSuite, ParameterType};

use super::Parameter;

/// The most Suite IDs in a list that this implementation sends; all that come are kept.
pub const SUITES_MAX: usize = 6;

/// The SPIs of an ESP SA, and where its keys begin in KEYMAT.
///
/// ```text
/// |           Reserved            |         KEYMAT Index          |
/// |                            OLD SPI                            |
/// |                            NEW SPI                            |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspInfo {
    /// The octet of KEYMAT at which the ESP keys begin.
    pub keymat_index: u16,
    /// The SPI that ends; zero if there is none.
    pub old_spi: u32,
    /// The SPI that the sender wants to receive.
    pub new_spi: u32,
}

/// The ESP suites that a host supports, in its order of preference; in I2 the one that was chosen.
///
/// ```text
/// |          Reserved             |           Suite ID #1         |
/// |          Suite ID #n          |             Padding           |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspTransform(pub Vec<EspSuite>);

impl Parameter for EspInfo {
    const TYPE: ParameterType = ParameterType::ESP_INFO;
}

impl Encode for EspInfo {
    fn encode(&self, w: &mut Writer) {
        w.zeros(2);
        w.u16(self.keymat_index);
        w.u32(self.old_spi);
        w.u32(self.new_spi);
    }
}

impl<'a> Decode<'a> for EspInfo {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.u16("reserved")?;
        Ok(Self {
            keymat_index: r.u16("KEYMAT index")?,
            old_spi: r.u32("old SPI")?,
            new_spi: r.u32("new SPI")?,
        })
    }
}

impl Parameter for EspTransform {
    const TYPE: ParameterType = ParameterType::ESP_TRANSFORM;
}

impl Encode for EspTransform {
    fn encode(&self, w: &mut Writer) {
        w.zeros(2);
        self.0.iter().for_each(|suite| w.u16(suite.0));
    }
}

impl<'a> Decode<'a> for EspTransform {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.u16("reserved")?;
        let mut suites = Vec::new();
        while !r.is_empty() {
            suites.push(EspSuite(r.u16("suite id")?));
        }
        Ok(Self(suites))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn read_what_they_write() {
        survives(&EspInfo { keymat_index: 160, old_spi: 0, new_spi: 0xc6fe_2b1c });
        survives(&EspTransform(vec![EspSuite::AES_256_CBC_HMAC_SHA_256, EspSuite(77)]));
        assert!(EspTransform::from_octets(&[0, 0, 1]).is_err());
    }
}
