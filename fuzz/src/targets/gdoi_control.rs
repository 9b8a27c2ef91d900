//! A member's rekey SA, fed with made-up messages of a delivery: proofs that the key server did not make, and genuine
//! ones of made-up payloads, whose bodies the decoders of the delivery read.

use claviger_crypto::provider;
use claviger_delivery::wire::{Announcement, Directory, Repair};
use claviger_gdoi::push::RekeySa;
use claviger_isakmp::iana::PayloadType;
use claviger_group::PushAuthentication;

use crate::{claim, group, isakmp, script};

/// What a made-up SIG payload may have at most: index, count, 16 nodes and a signature are less.
const SIG_LEN_MAX: usize = 1024;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let signing_key = group::SIGNER.public().clone();
    let kind = signing_key.algorithm();
    let sa = RekeySa::new(provider(), group::kek(), signing_key, kind, 0);
    let mut sa =
        sa.expect("the key is of its kind, and the provider has AES").with_form(PushAuthentication::Batch);
    assert!(sa.open_control(group::NOW, input).is_err(), "nobody forges a signature");

    // The SIG payload is the fuzzer's.
    let control = isakmp::chain(&script::piece(PayloadType::DELIVERY.0, b"repair"));
    let forged = isakmp::control_with_sig(group::KEK_SPI, control, &input[..input.len().min(SIG_LEN_MAX)]);
    assert!(sa.open_control(group::NOW, &forged).is_err(), "nor a branch");

    // The payloads are the fuzzer's.
    let index = input.first().map_or(0, |octet| u16::from(octet & 1));
    let datagram = isakmp::control(group::KEK_SPI, isakmp::chain(input), index);
    let Ok(control) = sa.open_control(group::NOW, &datagram).map(<[u8]>::to_vec) else { return };
    let said = script::pieces(input).find(|(kind, _)| *kind != PayloadType::NONE.0);
    assert_eq!(said, Some((PayloadType::DELIVERY.0, &control[..])), "one payload, and what it holds");
    assert!(sa.open_control(group::NOW, &datagram).is_ok(), "a copy is the same");
    claim::codec::<Announcement>(&control);
    claim::codec::<Directory>(&control);
    claim::codec::<Repair>(&control);
}
