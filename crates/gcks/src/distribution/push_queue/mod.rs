//! Which GROUPKEY-PUSH is sent when, and how often.
//!
//! Each message is sent three times, the same octets under the same number (RFC 6407 section 7.3.4 lets members
//! drop the copies), spaced so that a burst of loss does not take all of them. Where each message has its own
//! signature, all copies of one number precede the first of the next: a member accepts only rising numbers, so a late
//! copy behind its successor were lost. Messages that share signatures are accepted in any order, and go out in three
//! rounds: nobody waits for copies of what it has, and losses in a row take different messages in each round. Of those,
//! long batches are not copied but delivered ([`crate::distribution::delivery`]).
//!
//! The program says of each copy whether it left ([`crate::dispatch`]). One that the system refused is tried again until
//! it has left, and what is for the same address waits behind it: a KEK message must be heard before what stands under
//! its KEK. So members that can be reached again follow the whole chain of rekeys without a PULL. Of a group whose
//! messages cannot leave for so long that more than [`UNSENT_MAX`] of earlier rekeys wait, only the newest rekey is
//! kept from then on: members that hear it see a rekey SA or a number that they do not expect, and pull.

mod lane;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use claviger_group::{GroupId, MemberId, PushAuthentication};
use claviger_sansio::{
    NotSent, Time, Transmit,
    durable::{Change, RecordKey},
};

use crate::{
    distribution::SealedRekey,
    event::{Departure, RekeyId},
    group::OVERTAKING_MAX,
    record,
};

use lane::Lane;
pub(crate) use lane::{Copy, LaneKey, Share};

/// How many times each message is sent.
pub(crate) const COPIES: u32 = 3;

/// The widest space between two copies.
const SPACING_MAX: Duration = Duration::from_millis(50);

/// The time within which all copies of one rekey leave, where the widest space would exceed it.
const REKEY_SPREAD_MAX: Duration = Duration::from_millis(600);

/// The widest space while a join or a departure waits for them. A burst of loss is shorter than three copies, and a host
/// that joins hardly notices the wait for those of one rekey.
const SPACING_HURRIED_MAX: Duration = Duration::from_millis(10);

/// The time within which copies leave that something waits for, where that space would exceed it.
const HURRIED_SPREAD_MAX: Duration = Duration::from_millis(120);

/// The narrowest space, which goes before: 2,000 messages a second are some 20 megabits, and no receive buffer of the
/// usual size overflows.
pub(crate) const SPACING_MIN: Duration = Duration::from_micros(500);

/// How long a copy that was refused waits at first, doubled up to [`RETRY_MAX`]: an interface that is reconfigured is
/// there again in about this time.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest such wait: it bounds how long a rekey stays behind after its way is open again. One refused call of the
/// system for each address in this time costs nothing.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How many messages of earlier rekeys wait for a group whose messages do not leave. With three copies each they take
/// ten seconds to leave behind each other; beyond that it is quicker for the members to pull.
pub(crate) const UNSENT_MAX: usize = 64;

/// How long the last words of a group that was removed are tried: nobody can ask about it any more, and its members
/// are refused when they renew.
pub(crate) const REMOVED_RETRY_MAX: Duration = Duration::from_secs(60);

/// What waits for the program to take it.
pub(crate) type Outbox = VecDeque<Ready>;

/// A datagram that may leave.
pub(crate) enum Ready {
    /// To one host, which says itself if it misses something.
    Plain(Transmit),
    /// To a group: what becomes of it matters.
    Push(Flight),
}

/// A copy that was given out.
pub(crate) struct Flight {
    pub(crate) lane: LaneKey,
    at: Time,
    serial: u64,
    pub(crate) copy: Copy,
    /// When.
    pub(crate) given_out: Time,
}

/// A rekey whose copies have not all left.
pub(crate) struct UnderWay {
    pub(crate) group: GroupId,
    /// Messages of which no copy has left.
    pub(crate) messages: usize,
    /// Copies that have not left.
    pub(crate) copies: usize,
    /// Whether a copy has left.
    pub(crate) has_begun: bool,
    /// Who departed by it, why, and when that was decided.
    pub(crate) departed: Vec<(MemberId, Departure, Time)>,
    /// Whether earlier rekeys were dropped, so that nobody can follow this one without a PULL.
    pub(crate) needs_pull: bool,
    /// Until when it is tried, if not for ever.
    pub(crate) until: Option<Time>,
}

impl UnderWay {
    pub(crate) fn new(group: GroupId, copied: usize, delivered: usize) -> Self {
        Self {
            group,
            messages: copied + delivered,
            copies: copied * COPIES as usize + delivered,
            has_begun: false,
            departed: Vec::new(),
            needs_pull: false,
            until: None,
        }
    }
}

/// What the queue tells of rekeys.
pub(crate) enum Milestone {
    /// The system refuses messages of a group.
    Stopped { group: GroupId, destination: SocketAddr, reason: NotSent },
    /// Messages of the group leave again.
    Resumed { group: GroupId, since: Time },
    /// A copy of each message has left.
    Sent { rekey: RekeyId, group: GroupId, at: Time },
    /// All copies of each message have left.
    Through { rekey: RekeyId, what: UnderWay, at: Time },
    /// So many messages are not tried any more; `again` if that was told of the same outage before.
    Dropped { group: GroupId, messages: usize, again: bool },
}

/// How a group's messages fail to leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsent {
    pub(crate) messages: usize,
    pub(crate) since: Time,
    pub(crate) reason: NotSent,
}

/// All copies that wait for their time, or for their way to be open.
#[derive(Default)]
pub(crate) struct PushQueue {
    lanes: BTreeMap<LaneKey, Lane>,
    /// When each lane has something to do.
    due: BTreeSet<(Time, LaneKey)>,
    under_way: BTreeMap<RekeyId, UnderWay>,
    milestones: VecDeque<Milestone>,
    rekeys: u64,
    serial: u64,
}

impl PushQueue {
    /// Names the next rekey.
    pub(crate) fn name_rekey(&mut self) -> RekeyId {
        self.rekeys += 1;
        RekeyId(self.rekeys)
    }

    /// Follows a rekey until its copies have left.
    pub(crate) fn follow(&mut self, rekey: RekeyId, what: UnderWay) {
        self.under_way.insert(rekey, what);
    }

    /// Plans all copies of the messages of one rekey from `start` on, behind what waits for the same addresses. Returns
    /// when the last leaves if none has to wait. With `removes` each message's record goes with its last copy; otherwise
    /// it stays until [`PushQueue::release_record`].
    pub(crate) fn schedule(
        &mut self,
        now: Time,
        start: Time,
        rekey: RekeyId,
        authentication: PushAuthentication,
        pushes: Vec<SealedRekey>,
        removes: bool,
    ) -> Time {
        let Some(group) = self.under_way.get(&rekey).map(|what| what.group.clone()) else { return start };
        let slots = pushes.len() as u32 * COPIES;
        let spacing = (REKEY_SPREAD_MAX / slots.max(1)).clamp(SPACING_MIN, SPACING_MAX);
        let mut shifts: BTreeMap<SocketAddr, Duration> = BTreeMap::new();
        let (mut at, mut last) = (start, start);
        for (number, copy) in order(authentication, pushes.len()) {
            let SealedRekey { key, transmit, .. } = pushes[number].clone();
            let destination = transmit.destination;
            let share = if copy == 1 { Share::First } else { Share::Again };
            let is_last = removes && copy == COPIES;
            let copy = Copy { rekey, share, record: Some(key), is_last, transmit };
            let serial = self.next_serial();
            self.with_lane(LaneKey { group: group.clone(), destination }, |lane, _| {
                let planned = lane.time(now) + at.since(now);
                let behind = || lane.last().map_or(Duration::ZERO, |last| last.since(planned));
                let shift = *shifts.entry(destination).or_insert_with(behind);
                lane.insert(planned + shift, serial, copy);
            });
            last = at;
            at = at + spacing;
        }
        last
    }

    /// Has the copies of a group that are planned leave close behind each other, in their order, and no rekey nearer to the
    /// one before than the network needs: something waits for them. Returns when the last leaves; none if nothing leaves for
    /// one of the addresses.
    pub(crate) fn hurry(&mut self, now: Time, group: &GroupId) -> Option<Time> {
        if self.stopped_lanes(group).next().is_some() {
            return None;
        }
        let lanes: Vec<LaneKey> = self.lanes_of(group).map(|(key, _)| key.clone()).collect();
        let mut plan: Vec<_> = self.lanes_of(group).flat_map(|(_, lane)| lane.plan()).collect();
        plan.sort_unstable_by_key(|(at, _)| *at);
        let count = u32::try_from(plan.len()).unwrap_or(u32::MAX).max(1);
        let spacing = (HURRIED_SPREAD_MAX / count).clamp(SPACING_MIN, SPACING_HURRIED_MAX);
        let (mut last, mut before) = (now, None);
        let mut times = BTreeMap::new();
        for ((at, serial), copy) in plan {
            // Before a rekey's first message those of another may have left a moment ago.
            let is_next = match before.replace(copy.rekey) {
                Some(before) => before != copy.rekey,
                None => self.under_way.get(&copy.rekey).is_some_and(|what| !what.has_begun),
            };
            last = at.min(last.max(now) + if is_next { OVERTAKING_MAX } else { spacing });
            times.insert(serial, last);
        }
        for key in lanes {
            self.with_lane(key, |lane, _| lane.replan(&times));
        }
        Some(last)
    }

    /// Adds a copy that leaves at once, or behind those that are due.
    pub(crate) fn add(&mut self, now: Time, lane: LaneKey, copy: Copy) {
        let serial = self.next_serial();
        self.with_lane(lane, |lane, _| lane.insert(lane.time(now), serial, copy));
    }

    /// Gives out what is due.
    pub(crate) fn take_due(&mut self, now: Time, outbox: &mut Outbox) {
        let due: Vec<LaneKey> =
            self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect();
        for key in due {
            self.with_lane(key, |lane, key| lane.give_out(now, key, outbox));
        }
    }

    /// Says whether a copy that was given out may go now. One that may not is taken back, and one of a group that was
    /// removed meanwhile goes nowhere.
    pub(crate) fn clear(&mut self, flight: Flight) -> Option<Flight> {
        if self.lanes.get(&flight.lane)?.lets_pass(&flight) {
            return Some(flight);
        }
        self.with_lane(flight.lane.clone(), |lane, _| lane.take_back(flight));
        None
    }

    /// Notes that a copy has left.
    pub(crate) fn left(&mut self, now: Time, flight: Flight, changes: &mut Vec<Change>) {
        let Flight { lane: key, copy, .. } = flight;
        let group = key.group.clone();
        if let Some(since) = self.with_lane(key, |lane, _| lane.left(now))
            && self.stopped_lanes(&group).next().is_none()
        {
            self.milestones.push_back(Milestone::Resumed { group, since });
        }
        if copy.is_last {
            changes.extend(copy.record.map(|record| Change::remove(record::PUSH, record)));
        }
        self.count(now, copy.rekey, copy.share);
    }

    fn count(&mut self, now: Time, rekey: RekeyId, share: Share) {
        let Some(what) = self.under_way.get_mut(&rekey) else { return };
        what.has_begun = true;
        match share {
            Share::First => {
                what.messages = what.messages.saturating_sub(1);
                what.copies = what.copies.saturating_sub(1);
                if what.messages == 0 {
                    let group = what.group.clone();
                    self.milestones.push_back(Milestone::Sent { rekey, group, at: now });
                }
            }
            Share::Again => what.copies = what.copies.saturating_sub(1),
            Share::Beside => return,
        }
        if what.copies == 0 {
            let group = what.group.clone();
            self.end_rekeys(now, &group);
        }
    }

    /// Ends the rekeys of a group that are through, in their order: one that was overtaken at some addresses keeps members
    /// there from following the later ones.
    fn end_rekeys(&mut self, now: Time, group: &GroupId) {
        while let Some((rekey, what)) = self.under_way.iter().find(|(_, what)| what.group == *group)
            && what.copies == 0
        {
            let rekey = *rekey;
            let Some(what) = self.under_way.remove(&rekey) else { break };
            self.milestones.push_back(Milestone::Through { rekey, what, at: now });
        }
    }

    /// Takes back a copy that the system refused.
    pub(crate) fn refused(&mut self, now: Time, flight: Flight, reason: NotSent, changes: &mut Vec<Change>) {
        let (key, rekey) = (flight.lane.clone(), flight.copy.rekey);
        if !self.lanes.contains_key(&key) {
            return;
        }
        let LaneKey { group, destination } = key.clone();
        let was_stopped = self.stopped_lanes(&group).next().is_some();
        self.with_lane(key, |lane, _| lane.refuse(now, flight, reason));
        if !was_stopped {
            self.milestones.push_back(Milestone::Stopped { group: group.clone(), destination, reason });
        }
        let is_over = |what: &UnderWay| what.until.is_some_and(|until| until <= now);
        if self.under_way.get(&rekey).is_some_and(is_over) {
            self.drop_up_to(now, &group, rekey, false, changes);
        }
    }

    /// Keeps only the newest rekey of a group whose messages do not leave, if too many wait before it. Says so.
    pub(crate) fn drop_superseded(
        &mut self,
        now: Time,
        group: &GroupId,
        newest: RekeyId,
        changes: &mut Vec<Change>,
    ) -> bool {
        let waiting = self.waiting(group, |copy| copy.rekey < newest).len();
        // A chain that is broken is of no use to anybody.
        let is_broken = self.under_way.values().any(|what| what.group == *group && what.needs_pull);
        if waiting == 0 || waiting <= UNSENT_MAX && !is_broken {
            return false;
        }
        let departed = self.drop_up_to(now, group, RekeyId(newest.0 - 1), is_broken, changes);
        if let Some(what) = self.under_way.get_mut(&newest) {
            what.departed.splice(0..0, departed);
            what.needs_pull = true;
        }
        true
    }

    /// Drops what waits of the rekeys of a group up to one, where nothing leaves. Returns who departed by them.
    fn drop_up_to(
        &mut self,
        now: Time,
        group: &GroupId,
        last: RekeyId,
        again: bool,
        changes: &mut Vec<Change>,
    ) -> Vec<(MemberId, Departure, Time)> {
        let dropped = self.waiting(group, |copy| copy.rekey <= last);
        let messages = dropped.len();
        changes.extend(dropped.into_iter().map(|key| Change::remove(record::PUSH, key)));
        let lanes: Vec<LaneKey> = self.stopped_lanes(group).map(|(key, _)| key.clone()).collect();
        for key in lanes {
            self.with_lane(key, |lane, _| lane.retain(now, |copy| copy.rekey > last));
        }
        let of_group = |what: &UnderWay| what.group == *group;
        let earlier = self.under_way.extract_if(..=last, |_, what| of_group(what));
        let departed = earlier.flat_map(|(_, what)| what.departed).collect();
        self.milestones.push_back(Milestone::Dropped { group: group.clone(), messages, again });
        departed
    }

    /// Has the record of a message removed once no copy of it waits any more. Says whether that is so now.
    pub(crate) fn release_record(&mut self, group: &GroupId, record: &RecordKey) -> bool {
        let lanes = self.lanes_of_mut(group);
        let mut copies = lanes.flat_map(|lane| lane.copies_mut().rev());
        match copies.find(|copy| copy.record.as_ref() == Some(record)) {
            Some(last) => {
                last.is_last = true;
                false
            }
            None => true,
        }
    }

    /// Forgets the copies of a group that is no more.
    pub(crate) fn forget(&mut self, group: &GroupId) {
        self.lanes.retain(|key, _| key.group != *group);
        self.due.retain(|(_, key)| key.group != *group);
        self.under_way.retain(|_, what| what.group != *group);
    }

    /// Says whether a rekey's messages for an address have to wait: nothing leaves for it, or earlier ones are to leave
    /// first. With the instant since when nothing leaves, if that is why.
    pub(crate) fn holds_up(&self, key: &LaneKey, rekey: RekeyId) -> Option<Hold> {
        let lane = self.lanes.get(key)?;
        if let Some(stopped) = lane.stopped() {
            return Some(Hold::Stopped(stopped.since));
        }
        lane.copies().next().is_some_and(|first| first.rekey < rekey).then_some(Hold::Behind)
    }

    /// Says whether copies for an address were given out and not reported on.
    pub(crate) fn has_given_out(&self, key: &LaneKey) -> bool {
        self.lanes.get(key).is_some_and(|lane| lane.has_given_out())
    }

    /// Shows whether messages of a group do not leave.
    pub(crate) fn unsent(&self, group: &GroupId) -> Option<Unsent> {
        let (_, stopped) = self.stopped_lanes(group).min_by_key(|(_, stopped)| stopped.since)?;
        let messages = self.waiting(group, |_| true).len();
        Some(Unsent { messages, since: stopped.since, reason: stopped.reason })
    }

    pub(crate) fn poll_milestone(&mut self) -> Option<Milestone> {
        self.milestones.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Names the messages that wait where nothing leaves.
    fn waiting(&self, group: &GroupId, wanted: impl Fn(&Copy) -> bool) -> BTreeSet<RecordKey> {
        let lanes = self.stopped_lanes(group).filter_map(|(key, _)| self.lanes.get(key));
        let copies = lanes.flat_map(|lane| lane.copies()).filter(|copy| wanted(copy));
        copies.filter_map(|copy| copy.record.clone()).collect()
    }

    fn stopped_lanes(&self, group: &GroupId) -> impl Iterator<Item = (&LaneKey, lane::Stopped)> {
        self.lanes_of(group).filter_map(|(key, lane)| Some((key, lane.stopped()?)))
    }

    fn lanes_of(&self, group: &GroupId) -> impl Iterator<Item = (&LaneKey, &Lane)> {
        self.lanes.range(first_lane(group)..).take_while(move |(key, _)| key.group == *group)
    }

    fn lanes_of_mut(&mut self, group: &GroupId) -> impl Iterator<Item = &mut Lane> {
        let lanes = self.lanes.range_mut(first_lane(group)..).take_while(move |(key, _)| key.group == *group);
        lanes.map(|(_, lane)| lane)
    }

    /// Changes a lane and puts its deadline right; a lane that is idle then is forgotten.
    fn with_lane<T>(&mut self, key: LaneKey, change: impl FnOnce(&mut Lane, &LaneKey) -> T) -> T {
        let mut lane = self.lanes.remove(&key).unwrap_or_default();
        if let Some(at) = lane.due() {
            self.due.remove(&(at, key.clone()));
        }
        let result = change(&mut lane, &key);
        if let Some(at) = lane.due() {
            self.due.insert((at, key.clone()));
        }
        if !lane.is_idle() {
            self.lanes.insert(key, lane);
        }
        result
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// Why a delivery has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Messages of earlier rekeys are to leave first.
    Behind,
    /// Nothing leaves since this instant.
    Stopped(Time),
}

/// Orders the copies of so many messages: number and copy of each.
fn order(authentication: PushAuthentication, messages: usize) -> Vec<(usize, u32)> {
    let numbers = 0..messages;
    match authentication {
        PushAuthentication::Message => {
            numbers.flat_map(|number| (1..=COPIES).map(move |copy| (number, copy))).collect()
        }
        PushAuthentication::Batch => {
            (1..=COPIES).flat_map(|copy| numbers.clone().map(move |number| (number, copy))).collect()
        }
    }
}

/// Names what is not behind any lane of a group.
fn first_lane(group: &GroupId) -> LaneKey {
    LaneKey { group: group.clone(), destination: (Ipv4Addr::UNSPECIFIED, 0).into() }
}
