//! SEQ and ACK (RFC 7401 sections 5.2.16 and 5.2.17).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// The Update ID of an UPDATE that must be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u32);

/// The peer's Update IDs that were received: one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack(pub Vec<u32>);

impl Parameter for Seq {
    const TYPE: ParameterType = ParameterType::SEQ;
}

impl Encode for Seq {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.0);
    }
}

impl<'a> Decode<'a> for Seq {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(r.u32("update id")?))
    }
}

impl Parameter for Ack {
    const TYPE: ParameterType = ParameterType::ACK;
}

impl Encode for Ack {
    fn encode(&self, w: &mut Writer) {
        self.0.iter().for_each(|id| w.u32(*id));
    }
}

impl<'a> Decode<'a> for Ack {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ids = vec![r.u32("peer update id")?];
        while !r.is_empty() {
            ids.push(r.u32("peer update id")?);
        }
        Ok(Self(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&Seq(0x0102_0304));
        survives(&Ack(vec![1]));
        survives(&Ack(vec![1, u32::MAX, 2]));
        assert!(Ack::from_octets(&[]).is_err(), "an ACK of nothing");
        assert!(Ack::from_octets(&[0; 6]).is_err());
    }
}
