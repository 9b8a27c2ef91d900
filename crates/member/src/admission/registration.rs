//! Registration: what the member asks of its key server by HIP, and what it is told.

use std::time::Duration;

use claviger_group::{GroupId, Role};
use claviger_hip::{Certificates, wire::Lifetime};
use claviger_hip_groups::{
    Event as HipEvent, GroupHost, McastChannel, RegistrationAnswer, RegistrationRequest, Withdrawal,
    iana::{ChannelStatus, GCKS_GDOI},
};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    Member,
    event::{Event, FailedAttempt, Refusal},
    member::Registration,
    repull::{SenderIds, random_part},
    subscription::Subscription,
};

/// The first pause after a registration that failed, doubled up to [`REGISTER_PAUSE_MAX`].
const REGISTER_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between attempts to register.
const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The least time between two renewals, whatever lifetime the key server grants.
const RENEW_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The least time before a registration that ended at the key server is asked for again.
const ASK_AGAIN_DELAY: Duration = Duration::from_millis(200);

/// The most that chance adds to it. A clock that goes wrong ends the registrations of all members at once: a thousand
/// base exchanges in this time are less than a key server does, and nobody is without new keys for longer.
const ASK_AGAIN_SPREAD: Duration = Duration::from_secs(4);

impl Member {
    /// Asks for what is not granted, or remembers to do so when the request under way is answered.
    pub(crate) fn ask(&mut self, now: Time) {
        if matches!(self.registration, Registration::Calling | Registration::Asking) {
            self.asks_more = true;
        } else {
            self.register(now);
        }
    }

    /// Tells the key server which groups were left. One request is outstanding at a time: if one is, this one follows
    /// its answer. Without an association a new one names the other groups, which says the same. Says whether it was told.
    pub(crate) fn tell_left(&mut self, now: Time) -> bool {
        if self.leaving.is_empty() || self.registration != Registration::Associated {
            return false;
        }
        let channels = self.leaving.iter().map(|(group, role)| McastChannel {
            reg_type: GCKS_GDOI,
            role: *role,
            group: group.clone(),
            channel: None,
            lifetime: Lifetime::CANCEL,
            status: ChannelStatus::GRANTED,
        });
        let request = RegistrationRequest {
            reg_type: GCKS_GDOI,
            lifetime: self.registration_lifetime,
            items: channels.collect(),
        };
        let is_told = self.hip.request(now, self.server, request).is_ok();
        if is_told {
            debug!(groups = self.leaving.len(), "the key server is told of groups that were left");
            self.leaving.clear();
        }
        is_told
    }

    /// Asks for every group that is not granted: over the association, if anything is granted on it, or by a base
    /// exchange. The key server forgets associations over which it has granted nothing, and says nothing of it.
    pub(crate) fn register(&mut self, now: Time) {
        let request = self.request(now);
        let grants =
            self.hip.association(&self.server).is_some_and(|association| !association.granted.is_empty());
        let is_kept = self.registration == Registration::Associated && grants;
        debug!(groups = request.items.len(), anew = !is_kept, "the key server is asked for groups");
        let (asked, registration) = if is_kept {
            (self.hip.request(now, self.server, request), Registration::Asking)
        } else {
            let socket = self.socket;
            let called = self.hip.connect(now, self.server, self.server_address, socket, Some(request));
            (called, Registration::Calling)
        };
        match asked {
            Ok(()) => self.registration = registration,
            Err(error) => self.registration_failed(now, FailedAttempt::Request(error)),
        }
    }

    /// Takes the association for lost, and makes a new one.
    pub(crate) fn register_anew(&mut self, now: Time) {
        self.registration = Registration::None;
        self.register(now);
    }

    /// Lists the groups to ask for: over a live association those that are not granted yet, otherwise all.
    fn request(&self, now: Time) -> RegistrationRequest {
        let live = self.registration == Registration::Associated;
        let granted = |s: &Subscription| live && s.granted_until.is_some_and(|until| until > now);
        let channels = self.subscriptions.values().filter(|s| !granted(s)).map(|subscription| McastChannel {
            reg_type: GCKS_GDOI,
            role: subscription.role,
            group: subscription.group.clone(),
            channel: None,
            lifetime: Lifetime::at_most(self.registration_lifetime),
            status: ChannelStatus::GRANTED,
        });
        RegistrationRequest {
            reg_type: GCKS_GDOI,
            lifetime: self.registration_lifetime,
            items: channels.collect(),
        }
    }

    /// Renews every registration.
    pub(crate) fn renew(&mut self, now: Time) {
        let request = RegistrationRequest {
            reg_type: GCKS_GDOI,
            lifetime: self.registration_lifetime,
            items: Vec::new(),
        };
        debug!(groups = self.subscriptions.len(), "the registrations are renewed");
        if self.hip.request(now, self.server, request).is_err() {
            self.registration = Registration::None;
            self.register(now);
        }
    }

    pub(crate) fn handle_hip_event(&mut self, now: Time, event: HipEvent) {
        match event {
            HipEvent::Established { .. } => self.registration = Registration::Associated,
            HipEvent::Registered { answer, certificates, .. } => self.registered(now, &answer, &certificates),
            HipEvent::Revoked { items, .. } if items.is_empty() => self.evicted_from_all(),
            HipEvent::Revoked { items, .. } => {
                for McastChannel { group, role, status, .. } in items {
                    match Withdrawal::from_status(status) {
                        Withdrawal::Ended => self.ended(now, group),
                        Withdrawal::Narrowed => self.narrowed(group, role),
                        Withdrawal::Refused(status) => self.certificate_withdrawn(group, status),
                        Withdrawal::Revoked => self.evicted(group),
                    }
                }
            }
            HipEvent::Rekeying { .. } | HipEvent::Rekeyed { .. } => self.follow_keys(now),
            HipEvent::MoveAcknowledged { .. } => self.moved(now),
            HipEvent::Closed { by_peer, .. } => self.closed(now, by_peer),
            HipEvent::Failed { reason, .. } => {
                self.registration_failed(now, FailedAttempt::BaseExchange(reason))
            }
            HipEvent::Lost { .. } => {
                if self.subscriptions.is_empty() {
                    self.registration = Registration::None;
                    self.events.push_back(Event::Closed);
                } else {
                    self.registration_failed(now, FailedAttempt::Silence);
                }
            }
            // The member is asked for no registration, withdraws none, and does not follow a key server that moves: HIP
            // does.
            HipEvent::RegistrationRequested { .. }
            | HipEvent::RevokeAcknowledged { .. }
            | HipEvent::Moved { .. } => {}
            // It stores nothing, and a NOTIFY changes nothing.
            HipEvent::Changed { .. } | HipEvent::Notified { .. } => {}
        }
    }

    /// Fetches every group's keys again, from the new address. A PULL under way began at the earlier one, and its answers go
    /// nowhere else.
    fn moved(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut().filter(|s| s.granted_until.is_some()) {
            if let Some(pull) = subscription.pulling.take() {
                self.gdoi.abandon(pull);
            }
            subscription.repull.moved(now, &mut self.random);
        }
        self.events.push_back(Event::Moved);
    }

    fn registered(&mut self, now: Time, answer: &RegistrationAnswer, certificates: &Certificates) {
        self.registration = Registration::Associated;
        self.failed_attempts = 0;
        if answer.granted.is_some() {
            let proof = self.judge_key_server(now, certificates);
            let granted = self.subscriptions.values().filter(|s| s.granted_until.is_some()).map(|s| &s.group);
            let granted_now = answer.items.iter().filter(|channel| is_granted(channel)).map(|c| &c.group);
            let mut impostor = Vec::new();
            for group in granted.chain(granted_now) {
                impostor.extend(proof.fault(group).map(|fault| (group.clone(), fault)));
            }
            self.leave_impostor(impostor);
        }
        let sa = self.hip.registration_sa(&self.server, GCKS_GDOI);
        if let Some(sa) = sa {
            self.pull_under(now, sa);
        }
        let renewed = answer.items.is_empty().then_some(answer.granted).flatten();
        if let Some(lifetime) = renewed {
            for subscription in self.subscriptions.values_mut().filter(|s| s.granted_until.is_some()) {
                subscription.granted_until = Some(now + lifetime);
            }
        }
        for channel in &answer.items {
            self.channel_answered(now, channel);
        }
        let refused = answer.items.is_empty() && answer.granted.is_none();
        let granted_before = self.subscriptions.values().any(|s| s.granted_until.is_some());
        if refused && granted_before {
            debug!("the renewal came too late; each group is asked for by name");
            // A renewal came too late. Who asks for each group by name gets it back, or a reason.
            self.subscriptions.values_mut().for_each(|subscription| subscription.granted_until = None);
            self.asks_more = true;
        } else if refused && self.ask_again_at.is_none() {
            for group in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
                self.refused(group, Refusal::NoService);
            }
        }
        let first_end = self.subscriptions.values().filter_map(|s| s.granted_until).min();
        self.renew_at = first_end.map(|end| now + (end.since(now) * 2 / 3).max(RENEW_PAUSE_MIN));
        if self.tell_left(now) {
            // What else is to be asked follows the answer.
            return;
        }
        if std::mem::take(&mut self.asks_more)
            && self.subscriptions.values().any(|s| s.granted_until.is_none())
        {
            self.register(now);
        }
    }

    /// Takes the server's word on one group. Groups that were not asked for are ignored (binding section 5).
    fn channel_answered(&mut self, now: Time, channel: &McastChannel) {
        let Some(subscription) = self.subscriptions.get_mut(&channel.group) else { return };
        debug!(group = %channel.group, role = %channel.role, status = channel.status.0, "the key server has decided on a group");
        match channel.status {
            ChannelStatus::GRANTED if is_granted(channel) => {
                subscription.granted_until = Some(now + channel.lifetime.duration());
                let (group, role) = (channel.group.clone(), channel.role);
                self.events.push_back(Event::Registered { group: group.clone(), role });
                self.pull(now, &group, SenderIds::Fresh);
            }
            // Confirms that an earlier subscription was left.
            ChannelStatus::GRANTED => {}
            status => self.refused(channel.group.clone(), status.into()),
        }
    }

    /// Gives a group up; its keys go with it.
    pub(crate) fn refused(&mut self, group: GroupId, refusal: Refusal) {
        debug!(%group, ?refusal, "the group is given up");
        self.forget(&group);
        self.events.push_back(Event::Refused { group, refusal });
    }

    /// Gives a group up in the middle of a membership: the certificate that it was granted by does not hold any more.
    fn certificate_withdrawn(&mut self, group: GroupId, status: ChannelStatus) {
        if self.subscriptions.contains_key(&group) {
            self.refused(group, status.into());
        }
    }

    fn evicted(&mut self, group: GroupId) {
        if self.forget(&group).is_some() {
            debug!(%group, "this host was put out; its keys are deleted");
            self.events.push_back(Event::Evicted { group });
        }
    }

    /// Goes on in what the key server has left of the role; without any the member is out.
    fn narrowed(&mut self, group: GroupId, left: Role) {
        let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
        let Some(role) = subscription.role.intersection(left) else { return self.evicted(group) };
        if role != subscription.role {
            subscription.narrow(role);
            self.events.push_back(Event::Narrowed { group, role });
        }
    }

    /// Asks again, after a moment of chance, for a group whose registration ended at the key server. A host that is not
    /// authorised any more hears so in the answer.
    fn ended(&mut self, now: Time, group: GroupId) {
        let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
        subscription.granted_until = None;
        self.events.push_back(Event::RegistrationEnded { group });
        if self.subscriptions.values().all(|subscription| subscription.granted_until.is_none()) {
            // There is nothing to renew: what has ended is asked for by name.
            self.renew_at = None;
        }
        let delay = ASK_AGAIN_DELAY + random_part(ASK_AGAIN_SPREAD, &mut self.random);
        debug!(?delay, "a registration has ended at the key server; it is asked for again");
        self.ask_again_at.get_or_insert(now + delay);
    }

    /// The association ended in good order. By the server it means that the registrations ended with it, and not that
    /// anybody was put out: it closes an association that nothing is registered over.
    fn closed(&mut self, now: Time, by_server: bool) {
        // Who came back meanwhile is calling anew.
        let calls = self.registration == Registration::Calling;
        debug!(by_server, calls, groups = self.subscriptions.len(), "the association was closed");
        if !calls {
            self.registration = Registration::None;
        }
        self.renew_at = None;
        self.pull_no_more();
        if by_server && !self.subscriptions.is_empty() {
            for group in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
                self.ended(now, group);
            }
            // Exchanges under its keys ended with it.
            self.subscriptions.values_mut().for_each(|subscription| subscription.pulling = None);
            return;
        }
        self.events.push_back(Event::Closed);
        if !calls && !self.subscriptions.is_empty() {
            // What was asked over the association has ended with it.
            self.register(now);
        }
    }

    fn evicted_from_all(&mut self) {
        for group in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
            self.evicted(group);
        }
    }

    fn registration_failed(&mut self, now: Time, cause: FailedAttempt) {
        self.failed_attempts += 1;
        let attempts = self.failed_attempts;
        let pause = REGISTER_PAUSE_MAX.min(REGISTER_PAUSE_MIN * 2u32.saturating_pow(attempts.min(8) - 1));
        debug!(attempts, ?cause, ?pause, "a registration failed; the next attempt waits");
        self.registration = Registration::Pausing { until: now + pause };
        self.events.push_back(Event::Unreachable { attempts, cause });
    }
}

/// Says whether the key server grants the group that a channel names.
fn is_granted(channel: &McastChannel) -> bool {
    channel.status == ChannelStatus::GRANTED && channel.lifetime != Lifetime::CANCEL
}
