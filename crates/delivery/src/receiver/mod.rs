//! The receiver: collects a batch until the layer above has what it needs.

mod store;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use claviger_crypto::Random;
use claviger_sansio::Time;
use claviger_wire::{Decode, Encode};
use tracing::{debug, trace};

use crate::{
    BatchId, Error, ReceiverConfig, ReceiverEvent, Shape, backoff,
    limits::{RECEIVER_LABELS_MAX, REPORT_ENTRIES_MAX},
    seal::Authentic,
    wire::{Announcement, Directory, Entry, MessageType, Repair, Report},
};

use store::Store;

/// How long a receiver waits for the answer to a report at most, in windows. A sender lingers longer.
pub const PATIENCE_MAX: u32 = 8;

/// A datagram that was recovered from repair symbols. It is to be verified like one from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Its index in the batch.
    pub index: u16,
    /// Its octets.
    pub octets: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// Reports are due if nothing arrives until then.
    Quiet(Time),
    /// A report is sent then, unless others say the same first.
    Report(Time),
    /// The receiver has ended.
    Ended,
}

/// Collects the datagrams of one batch.
///
/// Feed it with what the layer above has authenticated ([`Receiver::handle_datagram`],
/// [`Receiver::handle_control`]) and with time, and drain [`Receiver::poll_recovered`], [`Receiver::poll_report`]
/// and [`Receiver::poll_event`] after each. Which datagrams matter to it the sender's directories tell, if it knows
/// its labels; otherwise all may. The layer above, which knows the keys, says when it is [`Receiver::satisfied`].
pub struct Receiver {
    config: ReceiverConfig,
    id: BatchId,
    store: Store,
    received: u32,
    round: u8,
    /// The last round about which it reported.
    reported: u8,
    last: bool,
    window: Duration,
    receivers: u32,
    timer: Timer,
    attempts: u8,
    recovered: VecDeque<Recovered>,
    reports: VecDeque<Vec<u8>>,
    events: VecDeque<ReceiverEvent>,
}

impl Receiver {
    /// Begins with a batch of which something has been heard.
    pub fn new(config: ReceiverConfig, id: BatchId, now: Time) -> Self {
        Self {
            id,
            store: Store::new(config.buffer_octets_max, None),
            received: 0,
            round: 1,
            reported: 0,
            last: false,
            window: config.window,
            receivers: config.receivers,
            timer: Timer::Quiet(now + config.quiet),
            attempts: 0,
            recovered: VecDeque::new(),
            reports: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Lets it want only what directories say to be for one of these labels, and what they do not speak of. Of more
    /// than [`RECEIVER_LABELS_MAX`] the first count.
    pub fn with_labels(self, labels: impl IntoIterator<Item = u32>) -> Self {
        let labels: BTreeSet<u32> = labels.into_iter().take(RECEIVER_LABELS_MAX).collect();
        Self { store: Store::new(self.config.buffer_octets_max, Some(labels)), ..self }
    }

    /// Changes the most octets that it keeps; what it keeps already stays.
    pub fn limit_buffer(&mut self, octets_max: usize) {
        self.store.limit(octets_max);
    }

    /// Takes a datagram of the batch, from multicast or unicast, that the layer above has verified and seen:
    /// the one at `index` of `count`.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`], [`Error::OtherShape`], [`Error::OutOfRange`], [`Error::Ended`]; [`Error::BufferFull`]
    /// if it was noted but cannot help to recover others; [`Error::Damaged`] if others were to be recovered and
    /// a false symbol prevented it.
    pub fn handle_datagram(&mut self, now: Time, index: u16, count: u16, octets: &[u8]) -> Result<(), Error> {
        trace!(index, count, length = octets.len(), "datagram in");
        self.check_open()?;
        self.store.count(count)?;
        self.received = self.received.saturating_add(1);
        let result = self.store.add_source(index, octets);
        self.heard_something(now);
        if result.is_ok() {
            self.recover(index)?;
        }
        result
    }

    /// Takes a repair, an announcement or a directory.
    ///
    /// # Errors
    ///
    /// Why it was refused; [`Error::BufferFull`] and [`Error::Damaged`] as for a datagram.
    pub fn handle_control(
        &mut self,
        now: Time,
        message: Authentic<'_>,
        random: &mut dyn Random,
    ) -> Result<(), Error> {
        let (message_type, length) = (MessageType::of(message.octets()), message.octets().len());
        trace!(
            first = self.id.first_sequence,
            message_type = message_type.map(MessageType::name),
            length,
            "message in"
        );
        self.check_open()?;
        match message_type {
            Some(MessageType::Announcement) => {
                let announcement = Announcement::from_octets(message.octets())?;
                self.handle_announcement(now, &announcement, random)
            }
            Some(MessageType::Directory) => {
                self.handle_directory(now, &Directory::from_octets(message.octets())?)
            }
            _ => self.handle_repair(now, Repair::from_octets(message.octets())?),
        }
    }

    /// Ends the collection: the layer above has what it needs.
    pub fn satisfied(&mut self) {
        self.timer = Timer::Ended;
        self.store = Store::new(0, None);
        self.recovered.clear();
        self.reports.clear();
    }

    /// Takes back a recovered datagram that did not verify. What its block was recovered from is thrown away, and
    /// collected anew.
    pub fn reject(&mut self, index: u16) {
        debug!(first = self.id.first_sequence, index, "a recovered datagram did not verify");
        self.store.reject(index);
        self.recovered.retain(|recovered| !self.store.is_missing(recovered.index));
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time, random: &mut dyn Random) {
        match self.timer {
            Timer::Quiet(due) if now >= due => self.schedule_report(now, random),
            Timer::Report(due) if now >= due => self.report(now),
            Timer::Quiet(_) | Timer::Report(_) | Timer::Ended => {}
        }
    }

    /// Says when [`Self::handle_timeout`] has something to do; never again after the end.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.timer {
            Timer::Quiet(due) | Timer::Report(due) => Some(due),
            Timer::Ended => None,
        }
    }

    /// Returns the next datagram that was recovered.
    pub fn poll_recovered(&mut self) -> Option<Recovered> {
        self.recovered.pop_front()
    }

    /// Returns the next report, to be sent to the sender of the batch as this receiver's.
    pub fn poll_report(&mut self) -> Option<Vec<u8>> {
        self.reports.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.events.pop_front()
    }

    /// Returns the batch's name.
    pub fn batch(&self) -> BatchId {
        self.id
    }

    /// Says how many octets are kept.
    pub fn buffered_octets(&self) -> usize {
        self.store.octets()
    }

    /// Says whether the receiver has ended.
    pub fn has_ended(&self) -> bool {
        self.timer == Timer::Ended
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.has_ended() { Err(Error::Ended) } else { Ok(()) }
    }

    fn handle_repair(&mut self, now: Time, repair: Repair) -> Result<(), Error> {
        if repair.batch != self.id {
            return Err(Error::OtherBatch);
        }
        self.learn_shape(repair.shape)?;
        self.received = self.received.saturating_add(1);
        if repair.round > self.round {
            // The sender has listened and sends again: what was to be said is outdated.
            debug!(first = self.id.first_sequence, round = repair.round, "another round has begun");
            self.round = repair.round;
            self.timer = Timer::Quiet(now + self.config.quiet);
            self.attempts = 0;
        }
        self.heard_something(now);
        self.store.add_repair(repair.block, repair.symbol_id, repair.symbols)?;
        self.recover_block(repair.block)
    }

    fn handle_directory(&mut self, now: Time, directory: &Directory) -> Result<(), Error> {
        if directory.batch != self.id {
            return Err(Error::OtherBatch);
        }
        self.learn_shape(directory.shape)?;
        self.store.note(directory);
        self.heard_something(now);
        Ok(())
    }

    fn handle_announcement(
        &mut self,
        now: Time,
        announcement: &Announcement,
        random: &mut dyn Random,
    ) -> Result<(), Error> {
        if announcement.batch != self.id {
            return Err(Error::OtherBatch);
        }
        self.learn_shape(announcement.shape)?;
        if announcement.round < self.round {
            return Err(Error::Stale);
        }
        if announcement.round > self.round {
            self.attempts = 0;
        }
        let first_of_last = announcement.last && !self.last;
        self.round = announcement.round;
        self.last |= announcement.last;
        self.window = Duration::from_millis(announcement.window_ms.max(1).into());
        self.receivers = announcement.receivers;
        if self.last {
            // Everybody has to be heard now, also who has reported about this round to be repaired by multicast.
            if first_of_last {
                self.schedule_report(now, random);
            }
            return Ok(());
        }
        let covered = |(block, missing)| {
            announcement.heard.iter().any(|heard| heard.block == block && heard.missing >= missing)
        };
        if !announcement.heard.is_empty() && self.store.missing().all(covered) {
            debug!(first = self.id.first_sequence, round = self.round, "others have reported as much");
            self.timer = Timer::Quiet(now + self.window * 2 + self.config.quiet);
        } else if self.reported < self.round && !matches!(self.timer, Timer::Report(_)) {
            self.schedule_report(now, random);
        }
        Ok(())
    }

    /// Learns how the batch is divided, and recovers what that makes possible.
    fn learn_shape(&mut self, shape: Shape) -> Result<(), Error> {
        if self.store.shape(shape)? { self.recover_all() } else { Ok(()) }
    }

    /// Puts off the report that silence would cause.
    fn heard_something(&mut self, now: Time) {
        if let Timer::Quiet(due) = self.timer {
            self.timer = Timer::Quiet(due.max(now + self.config.quiet));
        }
    }

    fn schedule_report(&mut self, now: Time, random: &mut dyn Random) {
        let delay = if self.last {
            backoff::spread(self.window, random)
        } else {
            backoff::suppressed(self.window, self.receivers, random)
        };
        debug!(
            first = self.id.first_sequence,
            round = self.round,
            last = self.last,
            ?delay,
            "a report is planned"
        );
        self.timer = Timer::Report(now + delay);
    }

    fn report(&mut self, now: Time) {
        let mut entries: Vec<Entry> = self.store.entries();
        if entries.len() > REPORT_ENTRIES_MAX && !self.last {
            // For repair it matters how much of a block is missing, not what: each block has one entry.
            entries = entries.chunk_by(|a, b| a.block == b.block).filter_map(whole).collect();
        }
        entries.truncate(REPORT_ENTRIES_MAX);
        let missing_unknown = self.store.knows_shape() && entries.is_empty();
        if missing_unknown || self.attempts == self.config.attempts {
            debug!(
                first = self.id.first_sequence,
                attempts = self.attempts,
                nothing_missing = missing_unknown,
                "the collection ends"
            );
            self.timer = Timer::Ended;
            self.events.push_back(if missing_unknown {
                ReceiverEvent::NothingMissing
            } else {
                ReceiverEvent::GaveUp
            });
            return;
        }
        let report = Report { batch: self.id, round: self.round, received: self.received, entries };
        let octets = report.to_octets();
        let Report { batch, round, received, entries } = report;
        debug!(
            first = batch.first_sequence,
            round,
            received,
            missing = entries.len(),
            "what is missing is reported"
        );
        trace!(
            first = batch.first_sequence,
            message_type = MessageType::Report.name(),
            length = octets.len(),
            "message out"
        );
        self.reports.push_back(octets);
        self.reported = self.round;
        self.attempts += 1;
        // Two windows: what others say is collected, then the answer is sent. Patience doubles up to PATIENCE_MAX.
        let patience = self.window * (1u32 << self.attempts.min(31)).min(PATIENCE_MAX);
        self.timer = Timer::Quiet(now + patience);
    }

    fn recover(&mut self, index: u16) -> Result<(), Error> {
        match self.store.block_of(index) {
            Some(block) => self.recover_block(block),
            None => Ok(()),
        }
    }

    fn recover_all(&mut self) -> Result<(), Error> {
        let blocks: Vec<u8> = self.store.missing().map(|(block, _)| block).collect();
        blocks.into_iter().try_for_each(|block| self.recover_block(block))
    }

    fn recover_block(&mut self, block: u8) -> Result<(), Error> {
        let recovered = self.store.recover(block)?;
        if !recovered.is_empty() {
            debug!(
                first = self.id.first_sequence,
                block,
                datagrams = recovered.len(),
                "datagrams are recovered"
            );
        }
        self.recovered.extend(recovered.into_iter().map(|(index, octets)| Recovered { index, octets }));
        Ok(())
    }
}

/// Puts the entries of a block into one.
fn whole(entries: &[Entry]) -> Option<Entry> {
    Some(Entry { last: entries.last()?.last, ..*entries.first()? })
}
