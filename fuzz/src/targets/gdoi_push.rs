//! A member's rekey SA, fed with datagrams and with genuinely signed messages of made-up payloads.

use claviger_crypto::provider;
use claviger_gdoi::push::RekeySa;

use crate::{group, isakmp};

const LAST_SEQUENCE: u32 = 5;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let signing_key = group::SIGNER.public().clone();
    let kind = signing_key.algorithm();
    let sa = RekeySa::new(provider(), group::kek(), signing_key, kind, LAST_SEQUENCE);
    let mut sa = sa.expect("the key is of its kind, and the provider has AES");
    assert!(sa.open(input).is_err(), "nobody forges a signature");

    let datagram = isakmp::push(&group::kek(), isakmp::chain(input));
    let Ok(rekey) = sa.open(&datagram) else { return };
    assert!(rekey.sequence() > LAST_SEQUENCE);
    assert_eq!(rekey.gap(), rekey.sequence() - LAST_SEQUENCE - 1);
    sa.commit(&rekey);
    assert!(sa.open(&datagram).is_err(), "and never again");
}
