//! Rekeys of many messages: sent once, repaired as members report, then by unicast to those who still miss some.
//!
//! ```text
//! messages of the batch, repairs ─► copies of the TEK message ─► more repairs as asked ─► unicast ─► end
//! └────────────── quiet_at is behind these ───────────────────┘
//! ```
//!
//! What goes out behind the new KEK, the TEK foremost, is in few messages; they are sent in plain copies behind the
//! first round, once more after each later round, and to everybody who was served alone. The records of all of them
//! stay until the delivery has ended: after a restart they go out in plain rounds.
//!
//! What goes to the group stands in the [`PushQueue`] like any copy. While nothing leaves for the group's address, or
//! messages of earlier rekeys are to leave first, the clock of a delivery stands still: no round ends that nobody heard.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_crypto::sign::SigningKey;
use claviger_delivery::{
    Batch, BatchId, Counter, Error, Outgoing, Proactivity, ReceiverId, Sender, SenderConfig, SenderEvent,
    Traffic, limits::UNICAST_DATAGRAMS_MAX, wire::Report,
};
use claviger_group::{CookiePair, GroupId, MemberId};
use claviger_keypath::NodeId;
use claviger_sansio::{
    Counts, Socket, Time, Transmit,
    durable::{Change, RecordKey},
};
use claviger_wire::Decode;
use tracing::{debug, trace};

use crate::{
    distribution::{
        BatchSpan, Route, SealedRekey,
        gdoi::controls::{self, Controls, is_delivered},
        push_queue::{Copy, Hold, LaneKey, Outbox, PushQueue, Ready, SPACING_MIN, Share},
    },
    event::RekeyId,
    group::Group,
    groups::Groups,
    record,
};

/// How many deliveries run at once: each holds its messages. What exceeds it goes out in plain copies.
const DELIVERIES_MAX: usize = 64;

impl BatchSpan {
    /// Says whether a message is one of them.
    fn holds(&self, message: &SealedRekey) -> bool {
        let place = message.sequence.checked_sub(self.first).map(|place| place as usize);
        message.under == self.under && place.is_some_and(|place| place < self.count)
    }
}

/// All deliveries under way, and what was learned from earlier ones.
#[derive(Default)]
pub(crate) struct Deliveries {
    running: Vec<Delivery>,
    learned: BTreeMap<GroupId, Proactivity>,
}

/// What a rekey's messages became.
pub(crate) struct Begun {
    /// Those that are not delivered.
    pub(crate) copied: Vec<SealedRekey>,
    /// How many are.
    pub(crate) delivered: usize,
    /// When the first round of the deliveries ends; none if there is no delivery.
    pub(crate) first_round_ends: Option<Time>,
}

struct Delivery {
    group: GroupId,
    rekey: RekeyId,
    /// When it was begun, and for how long its clock has stood still since.
    begun: Time,
    stood: Duration,
    /// Since when its clock stands still.
    halted: Option<Time>,
    spi: CookiePair,
    sender: Sender,
    /// Carries what goes to the group; its payload is empty.
    envelope: Transmit,
    /// The records that stay until the end.
    keys: Vec<RecordKey>,
    /// The messages under the new KEK, until another rekey outdates them.
    tail: Vec<Transmit>,
    /// Whether the group was sent something since the sender fell idle, and whether the first round is behind.
    busy: bool,
    past_first_round: bool,
    receivers: BTreeMap<MemberId, ReceiverId>,
    routes: Vec<Route>,
    /// Who is to be sent the tail when what it asked for has left.
    owed: BTreeSet<ReceiverId>,
    counted: Traffic,
    /// Whether it has ended, and all that was given out has left.
    is_over: bool,
}

impl Deliveries {
    /// Begins to deliver those batches of a rekey that are long, one behind the other from `start` on.
    pub(crate) fn begin(
        &mut self,
        (now, start): (Time, Time),
        rekey: RekeyId,
        group: &Group,
        mut pushes: Vec<SealedRekey>,
        batches: &[BatchSpan],
    ) -> Begun {
        self.outdate(&group.id);
        let mut begun = Begun { copied: Vec::new(), delivered: 0, first_round_ends: None };
        let mut fresh = Vec::new();
        for batch in batches {
            let (span, others) = pushes.into_iter().partition::<Vec<_>, _>(|push| batch.holds(push));
            pushes = others;
            let at = begun.first_round_ends.unwrap_or(start);
            let room = self.running.len() + fresh.len() < DELIVERIES_MAX;
            let delivery = (room && is_delivered(batch.count))
                .then(|| Delivery::new(at, group, *batch, &span, self.proactivity(&group.id)))
                .flatten();
            match delivery {
                Some(delivery) => {
                    begun.first_round_ends = Some(at + delivery.first_round());
                    begun.delivered += span.len();
                    fresh.push(Delivery { rekey, begun: now, ..delivery });
                }
                None => begun.copied.extend(span),
            }
        }
        begun.copied.extend(pushes);
        for delivery in &mut fresh {
            let behind = begun.copied.iter().filter(|push| push.under != delivery.spi);
            delivery.tail = behind.map(|push| push.transmit.clone()).collect();
        }
        if let Some(last) = fresh.last_mut() {
            last.keys.extend(begun.copied.iter().map(|push| push.key.clone()));
        }
        if !fresh.is_empty() {
            let (deliveries, messages) = (fresh.len(), begun.delivered);
            debug!(group = %group.id, deliveries, messages, copied = begun.copied.len(), "long batches are delivered");
        }
        self.running.append(&mut fresh);
        begun
    }

    /// Takes what a member reports.
    ///
    /// # Errors
    ///
    /// Why it was refused; nothing changes then.
    pub(crate) fn handle_report(
        &mut self,
        now: Time,
        groups: &Groups,
        host: &MemberId,
        route: Route,
        octets: &[u8],
    ) -> Result<(), Error> {
        let batch = Report::from_octets(octets)?.batch;
        let delivery = self.running.iter_mut().find(|delivery| delivery.is_of(batch));
        let delivery = delivery.ok_or(Error::OtherBatch)?;
        // Whoever departed reads nothing of it, and is not served.
        if !groups.get(&delivery.group).is_some_and(|group| group.members.contains_key(host)) {
            return Err(Error::Unneeded);
        }
        delivery.handle_report(now, host, route, octets)
    }

    /// Sends what is due; the records of a delivery that has ended are removed.
    pub(crate) fn take_due(
        &mut self,
        now: Time,
        groups: &Groups,
        queue: &mut PushQueue,
        outbox: &mut Outbox,
        changes: &mut Vec<Change>,
        counts: &mut Counts<Counter>,
    ) {
        for delivery in &mut self.running {
            let Some(group) = groups.get(&delivery.group) else { continue };
            if delivery.is_held_up(now, queue) {
                continue;
            }
            if !delivery.sender.has_ended() {
                delivery.take_due(now, &group.signing_key, queue, outbox);
                delivery.count(counts);
            }
            // What was given out may be waiting for a disk, and a kill meanwhile must not lose it.
            delivery.is_over = delivery.sender.has_ended() && !queue.has_given_out(&delivery.lane());
            if delivery.is_over {
                changes.extend(delivery.release_records(queue));
                self.learned.insert(delivery.group.clone(), delivery.sender.proactivity().clone());
            }
        }
        self.running.retain(|delivery| !delivery.is_over);
    }

    /// Ends the deliveries of a group's rekeys before one, which were not heard and will not be.
    pub(crate) fn drop_superseded(&mut self, id: &GroupId, newest: RekeyId, changes: &mut Vec<Change>) {
        let is_earlier = |delivery: &mut Delivery| delivery.group == *id && delivery.rekey < newest;
        let dropped = self.running.extract_if(.., is_earlier).flat_map(|delivery| delivery.keys);
        changes.extend(dropped.map(|key| Change::remove(record::PUSH, key)));
    }

    /// Forgets a group that is no more.
    pub(crate) fn forget(&mut self, id: &GroupId) {
        self.running.retain(|delivery| delivery.group != *id);
        self.learned.remove(id);
    }

    /// Notes that a group is rekeyed once more: what was to follow the earlier KEK is followed by something newer.
    pub(crate) fn outdate(&mut self, id: &GroupId) {
        for delivery in self.running.iter_mut().filter(|delivery| delivery.group == *id) {
            delivery.tail.clear();
        }
    }

    /// Says whether a rekey of a group is delivered and not all of its messages have left once: what is planned behind them
    /// must not overtake them.
    pub(crate) fn is_in_first_round(&self, id: &GroupId) -> bool {
        self.running.iter().any(|delivery| delivery.group == *id && !delivery.past_first_round)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.running.iter().filter_map(Delivery::poll_timeout).min()
    }

    /// Shows what the group's latest delivery has learned.
    fn proactivity(&self, id: &GroupId) -> Proactivity {
        let running = self.running.iter().rev().find(|delivery| delivery.group == *id);
        let learned = running.map(|delivery| delivery.sender.proactivity()).or_else(|| self.learned.get(id));
        learned.cloned().unwrap_or_default()
    }
}

impl Delivery {
    /// Takes a batch; none if it is not one that can be delivered.
    fn new(
        start: Time,
        group: &Group,
        span: BatchSpan,
        pushes: &[SealedRekey],
        proactivity: Proactivity,
    ) -> Option<Self> {
        let envelope = Transmit { payload: Vec::new(), ..pushes.first()?.transmit.clone() };
        let control_len_max = controls::room(group.signing_key.public())?;
        let members = group.members.len() as u32;
        // Nobody is told anything where nothing is known of any message: all may need it.
        let is_told = pushes.iter().any(|push| !push.audience.is_empty());
        let told = || pushes.iter().filter(|_| is_told);
        let labels: BTreeSet<u32> = told().flat_map(|push| &push.audience).copied().collect();
        let batch = Batch {
            id: BatchId { spi: span.under.0, first_sequence: span.first },
            datagrams: pushes.iter().map(|push| push.transmit.payload.clone()).collect(),
            audience: told().map(|push| members_below(&push.audience, group)).collect(),
            labels: told().map(|push| push.audience.clone()).collect(),
            receivers: if is_told { members_below(&labels, group) } else { members },
        };
        let config = SenderConfig { pace: SPACING_MIN, control_len_max, ..SenderConfig::default() };
        let seal = &mut Controls { spi: span.under, signing_key: &group.signing_key };
        let sender = Sender::new(config, batch, proactivity, start, seal).ok()?;
        Some(Self {
            group: group.id.clone(),
            rekey: RekeyId(0),
            begun: start,
            stood: Duration::ZERO,
            halted: None,
            spi: span.under,
            sender,
            envelope,
            keys: pushes.iter().map(|push| push.key.clone()).collect(),
            tail: Vec::new(),
            busy: false,
            past_first_round: false,
            receivers: BTreeMap::new(),
            routes: Vec::new(),
            owed: BTreeSet::new(),
            counted: Traffic::default(),
            is_over: false,
        })
    }

    /// Says how long the first round takes: the messages, the repairs sent unasked, the directories, an announcement.
    fn first_round(&self) -> Duration {
        let Traffic { repairs, directories, .. } = self.sender.traffic();
        let controls = u32::try_from(repairs + directories + 1).expect("limits bound what a round has");
        SPACING_MIN * (u32::from(self.sender.shape().datagrams()) + controls)
    }

    fn is_of(&self, batch: BatchId) -> bool {
        self.spi.0 == batch.spi && self.first_sequence() == batch.first_sequence
    }

    fn first_sequence(&self) -> u32 {
        self.sender.batch().first_sequence
    }

    fn handle_report(
        &mut self,
        now: Time,
        host: &MemberId,
        route: Route,
        octets: &[u8],
    ) -> Result<(), Error> {
        let now = self.time(now);
        let next = ReceiverId(self.routes.len() as u64);
        let receiver = self.receivers.get(host).copied().unwrap_or(next);
        self.sender.handle_report(now, receiver, octets)?;
        if receiver == next {
            self.receivers.insert(host.clone(), receiver);
            self.routes.push(route);
        } else {
            self.routes[receiver.0 as usize] = route;
        }
        while let Some(event) = self.sender.poll_event() {
            let receiver = match event {
                SenderEvent::Lost(receiver) => receiver,
                // It pulls, by which it is served.
                SenderEvent::GaveUp(_) => continue,
                // The end is seen by what is left to be sent.
                SenderEvent::Ended => continue,
            };
            // It has heard messages and no control, so that it cannot say what it misses. A long batch is more than a
            // PULL costs.
            let count = self.sender.shape().datagrams();
            if usize::from(count) <= UNICAST_DATAGRAMS_MAX {
                self.sender.serve(now, receiver, 0..count)?;
            }
        }
        if self.sender.is_serving(receiver) {
            self.owed.insert(receiver);
        }
        Ok(())
    }

    /// Says what time it is for the sender.
    fn time(&self, now: Time) -> Time {
        self.halted.map_or(now, |halted| halted.min(now)) - self.stood
    }

    fn poll_timeout(&self) -> Option<Time> {
        // What holds it up is waited for elsewhere.
        self.sender.poll_timeout().filter(|_| self.halted.is_none()).map(|at| at + self.stood)
    }

    /// Stops and starts the clock, as its messages can leave.
    fn is_held_up(&mut self, now: Time, queue: &PushQueue) -> bool {
        match queue.holds_up(&self.lane(), self.rekey) {
            Some(Hold::Stopped(since)) => {
                self.halted.get_or_insert(since.max(self.begun));
                true
            }
            // Planned behind the others it need not wait in addition.
            Some(Hold::Behind)
                if self.halted.is_some() || self.poll_timeout().is_some_and(|at| at <= now) =>
            {
                self.halted.get_or_insert(now);
                true
            }
            Some(Hold::Behind) | None => {
                self.stood += self.halted.take().map_or(Duration::ZERO, |halted| now.since(halted));
                false
            }
        }
    }

    /// Removes the records of messages that have left.
    fn release_records(&mut self, queue: &mut PushQueue) -> Vec<Change> {
        let mut keys = std::mem::take(&mut self.keys);
        keys.retain(|key| queue.release_record(&self.group, key));
        keys.into_iter().map(|key| Change::remove(record::PUSH, key)).collect()
    }

    /// Does everything up to `now`, each at its time: who is called late catches up, as [`Deliveries::begin`] promised.
    fn take_due(&mut self, now: Time, signing_key: &SigningKey, queue: &mut PushQueue, outbox: &mut Outbox) {
        let time = self.time(now);
        while let Some(at) = self.sender.poll_timeout().filter(|at| *at <= time) {
            match self.sender.poll_transmit(at) {
                Some(Outgoing::Datagram { index }) => {
                    let record = self.keys.get(usize::from(index)).cloned();
                    self.multicast(now, Share::First, record, self.datagram(index), queue);
                }
                Some(Outgoing::Sealed(octets)) => self.multicast(now, Share::Beside, None, octets, queue),
                Some(Outgoing::Unicast { to, index }) => {
                    outbox.push_back(Ready::Plain(self.unicast(to, self.datagram(index))));
                }
                None => self.sender.handle_timeout(at, &mut Controls { spi: self.spi, signing_key }),
            }
            if self.sender.is_idle() {
                self.fell_idle(now, queue, outbox);
            }
        }
    }

    fn lane(&self) -> LaneKey {
        LaneKey { group: self.group.clone(), destination: self.envelope.destination }
    }

    fn multicast(
        &mut self,
        now: Time,
        share: Share,
        record: Option<RecordKey>,
        payload: Vec<u8>,
        queue: &mut PushQueue,
    ) {
        self.busy = true;
        let transmit = Transmit { payload, ..self.envelope.clone() };
        queue.add(now, self.lane(), Copy { rekey: self.rekey, share, record, is_last: false, transmit });
    }

    fn unicast(&self, to: ReceiverId, payload: Vec<u8>) -> Transmit {
        let Route { peer, own } = self.routes[to.0 as usize];
        let source = Some(own).filter(|own| !own.ip().is_unspecified() && !own.ip().is_multicast());
        trace!(group = %self.group, destination = %peer, length = payload.len(), "a message to one member");
        Transmit { socket: Socket::Port848, source, destination: peer, payload }
    }

    fn datagram(&self, index: u16) -> Vec<u8> {
        self.sender.datagram(index).expect("the sender names its own datagrams").to_vec()
    }

    /// Sends what follows the new KEK to those who have been brought it.
    fn fell_idle(&mut self, now: Time, queue: &mut PushQueue, outbox: &mut Outbox) {
        let announced = self.sender.traffic().announcements > 0;
        if std::mem::take(&mut self.busy) && announced {
            // Behind the first round there are copies of their own.
            if std::mem::replace(&mut self.past_first_round, true) {
                for transmit in self.tail.iter().cloned() {
                    let lane = LaneKey { group: self.group.clone(), destination: transmit.destination };
                    let (rekey, share) = (self.rekey, Share::Beside);
                    queue.add(now, lane, Copy { rekey, share, record: None, is_last: false, transmit });
                }
            }
        }
        for receiver in std::mem::take(&mut self.owed) {
            let unicast = |push: &Transmit| Ready::Plain(self.unicast(receiver, push.payload.clone()));
            outbox.extend(self.tail.iter().map(unicast));
        }
    }

    fn count(&mut self, counts: &mut Counts<Counter>) {
        let (now, before) = (self.sender.traffic(), self.counted);
        for (counter, count) in [
            (Counter::Repairs, now.repairs - before.repairs),
            (Counter::Announcements, now.announcements - before.announcements),
            (Counter::Directories, now.directories - before.directories),
            (Counter::Unicasts, now.unicasts - before.unicasts),
            (Counter::Reports, now.reports - before.reports),
            (Counter::Ended, u64::from(self.sender.has_ended())),
        ] {
            counts.add(counter, count);
        }
        self.counted = now;
    }
}

/// Says how many members there are at most below some nodes: as many as there are leaves, or members.
fn members_below<'a>(nodes: impl IntoIterator<Item = &'a u32>, group: &Group) -> u32 {
    let degree = u32::from(group.tree.degree().k());
    let leaves = nodes.into_iter().map(|node| degree.saturating_pow(NodeId::from_u32(*node).level().into()));
    leaves.fold(0, u32::saturating_add).min(group.members.len() as u32)
}
