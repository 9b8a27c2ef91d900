//! What is stored of a place.

use claviger_keypath::NodeId;

use super::{Place, PlaceError};

/// A place and the subtrees that are bound to it: the store keeps it beside the tree, and writes it anew when it
/// changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The place.
    pub place: Place,
    /// The height of its subtrees: each has k to this power leaves.
    pub height: u8,
    /// The subtrees, ascending.
    pub subtrees: Vec<NodeId>,
}

/// The octets before the subtrees, and those of each subtree.
const HEAD_LEN: usize = 9;
const SUBTREE_LEN: usize = 4;

impl Binding {
    /// Encodes the binding: place (8 octets), height (1 octet), and the index of each subtree (4 octets each), most
    /// significant octets first.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(HEAD_LEN + self.subtrees.len() * SUBTREE_LEN);
        octets.extend_from_slice(&self.place.value().to_be_bytes());
        octets.push(self.height);
        for subtree in &self.subtrees {
            octets.extend_from_slice(&subtree.index().to_be_bytes());
        }
        octets
    }

    /// Decodes what [`Binding::to_octets`] made.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Malformed`] unless the octets are exactly an encoded binding with ascending subtrees.
    pub fn from_octets(octets: &[u8]) -> Result<Self, PlaceError> {
        let (place, rest) = octets.split_first_chunk().ok_or(PlaceError::Malformed)?;
        let (height, rest) = rest.split_first().ok_or(PlaceError::Malformed)?;
        let (indices, rest) = rest.as_chunks::<SUBTREE_LEN>();
        if !rest.is_empty() || !indices.is_sorted_by(|one, next| one < next) {
            return Err(PlaceError::Malformed);
        }
        let subtree = |index: &[u8; SUBTREE_LEN]| NodeId::new(*height, u32::from_be_bytes(*index));
        let subtrees = indices.iter().map(subtree).collect::<Option<_>>().ok_or(PlaceError::Malformed)?;
        Ok(Self { place: Place::new(u64::from_be_bytes(*place)), height: *height, subtrees })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::node_at;

    #[test]
    fn decodes_what_it_encodes_and_nothing_else() {
        let subtrees = vec![node_at(2, 3), node_at(2, 0x0102_0304)];
        let binding = Binding { place: Place::new(7), height: 2, subtrees };
        let octets = binding.to_octets();
        assert_eq!(octets, [0, 0, 0, 0, 0, 0, 0, 7, 2, 0, 0, 0, 3, 1, 2, 3, 4]);
        assert_eq!(Binding::from_octets(&octets), Ok(binding));
        for length in (0..octets.len()).filter(|length| ![9, 13].contains(length)) {
            assert_eq!(Binding::from_octets(&octets[..length]), Err(PlaceError::Malformed), "{length}");
        }
        let descending = [&octets[..9], &octets[13..], &octets[9..13]].concat();
        assert_eq!(Binding::from_octets(&descending), Err(PlaceError::Malformed));
        let beyond = [&octets[..13], &u32::MAX.to_be_bytes()].concat();
        assert_eq!(Binding::from_octets(&beyond), Err(PlaceError::Malformed), "no node has this index");
        let twice = [&octets[..], &octets[13..]].concat();
        assert_eq!(Binding::from_octets(&twice), Err(PlaceError::Malformed));
    }
}
