//! Every key against every datagram.
//!
//! What a host could decrypt is not what it did decrypt: its keys are taken to a whole recording, and what they
//! open there that is a key itself joins them, until nothing new opens. Signatures' keys, sequence numbers and
//! replay, which an honest member heeds, stop nobody here. Any key of the tree opens what was encrypted under it,
//! also from the middle of an update array that does not begin at a key held.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use claviger_crypto::CryptoProvider;
use claviger_esp::InboundSa;
use claviger_gdoi::{
    lkh::KeyArray,
    lkh_32::kek_material,
    push::{self, KekMaterial, RekeySa, VerifiedRekey},
    wire::{LkhUpdateArray, SaKek, lkh_32::Update},
};
use claviger_group::{CookiePair, Spi, Tek};
use claviger_isakmp::wire::Header;
use claviger_keypath::{Handle, NodeId, NodeKey};

use crate::{Ledger, ledger::LedgerRekey};

/// Adds to a ledger every key that its keys open in the recorded rekey messages.
pub fn close(ledger: &mut Ledger, provider: &CryptoProvider, pushes: &[&[u8]]) {
    loop {
        let nodes = |ledger: &Ledger| ledger.nodes.values().map(Vec::len).sum::<usize>();
        let count = |ledger: &Ledger| (ledger.teks.len(), ledger.rekeys.len(), nodes(ledger));
        let before = count(ledger);
        for push in pushes {
            for message in opened(ledger, provider, push) {
                learn(ledger, provider, &message);
            }
        }
        if count(ledger) == before {
            return;
        }
    }
}

/// Opens a rekey message with every KEK of a ledger, each under the message's cookies: those are only a name.
pub fn opened(ledger: &Ledger, provider: &CryptoProvider, datagram: &[u8]) -> Vec<VerifiedRekey> {
    let Some(cookies) = push::cookies(datagram) else { return Vec::new() };
    let open = |rekey: &LedgerRekey| rekey_sa(rekey, provider, cookies)?.open(datagram).ok();
    let held = ledger.rekeys.iter().filter(|rekey| begins_as_push(&rekey.kek, provider, datagram));
    held.filter_map(open).collect()
}

/// Says whether a KEK makes the first block of a message one: SEQ stands first in it, its length 8. It spares most
/// keys of a long history the rest.
fn begins_as_push(kek: &KekMaterial, provider: &CryptoProvider, datagram: &[u8]) -> bool {
    let Some(ciphertext) = datagram.get(Header::LEN..) else { return false };
    let (Some(mut block), Ok(cipher)) =
        (ciphertext.first_chunk::<16>().copied(), provider.cipher(kek.cipher))
    else {
        return false;
    };
    let Ok(key) = cipher.key(kek.key.expose()) else { return false };
    key.decrypt(&kek.iv, &mut block).is_ok() && block[1..4] == [0, 0, 8]
}

fn rekey_sa(rekey: &LedgerRekey, provider: &CryptoProvider, spi: CookiePair) -> Option<RekeySa> {
    let signature = rekey.signing_key.algorithm();
    let kek = KekMaterial { spi, ..rekey.kek.clone() };
    let sa = RekeySa::new(provider, kek, rekey.signing_key.clone(), signature, 0).ok()?;
    Some(sa.with_form(rekey.form))
}

fn learn(ledger: &mut Ledger, provider: &CryptoProvider, message: &VerifiedRekey) {
    let (Some(sa), Some(kd)) = (message.sa(), message.kd()) else { return };
    for policy in &sa.teks {
        let keys = kd.teks.iter().find(|(spi, _)| *spi == policy.spi);
        if let Some(tek) = keys.and_then(|(_, keys)| policy.to_tek(keys).ok()) {
            ledger.enter_tek(&tek);
        }
    }
    let Some(kek) = &sa.kek else { return };
    if let Some(update) = kd.lkh_32.as_ref().and_then(|lkh| lkh.update.as_ref()) {
        learn_nodes(ledger, kek, update);
    }
    let Some(lkh) = &kd.lkh else { return };
    let Some(signing_key) = ledger.rekeys.first().map(|rekey| rekey.signing_key.clone()) else { return };
    for tail in lkh.updates.iter().flat_map(tails) {
        // One path that holds the key is enough: what else it holds stays in the ledger.
        let starts =
            |held: &&KeyArray| held.keys().iter().any(|k| k.id == tail.id && k.handle == tail.handle);
        let held = ledger.rekeys.iter().rev().filter_map(|rekey| rekey.lkh.as_ref()).find(starts);
        let Some(mut array) = held.cloned() else { continue };
        let Ok(staged) = array.apply(std::slice::from_ref(&tail), provider, kek.cipher) else { continue };
        let material = staged.kek(kek.spi);
        array.commit(staged);
        if let Ok(sa) = RekeySa::new(provider, material, signing_key.clone(), kek.signature, 0) {
            enter(ledger, &sa.with_form(kek.form), array);
        }
    }
}

/// Unwraps every key of an update that any key of the ledger opens, with all advances, and makes the KEK of the root.
fn learn_nodes(ledger: &mut Ledger, kek: &SaKek, update: &Update) {
    let (head, mut more) = (*update.head(), true);
    let fresh = Handle::drawn(head.epoch);
    while std::mem::take(&mut more) {
        for (entry, wrapped) in update.entries() {
            let (Some(under), Some(handle)) = (entry.holder(head.degree), fresh) else { continue };
            let held = reach(ledger, under, entry.handle);
            for key in held.iter().filter_map(|held| held.unwrap_key(handle, wrapped).ok()) {
                more |= ledger.enter_node(entry.target, key);
            }
        }
    }
    let Some(signing_key) = ledger.rekeys.first().map(|rekey| rekey.signing_key.clone()) else { return };
    for root in reach(ledger, head.root, head.root_handle) {
        let Ok(material) = kek_material(kek.spi, root.key()) else { continue };
        let is_known = |held: &LedgerRekey| held.kek.spi == kek.spi && held.kek.key == material.key;
        if !ledger.rekeys.iter().any(is_known) {
            let signing_key = signing_key.clone();
            ledger.rekeys.push(LedgerRekey { kek: material, signing_key, form: kek.form, lkh: None });
        }
    }
}

/// Finds the keys of a node that a handle names, and those that advances lead from to it.
fn reach(ledger: &Ledger, node: NodeId, handle: Handle) -> Vec<NodeKey> {
    let held = ledger.nodes.range((node, Handle::from_u32(0))..=(node, handle)).flat_map(|(_, keys)| keys);
    held.filter_map(|key| key.advanced_to(handle)).collect()
}

/// Enters a rekey SA, once for each path of keys that leads to it.
fn enter(ledger: &mut Ledger, sa: &RekeySa, array: KeyArray) {
    let spi = sa.kek().spi;
    if !ledger.rekeys.iter().any(|held| held.kek.spi == spi && held.lkh.as_ref() == Some(&array)) {
        let (kek, signing_key) = (sa.kek().clone(), sa.signing_key().clone());
        ledger.rekeys.push(LedgerRekey { kek, signing_key, form: sa.form(), lkh: Some(array) });
    }
}

/// Cuts an update array at each of its keys: what follows a key is encrypted under it.
fn tails(array: &LkhUpdateArray) -> Vec<LkhUpdateArray> {
    let begins_at = |position: usize| {
        let (id, handle) = match position.checked_sub(1).map(|before| &array.keys[before]) {
            Some(before) => (before.id, before.handle),
            None => (array.id, array.handle),
        };
        LkhUpdateArray { id, handle, keys: array.keys[position..].to_vec() }
    };
    (0..array.keys.len()).map(begins_at).collect()
}

/// Opens recorded data with every data key of a ledger: the payload of each datagram, or nothing. An SPI is only a
/// name, so that each key is tried under each that was seen.
pub fn open_data(
    ledger: &Ledger,
    provider: &CryptoProvider,
    sender_id_bits: u8,
    data: &[&[u8]],
) -> Vec<Option<Vec<u8>>> {
    let spis: BTreeSet<Spi> = data.iter().filter_map(|datagram| spi_of(datagram)).collect();
    let mut associations: BTreeMap<Spi, Vec<InboundSa>> = BTreeMap::new();
    for spi in spis {
        let under = |tek: &Tek| InboundSa::new(provider, &Tek { spi, ..tek.clone() }, sender_id_bits).ok();
        associations.insert(spi, ledger.teks.iter().filter_map(under).collect());
    }
    data.iter().map(|datagram| open_one(&associations, datagram)).collect()
}

fn open_one(associations: &BTreeMap<Spi, Vec<InboundSa>>, datagram: &[u8]) -> Option<Vec<u8>> {
    let tried = associations.get(&spi_of(datagram)?)?;
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    tried.iter().find_map(|association| association.read(source, datagram).ok()).map(|o| o.payload)
}

/// Reads the SPI of an ESP datagram.
pub fn spi_of(datagram: &[u8]) -> Option<Spi> {
    Spi::new(u32::from_be_bytes(*datagram.first_chunk()?))
}
