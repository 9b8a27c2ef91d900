//! Repair symbols.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use super::header::{HEADER_LEN, Header, MessageType, decode_shape, encode_shape};
use crate::{BatchId, Shape, limits::SYMBOL_IDS_MAX};

/// Octets that a repair is longer than the symbols in it.
pub const REPAIR_OVERHEAD: usize = HEADER_LEN + 12;

/// Repair symbols of one source block, with all that is needed to use them (RFC 6330 sections 3.2 and 3.3).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Header (24 octets)                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        Shape (8 octets)                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |      SBN      |               Encoding Symbol ID              |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~              Encoding Symbols (Bundle · T octets)             ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The object is the batch: Datagrams · Parts source symbols of T octets are its transfer length F; the symbol
/// alignment Al is 4 and there is one sub-block (N = 1). The four octets before the symbols are RFC 6330's FEC Payload
/// ID, that of the first of them; the others follow it. The source symbols of a datagram are its length in two octets,
/// the datagram, and zeros up to Parts · T; they travel as the datagram itself and never in this message, so that the
/// Encoding Symbol ID is not below the number of the block's source symbols. It exceeds that by a multiple of Bundle.
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
    /// The encoding symbol id of the first symbol.
    pub symbol_id: u32,
    /// The symbols, as many and as long as the shape says.
    pub symbols: Vec<u8>,
}

impl Encode for Repair {
    fn encode(&self, w: &mut Writer) {
        Header { round: self.round, flags: 0, batch: self.batch }.encode(MessageType::Repair, w);
        encode_shape(&self.shape, w);
        w.u32(u32::from(self.block) << 24 | self.symbol_id);
        w.slice(&self.symbols);
    }
}

impl<'a> Decode<'a> for Repair {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let header = Header::decode_as(MessageType::Repair, 0, r)?;
        let shape = decode_shape(r)?;
        let id = r.u32("FEC payload ID")?;
        let (block, symbol_id) = ((id >> 24) as u8, id & 0x00ff_ffff);
        if !shape.has_block(block) {
            return Err(DecodeError::Value { field: "source block number", value: block.into() });
        }
        let beyond = symbol_id.checked_sub(shape.symbols(block)).filter(|_| symbol_id < SYMBOL_IDS_MAX);
        if beyond.is_none_or(|beyond| !beyond.is_multiple_of(shape.bundle().into())) {
            return Err(DecodeError::Value { field: "encoding symbol ID", value: symbol_id.into() });
        }
        let symbols = r.slice(shape.repair_len(), "encoding symbols")?.to_vec();
        Ok(Self { batch: header.batch, round: header.round, shape, block, symbol_id, symbols })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::{BATCH, survives};

    #[test]
    fn reads_what_it_writes_and_refuses_it_cut_anywhere() {
        let shape = Shape::stated(70, 12, 3, 2, 2).unwrap();
        let repair = Repair { batch: BATCH, round: 2, shape, block: 2, symbol_id: 48, symbols: vec![9; 24] };
        survives(&repair, &[]);
        let octets = repair.to_octets();
        assert_eq!(octets.len(), REPAIR_OVERHEAD + 24);
        assert_eq!(&octets[..4], [1, 1, 2, 0]);
        assert_eq!(&octets[24..36], [0, 70, 0, 12, 0, 3, 2, 2, 2, 0, 0, 48]);
    }

    #[test]
    fn refuses_a_source_symbol_one_between_two_repairs_and_a_block_beyond_the_last() {
        let shape = Shape::stated(70, 12, 3, 2, 2).unwrap();
        for (block, symbol_id) in [(2, 44), (2, 47), (3, 48), (0, SYMBOL_IDS_MAX)] {
            let repair = Repair { batch: BATCH, round: 1, shape, block, symbol_id, symbols: vec![9; 24] };
            assert!(matches!(Repair::from_octets(&repair.to_octets()), Err(DecodeError::Value { .. })));
        }
    }
}
