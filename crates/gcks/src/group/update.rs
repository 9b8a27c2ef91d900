//! The new keys of a tree, as either KEK management sends them, in messages that fit any path.

use claviger_gdoi::{
    limits::BATCH_LEN,
    lkh, lkh_32, push,
    wire::{
        KeyDownload, Lkh32, LkhDownload, LkhUpdateArray, SaPayload,
        lkh_32::{Update, UpdateHead},
    },
};
use claviger_group::{CookiePair, KekManagement};
use claviger_keytree::{NodeId, Rekey, Start};
use claviger_keywrap::{Engine, wrapped_len};

use super::{
    Group,
    link::{handle, node_id},
};

/// The octets of LKH update arrays in one message: with header, SA payload and signature it stays within the
/// 1,280 octets that every IPv6 path carries (RFC 8200 section 5). A single larger array goes alone.
const UPDATE_OCTETS_MAX: usize = 896;

/// The UDP payload that every IPv6 path carries, behind IPv6 and UDP headers.
pub(crate) const UDP_LEN: usize = 1280 - 40 - 8;

/// What tells the members a new KEK: key downloads for one message each, and how many keys are in them.
pub(super) struct KekUpdate {
    pub(super) downloads: Vec<KeyDownload>,
    pub(super) keys: usize,
}

impl Group {
    /// Encodes a rekey of the tree that leads to the KEK with this SPI.
    pub(super) fn kek_update(&self, sa: &SaPayload, spi: CookiePair, rekey: &Rekey) -> KekUpdate {
        match self.policy.kek_management {
            KekManagement::Lkh => {
                let (messages, keys) = self.update_arrays(rekey);
                let download = |updates| {
                    let lkh = LkhDownload { spi, download: None, updates, signing_key: None };
                    KeyDownload { lkh: Some(lkh), ..KeyDownload::default() }
                };
                KekUpdate { downloads: messages.into_iter().map(download).collect(), keys }
            }
            KekManagement::Lkh32 => {
                let download = |update| {
                    let lkh_32 = Lkh32 { spi, path: None, update: Some(update), signing_key: None };
                    KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() }
                };
                let updates = self.updates(sa, rekey);
                KekUpdate { downloads: updates.into_iter().map(download).collect(), keys: rekey.wraps.len() }
            }
        }
    }

    /// Encodes a rekey as RFC 6407's update arrays, gathered into messages. Returns how many keys are in them too.
    fn update_arrays(&self, rekey: &Rekey) -> (Vec<Vec<LkhUpdateArray>>, usize) {
        let place = |node| rekey.changed.binary_search(&node).ok();
        let keys: Vec<_> = rekey.changed.iter().filter_map(|node| Some((*node, rekey.key(*node)?))).collect();
        let links = self.links(&keys).into_iter().zip(&keys);
        let above = |node: NodeId| place(node.parent(self.tree.degree())).filter(|_| node != rekey.root);
        let new_keys: Vec<_> =
            links.map(|(link, (node, _))| lkh::NewKey { link, parent: above(*node) }).collect();
        let known: Vec<_> = rekey.starts().collect();
        let held = self.links(&known.iter().map(|start| (start.node, start.key)).collect::<Vec<_>>());
        let first = |start: &Start<'_>| start.chain.iter().next().and_then(place);
        let starts: Vec<_> = held
            .into_iter()
            .zip(&known)
            .filter_map(|(held, start)| Some(lkh::Start { held, first: first(start)? }))
            .collect();
        let (arrays, figures) = lkh::update_arrays(&new_keys, &starts, self.policy.kek_cipher)
            .expect("a chain leads from a child to the root, with keys of the policy's cipher");

        let mut messages: Vec<Vec<LkhUpdateArray>> = Vec::new();
        let mut octets = UPDATE_OCTETS_MAX;
        for array in arrays {
            let length = array.encoded_len();
            match messages.last_mut() {
                Some(message) if octets + length <= UPDATE_OCTETS_MAX => {
                    message.push(array);
                    octets += length;
                }
                _ => {
                    messages.push(vec![array]);
                    octets = length;
                }
            }
        }
        (messages, figures.array_keys)
    }

    /// Encodes a rekey as LKH-32 has it: each key once, members needing few messages.
    fn updates(&self, sa: &SaPayload, rekey: &Rekey) -> Vec<Update> {
        let key_len = self.tree.key_length().octets();
        let stride = wrapped_len(key_len);
        let mut wrapped = vec![0; rekey.wraps.len() * stride];
        Engine::best().wrap(rekey.jobs(), &mut wrapped).expect("the keys of a tree have one length");
        let (root, root_key) = self.tree.root();
        let head = UpdateHead {
            degree: self.wire_degree(),
            key_len: key_len as u8,
            epoch: rekey.epoch,
            root: node_id(root),
            root_handle: handle(root_key),
        };
        // The more messages share a root, the longer the branches, and the less room for keys: guessed, then corrected.
        let mut count = (wrapped.len() / UDP_LEN + 1).next_power_of_two().min(BATCH_LEN);
        loop {
            let wraps = rekey.wraps.iter().zip(wrapped.chunks_exact(stride)).map(|(wrap, wrapped)| {
                let (under, key) = rekey.under(wrap);
                let (target, under) = (node_id(rekey.target(wrap)), node_id(under));
                lkh_32::Wrap { target, under, handle: handle(key), wrapped }
            });
            let form = self.policy.push_authentication;
            let room = push::room(UDP_LEN, sa, form, self.signing_key.public(), count)
                .expect("the group's own policy can be written")
                .expect("a rekey SA and a signature leave room for keys");
            let updates =
                lkh_32::pack(head, wraps, room - Lkh32::OVERHEAD).expect("the wraps are those of a tree");
            if updates.len() <= count || count == BATCH_LEN {
                return updates;
            }
            count *= 2;
        }
    }
}
