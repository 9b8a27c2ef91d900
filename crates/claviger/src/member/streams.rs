//! The streams of `send` and `recv` through the daemon.

use std::collections::BTreeMap;

use bytes::Bytes;
use claviger_api::{ApiError, ReceiveStream, Record, Reply, SendStream, SendSummary};
use tokio::sync::mpsc;

use super::gaps::{Gaps, Origin};
use crate::drops::Drops;

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
}

struct Receiver {
    records: mpsc::Sender<Record>,
    gaps: Gaps,
    /// Payloads that found the stream full.
    overrun: u64,
}

impl Receivers {
    pub(super) fn add(&mut self, stream: ReceiveStream) {
        self.streams.push(Receiver { records: stream.records, gaps: Gaps::default(), overrun: 0 });
        stream.accepted.send(Ok(()));
    }

    /// Hands a payload to every stream. A stream that is too slow loses payloads and is told how many.
    pub(super) fn deliver(&mut self, delivery: Delivery, drops: &Drops) {
        self.streams.retain_mut(|receiver| {
            let lost = receiver.overrun + receiver.gaps.note(&delivery.origin);
            if lost > 0 && receiver.records.try_send(Record::Lost(lost)).is_ok() {
                receiver.overrun = 0;
            } else {
                receiver.overrun = lost;
            }
            match receiver.records.try_send(Record::Data(delivery.payload.clone())) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    receiver.overrun += 1;
                    drops.count("receiver_too_slow");
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
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
