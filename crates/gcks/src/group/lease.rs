//! What the key server knows of the leases of a group's members: until when each may go on under older keys.
//!
//! A member that needs a lease goes on for no longer than one lasts after it was last answered, by a PULL or by the lease
//! exchange (binding section 7.8), and not under a TEK that is older than the one that it states. So who departs reads nothing
//! from an instant on that is known when the keys are replaced, whatever becomes of their messages.
//!
//! Nothing of it is stored. After a start every member counts as answered at that instant.

use std::{collections::BTreeMap, time::Duration};

use claviger_group::{MemberId, Role, Spi};
use claviger_sansio::Time;

use super::Group;

/// What a bound on a member's lease is later by: a sender's timer may be late, and its packets on their way.
const MARGIN: Duration = Duration::from_secs(1);

/// Whether a member needs a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseNeed {
    /// It does not: the group has none, or not for its role.
    None,
    /// It does.
    Leased,
    /// It would, and the list lets it do without: it knows none.
    Exempt,
}

/// What is known of all members that need leases, or do without.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    known: BTreeMap<MemberId, Known>,
    /// The hosts that were evicted, and may still read what somebody sends; for a while those that may not any more.
    awaited: BTreeMap<MemberId, Awaited>,
}

/// What is waited for, for one host.
#[derive(Debug)]
struct Awaited {
    farewell: Farewell,
    /// When it was over, and how it stood then.
    over: Option<(Time, Silence)>,
}

/// How long it is remembered how an eviction ended.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What a host that departed never got, and the end of what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Farewell {
    /// The number of the first TEK that it never got.
    tek: u64,
    /// When that was issued.
    at: Time,
    /// When the last TEK ends that it had.
    older_teks_end: Time,
}

/// What is known of one.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When it was last answered, by the number of the TEK that was in force then; what is over is dropped.
    answered: Vec<(u64, Time)>,
    /// It protects nothing under a TEK whose number is less.
    stated: u64,
    /// Since when that is known.
    stated_at: Option<Time>,
    is_exempt: bool,
}

/// A member that may still use keys which a host that departed has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Laggard {
    pub(crate) host: MemberId,
    /// Until when, at the latest.
    pub(crate) until: Time,
    /// Whether it does without leases, so that nothing but the end of the TEK stops it.
    pub(crate) is_exempt: bool,
}

/// Who goes on under the keys that a host had which departed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    /// How many members count: those that need leases, or do without.
    pub(crate) counted: usize,
    /// How many of them have said that they have changed over.
    pub(crate) stated: usize,
    /// Those that have not, and may still go on.
    pub(crate) laggards: Vec<Laggard>,
    /// When the last said so.
    pub(crate) stated_at: Option<Time>,
}

impl Leases {
    /// Waits until nobody protects anything under what a host had.
    fn await_silence(&mut self, now: Time, host: MemberId, farewell: Farewell) {
        self.awaited.retain(|_, awaited| awaited.over.as_ref().is_none_or(|(at, _)| *at + REMEMBERED > now));
        self.awaited.insert(host, Awaited { farewell, over: None });
    }

    /// Forgets a host that is no member any more: what it says itself is no secret of the group.
    pub(crate) fn remove(&mut self, host: &MemberId) {
        self.known.remove(host);
    }
}

impl Group {
    /// Says whether a member needs a lease in a role; `without` says that the list lets it do without.
    pub(crate) fn lease_need(&self, role: Role, without: bool) -> LeaseNeed {
        match self.policy.lease.applies_to(role) {
            None => LeaseNeed::None,
            Some(_) if without => LeaseNeed::Exempt,
            Some(_) => LeaseNeed::Leased,
        }
    }

    /// Notes that a PULL has brought a member the keys in force.
    pub(crate) fn lease_pulled(&mut self, now: Time, host: &MemberId, need: LeaseNeed) {
        let is_exempt = match need {
            // One that needed one until now may go on for what remains of it.
            LeaseNeed::None => return,
            LeaseNeed::Leased => false,
            LeaseNeed::Exempt => true,
        };
        self.lease_answered(now, host).is_exempt = is_exempt;
    }

    /// Notes that a member was told that the keys in force are.
    pub(crate) fn lease_answered(&mut self, now: Time, host: &MemberId) -> &mut Known {
        let (number, over) = (self.current_tek().number, self.lease_bound());
        let known = self.leases.known.entry(host.clone()).or_default();
        known.answered.retain(|(of, at)| *of != number && *at + over > now);
        known.answered.push((number, now));
        known
    }

    /// Notes that a member protects nothing under a TEK that is older than this. Says whether that is new.
    pub(crate) fn lease_stated(&mut self, now: Time, host: &MemberId, tek: Spi) -> bool {
        // Of a TEK that is forgotten the statement is too old to be of use.
        let Some(issued) = self.teks.iter().find(|issued| issued.tek.spi == tek) else { return false };
        let Some(known) = self.leases.known.get_mut(host) else { return false };
        let is_new = issued.number > known.stated;
        if is_new {
            (known.stated, known.stated_at) = (issued.number, Some(now));
        }
        is_new
    }

    /// Says what a host never got that departs by the change of keys which was made last.
    fn farewell(&self, now: Time) -> Farewell {
        let tek = self.current_tek().number;
        let older = self.teks.iter().filter(|issued| issued.number < tek);
        // It is told in whole seconds, and runs from when the message arrives.
        let ends = older.map(|issued| issued.issued + issued.tek.lifetime + 2 * MARGIN);
        Farewell { tek, at: now, older_teks_end: ends.max().unwrap_or(now) }
    }

    /// Says who may go on under what a host had that departed, and until when.
    fn silence(&self, now: Time, farewell: Farewell) -> Silence {
        let mut silence = Silence::default();
        for (host, known) in &self.leases.known {
            let is_exempt = known.is_exempt;
            let until = self.goes_on_until(now, known, farewell);
            let laggard = until.map(|until| Laggard { host: host.clone(), until, is_exempt });
            let role = self.members.get(host).map(|member| member.role);
            let counts = role.is_some_and(|role| self.policy.lease.applies_to(role).is_some());
            silence.counted += usize::from(counts || laggard.is_some());
            if counts && known.stated >= farewell.tek {
                silence.stated += 1;
                silence.stated_at = silence.stated_at.max(known.stated_at);
            }
            silence.laggards.extend(laggard);
        }
        silence
    }

    /// Says until when a member may go on under what a host had that departed; none if it does not.
    fn goes_on_until(&self, now: Time, known: &Known, farewell: Farewell) -> Option<Time> {
        let Farewell { tek, at, older_teks_end } = farewell;
        if known.stated >= tek {
            return None;
        }
        let delay = self.policy.times.activation_delay;
        let until = |(of, answered): &(u64, Time)| {
            if *of < tek {
                Some(*answered + self.lease_bound())
            } else {
                // A PULL names the TEK before too while others still send under it; the delay is told in whole seconds.
                (*answered < at + delay).then_some(*answered + delay + 2 * MARGIN)
            }
        };
        let leased = known.answered.iter().filter_map(until).max();
        let until = if known.is_exempt { Some(older_teks_end) } else { leased };
        until.filter(|until| *until > now)
    }

    /// Says until when each member may go on under what a host had that departed, of those that may.
    fn those_who_go_on(&self, now: Time, farewell: Farewell) -> impl Iterator<Item = Time> {
        self.leases.known.values().filter_map(move |known| self.goes_on_until(now, known, farewell))
    }

    /// Waits until nobody goes on under what a host had that departs by the change of keys which was made last.
    pub(crate) fn await_silence(&mut self, now: Time, host: &MemberId) {
        if self.policy.lease.time.is_some() {
            let farewell = self.farewell(now);
            self.leases.await_silence(now, host.clone(), farewell);
        }
    }

    /// Says for whom nobody goes on any more, since it was asked last. It is asked at each statement of a member: the first
    /// that goes on decides.
    pub(crate) fn take_silent(&mut self, now: Time) -> Vec<MemberId> {
        let running = self.leases.awaited.iter().filter(|(_, awaited)| awaited.over.is_none());
        let is_over =
            |(_, awaited): &(_, &Awaited)| self.those_who_go_on(now, awaited.farewell).next().is_none();
        let silences = running.filter(is_over);
        let over: Vec<_> =
            silences.map(|(host, awaited)| (host.clone(), self.silence(now, awaited.farewell))).collect();
        for (host, silence) in &over {
            if let Some(awaited) = self.leases.awaited.get_mut(host) {
                awaited.over = Some((now, silence.clone()));
            }
        }
        over.into_iter().map(|(host, _)| host).collect()
    }

    /// Says who goes on under what a host had that was evicted, as far as it is known.
    pub(crate) fn silence_for(&self, now: Time, host: &MemberId) -> Option<Silence> {
        let Awaited { farewell, over } = self.leases.awaited.get(host)?;
        let over = over.as_ref().map(|(_, silence)| silence.clone());
        Some(over.unwrap_or_else(|| self.silence(now, *farewell)))
    }

    /// Says from when on nothing at all is protected under what a host had that departs by the change of keys which was made
    /// last, if nobody says more.
    pub(crate) fn silent_from(&self, now: Time) -> Time {
        let farewell = self.farewell(now);
        if self.policy.lease.time.is_none() {
            return farewell.older_teks_end;
        }
        self.those_who_go_on(now, farewell).max().unwrap_or(now)
    }

    /// Takes every member that needs a lease for one that was answered at a start of the key server.
    pub(crate) fn assume_leases(&mut self, now: Time, is_exempt: impl Fn(&MemberId) -> bool) {
        let members: Vec<(MemberId, LeaseNeed)> = self
            .members
            .iter()
            .map(|(host, member)| (host.clone(), self.lease_need(member.role, is_exempt(host))))
            .collect();
        for (host, need) in members {
            self.lease_pulled(now, &host, need);
        }
    }

    /// How long after it was answered a member has stopped; where receivers need leases too, how long after that the older
    /// SAs are gone that it still received under.
    fn lease_bound(&self) -> Duration {
        let lease = self.policy.lease;
        let received = if lease.receivers { self.policy.times.deactivation_delay } else { Duration::ZERO };
        lease.time.unwrap_or_default() + received + MARGIN
    }
}
