//! The few figures that are stored beside the nodes.

use claviger_keypath::{Degree, KeyLength};

use crate::{CAPACITY_MAX, Inconsistency, Joining, TreeConfig, TreeError};

/// What a tree is besides its nodes: the store keeps it, and writes it anew with each [`Rekey`](crate::Rekey).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The settings of the tree.
    pub config: TreeConfig,
    /// The depth d: the level of the root.
    pub depth: u8,
    /// The rekeys so far, counted from 1 for the first root key.
    pub epoch: u32,
    /// The members.
    pub members: u32,
}

impl Header {
    /// The octets of an encoded header.
    pub const LEN: usize = 16;

    /// Encodes the header: degree, key length in octets, joining (0 replaces, 1 advances) and depth, 1 octet each;
    /// capacity, epoch and members, 4 octets each, most significant first.
    pub fn to_octets(&self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[0] = self.config.degree.k();
        octets[1] = self.config.key_length.octets() as u8;
        octets[2] = match self.config.joining {
            Joining::Replace => 0,
            Joining::Advance => 1,
        };
        octets[3] = self.depth;
        octets[4..8].copy_from_slice(&self.config.capacity.to_be_bytes());
        octets[8..12].copy_from_slice(&self.epoch.to_be_bytes());
        octets[12..].copy_from_slice(&self.members.to_be_bytes());
        octets
    }

    /// Decodes what [`Header::to_octets`] made.
    ///
    /// # Errors
    ///
    /// [`Inconsistency::Header`] unless the octets are exactly an encoded header.
    pub fn from_octets(octets: &[u8]) -> Result<Self, TreeError> {
        let octets: &[u8; Self::LEN] = octets.try_into().map_err(|_| Inconsistency::Header)?;
        let [k, key_length, joining, depth, c0, c1, c2, c3, e0, e1, e2, e3, m0, m1, m2, m3] = *octets;
        let capacity = u32::from_be_bytes([c0, c1, c2, c3]);
        if capacity > CAPACITY_MAX {
            return Err(Inconsistency::Header.into());
        }
        let config = TreeConfig {
            degree: Degree::new(k).map_err(|_| Inconsistency::Header)?,
            key_length: match key_length {
                16 => KeyLength::Octets16,
                32 => KeyLength::Octets32,
                _ => return Err(Inconsistency::Header.into()),
            },
            capacity,
            joining: match joining {
                0 => Joining::Replace,
                1 => Joining::Advance,
                _ => return Err(Inconsistency::Header.into()),
            },
        };
        Ok(Self {
            config,
            depth,
            epoch: u32::from_be_bytes([e0, e1, e2, e3]),
            members: u32::from_be_bytes([m0, m1, m2, m3]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        config: TreeConfig {
            degree: Degree::MAX,
            key_length: KeyLength::Octets32,
            capacity: 0x0102_0304,
            joining: Joining::Advance,
        },
        depth: 9,
        epoch: 0x0506_0708,
        members: 0x090a_0b0c,
    };

    #[test]
    fn decodes_what_it_encodes() {
        let octets = HEADER.to_octets();
        assert_eq!(octets, [8, 32, 1, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(Header::from_octets(&octets), Ok(HEADER));
    }

    #[test]
    fn rejects_every_other_length_and_unknown_codes() {
        let octets = HEADER.to_octets();
        let malformed = Err(TreeError::Inconsistent(Inconsistency::Header));
        for length in 0..octets.len() {
            assert_eq!(Header::from_octets(&octets[..length]), malformed);
        }
        assert_eq!(Header::from_octets(&[&octets[..], &[0]].concat()), malformed);
        for (place, value) in [(0, 9), (0, 1), (1, 24), (2, 2), (4, 9)] {
            let mut changed = octets;
            changed[place] = value;
            assert_eq!(Header::from_octets(&changed), malformed);
        }
    }
}
