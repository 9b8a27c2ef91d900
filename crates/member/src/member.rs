//! The machine: input, output, commands.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use claviger_crypto::{CryptoProvider, Random, erase_stack, random::fork};
use claviger_gdoi::Extensions;
use claviger_group::{CookiePair, GroupId, Role};
use claviger_hip_groups::Host;
use claviger_identity::Hit;
use claviger_isakmp::{Route, Unread, iana::ExchangeType, route};
use claviger_pki::GroupOwner;
use claviger_sansio::{Datagram, Socket, Time, Transmit};
use tracing::{debug, trace};

use crate::{
    Counter, Counters, Error, KeyWitness, MemberConfig, PlaneKind, event::Event,
    follow::lease::LeaseRequested, subscription::Subscription, witness::Witness,
};

/// A member of one key server's groups.
pub struct Member {
    pub(crate) provider: &'static CryptoProvider,
    pub(crate) random: Box<dyn Random>,
    pub(crate) hip: Host,
    pub(crate) gdoi: claviger_gdoi::Member,
    /// The owner of the groups, whose word the key server needs, if there is one.
    pub(crate) owner: Option<GroupOwner>,
    pub(crate) server: Hit,
    pub(crate) server_address: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) gdoi_address: SocketAddr,
    pub(crate) plane: PlaneKind,
    extensions: Extensions,
    pub(crate) registration_lifetime: Duration,
    pub(crate) subscriptions: BTreeMap<GroupId, Subscription>,
    pub(crate) witness: Witness,
    /// The registration SA in force.
    pub(crate) cookies: Option<CookiePair>,
    /// The other one, while the keys of the association are renewed.
    pub(crate) other_cookies: Option<CookiePair>,
    pub(crate) registration: Registration,
    /// Attempts to register that failed in a row.
    pub(crate) failed_attempts: u32,
    /// Whether groups were joined, or their grants lost, while another request was under way.
    pub(crate) asks_more: bool,
    /// Groups that were left while another request was under way.
    pub(crate) leaving: BTreeMap<GroupId, Role>,
    pub(crate) renew_at: Option<Time>,
    /// The requests for leases that may be answered, the last at the end.
    pub(crate) leases_requested: VecDeque<LeaseRequested>,
    /// When what ended at the key server is asked for again.
    pub(crate) ask_again_at: Option<Time>,
    pub(crate) events: VecDeque<Event>,
    /// Groups that the member holds no keys of any more, and whose data planes are still to hear of it.
    pub(crate) closed_planes: VecDeque<GroupId>,
    outbox: VecDeque<Transmit>,
    counters: Counters,
}

/// Where the member stands with its key server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// Nothing was asked yet, or it was closed.
    None,
    /// A base exchange is under way, and asks.
    Calling,
    /// A registration request over the live association is under way.
    Asking,
    /// The association lives.
    Associated,
    /// The last attempt failed; the next is due then.
    Pausing { until: Time },
}

impl Member {
    /// Makes a member that has asked for nothing yet.
    pub fn new(config: MemberConfig, mut random: Box<dyn Random>, now: Time) -> Result<Self, Error> {
        let gdoi = claviger_gdoi::MemberConfig {
            provider: config.provider,
            retransmit: config.retransmit,
            extensions: config.extensions,
        };
        Ok(Self {
            provider: config.provider,
            owner: config.owner,
            hip: Host::new(config.hip, fork(&mut random), now)?,
            gdoi: claviger_gdoi::Member::new(gdoi, fork(&mut random)),
            random,
            server: config.server,
            server_address: config.server_address,
            socket: config.socket,
            gdoi_address: SocketAddr::new(config.server_address.ip(), config.gdoi_port),
            plane: config.plane,
            extensions: config.extensions,
            registration_lifetime: config.registration_lifetime,
            subscriptions: BTreeMap::new(),
            witness: Witness::default(),
            cookies: None,
            other_cookies: None,
            registration: Registration::None,
            failed_attempts: 0,
            asks_more: false,
            leaving: BTreeMap::new(),
            renew_at: None,
            leases_requested: VecDeque::new(),
            ask_again_at: None,
            events: VecDeque::new(),
            closed_planes: VecDeque::new(),
            outbox: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    /// Has a witness be told of each key from now on. A member without one keeps nothing after its end.
    pub fn witnessed(mut self, witness: Box<dyn KeyWitness>) -> Self {
        self.witness = Witness(Some(witness));
        self
    }

    /// Asks for a group in a role.
    pub fn join(&mut self, now: Time, group: GroupId, role: Role) {
        debug!(%group, %role, "a group is joined");
        self.leaving.remove(&group);
        self.forget(&group);
        self.subscriptions.insert(group.clone(), Subscription::new(group, role, self.extensions));
        self.ask(now);
        self.settle(now);
    }

    /// Leaves one group by UPDATE, or by CLOSE if it is the only one. Its keys are deleted at once.
    pub fn leave_group(&mut self, now: Time, group: &GroupId) {
        if self.subscriptions.len() == 1 && self.subscriptions.contains_key(group) {
            return self.leave(now);
        }
        if let Some(subscription) = self.forget(group) {
            debug!(%group, "a group is left; its keys are deleted");
            self.leaving.insert(group.clone(), subscription.role);
            self.tell_left(now);
        }
        self.settle(now);
    }

    /// Leaves every group by CLOSE. The keys are deleted at once.
    pub fn leave(&mut self, now: Time) {
        debug!(groups = self.subscriptions.len(), "every group is left; the keys are deleted");
        for group in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
            self.forget(&group);
        }
        self.renew_at = None;
        self.ask_again_at = None;
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

    /// Shows other certificates to the key server from now on.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`](claviger_hip::ApiMisuse) if they are too many or too long; those so far stay.
    pub fn set_certificates(
        &mut self,
        chains: Vec<claviger_hip::CertificateChain>,
    ) -> Result<(), claviger_hip::ApiMisuse> {
        self.hip.set_certificates(chains)
    }

    /// Takes other certificates, and lists of revoked ones, for those of the groups' owner from now on.
    pub fn set_owner(&mut self, owner: Option<GroupOwner>) {
        self.owner = owner;
    }

    /// Says that this host's address towards the key server was `from` and is `to`. The key server is told, and the keys
    /// are fetched again once it knows ([`Event::Moved`]): the host may have missed some on the way, and where a group's
    /// tree follows places, others are due to it.
    pub fn readdress(&mut self, now: Time, from: IpAddr, to: IpAddr) {
        debug!(%from, %to, "this host is at another address");
        // Without an association there is nothing to tell: the next one is made from the new address.
        let _ = self.hip.readdress(now, self.server, from, to);
        self.settle(now);
    }

    /// Takes in a datagram of HIP or ISAKMP. An error is for the log and was counted; nothing has changed.
    pub fn handle_datagram(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        let result = match datagram.socket {
            Socket::Port848 => self.handle_isakmp(now, datagram),
            Socket::HipRaw | Socket::HipUdp => self.hip.handle_datagram(now, datagram).map_err(Error::Hip),
        };
        if let Err(error) = &result {
            self.counters.count_drop(error);
        }
        self.settle(now);
        // What is not authentic took no key, and a flood of it must cost little.
        if result.is_ok() {
            erase_stack();
        }
        result
    }

    fn handle_isakmp(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        match route(datagram.payload) {
            Route::GroupkeyPush(rekey_sa) => {
                let exchange = ExchangeType::GROUPKEY_PUSH;
                log_in(exchange, rekey_sa, &datagram);
                let result = self.handle_push(now, rekey_sa, datagram);
                result.inspect_err(|error| log_dropped(exchange, rekey_sa, &datagram, error))
            }
            Route::DeliveryControl(rekey_sa) => {
                let exchange = ExchangeType::DELIVERY_CONTROL;
                log_in(exchange, rekey_sa, &datagram);
                let result = self.handle_control(now, rekey_sa, datagram.payload);
                result.inspect_err(|error| log_dropped(exchange, rekey_sa, &datagram, error))
            }
            Route::GroupkeyPull(_)
            | Route::Informational(_)
            | Route::Lease(_)
            // Nobody should send these to a member; GDOI says why it does not take them.
            | Route::DeliveryReport(_)
            | Route::Unknown => self.gdoi.handle_datagram(now, datagram).map_err(Error::Gdoi),
            Route::Ikev2 => Err(unread(Unread::Ikev2, &datagram)),
            Route::Marked(_) => Err(unread(Unread::Marked, &datagram)),
            Route::Phase1(_) => Err(unread(Unread::Phase1, &datagram)),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.hip.handle_timeout(now);
        self.gdoi.handle_timeout(now);
        for subscription in self.subscriptions.values_mut() {
            subscription.handle_timeout(now, &mut self.random);
        }
        if let Registration::Pausing { until } = self.registration
            && until <= now
        {
            self.register(now);
        }
        if self.ask_again_at.take_if(|at| *at <= now).is_some() {
            self.ask(now);
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
        let event = self.events.pop_front()?;
        if let Some(counter) = Counter::of(&event) {
            self.counters.member.count(counter);
        }
        Some(event)
    }

    /// Says when [`Member::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let pausing = match self.registration {
            Registration::Pausing { until } => Some(until),
            Registration::None | Registration::Calling | Registration::Asking | Registration::Associated => {
                None
            }
        };
        let groups = self.subscriptions.values().flat_map(|subscription| {
            let repull = subscription.pulling.is_none().then(|| subscription.repull.poll_timeout()).flatten();
            [repull, subscription.poll_timeout()]
        });
        [self.hip.poll_timeout(), self.gdoi.poll_timeout(), pausing, self.renew_at, self.ask_again_at]
            .into_iter()
            .chain(groups)
            .flatten()
            .min()
    }

    /// Shows a group.
    pub fn subscription(&self, group: &GroupId) -> Option<&Subscription> {
        self.subscriptions.get(group)
    }

    /// Goes through all groups.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }

    /// Says whether the association with the key server lives.
    pub fn is_associated(&self) -> bool {
        self.registration == Registration::Associated
    }

    /// Shows what has happened and what was dropped since the start. An event counts once it was polled.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn settle(&mut self, now: Time) {
        let mut has_moved = false;
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
            has_moved |= moved;
            if !moved {
                break;
            }
        }
        self.note_ended_lifetimes(now);
        self.attend_deliveries(now);
        self.note_ended_leases(now);
        self.pull_due(now);
        self.ask_leases(now);
        while let Some(transmit) = self.hip.poll_transmit() {
            self.outbox.push_back(transmit);
        }
        while let Some(transmit) = self.gdoi.poll_transmit() {
            self.outbox.push_back(transmit);
        }
        if has_moved {
            erase_stack();
        }
    }
}

/// Logs a message under a rekey SA. The other machines log what is theirs.
fn log_in(exchange: ExchangeType, rekey_sa: CookiePair, datagram: &Datagram<'_>) {
    trace!(source = %datagram.source, %exchange, %rekey_sa, length = datagram.payload.len(), "message in");
}

/// Logs why a message under a rekey SA was dropped.
fn log_dropped(exchange: ExchangeType, rekey_sa: CookiePair, datagram: &Datagram<'_>, error: &Error) {
    debug!(source = %datagram.source, %exchange, %rekey_sa, reason = error.reason(), %error, "dropped");
}

/// Says and logs that no machine here reads a datagram.
fn unread(unread: Unread, datagram: &Datagram<'_>) -> Error {
    let error = Error::Unread(unread);
    debug!(source = %datagram.source, length = datagram.payload.len(), reason = error.reason(), %error, "dropped");
    error
}
