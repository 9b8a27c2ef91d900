//! What a batch is called, and how its datagrams are divided into source blocks.

use crate::{
    Error,
    code::LENGTH_LEN,
    limits::{
        BLOCK_SYMBOLS_MAX, BLOCKS_MAX, DATAGRAM_LEN_MAX, DATAGRAMS_MAX, SYMBOL_ALIGNMENT, SYMBOL_SIZE_MAX,
    },
};

/// Names a batch: its datagrams carry consecutive sequence numbers under one rekey SA, and a sequence number never
/// repeats under it (RFC 6407 section 3.3), so the first of them is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The SPI of the rekey SA, 16 octets.
    pub spi: [u8; 16],
    /// The sequence number of the batch's first datagram.
    pub first_sequence: u32,
}

/// How a batch is divided: its datagrams in their order are the source symbols of an object (RFC 6330 section 4.4),
/// cut into source blocks of neighbours.
///
/// Blocks are small on purpose. A receiver needs a few datagrams of the batch, and to repair one it must collect
/// as many symbols as its block has, so the blocks are cut in the order of the batch: where that is the key tree's,
/// a receiver's datagrams lie in one block or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    datagrams: u16,
    symbol_size: u16,
    blocks: u16,
}

/// Where a datagram stands: its source block, and its encoding symbol id therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The source block number.
    pub block: u8,
    /// The encoding symbol id, below the number of the block's datagrams.
    pub symbol: u8,
}

impl Shape {
    /// Divides datagrams, the longest of `longest` octets, into blocks of about `block_symbols`; of more if the
    /// batch would have more than [`BLOCKS_MAX`] blocks.
    ///
    /// # Errors
    ///
    /// [`Error::BatchSize`], [`Error::DatagramLength`], or [`Error::Config`] if `block_symbols` is zero or exceeds
    /// [`BLOCK_SYMBOLS_MAX`].
    pub fn divide(datagrams: usize, longest: usize, block_symbols: usize) -> Result<Self, Error> {
        if datagrams == 0 || datagrams > DATAGRAMS_MAX {
            return Err(Error::BatchSize);
        }
        if longest == 0 || longest > DATAGRAM_LEN_MAX {
            return Err(Error::DatagramLength);
        }
        if block_symbols == 0 || block_symbols > BLOCK_SYMBOLS_MAX {
            return Err(Error::Config);
        }
        let blocks = datagrams.div_ceil(block_symbols).min(BLOCKS_MAX);
        let symbol_size = (LENGTH_LEN + longest).next_multiple_of(SYMBOL_ALIGNMENT);
        Ok(Self { datagrams: datagrams as u16, symbol_size: symbol_size as u16, blocks: blocks as u16 })
    }

    /// Takes a shape as a peer states it.
    ///
    /// # Errors
    ///
    /// [`Error::OtherShape`] if no batch has it.
    pub fn stated(datagrams: u16, symbol_size: u16, blocks: u16) -> Result<Self, Error> {
        let size = usize::from(symbol_size);
        let sound = datagrams > 0
            && (1..=BLOCKS_MAX).contains(&usize::from(blocks))
            && blocks <= datagrams
            && datagrams.div_ceil(blocks) as usize <= BLOCK_SYMBOLS_MAX
            && size > LENGTH_LEN
            && size <= SYMBOL_SIZE_MAX
            && size.is_multiple_of(SYMBOL_ALIGNMENT);
        if sound { Ok(Self { datagrams, symbol_size, blocks }) } else { Err(Error::OtherShape) }
    }

    /// Returns the number of datagrams, Kt (RFC 6330 section 4.4.1.2).
    pub const fn datagrams(&self) -> u16 {
        self.datagrams
    }

    /// Returns the symbol size T in octets.
    pub const fn symbol_size(&self) -> u16 {
        self.symbol_size
    }

    /// Returns the number of source blocks, Z.
    pub const fn blocks(&self) -> u16 {
        self.blocks
    }

    /// Returns the length in octets of the longest datagram that a symbol holds.
    pub const fn datagram_len_max(&self) -> usize {
        self.symbol_size as usize - LENGTH_LEN
    }

    /// Goes through the source block numbers.
    pub fn block_numbers(&self) -> impl Iterator<Item = u8> + use<> {
        (0..self.blocks).map(|block| block as u8)
    }

    /// Says whether the batch has this block.
    pub const fn has_block(&self, block: u8) -> bool {
        (block as u16) < self.blocks
    }

    /// Returns the number of datagrams of a block: the first Kt mod Z blocks have one more than the others
    /// (the function Partition of RFC 6330 section 4.4.1.2).
    pub const fn symbols(&self, block: u8) -> u16 {
        self.datagrams / self.blocks + ((block as u16) < self.datagrams % self.blocks) as u16
    }

    /// Returns the index in the batch of a block's first datagram.
    pub fn first(&self, block: u8) -> u16 {
        let block = u16::from(block);
        block * (self.datagrams / self.blocks) + block.min(self.datagrams % self.blocks)
    }

    /// Returns the place of the datagram at `index` of the batch; none beyond its end.
    pub fn place(&self, index: u16) -> Option<Place> {
        if index >= self.datagrams {
            return None;
        }
        let (short, longer) = (self.datagrams / self.blocks, self.datagrams % self.blocks);
        let in_longer = longer * (short + 1);
        let (block, symbol) = if index < in_longer {
            (index / (short + 1), index % (short + 1))
        } else {
            (longer + (index - in_longer) / short, (index - in_longer) % short)
        };
        Some(Place { block: block as u8, symbol: symbol as u8 })
    }

    /// Returns the index in the batch of the datagram at `place`, which is one of the batch.
    pub fn index(&self, place: Place) -> u16 {
        self.first(place.block) + u16::from(place.symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_indices_are_inverse_and_blocks_are_neighbours() {
        for datagrams in [1, 2, 31, 32, 33, 63, 64, 65, 100, 255, 256, 4400, DATAGRAMS_MAX] {
            for block_symbols in [1, 2, 32, 64, 255] {
                let shape = Shape::divide(datagrams, 1000, block_symbols).unwrap();
                let again = Shape::stated(shape.datagrams(), shape.symbol_size(), shape.blocks());
                assert_eq!(again, Ok(shape));
                let mut next = 0;
                for block in shape.block_numbers() {
                    assert_eq!(shape.first(block), next);
                    assert!(usize::from(shape.symbols(block)) <= BLOCK_SYMBOLS_MAX);
                    for symbol in 0..shape.symbols(block) as u8 {
                        let place = Place { block, symbol };
                        assert_eq!(shape.place(next), Some(place));
                        assert_eq!(shape.index(place), next);
                        next += 1;
                    }
                }
                assert_eq!(usize::from(next), datagrams);
                assert_eq!(shape.place(next), None);
            }
        }
    }

    #[test]
    fn refuses_what_no_batch_is() {
        assert_eq!(Shape::divide(0, 100, 32), Err(Error::BatchSize));
        assert_eq!(Shape::divide(DATAGRAMS_MAX + 1, 100, 32), Err(Error::BatchSize));
        assert_eq!(Shape::divide(1, 0, 32), Err(Error::DatagramLength));
        assert_eq!(Shape::divide(1, DATAGRAM_LEN_MAX + 1, 32), Err(Error::DatagramLength));
        assert_eq!(Shape::divide(1, 1, 0), Err(Error::Config));
        for (datagrams, size, blocks) in
            [(0, 8, 1), (1, 8, 0), (1, 8, 2), (256, 8, 1), (300, 8, 257), (9, 7, 1), (9, 0, 1), (9, 9220, 1)]
        {
            assert_eq!(
                Shape::stated(datagrams, size, blocks),
                Err(Error::OtherShape),
                "{datagrams} {size} {blocks}"
            );
        }
    }
}
