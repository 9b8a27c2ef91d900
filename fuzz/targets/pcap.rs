//! A capture file, as the tests read those of other implementations.
#![no_main]

use claviger_testkit::pcap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for packet in pcap::parse(input).into_iter().flatten() {
        if let Some((_, _, data)) = packet.udp() {
            assert!(data.len() + 8 <= packet.payload.len(), "data stand behind the header");
        }
    }
});
