//! What a receiver holds of a batch.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error, Shape,
    batch::Place,
    code,
    limits::DATAGRAM_LEN_MAX,
    wire::{Directory, Entry},
};

/// The datagrams and repair symbols at hand. Nothing in it grows but by what arrives.
pub(super) struct Store {
    octets_max: usize,
    octets: usize,
    count: Option<u16>,
    shape: Option<Shape>,
    /// The datagrams that the layer above has seen, kept or not.
    held: BTreeSet<u16>,
    /// Those of them that are kept to recover others.
    sources: BTreeMap<u16, Vec<u8>>,
    repairs: BTreeMap<(u8, u32), Vec<u8>>,
    /// Which of a block's datagrams were recovered.
    recovered: BTreeMap<u8, Vec<u16>>,
    /// The labels of this receiver; none if it needs everything.
    labels: Option<BTreeSet<u32>>,
    /// The datagrams that are known to be for others.
    unwanted: BTreeSet<u16>,
}

impl Store {
    pub(super) fn new(octets_max: usize, labels: Option<BTreeSet<u32>>) -> Self {
        Self {
            octets_max,
            octets: 0,
            count: None,
            shape: None,
            held: BTreeSet::new(),
            sources: BTreeMap::new(),
            repairs: BTreeMap::new(),
            recovered: BTreeMap::new(),
            labels,
            unwanted: BTreeSet::new(),
        }
    }

    /// Changes how many octets may be kept; what is kept stays.
    pub(super) fn limit(&mut self, octets_max: usize) {
        self.octets_max = octets_max;
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn knows_shape(&self) -> bool {
        self.shape.is_some()
    }

    pub(super) fn block_of(&self, index: u16) -> Option<u8> {
        Some(self.shape?.place(index)?.block)
    }

    /// Learns how many datagrams the batch has.
    pub(super) fn count(&mut self, count: u16) -> Result<(), Error> {
        if count == 0 || self.count.is_some_and(|known| known != count) {
            return Err(Error::OtherShape);
        }
        self.count = Some(count);
        Ok(())
    }

    /// Learns how the batch is divided. Says whether that is new.
    pub(super) fn shape(&mut self, shape: Shape) -> Result<bool, Error> {
        if let Some(known) = self.shape {
            return if known == shape { Ok(false) } else { Err(Error::OtherShape) };
        }
        self.count(shape.datagrams())?;
        let fits = |index: u16, octets: &[u8]| {
            shape.place(index).is_some_and(|place| code::fits(&shape, place, octets))
        };
        if !self.sources.iter().all(|(index, octets)| fits(*index, octets)) {
            return Err(Error::OtherShape);
        }
        self.shape = Some(shape);
        self.purge();
        Ok(true)
    }

    /// Learns which datagrams are for others.
    pub(super) fn note(&mut self, directory: &Directory) {
        let Some(mine) = &self.labels else { return };
        let said = (directory.first..).zip(&directory.labels);
        let others = said.filter(|(_, labels)| !labels.iter().any(|label| mine.contains(label)));
        self.unwanted.extend(others.map(|(index, _)| index));
        self.purge();
    }

    pub(super) fn add_source(&mut self, index: u16, octets: &[u8]) -> Result<(), Error> {
        if self.count.is_none_or(|count| index >= count) {
            return Err(Error::OutOfRange);
        }
        let too_long = |shape: &Shape| octets.len() > shape.datagram_len_max();
        if octets.is_empty() || octets.len() > DATAGRAM_LEN_MAX || self.shape.as_ref().is_some_and(too_long) {
            return Err(Error::OtherShape);
        }
        if !self.held.insert(index) {
            return Err(Error::Duplicate);
        }
        if self.block_of(index).is_some_and(|block| self.missing_of(block) == 0) {
            return Ok(());
        }
        if octets.len() > self.octets_max.saturating_sub(self.octets) {
            return Err(Error::BufferFull);
        }
        self.octets += octets.len();
        self.sources.insert(index, octets.to_vec());
        Ok(())
    }

    /// Adds a repair that fits the shape.
    pub(super) fn add_repair(&mut self, block: u8, symbol_id: u32, symbols: Vec<u8>) -> Result<(), Error> {
        if self.missing_of(block) == 0 {
            return Err(Error::Unneeded);
        }
        if self.repairs.contains_key(&(block, symbol_id)) {
            return Err(Error::Duplicate);
        }
        if symbols.len() > self.octets_max.saturating_sub(self.octets) {
            return Err(Error::BufferFull);
        }
        self.octets += symbols.len();
        self.repairs.insert((block, symbol_id), symbols);
        Ok(())
    }

    /// Says whether a datagram is wanted and not here.
    pub(super) fn is_missing(&self, index: u16) -> bool {
        !self.held.contains(&index) && !self.unwanted.contains(&index)
    }

    /// Goes through the blocks of which something is missing, and says how many repairs more would do.
    pub(super) fn missing(&self) -> impl Iterator<Item = (u8, u8)> {
        let blocks = self.shape.into_iter().flat_map(|shape| shape.block_numbers());
        blocks.map(|block| (block, self.missing_of(block))).filter(|(_, missing)| *missing > 0)
    }

    /// Says what is missing, in the words of a report.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let Some(shape) = self.shape else { return Vec::new() };
        let mut entries: Vec<Entry> = Vec::new();
        for (block, missing) in self.missing() {
            let mut open = false;
            for number in 0..shape.datagrams_of(block) as u8 {
                if !self.is_missing(shape.index(Place { block, number })) {
                    open = false;
                    continue;
                }
                match entries.last_mut().filter(|_| open) {
                    Some(entry) => entry.last = number,
                    None => entries.push(Entry { block, first: number, last: number, missing }),
                }
                open = true;
            }
        }
        entries
    }

    /// Tries to recover a block, and returns the datagrams that it lacked.
    pub(super) fn recover(&mut self, block: u8) -> Result<Vec<(u16, Vec<u8>)>, Error> {
        let Some(shape) = self.shape else { return Ok(Vec::new()) };
        if self.missing_of(block) == 0 {
            self.drop_block(block);
            return Ok(Vec::new());
        }
        if self.kept(block) < shape.symbols(block) {
            return Ok(Vec::new());
        }
        let first = shape.first(block);
        let sources = self.sources.range(Self::indices(&shape, block));
        let sources = sources.map(|(index, octets)| ((index - first) as u8, &octets[..]));
        let repairs = self.repairs.range((block, 0)..=(block, u32::MAX));
        let repairs = repairs.map(|((_, symbol_id), octets)| (*symbol_id, &octets[..]));
        match code::decode_block(&shape, block, sources, repairs) {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(datagrams)) => {
                let lacked = (first..).zip(datagrams).filter(|(index, _)| self.held.insert(*index));
                let lacked: Vec<_> = lacked.collect();
                self.recovered.insert(block, lacked.iter().map(|(index, _)| *index).collect());
                self.drop_block(block);
                Ok(lacked)
            }
            Err(error) => {
                self.drop_repairs(block);
                Err(error)
            }
        }
    }

    /// Forgets what was recovered together with the datagram at `index`, and from what.
    pub(super) fn reject(&mut self, index: u16) {
        let Some(block) = self.block_of(index) else { return };
        for index in self.recovered.remove(&block).unwrap_or_default() {
            self.held.remove(&index);
        }
        self.drop_repairs(block);
    }

    /// Says how many repairs more of a block would do: none if nothing of it is missing, one at least otherwise,
    /// also if there are as many symbols as it has already, which do not always determine the block; 255 at most.
    fn missing_of(&self, block: u8) -> u8 {
        let Some(shape) = self.shape.filter(|shape| shape.has_block(block)) else { return 0 };
        if !Self::indices(&shape, block).any(|index| self.is_missing(index)) {
            return 0;
        }
        let symbols = shape.symbols(block).saturating_sub(self.kept(block));
        u8::try_from(symbols.div_ceil(shape.bundle().into()).max(1)).unwrap_or(u8::MAX)
    }

    /// Says how many symbols of a block are kept.
    fn kept(&self, block: u8) -> u32 {
        let Some(shape) = self.shape else { return 0 };
        let sources = self.sources.range(Self::indices(&shape, block)).count() as u32;
        let repairs = self.repairs.range((block, 0)..=(block, u32::MAX)).count() as u32;
        sources * u32::from(shape.parts()) + repairs * u32::from(shape.bundle())
    }

    fn indices(shape: &Shape, block: u8) -> std::ops::Range<u16> {
        shape.first(block)..shape.first(block) + shape.datagrams_of(block)
    }

    /// Drops what cannot help any more.
    fn purge(&mut self) {
        let Some(shape) = self.shape else { return };
        for block in shape.block_numbers() {
            if self.missing_of(block) == 0 {
                self.drop_block(block);
            }
        }
    }

    fn drop_block(&mut self, block: u8) {
        let Some(shape) = self.shape else { return };
        for index in Self::indices(&shape, block) {
            self.octets -= self.sources.remove(&index).map_or(0, |octets| octets.len());
        }
        self.drop_repairs(block);
    }

    fn drop_repairs(&mut self, block: u8) {
        let dropped: Vec<_> =
            self.repairs.range((block, 0)..=(block, u32::MAX)).map(|(key, _)| *key).collect();
        for key in dropped {
            self.octets -= self.repairs.remove(&key).map_or(0, |octets| octets.len());
        }
    }
}
