//! How often a host may join.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use claviger_group::{GroupId, MemberId};
use claviger_sansio::Time;

/// How many times a host may join a group in [`JOIN_PERIOD`], so that one host cannot make it rekey for ever.
const JOINS_MAX: usize = 16;

/// The period over which joins are counted.
const JOIN_PERIOD: Duration = Duration::from_secs(60);

/// Counts the joins of each host to each group.
#[derive(Default)]
pub(crate) struct JoinLimiter {
    /// How many of the recent joins are whose.
    counts: BTreeMap<(MemberId, GroupId), usize>,
    /// The joins of the last period, the oldest first.
    recent: VecDeque<(Time, (MemberId, GroupId))>,
}

impl JoinLimiter {
    /// Counts one join, or one move, unless there were too many of late.
    pub(crate) fn admit(&mut self, now: Time, host: &MemberId, group: &GroupId) -> bool {
        self.forget(now);
        let who = (host.clone(), group.clone());
        let count = self.counts.entry(who.clone()).or_default();
        if *count >= JOINS_MAX {
            return false;
        }
        *count += 1;
        self.recent.push_back((now, who));
        true
    }

    /// Forgets the joins that are a period old.
    fn forget(&mut self, now: Time) {
        while let Some((_, who)) = self.recent.pop_front_if(|(at, _)| *at + JOIN_PERIOD <= now) {
            if let Some(count) = self.counts.get_mut(&who) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&who);
                }
            }
        }
    }
}
