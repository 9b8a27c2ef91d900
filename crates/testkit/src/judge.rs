//! Whether a history kept what a key server promises, judged by the wire and by every key that members ever held.
//!
//! Nothing here asks what honest machines did with their keys, nor what the key server says of itself but three things:
//! when a host became a member, from when on it is to be deaf to senders that heard one copy of each message, and from
//! when on to all: one that heard none of three goes on under the old TEK until it notices, or until its lease ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_crypto::provider;
use claviger_gcks::Event as ServerEvent;
use claviger_group::{GroupId, MemberId};
use claviger_proof::{Ledger, ledger::LedgerRekey, trial};
use claviger_sansio::Time;

use crate::network::{Network, Origin, Sent, last_block};

/// What was found: each complaint in a sentence, none if all is well.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub complaints: Vec<String>,
    /// How many datagrams of data were tried against how many ledgers.
    pub tried: (usize, usize),
    /// How many pairs of datagram and ledger opened.
    pub opened: usize,
}

impl Verdict {
    /// Asserts that nothing is wrong.
    ///
    /// # Panics
    ///
    /// With the complaints, if there are any.
    pub fn acquit(&self) {
        assert!(self.complaints.is_empty(), "{}", self.complaints.join("\n"));
    }
}

/// From when on a host that departed is to be deaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deafness {
    /// Once those who hear the rekey have changed over: a network that delivers within the activation delay at all.
    Heard,
    /// Once the leases of all others have ended: any network.
    Leases,
}

/// Judges one group of a network. `betrayed` are keys added to the ledger of a host, to show that judges can complain.
pub fn judge(network: &Network, group: &GroupId, betrayed: &[(MemberId, Ledger)]) -> Verdict {
    judge_by(network, group, betrayed, Deafness::Heard)
}

/// Judges one group of a network, and departures by the last that can be said of them.
pub fn judge_by(
    network: &Network,
    group: &GroupId,
    betrayed: &[(MemberId, Ledger)],
    deafness: Deafness,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut ledgers = ledgers(network, group);
    for (host, extra) in betrayed {
        merge(ledgers.entry(host.clone()).or_default(), extra);
    }
    let pushes: Vec<&[u8]> = network.pushes().iter().map(|push| &push.octets[..]).collect();
    ledgers.values_mut().for_each(|ledger| trial::close(ledger, provider(), &pushes));
    judge_secrecy(network, group, &ledgers, deafness, &mut verdict);
    judge_numbers(&ledgers, &pushes, &mut verdict);
    judge_senders(network, group, &mut verdict);
    verdict
}

/// The ledgers of a group, those of one identity as one: it may have run more than once.
fn ledgers(network: &Network, group: &GroupId) -> BTreeMap<MemberId, Ledger> {
    let mut ledgers: BTreeMap<MemberId, Ledger> = BTreeMap::new();
    for node in &network.members {
        let ledger = ledgers.entry(node.id()).or_default();
        if let Some(held) = node.ledger(group) {
            merge(ledger, &held);
        }
    }
    ledgers
}

fn merge(ledger: &mut Ledger, other: &Ledger) {
    other.teks.iter().for_each(|tek| ledger.enter_tek(tek));
    for rekey in &other.rekeys {
        let known = |held: &LedgerRekey| held.kek.spi == rekey.kek.spi && held.lkh == rekey.lkh;
        if !ledger.rekeys.iter().any(known) {
            ledger.rekeys.push(rekey.clone());
        }
    }
    for ((node, _), keys) in &other.nodes {
        for key in keys {
            ledger.enter_node(*node, key.clone());
        }
    }
}

/// A time in which a host was a member.
#[derive(Debug, Clone, Copy)]
struct Stay {
    /// When it joined.
    from: Time,
    /// When its departure was rekeyed, and from when on it had to be deaf.
    until: Option<End>,
}

/// The end of a stay.
#[derive(Debug, Clone, Copy)]
struct End {
    departed: Time,
    /// From when on it had to be deaf to those who heard the rekey.
    deaf: Time,
    /// From when on it had to be deaf to everybody.
    silent: Time,
}

impl Stay {
    /// Says whether the host is a member at an instant.
    fn is_member(&self, at: Time) -> bool {
        self.from <= at && self.until.is_none_or(|end| at < end.departed)
    }

    /// Says whether the host may read what is sent at an instant.
    fn includes(&self, at: Time) -> bool {
        self.from <= at && self.until.is_none_or(|end| at < end.deaf)
    }
}

fn stays(network: &Network, group: &GroupId) -> BTreeMap<MemberId, Vec<Stay>> {
    let mut stays: BTreeMap<MemberId, Vec<Stay>> = BTreeMap::new();
    for (at, event) in &network.told {
        match event {
            ServerEvent::Joined { host, group: joined } if joined == group => {
                stays.entry(host.clone()).or_default().push(Stay { from: *at, until: None });
            }
            ServerEvent::Departed { host, group: left, at: departed, deaf_at, silent_from, .. }
                if left == group =>
            {
                // It may have come back before the messages had left.
                let before =
                    stays.entry(host.clone()).or_default().iter_mut().rfind(|stay| stay.from <= *departed);
                if let Some(stay) = before {
                    // A copy of the last message takes its time to the senders.
                    let deaf = *deaf_at + network.conditions.latency_max + MARGIN;
                    let silent = silent_from.expect("it was noted") + MARGIN;
                    stay.until = Some(End { departed: *departed, deaf, silent });
                }
            }
            ServerEvent::Joined { .. } | ServerEvent::Departed { .. } => {}
            // They begin and end no membership.
            ServerEvent::Registered { .. }
            | ServerEvent::Refused(_)
            | ServerEvent::Narrowed { .. }
            | ServerEvent::Relocated { .. }
            | ServerEvent::Returned { .. }
            | ServerEvent::Moved { .. }
            | ServerEvent::Rekeyed(_)
            | ServerEvent::Silent { .. } => {}
            ServerEvent::PushesDropped { .. }
            | ServerEvent::PushesResumed { .. }
            | ServerEvent::PushesStopped { .. }
            | ServerEvent::RekeySent { .. } => {}
        }
    }
    stays
}

/// What a timer may be late by.
const MARGIN: Duration = Duration::from_millis(1);

/// Says whether a sender had heard no copy at all of one of the messages of late, on a network that loses some: for
/// such a one no key server can speak. Where nothing was lost there is no such excuse, and none once its lease has ended.
fn missed(network: &Network, origin: Origin, end: End) -> bool {
    let Origin::Member(place) = origin else { return false };
    if network.lost == 0 {
        return false;
    }
    // It may have missed an earlier message, and with it the key that these are under.
    let of_late = end.silent.since(end.departed);
    let of_rekey = |push: &&Sent| push.at + of_late >= end.departed && push.at <= end.deaf;
    let pushes = network.pushes();
    let mut unheard = pushes.iter().filter(|push| of_rekey(push));
    unheard.any(|push| !network.heard.contains(&(place, last_block(&push.octets).to_vec())))
}

/// Says whether a sender had moved of late: until its PULL from the new address has brought it keys it may hear nothing, for
/// what is for its place goes to the one that it is told, and not where it was.
fn moved(network: &Network, origin: Origin, at: Time) -> bool {
    let Origin::Member(place) = origin else { return false };
    let of_late = |told: Time| told <= at && at.since(told) < MOVE_MAX;
    network.members[place]
        .events
        .iter()
        .any(|(told, event)| matches!(event, claviger_member::Event::Moved) && of_late(*told))
}

/// How long a host that moves may hear nothing: the longest delay before its PULL, and repetitions of that.
const MOVE_MAX: Duration = Duration::from_secs(5);

fn judge_secrecy(
    network: &Network,
    group: &GroupId,
    ledgers: &BTreeMap<MemberId, Ledger>,
    deafness: Deafness,
    verdict: &mut Verdict,
) {
    let sent = network.data(group);
    let octets: Vec<&[u8]> = sent.iter().map(|sent| &sent.octets[..]).collect();
    let bits =
        network.server.group(network.server_now(), group).map_or(16, |view| view.policy.data.sender_id_bits);
    let stays = stays(network, group);
    let stays_of = |host: &MemberId| stays.get(host).map(Vec::as_slice).unwrap_or_default();
    verdict.tried = (octets.len(), ledgers.len());
    for (host, ledger) in ledgers {
        let stays = stays_of(host);
        let opened = trial::open_data(ledger, provider(), bits, &octets);
        for (sent, _) in sent.iter().zip(&opened).filter(|(_, opened)| opened.is_some()) {
            verdict.opened += 1;
            if let Origin::Member(place) = sent.origin {
                let sender = network.members[place].id();
                // What a host that has not been told yet says itself is no secret from it; and what one says that is no
                // member any more and has not heard of it is no secret of the group.
                if sender == *host || !stays_of(&sender).iter().any(|stay| stay.is_member(sent.at)) {
                    continue;
                }
            }
            let unlucky = |stay: &Stay| {
                stay.until.is_some_and(|end| {
                    let excused = deafness == Deafness::Leases
                        || missed(network, sent.origin, end)
                        || moved(network, sent.origin, sent.at);
                    (end.deaf..end.silent).contains(&sent.at) && excused
                })
            };
            if !stays.iter().any(|stay| stay.includes(sent.at)) && !stays.iter().any(unlucky) {
                verdict.complaints.push(format!("{host} opens data sent at {}, outside {stays:?}", sent.at));
                break;
            }
        }
    }
}

/// Numbers of rekey messages, names of SAs and keys are used once, restarts or not.
fn judge_numbers(ledgers: &BTreeMap<MemberId, Ledger>, pushes: &[&[u8]], verdict: &mut Verdict) {
    let mut union = Ledger::default();
    ledgers.values().for_each(|ledger| merge(&mut union, ledger));
    let mut numbers = BTreeSet::new();
    for push in pushes {
        let Some(message) = trial::opened(&union, provider(), push).into_iter().next() else { continue };
        if !numbers.insert((message.spi(), message.sequence())) {
            verdict.complaints.push(format!("{} {} is used twice", message.spi(), message.sequence()));
        }
    }
    let mut keys: BTreeMap<Vec<u8>, claviger_group::Spi> = BTreeMap::new();
    for tek in ledgers.values().flat_map(|ledger| &ledger.teks) {
        let spi = *keys.entry(tek.keys.encryption.expose().to_vec()).or_insert(tek.spi);
        if spi != tek.spi {
            verdict.complaints.push(format!("TEKs {spi} and {} are one key", tek.spi));
        }
    }
    let mut by_spi: BTreeMap<claviger_group::Spi, Vec<u8>> = BTreeMap::new();
    for tek in ledgers.values().flat_map(|ledger| &ledger.teks) {
        let key = tek.keys.encryption.expose().to_vec();
        if *by_spi.entry(tek.spi).or_insert_with(|| key.clone()) != key {
            verdict.complaints.push(format!("TEK {} is two keys", tek.spi));
        }
    }
}

/// Under one TEK a sender id is one sender's, and no initialization vector is used twice.
fn judge_senders(network: &Network, group: &GroupId, verdict: &mut Verdict) {
    let Some(view) = network.server.group(network.server_now(), group) else { return };
    if !view.policy.data.transform.is_counter_mode() {
        return;
    }
    let mut vectors = BTreeSet::new();
    let mut owners: BTreeMap<(u32, u64), Origin> = BTreeMap::new();
    for sent in network.data(group) {
        let Some((head, _)) = sent.octets.split_first_chunk::<16>() else { continue };
        let spi = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let vector = u64::from_be_bytes([
            head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
        ]);
        if !vectors.insert((spi, vector)) {
            verdict.complaints.push(format!("initialization vector {vector:016x} is used twice"));
        }
        let id = vector >> (64 - view.policy.data.sender_id_bits);
        let owner = *owners.entry((spi, id)).or_insert(sent.origin);
        if owner != sent.origin {
            verdict.complaints.push(format!("sender id {id} under {spi:08x} is two senders'"));
        }
    }
}

/// Says which members that hold a grant do not hold the keys in force.
pub fn laggards(network: &Network, group: &GroupId) -> Vec<usize> {
    let hosts = network.server.hosts(network.server_now(), group).unwrap_or_default();
    let members: BTreeSet<MemberId> =
        hosts.iter().filter(|host| host.member_since.is_some()).map(|host| host.host.clone()).collect();
    let live = |place: &usize| {
        let node = &network.members[*place];
        node.connected && members.contains(&node.id()) && node.member.subscription(group).is_some()
    };
    (0..network.members.len()).filter(live).filter(|place| !network.is_current(*place, group)).collect()
}
