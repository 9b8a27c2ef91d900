//! The streams of `send` and `recv` through the daemon.

use std::collections::BTreeMap;

use bytes::Bytes;
use claviger_api::{ApiError, ReceiveStream, Reply, SendStream, SendSummary};
use claviger_sansio::Counts;
use tokio::sync::{mpsc, watch};

use super::counter::Counter;
use super::gaps::{Gaps, Noted, Origin};

/// Payloads that wait for the loop: the streams behind them wait.
const QUEUE_LEN: usize = 64;

/// A payload that arrived.
pub(super) struct Delivery {
    pub(super) origin: Origin,
    pub(super) payload: Bytes,
}

/// The streams that want payloads.
#[derive(Default)]
pub(super) struct Receivers {
    streams: Vec<Receiver>,
    gaps: Gaps,
}

struct Receiver {
    payloads: mpsc::Sender<Bytes>,
    missing: watch::Sender<u64>,
    /// What had come when the stream began.
    before: Gaps,
}

impl Receivers {
    pub(super) fn add(&mut self, stream: ReceiveStream) {
        let ReceiveStream { group: _, payloads, missing, accepted } = stream;
        self.streams.push(Receiver { payloads, missing, before: self.gaps.clone() });
        accepted.send(Ok(()));
    }

    /// Hands a payload to every stream. What finds a stream full is missing there.
    pub(super) fn deliver(&mut self, delivery: &Delivery, counts: &mut Counts<Counter>) {
        let noted = self.gaps.note(&delivery.origin);
        self.streams.retain_mut(|receiver| receiver.take(delivery, noted, counts));
    }
}

impl Receiver {
    /// Takes a payload; says whether more are wanted.
    fn take(&mut self, delivery: &Delivery, noted: Noted, counts: &mut Counts<Counter>) -> bool {
        match noted {
            Noted::Skipped(count) => self.missing.send_modify(|missing| *missing += count),
            // What was late already when the stream began is not counted here.
            Noted::Late if !self.before.is_behind(&delivery.origin) => {
                self.missing.send_modify(|missing| *missing = missing.saturating_sub(1));
            }
            Noted::Late | Noted::Next => {}
        }
        match self.payloads.try_send(delivery.payload.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missing.send_modify(|missing| *missing += 1);
                counts.count(Counter::ReceiverTooSlow);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// The streams that bring payloads, merged into one.
pub(super) struct Senders {
    pieces: mpsc::Receiver<Message>,
    inlet: mpsc::Sender<Message>,
    open: BTreeMap<u64, (SendSummary, Option<Reply<SendSummary>>)>,
    seen: u64,
}

enum Message {
    Payload(Piece),
    End(u64),
}

/// A payload to send.
pub(super) struct Piece {
    stream: u64,
    pub(super) port: Option<u16>,
    pub(super) payload: Bytes,
}

impl Senders {
    pub(super) fn new() -> Self {
        let (inlet, pieces) = mpsc::channel(QUEUE_LEN);
        Self { pieces, inlet, open: BTreeMap::new(), seen: 0 }
    }

    pub(super) fn add(&mut self, mut stream: SendStream) {
        self.seen += 1;
        let (id, inlet) = (self.seen, self.inlet.clone());
        self.open.insert(id, (SendSummary::default(), Some(stream.done)));
        tokio::spawn(async move {
            while let Some(payload) = stream.payloads.recv().await {
                let piece = Piece { stream: id, port: stream.application_port, payload };
                if inlet.send(Message::Payload(piece)).await.is_err() {
                    return;
                }
            }
            // The loop is gone with its queue if this fails.
            let _ = inlet.send(Message::End(id)).await;
        });
    }

    /// Waits for a payload; ends of streams are answered on the way.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        loop {
            match self.pieces.recv().await? {
                Message::Payload(piece) => return Some(piece),
                Message::End(id) => {
                    if let Some((summary, Some(done))) = self.open.remove(&id) {
                        done.send(Ok(summary));
                    }
                }
            }
        }
    }

    /// Ends every stream that is open; what still comes of them is not sent.
    pub(super) fn refuse_all(&mut self, error: &ApiError) {
        for (_, done) in self.open.values_mut() {
            if let Some(done) = done.take() {
                done.send(Err(error.clone()));
            }
        }
        self.open.clear();
    }

    pub(super) fn sent(&mut self, piece: &Piece) {
        if let Some((summary, _)) = self.open.get_mut(&piece.stream) {
            summary.datagrams += 1;
            summary.octets += piece.payload.len() as u64;
        }
    }

    pub(super) fn failed(&mut self, piece: &Piece) {
        if let Some((summary, _)) = self.open.get_mut(&piece.stream) {
            summary.failed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::{Record, call::STREAM_RECORDS_MAX};
    use claviger_crypto::{Random, SeededRandom};
    use claviger_esp::{SenderId, SenderKey};

    use super::*;

    fn delivery(sequence: u32) -> Delivery {
        let sender = SenderKey::Id(SenderId::new(16, 1).unwrap());
        let payload = Bytes::copy_from_slice(&sequence.to_be_bytes());
        Delivery { origin: Origin { spi: 1, sender, sequence }, payload }
    }

    fn deliver(receivers: &mut Receivers, sequences: impl IntoIterator<Item = u32>) {
        for sequence in sequences {
            receivers.deliver(&delivery(sequence), &mut Counts::default());
        }
    }

    fn receive(receivers: &mut Receivers) -> claviger_api::Arriving {
        let (stream, arriving, _) = ReceiveStream::new("g".parse().unwrap());
        receivers.add(stream);
        arriving
    }

    /// Ends the streams, and returns how many payloads a stream brought and how many it says are missing.
    async fn result(receivers: Receivers, mut arriving: claviger_api::Arriving) -> (usize, u64) {
        drop(receivers);
        let (mut payloads, mut missing) = (0, 0);
        while let Some(record) = arriving.next().await {
            match record {
                Record::Data(_) => payloads += 1,
                Record::Missing(count) => missing = count,
            }
        }
        (payloads, missing)
    }

    /// Lets each of the numbers, which are sent in order, overtake others by up to `reach`.
    fn reordered(numbers: impl Iterator<Item = u32>, reach: u64, seed: u64) -> Vec<u32> {
        let mut random = SeededRandom::new(seed);
        let mut delay = || {
            let mut octets = [0; 8];
            (&mut random as &mut dyn Random).fill(&mut octets);
            u64::from_be_bytes(octets) % reach
        };
        let mut arrivals: Vec<_> = numbers.map(|number| (u64::from(number) + delay(), number)).collect();
        arrivals.sort_unstable();
        arrivals.into_iter().map(|(_, number)| number).collect()
    }

    #[tokio::test]
    async fn what_comes_out_of_order_is_not_missing() {
        for seed in 0..50 {
            let mut receivers = Receivers::default();
            let arriving = receive(&mut receivers);
            deliver(&mut receivers, std::iter::once(1).chain(reordered(2..=200, 60, seed)));
            assert_eq!(result(receivers, arriving).await, (200, 0), "seed {seed}");
        }
    }

    #[tokio::test]
    async fn what_never_comes_is_missing_in_any_order() {
        for seed in 0..50 {
            let mut receivers = Receivers::default();
            let arriving = receive(&mut receivers);
            let sent = reordered((2..=200).filter(|number| number % 10 != 0), 60, seed);
            deliver(&mut receivers, std::iter::once(1).chain(sent).chain([201]));
            assert_eq!(result(receivers, arriving).await, (181, 20), "seed {seed}");
        }
    }

    #[tokio::test]
    async fn a_stream_answers_for_what_came_since_it_began() {
        let mut receivers = Receivers::default();
        deliver(&mut receivers, [1, 5]);
        let arriving = receive(&mut receivers);
        // 3 was late before anybody listened, 6 is late since then, and 8 never comes.
        deliver(&mut receivers, [3, 7, 6, 9]);
        assert_eq!(result(receivers, arriving).await, (4, 1));
    }

    #[tokio::test]
    async fn what_finds_a_stream_full_is_missing_even_if_nothing_follows() {
        let mut receivers = Receivers::default();
        let arriving = receive(&mut receivers);
        deliver(&mut receivers, 1..=STREAM_RECORDS_MAX as u32 + 3);
        assert_eq!(result(receivers, arriving).await, (STREAM_RECORDS_MAX, 3));
    }
}
