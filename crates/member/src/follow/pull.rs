//! GROUPKEY-PULL: fetching keys, and what becomes of them.

use claviger_gdoi::{MemberEvent as GdoiEvent, PullFailure, PullId, limits::EXCHANGE_LIFETIME};
use claviger_group::{CookiePair, GroupId, RegistrationSa, Spi};
use claviger_isakmp::iana::NotifyType;
use claviger_sansio::Time;
use tracing::debug;

use super::{
    acceptance,
    download::{Pulled, PulledError},
};
use crate::{
    Member,
    event::{Event, Places, PullReason, Refusal, Source},
    repull::{SenderIds, Sign},
    witness::Means,
};

/// The PULLs that may fail in a row before the association is taken for lost and made anew.
const PULL_FAILURES_MAX: u32 = 3;

impl Member {
    /// Fetches a group's keys again without a sign of missed ones, for instance because the user wants it.
    pub fn pull_now(&mut self, now: Time, group: &GroupId) {
        self.pull(now, group, SenderIds::Fresh);
        self.settle(now);
    }

    /// Pulls under a registration SA from now on.
    pub(crate) fn pull_under(&mut self, now: Time, sa: RegistrationSa) {
        if self.cookies == Some(sa.cookies) {
            return;
        }
        // Exchanges under the earlier keys end with them.
        self.subscriptions.values_mut().for_each(|subscription| subscription.pulling = None);
        if let Some(earlier) = self.cookies.replace(sa.cookies) {
            self.gdoi.remove_registration(&earlier);
        }
        self.forget_renewal();
        if self.gdoi.add_registration(now, sa).is_err() {
            self.cookies = None;
        }
    }

    /// Forgets a registration SA when the exchanges under it have had time to end: another has followed it.
    pub(crate) fn retire_registration(&mut self, now: Time, cookies: &CookiePair) {
        self.gdoi.remove_after(cookies, now + EXCHANGE_LIFETIME);
    }

    /// Forgets the registration SA: it has ended.
    pub(crate) fn pull_no_more(&mut self) {
        if let Some(cookies) = self.cookies.take() {
            self.gdoi.remove_registration(&cookies);
        }
        self.forget_renewal();
    }

    /// Begins a PULL unless one is under way.
    pub(crate) fn pull(&mut self, now: Time, group: &GroupId, sender_ids: SenderIds) {
        let Some(subscription) = self.subscriptions.get_mut(group) else { return };
        if subscription.pulling.is_some() {
            return;
        }
        let Some(cookies) = self.cookies else {
            debug!(%group, "there is no registration to pull under");
            return self.ask(now);
        };
        let has_some = subscription.keys.as_ref().is_some_and(|keys| keys.held.has_sender_ids());
        let requested = match sender_ids {
            SenderIds::Kept if has_some => Some(0),
            SenderIds::Kept | SenderIds::Fresh => None,
        };
        match self.gdoi.pull(now, &cookies, self.gdoi_address, group.clone(), requested) {
            Ok(pull) => {
                subscription.pulling = Some(pull);
                subscription.pull_began = now;
            }
            Err(error) => {
                debug!(%group, %error, "a PULL cannot begin");
                // The message ids of the registration are used up, or its exchanges too many: after a few attempts
                // a new registration has its own.
                let failures = subscription.repull.failed(now, Sign::Gap, &mut self.random);
                self.doubt_association(now, failures);
            }
        }
    }

    /// Takes an association for lost, and makes a new one, after some failures in a row.
    fn doubt_association(&mut self, now: Time, failures: u32) {
        if failures.is_multiple_of(PULL_FAILURES_MAX) && self.is_associated() {
            debug!(failures, "the association is taken for lost");
            self.register_anew(now);
        }
    }

    pub(crate) fn pull_due(&mut self, now: Time) {
        let mut due: Vec<(GroupId, PullReason)> = Vec::new();
        let can_ask = self.cookies.is_some();
        for subscription in self.subscriptions.values_mut().filter(|s| s.pulling.is_none()) {
            if let Some(reason) = subscription.repull.take_due(now, can_ask) {
                due.push((subscription.group.clone(), reason));
            }
        }
        for (group, reason) in due {
            debug!(%group, reason = reason.as_str(), "the keys are fetched again");
            self.events.push_back(Event::PullAgain { group: group.clone(), reason });
            let sender_ids = if reason.keeps_sender_ids() { SenderIds::Kept } else { SenderIds::Fresh };
            self.pull(now, &group, sender_ids);
        }
    }

    pub(crate) fn handle_gdoi_event(&mut self, now: Time, event: GdoiEvent) {
        match event {
            GdoiEvent::Offered { pull, group, sa } => {
                if !self.serves(pull, &group) {
                    debug!(%group, "the PULL serves nobody any more");
                    let _ = self.gdoi.decline(now, pull);
                    return;
                }
                match acceptance::check(&sa, self.plane, self.strength()) {
                    Ok(()) => {
                        // A PULL that ended meanwhile needs no message 3.
                        let _ = self.gdoi.accept(now, pull);
                    }
                    Err(refusal) => {
                        debug!(%group, ?refusal, "the policy is not followed");
                        let _ = self.gdoi.decline(now, pull);
                        self.refused(group, refusal);
                    }
                }
            }
            GdoiEvent::Pulled { pull, group, sa, sequence, kd } => {
                let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
                if subscription.pulling != Some(pull) {
                    return;
                }
                subscription.pulling = None;
                let before = subscription.places();
                subscription.repull.succeeded(now, sa.teks.last().map(|tek| tek.spi));
                let (random, witness) = (&mut *self.random, &mut self.witness);
                let mut means = Means { provider: self.provider, random, witness };
                let _group = subscription.span().entered();
                match subscription.pulled(now, &mut means, &Pulled { sa: &sa, sequence, kd: &kd }) {
                    Ok(teks) => self.keyed(now, group, before, &teks),
                    Err(PulledError::Overtaken) => {
                        debug!("a GROUPKEY-PUSH has overtaken the PULL");
                        subscription.repull.note(now, Sign::Gap, means.random);
                    }
                    Err(PulledError::Fault(fault)) => {
                        debug!(?fault, "what was pulled is of no use");
                        self.refused(group, Refusal::Policy(fault));
                    }
                }
            }
            GdoiEvent::PullFailed { pull, group, reason } => self.pull_failed(now, pull, group, reason),
            GdoiEvent::LeasesAnswered { request, groups } => self.leases_answered(now, request, groups),
            GdoiEvent::LeasesUnanswered { request } => self.lease_request_failed(now, request),
        }
    }

    /// Says whether an exchange still serves its group: not if that was left, or asked for anew, since it began.
    fn serves(&self, pull: PullId, group: &GroupId) -> bool {
        self.subscriptions.get(group).is_some_and(|subscription| subscription.pulling == Some(pull))
    }

    fn keyed(&mut self, now: Time, group: GroupId, before: Option<Places>, teks: &[Spi]) {
        let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
        subscription.pulls += 1;
        subscription.note_size();
        if let Some(expires) = subscription.expires() {
            subscription.repull.lifetime(now, expires, &mut self.random);
        }
        let Some(places) = subscription.places() else { return };
        let (kek, sequence) = subscription.epoch().unwrap_or((CookiePair([0; 16]), 0));
        let newest = teks.last().copied();
        let tek = newest.map(tracing::field::display);
        debug!(%kek, sequence, tek, teks = teks.len(), "the keys of a PULL are in force");
        let held = subscription.keys.as_ref().map(|keys| &keys.held);
        let activates = held.zip(newest).and_then(|(held, spi)| held.activates(spi));
        if before != Some(places) {
            self.events.push_back(Event::Listen { group: group.clone(), places });
        }
        self.events.push_back(Event::Rekeyed {
            group,
            by: Source::Pull,
            kek,
            sequence,
            tek: newest,
            activates,
        });
    }

    fn pull_failed(&mut self, now: Time, pull: PullId, group: GroupId, reason: PullFailure) {
        let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
        if subscription.pulling != Some(pull) {
            return;
        }
        subscription.pulling = None;
        let _group = subscription.span().entered();
        debug!(reason = reason.reason(), "the PULL has failed");
        match reason {
            PullFailure::Refused(NotifyType::INVALID_SPI) => {
                // The group was rekeyed between messages 2 and 3: begin anew, with a pause that grows.
                subscription.repull.note(now, Sign::Gap, &mut self.random);
            }
            PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION) => {
                // The grant is gone; asking again brings it back or a reason.
                subscription.granted_until = None;
                self.ask(now);
            }
            PullFailure::Policy(incompatible) => self.refused(group, Refusal::Incompatible(incompatible)),
            PullFailure::Refused(_)
            | PullFailure::Peer(_)
            | PullFailure::RegistrationRemoved
            | PullFailure::Timeout => {
                let failures = subscription.repull.failed(now, Sign::Gap, &mut self.random);
                self.doubt_association(now, failures);
            }
        }
    }
}
