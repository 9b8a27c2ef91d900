//! The keys of one level of the tree, kept in segments.
//!
//! A segment holds the handles and keys of neighbouring nodes in flat arrays. Segments come and go one by one, so
//! that a level grows without copying, gives memory back as it empties, and costs nothing where it is vacant.

use std::collections::BTreeMap;

use claviger_crypto::SecretBytes;
use zeroize::Zeroizing;

use crate::{KeyLength, NodeKey};

/// Nodes in a segment: few enough that a small group stays small, and enough that the map of segments is a small
/// part of a large one.
const SEGMENT_NODES: u32 = 64;

/// The handle of a vacant place. Epochs count from 1.
const VACANT: u32 = 0;

/// The keys of one level.
pub(crate) struct Level {
    material_len: usize,
    segments: BTreeMap<u32, Segment>,
}

struct Segment {
    occupied: u32,
    handles: [u32; SEGMENT_NODES as usize],
    material: Zeroizing<Box<[u8]>>,
}

impl Level {
    /// Makes a level without nodes.
    pub(crate) fn new(key_length: KeyLength) -> Self {
        Self { material_len: key_length.material_len(), segments: BTreeMap::new() }
    }

    /// Sets the key of a node, and brings the node into being if it is not there. `handle` is not 0, and
    /// `material` has the level's length.
    pub(crate) fn set(&mut self, index: u32, handle: u32, material: &[u8]) {
        debug_assert_ne!(handle, VACANT, "handles count from 1");
        let length = self.material_len;
        let segment = self.segments.entry(index / SEGMENT_NODES).or_insert_with(|| Segment::new(length));
        let place = (index % SEGMENT_NODES) as usize;
        if segment.handles[place] == VACANT {
            segment.occupied += 1;
        }
        segment.handles[place] = handle;
        segment.material[place * length..][..length].copy_from_slice(material);
    }

    /// Erases a node.
    pub(crate) fn remove(&mut self, index: u32) {
        let number = index / SEGMENT_NODES;
        let Some(segment) = self.segments.get_mut(&number) else { return };
        let place = (index % SEGMENT_NODES) as usize;
        if segment.handles[place] == VACANT {
            return;
        }
        segment.handles[place] = VACANT;
        segment.material[place * self.material_len..][..self.material_len].fill(0);
        segment.occupied -= 1;
        if segment.occupied == 0 {
            self.segments.remove(&number);
        }
    }

    /// Says whether there is a node at `index`.
    pub(crate) fn is_occupied(&self, index: u32) -> bool {
        self.segments
            .get(&(index / SEGMENT_NODES))
            .is_some_and(|segment| segment.handles[(index % SEGMENT_NODES) as usize] != VACANT)
    }

    /// Copies the key of the node at `index`.
    pub(crate) fn key(&self, index: u32) -> Option<NodeKey> {
        self.segments.get(&(index / SEGMENT_NODES))?.key((index % SEGMENT_NODES) as usize, self.material_len)
    }

    /// Returns the highest occupied index.
    pub(crate) fn last(&self) -> Option<u32> {
        let (number, segment) = self.segments.last_key_value()?;
        let place = segment.handles.iter().rposition(|handle| *handle != VACANT)?;
        Some(number * SEGMENT_NODES + place as u32)
    }

    /// Goes through the nodes in the order of their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, NodeKey)> {
        let material_len = self.material_len;
        self.segments.iter().flat_map(move |(number, segment)| {
            (0..SEGMENT_NODES).filter_map(move |place| {
                let key = segment.key(place as usize, material_len)?;
                Some((number * SEGMENT_NODES + place, key))
            })
        })
    }

    /// Goes through the occupied indices in order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().flat_map(|(number, segment)| {
            (0..SEGMENT_NODES)
                .filter(|place| segment.handles[*place as usize] != VACANT)
                .map(move |place| number * SEGMENT_NODES + place)
        })
    }
}

impl Segment {
    fn new(material_len: usize) -> Self {
        Self {
            occupied: 0,
            handles: [VACANT; SEGMENT_NODES as usize],
            material: Zeroizing::new(vec![0; SEGMENT_NODES as usize * material_len].into()),
        }
    }

    fn key(&self, place: usize, material_len: usize) -> Option<NodeKey> {
        let handle = self.handles[place];
        if handle == VACANT {
            return None;
        }
        NodeKey::new(handle, SecretBytes::copy_of(&self.material[place * material_len..][..material_len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_set_and_forgets_what_was_removed() {
        let mut level = Level::new(KeyLength::Octets16);
        for index in [0, 63, 64, 1000, u32::MAX] {
            level.set(index, index / 2 + 1, &[index as u8; 32]);
        }
        level.set(64, 99, &[7; 32]);
        assert_eq!(level.key(64).unwrap().handle, 99);
        assert_eq!(level.key(64).unwrap().material(), [7; 32]);
        assert_eq!(level.key(65), None);
        assert_eq!(level.indices().collect::<Vec<_>>(), [0, 63, 64, 1000, u32::MAX]);
        assert_eq!(level.iter().map(|(index, _)| index).collect::<Vec<_>>(), [0, 63, 64, 1000, u32::MAX]);
        assert_eq!(level.last(), Some(u32::MAX));
        level.remove(u32::MAX);
        level.remove(u32::MAX);
        assert_eq!(level.last(), Some(1000));
        assert_eq!(level.segments.len(), 3);
        for index in [0, 63, 64, 1000] {
            level.remove(index);
        }
        assert!(level.segments.is_empty());
    }

    #[test]
    fn erases_the_key_of_a_removed_node() {
        let mut level = Level::new(KeyLength::Octets32);
        level.set(3, 1, &[0xaa; 48]);
        level.set(4, 1, &[0xbb; 48]);
        level.remove(3);
        assert!(!level.segments[&0].material.contains(&0xaa));
        assert!(level.segments[&0].material.contains(&0xbb));
    }
}
