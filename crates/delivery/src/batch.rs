//! What a batch is and is called, and how its datagrams are divided into source blocks.

use crate::{
    Error,
    limits::{
        BLOCK_DATAGRAMS_MAX, BLOCKS_MAX, DATAGRAM_LEN_MAX, DATAGRAMS_MAX, LENGTH_LEN, PADDED_LEN_MAX,
        PARTS_MAX, SYMBOL_ALIGNMENT,
    },
    wire::repair::REPAIR_OVERHEAD,
};

/// Names a receiver for the caller, who knows where to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverId(pub u64);

/// What is to be delivered.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// The datagrams, in the order of the key tree, so that what one receiver needs is close together.
    pub datagrams: Vec<Vec<u8>>,
    /// For each datagram how many receivers need it; empty if the caller cannot tell.
    pub audience: Vec<u32>,
    /// For each datagram the labels of those whom it is for, ascending; empty if the caller cannot tell. Receivers are
    /// told, and want only what has one of their labels.
    pub labels: Vec<Vec<u32>>,
    /// How many receivers there are.
    pub receivers: u32,
}

/// Names a batch: its datagrams carry consecutive sequence numbers under one rekey SA, and a sequence number never
/// repeats under it (RFC 6407 section 3.3), so the first of them is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The SPI of the rekey SA, 16 octets.
    pub spi: [u8; 16],
    /// The sequence number of the batch's first datagram.
    pub first_sequence: u32,
}

/// How a batch is divided: its datagrams in their order are an object (RFC 6330 section 4.4), cut into source blocks of
/// neighbours, and each datagram into as many source symbols as let a repair be no longer than a datagram.
///
/// Blocks are small on purpose. A receiver needs a few datagrams of the batch, and to repair one it must collect
/// as many symbols as its block has, so the blocks are cut in the order of the batch: where that is the key tree's,
/// a receiver's datagrams lie in one block or two.
///
/// A repair says what it belongs to and proves its origin, beside the symbols that it carries. If one symbol were as
/// long as a datagram, a repair would be longer than the path allows where datagrams are as long as that; so a
/// datagram is several symbols then, and a repair carries fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    datagrams: u16,
    symbol_size: u16,
    blocks: u16,
    parts: u8,
    bundle: u8,
}

/// Where a datagram stands: its source block, and its number therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The source block number.
    pub block: u8,
    /// The number within the block, below that of the block's datagrams.
    pub number: u8,
}

impl Shape {
    /// Divides datagrams, the longest of `longest` octets, into blocks of about `block_datagrams`; of more if the
    /// batch would have more than [`BLOCKS_MAX`] blocks. No repair will be longer than `repair_len_max` octets.
    ///
    /// # Errors
    ///
    /// [`Error::BatchSize`]; [`Error::DatagramLength`], also if no repair of them is so short; [`Error::Config`] if
    /// `block_datagrams` is zero or exceeds [`BLOCK_DATAGRAMS_MAX`].
    pub fn divide(
        datagrams: usize,
        longest: usize,
        block_datagrams: usize,
        repair_len_max: usize,
    ) -> Result<Self, Error> {
        if datagrams == 0 || datagrams > DATAGRAMS_MAX {
            return Err(Error::BatchSize);
        }
        if longest == 0 || longest > DATAGRAM_LEN_MAX {
            return Err(Error::DatagramLength);
        }
        if block_datagrams == 0 || block_datagrams > BLOCK_DATAGRAMS_MAX {
            return Err(Error::Config);
        }
        let room = repair_len_max.saturating_sub(REPAIR_OVERHEAD);
        let cuts = (1..=PARTS_MAX).filter_map(|parts| Cut::new(LENGTH_LEN + longest, parts, room));
        // More and shorter symbols fill a repair better, and cost more to code: two thirds are enough. Otherwise the
        // fullest, of equals the one with the fewest symbols.
        let cut = cuts.clone().find(Cut::is_enough).or_else(|| cuts.rev().max_by_key(Cut::filled));
        let Cut { size, parts, bundle } = cut.ok_or(Error::DatagramLength)?;
        let blocks = datagrams.div_ceil(block_datagrams).min(BLOCKS_MAX);
        Ok(Self {
            datagrams: datagrams as u16,
            symbol_size: size as u16,
            blocks: blocks as u16,
            parts: parts as u8,
            bundle: bundle as u8,
        })
    }

    /// Takes a shape as a peer states it.
    ///
    /// # Errors
    ///
    /// [`Error::OtherShape`] if no batch has it.
    pub fn stated(
        datagrams: u16,
        symbol_size: u16,
        blocks: u16,
        parts: u8,
        bundle: u8,
    ) -> Result<Self, Error> {
        let (size, padded) = (usize::from(symbol_size), usize::from(symbol_size) * usize::from(parts));
        let sound = datagrams > 0
            && (1..=BLOCKS_MAX).contains(&usize::from(blocks))
            && blocks <= datagrams
            && datagrams.div_ceil(blocks) as usize <= BLOCK_DATAGRAMS_MAX
            && (1..=PARTS_MAX).contains(&parts.into())
            && (1..=parts).contains(&bundle)
            && padded > LENGTH_LEN
            && padded <= PADDED_LEN_MAX
            && size.is_multiple_of(SYMBOL_ALIGNMENT);
        if sound {
            Ok(Self { datagrams, symbol_size, blocks, parts, bundle })
        } else {
            Err(Error::OtherShape)
        }
    }

    /// Returns the number of datagrams.
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

    /// Returns the number of source symbols that a datagram is cut into.
    pub const fn parts(&self) -> u8 {
        self.parts
    }

    /// Returns the number of symbols in a repair.
    pub const fn bundle(&self) -> u8 {
        self.bundle
    }

    /// Returns the octets of the symbols in a repair.
    pub const fn repair_len(&self) -> usize {
        self.symbol_size as usize * self.bundle as usize
    }

    /// Returns the octets that a datagram is padded to.
    pub const fn padded_len(&self) -> usize {
        self.symbol_size as usize * self.parts as usize
    }

    /// Returns the length in octets of the longest datagram that its symbols hold.
    pub const fn datagram_len_max(&self) -> usize {
        self.padded_len() - LENGTH_LEN
    }

    /// Goes through the source block numbers.
    pub fn block_numbers(&self) -> impl Iterator<Item = u8> + use<> {
        (0..self.blocks).map(|block| block as u8)
    }

    /// Says whether the batch has this block.
    pub const fn has_block(&self, block: u8) -> bool {
        (block as u16) < self.blocks
    }

    /// Returns the number of datagrams of a block: the first ones have one more than the others (the function Partition
    /// of RFC 6330 section 4.4.1.2, applied to datagrams).
    pub const fn datagrams_of(&self, block: u8) -> u16 {
        self.datagrams / self.blocks + ((block as u16) < self.datagrams % self.blocks) as u16
    }

    /// Returns the number of source symbols of a block, K.
    pub const fn symbols(&self, block: u8) -> u32 {
        self.datagrams_of(block) as u32 * self.parts as u32
    }

    /// Returns how many repairs carry as many symbols as a block has.
    pub const fn repairs(&self, block: u8) -> u16 {
        self.symbols(block).div_ceil(self.bundle as u32) as u16
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
        let (block, number) = if index < in_longer {
            (index / (short + 1), index % (short + 1))
        } else {
            (longer + (index - in_longer) / short, (index - in_longer) % short)
        };
        Some(Place { block: block as u8, number: number as u8 })
    }

    /// Returns the index in the batch of the datagram at `place`, which is one of the batch.
    pub fn index(&self, place: Place) -> u16 {
        self.first(place.block) + u16::from(place.number)
    }
}

/// A way to cut datagrams into symbols.
struct Cut {
    /// The octets of a symbol.
    size: usize,
    /// The symbols of a datagram.
    parts: usize,
    /// The symbols of a repair: no more than make a datagram.
    bundle: usize,
}

impl Cut {
    /// Cuts `padded` octets, of which a repair has room for so many; none if not one symbol fits.
    fn new(padded: usize, parts: usize, room: usize) -> Option<Self> {
        let size = padded.div_ceil(parts).next_multiple_of(SYMBOL_ALIGNMENT);
        let bundle = (room / size).min(parts);
        (bundle > 0 && size * parts <= PADDED_LEN_MAX).then_some(Self { size, parts, bundle })
    }

    fn is_enough(&self) -> bool {
        self.bundle * 3 >= self.parts * 2
    }

    /// Says how much of a datagram a repair makes up for, in parts of what no number of parts makes uneven.
    fn filled(&self) -> usize {
        const COMMON: usize = 840;
        self.bundle * COMMON / self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_indices_are_inverse_and_blocks_are_neighbours() {
        for datagrams in [1, 2, 31, 32, 33, 63, 64, 65, 100, 255, 256, 4400, DATAGRAMS_MAX] {
            for block_datagrams in [1, 2, 32, 64, 255] {
                let shape = Shape::divide(datagrams, 1000, block_datagrams, 1000).unwrap();
                let (size, parts, bundle) = (shape.symbol_size(), shape.parts(), shape.bundle());
                let again = Shape::stated(shape.datagrams(), size, shape.blocks(), parts, bundle);
                assert_eq!(again, Ok(shape));
                let mut next = 0;
                for block in shape.block_numbers() {
                    assert_eq!(shape.first(block), next);
                    assert!(usize::from(shape.datagrams_of(block)) <= BLOCK_DATAGRAMS_MAX);
                    for number in 0..shape.datagrams_of(block) as u8 {
                        let place = Place { block, number };
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
    fn no_repair_is_longer_than_it_may_be() {
        for longest in (1..2000).chain([4096, DATAGRAM_LEN_MAX]) {
            for most in [200, 600, 1000, 1064, 1232, 9300] {
                let Ok(shape) = Shape::divide(100, longest, 64, most) else {
                    assert!(
                        longest > (most - REPAIR_OVERHEAD) * PARTS_MAX - 5 * PARTS_MAX,
                        "{longest} {most}"
                    );
                    continue;
                };
                assert!(REPAIR_OVERHEAD + shape.repair_len() <= most, "{longest} {most}: {shape:?}");
                assert!(shape.datagram_len_max() >= longest && shape.bundle() <= shape.parts());
            }
        }
        let cut = |longest, most| {
            let shape = Shape::divide(100, longest, 64, most).unwrap();
            (shape.parts(), shape.bundle(), shape.symbol_size())
        };
        assert_eq!(cut(1000, 1232), (1, 1, 1004), "one symbol, where it fits");
        assert_eq!(cut(1228, 1064), (3, 2, 412), "two thirds of a datagram");
        assert_eq!(cut(1228, 660), (2, 1, 616), "nothing fills it better than half of one");
    }

    #[test]
    fn refuses_what_no_batch_is() {
        assert_eq!(Shape::divide(0, 100, 32, 1000), Err(Error::BatchSize));
        assert_eq!(Shape::divide(DATAGRAMS_MAX + 1, 100, 32, 1000), Err(Error::BatchSize));
        assert_eq!(Shape::divide(1, 0, 32, 1000), Err(Error::DatagramLength));
        assert_eq!(Shape::divide(1, DATAGRAM_LEN_MAX + 1, 32, 9999), Err(Error::DatagramLength));
        assert_eq!(Shape::divide(1, 1000, 32, REPAIR_OVERHEAD + 100), Err(Error::DatagramLength));
        assert_eq!(Shape::divide(1, 1, 32, 10), Err(Error::DatagramLength));
        assert_eq!(Shape::divide(1, 1, 0, 1000), Err(Error::Config));
        for (datagrams, size, blocks, parts, bundle) in [
            (0, 8, 1, 1, 1),
            (1, 8, 0, 1, 1),
            (1, 8, 2, 1, 1),
            (256, 8, 1, 1, 1),
            (300, 8, 257, 1, 1),
            (9, 7, 1, 1, 1),
            (9, 0, 1, 1, 1),
            (9, 9220, 1, 1, 1),
            (9, 8, 1, 0, 0),
            (9, 8, 1, 9, 1),
            (9, 8, 1, 2, 0),
            (9, 8, 1, 2, 3),
            (9, 4612, 1, 2, 1),
        ] {
            assert_eq!(
                Shape::stated(datagrams, size, blocks, parts, bundle),
                Err(Error::OtherShape),
                "{datagrams} {size} {blocks} {parts} {bundle}"
            );
        }
    }
}
