//! Every GDOI payload but SA and KD, from a body that the fuzzer makes up.

use claviger_gdoi::{Gap, wire::{Deletes, Identification, Nonce, Notification, SequenceNumber, SubjectPublicKeyInfo}};
use claviger_isakmp::wire::attribute::Attribute;
use claviger_wire::{Decode, Encode, Reader, Writer};

use crate::claim;

type Check = fn(&[u8]);

/// The first octet of an input chooses. Append only, or the corpus loses its meaning.
const CHECKS: &[Check] = &[
    |body| {
        if let Ok(gap) = Gap::from_octets(body) {
            claim::survives(&gap, Gap::to_octets, |octets| Gap::from_octets(octets));
        }
    },
    |body| {
        if let Ok(deletes) = Deletes::from_octets(body) {
            let encode = |deletes: &Deletes| written(|w| deletes.encode(w).expect("they are alike"));
            claim::survives(&deletes, encode, |octets| Deletes::from_octets(octets));
        }
    },
    |body| {
        // A notification of another DOI is read, but written as our own; so it is written once before the claim.
        claim::codec::<Notification>(body);
    },
    |body| {
        claim::codec::<Identification>(body);
    },
    |body| {
        if let Ok(nonce) = Nonce::from_octets(body) {
            assert_eq!(nonce.0, body);
        }
    },
    |body| {
        if let Ok(sequence) = SequenceNumber::from_octets(body) {
            assert_eq!(sequence.0.to_be_bytes(), body);
        }
    },
    |body| {
        if let Ok(key) = SubjectPublicKeyInfo::from_octets(body) {
            claim::survives(&key, SubjectPublicKeyInfo::to_octets, |octets| SubjectPublicKeyInfo::from_octets(octets));
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
