//! The controls of a delivery, as GDOI seals them, and which batches are delivered.

use claviger_crypto::sign::{PublicKey, SigningKey};
use claviger_delivery::seal::Seal;
use claviger_gdoi::{
    limits::COPIED_BATCH_MAX,
    push::{control_room, seal_controls},
};
use claviger_group::CookiePair;

use crate::distribution::UDP_LEN;

/// How many controls share a signature. Twice as many would halve the cost of signing, which is small already, and spend
/// 32 octets more on each, for its branch.
const CONTROLS_SHARING: usize = 4;

/// Seals controls under a rekey SA.
pub(crate) struct Controls<'a> {
    pub(crate) spi: CookiePair,
    pub(crate) signing_key: &'a SigningKey,
}

impl Seal for Controls<'_> {
    fn seal(&mut self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let sealed = payloads.chunks(CONTROLS_SHARING).map(|controls| {
            seal_controls(self.spi, controls, self.signing_key)
                .expect("the group's key signs, and controls have the room that was found for them")
        });
        sealed.flatten().collect()
    }
}

/// Says how many octets of a control fit a datagram, if signatures by this key leave any.
pub(crate) fn room(key: &PublicKey) -> Option<usize> {
    control_room(UDP_LEN, key, CONTROLS_SHARING).ok()?
}

/// Says whether a batch of so many messages is delivered rather than copied; members conclude the same from the count.
pub(crate) fn is_delivered(count: usize) -> bool {
    count > COPIED_BATCH_MAX.into()
}
