//! Finds secrets in logs, in every form in which octets come to be written by mistake.

use std::collections::{BTreeMap, HashMap};

use claviger_crypto::{cipher::CipherAlgorithm, provider};
use claviger_hip::{
    iana::CipherId,
    keys::{Hosts, Keymat, Prk},
    registration::Side,
};
use claviger_hip_groups::{iana::GCKS_GDOI, keys::registration_keys};
use claviger_identity::{Hit, HitSuite};
use claviger_proof::Ledger;

/// How many octets in a row betray a secret: the shortest key here has as many.
const RUN: usize = 16;

/// How many of these differ at least in what was drawn by chance. Fewer are padding.
const DISTINCT_MIN: usize = 8;

/// Every run of octets that no log may have.
#[derive(Default)]
pub(crate) struct Secrets {
    runs: HashMap<[u8; RUN], &'static str>,
    /// What the first and the next three octets of a run may be, so that a log is searched quickly.
    heads: [Heads; 2],
    kinds: BTreeMap<&'static str, usize>,
}

/// A set of three octets each.
struct Heads(Vec<u64>);

impl Default for Heads {
    fn default() -> Self {
        Self(vec![0; 1 << 18])
    }
}

impl Heads {
    fn at(octets: &[u8]) -> (usize, u64) {
        let number = usize::from(octets[0]) << 16 | usize::from(octets[1]) << 8 | usize::from(octets[2]);
        (number / 64, 1 << (number % 64))
    }

    fn insert(&mut self, octets: &[u8]) {
        let (word, bit) = Self::at(octets);
        self.0[word] |= bit;
    }

    fn contains(&self, octets: &[u8]) -> bool {
        let (word, bit) = Self::at(octets);
        self.0[word] & bit != 0
    }
}

impl Secrets {
    /// Adds octets of which no sixteen in a row may be seen.
    pub(crate) fn add(&mut self, kind: &'static str, octets: &[u8]) {
        *self.kinds.entry(kind).or_default() += 1;
        for run in octets.windows(RUN) {
            let run: [u8; RUN] = run.try_into().unwrap();
            let mut sorted = run.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() >= DISTINCT_MIN {
                self.heads[0].insert(&run);
                self.heads[1].insert(&run[3..]);
                self.runs.insert(run, kind);
            }
        }
    }

    /// Takes out what stands among secrets and is none: names of SAs.
    pub(crate) fn except(&mut self, octets: &[u8; RUN]) {
        self.runs.remove(octets);
    }

    /// Adds what a key server stores of an association, and all keys that hang on it.
    pub(crate) fn add_association(&mut self, server: Hit, peer: Hit, snapshot: &[u8]) {
        self.add("HIP association", snapshot);
        let suites = [HitSuite::of_hit(server), HitSuite::of_hit(peer)].into_iter().flatten();
        for rhash in suites.map(|suite| suite.rhash()) {
            // The last part of it; which host began decides whose hash it is.
            let length = provider().prf(rhash).unwrap().output_len();
            let prk = Prk::new(&snapshot[snapshot.len() - length..]);
            for cipher in [CipherId::AES_128_CBC, CipherId::AES_256_CBC] {
                let hosts = Hosts { local: server, peer };
                let keymat = Keymat::derive(provider(), rhash, cipher, prk.clone(), hosts).unwrap();
                for keys in [keymat.outgoing(), keymat.incoming()] {
                    self.add("HIP encryption key", keys.encryption.expose());
                    self.add("HIP integrity key", keys.integrity.expose());
                }
                let sa = registration_keys(&keymat, GCKS_GDOI, Side::Registrar).unwrap();
                for skeyid in [&sa.skeyid_d, &sa.skeyid_a, &sa.skeyid_e] {
                    self.add("SKEYID", skeyid.expose());
                }
                self.except(&sa.cookies.0);
            }
        }
    }

    /// Adds every key that a member ever held of a group.
    pub(crate) fn add_ledger(&mut self, ledger: &Ledger) {
        for tek in &ledger.teks {
            self.add("TEK encryption key", tek.keys.encryption.expose());
            self.add("TEK integrity key", tek.keys.integrity.expose());
        }
        for rekey in &ledger.rekeys {
            assert!(matches!(rekey.kek.cipher, CipherAlgorithm::Aes128Cbc | CipherAlgorithm::Aes256Cbc));
            self.add("KEK", rekey.kek.key.expose());
            for link in rekey.lkh.iter().flat_map(|array| array.keys()) {
                self.add("LKH key", link.key.expose());
            }
        }
        for key in ledger.nodes.values().flatten() {
            self.add("LKH-32 key", key.key());
        }
    }

    /// Says how many secrets of each kind there are.
    pub(crate) fn kinds(&self) -> &BTreeMap<&'static str, usize> {
        &self.kinds
    }

    /// Says what of them is in a log, and how.
    pub(crate) fn found_in(&self, log: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        self.look("raw", log, &mut found);
        self.look("escaped", &unescaped(log), &mut found);
        for digits in runs_of(log, 2 * RUN, u8::is_ascii_hexdigit) {
            for start in 0..2 {
                self.look("hex", &hex(&digits[start..]), &mut found);
            }
        }
        for digits in runs_of(log, RUN * 4 / 3 + 1, |octet| base64_digit(*octet).is_some()) {
            for start in 0..4 {
                self.look("base64", &base64(&digits[start..]), &mut found);
            }
        }
        for octets in lists(log, |token| token.parse().ok()) {
            self.look("list", &octets, &mut found);
        }
        for octets in lists(log, hex_octet) {
            self.look("list of hex", &octets, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn look(&self, form: &str, octets: &[u8], found: &mut Vec<String>) {
        for run in octets.windows(RUN) {
            if self.heads[0].contains(run)
                && self.heads[1].contains(&run[3..])
                && let Some(kind) = self.runs.get(run)
            {
                found.push(format!("{kind}, {form}"));
            }
        }
    }
}

/// Finds the longest runs of octets of a kind that are not too short.
fn runs_of(log: &[u8], least: usize, is_digit: impl Fn(&u8) -> bool) -> Vec<&[u8]> {
    log.split(|octet| !is_digit(octet)).filter(|run| run.len() >= least).collect()
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Values of either alphabet of RFC 4648.
fn base64_digit(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

fn base64(digits: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    for group in digits.chunks(4) {
        let values = group.iter().map(|digit| u32::from(base64_digit(*digit).unwrap()));
        let bits = values.fold(0, |bits, value| bits << 6 | value) << (6 * (4 - group.len()));
        octets.extend_from_slice(&bits.to_be_bytes()[1..1 + group.len() * 6 / 8]);
    }
    octets
}

fn hex_octet(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("0x").unwrap_or(token);
    (digits.len() <= 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Finds octets that are written one by one, with commas, colons or blanks between them.
fn lists(log: &[u8], octet: impl Fn(&str) -> Option<u8>) -> Vec<Vec<u8>> {
    let is_between = |octet: &u8| matches!(octet, b',' | b':' | b' ' | b'\n' | b'-');
    let mut lists = Vec::new();
    for part in log.split(|octet| !octet.is_ascii_alphanumeric() && !is_between(octet)) {
        let mut octets = Vec::new();
        for token in part.split(is_between).filter(|token| !token.is_empty()) {
            match std::str::from_utf8(token).ok().and_then(&octet) {
                Some(octet) => octets.push(octet),
                None => lists.push(std::mem::take(&mut octets)),
            }
        }
        lists.push(octets);
    }
    lists.retain(|octets| octets.len() >= RUN);
    lists
}

/// Takes back what the Debug of text and of octets escapes.
fn unescaped(log: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(log.len());
    let mut rest = log;
    while let Some((&octet, behind)) = rest.split_first() {
        let (octet, length) = match (octet, behind) {
            (b'\\', [b'x', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(&[*high, *low])[0], 4)
            }
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'0', ..]) => (0, 2),
            (b'\\', [escaped @ (b'\\' | b'"' | b'\''), ..]) => (*escaped, 2),
            (octet, _) => (octet, 1),
        };
        octets.push(octet);
        rest = &rest[length..];
    }
    octets
}

#[test]
fn a_secret_is_found_in_every_form_and_in_the_midst_of_others() {
    let key: Vec<u8> = (0..32u8).map(|number| number.wrapping_mul(57).wrapping_add(0x9b)).collect();
    let mut secrets = Secrets::default();
    secrets.add("planted", &key);
    let (part, hexed) = (&key[5..21], |octets: &[u8], upper: bool| -> String {
        octets.iter().map(|o| if upper { format!("{o:02X}") } else { format!("{o:02x}") }).collect()
    });
    let base64ed = |octets: &[u8]| -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |group: &[u8]| -> String {
            let bits = group.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet));
            let bits = bits << (8 * (3 - group.len()));
            (0..=group.len()).map(|i| char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 0x3f])).collect()
        };
        octets.chunks(3).map(group).collect()
    };
    let forms: [(&str, Vec<u8>); 9] = [
        ("raw", part.to_vec()),
        ("hex", hexed(part, false).into()),
        ("hex", hexed(part, true).into()),
        ("hex", format!("0{}", hexed(part, false)).into()),
        ("base64", base64ed(part).into()),
        ("base64", base64ed(&[&[1, 2], part, &[3]].concat()).into()),
        ("list", format!("{part:?}").into()),
        ("list of hex", format!("{part:02x?}").into()),
        ("escaped", part.escape_ascii().to_string().into()),
    ];
    for (form, octets) in forms {
        let log = [b"2026-01-01T00:00:00Z TRACE claviger_hip: key=", &octets[..], b" length=16\n"].concat();
        let found = secrets.found_in(&log);
        assert!(found.contains(&format!("planted, {form}")), "{form}: {found:?}");
        assert_eq!(secrets.found_in(b"key=SecretBytes(..) spi=00010203 length=16\n"), Vec::<String>::new());
    }
}
