//! A stored key tree: its header and nodes. A tree that is accepted goes on as a sound one.

use claviger_crypto::{SecretBytes, SeededRandom};
use claviger_keytree::{
    Handle, Header, KeyTree, NodeId, NodeKey,
    lkh_id::LkhIds,
    place::{Place, Places},
};

/// A node in the input: level, index, handle.
const NODE_LEN: usize = 9;
/// The key server admits no more; a larger tree only slows the fuzzer.
const CAPACITY_MAX: u32 = 65_536;

fn node(octets: &[u8], header: &Header) -> Option<(NodeId, NodeKey)> {
    let [level, i0, i1, i2, i3, h0, h1, h2, h3] = octets.try_into().ok()?;
    let id = NodeId::new(level, u32::from_be_bytes([i0, i1, i2, i3]))?;
    let key = SecretBytes::new(vec![level; header.config.key_length.octets()]);
    Some((id, NodeKey::new(Handle::from_u32(u32::from_be_bytes([h0, h1, h2, h3])), key)?))
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let Some((header, nodes)) = input.split_at_checked(Header::LEN) else { return };
    let Ok(header) = Header::from_octets(header) else { return };
    assert_eq!(header.to_octets(), input[..Header::LEN]);
    if header.config.capacity > CAPACITY_MAX {
        return;
    }
    let nodes = nodes.chunks(NODE_LEN).filter_map(|octets| node(octets, &header));
    let Ok(mut tree) = KeyTree::restore(header, nodes) else { return };
    assert_eq!(tree.header(), header);
    for (id, _) in tree.nodes() {
        let _ = LkhIds::new(header.config.degree).id(id);
    }

    assert_eq!(restored(&tree).header(), header);
    let random = &mut SeededRandom::new(1);
    let leaving: Vec<_> = tree.leaves().take(1).collect();
    if let Ok(rekey) = tree.batch(1, &leaving, random) {
        assert_eq!(rekey.joined.len(), 1);
        restored(&tree);
    }
    // Places go on over it, if nobody sits outside them.
    if let Ok(mut places) = Places::restore(&tree, []) {
        let _ = places.bind(Place::new(1), 1);
    }
}

/// Makes a tree anew from what it would have stored.
fn restored(tree: &KeyTree) -> KeyTree {
    let nodes = tree.nodes().map(|(node, key)| (node, key.to_owned()));
    KeyTree::restore(tree.header(), nodes).expect("a tree restores from what it stores")
}
