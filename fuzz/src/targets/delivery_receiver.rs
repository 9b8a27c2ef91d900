//! What a receiver of a batch takes from a sender that proved to be the group's and is hostile all the same: repairs,
//! announcements, directories and datagrams in any order.

use std::time::Duration;

use claviger_crypto::SeededRandom;
use claviger_delivery::{
    BatchId, Receiver, ReceiverConfig,
    seal::Authentic,
    wire::{Announcement, Directory, Repair},
};
use claviger_sansio::Time;

use crate::{claim, script::pieces};

const ID: BatchId = BatchId { spi: [0; 16], first_sequence: 0 };
const BUFFER: usize = 1 << 20;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let (mut now, random) = (Time::from_secs(1), &mut SeededRandom::new(1));
    let config = ReceiverConfig { buffer_octets_max: BUFFER, ..ReceiverConfig::default() };
    let mut receiver = Receiver::new(config, ID, now).with_labels([1, 2]);
    for (kind, piece) in pieces(input) {
        claim::codec::<Repair>(piece);
        claim::codec::<Announcement>(piece);
        claim::codec::<Directory>(piece);
        let (head, rest) = piece.split_at(piece.len().min(4));
        match (kind % 6, head) {
            (0, _) => {
                let _ = receiver.handle_control(now, Authentic::verified(piece), random);
            }
            (1, &[i0, i1, c0, c1]) => {
                let (index, count) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([c0, c1]));
                let _ = receiver.handle_datagram(now, index, count, rest);
            }
            (2, &[l0, l1, ..]) => receiver.limit_buffer(u16::from_be_bytes([l0, l1]).into()),
            (3, &[i0, i1, ..]) => receiver.reject(u16::from_be_bytes([i0, i1])),
            (4, _) => {
                now = receiver.poll_timeout().unwrap_or(now).max(now);
                receiver.handle_timeout(now, random);
            }
            _ => now = now + Duration::from_millis(u64::from(kind)),
        }
        // A lower limit drops nothing, so that the highest holds.
        assert!(receiver.buffered_octets() <= BUFFER);
        while let Some(recovered) = receiver.poll_recovered() {
            assert!(!recovered.octets.is_empty());
        }
        while receiver.poll_report().is_some() || receiver.poll_event().is_some() {}
    }
}
