//! The new keys of a tree, as either KEK management sends them, in messages that fit any path.

use std::{collections::BTreeMap, net::IpAddr};

use claviger_gdoi::{
    limits::BATCH_LEN,
    lkh, lkh_32, push,
    wire::{KeyDownload, Lkh32, LkhDownload, LkhUpdateArray, SaPayload, lkh_32::Update},
};
use claviger_group::{CookiePair, KekManagement};
use claviger_keypath::{NodeId, UpdateHead};
use claviger_keytree::{Rekey as TreeChange, Start, place::Place};
use claviger_keywrap::{Engine, wrapped_len};

use super::Voice;
use crate::distribution::UDP_LEN;

/// The octets of LKH update arrays in one message: with header, SA payload and signature it stays within the
/// 1,280 octets that every IPv6 path carries (RFC 8200 section 5). A single larger array goes alone.
const UPDATE_OCTETS_MAX: usize = 896;

/// What tells the members a new KEK, and how many keys are in it.
pub(super) struct KekUpdate {
    pub(super) parts: Vec<Part>,
    pub(super) keys: usize,
}

/// What of it goes to one multicast address: key downloads for one message each.
pub(super) struct Part {
    pub(super) destination: IpAddr,
    pub(super) downloads: Vec<KeyDownload>,
}

impl Voice<'_> {
    /// Encodes a rekey of the tree that leads to the KEK with this SPI.
    pub(super) fn kek_update(&self, sa: &SaPayload, spi: CookiePair, rekey: &TreeChange) -> KekUpdate {
        match self.group.policy.rekey.management {
            KekManagement::Lkh => {
                let (messages, keys) = self.update_arrays(rekey);
                let download = |updates| {
                    let lkh = LkhDownload { spi, download: None, updates, signing_key: None };
                    KeyDownload { lkh: Some(lkh), ..KeyDownload::default() }
                };
                let downloads = messages.into_iter().map(download).collect();
                let parts = vec![Part { destination: self.group.policy.push_destination(), downloads }];
                KekUpdate { parts, keys }
            }
            KekManagement::Lkh32 => {
                let download = |update| {
                    let lkh_32 = Lkh32 { spi, path: None, update: Some(update), signing_key: None };
                    KeyDownload { lkh_32: Some(lkh_32), ..KeyDownload::default() }
                };
                let part = |(destination, updates): (IpAddr, Vec<Update>)| Part {
                    destination,
                    downloads: updates.into_iter().map(download).collect(),
                };
                let parts = self.updates(sa, rekey).into_iter().map(part).collect();
                KekUpdate { parts, keys: rekey.wraps.len() }
            }
        }
    }

    /// Encodes a rekey as RFC 6407's update arrays, gathered into messages. Returns how many keys are in them too.
    fn update_arrays(&self, rekey: &TreeChange) -> (Vec<Vec<LkhUpdateArray>>, usize) {
        let place = |node| rekey.changed.binary_search(&node).ok();
        let keys: Vec<_> = rekey.changed.iter().filter_map(|node| Some((*node, rekey.key(*node)?))).collect();
        let links = self.links(&keys).into_iter().zip(&keys);
        let above = |node: NodeId| {
            node.parent(self.group.tree.degree()).and_then(place).filter(|_| node != rekey.root)
        };
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
        let (arrays, figures) = lkh::update_arrays(&new_keys, &starts, self.group.policy.rekey.kek_cipher)
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

    /// Encodes a rekey as LKH-32 has it: each key once, members needing few messages. What is needed at one place is
    /// for its address, everything else for the group's, which comes first.
    fn updates(&self, sa: &SaPayload, rekey: &TreeChange) -> Vec<(IpAddr, Vec<Update>)> {
        let key_len = self.group.tree.key_length().octets();
        let stride = wrapped_len(key_len);
        let mut wrapped = vec![0; rekey.wraps.len() * stride];
        Engine::best().wrap(rekey.jobs(), &mut wrapped).expect("the keys of a tree have one length");
        let (root, root_key) = self.group.tree.root();
        let head = UpdateHead {
            degree: self.group.tree.degree(),
            key_len: key_len as u8,
            epoch: rekey.epoch,
            root,
            root_handle: root_key.handle,
        };
        let wraps = || {
            rekey.wraps.iter().zip(wrapped.chunks_exact(stride)).map(|(wrap, wrapped)| {
                let (under, key) = rekey.under(wrap);
                lkh_32::Wrap { target: rekey.target(wrap), under, handle: key.handle, wrapped }
            })
        };
        if self.group.places.is_none() {
            return vec![(self.group.policy.push_destination(), self.packed(sa, head, wraps().collect()))];
        }
        let mut by_destination: BTreeMap<IpAddr, Vec<_>> = BTreeMap::new();
        for wrap in wraps() {
            by_destination.entry(self.destination_below(wrap.under)).or_default().push(wrap);
        }
        let whole = by_destination.remove(&self.group.policy.push_destination()).unwrap_or_default();
        // Whoever holds a key is sent the root's new one, unless it was only advanced: then all are told so.
        let tells_root = by_destination.values().flatten().any(|wrap| wrap.target == head.root);
        let whole = Some(whole).filter(|whole| !whole.is_empty() || !tells_root);
        let whole = whole.map(|whole| (self.group.policy.push_destination(), whole));
        let parts = whole.into_iter().chain(by_destination);
        parts.map(|(destination, wraps)| (destination, self.packed(sa, head, wraps))).collect()
    }

    /// Packs wrapped keys into messages that share signatures with each other only.
    fn packed(&self, sa: &SaPayload, head: UpdateHead, wraps: Vec<lkh_32::Wrap<'_>>) -> Vec<Update> {
        let octets: usize = wraps.iter().map(|wrap| wrap.wrapped.len()).sum();
        // The more messages share a root, the longer the branches, and the less room for keys: guessed, then corrected.
        let mut count = (octets / UDP_LEN + 1).next_power_of_two().min(BATCH_LEN);
        loop {
            let form = self.group.policy.rekey.authentication;
            let room = push::room(UDP_LEN, sa, form, self.group.signing_key.public(), count)
                .expect("the group's own policy can be written")
                .expect("a rekey SA and a signature leave room for keys");
            let updates = lkh_32::pack(head, wraps.iter().copied(), room - Lkh32::OVERHEAD)
                .expect("the wraps are those of a tree");
            if updates.len() <= count || count == BATCH_LEN {
                return updates;
            }
            count *= 2;
        }
    }

    /// Says to which address goes what is encrypted under the key of this node.
    fn destination_below(&self, node: NodeId) -> IpAddr {
        self.group
            .only_place_below(node)
            .map_or(self.group.policy.push_destination(), |place| self.destination_of(place))
    }

    /// Says where what only members at a place need is sent.
    pub(super) fn destination_of(&self, place: Place) -> IpAddr {
        self.group.listed(place).map_or(self.group.policy.push_destination(), |place| place.push_address)
    }
}

#[cfg(test)]
mod tests {
    use claviger_sansio::Time;

    use super::*;
    use crate::{
        distribution::gdoi::tests::gdoi,
        group::place::tests::{host, settled},
    };

    #[test]
    fn what_one_place_needs_goes_to_its_address() {
        let (gdoi, group) = (gdoi(), settled());
        let voice = gdoi.voice(Time::EPOCH, &group);
        let (north, whole) = (IpAddr::from([239, 192, 0, 2]), IpAddr::from([239, 192, 0, 1]));
        let below = |number| {
            voice.destination_below(group.members[&host(number)].leaf.node().expect("a leaf is a node"))
        };
        assert_eq!([0, 1, 2].map(below), [north, north, whole]);
        assert_eq!(voice.destination_below(group.tree.root().0), whole);
    }
}
