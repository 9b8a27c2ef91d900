//! HIP_SIGNATURE and HIP_SIGNATURE_2 (RFC 7401 sections 5.2.14 and 5.2.15).

use claviger_identity::HiAlgorithm;
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// A signature over what stands before it.
///
/// ```text
/// |    SIG alg                    |            Signature          /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HipSignature {
    /// The algorithm, which is the signing host's.
    pub algorithm: HiAlgorithm,
    /// The signature.
    pub signature: Vec<u8>,
}

/// The signature of an R1, which leaves out the receiver's HIT and the puzzle's Opaque and #I.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HipSignature2 {
    /// The algorithm, which is the signing host's.
    pub algorithm: HiAlgorithm,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Parameter for HipSignature {
    const TYPE: ParameterType = ParameterType::HIP_SIGNATURE;
}

impl Encode for HipSignature {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.algorithm.0);
        w.slice(&self.signature);
    }
}

impl<'a> Decode<'a> for HipSignature {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { algorithm: HiAlgorithm(r.u16("SIG alg")?), signature: r.take_rest().to_vec() })
    }
}

impl Parameter for HipSignature2 {
    const TYPE: ParameterType = ParameterType::HIP_SIGNATURE_2;
}

impl Encode for HipSignature2 {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.algorithm.0);
        w.slice(&self.signature);
    }
}

impl<'a> Decode<'a> for HipSignature2 {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { algorithm: HiAlgorithm(r.u16("SIG alg")?), signature: r.take_rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn read_what_they_write() {
        survives(&HipSignature { algorithm: HiAlgorithm::ECDSA, signature: vec![7; 64] });
        survives(&HipSignature2 { algorithm: HiAlgorithm::RSA, signature: vec![7; 256] });
    }
}
