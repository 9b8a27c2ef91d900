//! An ISAKMP message: header, chain of payloads, and the rules of what stands where.

use claviger_gdoi::rules;
use claviger_isakmp::{iana::PayloadType, rules::check, wire::{Header, header::peek, payload::{Chain, ChainWriter}}};
use claviger_wire::{Decode, Encode, rules::Rule};

const RULES: [&[Rule<PayloadType>]; 6] =
    [rules::PULL_1, rules::PULL_2, rules::PULL_3, rules::PULL_4, rules::PUSH, rules::INFORMATIONAL];

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Ok((header, ciphertext)) = Header::split(input) {
        assert_eq!(peek(input), Some((header.exchange, header.cookies)));
        assert_eq!(Header::from_octets(&header.to_octets()), Ok(header));
        assert_eq!(input, [header.to_octets(), ciphertext.to_vec()].concat());
    }
    let Some((first, plaintext)) = input.split_first() else { return };
    let Ok(chain) = Chain::parse(PayloadType(*first), plaintext) else { return };
    for table in RULES {
        let _ = check(table, &chain.payloads);
    }
    let mut again = ChainWriter::new();
    for payload in &chain.payloads {
        again.body(payload.kind, payload.body).expect("a payload that was read is short enough");
    }
    assert_eq!(again.octets(), &plaintext[..chain.length]);
}
