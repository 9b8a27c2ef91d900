//! The control interface: records in a stream that arrives in pieces, and JSON bodies.

use std::net::IpAddr;

use claviger_api::{
    policy::GroupPolicyOptions,
    record::{Record, RecordDecoder},
    view::{GroupAdd, MemberAllow, RekeyOrder},
};
use serde_json::{from_slice, to_vec};

use crate::claim;

/// Reads every record of a stream that arrives `step` octets at a time.
fn records(stream: &[u8], step: usize) -> (Vec<Record>, bool) {
    let mut decoder = RecordDecoder::default();
    let mut records = Vec::new();
    for piece in stream.chunks(step) {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(_) => return (records, false),
            }
        }
    }
    let is_whole = decoder.finish().is_ok();
    (records, is_whole)
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Some((step, stream)) = input.split_first() {
        let whole = records(stream, usize::MAX);
        assert_eq!(records(stream, usize::from(*step).max(1)), whole, "how it is cut does not matter");
        if let (read, true) = whole {
            let written: Vec<u8> =
                read.iter().flat_map(|record| record.encode().expect("it is short")).collect();
            assert_eq!(written, stream);
        }
    }
    if let Ok(add) = from_slice::<GroupAdd>(input) {
        claim::survives(&add, |add| to_vec(add).expect("it is plain"), |octets| from_slice(octets));
    }
    if let Ok(options) = from_slice::<GroupPolicyOptions>(input) {
        claim::survives(
            &options,
            |options| to_vec(options).expect("it is plain"),
            |octets| from_slice(octets),
        );
        if let Ok(policy) = options.resolve(IpAddr::from([239, 192, 0, 1])) {
            let _ = policy.check(1_000);
        }
    }
    let _ = from_slice::<MemberAllow>(input);
    let _ = from_slice::<RekeyOrder>(input);
}
