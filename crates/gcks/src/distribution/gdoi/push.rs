//! The GROUPKEY-PUSHes that tell a change of keys.
//!
//! A change of membership is two messages in a row (RFC 6407 section 7.4.1): the first under the old KEK brings the new
//! one to those who remain, by LKH; the second under the new KEK brings the new TEK. A newcomer gets both keys in its PULL
//! instead (section 7.4.2), and so does a member that comes from another place.
//!
//! Every new KEK is followed by a message under it with the TEK in force, new or not: a member that misses that message
//! knows from the new KEK that there is something to miss.

use std::net::IpAddr;

use claviger_crypto::CryptoProvider;
use claviger_gdoi::{
    iana::kek::MANAGEMENT_LKH,
    limits::BATCH_LEN,
    push::{self, KekMaterial, Push},
    wire::{Delete, KeyDownload, SaPayload},
};
use claviger_group::{CookiePair, PushAuthentication, Spi};
use claviger_keypath::NodeId;
use claviger_keytree::Rekey as TreeChange;
use claviger_sansio::{Socket, Time, Transmit, durable::Change};
use tracing::debug;

use super::{
    Gdoi, Voice,
    names::kek_material,
    offer::sa_tek,
    update::{KekUpdate, Part},
};
use crate::{
    distribution::{BatchSpan, Rekey, SealedRekey},
    group::{Group, epoch::Epoch, sa::RekeySa},
    record,
};

/// What one GROUPKEY-PUSH says.
struct Message<'a> {
    deletes: &'a [Delete],
    sa: Option<&'a SaPayload>,
    kd: Option<&'a KeyDownload>,
}

impl Message<'_> {
    /// Names the nodes below which members need it; none if all may.
    fn audience(&self) -> Vec<u32> {
        let update = self.kd.and_then(|kd| kd.lkh_32.as_ref()?.update.as_ref());
        update.map_or_else(Vec::new, |update| update.audience().into_iter().map(NodeId::as_u32).collect())
    }
}

impl Gdoi {
    /// Seals what tells those who remain of a change of keys, under the next numbers of the rekey SAs, which the group
    /// notes. Appends what is to be stored.
    pub(crate) fn rekey(
        &self,
        now: Time,
        provider: &'static CryptoProvider,
        group: &mut Group,
        epoch: &Epoch,
        changes: &mut Vec<Change>,
    ) -> Rekey {
        let Some(mut in_force) = group.kek.filter(|_| epoch.has_audience) else { return Rekey::default() };
        let mut sealer = Sealer {
            voice: self.voice(now, group),
            provider,
            pushes: in_force.pushes,
            changes,
            rekey: Rekey::default(),
        };
        if let (Some(before), Some(_)) = (&epoch.before, epoch.kek) {
            let old_kek = kek_material(before.sa.spi, before.key.expose());
            let mut old_sa = before.sa;
            match &epoch.tree {
                Some(tree) => sealer.tell_kek(&old_kek, &mut old_sa, in_force.spi, tree),
                None if epoch.ends_all => sealer.tell_end(&old_kek, &mut old_sa),
                None => {}
            }
        }
        if !epoch.ends_all {
            sealer.tell_tek(&mut in_force, &epoch.superseded);
        }
        in_force.pushes = sealer.pushes;
        let rekey = sealer.rekey;
        group.kek = Some(in_force);
        rekey
    }
}

/// Seals the messages of one rekey.
struct Sealer<'a> {
    voice: Voice<'a>,
    provider: &'static CryptoProvider,
    /// Messages sent for the group so far.
    pushes: u64,
    changes: &'a mut Vec<Change>,
    rekey: Rekey,
}

impl Sealer<'_> {
    /// Tells those who remain the new KEK, in as many messages as its keys need.
    fn tell_kek(&mut self, old_kek: &KekMaterial, old_sa: &mut RekeySa, spi: CookiePair, tree: &TreeChange) {
        let Voice { group, now, .. } = self.voice;
        let mut sa_kek = self.voice.sa_kek(spi, now);
        sa_kek.management.get_or_insert(MANAGEMENT_LKH);
        sa_kek.rekey_first = group.places.as_ref().map(|_| old_sa.sequence + 1);
        let sa = SaPayload { kek: Some(sa_kek), gap: None, teks: Vec::new() };
        let KekUpdate { parts, keys } = self.voice.kek_update(&sa, spi, tree);
        debug!(
            management = ?group.policy.rekey.management,
            keys,
            parts = parts.len(),
            "a new KEK is told to those who remain"
        );
        self.rekey.keys += keys;
        let message = |kd| Message { deletes: &[], sa: Some(&sa), kd: Some(kd) };
        for Part { destination, downloads } in &parts {
            let messages: Vec<_> = downloads.iter().map(message).collect();
            self.seal(old_kek, old_sa, *destination, &messages);
        }
    }

    /// Tells the current TEK under the KEK in force, and that it supersedes others.
    fn tell_tek(&mut self, in_force: &mut RekeySa, superseded: &[Spi]) {
        let Voice { group, now, .. } = self.voice;
        let (_, root) = group.tree.root();
        let kek = kek_material(in_force.spi, root.key);
        let current = group.current_tek();
        let sa = SaPayload {
            kek: None,
            gap: Some(self.voice.gap(group.policy.times.activation_delay)),
            teks: vec![sa_tek(current, now)],
        };
        let teks = vec![(current.tek.spi, current.tek.keys.clone())];
        let kd = KeyDownload { teks, ..KeyDownload::default() };
        debug!(tek = %current.tek.spi, superseded = superseded.len(), "the TEK is told under the KEK in force");
        let deletes: Vec<Delete> = superseded.iter().copied().map(Delete::Tek).collect();
        self.rekey.keys += 1;
        let message = Message { deletes: &deletes, sa: Some(&sa), kd: Some(&kd) };
        self.seal(&kek, in_force, group.policy.push_destination(), &[message]);
    }

    /// Tells that every SA of the group ends.
    fn tell_end(&mut self, old_kek: &KekMaterial, old_sa: &mut RekeySa) {
        let deletes = [Delete::AllTeks, Delete::AllKeks];
        let message = Message { deletes: &deletes, sa: None, kd: None };
        self.seal(old_kek, old_sa, self.voice.group.policy.push_destination(), &[message]);
    }

    /// Seals messages under the next numbers of a rekey SA, to be stored and sent to a multicast address.
    fn seal(&mut self, kek: &KekMaterial, sa: &mut RekeySa, destination: IpAddr, messages: &[Message<'_>]) {
        let Voice { group, port, source, .. } = self.voice;
        let numbered: Vec<_> = (sa.sequence + 1..)
            .zip(messages)
            .map(|(sequence, Message { deletes, sa, kd })| Push { kek, sequence, deletes, sa: *sa, kd: *kd })
            .collect();
        let sealed: Result<Vec<_>, _> = match group.policy.rekey.authentication {
            PushAuthentication::Message => {
                numbered.iter().map(|push| push::seal(self.provider, push, &group.signing_key)).collect()
            }
            PushAuthentication::Batch => {
                // As long as each other, so that none is so short that it would be copied.
                let count = numbered.len().div_ceil(BATCH_LEN).max(1);
                let batches = numbered.chunks(numbered.len().div_ceil(count).max(1));
                self.rekey.batches.extend(batches.clone().map(|batch| BatchSpan {
                    under: kek.spi,
                    first: batch[0].sequence,
                    count: batch.len(),
                }));
                let sealed = batches.map(|batch| push::seal_batch(self.provider, batch, &group.signing_key));
                sealed.collect::<Result<Vec<_>, _>>().map(|batches| batches.into_iter().flatten().collect())
            }
        };
        let sealed = sealed.expect("the group's own keys fit the group's own policy");
        for (payload, message) in sealed.into_iter().zip(messages) {
            sa.sequence += 1;
            self.pushes += 1;
            let transmit = Transmit {
                socket: Socket::Port848,
                source: source.map(|source| (source, 0).into()),
                destination: (destination, port).into(),
                payload,
            };
            let key = record::push::key(&group.id, &kek.spi, sa.sequence);
            let octets = record::push::encode(&transmit, self.pushes);
            self.changes.push(Change::put(record::PUSH, key.clone(), octets));
            let (under, sequence, audience) = (kek.spi, sa.sequence, message.audience());
            self.rekey.messages.push(SealedRekey { key, under, sequence, transmit, audience });
        }
    }
}
