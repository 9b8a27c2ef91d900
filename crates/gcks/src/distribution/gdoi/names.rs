//! Nodes and keys of the tree as GDOI names them.

use claviger_crypto::SecretBytes;
use claviger_gdoi::{lkh, lkh_32, push::KekMaterial, wire::lkh_32::PathArray};
use claviger_group::CookiePair;
use claviger_keypath::{KeyRef, NodeId};
use claviger_keytree::Leaf;
use claviger_keywrap::Engine;

use super::Voice;

/// The octets of an IV.
const IV_LEN: usize = 16;

impl Voice<'_> {
    /// Names nodes and their keys as RFC 6407 does. The tree keeps bare keys; the IV that goes with each is derived
    /// from it, all at once.
    pub(super) fn links(&self, keys: &[(NodeId, KeyRef<'_>)]) -> Vec<lkh::Link> {
        let mut ivs = vec![0; keys.len() * IV_LEN];
        Engine::best()
            .derive_iv(keys.iter().map(|(_, key)| key.key), &mut ivs)
            .expect("the keys of a tree have one length");
        let (ivs, _) = ivs.as_chunks::<IV_LEN>();
        let link = |((node, key), iv): (&(NodeId, KeyRef<'_>), &[u8; IV_LEN])| {
            let id = self.group.lkh_ids.id(*node).expect("the policy keeps the tree within 16-bit LKH ids");
            lkh::Link::new(id, key.handle.as_u32(), *iv, key.key)
        };
        keys.iter().zip(ivs).map(link).collect()
    }

    /// Names a member's path as LKH-32 does.
    pub(super) fn path_array(&self, leaf: Leaf) -> PathArray {
        let path = self.group.tree.path(leaf).expect("a member has a leaf");
        let (first, _) = *path.first().expect("a path begins with its leaf");
        let keys = path.iter().map(|(_, key)| (key.handle, SecretBytes::copy_of(key.key)));
        PathArray { degree: self.group.tree.degree(), first, keys: keys.collect() }
    }
}

/// Names a KEK, a key of the root of a tree, as both ends derive it.
pub(super) fn kek_material(spi: CookiePair, key: &[u8]) -> KekMaterial {
    lkh_32::kek_material(spi, key).expect("a tree's keys have 16 or 32 octets")
}
