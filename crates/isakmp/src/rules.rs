//! Which payload stands in a message, and how often. The tables are the protocols'.

use claviger_wire::{
    DecodeError,
    rules::{self, Rule},
};

use crate::{iana::PayloadType, wire::payload::RawPayload};

/// Says whether the payloads are those of the table, in its order.
///
/// # Errors
///
/// [`DecodeError`] names the payload.
pub fn check(rules: &[Rule<PayloadType>], payloads: &[RawPayload<'_>]) -> Result<(), DecodeError> {
    rules::check(rules, payloads.iter().map(|payload| payload.kind), rules::nothing)
}

/// Finds the payload of a kind that [`check`] allows once.
pub fn body_of<'a>(payloads: &[RawPayload<'a>], kind: PayloadType) -> Option<&'a [u8]> {
    payloads.iter().find(|payload| payload.kind == kind).map(|payload| payload.body)
}

#[cfg(test)]
mod tests {
    use claviger_wire::rules::{one, optional};

    use super::*;

    #[test]
    fn a_payload_that_is_out_of_place_is_named() {
        let table = [one(PayloadType::HASH), optional(PayloadType::DELETE)];
        let judge = |kinds: &[PayloadType]| {
            let payloads: Vec<_> =
                kinds.iter().map(|&kind| RawPayload { kind, body: b"body", start: 0 }).collect();
            check(&table, &payloads).map(|()| body_of(&payloads, PayloadType::DELETE) == Some(&b"body"[..]))
        };
        assert_eq!(judge(&[PayloadType::HASH, PayloadType::DELETE]), Ok(true));
        assert_eq!(judge(&[PayloadType::HASH]), Ok(false));
        assert_eq!(judge(&[PayloadType::DELETE]), Err(DecodeError::Missing { what: "HASH" }));
        let stray = [PayloadType::HASH, PayloadType::KEY_DOWNLOAD];
        assert_eq!(judge(&stray), Err(DecodeError::Unexpected { what: "KD" }));
    }
}
