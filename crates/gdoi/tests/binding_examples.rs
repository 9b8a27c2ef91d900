//! The worked examples of docs/hip-gdoi-binding.md sections 7.4 and 7.5, octet by octet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, hash_tree::Node};
use claviger_gdoi::{
    lkh_32::{Wrap, kek_material, pack},
    wire::lkh_32::PathArray,
};
use claviger_group::CookiePair;
use claviger_keypath::{Degree, Handle, NodeId, UpdateHead};
use claviger_keywrap::{Engine, Job};
use claviger_wire::Writer;

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The document with its white space made single, so that examples may be broken into lines.
fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hip-gdoi-binding.md");
    std::fs::read_to_string(path).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_documented(what: &str, octets: &[u8]) {
    let line = |octets: &[u8]| hex(octets);
    let text = octets.chunks(32).map(line).collect::<Vec<_>>().join(" ");
    assert!(document().contains(&text), "{what}: {text}");
}

fn key(first: u8) -> Vec<u8> {
    (first..first + 16).collect()
}

#[test]
fn a_departure_from_a_tree_of_four() {
    // Leaves 0 to 3 of degree 2; the keys of leaf 2, (1,1) and the root; (1,1) was advanced once since.
    let degree = Degree::new(2).unwrap();
    let node = |level, index| NodeId::new(level, index).unwrap();
    let handle = |epoch, advances| Handle::new(epoch, advances).unwrap();
    let keys = [(1, 0x10), (1, 0x20), (2, 0x30)];
    let keys = keys.map(|(epoch, first)| (handle(epoch, 0), SecretBytes::new(key(first)))).to_vec();
    let path = PathArray { degree, first: node(0, 2), keys };
    let mut w = Writer::new();
    path.encode(&mut w).unwrap();
    assert_documented("path", w.octets());

    let engine = Engine::best();
    let advanced = engine.advance_one(&key(0x20)).unwrap();
    assert_documented("advance", advanced.expose());
    let root = key(0x40);
    assert_documented("IV", &engine.derive_iv_one(&root).unwrap());
    let wrapped = engine.wrap_one(Job { under: advanced.expose(), plaintext: &root }).unwrap();
    assert_documented("wrapped key", &wrapped);

    // Leaf 1 departs in epoch 3: the root is new, under (1,0), which concerns others, and under (1,1).
    let head = UpdateHead { degree, key_len: 16, epoch: 3, root: node(2, 0), root_handle: handle(3, 0) };
    let wrap = Wrap { target: node(2, 0), under: node(1, 1), handle: handle(1, 1), wrapped: &wrapped };
    let update = pack(head, [wrap], 1000).unwrap().remove(0);
    let mut w = Writer::new();
    update.encode(&mut w).unwrap();
    assert_documented("update", w.octets());

    let cipher = CipherAlgorithm::Aes128Cbc;
    let held = path.to_path(cipher).unwrap();
    let (_, staged) = held.gather(update.head(), update.entries(), cipher.into()).unwrap();
    let kek = kek_material(CookiePair([7; 16]), staged.unwrap().path().root().key()).unwrap();
    assert_eq!(kek.key.expose(), root);
}

#[test]
fn three_messages_under_one_root() {
    let leaves = [&b"a"[..], b"b", b"c"].map(|content| Node::leaf(&[content]));
    let tree = claviger_crypto::hash_tree::HashTree::new(leaves).unwrap();
    assert_documented("root", &tree.root().0);
    let branch: Vec<&Node> = tree.branch(2).collect();
    assert_eq!(branch.len(), 1);
    assert_documented("branch", &branch[0].0);
}
