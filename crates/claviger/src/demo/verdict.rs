//! The claims, checked against the recordings.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_group::Spi;
use claviger_proof::Ledger;
use claviger_sansio::Time;
use serde::Serialize;

use super::{
    play::{OFFSET_LEN, Part, Played},
    recording::Entry,
    trial,
};
use crate::exit::{Exit, Failure, Outcome};

/// All that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    ok: bool,
    pub(super) duration_s: f64,
    pub(super) file_octets: usize,
    pub(super) datagrams_recorded: usize,
    pub(super) server_pause_s: f64,
    pub(super) members: Vec<MemberVerdict>,
    pub(super) rekeys: Vec<RekeyVerdict>,
    pub(super) claims: Vec<Claim>,
}

/// What one member received, and what its keys open.
#[derive(Debug, Serialize)]
pub(super) struct MemberVerdict {
    pub(super) name: &'static str,
    pub(super) hit: String,
    /// Seconds since the first recorded datagram; before zero if the member was there earlier.
    pub(super) keyed_s: f64,
    pub(super) deaf_s: Option<f64>,
    pub(super) received_datagrams: usize,
    pub(super) received_octets: usize,
    pub(super) kernel_drops: u32,
    /// Data keys that it held or that its keys open.
    pub(super) data_keys: usize,
    pub(super) opens_datagrams: usize,
    pub(super) opens_from_s: Option<f64>,
    pub(super) opens_until_s: Option<f64>,
}

/// One GROUPKEY-PUSH, as recorded.
#[derive(Debug, Serialize)]
pub(super) struct RekeyVerdict {
    pub(super) at_s: f64,
    pub(super) kek_spi: String,
    pub(super) sequence: u32,
    pub(super) octets: usize,
    pub(super) copies: usize,
    pub(super) lkh_keys: usize,
    pub(super) new_kek: bool,
    pub(super) new_tek: Option<String>,
}

/// A claim and whether it holds.
#[derive(Debug, Serialize)]
pub(super) struct Claim {
    pub(super) claim: String,
    pub(super) ok: bool,
    pub(super) detail: String,
}

impl Verdict {
    pub(super) fn ok(&self) -> bool {
        self.ok
    }

    pub(super) fn failed(&self) -> usize {
        self.claims.iter().filter(|claim| !claim.ok).count()
    }
}

/// Checks everything. `betray` hands the evicted member the later TEKs, to show that the claims can fail.
pub(super) fn judge(played: &Played, file: &[u8], betray: bool) -> Outcome<Verdict> {
    let (data, pushes): (Vec<Entry>, Vec<Entry>) =
        played.observed.entries.iter().cloned().partition(|entry| entry.port == played.data_port);
    let pushes: Vec<Entry> = pushes.into_iter().filter(|entry| entry.port == played.push_port).collect();
    let first = data.first().ok_or_else(|| Failure::new(Exit::Failed, "the observer recorded no data"))?.at;

    let mut ledgers: Vec<Ledger> = played.parts.iter().map(|part| part.ledger.clone()).collect();
    ledgers.iter_mut().for_each(|ledger| trial::close(ledger, &pushes));
    if betray {
        betray_evicted(&played.parts, &mut ledgers);
    }
    let opened: Vec<Vec<Option<Vec<u8>>>> =
        ledgers.iter().map(|ledger| trial::open_data(ledger, &data)).collect();

    let mut claims = Vec::new();
    let mut members = Vec::new();
    for ((part, ledger), opened) in played.parts.iter().zip(&ledgers).zip(&opened) {
        judge_member(part, &data, opened, file, &mut claims);
        members.push(member_verdict(part, ledger, &data, opened, first));
    }
    let union = ledgers.iter().cloned().reduce(merge).unwrap_or_default();
    let rekeys = rekeys(&union, &pushes, first);
    judge_data(&union, &data, &played.observed, played.sent.datagrams, &mut claims);
    judge_rekeys(played, &rekeys, &pushes, first, &mut claims);
    judge_restart(played, &mut claims);
    Ok(Verdict {
        ok: claims.iter().all(|claim| claim.ok),
        duration_s: played.duration.as_secs_f64(),
        file_octets: file.len(),
        datagrams_recorded: played.observed.entries.len(),
        server_pause_s: played.restarted.since(played.killed).as_secs_f64(),
        members,
        rekeys,
        claims,
    })
}

fn betray_evicted(parts: &[Part], ledgers: &mut [Ledger]) {
    let position = |name| parts.iter().position(|part| part.name == name);
    if let (Some(stayer), Some(evicted)) = (position("stayer"), position("evicted")) {
        // All of them: under the last one perhaps nothing was sent any more.
        let later = ledgers[stayer].teks.clone();
        later.iter().for_each(|tek| ledgers[evicted].enter_tek(tek));
    }
}

fn merge(mut all: Ledger, other: Ledger) -> Ledger {
    other.teks.iter().for_each(|tek| all.enter_tek(tek));
    for rekey in other.rekeys {
        if !all.rekeys.iter().any(|held| held.kek.spi == rekey.kek.spi) {
            all.rekeys.push(rekey);
        }
    }
    all
}

/// Checks one member: what its keys open, and what it received.
fn judge_member(
    part: &Part,
    data: &[Entry],
    opened: &[Option<Vec<u8>>],
    file: &[u8],
    claims: &mut Vec<Claim>,
) {
    let name = part.name;
    let opens: Vec<&Entry> =
        data.iter().zip(opened).filter(|(_, o)| o.is_some()).map(|(entry, _)| entry).collect();
    claims.push(Claim {
        claim: format!("{name}: its keys open something inside its time"),
        ok: !opens.is_empty(),
        detail: format!("{} of {} datagrams", opens.len(), data.len()),
    });

    let before = data.iter().filter(|entry| entry.at < part.started).count();
    let opens_before = opens.iter().filter(|entry| entry.at < part.started).count();
    if before > 0 {
        claims.push(Claim {
            claim: format!("{name}: its keys open nothing from before it joined"),
            ok: opens_before == 0,
            detail: format!("{opens_before} of {before} datagrams"),
        });
    }
    if let Some((_, deaf)) = part.departed {
        let after = data.iter().filter(|entry| entry.at >= deaf).count();
        let opens_after = opens.iter().filter(|entry| entry.at >= deaf).count();
        claims.push(Claim {
            claim: format!("{name}: its keys open nothing after it is deaf"),
            ok: opens_after == 0 && after > 0,
            detail: format!("{opens_after} of {after} datagrams"),
        });
    }
    if part.receives {
        judge_received(part, data, opened, file, claims);
    }
}

/// How long a payload may lie in queues between the wire and a member's recording.
const LATENCY: Duration = Duration::from_millis(250);

/// Checks that what a member wrote down is the file, whole for the time that it was in.
fn judge_received(
    part: &Part,
    data: &[Entry],
    opened: &[Option<Vec<u8>>],
    file: &[u8],
    claims: &mut Vec<Claim>,
) {
    let name = part.name;
    let received: BTreeMap<u64, &[u8]> =
        part.received.entries.iter().filter_map(|e| chunk(&e.octets)).collect();
    let wrong = received.iter().filter(|(offset, octets)| !is_of_file(file, **offset, octets)).count();
    claims.push(Claim {
        claim: format!("{name}: every octet it received equals the file's"),
        ok: wrong == 0 && !received.is_empty(),
        detail: format!("{} chunks, {wrong} wrong", received.len()),
    });

    let until = part.departed.map_or(Time::from_micros(u64::MAX), |(departed, _)| departed - LATENCY);
    let due: BTreeSet<u64> = data
        .iter()
        .zip(opened)
        .filter(|(entry, _)| entry.at >= part.keyed && entry.at < until)
        .filter_map(|(_, opened)| chunk(opened.as_ref()?).map(|(offset, _)| offset))
        .collect();
    let missing = due.iter().filter(|offset| !received.contains_key(offset)).count();
    claims.push(Claim {
        claim: format!("{name}: received all that flowed while it was in, kernel drops excepted"),
        ok: missing <= part.received.kernel_drops as usize && !due.is_empty(),
        detail: format!(
            "{} due, {missing} missing, {} dropped by the kernel",
            due.len(),
            part.received.kernel_drops
        ),
    });
}

/// Checks the data as a whole.
fn judge_data(
    union: &Ledger,
    data: &[Entry],
    observed: &super::recording::Recording,
    sent: u64,
    claims: &mut Vec<Claim>,
) {
    let opened = trial::open_data(union, data);
    let sealed = opened.iter().filter(|opened| opened.is_some()).count();
    claims.push(Claim {
        claim: "all recorded data is ESP under the group's keys".to_owned(),
        ok: sealed == data.len() && data.len() as u64 + u64::from(observed.kernel_drops) >= sent,
        detail: format!(
            "{sealed} of {} datagrams, {sent} sent, {} dropped",
            data.len(),
            observed.kernel_drops
        ),
    });
    let leaks =
        data.iter().zip(&opened).filter(|(entry, o)| o.as_ref().is_some_and(|p| leaks(&entry.octets, p)));
    let leaks = leaks.count();
    claims.push(Claim {
        claim: "no recorded datagram holds plaintext".to_owned(),
        ok: leaks == 0,
        detail: format!("{leaks} of {} datagrams share 16 octets with their payload", data.len()),
    });
    let ivs: BTreeSet<(Option<Spi>, &[u8])> =
        data.iter().filter_map(|e| Some((trial::spi_of(&e.octets), e.octets.get(8..16)?))).collect();
    claims.push(Claim {
        claim: "no initialisation vector is used twice under one key".to_owned(),
        ok: ivs.len() == data.len(),
        detail: format!("{} of {}", ivs.len(), data.len()),
    });
}

/// Says whether 16 octets in a row of the payload stand in the datagram. Runs of one octet are no evidence.
fn leaks(datagram: &[u8], payload: &[u8]) -> bool {
    let windows = payload.chunks_exact(16).filter(|w| w.iter().any(|octet| *octet != w[0]));
    windows.into_iter().any(|window| datagram.windows(16).any(|seen| seen == window))
}

/// Checks the rekey messages.
fn judge_rekeys(
    played: &Played,
    rekeys: &[RekeyVerdict],
    pushes: &[Entry],
    first: Time,
    claims: &mut Vec<Claim>,
) {
    let mut messages: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for rekey in rekeys {
        *messages.entry((rekey.kek_spi.clone(), rekey.sequence)).or_default() += 1;
    }
    let distinct: BTreeSet<&[u8]> = pushes.iter().map(|push| &push.octets[..]).collect();
    claims.push(Claim {
        claim: "no sequence number is used for two messages, also across the kill".to_owned(),
        ok: messages.values().all(|count| *count == 1) && distinct.len() == rekeys.len(),
        detail: format!("{} messages in {} datagrams", rekeys.len(), pushes.len()),
    });
    let teks: Vec<&String> = rekeys.iter().filter_map(|rekey| rekey.new_tek.as_ref()).collect();
    let unique: BTreeSet<_> = teks.iter().collect();
    claims.push(Claim {
        claim: "no SPI is issued twice".to_owned(),
        ok: unique.len() == teks.len() && !teks.is_empty(),
        detail: format!("{} TEKs", teks.len()),
    });
    let since = |time: Time| time.as_micros() as f64 / 1e6 - first.as_micros() as f64 / 1e6;
    let timed = |from: f64, to: f64| {
        rekeys.iter().any(|r| {
            r.new_tek.is_some() && !r.new_kek && r.at_s > from && r.at_s < to && follows_no_kek(rekeys, r)
        })
    };
    claims.push(Claim {
        claim: "the timer replaced the TEK before the kill".to_owned(),
        ok: timed(0.0, since(played.killed)),
        detail: String::new(),
    });
    claims.push(Claim {
        claim: "the timer of the restarted key server replaced the TEK, and the members followed".to_owned(),
        ok: timed(since(played.restarted), f64::MAX),
        detail: String::new(),
    });
}

/// Says whether a message is no part of a change of membership: none brought a KEK just before it.
fn follows_no_kek(rekeys: &[RekeyVerdict], rekey: &RekeyVerdict) -> bool {
    !rekeys.iter().any(|other| other.new_kek && other.at_s <= rekey.at_s && rekey.at_s - other.at_s < 0.8)
}

/// Checks that the members noticed nothing of the kill but the pause.
fn judge_restart(played: &Played, claims: &mut Vec<Claim>) {
    for part in played.parts.iter().filter(|part| part.departed.is_none()) {
        claims.push(Claim {
            claim: format!("{}: registered once, also across the kill", part.name),
            ok: part.registrations == Some(1),
            detail: format!("{} registrations", part.registrations.unwrap_or(0)),
        });
    }
    claims.push(Claim {
        claim: "the evicted member stays out after the restart".to_owned(),
        ok: played.second_attempt == Exit::Refused as i32,
        detail: format!("exit code {}", played.second_attempt),
    });
}

fn member_verdict(
    part: &Part,
    ledger: &Ledger,
    data: &[Entry],
    opened: &[Option<Vec<u8>>],
    first: Time,
) -> MemberVerdict {
    let relative = |time: Time| (time.as_micros() as f64 - first.as_micros() as f64) / 1e6;
    let mut opens = data.iter().zip(opened).filter(|(_, o)| o.is_some()).map(|(entry, _)| entry.at);
    let (opens_from, opens_until) = (opens.next(), opens.next_back());
    let count = opened.iter().filter(|o| o.is_some()).count();
    MemberVerdict {
        name: part.name,
        hit: part.hit.to_string(),
        keyed_s: relative(part.keyed),
        deaf_s: part.departed.map(|(_, deaf)| relative(deaf)),
        received_datagrams: part.received.entries.len(),
        received_octets: part
            .received
            .entries
            .iter()
            .filter_map(|e| chunk(&e.octets))
            .map(|(_, o)| o.len())
            .sum(),
        kernel_drops: part.received.kernel_drops,
        data_keys: ledger.teks.len(),
        opens_datagrams: count,
        opens_from_s: opens_from.map(relative),
        opens_until_s: opens_until.or(opens_from).map(relative),
    }
}

/// Lists the rekey messages, each once.
fn rekeys(union: &Ledger, pushes: &[Entry], first: Time) -> Vec<RekeyVerdict> {
    let mut seen: Vec<RekeyVerdict> = Vec::new();
    let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
    for push in pushes {
        if let Some(position) = known.get(&push.octets[..]) {
            seen[*position].copies += 1;
            continue;
        }
        let Some(message) = trial::opened(union, &push.octets).into_iter().next() else { continue };
        let lkh = message.kd().and_then(|kd| kd.lkh.as_ref());
        known.insert(&push.octets, seen.len());
        seen.push(RekeyVerdict {
            at_s: (push.at.as_micros() as f64 - first.as_micros() as f64) / 1e6,
            kek_spi: message.spi().to_string(),
            sequence: message.sequence(),
            octets: push.octets.len(),
            copies: 1,
            lkh_keys: lkh.map_or(0, |lkh| lkh.updates.iter().map(|array| array.keys.len()).sum()),
            new_kek: message.sa().is_some_and(|sa| sa.kek.is_some()),
            new_tek: message.sa().and_then(|sa| sa.teks.first()).map(|tek| tek.spi.to_string()),
        });
    }
    seen
}

/// Splits a payload into its place in the file and its octets.
fn chunk(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (offset, octets) = payload.split_first_chunk::<OFFSET_LEN>()?;
    Some((u64::from_be_bytes(*offset), octets))
}

fn is_of_file(file: &[u8], offset: u64, octets: &[u8]) -> bool {
    let start = offset as usize;
    file.get(start..start + octets.len()) == Some(octets)
}
