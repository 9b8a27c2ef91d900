//! What the checker makes of what it heard.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    ops::Range,
};

use claviger_crypto::provider;
use claviger_gdoi::{push, push::RekeySa};
use claviger_proof::{Ledger, ledger::LedgerRekey, trial};
use serde::{Deserialize, Serialize};

use crate::testimony::{self, HostNumber, Life, Line, RekeyKeys};

/// The octets of an ESP packet's SPI, sequence number and IV (RFC 4106 section 3.1).
const ESP_HEAD_LEN: usize = 16;

/// Violations that show something reused or revived begin with one of these words.
const REUSED: &str = "reused:";
const REVIVED: &str = "revived:";

/// Says whether a violation shows something reused or revived.
pub(crate) fn is_reuse(violation: &str) -> bool {
    violation.starts_with(REUSED) || violation.starts_with(REVIVED)
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<String>,
    /// Different rekey messages, and how many of them some host's keys opened.
    pub(crate) pushes: usize,
    pub(crate) pushes_opened: usize,
    pub(crate) data: usize,
    pub(crate) pulls: usize,
    pub(crate) departures: usize,
    /// How often an evicted host was refused.
    pub(crate) returns_refused: usize,
    pub(crate) settled: usize,
    pub(crate) teks: usize,
    pub(crate) keks: usize,
    pub(crate) path_keys: usize,
    pub(crate) slowest_ms: u64,
}

/// One membership of one host.
#[derive(Default)]
struct Membership {
    asked: usize,
    keyed: Option<usize>,
    /// The sender ids that were seen with it.
    sender_ids: BTreeSet<u32>,
    /// Nothing that the host held before can be held rightly in this one.
    afresh: bool,
    departed: Option<usize>,
    ledger: Ledger,
}

/// What the group's keys were at an instant when all members agreed.
struct Rest {
    at: usize,
    kek: [u8; 16],
    tek: u32,
}

/// Everything heard so far.
#[derive(Default)]
pub(crate) struct Judgement {
    verdict: Verdict,
    /// How many lines were heard: the only clock here.
    now: usize,
    last_kill: String,
    pushes: Vec<Vec<u8>>,
    /// The datagram of each SPI and IV.
    ivs: BTreeMap<[u8; ESP_HEAD_LEN - 4], Vec<u8>>,
    /// The port that uses a sender id under an SPI.
    senders: BTreeMap<(u32, u16), u16>,
    /// The membership that was given a sender id under an SPI.
    sender_ids: BTreeMap<(u32, u32), (HostNumber, Life)>,
    tek_keys: BTreeMap<u32, Vec<u8>>,
    kek_keys: BTreeMap<[u8; 16], (Vec<u8>, [u8; 16])>,
    path_keys: BTreeMap<(u16, u32), Vec<u8>>,
    /// What each key is, so that none is two things.
    names: BTreeMap<Vec<u8>, String>,
    memberships: BTreeMap<(HostNumber, Life), Membership>,
    allowed: BTreeSet<HostNumber>,
    evicting: BTreeSet<HostNumber>,
    evicted: BTreeSet<HostNumber>,
    rests: Vec<Rest>,
}

impl Judgement {
    /// Takes a rekey message that was not heard before.
    pub(crate) fn push(&mut self, datagram: Vec<u8>) {
        self.pushes.push(datagram);
    }

    /// Takes a data packet.
    pub(crate) fn data(&mut self, port: u16, esp: &[u8]) {
        let Some(head) = esp.first_chunk::<ESP_HEAD_LEN>() else { return };
        self.verdict.data += 1;
        let spi: [u8; 4] = head[..4].try_into().unwrap();
        let iv: [u8; 8] = head[8..].try_into().unwrap();
        let mut name = [0; ESP_HEAD_LEN - 4];
        name[..4].copy_from_slice(&spi);
        name[4..].copy_from_slice(&iv);
        let earlier = self.ivs.entry(name).or_insert_with(|| esp.to_vec());
        if earlier != esp {
            self.violated(REUSED, format!("IV {iv:02x?} under SPI {spi:02x?} by two packets"));
        }
        let sender = (u32::from_be_bytes(spi), u16::from_be_bytes([iv[0], iv[1]]));
        let by = *self.senders.entry(sender).or_insert(port);
        if by != port {
            self.violated(REUSED, format!("sender id {} under SPI {:08x} by two hosts", sender.1, sender.0));
        }
    }

    /// Takes a line of testimony.
    pub(crate) fn hear(&mut self, line: Line) {
        self.now += 1;
        match line {
            Line::Allowed { host } => _ = self.allowed.insert(host),
            Line::Asked { host, life } => self.asked(host, life),
            Line::Granted { host, life } => self.granted(host, life),
            Line::Refused { host, life, reason } => {
                self.verdict.returns_refused += usize::from(self.evicted.contains(&host));
                // Told once.
                if !self.evicting.contains(&host) && self.allowed.remove(&host) {
                    self.violated("forgotten:", format!("host {host}.{life} was allowed: {reason}"));
                }
            }
            Line::Pulled { host, life, sender_ids } => self.pulled(host, life, &sender_ids),
            Line::Tek { host, life, spi, key } => self.tek(host, life, spi, key),
            Line::Rekey { host, life, rekey } => self.rekey(host, life, &rekey),
            Line::Left { host, life } => {
                self.verdict.departures += 1;
                self.membership(host, life).departed = Some(self.now);
            }
            Line::Evicting { host } => _ = self.evicting.insert(host),
            Line::Evicted { host } => {
                self.verdict.departures += 1;
                self.evicted.insert(host);
                let now = self.now;
                let all = self.memberships.range_mut((host, 0)..=(host, Life::MAX));
                all.for_each(|(_, membership)| _ = membership.departed.get_or_insert(now));
            }
            Line::PutOut { host, life } => {
                if !self.evicting.contains(&host) {
                    self.violated("forgotten:", format!("host {host}.{life} was put out unasked"));
                }
            }
            Line::Killed { how } => self.last_kill = how,
            Line::Settled { kek, tek, took_ms, .. } => {
                self.verdict.settled += 1;
                self.verdict.slowest_ms = self.verdict.slowest_ms.max(took_ms);
                self.rests.push(Rest { at: self.now, kek, tek });
            }
            Line::Lags { host, life, holds, in_force } => {
                self.violated("lags:", format!("host {host}.{life} holds {holds}, in force is {in_force}"));
            }
        }
    }

    fn membership(&mut self, host: HostNumber, life: Life) -> &mut Membership {
        self.memberships.entry((host, life)).or_default()
    }

    fn asked(&mut self, host: HostNumber, life: Life) {
        let earlier = self.memberships.range((host, 0)..(host, life)).next_back();
        let afresh = earlier.is_none_or(|(_, membership)| membership.departed.is_some());
        // Otherwise the server may not know that the host was ever gone.
        let ledger = earlier.filter(|_| !afresh).map(|(_, membership)| membership.ledger.clone());
        let ledger = ledger.unwrap_or_default();
        let membership = Membership { asked: self.now, afresh, ledger, ..Membership::default() };
        self.memberships.insert((host, life), membership);
    }

    fn granted(&mut self, host: HostNumber, life: Life) {
        if self.evicted.contains(&host) {
            self.violated(REVIVED, format!("host {host} was evicted, and granted a registration"));
        }
        if self.membership(host, life).keyed.is_some() {
            self.violated("forgotten:", format!("host {host}.{life} held keys and had to register again"));
        }
    }

    fn pulled(&mut self, host: HostNumber, life: Life, sender_ids: &[(u32, u32)]) {
        self.verdict.pulls += 1;
        let now = self.now;
        self.membership(host, life).keyed.get_or_insert(now);
        if self.evicted.contains(&host) {
            self.violated(REVIVED, format!("host {host} was evicted, and pulled keys"));
        }
        for (spi, id) in sender_ids {
            let by = *self.sender_ids.entry((*spi, *id)).or_insert((host, life));
            if by != (host, life) {
                let what =
                    format!("sender id {id} under SPI {spi:08x} for hosts {by:?} and {:?}", (host, life));
                self.violated(REUSED, what);
            }
        }
        let mut fresh = false;
        let seen = &mut self.membership(host, life).sender_ids;
        sender_ids.iter().for_each(|(_, id)| fresh |= seen.insert(*id));
        if !fresh {
            self.violated(REUSED, format!("a PULL of host {host}.{life} brought no new sender id"));
        }
    }

    fn tek(&mut self, host: HostNumber, life: Life, spi: u32, key: Vec<u8>) {
        self.named(&key, format!("TEK {spi:08x}"));
        let earlier = self.tek_keys.insert(spi, key.clone());
        self.unchanged(earlier, &key, &format!("TEK SPI {spi:08x}"));
        self.membership(host, life).ledger.enter_tek(&testimony::tek(spi, &key));
    }

    fn rekey(&mut self, host: HostNumber, life: Life, rekey: &RekeyKeys) {
        let value = (rekey.key.clone(), rekey.iv);
        let earlier = self.kek_keys.insert(rekey.spi, value.clone());
        self.unchanged(earlier, &value, &format!("KEK SPI {:02x?}", rekey.spi));
        let path = rekey.path_keys();
        let root = path.len() - 1;
        for (place, (id, handle, data)) in path.into_iter().enumerate() {
            let earlier = self.path_keys.insert((id, handle), data.clone());
            self.unchanged(earlier, &data, &format!("LKH id {id} handle {handle}"));
            // Behind the IV of 16 octets stands the key; the root's is the KEK.
            let name = format!("LKH id {id} handle {handle}");
            self.named(&data[16..], name);
            if place == root && data[16..] != rekey.key {
                self.violated("wrong:", format!("KEK {:02x?} is not the root of its path", rekey.spi));
            }
        }
        self.named_kek(rekey);
        self.membership(host, life).ledger.rekeys.push(rekey.held());
    }

    fn named_kek(&mut self, rekey: &RekeyKeys) {
        // Under a prefix of its own, as the root of the tree has the same key.
        let key = [b"KEK", &rekey.key[..]].concat();
        self.named(&key, format!("KEK {:02x?}", rekey.spi));
    }

    /// Holds that a name stands for one value.
    fn unchanged<T: PartialEq + Debug>(&mut self, earlier: Option<T>, value: &T, name: &str) {
        if earlier.is_some_and(|earlier| earlier != *value) {
            self.violated(REUSED, format!("{name} for two keys"));
        }
    }

    /// Holds that a value stands under one name.
    fn named(&mut self, key: &[u8], name: String) {
        if let Some(earlier) = self.names.insert(key.to_vec(), name.clone())
            && earlier != name
        {
            self.violated(REUSED, format!("the same key as {earlier} and as {name}"));
        }
    }

    fn violated(&mut self, kind: &str, what: String) {
        let violation = format!("{kind} {what} (after {})", self.last_kill);
        self.verdict.violations.push(violation);
    }

    /// Judges what needs the whole recording.
    pub(crate) fn verdict(mut self) -> Verdict {
        self.judge_sequence_numbers();
        self.judge_memberships();
        let verdict = &mut self.verdict;
        verdict.pushes = self.pushes.len();
        verdict.teks = self.tek_keys.len();
        verdict.keks = self.kek_keys.len();
        verdict.path_keys = self.path_keys.len();
        self.verdict
    }

    /// One KEK SPI and sequence number is one datagram.
    fn judge_sequence_numbers(&mut self) {
        let held: BTreeMap<[u8; 16], LedgerRekey> = self
            .memberships
            .values()
            .flat_map(|membership| &membership.ledger.rekeys)
            .map(|rekey| (rekey.kek.spi.0, rekey.clone()))
            .collect();
        let mut numbers: BTreeSet<([u8; 16], u32)> = BTreeSet::new();
        for datagram in std::mem::take(&mut self.pushes).iter() {
            self.pushes.push(datagram.clone());
            let Some(rekey) = push::cookies(datagram).and_then(|cookies| held.get(&cookies.0)) else {
                continue;
            };
            let signature = rekey.signing_key.algorithm();
            let sa = RekeySa::new(provider(), rekey.kek.clone(), rekey.signing_key.clone(), signature, 0);
            match sa.unwrap().open(datagram) {
                Ok(message) => {
                    self.verdict.pushes_opened += 1;
                    if !numbers.insert((message.spi().0, message.sequence())) {
                        let what = format!("number {} under KEK {}", message.sequence(), message.spi());
                        self.violated(REUSED, format!("{what} for two rekey messages"));
                    }
                }
                Err(error) => {
                    let what = format!("a rekey message under a known KEK does not open: {error}");
                    self.violated(REUSED, what);
                }
            }
        }
    }

    /// Says when hosts that were not put out had asked to come back and had no keys yet: until then a departure may be taken
    /// back, and what the host had before is still in force.
    fn pending(&self) -> BTreeMap<HostNumber, Vec<Range<usize>>> {
        let mut pending: BTreeMap<HostNumber, Vec<Range<usize>>> = BTreeMap::new();
        let asked = self.memberships.iter().filter(|((host, _), _)| !self.evicted.contains(host));
        for ((host, _), membership) in asked {
            let end = membership.keyed.or(membership.departed).unwrap_or(usize::MAX);
            pending.entry(*host).or_default().push(membership.asked..end);
        }
        pending
    }

    /// No departed member's keys lead to what was in force after it, no newcomer's to what was before.
    fn judge_memberships(&mut self) {
        let pushes: Vec<&[u8]> = self.pushes.iter().map(Vec::as_slice).collect();
        let mut violations = Vec::new();
        let pending = self.pending();
        for ((host, life), membership) in &mut self.memberships {
            let departed = membership.departed.unwrap_or(usize::MAX);
            let asked = if membership.afresh { membership.asked } else { 0 };
            if !self.rests.iter().any(|rest| departed < rest.at || rest.at < asked) {
                continue;
            }
            trial::close(&mut membership.ledger, provider(), &pushes);
            let ledger = &membership.ledger;
            for rest in &self.rests {
                let tek = self.tek_keys.get(&rest.tek);
                let opens = ledger.rekeys.iter().any(|rekey| rekey.kek.spi.0 == rest.kek)
                    || ledger
                        .teks
                        .iter()
                        .any(|held| Some(held.keys.encryption.expose()) == tek.map(|k| &k[..]));
                let is_taken_back = pending.get(host).is_some_and(|spans| {
                    spans.iter().any(|span| departed < span.start && span.contains(&rest.at))
                });
                if opens && departed < rest.at && !is_taken_back {
                    violations.push(format!(
                        "{REVIVED} host {host}.{life} left, and its keys open what came later"
                    ));
                }
                if opens && rest.at < asked {
                    violations.push(format!(
                        "{REVIVED} host {host}.{life} came, and its keys open what was before"
                    ));
                }
            }
        }
        self.verdict.violations.extend(violations);
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::cipher::CipherAlgorithm;
    use claviger_gdoi::{lkh, lkh::Link};
    use claviger_wire::Writer;

    use super::*;

    /// A rekey SA whose path is one leaf and the root.
    fn rekey(spi: u8, key: u8, handle: u32, leaf: u8) -> Box<RekeyKeys> {
        let root = Link::new(1, handle, [9; 16], &[key; 16]);
        let mut path = Writer::new();
        let keys = [Link::new(5, handle, [8; 16], &[leaf; 16]), root];
        lkh::download_array(&keys).encode(&mut path).unwrap();
        assert_eq!(CipherAlgorithm::Aes128Cbc.key_len(), 16);
        Box::new(RekeyKeys {
            spi: [spi; 16],
            iv: [9; 16],
            key: vec![key; 16],
            signing_key: vec![4; 64],
            path: path.into_octets(),
        })
    }

    fn tek(spi: u32, key: u8) -> Line {
        Line::Tek { host: 0, life: 1, spi, key: vec![key; 20] }
    }

    fn settled() -> Line {
        Line::Settled { kek: [7; 16], tek: 1000, members: 1, took_ms: 1 }
    }

    /// Hears the testimony, and says how often it is convicted.
    fn convictions(lines: impl IntoIterator<Item = Line>) -> usize {
        let mut judgement = Judgement::default();
        lines.into_iter().for_each(|line| judgement.hear(line));
        let violations = judgement.verdict().violations;
        assert!(violations.iter().all(|violation| is_reuse(violation)), "{violations:?}");
        violations.len()
    }

    #[test]
    fn convicts_keys_and_names_that_are_used_twice() {
        let told = |rekey| Line::Rekey { host: 0, life: 1, rekey };
        assert_eq!(convictions([tek(1000, 1), tek(1000, 1), tek(1001, 2)]), 0);
        assert_eq!(convictions([tek(1000, 1), tek(1000, 2)]), 1, "one SPI, two TEKs");
        assert_eq!(convictions([tek(1000, 1), tek(1001, 1)]), 1, "one TEK, two SPIs");
        assert_eq!(convictions([told(rekey(7, 1, 1, 11)), told(rekey(8, 2, 2, 12))]), 0);
        assert!(convictions([told(rekey(7, 1, 1, 11)), told(rekey(7, 2, 2, 12))]) > 0, "one SPI, two KEKs");
        assert!(convictions([told(rekey(7, 1, 1, 11)), told(rekey(8, 1, 2, 12))]) > 0, "one KEK, two SPIs");
        assert!(
            convictions([told(rekey(7, 1, 1, 11)), told(rekey(8, 2, 1, 12))]) > 0,
            "one handle, two keys"
        );
        assert!(
            convictions([told(rekey(7, 1, 1, 11)), told(rekey(8, 2, 2, 11))]) > 0,
            "one leaf, two handles"
        );
    }

    #[test]
    fn convicts_sender_ids_that_serve_twice() {
        let pulled = |host, id| Line::Pulled { host, life: 1, sender_ids: vec![(1000, id)] };
        assert_eq!(convictions([pulled(0, 1), pulled(1, 2), pulled(0, 3)]), 0);
        assert_eq!(convictions([pulled(0, 1), pulled(1, 1)]), 1, "two hosts");
        assert_eq!(convictions([pulled(0, 1), pulled(0, 1)]), 1, "two PULLs of one host");
    }

    #[test]
    fn convicts_packets_that_share_an_iv_or_a_sender_id() {
        let packet =
            |iv: u8, body: u8| [&[0, 0, 4, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 0, 0, iv][..], &[body; 24]].concat();
        let heard = |packets: &[(u16, Vec<u8>)]| {
            let mut judgement = Judgement::default();
            packets.iter().for_each(|(port, octets)| judgement.data(*port, octets));
            judgement.verdict().violations.len()
        };
        assert_eq!(heard(&[(5, packet(1, 1)), (5, packet(2, 2)), (5, packet(1, 1))]), 0);
        assert_eq!(heard(&[(5, packet(1, 1)), (5, packet(1, 2))]), 1, "one IV, two packets");
        assert_eq!(heard(&[(5, packet(1, 1)), (6, packet(2, 2))]), 1, "one sender id, two hosts");
    }

    #[test]
    fn convicts_the_revival_of_who_was_evicted() {
        let out = [Line::Evicting { host: 0 }, Line::Evicted { host: 0 }];
        let back = |line: Line| out.clone().into_iter().chain([line]);
        let reason = String::new();
        assert_eq!(convictions(back(Line::Refused { host: 0, life: 2, reason })), 0);
        assert_eq!(convictions(back(Line::Granted { host: 0, life: 2 })), 1);
        assert_eq!(convictions(back(Line::Pulled { host: 0, life: 2, sender_ids: vec![(1000, 1)] })), 1);
    }

    #[test]
    fn convicts_keys_that_reach_beyond_a_membership() {
        let asked = Line::Asked { host: 0, life: 1 };
        let held = Line::Rekey { host: 0, life: 1, rekey: rekey(7, 1, 1, 11) };
        let left = Line::Left { host: 0, life: 1 };
        let lines = [asked.clone(), held.clone(), settled(), left.clone()];
        assert_eq!(convictions(lines), 0, "what was in force meanwhile");
        assert_eq!(convictions([asked.clone(), held.clone(), left, settled()]), 1, "what came later");
        assert_eq!(convictions([settled(), asked.clone(), held.clone()]), 1, "what was before");
        // A host that asks again before its departure is rekeyed may hold what is in force until it is given other keys.
        let left = Line::Left { host: 0, life: 1 };
        let again = Line::Asked { host: 0, life: 2 };
        let pulled = Line::Pulled { host: 0, life: 2, sender_ids: vec![(1000, 1)] };
        let lines = [asked, held, left, again];
        assert_eq!(
            convictions(lines.clone().into_iter().chain([settled()])),
            0,
            "a departure that is taken back"
        );
        assert_eq!(convictions(lines.into_iter().chain([pulled, settled()])), 1, "and then keys of before");
    }
}
