//! Leases, and whether the keys are in force: asked for, answered, ended (binding section 7.8).

use claviger_crypto::Random;
use claviger_gdoi::{
    InForce, LeaseId, LeaseQuestion, LeaseVerdict,
    limits::{LEASE_GROUPS_MAX, LEASE_REQUESTS_MAX},
    wire::LeaseRequest,
};
use claviger_group::{GroupId, PlaneCommand, Spi};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    Member,
    event::Event,
    lease::{Lease, Terms},
    repull::{Missed, Sign},
    subscription::Subscription,
};

/// The octets of a request for leases that fit beside headers and the longest HASH.
const REQUEST_LEN_MAX: usize = claviger_gdoi::limits::LEASE_LEN_MAX - 28 - 2 * 4 - 64;

/// A request that may be answered.
#[derive(Debug)]
pub(crate) struct LeaseRequested {
    request: LeaseId,
    /// When it was made: a lease runs from then on.
    made: Time,
    groups: Vec<GroupId>,
}

impl Member {
    /// Asks for the leases that are due, and for all others in the same message; and whether the keys are in force, of groups
    /// in doubt.
    pub(crate) fn ask_leases(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut() {
            let tek = subscription.statement();
            subscription.lease.iter_mut().for_each(|lease| lease.states(now, tek, &mut self.random));
        }
        if !self.subscriptions.values().any(|subscription| subscription.is_question_due(now)) {
            return;
        }
        let asked = self.questions(now);
        let groups: Vec<GroupId> = asked.iter().map(|(group, ..)| group.clone()).collect();
        // The last asked for these too, or is not repeated any more.
        if let Some(LeaseRequested { groups: before, .. }) = self.leases_requested.back() {
            let left_out = before.iter().filter(|group| !groups.contains(group)).cloned().collect();
            self.leases_unanswered(now, left_out);
        }
        for (group, _, in_force) in &asked {
            let Some(subscription) = self.subscriptions.get_mut(group) else { continue };
            subscription.lease.iter_mut().for_each(|lease| lease.asked(in_force.tek));
            subscription.repull.doubt.asked(now);
        }
        let cookies = self.cookies.ok_or(claviger_gdoi::ApiMisuse::UnknownRegistration);
        let requested =
            cookies.and_then(|cookies| self.gdoi.request_leases(now, &cookies, self.gdoi_address, asked));
        match requested {
            Ok(request) => {
                debug!(groups = groups.len(), "leases are asked for");
                if self.leases_requested.len() == LEASE_REQUESTS_MAX {
                    self.leases_requested.pop_front();
                }
                self.leases_requested.push_back(LeaseRequested { request, made: now, groups });
            }
            Err(error) => {
                debug!(%error, "leases cannot be asked for");
                self.leases_unanswered(now, groups);
            }
        }
    }

    /// Chooses what fits one request, what is due first.
    fn questions(&self, now: Time) -> Vec<(GroupId, LeaseQuestion, InForce)> {
        let mut questions: Vec<(&Subscription, LeaseQuestion)> = self
            .subscriptions
            .values()
            .filter_map(|subscription| Some((subscription, subscription.question(now)?)))
            .collect();
        questions.sort_by_key(|(subscription, _)| !subscription.is_question_due(now));
        let mut asked: Vec<(GroupId, LeaseQuestion, InForce)> = Vec::new();
        for (subscription, question) in questions.into_iter().take(LEASE_GROUPS_MAX) {
            let with = asked.iter().map(|(group, ..)| group).chain([&subscription.group]);
            if LeaseRequest::encoded_len(with) > REQUEST_LEN_MAX {
                break;
            }
            asked.push((subscription.group.clone(), question, subscription.in_force()));
        }
        asked
    }

    /// Takes the key server's word on the leases that were asked for.
    pub(crate) fn leases_answered(
        &mut self,
        now: Time,
        request: LeaseId,
        answers: Vec<(GroupId, LeaseVerdict, InForce)>,
    ) {
        let place = self.leases_requested.iter().position(|requested| requested.request == request);
        let Some(place) = place else { return };
        let is_last = place + 1 == self.leases_requested.len();
        let Some(requested) = self.leases_requested.drain(..=place).next_back() else { return };
        let LeaseRequested { made, mut groups, .. } = requested;
        for (group, verdict, in_force) in answers {
            let Some(place) = groups.iter().position(|asked| *asked == group) else { continue };
            groups.swap_remove(place);
            let Some(subscription) = self.subscriptions.get_mut(&group) else { continue };
            let _group = subscription.span().entered();
            subscription.lease_answered(now, (made, is_last), verdict, in_force, &mut self.random);
        }
        // A key server that says nothing of a group has not answered.
        if is_last {
            self.leases_unanswered(now, groups);
        }
    }

    /// Notes that the key server has not answered.
    pub(crate) fn leases_unanswered(&mut self, now: Time, groups: Vec<GroupId>) {
        let mut is_lost = false;
        for group in groups {
            let Some(subscription) = self.subscriptions.get_mut(&group) else { continue };
            subscription.repull.doubt.unanswered(now);
            let Some(lease) = &mut subscription.lease else { continue };
            lease.unanswered(now, &mut self.random);
            is_lost |= lease.is_lost(now);
        }
        if is_lost && self.is_associated() {
            debug!("no request for leases was answered for long; the association is taken for lost");
            self.register_anew(now);
        }
    }

    /// Notes that a request is not repeated any more. That it is answered late counts all the same.
    pub(crate) fn lease_request_failed(&mut self, now: Time, request: LeaseId) {
        let is_last = |requested: &&LeaseRequested| requested.request == request;
        let Some(LeaseRequested { groups, .. }) = self.leases_requested.back().filter(is_last) else {
            return;
        };
        let groups = groups.clone();
        debug!(groups = groups.len(), "a request for leases was not answered");
        self.leases_unanswered(now, groups);
    }

    /// Tells of leases that have ended, and of those that are there again.
    pub(crate) fn note_ended_leases(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut() {
            let group = &subscription.group;
            let Some(lease) = &mut subscription.lease else { continue };
            if lease.take_ended(now) {
                debug!(%group, until = %lease.until(), "the lease has ended");
                self.events.push_back(Event::LeaseEnded { group: group.clone() });
            } else if lease.take_resumed(now) {
                debug!(%group, until = %lease.until(), "there is a lease again");
                self.events.push_back(Event::LeaseResumed { group: group.clone() });
            }
        }
    }

    /// Ends every lease and fetches every group's keys: this machine goes on from an earlier state, and nobody knows how
    /// long that was ago, or what it has sent since.
    pub fn machine_restored(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut().filter(|subscription| subscription.is_keyed()) {
            debug!(group = %subscription.group, "this machine goes on from an earlier state");
            subscription.end_lease(now);
            subscription.repull.note(now, Sign::Restored, &mut self.random);
        }
        self.settle(now);
    }
}

impl Subscription {
    /// Takes up the lease that a PULL brought, which began at `from`; or that none is needed.
    pub(crate) fn take_lease(&mut self, terms: Option<Terms>, from: Time, random: &mut dyn Random) {
        self.lease = match (terms, self.lease.take()) {
            (Some(terms), Some(lease)) => Some(lease.under(terms, from, random)),
            (Some(terms), None) => Some(Lease::new(terms, from, random)),
            (None, _) => None,
        };
        self.show_lease();
    }

    /// Ends the lease at once, if there is one.
    fn end_lease(&mut self, now: Time) {
        if let Some(lease) = &mut self.lease {
            lease.end(now);
            self.show_lease();
        }
    }

    /// Takes what the key server says of a lease; the request was made at `made`, and was perhaps not the last.
    fn lease_answered(
        &mut self,
        now: Time,
        (made, is_last): (Time, bool),
        verdict: LeaseVerdict,
        in_force: InForce,
        random: &mut dyn Random,
    ) {
        if let Some(lease) = &mut self.lease
            && is_last
        {
            lease.answered(now, random);
        }
        match verdict {
            // It may have been answered before a PUSH came that is here, or one that is still on its way.
            LeaseVerdict::Granted | LeaseVerdict::Behind if !self.holds(in_force) => {
                self.learned_behind(now, made, in_force, random);
            }
            LeaseVerdict::Granted => {
                self.repull.doubt.answered(now, made, true);
                // It holds for what the answer names and for nothing else.
                let newest = self.keys.as_ref().and_then(|keys| keys.held.newest());
                let is_newest = in_force.tek == newest && in_force.rekey_sa == self.in_force().rekey_sa;
                if let Some(lease) = self.lease.as_mut().filter(|_| is_newest) {
                    lease.renew(made, random);
                    debug!(until = %lease.until(), "the lease is renewed");
                    self.show_lease();
                }
            }
            LeaseVerdict::Behind => _ = self.repull.doubt.answered(now, made, false),
            LeaseVerdict::Refused => {
                debug!("the key server says that this host is no member, or none that may have a lease");
                self.repull.doubt.answered(now, made, false);
                self.end_lease(now);
                self.repull.note(now, Sign::LeaseRefused, random);
            }
        }
    }

    /// Fetches what the key server has in force unless it comes by PUSH before.
    fn learned_behind(&mut self, now: Time, made: Time, in_force: InForce, random: &mut dyn Random) {
        debug!(tek = in_force.tek.map(tracing::field::display), "the key server has newer keys");
        let missed = Missed { rekey_sa: in_force.rekey_sa, tek: in_force.tek };
        if self.repull.doubt.answered(now, made, false) {
            self.repull.behind(now, missed);
        } else {
            self.repull.note(now, Sign::Behind(missed), random);
        }
    }

    /// Says whether this member holds what the key server has in force, or had when it answered.
    fn holds(&self, in_force: InForce) -> bool {
        let Some(keys) = &self.keys else { return false };
        let (rekey_sa, sequence) = self.epoch().unzip();
        let is_superseded = in_force.rekey_sa.is_some_and(|spi| keys.held.is_retired(&spi));
        let follows = in_force.rekey_sa == rekey_sa && sequence.unwrap_or(0) >= in_force.sequence;
        is_superseded || (follows && in_force.tek.is_none_or(|tek| keys.held.holds(tek)))
    }

    /// Says what is to be asked about the group, if anything.
    fn question(&self, now: Time) -> Option<LeaseQuestion> {
        let doubts = self.repull.asks(now) || self.repull.doubt.is_asked();
        if self.lease.is_some() { Some(LeaseQuestion::Lease) } else { doubts.then_some(LeaseQuestion::Keys) }
    }

    /// Says whether that is due.
    fn is_question_due(&self, now: Time) -> bool {
        self.repull.asks(now) || self.lease.as_ref().is_some_and(|lease| lease.is_due(now))
    }

    /// Says what this member has in force, and under which TEK it protects.
    fn in_force(&self) -> InForce {
        let (rekey_sa, sequence) = self.epoch().unzip();
        InForce { rekey_sa, sequence: sequence.unwrap_or(0), tek: self.statement() }
    }

    /// Says under which TEK this member protects, never again under an older one; and, where nothing is accepted without a
    /// lease, that it holds no older one.
    pub(crate) fn statement(&self) -> Option<Spi> {
        let held = &self.keys.as_ref()?.held;
        let receives = self.lease.as_ref().is_some_and(Lease::receives);
        self.changed_over.filter(|tek| held.holds(*tek) && (!receives || held.holds_nothing_older(*tek)))
    }

    /// Has the data plane know the lease as it is now.
    pub(crate) fn show_lease(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.held.command(PlaneCommand::Lease(self.lease.as_ref().map(Lease::for_plane)));
        }
    }
}
