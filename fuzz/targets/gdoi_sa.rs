//! An SA payload with all that stands inside it.
#![no_main]

use claviger_fuzz::{claim, group};
use claviger_gdoi::{Dialect, SaPayload};
use claviger_wire::Writer;
use libfuzzer_sys::fuzz_target;

fn encode(sa: &SaPayload) -> Vec<u8> {
    let mut w = Writer::new();
    sa.encode(&mut w).expect("a payload that was read can be written");
    w.into_octets()
}

fuzz_target!(|input: &[u8]| {
    let Ok(sa) = SaPayload::decode(input, Dialect::RFC) else { return };
    claim::survives(&sa, encode, |octets| SaPayload::decode(octets, Dialect::RFC));
    let _ = sa.supported();
    for tek in &sa.teks {
        let _ = tek.to_tek(&group::tek().keys);
    }
});
