//! Every GDOI payload but SA and KD, from a body that the fuzzer makes up.

use claviger_gdoi::{
    Gap,
    wire::{Notification, attribute::Attribute, delete, identification, nonce, public_key, sequence_number},
};
use claviger_wire::{Reader, Writer};

use crate::claim;

type Check = fn(&[u8]);

/// The first octet of an input chooses. Append only, or the corpus loses its meaning.
const CHECKS: &[Check] = &[
    |body| {
        if let Ok(gap) = Gap::decode(body) {
            claim::survives(&gap, |gap| written(|w| gap.encode(w)), Gap::decode);
        }
    },
    |body| {
        if let Ok(deletes) = delete::decode(body) {
            let encode = |deletes: &Vec<_>| written(|w| delete::encode(deletes, w).expect("they are alike"));
            claim::survives(&deletes, encode, delete::decode);
        }
    },
    |body| {
        // A notification of another DOI is read, but written as our own; so it is written once before the claim.
        if let Ok(notification) = Notification::decode(body) {
            claim::survives(&notification, |n| written(|w| n.encode(w)), Notification::decode);
        }
    },
    |body| {
        if let Ok(group) = identification::decode(body) {
            claim::survives(&group, |g| written(|w| identification::encode(g, w)), identification::decode);
        }
    },
    |body| {
        if let Ok(nonce) = nonce::decode(body) {
            assert_eq!(nonce, body);
        }
    },
    |body| {
        if let Ok(sequence) = sequence_number::decode(body) {
            assert_eq!(sequence.to_be_bytes(), body);
        }
    },
    |body| {
        if let Ok(key) = public_key::decode(body) {
            claim::survives(&key, public_key::encode, public_key::decode);
        }
    },
    |body| {
        let mut r = Reader::new(body);
        while let Ok(Some(attribute)) = Attribute::next(&mut r) {
            let _ = (attribute.basic("any"), attribute.variable("any"), attribute.number("any"));
        }
    },
];

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_octets()
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Some((choice, body)) = input.split_first() {
        CHECKS[usize::from(*choice) % CHECKS.len()](body);
    }
}
