//! The new keys of a tree, as either KEK management sends them, in messages that fit any path.

use claviger_gdoi::{
    lkh, lkh_32, push,
    wire::{
        KeyDownload, Lkh32, LkhDownload, LkhUpdateArray, SaPayload,
        lkh_32::{Update, UpdateHead},
    },
};
use claviger_group::{CookiePair, KekManagement};
use claviger_keytree::Rekey;
use claviger_keywrap::{Engine, wrapped_len};

use super::{
    Context, Group,
    link::{handle, node_id},
};

/// The octets of LKH update arrays in one message: with header, SA payload and signature it stays within the
/// 1,280 octets that every IPv6 path carries (RFC 8200 section 5). A single larger array goes alone.
const UPDATE_OCTETS_MAX: usize = 896;

/// The UDP payload that every IPv6 path carries, behind IPv6 and UDP headers.
const UDP_LEN: usize = 1280 - 40 - 8;

/// The most messages that share a signature. More would make branches longer, and few signatures fewer.
pub(super) const BATCH_LEN_MAX: usize = 256;

/// What tells the members a new KEK: key downloads for one message each, and how many keys are in them.
pub(super) struct KekUpdate {
    pub(super) downloads: Vec<KeyDownload>,
    pub(super) keys: usize,
}

impl Group {
    /// Encodes a rekey of the tree that leads to the KEK with this SPI.
    pub(super) fn kek_update(
        &self,
        context: &Context<'_>,
        sa: &SaPayload,
        spi: CookiePair,
        rekey: &Rekey,
    ) -> KekUpdate {
        match self.policy.kek_management {
            KekManagement::Lkh => {
                let messages = self.update_arrays(context, rekey);
                let keys = messages.iter().flatten().map(|array| array.keys.len()).sum();
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

    /// Encodes a rekey as RFC 6407's update arrays, gathered into messages.
    fn update_arrays(&self, context: &Context<'_>, rekey: &Rekey) -> Vec<Vec<LkhUpdateArray>> {
        let mut cache = lkh::WrapCache::new(context.provider, self.policy.kek_cipher);
        let new = |node| (node, rekey.key(node).expect("a changed node has its new key in the rekey"));
        let fresh = self.links(&rekey.changed.iter().copied().map(new).collect::<Vec<_>>());
        let starts: Vec<_> = rekey.starts().collect();
        let held = self.links(&starts.iter().map(|start| (start.node, start.key)).collect::<Vec<_>>());

        let mut messages: Vec<Vec<LkhUpdateArray>> = Vec::new();
        let mut octets = UPDATE_OCTETS_MAX;
        for (start, held) in starts.iter().zip(&held) {
            let replaced = |node| rekey.changed.binary_search(&node).expect("a chain is of changed nodes");
            let chain: Vec<_> = start.chain.iter().map(|node| fresh[replaced(node)].clone()).collect();
            let array = lkh::update_array(held, &chain, &mut cache)
                .expect("a chain leads from a child to the root, with keys of the policy's cipher");
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
        messages
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
        let wraps = rekey.wraps.iter().zip(wrapped.chunks_exact(stride)).map(|(wrap, wrapped)| {
            let (under, key) = rekey.under(wrap);
            let (target, under) = (node_id(wrap.target), node_id(under));
            lkh_32::Wrap { target, under, handle: handle(key), wrapped }
        });
        let form = self.policy.push_authentication;
        let room = push::room(UDP_LEN, sa, form, self.signing_key.public(), BATCH_LEN_MAX)
            .expect("the group's own policy can be written")
            .expect("a rekey SA and a signature leave room for keys");
        lkh_32::pack(head, wraps, room - Lkh32::OVERHEAD).expect("the wraps are those of a tree")
    }
}
