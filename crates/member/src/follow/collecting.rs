//! Collecting the messages of a rekey that its key server delivers: long batches are not copied but repaired on request,
//! and at last sent to those who ask (docs/hip-gdoi-binding.md section 7.6).

use std::collections::{BTreeMap, VecDeque};

use claviger_crypto::Random;
use claviger_delivery::{
    BatchId, Error, Receiver, ReceiverConfig, ReceiverEvent, Recovered, seal::Authentic, wire::batch_of,
};
use claviger_gdoi::{
    limits::{BATCH_LEN, COPIED_BATCH_MAX},
    push::BatchPlace,
};
use claviger_group::CookiePair;
use claviger_sansio::Time;

use super::{early::Early, origin::Origin, tree_keys::TreeKeys};

/// The most batches that are collected at once: those of one rekey. Of a longer one other batches come too late.
const BATCHES_MAX: usize = 64;

/// The most octets kept of one batch: all of its messages but what repair makes up for, at 1,280 octets each, and as
/// much as a half more, since what is too little for one block says nothing about another.
const BATCH_OCTETS_MAX: usize = BATCH_LEN * 1_280 * 3 / 2;

/// The most octets kept of all batches that are collected at once, eight batches in full. Who has heard what is whose
/// keeps the few blocks of each rekey that its own messages are in, some hundreds of kilobytes; who has not fills this
/// with the first batches, and is served alone what it lacks of the others.
const OCTETS_MAX: usize = 8 * BATCH_OCTETS_MAX;

/// The batches that are being collected under the rekey SA in force.
#[derive(Default)]
pub(crate) struct Collecting {
    receivers: BTreeMap<u32, Receiver>,
    /// Messages under the KEK that is being collected or is on its way, and under later ones.
    early: Early,
    /// The same, once that KEK is in force.
    ready: VecDeque<Vec<u8>>,
}

/// Where a message stands: in the batch that begins with this number, the one at this index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    first: u32,
    index: u16,
}

/// Says whether a message is of a batch that is delivered.
pub(crate) fn is_delivered(place: &BatchPlace) -> bool {
    place.count > COPIED_BATCH_MAX
}

impl Collecting {
    /// Takes a verified message. `tree` is what the member holds, which says what concerns it.
    pub(crate) fn take(
        &mut self,
        now: Time,
        spi: CookiePair,
        place: BatchPlace,
        tree: Option<&TreeKeys>,
        datagram: &[u8],
    ) {
        let batch = BatchId { spi: spi.0, first_sequence: place.first };
        if let Some(receiver) = self.receiver(now, batch, tree) {
            // What is refused was here, or too much: the message itself takes effect either way.
            let _ = receiver.handle_datagram(now, place.index, place.count, datagram);
        }
    }

    /// Takes a repair, an announcement or a directory that the key server vouches for.
    ///
    /// # Errors
    ///
    /// Why it was refused.
    pub(crate) fn control(
        &mut self,
        now: Time,
        spi: CookiePair,
        octets: &[u8],
        tree: Option<&TreeKeys>,
        random: &mut dyn Random,
    ) -> Result<(), Error> {
        let batch = batch_of(octets).filter(|batch| batch.spi == spi.0).ok_or(Error::OtherBatch)?;
        let receiver = self.receiver(now, batch, tree).ok_or(Error::TooMany)?;
        receiver.handle_control(now, Authentic::verified(octets), random)
    }

    /// Keeps a message under a KEK that has not come: that is being collected, or its message was overtaken by this one.
    /// Says whether it did.
    pub(crate) fn keep(&mut self, datagram: &[u8], origin: Origin) -> bool {
        let wanted = self.is_working();
        self.early.keep(datagram, origin, wanted)
    }

    /// Ends the collection: another rekey SA is in force.
    pub(crate) fn reached(&mut self) {
        self.receivers.clear();
        self.ready.extend(self.early.take());
    }

    /// Gives a message that waited for the KEK in force.
    pub(crate) fn poll_ready(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// Gives a datagram that was recovered, to be verified like any other, and where it stands.
    pub(crate) fn poll_recovered(&mut self) -> Option<(Option<Place>, Vec<u8>)> {
        self.receivers.iter_mut().find_map(|(first, receiver)| {
            let Recovered { index, octets } = receiver.poll_recovered()?;
            Some((Some(Place { first: *first, index }), octets))
        })
    }

    /// Takes back a recovered datagram that did not verify.
    pub(crate) fn reject(&mut self, place: Place) {
        if let Some(receiver) = self.receivers.get_mut(&place.first) {
            receiver.reject(place.index);
        }
    }

    /// Gives a report for the key server.
    pub(crate) fn poll_report(&mut self) -> Option<Vec<u8>> {
        self.receivers.values_mut().find_map(Receiver::poll_report)
    }

    /// Says, once, that no batch can help any more, though the KEK was not reached.
    pub(crate) fn poll_failure(&mut self) -> bool {
        let events = self.receivers.values_mut().filter_map(Receiver::poll_event);
        let ended = events
            .filter(|event| matches!(event, ReceiverEvent::GaveUp | ReceiverEvent::NothingMissing))
            .count();
        ended > 0 && !self.is_working()
    }

    /// Says whether a batch is being collected.
    pub(crate) fn is_working(&self) -> bool {
        self.receivers.values().any(|receiver| !receiver.has_ended())
    }

    pub(crate) fn handle_timeout(&mut self, now: Time, random: &mut dyn Random) {
        self.receivers.values_mut().for_each(|receiver| receiver.handle_timeout(now, random));
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.receivers.values().filter_map(Receiver::poll_timeout).min()
    }

    fn receiver(&mut self, now: Time, batch: BatchId, tree: Option<&TreeKeys>) -> Option<&mut Receiver> {
        let first = batch.first_sequence;
        let others = self.receivers.iter().filter(|(other, _)| **other != first);
        let octets: usize = others.map(|(_, receiver)| receiver.buffered_octets()).sum();
        let room = OCTETS_MAX.saturating_sub(octets).min(BATCH_OCTETS_MAX);
        if !self.receivers.contains_key(&first) {
            if self.receivers.len() == BATCHES_MAX {
                return None;
            }
            let receiver = Receiver::new(ReceiverConfig::default(), batch, now);
            let receiver = match tree {
                Some(TreeKeys::Lkh32(path)) => receiver.with_labels(path.nodes().map(|node| node.as_u32())),
                Some(TreeKeys::Lkh(_)) | None => receiver,
            };
            self.receivers.insert(first, receiver);
        }
        let receiver = self.receivers.get_mut(&first)?;
        receiver.limit_buffer(room);
        Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SecretBytes, SeededRandom};
    use claviger_delivery::{
        Batch, Outgoing, Proactivity, ReceiverId, Sender, SenderConfig, wire::MessageType,
    };
    use claviger_keypath::{Degree, Handle, KeyLength, KeyPath, NodeId};

    use super::*;

    const SPI: CookiePair = CookiePair([7; 16]);
    const COUNT: u16 = BATCH_LEN as u16;
    /// What fits the path and is not copied.
    const MESSAGE_LEN: usize = 1_232;

    fn place(batch: usize, index: u16) -> BatchPlace {
        BatchPlace { first: 1 + (batch * BATCH_LEN) as u32, index, count: COUNT }
    }

    fn kept(collecting: &Collecting) -> usize {
        collecting.receivers.values().map(Receiver::buffered_octets).sum()
    }

    /// The keys of leaf 5 in a tree of degree 4, three levels high.
    fn tree() -> TreeKeys {
        let key = |_| (Handle::new(1, 0).unwrap(), SecretBytes::new(vec![1; 16]));
        let (degree, first) = (Degree::new(4).unwrap(), NodeId::new(0, 5).unwrap());
        TreeKeys::Lkh32(KeyPath::new(degree, first, KeyLength::Octets16, (0..4).map(key)).unwrap())
    }

    /// Delivers the largest batch, of which `labels` says whose each message is, to a member that loses one of five
    /// datagrams. Returns which messages were lost, which repair has brought, and the most octets that it kept.
    fn deliver(labels: Vec<Vec<u32>>, tree: Option<&TreeKeys>) -> (Vec<u16>, Vec<u16>, usize) {
        let random = &mut SeededRandom::new(1);
        let mut now = Time::from_secs(1);
        let id = BatchId { spi: SPI.0, first_sequence: 1 };
        let message = |index: u16| {
            let mut octets = vec![0; MESSAGE_LEN];
            random.fill(&mut octets);
            octets[..2].copy_from_slice(&index.to_be_bytes());
            octets
        };
        let datagrams: Vec<_> = (0..COUNT).map(message).collect();
        let batch = Batch { id, datagrams: datagrams.clone(), audience: Vec::new(), labels, receivers: 100 };
        let unsealed = &mut |payloads: Vec<Vec<u8>>| payloads;
        let config = SenderConfig { rounds: 6, ..SenderConfig::default() };
        let mut sender = Sender::new(config, batch, Proactivity::default(), now, unsealed).unwrap();
        let mut collecting = Collecting::default();
        let (mut lost, mut recovered, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        let (mut most, mut sent) = (0, 0);
        while !sender.has_ended() {
            while let Some(outgoing) = sender.poll_transmit(now) {
                // An announcement that one member misses is answered by others, who are not here.
                let announces = |octets: &Vec<u8>| MessageType::of(octets) == Some(MessageType::Announcement);
                sent += usize::from(!matches!(&outgoing, Outgoing::Sealed(octets) if announces(octets)));
                match outgoing {
                    Outgoing::Datagram { index } if sent % 5 == 2 => lost.push(index),
                    Outgoing::Sealed(octets) if sent % 5 == 2 && !announces(&octets) => {}
                    Outgoing::Datagram { index } => {
                        let octets = &datagrams[usize::from(index)];
                        collecting.take(now, SPI, place(0, index), tree, octets);
                    }
                    Outgoing::Sealed(octets) => {
                        let _ = collecting.control(now, SPI, &octets, tree, random);
                    }
                    Outgoing::Unicast { index, .. } => {
                        collecting.take(now, SPI, place(0, index), tree, &datagrams[usize::from(index)]);
                        alone.push(index);
                    }
                }
                most = most.max(kept(&collecting));
                while let Some((Some(Place { index, .. }), octets)) = collecting.poll_recovered() {
                    assert_eq!(octets, datagrams[usize::from(index)]);
                    recovered.push(index);
                }
            }
            collecting.handle_timeout(now, random);
            while let Some(report) = collecting.poll_report() {
                // Two others miss as much: one that says so alone is not believed.
                for receiver in 1..=3 {
                    sender.handle_report(now, ReceiverId(receiver), &report).unwrap();
                }
            }
            sender.handle_timeout(now, unsealed);
            now =
                [sender.poll_timeout(), collecting.poll_timeout()].into_iter().flatten().min().unwrap_or(now);
        }
        assert!(alone.len() < 3, "repair is enough: {alone:?}");
        recovered.append(&mut alone);
        lost.sort_unstable();
        recovered.sort_unstable();
        (lost, recovered, most)
    }

    #[test]
    fn of_the_largest_batch_everything_can_be_repaired() {
        let (lost, recovered, most) = deliver(Vec::new(), None);
        assert_eq!(recovered, lost);
        assert!(lost.len() > BATCH_LEN / 6);
        assert!(most > MESSAGE_LEN * BATCH_LEN * 4 / 5 && most < BATCH_OCTETS_MAX, "{most} octets");
    }

    #[test]
    fn who_is_told_what_is_whose_keeps_and_repairs_its_own_blocks_only() {
        // A leaf's message, one of the node above it, and the rest for a subtree that the leaf is not in.
        let of = |index| match index {
            101 => vec![5],
            1_011 => vec![NodeId::new(1, 1).unwrap().as_u32()],
            _ => vec![NodeId::new(2, 7).unwrap().as_u32()],
        };
        let (lost, recovered, most) = deliver((0..COUNT).map(of).collect(), Some(&tree()));
        let mine = lost.iter().filter(|index| [101, 1_011].contains(*index));
        assert!(mine.clone().all(|index| recovered.contains(index)), "{recovered:?}");
        assert!(recovered.len() < lost.len() / 2, "{} of {}", recovered.len(), lost.len());
        // Messages that the lost directory speaks of may be its own until it is heard behind them.
        assert!(most < MESSAGE_LEN * BATCH_LEN / 2, "{most} octets");
    }

    #[test]
    fn all_batches_together_keep_no_more_than_they_may() {
        let (now, message) = (Time::from_secs(1), vec![1; MESSAGE_LEN]);
        let mut collecting = Collecting::default();
        for batch in 0..=BATCHES_MAX {
            for index in (0..COUNT).filter(|index| index % 4 > 0) {
                collecting.take(now, SPI, place(batch, index), None, &message);
            }
            assert!(kept(&collecting) <= OCTETS_MAX);
        }
        assert!(kept(&collecting) > OCTETS_MAX - MESSAGE_LEN, "what there is room for is kept");
        assert_eq!(collecting.receivers.len(), BATCHES_MAX);
    }
}
