//! Every key against every datagram.
//!
//! What a host could decrypt is not what it did decrypt: its keys are taken to the whole recording, and what they
//! open there that is a key itself joins them, until nothing new opens. Signatures and sequence numbers, which an
//! honest member heeds, stop nobody here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use claviger_crypto::provider;
use claviger_esp::InboundSa;
use claviger_gdoi::{
    lkh::KeyArray,
    push::{RekeySa, VerifiedRekey},
    wire::header,
};
use claviger_group::{Spi, Tek};
use claviger_member::{Ledger, ledger::LedgerRekey};

use super::recording::Entry;

/// Adds to a ledger every key that its keys open in the recorded rekey messages.
pub(super) fn close(ledger: &mut Ledger, pushes: &[Entry]) {
    loop {
        let before = (ledger.teks.len(), ledger.rekeys.len());
        for push in pushes {
            for message in opened(ledger, &push.octets) {
                learn(ledger, &message);
            }
        }
        if (ledger.teks.len(), ledger.rekeys.len()) == before {
            return;
        }
    }
}

/// Opens a rekey message with every rekey SA of a ledger.
pub(super) fn opened(ledger: &Ledger, datagram: &[u8]) -> Vec<VerifiedRekey> {
    let Some((_, cookies)) = header::peek(datagram) else { return Vec::new() };
    let held = ledger.rekeys.iter().filter(|rekey| rekey.kek.spi == cookies);
    held.filter_map(|rekey| rekey_sa(rekey)?.open(datagram).ok()).collect()
}

fn rekey_sa(rekey: &LedgerRekey) -> Option<RekeySa> {
    let signature = rekey.signing_key.algorithm();
    RekeySa::new(provider(), rekey.kek.clone(), rekey.signing_key.clone(), signature, 0).ok()
}

fn learn(ledger: &mut Ledger, message: &VerifiedRekey) {
    let (Some(sa), Some(kd)) = (message.sa(), message.kd()) else { return };
    for policy in &sa.teks {
        let keys = kd.teks.iter().find(|(spi, _)| *spi == policy.spi);
        if let Some(tek) = keys.and_then(|(_, keys)| policy.to_tek(keys).ok()) {
            ledger.enter_tek(&tek);
        }
    }
    let (Some(kek), Some(lkh)) = (&sa.kek, &kd.lkh) else { return };
    let arrays: Vec<KeyArray> = ledger.rekeys.iter().filter_map(|rekey| rekey.lkh.clone()).collect();
    let signing_key = ledger.rekeys[0].signing_key.clone();
    for mut array in arrays {
        let Ok(staged) = array.apply(&lkh.updates, provider(), kek.cipher) else { continue };
        let material = staged.kek(kek.spi);
        array.commit(staged);
        if let Ok(sa) = RekeySa::new(provider(), material, signing_key.clone(), kek.signature, 0) {
            ledger.enter_rekey(&sa, Some(&array));
        }
    }
}

/// What a ledger opens of the recorded data: the payload of each datagram, or nothing.
pub(super) fn open_data(ledger: &Ledger, data: &[Entry]) -> Vec<Option<Vec<u8>>> {
    let spis: BTreeSet<Spi> = data.iter().filter_map(|entry| spi_of(&entry.octets)).collect();
    // Under each SPI that was seen, each key that was held: an SPI is only a name.
    let mut associations: BTreeMap<Spi, Vec<InboundSa>> = BTreeMap::new();
    for spi in spis {
        let under = |tek: &Tek| InboundSa::new(provider(), &Tek { spi, ..tek.clone() }, SENDER_ID_BITS).ok();
        associations.insert(spi, ledger.teks.iter().filter_map(under).collect());
    }
    data.iter().map(|entry| open_one(&mut associations, &entry.octets)).collect()
}

/// The sender ids of the demonstration's group.
const SENDER_ID_BITS: u8 = 16;

/// The octets of the UDP header inside.
const UDP_HEADER_LEN: usize = 8;

fn open_one(associations: &mut BTreeMap<Spi, Vec<InboundSa>>, datagram: &[u8]) -> Option<Vec<u8>> {
    let tried = associations.get_mut(&spi_of(datagram)?)?;
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let opened = tried.iter_mut().find_map(|association| association.open(source, datagram).ok())?;
    opened.payload.get(UDP_HEADER_LEN..).map(<[u8]>::to_vec)
}

/// Reads the SPI of an ESP datagram.
pub(super) fn spi_of(datagram: &[u8]) -> Option<Spi> {
    Spi::new(u32::from_be_bytes(*datagram.first_chunk()?))
}
