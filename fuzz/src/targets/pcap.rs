//! A capture file, as the tests read those of other implementations.

use claviger_testkit::pcap;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    for packet in pcap::parse(input).into_iter().flatten() {
        if let Some((_, _, data)) = packet.udp() {
            assert!(data.len() + 8 <= packet.payload.len(), "data stand behind the header");
        }
    }
}
