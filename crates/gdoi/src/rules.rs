//! Which payload, how often, in which message.
//!
//! | message | payloads, in this order | encrypted under |
//! |---|---|---|
//! | GROUPKEY-PULL 1 | HASH, Nonce, ID | the registration SA |
//! | GROUPKEY-PULL 2 | HASH, Nonce, SA | the registration SA |
//! | GROUPKEY-PULL 3 | HASH, \[GAP\] | the registration SA |
//! | GROUPKEY-PULL 4 | HASH, \[SEQ\], KD | the registration SA |
//! | GROUPKEY-PUSH | SEQ, \[D...\], \[SA, KD\], SIG | the rekey SA |
//! | Informational | HASH, N | the registration SA |
//! | delivery control | DELIVERY, SIG | nothing |
//! | delivery report | HASH, DELIVERY | nothing |
//! | lease | HASH, LEASE | nothing |
//! | inside an SA payload | \[SA KEK\], \[GAP\], \[SA TEK...\] | |

use claviger_isakmp::iana::PayloadType;
use claviger_wire::rules::{Rule, one, optional, up_to};

use crate::limits::{DELETES_MAX, SA_TEKS_MAX};

use PayloadType as P;

/// HDR*, HASH(1), Ni, ID
pub const PULL_1: &[Rule<P>] = &[one(P::HASH), one(P::NONCE), one(P::ID)];

/// HDR*, HASH(2), Nr, SA
pub const PULL_2: &[Rule<P>] = &[one(P::HASH), one(P::NONCE), one(P::SA)];

/// HDR*, HASH(3) \[, GAP\]
pub const PULL_3: &[Rule<P>] = &[one(P::HASH), optional(P::GROUP_ASSOCIATED_POLICY)];

/// HDR*, HASH(4), \[SEQ,\] KD
pub const PULL_4: &[Rule<P>] = &[one(P::HASH), optional(P::SEQUENCE_NUMBER), one(P::KEY_DOWNLOAD)];

/// HDR*, SEQ, \[D,\] SA, KD, SIG; SA and KD are absent if there are no further SAs (RFC 6407 section 5.9).
pub const PUSH: &[Rule<P>] = &[
    one(P::SEQUENCE_NUMBER),
    up_to(DELETES_MAX, P::DELETE),
    optional(P::SA),
    optional(P::KEY_DOWNLOAD),
    one(P::SIG),
];

/// HDR*, HASH(1), N
pub const INFORMATIONAL: &[Rule<P>] = &[one(P::HASH), one(P::NOTIFICATION)];

/// HDR, DELIVERY, SIG (private use)
pub const DELIVERY_CONTROL: &[Rule<P>] = &[one(P::DELIVERY), one(P::SIG)];

/// HDR, HASH(1), DELIVERY (private use)
pub const DELIVERY_REPORT: &[Rule<P>] = &[one(P::HASH), one(P::DELIVERY)];

/// HDR, HASH, LEASE (private use), of either side
pub const LEASE: &[Rule<P>] = &[one(P::HASH), one(P::LEASE)];

/// Inside an SA payload; besides, SA KEK or SA TEK stands there.
//= rfc6407#section-5.2.1
//# When present, the order of the SA Attribute payloads MUST be: SAK,
//# GAP, and SATs.
pub const SA_ATTRIBUTES: &[Rule<P>] =
    &[optional(P::SA_KEK), optional(P::GROUP_ASSOCIATED_POLICY), up_to(SA_TEKS_MAX, P::SA_TEK)];

#[cfg(test)]
mod tests {
    use claviger_isakmp::{rules::check, wire::payload::RawPayload};

    use super::*;

    fn payloads(kinds: &[PayloadType]) -> Vec<RawPayload<'static>> {
        kinds.iter().map(|&kind| RawPayload { kind, body: &[], start: 0 }).collect()
    }

    #[test]
    fn payloads_stand_in_the_order_of_their_table() {
        let fits = |rules, kinds: &[P]| check(rules, &payloads(kinds)).is_ok();
        assert!(fits(PULL_1, &[P::HASH, P::NONCE, P::ID]));
        assert!(!fits(PULL_1, &[P::HASH, P::ID, P::NONCE]));
        assert!(!fits(PULL_1, &[P::HASH, P::NONCE]));
        assert!(!fits(PULL_1, &[P::HASH, P::NONCE, P::ID, P::ID]));
        assert!(fits(PULL_3, &[P::HASH]));
        assert!(fits(PULL_3, &[P::HASH, P::GROUP_ASSOCIATED_POLICY]));
        assert!(!fits(PULL_4, &[P::HASH, P::KEY_DOWNLOAD, P::SEQUENCE_NUMBER]));
        assert!(fits(PUSH, &[P::SEQUENCE_NUMBER, P::DELETE, P::DELETE, P::SIG]));
        assert!(fits(PUSH, &[P::SEQUENCE_NUMBER, P::SA, P::KEY_DOWNLOAD, P::SIG]));
        assert!(!fits(PUSH, &[P::SEQUENCE_NUMBER, P::SA, P::KEY_DOWNLOAD]));
        assert!(!fits(PUSH, &[P::SEQUENCE_NUMBER, P::SIG, P::SIG]));
        assert!(!fits(INFORMATIONAL, &[P::NOTIFICATION]));
    }
}
