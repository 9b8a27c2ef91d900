//! The erasure code: datagrams as symbols, and RaptorQ (RFC 6330) over the symbols of a block.

use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder, SourceBlockEncoder,
};

use crate::{Error, Shape, batch::Place, limits::SYMBOL_ALIGNMENT};

/// Octets before the datagram in a source symbol, which tell its length.
pub const LENGTH_LEN: usize = 2;

/// Encodes one source block.
pub struct BlockEncoder {
    block: u8,
    encoder: SourceBlockEncoder,
}

impl BlockEncoder {
    /// Prepares the code of `block`, whose datagrams these are.
    ///
    /// # Panics
    ///
    /// If the datagrams are not as many as the shape says, or longer.
    pub fn new(shape: &Shape, block: u8, datagrams: &[Vec<u8>]) -> Self {
        assert_eq!(datagrams.len(), usize::from(shape.symbols(block)), "a block has all of its datagrams");
        let size = usize::from(shape.symbol_size());
        let mut symbols = Vec::with_capacity(datagrams.len() * size);
        for datagram in datagrams {
            append_symbol(datagram, size, &mut symbols);
        }
        Self { block, encoder: SourceBlockEncoder::new(block, &information(shape), &symbols) }
    }

    /// Returns the repair symbols number `first` and following, `count` of them, each with its encoding symbol id.
    pub fn repair(&self, first: u32, count: u32) -> impl Iterator<Item = (u32, Vec<u8>)> + use<> {
        self.encoder.repair_packets(first, count).into_iter().map(|packet| {
            let (id, octets) = packet.split();
            (id.encoding_symbol_id(), octets)
        })
    }

    /// Returns the source block number.
    pub fn block(&self) -> u8 {
        self.block
    }
}

/// Recovers a block from source datagrams (symbol id and octets) and repair symbols (encoding symbol id and
/// octets), all different and each fit for the shape. Returns all of its datagrams, or nothing if the symbols do not
/// determine them yet, which with as many symbols as datagrams happens in about 1 of 100 cases, with two more
/// in 1 of a million.
///
/// # Errors
///
/// [`Error::Damaged`] if what comes out are no datagrams, so that some symbol was not the sender's.
pub fn decode_block<'a>(
    shape: &Shape,
    block: u8,
    sources: impl Iterator<Item = (u8, &'a [u8])>,
    repairs: impl Iterator<Item = (u32, &'a [u8])>,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let size = usize::from(shape.symbol_size());
    let source_packets = sources.map(|(symbol, datagram)| {
        let mut octets = Vec::with_capacity(size);
        append_symbol(datagram, size, &mut octets);
        EncodingPacket::new(PayloadId::new(block, symbol.into()), octets)
    });
    let repair_packets =
        repairs.map(|(id, octets)| EncodingPacket::new(PayloadId::new(block, id), octets.to_vec()));
    let length = u64::from(shape.symbols(block)) * size as u64;
    let mut decoder = SourceBlockDecoder::new(block, &information(shape), length);
    let Some(symbols) = decoder.decode(source_packets.chain(repair_packets)) else { return Ok(None) };
    let datagrams = symbols.chunks(size).map(|symbol| datagram_of(symbol).map(<[u8]>::to_vec));
    datagrams.collect::<Option<Vec<_>>>().ok_or(Error::Damaged).map(Some)
}

/// Says whether `datagram` can stand at `place` of a batch of this shape.
pub(crate) fn fits(shape: &Shape, place: Place, datagram: &[u8]) -> bool {
    shape.has_block(place.block)
        && u16::from(place.symbol) < shape.symbols(place.block)
        && !datagram.is_empty()
        && datagram.len() <= shape.datagram_len_max()
}

/// Appends a source symbol: the datagram's length, the datagram, zeros.
fn append_symbol(datagram: &[u8], size: usize, symbols: &mut Vec<u8>) {
    assert!(LENGTH_LEN + datagram.len() <= size, "the shape has room for its longest datagram");
    let end = symbols.len() + size;
    symbols.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    symbols.extend_from_slice(datagram);
    symbols.resize(end, 0);
}

/// Finds the datagram in a source symbol; none if it is not what [`append_symbol`] writes.
fn datagram_of(symbol: &[u8]) -> Option<&[u8]> {
    let (length, rest) = symbol.split_first_chunk()?;
    let (datagram, padding) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    (!datagram.is_empty() && padding.iter().all(|octet| *octet == 0)).then_some(datagram)
}

/// The FEC object transmission information of the batch (RFC 6330 section 3.3), with one sub-block.
fn information(shape: &Shape) -> ObjectTransmissionInformation {
    let length = u64::from(shape.datagrams()) * u64::from(shape.symbol_size());
    // The crate holds Z in an octet and does not use it for single blocks; 256 blocks do not fit it.
    let blocks = shape.blocks().min(u8::MAX.into()) as u8;
    ObjectTransmissionInformation::new(length, shape.symbol_size(), blocks, 1, SYMBOL_ALIGNMENT as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: usize) -> (Shape, Vec<Vec<u8>>) {
        let datagrams: Vec<_> = (0..count).map(|i| vec![i as u8 + 1; 20 + i % 7]).collect();
        (Shape::divide(count, 26, 255).unwrap(), datagrams)
    }

    #[test]
    fn repair_symbols_alone_bring_the_datagrams_back() {
        for count in [1, 2, 9, 10, 11, 32, 100] {
            let (shape, datagrams) = batch(count);
            let repairs: Vec<_> =
                BlockEncoder::new(&shape, 0, &datagrams).repair(0, count as u32 + 4).collect();
            assert_eq!(repairs[0].0, count as u32, "repair symbols are numbered after the source symbols");
            let repairs = repairs.iter().map(|(id, octets)| (*id, &octets[..]));
            let decoded = decode_block(&shape, 0, [].into_iter(), repairs).unwrap();
            assert_eq!(decoded, Some(datagrams));
        }
    }

    #[test]
    fn too_few_symbols_bring_nothing() {
        let (shape, datagrams) = batch(10);
        let sources = datagrams.iter().take(9).enumerate().map(|(i, octets)| (i as u8, &octets[..]));
        assert_eq!(decode_block(&shape, 0, sources, [].into_iter()), Ok(None));
    }

    #[test]
    fn a_damaged_symbol_is_seen_where_it_reaches_the_length_or_the_padding() {
        let (shape, datagrams) = batch(10);
        let encoder = BlockEncoder::new(&shape, 0, &datagrams);
        let (id, octets) = encoder.repair(0, 1).next().unwrap();
        let decode = |octets: &[u8]| {
            let sources = datagrams.iter().take(9).enumerate().map(|(i, octets)| (i as u8, &octets[..]));
            decode_block(&shape, 0, sources, [(id, octets)].into_iter())
        };
        assert_eq!(decode(&octets), Ok(Some(datagrams.clone())));
        let mut damaged = octets.clone();
        damaged[0] ^= 0x80;
        assert_eq!(decode(&damaged), Err(Error::Damaged));
    }
}
