//! The machine: input, output, commands.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use claviger_crypto::{CryptoProvider, Random, random::fork};
use claviger_esp::plane::{Event as PlaneEvent, Stage};
use claviger_gdoi::{
    PullId,
    iana::{ExchangeType, NotifyType},
    member::{Event as GdoiEvent, PullFailure},
    wire::header,
};
use claviger_group::{CookiePair, GroupId, Role, Spi};
use claviger_hip::{
    Event as HipEvent, Host, RegistrationAnswer, RegistrationRequest,
    iana::{ChannelStatus, RegType, carries_256_bit_keys},
    wire::{Lifetime, McastChannel},
};
use claviger_identity::Hit;
use claviger_sansio::{Carriage, Datagram, Time, Transmit};

use crate::{
    Error, Ledger, MemberConfig, PlaneKind,
    acceptance::{self, Strength},
    event::{Event, Places, PullReason, Refusal, Source},
    rekey::Standing,
    repull::{REKEY_SPREAD, Sign},
    subscription::{PulledError, Subscription},
};

/// The PULLs that may fail in a row before the association is taken for lost and made anew.
const PULL_FAILURES_MAX: u32 = 3;

/// The first pause after a registration that failed, doubled up to [`REGISTER_PAUSE_MAX`].
const REGISTER_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between attempts to register.
const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The least time between two renewals, whatever lifetime the key server grants.
const RENEW_PAUSE_MIN: Duration = Duration::from_secs(1);

/// A member of one key server's groups.
pub struct Member {
    provider: &'static CryptoProvider,
    random: Box<dyn Random>,
    hip: Host,
    gdoi: claviger_gdoi::member::Member,
    server: Hit,
    server_address: SocketAddr,
    carriage: Carriage,
    gdoi_address: SocketAddr,
    plane: PlaneKind,
    registration_lifetime: Duration,
    subscriptions: BTreeMap<GroupId, Subscription>,
    keep_keys: bool,
    /// The ledgers of groups that were left.
    ledgers: BTreeMap<GroupId, Ledger>,
    /// The registration SA in force.
    cookies: Option<CookiePair>,
    registration: Registration,
    /// Attempts to register that failed in a row.
    failed_attempts: u32,
    /// Whether groups were joined, or their grants lost, while another request was under way.
    asks_more: bool,
    /// Groups that were left while another request was under way.
    leaving: BTreeMap<GroupId, Role>,
    renew_at: Option<Time>,
    events: VecDeque<Event>,
    outbox: VecDeque<Transmit>,
    drops: BTreeMap<&'static str, u64>,
}

/// Where the member stands with its key server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registration {
    /// Nothing was asked yet, or it was closed.
    None,
    /// A base exchange or a registration request is under way.
    Asking,
    /// The association lives.
    Associated,
    /// The last attempt failed; the next is due then.
    Pausing { until: Time },
}

impl Member {
    /// Makes a member that has asked for nothing yet.
    pub fn new(config: MemberConfig, mut random: Box<dyn Random>, now: Time) -> Result<Self, Error> {
        Ok(Self {
            provider: config.provider,
            hip: Host::new(config.hip, fork(&mut random), now)?,
            gdoi: claviger_gdoi::member::Member::new(config.provider, fork(&mut random), config.retransmit),
            random,
            server: config.server,
            server_address: config.server_address,
            carriage: config.carriage,
            gdoi_address: SocketAddr::new(config.server_address.ip(), config.gdoi_port),
            plane: config.plane,
            registration_lifetime: config.registration_lifetime,
            subscriptions: BTreeMap::new(),
            keep_keys: config.keep_keys,
            ledgers: BTreeMap::new(),
            cookies: None,
            registration: Registration::None,
            failed_attempts: 0,
            asks_more: false,
            leaving: BTreeMap::new(),
            renew_at: None,
            events: VecDeque::new(),
            outbox: VecDeque::new(),
            drops: BTreeMap::new(),
        })
    }

    /// Asks for a group in a role.
    pub fn join(&mut self, now: Time, group: GroupId, role: Role) {
        let earlier = self.subscriptions.remove(&group).and_then(|subscription| subscription.ledger);
        let earlier = earlier.or_else(|| self.ledgers.remove(&group));
        let ledger = self.keep_keys.then(|| earlier.unwrap_or_default());
        self.leaving.remove(&group);
        self.subscriptions.insert(group.clone(), Subscription::new(group, role, ledger));
        self.ask(now);
        self.settle(now);
    }

    /// Leaves one group by UPDATE, or by CLOSE if it is the only one. Its keys are deleted at once.
    pub fn leave_group(&mut self, now: Time, group: &GroupId) {
        if self.subscriptions.len() == 1 && self.subscriptions.contains_key(group) {
            return self.leave(now);
        }
        if let Some(subscription) = self.subscriptions.remove(group) {
            self.leaving.insert(group.clone(), subscription.role);
            self.keep_ledger(group.clone(), subscription);
            self.tell_left(now);
        }
        self.settle(now);
    }

    /// Leaves every group by CLOSE. The keys are deleted at once.
    pub fn leave(&mut self, now: Time) {
        while let Some((group, subscription)) = self.subscriptions.pop_first() {
            self.keep_ledger(group, subscription);
        }
        self.renew_at = None;
        self.leaving.clear();
        self.asks_more = false;
        self.registration = Registration::None;
        // A base exchange that was running is over at once; only an association says CLOSE and waits for its answer.
        let closes = self.hip.close(now, self.server).is_ok() && self.hip.association(&self.server).is_some();
        if !closes {
            self.events.push_back(Event::Closed);
        }
        self.settle(now);
    }

    /// Takes in a datagram of HIP or ISAKMP. An error is for the log and was counted; nothing has changed.
    pub fn handle_datagram(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        let result = match datagram.carriage {
            Carriage::Isakmp => match header::peek(datagram.payload) {
                Some((ExchangeType::GROUPKEY_PUSH, cookies)) => self.handle_push(now, cookies, datagram),
                _ => self.gdoi.handle_datagram(now, datagram).map_err(Error::Gdoi),
            },
            _ => self.hip.handle_datagram(now, datagram).map_err(Error::Hip),
        };
        if let Err(error) = &result {
            *self.drops.entry(error.reason()).or_default() += 1;
        }
        self.settle(now);
        result
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.hip.handle_timeout(now);
        self.gdoi.handle_timeout(now);
        for subscription in self.subscriptions.values_mut() {
            if let Some(keys) = &mut subscription.keys {
                keys.plane.handle_timeout(now);
            }
        }
        if let Registration::Pausing { until } = self.registration
            && until <= now
        {
            self.register(now);
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            self.renew(now);
        }
        self.settle(now);
    }

    /// Gives a datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// Gives an event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says when [`Member::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let pausing = match self.registration {
            Registration::Pausing { until } => Some(until),
            _ => None,
        };
        let groups = self.subscriptions.values().flat_map(|subscription| {
            let repull = subscription.pulling.is_none().then(|| subscription.repull.poll_timeout()).flatten();
            let plane = subscription.keys.as_ref().and_then(|keys| keys.plane.poll_timeout());
            [repull, plane]
        });
        [self.hip.poll_timeout(), self.gdoi.poll_timeout(), pausing, self.renew_at]
            .into_iter()
            .chain(groups)
            .flatten()
            .min()
    }

    /// Shows a group.
    pub fn subscription(&self, group: &GroupId) -> Option<&Subscription> {
        self.subscriptions.get(group)
    }

    /// Gives access to a group's data plane. Signs that it meets take effect at the next
    /// [`Member::handle_timeout`], or at once by [`Member::attend`].
    pub fn subscription_mut(&mut self, group: &GroupId) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(group)
    }

    /// Goes through all groups.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }

    /// Attends to what the data planes met since the last call.
    pub fn attend(&mut self, now: Time) {
        self.settle(now);
    }

    /// Shows every key of a group that was ever held, if the configuration asks for a ledger.
    pub fn ledger(&self, group: &GroupId) -> Option<&Ledger> {
        let held = self.subscriptions.get(group).and_then(|subscription| subscription.ledger.as_ref());
        held.or_else(|| self.ledgers.get(group))
    }

    /// Says whether the association with the key server lives.
    pub fn is_associated(&self) -> bool {
        self.registration == Registration::Associated
    }

    /// Shows how many messages were dropped, by reason.
    pub fn drops(&self) -> &BTreeMap<&'static str, u64> {
        &self.drops
    }

    fn settle(&mut self, now: Time) {
        loop {
            let mut moved = false;
            while let Some(event) = self.hip.poll_event() {
                self.handle_hip_event(now, event);
                moved = true;
            }
            while let Some(event) = self.gdoi.poll_event() {
                self.handle_gdoi_event(now, event);
                moved = true;
            }
            if !moved {
                break;
            }
        }
        self.handle_plane_events(now);
        self.pull_due(now);
        while let Some(transmit) = self.hip.poll_transmit() {
            self.outbox.push_back(transmit);
        }
        while let Some(transmit) = self.gdoi.poll_transmit() {
            self.outbox.push_back(transmit);
        }
    }

    /// Asks for what is not granted, or remembers to do so when the request under way is answered.
    fn ask(&mut self, now: Time) {
        if self.registration == Registration::Asking {
            self.asks_more = true;
        } else {
            self.register(now);
        }
    }

    /// Tells the key server which groups were left. One request is outstanding at a time: if one is, this one follows
    /// its answer. Without an association a new one names the other groups, which says the same.
    fn tell_left(&mut self, now: Time) {
        if self.leaving.is_empty() || self.registration != Registration::Associated {
            return;
        }
        let channels = self.leaving.iter().map(|(group, role)| McastChannel {
            reg_type: RegType::GCKS_GDOI,
            role: *role,
            group: group.clone(),
            channel: None,
            lifetime: Lifetime::CANCEL,
            status: ChannelStatus::GRANTED,
        });
        let request = RegistrationRequest {
            reg_type: RegType::GCKS_GDOI,
            lifetime: self.registration_lifetime,
            channels: channels.collect(),
        };
        if self.hip.request(now, self.server, request).is_ok() {
            self.leaving.clear();
        }
    }

    /// Asks for every group that is not granted: over the association that lives, or by a base exchange.
    fn register(&mut self, now: Time) {
        let request = self.request(now);
        let asked = if self.registration == Registration::Associated
            && self.hip.association(&self.server).is_some()
        {
            self.hip.request(now, self.server, request)
        } else {
            self.hip.connect(now, self.server, self.server_address, self.carriage, Some(request))
        };
        match asked {
            Ok(()) => self.registration = Registration::Asking,
            Err(error) => self.registration_failed(now, error.to_string()),
        }
    }

    /// Lists the groups to ask for: over a live association those that are not granted yet, otherwise all.
    fn request(&self, now: Time) -> RegistrationRequest {
        let live = self.registration == Registration::Associated;
        let granted = |s: &Subscription| live && s.granted_until.is_some_and(|until| until > now);
        let channels = self.subscriptions.values().filter(|s| !granted(s)).map(|subscription| McastChannel {
            reg_type: RegType::GCKS_GDOI,
            role: subscription.role,
            group: subscription.group.clone(),
            channel: None,
            lifetime: Lifetime::at_most(self.registration_lifetime),
            status: ChannelStatus::GRANTED,
        });
        RegistrationRequest {
            reg_type: RegType::GCKS_GDOI,
            lifetime: self.registration_lifetime,
            channels: channels.collect(),
        }
    }

    /// Renews every registration.
    fn renew(&mut self, now: Time) {
        let request = RegistrationRequest {
            reg_type: RegType::GCKS_GDOI,
            lifetime: self.registration_lifetime,
            channels: Vec::new(),
        };
        if self.hip.request(now, self.server, request).is_err() {
            self.registration = Registration::None;
            self.register(now);
        }
    }

    fn handle_hip_event(&mut self, now: Time, event: HipEvent) {
        match event {
            HipEvent::Established { .. } => self.registration = Registration::Associated,
            HipEvent::Registered { answer, .. } => self.registered(now, &answer),
            HipEvent::Revoked { channels, .. } if channels.is_empty() => self.evicted_from_all(),
            HipEvent::Revoked { channels, .. } => {
                for channel in channels {
                    self.evicted(channel.group);
                }
            }
            HipEvent::Closed { by_peer, .. } => self.closed(by_peer),
            HipEvent::Failed { reason, .. } => self.registration_failed(now, reason.to_string()),
            HipEvent::Lost { .. } => {
                if self.subscriptions.is_empty() {
                    self.events.push_back(Event::Closed);
                } else {
                    self.registration_failed(now, "the key server stopped answering".to_owned());
                }
            }
            _ => {}
        }
    }

    fn registered(&mut self, now: Time, answer: &RegistrationAnswer) {
        self.registration = Registration::Associated;
        self.failed_attempts = 0;
        let sa = self.hip.registration_sa(&self.server, RegType::GCKS_GDOI);
        if let Some(sa) = sa
            && self.cookies != Some(sa.cookies)
        {
            // Exchanges under the earlier keys end with them.
            self.subscriptions.values_mut().for_each(|subscription| subscription.pulling = None);
            if let Some(earlier) = self.cookies.replace(sa.cookies) {
                self.gdoi.remove_registration(&earlier);
            }
            if self.gdoi.add_registration(now, sa).is_err() {
                self.cookies = None;
            }
        }
        let renewed = answer.channels.is_empty().then_some(answer.granted).flatten();
        if let Some(lifetime) = renewed {
            for subscription in self.subscriptions.values_mut().filter(|s| s.granted_until.is_some()) {
                subscription.granted_until = Some(now + lifetime);
            }
        }
        for channel in &answer.channels {
            self.channel_answered(now, channel);
        }
        let refused = answer.channels.is_empty() && answer.granted.is_none();
        let granted_before = self.subscriptions.values().any(|s| s.granted_until.is_some());
        if refused && granted_before {
            // A renewal came too late. Who asks for each group by name gets it back, or a reason.
            self.subscriptions.values_mut().for_each(|subscription| subscription.granted_until = None);
            self.asks_more = true;
        } else if refused {
            for group in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
                self.refused(group, Refusal::NoService);
            }
        }
        let first_end = self.subscriptions.values().filter_map(|s| s.granted_until).min();
        self.renew_at = first_end.map(|end| now + (end.since(now) * 2 / 3).max(RENEW_PAUSE_MIN));
        self.tell_left(now);
        if std::mem::take(&mut self.asks_more)
            && self.subscriptions.values().any(|s| s.granted_until.is_none())
        {
            self.register(now);
        }
    }

    /// Takes the server's word on one group. Groups that were not asked for are ignored (binding section 5).
    fn channel_answered(&mut self, now: Time, channel: &McastChannel) {
        let Some(subscription) = self.subscriptions.get_mut(&channel.group) else { return };
        match channel.status {
            ChannelStatus::GRANTED if channel.lifetime != Lifetime::CANCEL => {
                subscription.granted_until = Some(now + channel.lifetime.duration());
                let (group, role) = (channel.group.clone(), channel.role);
                self.events.push_back(Event::Registered { group: group.clone(), role });
                self.pull(now, &group);
            }
            // Confirms that an earlier subscription was left.
            ChannelStatus::GRANTED => {}
            status => self.refused(channel.group.clone(), refusal(status)),
        }
    }

    /// Forgets a group; its keys go with it, and only a ledger, if one was asked for, remains.
    fn keep_ledger(&mut self, group: GroupId, subscription: Subscription) {
        if let Some(ledger) = subscription.ledger {
            self.ledgers.insert(group, ledger);
        }
    }

    fn refused(&mut self, group: GroupId, refusal: Refusal) {
        if let Some(subscription) = self.subscriptions.remove(&group) {
            self.keep_ledger(group.clone(), subscription);
        }
        self.events.push_back(Event::Refused { group, refusal });
    }

    fn evicted(&mut self, group: GroupId) {
        if let Some(subscription) = self.subscriptions.remove(&group) {
            self.keep_ledger(group.clone(), subscription);
            self.events.push_back(Event::Evicted { group });
        }
    }

    /// The association ended in good order: by the server it means eviction from every group.
    fn closed(&mut self, by_server: bool) {
        // Who came back meanwhile is asking anew.
        if by_server || self.registration != Registration::Asking {
            self.registration = Registration::None;
        }
        self.renew_at = None;
        if let Some(cookies) = self.cookies.take() {
            self.gdoi.remove_registration(&cookies);
        }
        if by_server {
            self.evicted_from_all();
        }
        self.events.push_back(Event::Closed);
    }

    fn evicted_from_all(&mut self) {
        for group in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
            self.evicted(group);
        }
    }

    fn registration_failed(&mut self, now: Time, reason: String) {
        self.failed_attempts += 1;
        let attempts = self.failed_attempts;
        let pause = REGISTER_PAUSE_MAX.min(REGISTER_PAUSE_MIN * 2u32.saturating_pow(attempts.min(8) - 1));
        self.registration = Registration::Pausing { until: now + pause };
        self.events.push_back(Event::Unreachable { attempts, reason });
    }

    /// Fetches a group's keys again without a sign of missed ones, for instance because the user wants it.
    pub fn pull_now(&mut self, now: Time, group: &GroupId) {
        self.pull(now, group);
        self.settle(now);
    }

    /// Begins a PULL unless one is under way.
    fn pull(&mut self, now: Time, group: &GroupId) {
        let Some(subscription) = self.subscriptions.get_mut(group) else { return };
        if subscription.pulling.is_some() {
            return;
        }
        let Some(cookies) = self.cookies else { return self.ask(now) };
        match self.gdoi.pull(now, &cookies, self.gdoi_address, group.clone(), None) {
            Ok(pull) => {
                subscription.pulling = Some(pull);
                subscription.pull_began = now;
            }
            Err(_) => {
                // The message ids of the registration are used up, or its exchanges too many: after a few attempts
                // a new registration has its own.
                let failures = subscription.repull.failed(now, Sign::Gap, &mut self.random);
                self.doubt_association(now, failures);
            }
        }
    }

    /// Takes an association for lost, and makes a new one, after some failures in a row.
    fn doubt_association(&mut self, now: Time, failures: u32) {
        if failures.is_multiple_of(PULL_FAILURES_MAX) && self.registration == Registration::Associated {
            self.registration = Registration::None;
            self.register(now);
        }
    }

    fn pull_due(&mut self, now: Time) {
        let mut due: Vec<(GroupId, PullReason)> = Vec::new();
        for subscription in self.subscriptions.values_mut().filter(|s| s.pulling.is_none()) {
            if let Some(reason) = subscription.repull.take_due(now) {
                due.push((subscription.group.clone(), reason));
            }
        }
        for (group, reason) in due {
            self.events.push_back(Event::PullAgain { group: group.clone(), reason });
            self.pull(now, &group);
        }
    }

    fn handle_gdoi_event(&mut self, now: Time, event: GdoiEvent) {
        match event {
            GdoiEvent::Offered { pull, group, sa } => {
                if !self.serves(pull, &group) {
                    let _ = self.gdoi.decline(now, pull);
                    return;
                }
                match acceptance::check(&sa, self.plane, self.strength()) {
                    Ok(()) => {
                        // A PULL that ended meanwhile needs no message 3.
                        let _ = self.gdoi.accept(now, pull);
                    }
                    Err(refusal) => {
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
                let (provider, random) = (self.provider, &mut self.random);
                match subscription.pulled(now, provider, random, &sa, sequence, &kd) {
                    Ok(teks) => self.keyed(now, group, before, &teks),
                    Err(PulledError::Overtaken) => subscription.repull.note(now, Sign::Gap, random),
                    Err(error) => self.refused(group, error.refusal()),
                }
            }
            GdoiEvent::PullFailed { pull, group, reason } => self.pull_failed(now, pull, group, reason),
            _ => {}
        }
    }

    /// Says whether an exchange still serves its group: not if that was left, or asked for anew, since it began.
    fn serves(&self, pull: PullId, group: &GroupId) -> bool {
        self.subscriptions.get(group).is_some_and(|subscription| subscription.pulling == Some(pull))
    }

    fn keyed(&mut self, now: Time, group: GroupId, before: Option<Places>, teks: &[Spi]) {
        let Some(subscription) = self.subscriptions.get_mut(&group) else { return };
        subscription.pulls += 1;
        if let Some(expires) = subscription.expires() {
            subscription.repull.lifetime(now, expires, &mut self.random);
        }
        let Some(places) = subscription.places() else { return };
        let (kek, sequence) = subscription.epoch().unwrap_or((CookiePair([0; 16]), 0));
        let newest = teks.last().copied();
        let activates =
            subscription.data_sas().iter().find(|sa| Some(sa.spi) == newest).map(|sa| sa.activate_at);
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
            _ => {
                let failures = subscription.repull.failed(now, Sign::Gap, &mut self.random);
                self.doubt_association(now, failures);
            }
        }
    }

    fn handle_push(&mut self, now: Time, cookies: CookiePair, datagram: Datagram<'_>) -> Result<(), Error> {
        let standing =
            self.subscriptions.values_mut().find_map(|s| s.knows_rekey_sa(&cookies).map(|known| (s, known)));
        let Some((subscription, standing)) = standing else {
            self.note_unknown_rekey_sa(now, datagram.destination, cookies);
            return Err(Error::RekeySaUnknown);
        };
        if standing == Standing::Superseded {
            return Ok(());
        }
        let brought = subscription.follow(now, self.provider, &mut self.random, datagram.payload)?;
        let (kek, sequence) = subscription.epoch().unwrap_or((cookies, 0));
        self.events.push_back(Event::Rekeyed {
            group: subscription.group.clone(),
            by: Source::Push,
            kek: brought.kek.unwrap_or(kek),
            sequence,
            tek: brought.tek,
            activates: brought.activates,
        });
        Ok(())
    }

    /// A rekey message that went to a group's place under cookies that the group does not have: the message that
    /// brought them was missed.
    fn note_unknown_rekey_sa(&mut self, now: Time, destination: SocketAddr, cookies: CookiePair) {
        for subscription in self.subscriptions.values_mut() {
            // A newcomer hears copies of the message that told the others of it, under the KEK before its first.
            let is_new = subscription.keys.as_ref().is_some_and(|keys| now < keys.keyed_at + REKEY_SPREAD);
            if !is_new && subscription.places().and_then(|places| places.push) == Some(destination) {
                subscription.repull.note(now, Sign::UnknownRekeySa(cookies), &mut self.random);
            }
        }
    }

    fn handle_plane_events(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut() {
            let Some(keys) = &mut subscription.keys else { continue };
            while let Some(event) = keys.plane.poll_event() {
                let sign = match event {
                    // A newcomer hears the group's old TEK until the senders change over to its first one.
                    PlaneEvent::UnknownSpi(_)
                        if keys.plane.status().iter().all(|sa| sa.stage == Stage::Leading) =>
                    {
                        continue;
                    }
                    PlaneEvent::UnknownSpi(spi) => Sign::UnknownSpi(spi),
                    PlaneEvent::Exhausting(_) => Sign::SenderIdSpent,
                    PlaneEvent::Expired(_) => Sign::Gap,
                    _ => continue,
                };
                subscription.repull.note(now, sign, &mut self.random);
            }
        }
    }

    fn strength(&self) -> Strength {
        let association = self.hip.association(&self.server);
        let algorithms = association.and_then(|info| Some((info.cipher?, info.dh_group?)));
        let bits_256 = algorithms.is_some_and(|(cipher, group)| carries_256_bit_keys(cipher, group));
        Strength { bits_256 }
    }
}

fn refusal(status: ChannelStatus) -> Refusal {
    match status {
        ChannelStatus::NOT_AUTHORISED | ChannelStatus::GROUP_UNKNOWN => Refusal::NotAuthorised,
        ChannelStatus::ROLE_NOT_AUTHORISED => Refusal::NotForRole,
        ChannelStatus::GROUP_FULL => Refusal::GroupFull,
        ChannelStatus::SERVED_ELSEWHERE => Refusal::Elsewhere,
        ChannelStatus(status) => Refusal::Status(status),
    }
}
