//! The TEKs of a group, and from when until when each is used.

use std::time::Duration;

use claviger_crypto::Random;
use claviger_group::{Spi, Tek, tek::TekKeys};
use claviger_sansio::Time;

use super::{
    Group,
    sa::{IssuedTek, TEKS_MAX},
};

/// How many superseded TEKs joins leave with members at a time. Members hold 128 data SAs: some room is for departures, which
/// do not wait for that, and for what is late.
const TEKS_AT_MEMBERS_MAX: usize = 96;

impl Group {
    /// Shows the current TEK.
    pub(crate) fn current_tek(&self) -> &IssuedTek {
        self.teks.last().expect("a group has a TEK from its making on")
    }

    /// Issues a TEK; what was current before is superseded and lives on for the deactivation delay.
    pub(crate) fn issue_tek(&mut self, spi: Spi, random: &mut dyn Random, now: Time) {
        self.retire_teks(now);
        if let Some(previous) = self.teks.last_mut() {
            previous.superseded.get_or_insert(now);
        }
        let policy = &self.policy;
        let tek = Tek {
            spi,
            transform: policy.data.transform,
            keys: TekKeys::generate(policy.data.transform, random),
            channel: policy.data.channel,
            encapsulation: policy.data.encapsulation,
            encapsulation_port: policy.data.encapsulation_port,
            application_port: policy.data.application_port,
            lifetime: policy.times.tek_lifetime,
        };
        let number = self.teks_issued;
        self.teks_issued += 1;
        self.teks.push(IssuedTek { tek, issued: now, number, superseded: None });
        let surplus = self.teks.len().saturating_sub(TEKS_MAX);
        self.teks.drain(..surplus);
    }

    /// Forgets TEKs that no receiver holds any more.
    pub(crate) fn retire_teks(&mut self, now: Time) {
        let delay = self.policy.times.deactivation_delay;
        self.teks.retain(|issued| issued.superseded.is_none_or(|at| at + delay > now));
    }

    /// Says until when joins bring no other TEK: members hold a superseded one
    /// for the deactivation delay, and only so many at a time.
    pub(crate) fn members_are_full_until(&self) -> Option<Time> {
        let delay = self.policy.times.deactivation_delay;
        self.teks
            .iter()
            .rev()
            .filter_map(|issued| issued.superseded)
            .nth(TEKS_AT_MEMBERS_MAX - 1)
            .map(|at| at + delay)
    }

    pub(crate) fn tek_due(&self) -> Time {
        self.current_tek().issued + self.policy.times.tek_rekey
    }

    /// Goes through the TEKs that senders may be using: the current one, and those whose successor is not active.
    pub(crate) fn teks_in_use(&self, now: Time) -> impl Iterator<Item = &IssuedTek> {
        let delay = self.policy.times.activation_delay;
        self.teks.iter().filter(move |issued| issued.superseded.is_none_or(|at| at + delay > now))
    }

    /// Says whether a TEK was issued before a member joined: of those of the very instant of its joining, all but the
    /// last were.
    pub(crate) fn precedes(&self, issued: &IssuedTek, since: Time) -> bool {
        let first = self.teks.iter().rfind(|tek| tek.issued <= since);
        issued.issued < since
            || issued.issued == since && first.is_some_and(|first| first.tek.spi != issued.tek.spi)
    }

    /// Says what remains of the current TEK's activation delay, as a PULL is to say it in whole seconds.
    ///
    /// Once all copies of the TEK's message have left, everybody has the new TEK, and one who changes over early loses
    /// nothing; one who changed over late would send what the departed still read. Until then others may have to hear it
    /// yet: after a restart of the server, or where the system refuses the copies, they leave later than the TEK was issued.
    pub(crate) fn remaining_activation(&self, now: Time) -> Duration {
        let delay = self.policy.times.activation_delay;
        let remaining = (self.current_tek().issued + delay).since(now);
        let copies_leave_for = self.quiet_at.since(now);
        match self.tek_under_way {
            None => Duration::from_secs(remaining.as_secs()),
            // They should have left by now, and nobody knows when they will.
            Some(_) if copies_leave_for.is_zero() => delay,
            Some(_) => remaining.max(copies_leave_for).min(delay),
        }
    }
}
