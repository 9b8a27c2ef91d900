//! The sender: a batch goes out in rounds, then by unicast.

mod collect;
mod unicast;

use std::collections::VecDeque;

use claviger_sansio::Time;
use claviger_wire::{Decode, Encode};
use tracing::{debug, trace};

use crate::{
    Batch, BatchId, Error, ReceiverId, SenderConfig, SenderEvent, Shape,
    code::BlockEncoder,
    limits::{ANNOUNCEMENTS_MAX, REPAIR_FACTOR_MAX},
    proactivity::{Outcome, Proactivity},
    seal::Seal,
    wire::{Announcement, Directory, Repair, Report},
};

use collect::Collected;
use unicast::Unicast;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// To the group: the datagram at this index of the batch, which [`Sender::datagram`] shows.
    Datagram {
        /// The index in the batch.
        index: u16,
    },
    /// To the group: a repair, an announcement or a directory, as [`Seal::seal`] returned it.
    Sealed(Vec<u8>),
    /// To one receiver: the datagram at this index of the batch.
    Unicast {
        /// The receiver.
        to: ReceiverId,
        /// The index in the batch.
        index: u16,
    },
}

/// What was sent and heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Datagrams of the batch sent to the group.
    pub datagrams: u64,
    /// Repairs sent to the group.
    pub repairs: u64,
    /// Announcements sent to the group.
    pub announcements: u64,
    /// Directories sent to the group, each twice.
    pub directories: u64,
    /// Octets of all that was sent to the group.
    pub multicast_octets: u64,
    /// Datagrams sent by unicast.
    pub unicasts: u64,
    /// Octets sent by unicast.
    pub unicast_octets: u64,
    /// Reports accepted.
    pub reports: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A round is being sent.
    Sending,
    /// A round was sent; reports about it are welcome.
    Collecting {
        until: Time,
    },
    /// Who reports is served alone.
    Unicast {
        until: Time,
    },
    Ended,
}

/// Brings a batch to its receivers.
///
/// Feed it with reports ([`Sender::handle_report`]) and time ([`Sender::handle_timeout`]), and drain
/// [`Sender::poll_transmit`] after each.
///
/// ```text
/// round 1: directories, datagrams + proactive repair, directories ──► announcement ──► reports, suppressed by further announcements
/// round 2…: repair as the reports ask     ──► announcement ──► …
/// after the last round                    ──► announcement (LAST) ──► everybody who misses something reports,
///                                              and gets just those datagrams by unicast
/// ```
pub struct Sender {
    config: SenderConfig,
    id: BatchId,
    shape: Shape,
    datagrams: Vec<Vec<u8>>,
    /// How many receivers need each block.
    audience: Vec<u32>,
    receivers: u32,
    proactivity: Proactivity,
    encoders: Vec<Option<BlockEncoder>>,
    /// How many repairs of each block were made.
    repaired: Vec<u32>,
    stage: Stage,
    round: u8,
    deadline: Time,
    queue: VecDeque<Outgoing>,
    next_due: Time,
    /// Datagrams and repairs sent to the group up to the end of each round.
    sent_after: Vec<u64>,
    collected: Collected,
    announcements: u8,
    announce_at: Option<Time>,
    unicast: Unicast,
    events: VecDeque<SenderEvent>,
    traffic: Traffic,
}

impl Sender {
    /// Takes a batch, and makes its first round.
    ///
    /// # Errors
    ///
    /// [`Error::BatchSize`], [`Error::DatagramLength`], or [`Error::Config`], also if audience or labels are neither
    /// empty nor told for each datagram, or the labels of one do not fit a control.
    pub fn new(
        config: SenderConfig,
        batch: Batch,
        proactivity: Proactivity,
        now: Time,
        seal: &mut dyn Seal,
    ) -> Result<Self, Error> {
        config.check()?;
        let Batch { id, datagrams, audience, labels, receivers } = batch;
        if datagrams.iter().any(Vec::is_empty) {
            return Err(Error::DatagramLength);
        }
        let told = |length| length == 0 || length == datagrams.len();
        let is_sound =
            |labels: &Vec<u32>| labels.is_sorted() && Directory::holds(labels, config.control_len_max);
        if !told(audience.len()) || !told(labels.len()) || !labels.iter().all(is_sound) {
            return Err(Error::Config);
        }
        let longest = datagrams.iter().map(Vec::len).max().unwrap_or(0);
        let shape =
            Shape::divide(datagrams.len(), longest, config.block_datagrams.into(), config.control_len_max)?;
        let of_block = |block| {
            let first = usize::from(shape.first(block));
            let told = audience.get(first..first + usize::from(shape.datagrams_of(block)));
            told.and_then(|told| told.iter().max().copied()).unwrap_or(receivers)
        };
        let blocks = usize::from(shape.blocks());
        let audience: Vec<u32> = shape.block_numbers().map(of_block).collect();
        let mut sender = Self {
            encoders: (0..blocks).map(|_| None).collect(),
            repaired: vec![0; blocks],
            stage: Stage::Sending,
            round: 1,
            deadline: now + config.deadline,
            queue: VecDeque::new(),
            next_due: now,
            sent_after: Vec::new(),
            collected: Collected::new(&audience, config.quantile_permille),
            announcements: 0,
            announce_at: None,
            unicast: Unicast::new(datagrams.len()),
            events: VecDeque::new(),
            traffic: Traffic::default(),
            config,
            id,
            shape,
            audience,
            datagrams,
            receivers,
            proactivity,
        };
        let repairs: Vec<_> = shape
            .block_numbers()
            .map(|block| {
                sender.proactivity.repairs(sender.audience[usize::from(block)], shape.repairs(block)).into()
            })
            .collect();
        let directories = Directory::all(id, shape, &labels, config.control_len_max);
        sender.begin_round(&repairs, directories.map(|directory| directory.to_octets()).collect(), seal);
        Ok(sender)
    }

    /// Takes what a receiver reports. The caller has verified that it is this receiver's.
    ///
    /// # Errors
    ///
    /// Why the report was refused; nothing changes then.
    pub fn handle_report(&mut self, now: Time, from: ReceiverId, octets: &[u8]) -> Result<(), Error> {
        trace!(first = self.id.first_sequence, receiver = from.0, length = octets.len(), "report in");
        let report = Report::from_octets(octets)?;
        if report.batch != self.id {
            return Err(Error::OtherBatch);
        }
        let in_batch = |entry: &crate::wire::Entry| {
            self.shape.has_block(entry.block)
                && u16::from(entry.last) < self.shape.datagrams_of(entry.block)
                && u16::from(entry.missing) <= self.shape.repairs(entry.block)
        };
        if report.round > self.round || !report.entries.iter().all(in_batch) {
            return Err(Error::OutOfRange);
        }
        match self.stage {
            Stage::Sending => return Err(Error::Stale),
            Stage::Collecting { .. } if report.round < self.round => return Err(Error::Stale),
            Stage::Collecting { .. } => {
                let sent = self.sent_after.last().copied().unwrap_or(0);
                let news = self.collected.add(from, &report, sent)?;
                if news && self.announcements < ANNOUNCEMENTS_MAX && self.announce_at.is_none() {
                    self.announce_at = Some(now + self.config.window / 8);
                }
            }
            Stage::Unicast { .. } if report.entries.is_empty() => {
                self.events.push_back(SenderEvent::Lost(from))
            }
            Stage::Unicast { .. } => {
                let shape = self.shape;
                let wanted = report.entries.iter().flat_map(|entry| {
                    let first = shape.first(entry.block);
                    (entry.first..=entry.last).map(move |symbol| first + u16::from(symbol))
                });
                self.serve(now, from, wanted)?;
            }
            Stage::Ended => return Err(Error::Ended),
        }
        self.traffic.reports += 1;
        Ok(())
    }

    /// Sends datagrams of the batch to one receiver, once repair by multicast has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] if the receiver was given up or the sender has ended, [`Error::Stale`] before the last
    /// round was sent, [`Error::Duplicate`] if the receiver is being served, [`Error::TooMany`] if too many are.
    pub fn serve(
        &mut self,
        now: Time,
        to: ReceiverId,
        indices: impl IntoIterator<Item = u16>,
    ) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Unicast { until } => {
                let indices = indices.into_iter().filter(|index| *index < self.shape.datagrams());
                if self.unicast.serve(to, indices, self.config.unicast_attempts)? {
                    debug!(first = self.id.first_sequence, receiver = to.0, "a receiver is served alone");
                    *until = now + self.config.linger;
                } else {
                    debug!(first = self.id.first_sequence, receiver = to.0, "a receiver is given up");
                    self.events.push_back(SenderEvent::GaveUp(to));
                }
                Ok(())
            }
            Stage::Ended => Err(Error::Ended),
            Stage::Sending | Stage::Collecting { .. } => Err(Error::Stale),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time, seal: &mut dyn Seal) {
        match self.stage {
            Stage::Ended => {}
            _ if now >= self.deadline => self.end(),
            Stage::Sending if self.queue.is_empty() => {
                self.sent_after.push(self.traffic.datagrams + self.traffic.repairs);
                self.announcements = 0;
                if self.round >= self.config.rounds {
                    self.begin_unicast(now, seal);
                } else {
                    self.announce(false, seal);
                    self.stage =
                        Stage::Collecting { until: now + self.config.window + self.config.round_trip };
                }
            }
            Stage::Sending => {}
            Stage::Collecting { until } if now >= until => self.end_round(now, seal),
            Stage::Collecting { .. } if self.announce_at.is_some_and(|due| now >= due) => {
                self.announce(false, seal);
            }
            Stage::Collecting { .. } => {}
            Stage::Unicast { until } if now >= until && self.unicast.is_idle() => self.end(),
            Stage::Unicast { .. } => {}
        }
    }

    /// Returns what is to be sent at `now`, at most at the pace of the configuration.
    pub fn poll_transmit(&mut self, now: Time) -> Option<Outgoing> {
        if now < self.next_due {
            return None;
        }
        let outgoing = self
            .queue
            .pop_front()
            .or_else(|| self.unicast.next().map(|(to, index)| Outgoing::Unicast { to, index }))?;
        // Who comes late may catch up with one datagram, not with a burst.
        self.next_due = self.next_due.max(now - self.config.pace) + self.config.pace;
        match &outgoing {
            Outgoing::Datagram { index } => {
                let length = self.datagram(*index).map_or(0, <[u8]>::len);
                trace!(first = self.id.first_sequence, index, length, "datagram out");
                self.traffic.datagrams += 1;
                self.traffic.multicast_octets += length as u64;
            }
            Outgoing::Sealed(octets) => {
                trace!(first = self.id.first_sequence, length = octets.len(), "control out");
                self.traffic.multicast_octets += octets.len() as u64;
            }
            Outgoing::Unicast { to, index } => {
                let length = self.datagram(*index).map_or(0, <[u8]>::len);
                trace!(first = self.id.first_sequence, receiver = to.0, index, length, "datagram out to one");
                self.traffic.unicasts += 1;
                self.traffic.unicast_octets += length as u64;
            }
        }
        Some(outgoing)
    }

    /// Says when [`Self::poll_transmit`] or [`Self::handle_timeout`] has something to do; never again after the end.
    pub fn poll_timeout(&self) -> Option<Time> {
        let waiting = !self.queue.is_empty();
        let due = match self.stage {
            Stage::Ended => return None,
            Stage::Sending => self.next_due,
            Stage::Collecting { until } => {
                let due = self.announce_at.map_or(until, |due| due.min(until));
                if waiting { self.next_due.min(due) } else { due }
            }
            Stage::Unicast { until } if !waiting && self.unicast.is_idle() => until,
            Stage::Unicast { .. } => self.next_due,
        };
        Some(due.min(self.deadline))
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// Shows a datagram of the batch.
    pub fn datagram(&self, index: u16) -> Option<&[u8]> {
        self.datagrams.get(usize::from(index)).map(Vec::as_slice)
    }

    /// Returns the batch's name.
    pub fn batch(&self) -> BatchId {
        self.id
    }

    /// Returns how the batch is divided.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the round, from 1.
    pub fn round(&self) -> u8 {
        self.round
    }

    /// Returns what was sent and heard so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Shows what was learned, for the sender of the next batch.
    pub fn proactivity(&self) -> &Proactivity {
        &self.proactivity
    }

    /// Says whether nothing waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.unicast.is_idle()
    }

    /// Says whether something waits to be sent to this receiver alone.
    pub fn is_serving(&self, to: ReceiverId) -> bool {
        self.unicast.is_serving(to)
    }

    /// Says whether the sender has ended.
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Fills the queue with a round: in the first one the datagrams, and so many repairs of each block. What is to be
    /// said of the batch stands in front, so that receivers keep nothing in vain, and once more behind.
    ///
    /// The blocks are interleaved over the whole round, so that a burst of loss takes a little of many.
    fn begin_round(&mut self, repairs: &[u32], directories: Vec<Vec<u8>>, seal: &mut dyn Seal) {
        let said = directories.len();
        let asked: u32 = repairs.iter().sum();
        debug!(
            first = self.id.first_sequence,
            round = self.round,
            repairs = asked,
            directories = said,
            "a round begins"
        );
        let mut payloads = directories;
        let mut places = Vec::new();
        for block in self.shape.block_numbers() {
            let sources = if self.round == 1 { self.shape.datagrams_of(block).into() } else { 0 };
            let total = sources + repairs[usize::from(block)];
            let place = |number: u32| (((u64::from(number) * 2 + 1) << 32) / (u64::from(total) * 2), block);
            for number in 0..sources {
                let index = self.shape.first(block) + number as u16;
                places.push((place(number), Outgoing::Datagram { index }));
            }
            for (number, payload) in (sources..).zip(self.repair(block, repairs[usize::from(block)])) {
                places.push((place(number), Outgoing::Sealed(Vec::new())));
                payloads.push(payload);
            }
        }
        let mut sealed = if payloads.is_empty() { Vec::new() } else { seal.seal(payloads) }.into_iter();
        let directories: Vec<_> = sealed.by_ref().take(said).filter(|octets| !octets.is_empty()).collect();
        for (_, outgoing) in &mut places {
            if let Outgoing::Sealed(octets) = outgoing {
                *octets = sealed.next().unwrap_or_default();
            }
        }
        places.retain(|(_, outgoing)| !matches!(outgoing, Outgoing::Sealed(octets) if octets.is_empty()));
        places.sort_by_key(|(place, _)| *place);
        self.traffic.repairs +=
            places.iter().filter(|(_, o)| matches!(o, Outgoing::Sealed(_))).count() as u64;
        self.traffic.directories += directories.len() as u64 * 2;
        self.queue.extend(directories.iter().cloned().map(Outgoing::Sealed));
        self.queue.extend(places.into_iter().map(|(_, outgoing)| outgoing));
        self.queue.extend(directories.into_iter().map(Outgoing::Sealed));
        self.stage = Stage::Sending;
    }

    /// Makes the next `count` repairs of a block.
    fn repair(&mut self, block: u8, count: u32) -> Vec<Vec<u8>> {
        if count == 0 {
            return Vec::new();
        }
        let number = usize::from(block);
        let encoder = self.encoders[number].get_or_insert_with(|| {
            let first = usize::from(self.shape.first(block));
            let datagrams = &self.datagrams[first..first + usize::from(self.shape.datagrams_of(block))];
            BlockEncoder::new(&self.shape, block, datagrams)
        });
        let repairs = encoder.repair(self.repaired[number], count);
        self.repaired[number] += count;
        let (batch, round, shape) = (self.id, self.round, self.shape);
        repairs
            .map(|(symbol_id, symbols)| Repair { batch, round, shape, block, symbol_id, symbols }.to_octets())
            .collect()
    }

    /// Ends the time for reports: the next round, or unicast if nobody asked.
    fn end_round(&mut self, now: Time, seal: &mut dyn Seal) {
        if self.round == 1 {
            let outcomes: Vec<_> = self
                .shape
                .block_numbers()
                .map(|block| Outcome {
                    audience: self.audience[usize::from(block)],
                    repairs: self.shape.repairs(block),
                    missing: self.collected.missing(block).into(),
                })
                .collect();
            self.proactivity.learn(&outcomes);
        }
        let repairs: Vec<_> = self
            .shape
            .block_numbers()
            .map(|block| {
                let most = usize::from(self.shape.repairs(block)) * REPAIR_FACTOR_MAX;
                self.collected.repairs(block).min(most as u32)
            })
            .collect();
        self.collected.clear();
        self.announce_at = None;
        if repairs.iter().all(|count| *count == 0) {
            self.begin_unicast(now, seal);
        } else {
            self.round += 1;
            self.begin_round(&repairs, Vec::new(), seal);
        }
    }

    fn begin_unicast(&mut self, now: Time, seal: &mut dyn Seal) {
        debug!(
            first = self.id.first_sequence,
            round = self.round,
            "the rounds are over; who reports is served alone"
        );
        self.announce(true, seal);
        // Encoders hold twice the batch, and no repair is made any more.
        self.encoders.clear();
        self.stage = Stage::Unicast { until: now + self.config.linger };
    }

    fn announce(&mut self, last: bool, seal: &mut dyn Seal) {
        self.announcements += 1;
        self.announce_at = None;
        let mut heard = if last { Vec::new() } else { self.collected.heard() };
        // Who needs a block that is left out does not keep silent, which is the worst that can come of it.
        heard.truncate(Announcement::heard_max(self.config.control_len_max));
        let announcement = Announcement {
            batch: self.id,
            round: self.round,
            last,
            shape: self.shape,
            window_ms: u16::try_from(self.config.window.as_millis()).expect("the configuration was checked"),
            receivers: self.receivers,
            heard,
        };
        debug!(first = self.id.first_sequence, round = self.round, last, "a round is announced to be over");
        let sealed = seal.seal(vec![announcement.to_octets()]);
        self.traffic.announcements += sealed.len() as u64;
        self.queue.extend(sealed.into_iter().map(Outgoing::Sealed));
    }

    fn end(&mut self) {
        debug!(first = self.id.first_sequence, round = self.round, "the delivery ends");
        self.stage = Stage::Ended;
        self.queue.clear();
        self.encoders.clear();
        self.unicast = Unicast::new(self.datagrams.len());
        self.events.push_back(SenderEvent::Ended);
    }
}
