//! A node of a key tree.

use claviger_crypto::SecretBytes;
use claviger_group::GroupId;
use claviger_keytree::{Handle, KeyRef, NodeId, NodeKey};
use claviger_sansio::durable::RecordKey;
use claviger_wire::{DecodeError, Reader};

pub(crate) fn key(group: &GroupId, node: NodeId) -> RecordKey {
    let mut item = vec![node.level()];
    item.extend_from_slice(&node.index().to_be_bytes());
    RecordKey::new(super::scope(group), item)
}

pub(crate) fn node_of(item: &[u8]) -> Result<NodeId, DecodeError> {
    let mut r = Reader::new(item);
    let (level, index) = (r.u8("node level")?, r.u32("node index")?);
    r.finish()?;
    NodeId::new(level, index).ok_or(DecodeError::Value { field: "node index", value: index.into() })
}

pub(crate) fn encode(key: KeyRef<'_>) -> Vec<u8> {
    super::encode(|w| {
        w.u32(key.handle.as_u32());
        w.slice(key.key);
    })
}

pub(crate) fn decode(octets: &[u8]) -> Result<NodeKey, DecodeError> {
    super::decode(octets, |r| {
        let handle = Handle::from_u32(r.u32("key handle")?);
        let key = SecretBytes::copy_of(r.take_rest());
        NodeKey::new(handle, key).ok_or(DecodeError::Length { field: "node key" })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_nodes_that_a_tree_can_have() {
        let group: GroupId = "north".parse().unwrap();
        let node = NodeId::new(3, 5).unwrap();
        let item = key(&group, node).item;
        assert_eq!((item.as_slice(), node_of(&item)), (&[3, 0, 0, 0, 5][..], Ok(node)));
        for item in [&[32, 0, 0, 0, 5][..], &[3, 8, 0, 0, 0], &[3, 0, 0, 0], &[3, 0, 0, 0, 5, 0]] {
            assert!(node_of(item).is_err(), "{item:?}");
        }
    }
}
