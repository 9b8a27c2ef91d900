//! One change of keys and the messages that tell it.
//!
//! A change of membership is two GROUPKEY-PUSHes in a row (RFC 6407 section 7.4.1): the first under the old KEK
//! brings the new one to those who remain, by LKH; the second under the new KEK brings the new TEK, which a
//! departed member therefore cannot read. A newcomer gets both keys in its PULL instead (section 7.4.2), and so does a
//! member that comes from another place.
//!
//! Every new KEK is followed by a message under it with the TEK in force, new or not: a member that misses that
//! message knows from the new KEK that there is something to miss.

use std::net::IpAddr;

use claviger_gdoi::{
    iana::kek::MANAGEMENT_LKH,
    limits::BATCH_LEN,
    lkh_32::audience,
    push::{self, KekMaterial, Push},
    wire::{Delete, KeyDownload, SaPayload},
};
use claviger_group::{PushAuthentication, Spi};
use claviger_identity::Hit;
use claviger_keytree::{Handle, KeyTree, Rekey};
use claviger_sansio::{Socket, Transmit, durable::Change};
use tracing::debug;

use super::{
    Announced, Context, Group, Membership, RekeyState, WaitingJoin, offer::sa_tek, place::Seated,
    update::Part,
};
use crate::{
    delivery::BatchSpan,
    event::{RekeyCause, RekeyCauses, Rekeyed},
    push_queue::QueuedPush,
    record,
};

/// The epoch of a tree from which on it is replaced by a new one: a few are left for what is under way. At a rekey each
/// second that is after eight years.
const EPOCH_LAST: u32 = Handle::EPOCH_MAX - 16;

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
        update.map_or_else(Vec::new, |update| audience(update).into_iter().map(|node| node.0).collect())
    }
}

/// What one rekey produced.
pub(crate) struct Outcome {
    pub(crate) changes: Vec<Change>,
    pub(crate) pushes: Vec<QueuedPush>,
    /// Which of them share signatures, in their order; empty where none do.
    pub(crate) batches: Vec<BatchSpan>,
    /// Those who joined, and the members that moved.
    pub(crate) joined: Vec<WaitingJoin>,
    /// Those for whom there was no room.
    pub(crate) refused: Vec<WaitingJoin>,
    pub(crate) departed: Vec<Hit>,
    pub(crate) report: Rekeyed,
}

impl Group {
    /// Carries out the joins, moves and departures that wait: new path keys, KEK and TEK. None if nobody waits any more.
    pub(crate) fn rekey_membership(&mut self, context: &mut Context<'_>) -> Option<Outcome> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let departed: Vec<Hit> =
            waiting.departures.into_iter().filter(|hit| self.members.contains_key(hit)).collect();
        let leaves: Vec<_> =
            departed.iter().filter_map(|hit| self.members.remove(hit)).map(|m| m.leaf).collect();
        // Who is no member has no leaf to move from.
        waiting.joins.retain(|join| !join.moves || self.members.contains_key(&join.hit));
        if departed.is_empty() && waiting.joins.is_empty() {
            return None;
        }

        let mut cause = RekeyCauses::default();
        cause.extend(
            waiting.joins.iter().map(|join| if join.moves { RekeyCause::Move } else { RekeyCause::Join }),
        );
        let old_kek = self.kek_material();
        let Seated { rekey, joined, refused, rebound } = self.seat(waiting.joins, &leaves, context.random);
        let moved = joined.iter().filter(|join| join.moves).count();
        let audience = self.members.len() > moved;
        for (join, leaf) in joined.iter().zip(&rekey.joined) {
            let newcomer = Membership {
                leaf: *leaf,
                role: join.role,
                since: context.now,
                last_pull: context.now,
                sender_ids: Vec::new(),
            };
            let member = self.members.entry(join.hit).or_insert(newcomer);
            (member.leaf, member.role, member.last_pull) = (*leaf, join.role, context.now);
        }
        let announced = std::mem::replace(&mut self.next, Announced::draw(context.random));

        let mut outcome = self.outcome(context, cause, Some(&rekey));
        outcome.report.kek = Some(announced.kek);
        if audience {
            self.push_kek(context, &old_kek, announced.kek, &rekey, &mut outcome);
        }
        self.kek = RekeyState { spi: announced.kek, sequence: 0, issued: context.now, ..self.kek };
        let superseded = self.supersede_tek(announced, context);
        if audience {
            self.push_tek(context, superseded, &mut outcome);
        }

        outcome.changes.push(self.record());
        outcome.changes.extend(self.node_changes(&rekey));
        outcome.changes.extend(rebound.into_iter().map(|place| self.place_record(place)));
        let touched = departed.iter().chain(joined.iter().map(|join| &join.hit));
        outcome.changes.extend(touched.map(|hit| self.member_record(hit)));
        outcome.report.joined = joined.len() - moved;
        outcome.report.moved = moved;
        outcome.report.departed = departed.len();
        outcome.report.tek = Some(announced.tek);
        outcome.joined = joined;
        outcome.refused = refused;
        outcome.departed = departed;
        self.tree.recycle(rekey);
        Some(outcome)
    }

    /// Replaces the KEK alone, under itself: its lifetime nears the end, nobody came or went. The TEK in force is told
    /// again under the new one.
    pub(crate) fn rekey_kek(&mut self, context: &mut Context<'_>, cause: RekeyCause) -> Outcome {
        let old_kek = self.kek_material();
        let rekey =
            self.tree.refresh(context.random).expect("a tree is replaced before its epochs are spent");
        let spi = Announced::draw(context.random).kek;
        let mut outcome = self.outcome(context, cause.into(), Some(&rekey));
        outcome.report.kek = Some(spi);
        self.push_kek(context, &old_kek, spi, &rekey, &mut outcome);
        self.kek = RekeyState { spi, sequence: 0, issued: context.now, ..self.kek };
        self.push_tek(context, Vec::new(), &mut outcome);
        outcome.changes.push(self.record());
        outcome.changes.extend(self.node_changes(&rekey));
        self.tree.recycle(rekey);
        outcome
    }

    /// Replaces the TEK alone, under the KEK in force.
    pub(crate) fn rekey_tek(&mut self, context: &mut Context<'_>, cause: RekeyCause) -> Outcome {
        let announced = Announced { tek: claviger_group::Spi::random(context.random), ..self.next };
        let mut outcome = self.outcome(context, cause.into(), None);
        let superseded = self.supersede_tek(announced, context);
        self.push_tek(context, superseded, &mut outcome);
        outcome.report.tek = Some(announced.tek);
        outcome.changes.push(self.record());
        outcome
    }

    /// Starts over with a new tree if the epochs of this one are nearly spent: no key's name may be used again.
    pub(crate) fn renew_if_spent(&mut self, context: &mut Context<'_>) -> Option<Outcome> {
        (self.tree.epoch() >= EPOCH_LAST).then(|| self.start_over(context, RekeyCause::EpochsSpent))
    }

    /// Deletes every SA of the group, then makes new ones that members fetch by PULL: the sender ids are spent
    /// (RFC 6407 section 3.5, steps 5 and 6), or the epochs of the tree, or the group ends.
    pub(crate) fn start_over(&mut self, context: &mut Context<'_>, cause: RekeyCause) -> Outcome {
        debug!(cause = cause.as_str(), members = self.members.len(), "the group starts over");
        let old_kek = self.kek_material();
        let mut outcome = self.outcome(context, cause.into(), None);
        if !self.members.is_empty() {
            let deletes = [Delete::AllTeks, Delete::AllKeks];
            let message = Message { deletes: &deletes, sa: None, kd: None };
            self.push(context, &old_kek, self.policy.push_destination(), &[message], &mut outcome);
        }
        if self.tree.epoch() >= EPOCH_LAST {
            let leaves: Vec<_> = self.tree.leaves().collect();
            self.tree = KeyTree::new(self.tree.config(), context.random);
            self.tree
                .batch_at(&leaves, &[], context.random)
                .expect("a new tree has room for the leaves of its like");
            outcome.changes.push(Change::remove_scope(record::NODE, record::scope(&self.id)));
            outcome.changes.extend(self.tree_records());
        } else {
            let rekey =
                self.tree.refresh(context.random).expect("a tree is replaced before its epochs are spent");
            outcome.changes.extend(self.node_changes(&rekey));
        }
        let fresh = Announced::draw(context.random);
        (outcome.report.kek, outcome.report.tek) = (Some(fresh.kek), Some(fresh.tek));
        self.kek = RekeyState { spi: fresh.kek, sequence: 0, issued: context.now, ..self.kek };
        self.teks.clear();
        self.issue_tek(fresh.tek, context.random, context.now);
        self.sender_ids_issued = 0;
        outcome.changes.push(self.record());
        outcome
    }

    /// Issues the announced TEK and returns the SPIs that it supersedes.
    fn supersede_tek(&mut self, announced: Announced, context: &mut Context<'_>) -> Vec<Spi> {
        let superseded = self.teks.iter().filter(|issued| issued.superseded.is_none());
        let superseded = superseded.map(|issued| issued.tek.spi).collect();
        self.issue_tek(announced.tek, context.random, context.now);
        superseded
    }

    /// Tells those who remain the new KEK, in as many messages as its keys need.
    fn push_kek(
        &mut self,
        context: &Context<'_>,
        old_kek: &KekMaterial,
        spi: claviger_group::CookiePair,
        rekey: &Rekey,
        outcome: &mut Outcome,
    ) {
        let mut sa_kek = self.sa_kek(context, spi, context.now);
        sa_kek.management.get_or_insert(MANAGEMENT_LKH);
        sa_kek.rekey_first = self.places.as_ref().map(|_| self.kek.sequence + 1);
        let sa = SaPayload { kek: Some(sa_kek), gap: None, teks: Vec::new() };
        let update = self.kek_update(&sa, spi, rekey);
        debug!(
            management = ?self.policy.rekey.management,
            keys = update.keys,
            parts = update.parts.len(),
            "a new KEK is told to those who remain"
        );
        outcome.report.message_keys += update.keys;
        let message = |kd| Message { deletes: &[], sa: Some(&sa), kd: Some(kd) };
        for Part { destination, downloads } in &update.parts {
            let messages: Vec<_> = downloads.iter().map(message).collect();
            self.push(context, old_kek, *destination, &messages, outcome);
        }
    }

    /// Tells the current TEK under the KEK in force, and that it supersedes others.
    fn push_tek(&mut self, context: &Context<'_>, superseded: Vec<Spi>, outcome: &mut Outcome) {
        let kek = self.kek_material();
        let current = self.current_tek();
        let sa = SaPayload {
            kek: None,
            gap: Some(self.gap(self.policy.times.activation_delay)),
            teks: vec![sa_tek(current, context.now)],
        };
        let teks = vec![(current.tek.spi, current.tek.keys.clone())];
        let kd = KeyDownload { teks, ..KeyDownload::default() };
        debug!(tek = %current.tek.spi, superseded = superseded.len(), "the TEK is told under the KEK in force");
        let deletes: Vec<Delete> = superseded.into_iter().map(Delete::Tek).collect();
        outcome.report.message_keys += 1;
        let message = Message { deletes: &deletes, sa: Some(&sa), kd: Some(&kd) };
        self.push(context, &kek, self.policy.push_destination(), &[message], outcome);
    }

    /// Seals messages under the next sequence numbers and has them stored and sent to a multicast address.
    fn push(
        &mut self,
        context: &Context<'_>,
        kek: &KekMaterial,
        destination: IpAddr,
        messages: &[Message<'_>],
        outcome: &mut Outcome,
    ) {
        let numbered: Vec<_> = (self.kek.sequence + 1..)
            .zip(messages)
            .map(|(sequence, Message { deletes, sa, kd })| Push { kek, sequence, deletes, sa: *sa, kd: *kd })
            .collect();
        let sealed: Result<Vec<_>, _> = match self.policy.rekey.authentication {
            PushAuthentication::Message => {
                numbered.iter().map(|push| push::seal(context.provider, push, &self.signing_key)).collect()
            }
            PushAuthentication::Batch => {
                // As long as each other, so that none is so short that it would be copied.
                let count = numbered.len().div_ceil(BATCH_LEN).max(1);
                let batches = numbered.chunks(numbered.len().div_ceil(count).max(1));
                outcome.batches.extend(batches.clone().map(|batch| BatchSpan {
                    spi: kek.spi,
                    first: batch[0].sequence,
                    count: batch.len(),
                }));
                let sealed =
                    batches.map(|batch| push::seal_batch(context.provider, batch, &self.signing_key));
                sealed.collect::<Result<Vec<_>, _>>().map(|batches| batches.into_iter().flatten().collect())
            }
        };
        let sealed = sealed.expect("the group's own keys fit the group's own policy");
        let port = self.policy.push_port_at(context.gdoi_port);
        for (payload, message) in sealed.into_iter().zip(messages) {
            self.kek.sequence += 1;
            self.kek.pushes += 1;
            outcome.report.messages += 1;
            outcome.report.octets += payload.len();
            let transmit = Transmit {
                socket: Socket::Port848,
                source: context.push_source.map(|source| (source, 0).into()),
                destination: (destination, port).into(),
                payload,
            };
            let key = record::push::key(&self.id, &kek.spi, self.kek.sequence);
            let octets = record::push::encode(&transmit, self.kek.pushes);
            outcome.changes.push(Change::put(record::PUSH, key.clone(), octets));
            outcome.pushes.push(QueuedPush { key, transmit, audience: message.audience() });
        }
    }

    fn outcome(&self, context: &Context<'_>, cause: RekeyCauses, rekey: Option<&Rekey>) -> Outcome {
        Outcome {
            changes: Vec::new(),
            pushes: Vec::new(),
            batches: Vec::new(),
            joined: Vec::new(),
            refused: Vec::new(),
            departed: Vec::new(),
            report: Rekeyed {
                group: self.id.clone(),
                cause,
                rekey: None,
                at: context.now,
                joined: 0,
                moved: 0,
                departed: 0,
                tree_keys: rekey.map_or(0, |rekey| rekey.wraps.len()),
                message_keys: 0,
                messages: 0,
                octets: 0,
                kek: None,
                tek: None,
            },
        }
    }
}
