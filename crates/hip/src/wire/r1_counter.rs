//! R1_COUNTER (RFC 7401 section 5.2.3).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// The generation of puzzles that a Responder accepts now.
///
/// ```text
/// |                       Reserved, 4 bytes                       |
/// |                R1 generation counter, 8 bytes                 |
/// |                                                               |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct R1Counter {
    /// Echoed verbatim by the Initiator.
    pub reserved: [u8; 4],
    /// The generation.
    pub counter: u64,
}

impl R1Counter {
    /// Names a generation, with a reserved field of zero.
    pub const fn new(counter: u64) -> Self {
        Self { reserved: [0; 4], counter }
    }
}

impl Parameter for R1Counter {
    const TYPE: ParameterType = ParameterType::R1_COUNTER;
}

impl Encode for R1Counter {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.reserved);
        w.u64(self.counter);
    }
}

impl<'a> Decode<'a> for R1Counter {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { reserved: r.array("reserved")?, counter: r.u64("generation counter")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&R1Counter::new(u64::MAX));
        survives(&R1Counter { reserved: [1, 2, 3, 4], counter: 5 });
    }
}
