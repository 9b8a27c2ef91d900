//! A member's rekey SA whose messages share a signature, fed with made-up proofs and with genuine ones of made-up
//! payloads.

use claviger_crypto::provider;
use claviger_gdoi::{push::RekeySa, wire::batch_signature::BatchSignature};
use claviger_group::PushAuthentication;
use claviger_wire::{Decode, Encode, Writer};

use crate::{group, isakmp};

const LAST_SEQUENCE: u32 = 5;

/// A piece: SEQ, 7.
const SEQUENCE_7: [u8; 7] = [18, 0, 4, 0, 0, 0, 7];

/// What a made-up SIG payload may have at most: index, count, 16 nodes and a signature are less.
const SIG_LEN_MAX: usize = 1024;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Ok(read) = BatchSignature::from_octets(input) {
        let mut w = Writer::new();
        read.encode(&mut w);
        assert_eq!(w.octets(), input);
    }
    let signing_key = group::SIGNER.public().clone();
    let kind = signing_key.algorithm();
    let sa = RekeySa::new(provider(), group::kek(), signing_key, kind, LAST_SEQUENCE);
    let mut sa =
        sa.expect("the key is of its kind, and the provider has AES").with_form(PushAuthentication::Batch);
    assert!(sa.open(input).is_err(), "nobody forges a signature");

    // The SIG payload is the fuzzer's.
    let forged = isakmp::push_with_sig(
        &group::kek(),
        isakmp::chain(&SEQUENCE_7),
        &input[..input.len().min(SIG_LEN_MAX)],
    );
    assert!(sa.open(&forged).is_err(), "nor a branch");

    // The message is one of a batch of two, of which the other is nobody's business.
    let index = input.first().map_or(0, |octet| u16::from(octet & 1));
    let Some(datagram) = isakmp::push_in_batch(&group::kek(), isakmp::chain(input), index) else { return };
    let Ok(rekey) = sa.open(&datagram) else { return };
    let place = rekey.batch().expect("it is in a batch");
    assert_eq!((place.index, place.count, rekey.sequence()), (index, 2, place.first + u32::from(index)));
    assert!(rekey.sequence() > LAST_SEQUENCE);
    sa.commit(&rekey);
    assert!(sa.open(&datagram).is_err(), "and never again");
}
