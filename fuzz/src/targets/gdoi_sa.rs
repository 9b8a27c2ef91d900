//! An SA payload with all that stands inside it.

use claviger_gdoi::{Dialect, Exchange, Extensions, SaPayload, policy};
use claviger_wire::Writer;

use crate::{claim, group};

fn encode(exchange: Exchange, sa: &SaPayload) -> Vec<u8> {
    let mut w = Writer::new();
    sa.encode(exchange, &mut w).expect("a payload that was read can be written");
    w.into_octets()
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    for exchange in [Exchange::Pull, Exchange::Push] {
        let decode = |octets: &[u8]| SaPayload::from_octets_in(octets, exchange, Dialect::RFC);
        let Ok(sa) = decode(input) else { continue };
        claim::survives(&sa, |sa| encode(exchange, sa), decode);
        let _ = sa.supported();
        let _ = policy::check_extensions(Extensions::NONE, &sa);
        for tek in &sa.teks {
            let _ = tek.to_tek(&group::tek().keys);
        }
    }
}
