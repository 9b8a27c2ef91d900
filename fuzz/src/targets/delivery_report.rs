//! Reports of receivers to the sender of a batch.

use claviger_delivery::{
    Batch, BatchId, Outgoing, Proactivity, ReceiverId, Sender, SenderConfig, wire::Report,
};
use claviger_sansio::Time;

use crate::{claim, script::pieces};

const ID: BatchId = BatchId { spi: [0; 16], first_sequence: 0 };
const DATAGRAMS: u16 = 20;

/// Sends and waits until `sender` has nothing to do at once.
fn drain(
    sender: &mut Sender,
    mut now: Time,
    unsealed: &mut impl FnMut(Vec<Vec<u8>>) -> Vec<Vec<u8>>,
) -> Time {
    for _ in 0..1_000 {
        sender.handle_timeout(now, unsealed);
        while let Some(outgoing) = sender.poll_transmit(now) {
            if let Outgoing::Datagram { index } | Outgoing::Unicast { index, .. } = outgoing {
                assert!(index < DATAGRAMS);
            }
        }
        while sender.poll_event().is_some() {}
        match sender.poll_timeout() {
            Some(due) if due <= now + SenderConfig::default().pace => now = now.max(due),
            _ => break,
        }
    }
    now
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let unsealed = &mut |payloads| payloads;
    let config = SenderConfig { block_datagrams: 7, rounds: 3, ..SenderConfig::default() };
    let datagrams = (0..DATAGRAMS).map(|index| vec![index as u8; 20]).collect();
    let batch = Batch { id: ID, datagrams, audience: Vec::new(), labels: Vec::new(), receivers: 100 };
    let mut now = Time::from_secs(1);
    let mut sender =
        Sender::new(config, batch, Proactivity::default(), now, unsealed).expect("the batch is sound");
    now = drain(&mut sender, now, unsealed);
    for (kind, piece) in pieces(input) {
        claim::codec::<Report>(piece);
        if kind % 4 == 0 {
            now = sender.poll_timeout().unwrap_or(now).max(now);
        } else {
            let _ = sender.handle_report(now, ReceiverId(kind.into()), piece);
        }
        now = drain(&mut sender, now, unsealed);
    }
    let traffic = sender.traffic();
    let most = u64::from(DATAGRAMS) * 2 * u64::from(config.rounds);
    assert!(traffic.repairs <= most, "{traffic:?}");
}
