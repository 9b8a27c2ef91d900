//! A member's keys of the group's key tree, as the group's KEK management has them.

use claviger_gdoi::{
    Error,
    lkh::KeyArray,
    lkh_32::kek_material,
    push::KekMaterial,
    wire::{KeyDownload, SaKek},
};
use claviger_keypath::KeyPath;

/// The degree that a tree of RFC 6407's LKH is taken to have, which does not say it: what RFC 2627's costs are least for, and
/// the default of key servers here.
const LKH_DEGREE: u64 = 4;

/// The most leaves of such a tree, whose ids have 16 bits.
const LKH_LEAVES_MAX: u64 = 1 << 16;

/// The keys from a member's leaf to the root, which is the group KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeKeys {
    /// As RFC 6407 names and sends them.
    Lkh(KeyArray),
    /// Of a tree with 32-bit node ids.
    Lkh32(KeyPath),
}

impl TreeKeys {
    /// Takes the keys that a GROUPKEY-PULL brought for a rekey SA, with the KEK that they lead to; none if it brought
    /// none.
    ///
    /// # Errors
    ///
    /// Those of [`KeyArray::new`] and [`PathArray::to_path`](claviger_gdoi::wire::lkh_32::PathArray::to_path).
    pub(crate) fn downloaded(policy: &SaKek, kd: &KeyDownload) -> Result<Option<(Self, KekMaterial)>, Error> {
        if let Some(lkh) = kd.lkh.as_ref().filter(|lkh| lkh.spi == policy.spi)
            && let Some(download) = &lkh.download
        {
            let array = KeyArray::new(download, policy.cipher)?;
            let kek = array.kek(policy.spi);
            return Ok(Some((Self::Lkh(array), kek)));
        }
        if let Some(lkh) = kd.lkh_32.as_ref().filter(|lkh| lkh.spi == policy.spi)
            && let Some(download) = &lkh.path
        {
            let path = download.to_path(policy.cipher)?;
            let kek = kek_material(policy.spi, path.root().key())?;
            return Ok(Some((Self::Lkh32(path), kek)));
        }
        Ok(None)
    }

    /// Says how many members the tree has room for, which is about how many there are: it grows and shrinks with them.
    pub(crate) fn members_max(&self) -> u64 {
        let levels = self.count().saturating_sub(1) as u32;
        match self {
            Self::Lkh(_) => LKH_DEGREE.saturating_pow(levels).min(LKH_LEAVES_MAX),
            Self::Lkh32(path) => u64::from(path.degree().k()).saturating_pow(levels),
        }
    }

    /// Says how many keys these are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Lkh(array) => array.keys().len(),
            Self::Lkh32(path) => path.keys().len(),
        }
    }
}
