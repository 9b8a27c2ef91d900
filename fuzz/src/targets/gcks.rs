//! The whole key server with one closed group, opposite a host with real keys and no manners. What it stores must
//! always restore, and a host that is not allowed must get nothing. Time passes by the high bits of a piece's kind.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use claviger_crypto::{SecretBytes, SeededRandom, provider, sign::KeyAlgorithm};
use claviger_gcks::{Gcks, GcksConfig, Record, view::GroupView};
use claviger_isakmp::iana::ExchangeType;
use claviger_group::{GroupPolicy, Role};
use claviger_hip::iana::PacketType;
use claviger_sansio::{
    Socket, Time,
    durable::{Change, Receipt, RecordKey, Table},
};

use crate::{
    group::{self, NOW},
    hip::{self, Parameters},
    isakmp::{self, Exchange},
    script,
};

const DATAGRAMS_MAX: usize = 12;

/// After this time a rekey for who departed has taken place.
const REKEYED: Duration = Duration::from_secs(2);

type Store = BTreeMap<(&'static str, Vec<u8>, Vec<u8>), (Table, RecordKey, SecretBytes)>;

fn config() -> GcksConfig {
    let push_source_v4 = Some([192, 0, 2, 1].into());
    GcksConfig {
        hip: hip::config(),
        provider: provider(),
        gdoi_port: 848,
        push_source_v4,
        push_source_v6: None,
    }
}

/// Stores what must be stored, and returns the datagrams that may leave then.
fn commit(gcks: &mut Gcks, now: Time, store: &mut Store) -> Vec<(Socket, Vec<u8>)> {
    let Some(staged) = gcks.stage(now) else { return Vec::new() };
    let Ok(durable) = staged.commit(|changes| Ok::<_, Infallible>(store_all(store, changes)));
    let mut released = gcks.release(durable);
    while released.poll_event().is_some() {}
    let mut left = Vec::new();
    while let Some(dispatch) = released.poll_transmit() {
        let sent = dispatch.send(now);
        left.push((sent.socket, sent.payload));
    }
    left
}

fn store_all<'c>(store: &mut Store, changes: &'c [Change]) -> Receipt<'c> {
    for change in changes.iter().cloned() {
        match change {
            Change::Put { table, key, value } => {
                store.insert((table.name(), key.scope.clone(), key.item.clone()), (table, key, value));
            }
            Change::Remove { table, key } => {
                store.remove(&(table.name(), key.scope, key.item));
            }
            Change::RemoveScope { table, scope } => {
                store.retain(|(name, held, _), _| *name != table.name() || *held != scope);
            }
        }
    }
    Receipt::attest(changes)
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let Some((&[flags], script)) = input.split_first_chunk() else { return };
    let is_allowed = flags & 1 == 1;
    let mut now = NOW;
    let mut store = Store::new();
    let random = |seed| Box::new(SeededRandom::new(seed));
    let mut gcks = Gcks::new(config(), random(1), NOW).expect("the configuration is usable");
    let mut policy = GroupPolicy::new(group::tek().channel);
    policy.rekey.signature = KeyAlgorithm::Ed25519;
    gcks.add_group(NOW, group::id(), policy).expect("the policy is coherent");
    if is_allowed {
        gcks.allow(now, &group::id(), &hip::peer_hit().into(), Role::Both).expect("the group exists");
    }
    commit(&mut gcks, now, &mut store);

    let (i2, keymat) = hip::call(|i1| {
        gcks.handle_datagram(NOW, i1).expect("I1 is as it should be");
        let (_, r1) = commit(&mut gcks, now, &mut store).pop().expect("I1 is answered");
        r1
    });
    let sa = hip::registration(&keymat, true);
    let mut i2 = Some(i2);
    let mut exchanges = [Exchange::under(&sa, 1), Exchange::under(&sa, 2)];
    for (kind, piece) in script::pieces(script).take(DATAGRAMS_MAX) {
        now = now + Duration::from_secs((kind >> 4).into());
        let exchange = &mut exchanges[usize::from(kind >> 3 & 1)];
        let made_up = || Parameters::default().made_up(piece);
        let (is_hip, octets) = match kind & 7 {
            0 => (true, Some(piece.to_vec())),
            1 => match i2.take() {
                Some(i2) => (true, hip::protected(PacketType::I2, i2.made_up(piece), &keymat)),
                None => (true, hip::protected(PacketType::UPDATE, made_up(), &keymat)),
            },
            2 => (true, hip::protected(PacketType::UPDATE, made_up(), &keymat)),
            3 => (true, hip::protected(PacketType::CLOSE, made_up(), &keymat)),
            4 => (true, hip::plain(PacketType::UPDATE, &made_up())),
            5 => (false, Some(exchange.seal(ExchangeType::GROUPKEY_PULL, &isakmp::chain(piece)))),
            6 => (false, Some(exchange.seal(ExchangeType::INFORMATIONAL, &isakmp::chain(piece)))),
            _ => (false, Some(piece.to_vec())),
        };
        let Some(octets) = octets else { continue };
        let datagram = if is_hip { hip::datagram(&octets) } else { hip::gdoi_datagram(&octets) };
        let _ = gcks.handle_datagram(now, datagram);
        gcks.handle_timeout(now);
        for (socket, octets) in commit(&mut gcks, now, &mut store) {
            let exchange = exchanges.iter_mut().find(|exchange| exchange.is_of(&octets));
            if let (Socket::Port848, Some(exchange)) = (socket, exchange) {
                exchange.follow(&octets);
            }
        }
    }

    // Whoever departed a moment ago is a member until the next rekey.
    now = now + REKEYED;
    gcks.handle_timeout(now);
    commit(&mut gcks, now, &mut store);
    let view = gcks.group(now, &group::id()).expect("nobody removed the group");
    assert!(is_allowed || (view.members, view.senders) == (0, 0), "a closed group stays closed");
    let records: Vec<Record> = store.into_values().collect();
    let again = Gcks::restore(config(), random(2), now, &records).expect("what is stored restores");
    let restored = again.group(now, &group::id()).expect("the group is stored");
    assert_eq!((restored.members, restored.senders), (view.members, view.senders));
    let kek = |view: &GroupView| view.kek.map(|kek| (kek.spi, kek.sequence));
    assert_eq!(kek(&restored), kek(&view));
}
