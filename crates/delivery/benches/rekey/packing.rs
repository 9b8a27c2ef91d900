//! Wraps into datagrams, as a key server makes them: packed, sealed in one batch, with labels for those whom they are for.

use std::{collections::HashMap, rc::Rc, time::Duration};

use claviger_crypto::{
    SystemRandom,
    cipher::CipherAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_delivery::seal::Seal;
use claviger_gdoi::{
    KeyDownload, SaPayload,
    iana::kek::MANAGEMENT_LKH_32,
    limits::BATCH_LEN,
    lkh_32::pack,
    push::{self, KekMaterial, Push, control_room, seal_controls},
    wire::{Lkh32, SaKek, lkh_32::Update},
};
use claviger_group::{CookiePair, PushAuthentication};
use claviger_isakmp::wire::{Header, payload::GENERIC_LEN};
use claviger_keypath::NodeId;

use super::tree::Batch;

/// The octets of an IPv6 packet that every path carries, less IPv6 and UDP headers.
const UDP_LEN: usize = 1280 - 40 - 8;

/// How many controls share a signature, as with the key server.
const CONTROLS_SHARING: usize = 4;

const SPI: CookiePair = CookiePair([7; 16]);

/// A batch of datagrams, and whom they are for.
pub(crate) struct Packed {
    pub(crate) datagrams: Vec<Vec<u8>>,
    /// For each datagram the nodes below which members need it.
    pub(crate) labels: Vec<Vec<u32>>,
    /// For each member the nodes of its path.
    pub(crate) paths: Vec<Vec<u32>>,
    /// For each member the datagrams that it needs, ascending.
    pub(crate) needs: Vec<Vec<u16>>,
    /// For each datagram how many members need it.
    pub(crate) audience: Vec<u32>,
    signer: Rc<SigningKey>,
}

impl Packed {
    /// Takes every so-manieth member only.
    pub(crate) fn thinned(&self, step: usize) -> Self {
        let mut audience = vec![0; self.audience.len()];
        let needs: Vec<_> = self.needs.iter().step_by(step).cloned().collect();
        needs.iter().flatten().for_each(|index| audience[usize::from(*index)] += 1);
        Self {
            datagrams: self.datagrams.clone(),
            labels: self.labels.clone(),
            paths: self.paths.iter().step_by(step).cloned().collect(),
            needs,
            audience,
            signer: Rc::clone(&self.signer),
        }
    }

    /// Says how many octets a control may have before it is sealed.
    pub(crate) fn control_len_max(&self) -> usize {
        let room = control_room(UDP_LEN, self.signer.public(), CONTROLS_SHARING);
        room.expect("the key signs").expect("a datagram has room for a control")
    }

    /// Seals controls as the key server does.
    pub(crate) fn seal(&self) -> impl Seal + '_ {
        |payloads: Vec<Vec<u8>>| {
            let sealed = payloads.chunks(CONTROLS_SHARING).flat_map(|controls| {
                seal_controls(SPI, controls, &*self.signer)
                    .expect("the controls have the room that was found")
            });
            let sealed: Vec<Vec<u8>> = sealed.collect();
            assert!(sealed.iter().all(|octets| octets.len() <= UDP_LEN), "every path carries it");
            sealed
        }
    }
}

/// Finds the control in its message. Whose it is the receivers of a simulation know.
pub(crate) fn unsealed(message: &[u8]) -> &[u8] {
    let payload = &message[Header::LEN..];
    let length = usize::from(u16::from_be_bytes([payload[2], payload[3]]));
    &payload[GENERIC_LEN..length]
}

pub(crate) fn pack_and_seal(batch: &Batch) -> Packed {
    let signer = SigningKey::generate(
        provider(),
        KeyAlgorithm::EcdsaP256,
        &mut SystemRandom::new().expect("randomness"),
    )
    .expect("keys can be made");
    let policy = SaKek {
        source: Some("2001:db8::1".parse().expect("an address")),
        destination: ("ff3e::7".parse().expect("an address"), 848),
        spi: SPI,
        management: Some(MANAGEMENT_LKH_32),
        cipher: CipherAlgorithm::Aes256Cbc,
        lifetime: Duration::from_secs(86_400),
        signature: KeyAlgorithm::EcdsaP256,
        form: PushAuthentication::Batch,
        place: None,
        rekey_first: None,
    };
    let sa = SaPayload { kek: Some(policy), gap: None, teks: vec![] };
    let room = push::room(UDP_LEN, &sa, PushAuthentication::Batch, signer.public(), BATCH_LEN);
    let room = room.expect("the policy is sound").expect("a datagram has room") - Lkh32::OVERHEAD;
    let updates = pack(batch.head, batch.wraps.iter().copied(), room).expect("the wraps are those of a tree");
    assert!(updates.len() <= BATCH_LEN, "one batch");

    let labels: Vec<Vec<u32>> =
        updates.iter().map(|update| update.audience().into_iter().map(NodeId::as_u32).collect()).collect();
    let mut labelled: HashMap<u32, Vec<u16>> = HashMap::new();
    for (labels, index) in labels.iter().zip(0..) {
        labels.iter().for_each(|label| labelled.entry(*label).or_default().push(index));
    }
    let nodes = |leaf: NodeId| leaf.upward(batch.head.degree).map(NodeId::as_u32).collect();
    let paths: Vec<Vec<u32>> = batch.members.iter().map(|leaf| nodes(*leaf)).collect();
    let needs = paths.iter().map(|path| {
        let mut needs: Vec<u16> =
            path.iter().filter_map(|node| labelled.get(node)).flatten().copied().collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    });
    let needs: Vec<Vec<u16>> = needs.collect();
    let mut audience = vec![0; labels.len()];
    needs.iter().flatten().for_each(|index| audience[usize::from(*index)] += 1);
    let datagrams = sealed(&sa, updates, &signer);
    Packed { datagrams, labels, paths, needs, audience, signer: Rc::new(signer) }
}

fn sealed(sa: &SaPayload, updates: Vec<Update>, signer: &SigningKey) -> Vec<Vec<u8>> {
    let kek = KekMaterial::new(SPI, CipherAlgorithm::Aes256Cbc, [1; 16], &[2; 32]);
    let download = |update| {
        let lkh_32 = Lkh32 { spi: SPI, path: None, update: Some(update), signing_key: None };
        KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() }
    };
    let kds: Vec<_> = updates.into_iter().map(download).collect();
    let push = |(sequence, kd)| Push { kek: &kek, sequence, deletes: &[], sa: Some(sa), kd: Some(kd) };
    let pushes: Vec<_> = (1..).zip(&kds).map(push).collect();
    let sealed = push::seal_batch(provider(), &pushes, signer).expect("the messages are sound");
    assert!(sealed.iter().all(|message| message.len() <= UDP_LEN));
    sealed
}
