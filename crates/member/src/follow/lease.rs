//! Leases: asked for, answered, ended (binding section 7.8).

use claviger_crypto::Random;
use claviger_gdoi::{
    InForce, LeaseId, LeaseVerdict,
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
    repull::Sign,
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
    /// Asks for the leases that are due, and for all others in the same message.
    pub(crate) fn ask_leases(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut() {
            let tek = subscription.statement();
            subscription.lease.iter_mut().for_each(|lease| lease.states(now, tek, &mut self.random));
        }
        let mut leases = self.subscriptions.values().filter_map(|subscription| subscription.lease.as_ref());
        if !leases.any(|lease| lease.is_due(now)) {
            return;
        }
        let asked = self.leases_to_ask(now);
        let groups: Vec<GroupId> = asked.iter().map(|(group, _)| group.clone()).collect();
        // The last asked for these too, or is not repeated any more.
        if let Some(LeaseRequested { groups: before, .. }) = self.leases_requested.back() {
            let left_out = before.iter().filter(|group| !groups.contains(group)).cloned().collect();
            self.leases_unanswered(now, left_out);
        }
        for (group, in_force) in &asked {
            let lease =
                self.subscriptions.get_mut(group).and_then(|subscription| subscription.lease.as_mut());
            lease.into_iter().for_each(|lease| lease.asked(in_force.tek));
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
    fn leases_to_ask(&self, now: Time) -> Vec<(GroupId, InForce)> {
        let leased = |subscription: &&Subscription| subscription.lease.is_some();
        let mut leased: Vec<&Subscription> = self.subscriptions.values().filter(leased).collect();
        leased.sort_by_key(|subscription| subscription.lease.as_ref().is_none_or(|lease| !lease.is_due(now)));
        let mut asked: Vec<(GroupId, InForce)> = Vec::new();
        for subscription in leased.into_iter().take(LEASE_GROUPS_MAX) {
            let with = asked.iter().map(|(group, _)| group).chain([&subscription.group]);
            if LeaseRequest::encoded_len(with) > REQUEST_LEN_MAX {
                break;
            }
            asked.push((subscription.group.clone(), subscription.in_force()));
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
        let held = self.in_force();
        let newest = self.keys.as_ref().and_then(|keys| keys.held.newest());
        let Some(lease) = &mut self.lease else { return };
        if is_last {
            lease.answered(now, random);
        }
        match verdict {
            // It holds for what the answer names and for nothing else.
            LeaseVerdict::Granted if in_force.rekey_sa == held.rekey_sa && in_force.tek == newest => {
                lease.renew(made, random);
                debug!(until = %lease.until(), "the lease is renewed");
                self.show_lease();
            }
            LeaseVerdict::Granted => match in_force.tek {
                // It was sent before a PUSH came that is here.
                Some(tek) if self.keys.as_ref().is_some_and(|keys| keys.held.holds(tek)) => {}
                Some(tek) => {
                    debug!(%tek, "the key server has newer keys");
                    self.repull.note(now, Sign::Behind(tek), random);
                }
                None => self.repull.note(now, Sign::Gap, random),
            },
            LeaseVerdict::Refused => {
                debug!("the key server gives no lease");
                self.end_lease(now);
                self.repull.note(now, Sign::LeaseRefused, random);
            }
        }
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
