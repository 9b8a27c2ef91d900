//! A repair symbol.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use super::{HEADER_LEN, Header, MessageType, decode_shape, encode_shape};
use crate::{BatchId, Shape, limits::SYMBOL_IDS_MAX};

/// Octets that a repair is longer than the symbol in it.
pub const REPAIR_OVERHEAD: usize = HEADER_LEN + 12;

/// One repair symbol of one source block, with all that is needed to use it (RFC 6330 sections 3.2 and 3.3).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Header (24 octets)                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |        Datagrams (Kt)         |        Symbol Size (T)        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          Blocks (Z)           |           Reserved            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |      SBN      |               Encoding Symbol ID              |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                   Encoding Symbol (T octets)                  ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The object is the batch: Kt source symbols of T octets, so its transfer length F is Kt · T; the symbol alignment
/// Al is 4 and there is one sub-block (N = 1). The last four octets before the symbol are RFC 6330's FEC Payload ID.
/// A source symbol is the length of a datagram in two octets, the datagram, and zeros up to T; it travels as the
/// datagram itself and never in this message, so the Encoding Symbol ID is not below the number of the block's
/// datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The batch that it belongs to.
    pub batch: BatchId,
    /// The round in which it was sent, from 1.
    pub round: u8,
    /// How the batch is divided.
    pub shape: Shape,
    /// The source block number.
    pub block: u8,
    /// The encoding symbol id.
    pub symbol_id: u32,
    /// The symbol, as long as the shape says.
    pub symbol: Vec<u8>,
}

impl Encode for Repair {
    fn encode(&self, w: &mut Writer) {
        Header { round: self.round, flags: 0, batch: self.batch }.encode(MessageType::Repair, w);
        encode_shape(&self.shape, w);
        w.zeros(2);
        w.u32(u32::from(self.block) << 24 | self.symbol_id);
        w.slice(&self.symbol);
    }
}

impl<'a> Decode<'a> for Repair {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let header = Header::decode(MessageType::Repair, 0, r)?;
        let shape = decode_shape(r)?;
        r.zeros(2, "reserved")?;
        let id = r.u32("FEC payload ID")?;
        let (block, symbol_id) = ((id >> 24) as u8, id & 0x00ff_ffff);
        if !shape.has_block(block) {
            return Err(DecodeError::Value { field: "source block number", value: block.into() });
        }
        if symbol_id < shape.symbols(block).into() || symbol_id >= SYMBOL_IDS_MAX {
            return Err(DecodeError::Value { field: "encoding symbol ID", value: symbol_id.into() });
        }
        let symbol = r.slice(shape.symbol_size().into(), "encoding symbol")?.to_vec();
        Ok(Self { batch: header.batch, round: header.round, shape, block, symbol_id, symbol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::{BATCH, survives};

    #[test]
    fn reads_what_it_writes_and_refuses_it_cut_anywhere() {
        let shape = Shape::divide(70, 18, 32).unwrap();
        let repair = Repair { batch: BATCH, round: 2, shape, block: 2, symbol_id: 23, symbol: vec![9; 20] };
        survives(&repair, &[]);
        let octets = repair.to_octets();
        assert_eq!(octets.len(), REPAIR_OVERHEAD + 20);
        assert_eq!(&octets[..4], [1, 1, 2, 0]);
        assert_eq!(&octets[24..36], [0, 70, 0, 20, 0, 3, 0, 0, 2, 0, 0, 23]);
    }

    #[test]
    fn refuses_a_source_symbol_and_a_block_beyond_the_last() {
        let shape = Shape::divide(70, 18, 32).unwrap();
        for (block, symbol_id) in [(2, 22), (3, 23), (0, SYMBOL_IDS_MAX)] {
            let repair = Repair { batch: BATCH, round: 1, shape, block, symbol_id, symbol: vec![9; 20] };
            assert!(matches!(Repair::from_octets(&repair.to_octets()), Err(DecodeError::Value { .. })));
        }
    }
}
