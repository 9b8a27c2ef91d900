//! The erasure code: datagrams as some symbols each, and RaptorQ (RFC 6330) over the symbols of a block.

use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder, SourceBlockEncoder,
};

use crate::{
    Error, Shape,
    batch::Place,
    limits::{LENGTH_LEN, SYMBOL_ALIGNMENT},
};

/// Encodes one source block.
pub struct BlockEncoder {
    block: u8,
    /// How many symbols a repair has.
    bundle: u32,
    encoder: SourceBlockEncoder,
}

impl BlockEncoder {
    /// Prepares the code of `block`, whose datagrams these are.
    ///
    /// # Panics
    ///
    /// If the datagrams are not as many as the shape says, or longer.
    pub fn new(shape: &Shape, block: u8, datagrams: &[Vec<u8>]) -> Self {
        assert_eq!(
            datagrams.len(),
            usize::from(shape.datagrams_of(block)),
            "a block has all of its datagrams"
        );
        let mut symbols = Vec::with_capacity(datagrams.len() * shape.padded_len());
        for datagram in datagrams {
            append_padded(datagram, shape.padded_len(), &mut symbols);
        }
        let encoder = SourceBlockEncoder::new(block, &information(shape), &symbols);
        Self { block, bundle: shape.bundle().into(), encoder }
    }

    /// Returns the repairs number `first` and following, `count` of them: each the encoding symbol id of its first
    /// symbol, and its symbols one behind the other.
    pub fn repair(&self, first: u32, count: u32) -> impl Iterator<Item = (u32, Vec<u8>)> + use<> {
        (first..first + count)
            .map(|number| self.encoder.repair_packets(number * self.bundle, self.bundle))
            .filter_map(|packets| {
                let id = packets.first()?.payload_id().encoding_symbol_id();
                Some((id, packets.into_iter().flat_map(|packet| packet.split().1).collect()))
            })
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Returns the source block number.
    pub fn block(&self) -> u8 {
        self.block
    }
}

/// Recovers a block from source datagrams (number in the block and octets) and repairs (encoding symbol id of the first
/// symbol, and all symbols), all different and each fit for the shape. Returns all of its datagrams, or nothing if the
/// symbols do not determine them yet, which with as many symbols as the block has happens in about 1 of 100 cases,
/// with two more in 1 of a million.
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
    let (size, padded) = (usize::from(shape.symbol_size()), shape.padded_len());
    let packets = |first: u32, octets: &[u8]| {
        let symbols = (first..).zip(octets.chunks(size));
        symbols.map(|(id, symbol)| EncodingPacket::new(PayloadId::new(block, id), symbol.to_vec())).collect()
    };
    let source_packets = sources.flat_map(|(number, datagram)| -> Vec<_> {
        let mut octets = Vec::with_capacity(padded);
        append_padded(datagram, padded, &mut octets);
        packets(u32::from(number) * u32::from(shape.parts()), &octets)
    });
    let repair_packets = repairs.flat_map(|(id, octets)| -> Vec<_> { packets(id, octets) });
    let length = u64::from(shape.symbols(block)) * size as u64;
    let mut decoder = SourceBlockDecoder::new(block, &information(shape), length);
    let Some(symbols) = decoder.decode(source_packets.chain(repair_packets)) else { return Ok(None) };
    let datagrams = symbols.chunks(padded).map(|symbols| datagram_of(symbols).map(<[u8]>::to_vec));
    datagrams.collect::<Option<Vec<_>>>().ok_or(Error::Damaged).map(Some)
}

/// Says whether `datagram` can stand at `place` of a batch of this shape.
pub(crate) fn fits(shape: &Shape, place: Place, datagram: &[u8]) -> bool {
    shape.has_block(place.block)
        && u16::from(place.number) < shape.datagrams_of(place.block)
        && !datagram.is_empty()
        && datagram.len() <= shape.datagram_len_max()
}

/// Appends the source symbols of a datagram: its length, itself, zeros.
fn append_padded(datagram: &[u8], padded: usize, symbols: &mut Vec<u8>) {
    assert!(LENGTH_LEN + datagram.len() <= padded, "the shape has room for its longest datagram");
    let end = symbols.len() + padded;
    symbols.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    symbols.extend_from_slice(datagram);
    symbols.resize(end, 0);
}

/// Finds the datagram in its source symbols; none if they are not what [`append_padded`] writes.
fn datagram_of(symbols: &[u8]) -> Option<&[u8]> {
    let (length, rest) = symbols.split_first_chunk()?;
    let (datagram, padding) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    (!datagram.is_empty() && padding.iter().all(|octet| *octet == 0)).then_some(datagram)
}

/// The FEC object transmission information of the batch (RFC 6330 section 3.3), with one sub-block.
fn information(shape: &Shape) -> ObjectTransmissionInformation {
    let length = u64::from(shape.datagrams()) * shape.padded_len() as u64;
    // The crate holds Z in an octet and does not use it for single blocks; 256 blocks do not fit it.
    let blocks = shape.blocks().min(u8::MAX.into()) as u8;
    ObjectTransmissionInformation::new(length, shape.symbol_size(), blocks, 1, SYMBOL_ALIGNMENT as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datagrams of one block, cut into `parts` symbols each, `bundle` of which are a repair.
    fn batch(count: usize, parts: u8, bundle: u8) -> (Shape, Vec<Vec<u8>>) {
        let datagrams: Vec<_> = (0..count).map(|i| vec![i as u8 + 1; 20 + i % 7]).collect();
        let size = (LENGTH_LEN + 26).div_ceil(parts.into()).next_multiple_of(SYMBOL_ALIGNMENT);
        (Shape::stated(count as u16, size as u16, 1, parts, bundle).unwrap(), datagrams)
    }

    #[test]
    fn repairs_alone_bring_the_datagrams_back() {
        for (parts, bundle) in [(1, 1), (2, 1), (3, 2), (7, 3)] {
            for count in [1, 2, 9, 10, 11, 32, 100] {
                let (shape, datagrams) = batch(count, parts, bundle);
                let encoder = BlockEncoder::new(&shape, 0, &datagrams);
                let repairs: Vec<_> = encoder.repair(0, u32::from(shape.repairs(0)) + 4).collect();
                assert_eq!(
                    repairs[0].0,
                    shape.symbols(0),
                    "repair symbols are numbered after the source symbols"
                );
                assert!(repairs.iter().all(|(_, octets)| octets.len() == shape.repair_len()));
                assert_eq!(repairs[1].0 - repairs[0].0, bundle.into());
                let repairs = repairs.iter().map(|(id, octets)| (*id, &octets[..]));
                let decoded = decode_block(&shape, 0, [].into_iter(), repairs).unwrap();
                assert_eq!(decoded, Some(datagrams), "{count} cut into {parts}");
            }
        }
    }

    #[test]
    fn too_few_symbols_bring_nothing() {
        let (shape, datagrams) = batch(10, 1, 1);
        let sources = datagrams.iter().take(9).enumerate().map(|(i, octets)| (i as u8, &octets[..]));
        assert_eq!(decode_block(&shape, 0, sources, [].into_iter()), Ok(None));
    }

    #[test]
    fn a_damaged_symbol_is_seen_where_it_reaches_the_length_or_the_padding() {
        let (shape, datagrams) = batch(10, 2, 2);
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
