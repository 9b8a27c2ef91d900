//! Sans-IO endpoint, member side: begins GROUPKEY-PULLs, asks for leases, and reads the answers.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use claviger_crypto::{Random, random};
use claviger_group::{CookiePair, GroupId, RegistrationSa};
use claviger_isakmp::{
    Route,
    exchange::{Registrations, registration::check_not_zero},
    iana::{ExchangeType, NotifyType},
    route,
    wire::Header,
};
use claviger_sansio::{Datagram, Retransmit, Socket, Time, Transmit, retransmit::Expiry};
use claviger_wire::DecodeError;
use tracing::{Span, debug};

use crate::{
    config::MemberConfig,
    error::{ApiMisuse, Error, PeerMisbehaved},
    event::{MemberEvent, PullFailure},
    exchange::{
        LeaseId, PullId, informational, lease,
        pull_member::{Download, ExpectAcceptance, ExpectDownload, ExpectOffer, Offer},
        report::report,
    },
    limits::{EXCHANGE_LIFETIME, EXCHANGES_MAX, LEASE_GROUPS_MAX, LEASE_REQUESTS_MAX, LEASE_RETRANSMIT},
    log,
    wire::{InForce, LeaseAnswer, LeaseNonce, LeaseQuestion, LeaseRequest},
};

/// The member's end of GROUPKEY-PULLs under any number of registration SAs.
pub struct Member {
    config: MemberConfig,
    random: Box<dyn Random>,
    registrations: Registrations,
    pulls: BTreeMap<PullId, Pull>,
    next_pull: u64,
    /// The requests for leases that may be answered; the last is repeated.
    leases: VecDeque<PendingLease>,
    next_lease: u64,
    transmits: VecDeque<Transmit>,
    events: VecDeque<MemberEvent>,
}

struct PendingLease {
    id: LeaseId,
    cookies: CookiePair,
    nonce: LeaseNonce,
    server: SocketAddr,
    request: Vec<u8>,
    /// When it is repeated; not any more once it was repeated often enough.
    timer: Option<Retransmit>,
}

struct Pull {
    cookies: CookiePair,
    message_id: u32,
    server: SocketAddr,
    group: GroupId,
    sender_ids: Option<u16>,
    deadline: Time,
    state: State,
}

enum State {
    ExpectOffer(ExpectOffer, Retransmit),
    ExpectAcceptance(ExpectAcceptance),
    ExpectDownload(ExpectDownload, Retransmit),
    /// Stands for a state while its successor is made.
    Over,
}

/// What comes while message 4 is awaited.
#[expect(clippy::large_enum_variant, reason = "an answer is made once an exchange and read at once")]
enum Answer {
    Download(Download),
    /// Message 2 of a key server that has lost the exchange.
    Offer(Offer),
}

impl Member {
    /// Makes an endpoint without registrations.
    pub fn new(config: MemberConfig, random: Box<dyn Random>) -> Self {
        Self {
            config,
            random,
            registrations: Registrations::default(),
            pulls: BTreeMap::new(),
            next_pull: 0,
            leases: VecDeque::new(),
            next_lease: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes a registration SA into use.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::Cookies`] if its cookies are in use or one is zero, [`ApiMisuse::UnsupportedAlgorithm`] if the
    /// provider lacks an algorithm.
    pub fn add_registration(&mut self, _now: Time, sa: RegistrationSa) -> Result<(), ApiMisuse> {
        Ok(self.registrations.add(self.config.provider, &sa)?)
    }

    /// Forgets a registration SA; its exchanges fail.
    pub fn remove_registration(&mut self, cookies: &CookiePair) {
        self.registrations.remove(cookies);
        let ids: Vec<_> =
            self.pulls.iter().filter(|(_, pull)| pull.cookies == *cookies).map(|(id, _)| *id).collect();
        for id in ids {
            self.fail(id, PullFailure::RegistrationRemoved);
        }
        let ended = self.leases.iter().filter(|pending| pending.cookies == *cookies);
        let awaited = ended.filter(|pending| pending.timer.is_some());
        self.events.extend(awaited.map(|pending| MemberEvent::LeasesUnanswered { request: pending.id }));
        self.leases.retain(|pending| pending.cookies != *cookies);
    }

    /// Forgets a registration SA at `time`, so that its exchanges can end.
    pub fn remove_after(&mut self, cookies: &CookiePair, time: Time) {
        self.registrations.remove_after(cookies, time);
    }

    /// Tells the key server what is missed of a batch: one datagram, to which no answer comes under this registration.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownRegistration`] if no registration has these cookies, [`ApiMisuse::TooManyExchanges`] if its
    /// message ids are used up, [`ApiMisuse::MessageTooLong`] if the report exceeds 1,024 octets.
    pub fn report(
        &mut self,
        cookies: &CookiePair,
        server: SocketAddr,
        octets: &[u8],
    ) -> Result<(), ApiMisuse> {
        let registration = self.registrations.get_mut(cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        let payload = report(registration, &mut *self.random, octets);
        let payload = payload.map_err(|error| error.misuse_or(ApiMisuse::TooManyExchanges))?;
        self.send(None, transmit(server, &payload));
        Ok(())
    }

    /// Asks for leases of some groups, or whether the keys of these are in force, and says what this member holds: 1 to 32 groups whose names fit a
    /// datagram ([`LeaseRequest::encoded_len`]). An earlier request is not repeated any more; that it is answered late, and
    /// those before it, is still told.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownRegistration`] if no registration has these cookies, [`ApiMisuse::MessageTooLong`] if the groups
    /// do not fit.
    pub fn request_leases(
        &mut self,
        now: Time,
        cookies: &CookiePair,
        server: SocketAddr,
        groups: Vec<(GroupId, LeaseQuestion, InForce)>,
    ) -> Result<LeaseId, ApiMisuse> {
        let registration = self.registrations.get(cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        if !(1..=LEASE_GROUPS_MAX).contains(&groups.len()) {
            return Err(ApiMisuse::MessageTooLong);
        }
        let nonce = random::array(&mut *self.random);
        let request = lease::seal(registration.keys(), &LeaseRequest { nonce, groups });
        let request = request.map_err(|error| error.misuse_or(ApiMisuse::UnsupportedAlgorithm))?;
        let id = LeaseId(self.next_lease);
        self.next_lease += 1;
        self.send(None, transmit(server, &request));
        self.leases.iter_mut().for_each(|earlier| earlier.timer = None);
        if self.leases.len() == LEASE_REQUESTS_MAX {
            self.leases.pop_front();
        }
        let timer = Some(Retransmit::new(LEASE_RETRANSMIT, now));
        self.leases.push_back(PendingLease { id, cookies: *cookies, nonce, server, request, timer });
        Ok(id)
    }

    /// Begins a GROUPKEY-PULL. `sender_ids` is how many sender ids to request; `None` leaves it to the key server.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownRegistration`] if no registration has these cookies, [`ApiMisuse::TooManyExchanges`] if
    /// too many exchanges are in progress under it or its message ids are used up.
    pub fn pull(
        &mut self,
        now: Time,
        cookies: &CookiePair,
        server: SocketAddr,
        group: GroupId,
        sender_ids: Option<u16>,
    ) -> Result<PullId, ApiMisuse> {
        let registration = self.registrations.get_mut(cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        if self.pulls.values().filter(|pull| pull.cookies == *cookies).count() >= EXCHANGES_MAX {
            return Err(ApiMisuse::TooManyExchanges);
        }
        let message_id =
            registration.draw_message_id(&mut *self.random).map_err(|_| ApiMisuse::TooManyExchanges)?;
        let begun = ExpectOffer::begin(registration.keys(), &mut *self.random, message_id, &group)
            .map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
        let message_1 = transmit(server, begun.sent());
        let _exchange =
            log::exchange(ExchangeType::GROUPKEY_PULL, message_id, Some(registration.peer())).entered();
        debug!(%group, "a PULL begins");
        self.send(Some(1), message_1);
        let id = PullId(self.next_pull);
        self.next_pull += 1;
        let pull = Pull {
            cookies: *cookies,
            message_id,
            server,
            group,
            sender_ids,
            deadline: now + EXCHANGE_LIFETIME,
            state: State::ExpectOffer(begun, Retransmit::new(self.config.retransmit, now)),
        };
        self.pulls.insert(id, pull);
        Ok(id)
    }

    /// Accepts the policy that was offered and asks for the keys.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownPull`], [`ApiMisuse::WrongState`] unless [`MemberEvent::Offered`] awaits an answer.
    pub fn accept(&mut self, now: Time, id: PullId) -> Result<(), ApiMisuse> {
        let _exchange = self.span_of(id).entered();
        let pull = self.pulls.get_mut(&id).ok_or(ApiMisuse::UnknownPull)?;
        let registration = self.registrations.get(&pull.cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        let state = match std::mem::replace(&mut pull.state, State::Over) {
            State::ExpectAcceptance(state) => state,
            other @ (State::ExpectOffer(..) | State::ExpectDownload(..) | State::Over) => {
                pull.state = other;
                return Err(ApiMisuse::WrongState);
            }
        };
        let accepted = state
            .accept(registration.keys(), pull.sender_ids)
            .map_err(|_| ApiMisuse::UnsupportedAlgorithm)?;
        let message_3 = transmit(pull.server, accepted.sent());
        pull.state = State::ExpectDownload(accepted, Retransmit::new(self.config.retransmit, now));
        debug!(sender_ids = pull.sender_ids, "the policy is accepted; message 4 is awaited");
        self.send(Some(3), message_3);
        Ok(())
    }

    /// Declines the policy that was offered, ends the exchange and tells the key server.
    ///
    /// RFC 6407 section 3.3 would tear down the registration too; other groups may live under it, so that is left
    /// to the caller.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownPull`], [`ApiMisuse::WrongState`] unless [`MemberEvent::Offered`] awaits an answer.
    pub fn decline(&mut self, _now: Time, id: PullId) -> Result<(), ApiMisuse> {
        let pull = self.pulls.get(&id).ok_or(ApiMisuse::UnknownPull)?;
        if !matches!(pull.state, State::ExpectAcceptance(_)) {
            return Err(ApiMisuse::WrongState);
        }
        let _exchange = self.span_of(id).entered();
        debug!("the policy is declined");
        self.inform(id, NotifyType::NO_PROPOSAL_CHOSEN);
        self.pulls.remove(&id);
        Ok(())
    }

    /// Forgets an exchange without a word to the key server: it is to begin anew from another address.
    pub fn abandon(&mut self, id: PullId) {
        let _exchange = self.span_of(id).entered();
        if self.pulls.remove(&id).is_some() {
            debug!("the PULL is abandoned");
        }
    }

    /// Reads a datagram of port 848 whose exchange type is GROUPKEY-PULL, Informational or lease.
    ///
    /// # Errors
    ///
    /// [`Error`] is for log and counter; an exchange that ended with it is also an [`MemberEvent::PullFailed`].
    pub fn handle_datagram(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        let _exchange = log::received(&datagram, &self.registrations);
        self.handle_message(now, datagram).inspect_err(|error| log::dropped(&datagram, error))
    }

    fn handle_message(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        if let Route::Lease(cookies) = route(datagram.payload) {
            return self.handle_lease(cookies, datagram.payload);
        }
        let (header, ciphertext) = Header::split(datagram.payload)?;
        check_not_zero(&header)?;
        match header.exchange {
            ExchangeType::GROUPKEY_PULL => self.handle_pull(now, &header, ciphertext, datagram.payload),
            ExchangeType::INFORMATIONAL => self.handle_informational(now, &header, ciphertext),
            ExchangeType(other) => {
                Err(DecodeError::Value { field: "exchange type", value: other.into() }.into())
            }
        }
    }

    fn handle_pull(
        &mut self,
        now: Time,
        header: &Header,
        ciphertext: &[u8],
        octets: &[u8],
    ) -> Result<(), Error> {
        let extensions = self.config.extensions;
        let registration = self.registrations.get_mut(&header.cookies).ok_or(Error::UnknownCookies)?;
        let (&id, pull) = self
            .pulls
            .iter_mut()
            .find(|(_, pull)| pull.cookies == header.cookies && pull.message_id == header.message_id)
            .ok_or(Error::UnknownExchange)?;
        match &pull.state {
            State::ExpectOffer(state, _) => {
                let offer = state.with_context(|context| {
                    registration
                        .open(now, context, header, ciphertext, |message| Offer::read(&message, extensions))
                })?;
                match offer {
                    Ok(offer) => self.offered(id, offer, octets),
                    Err(error) => return Err(self.abort(id, error)),
                }
            }
            State::ExpectAcceptance(state) => {
                return Err(out_of_state(state.is_repeated(octets)));
            }
            State::ExpectDownload(state, _) if state.is_repeated(octets) => return Err(Error::Replayed),
            State::ExpectDownload(state, _) => {
                let answer = state.with_contexts(|download, offer| {
                    registration.open_either(
                        now,
                        header,
                        ciphertext,
                        (download, |message| state.read(&message).map(Answer::Download)),
                        (offer, |message| Offer::read(&message, extensions).map(Answer::Offer)),
                    )
                })?;
                match answer {
                    Ok(Answer::Download(download)) => self.downloaded(id, download),
                    Ok(Answer::Offer(offer)) => {
                        state.check_later(&offer)?;
                        self.offered(id, offer, octets);
                    }
                    Err(error) => return Err(self.abort(id, error)),
                }
            }
            State::Over => return Err(Error::UnknownExchange),
        }
        Ok(())
    }

    fn handle_lease(&mut self, cookies: CookiePair, octets: &[u8]) -> Result<(), Error> {
        let registration = self.registrations.get(&cookies).ok_or(Error::UnknownCookies)?;
        if self.leases.iter().all(|pending| pending.cookies != cookies) {
            return Err(Error::UnknownExchange);
        }
        let LeaseAnswer { nonce, groups } = lease::open(registration.keys(), octets)?;
        let place = self.leases.iter().position(|pending| pending.nonce == nonce);
        let place = place.ok_or(Error::UnknownExchange)?;
        let request = self.leases[place].id;
        debug!(groups = groups.len(), "the key server answers a request for leases");
        // What was asked before says less.
        self.leases.drain(..=place);
        self.events.push_back(MemberEvent::LeasesAnswered { request, groups });
        Ok(())
    }

    /// Hands an offer to the caller: the first of its exchange, or a later one.
    fn offered(&mut self, id: PullId, offer: Offer, message_2: &[u8]) {
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        let state = match std::mem::replace(&mut pull.state, State::Over) {
            State::ExpectOffer(state, _) => state.offered(offer, message_2),
            State::ExpectDownload(state, _) => state.offered(offer, message_2),
            State::ExpectAcceptance(_) | State::Over => return,
        };
        let (group, sa) = (pull.group.clone(), state.sa().clone());
        debug!(%group, kek = sa.kek.is_some(), teks = sa.teks.len(), "the key server offers a policy");
        pull.state = State::ExpectAcceptance(state);
        self.events.push_back(MemberEvent::Offered { pull: id, group, sa });
    }

    fn downloaded(&mut self, id: PullId, download: Download) {
        if let Some(Pull { group, state: State::ExpectDownload(state, _), .. }) = self.pulls.remove(&id) {
            let Download { sequence, kd } = download;
            debug!(%group, sequence, teks = kd.teks.len(), "the keys have come");
            self.events.push_back(MemberEvent::Pulled { pull: id, group, sa: state.into_sa(), sequence, kd });
        }
    }

    fn handle_informational(&mut self, now: Time, header: &Header, ciphertext: &[u8]) -> Result<(), Error> {
        let registration = self.registrations.get_mut(&header.cookies).ok_or(Error::UnknownCookies)?;
        let notification = informational::read(registration, now, header, ciphertext)?;
        let mut concerned = self.pulls.iter().filter(|(_, pull)| {
            pull.cookies == header.cookies && notification.message_id.is_none_or(|id| id == pull.message_id)
        });
        let (Some((&id, _)), None) = (concerned.next(), concerned.next()) else {
            return Err(Error::UnknownExchange);
        };
        debug!(notify_type = notification.notify.0, "the key server informs");
        if notification.notify.is_error() {
            self.fail(id, PullFailure::Refused(notification.notify));
        }
        Ok(())
    }

    /// Resends what is due and ends what took too long.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(cookies) = self.registrations.due(now) {
            self.remove_registration(&cookies);
        }
        let mut failed = Vec::new();
        for (&id, pull) in &mut self.pulls {
            let (repeated, timer) = match &mut pull.state {
                State::ExpectOffer(state, timer) => (vec![(1, state.sent())], Some(timer)),
                State::ExpectDownload(state, timer) => {
                    let [message_3, message_1] = state.repeated();
                    (vec![(3, message_3), (1, message_1)], Some(timer))
                }
                State::ExpectAcceptance(_) | State::Over => (Vec::new(), None),
            };
            match timer.map_or(Expiry::Pending, |timer| timer.handle_timeout(now)) {
                _ if pull.deadline <= now => failed.push(id),
                Expiry::GiveUp => failed.push(id),
                Expiry::Resend => {
                    let _exchange =
                        log::exchange(ExchangeType::GROUPKEY_PULL, pull.message_id, None).entered();
                    debug!(group = %pull.group, messages = repeated.len(), "no answer has come; sent again");
                    for (number, message) in repeated {
                        let again = transmit(pull.server, message);
                        log::message_out(Some(number), &again);
                        self.transmits.push_back(again);
                    }
                }
                Expiry::Pending => {}
            }
        }
        for id in failed {
            self.fail(id, PullFailure::Timeout);
        }
        self.repeat_lease(now);
    }

    /// Repeats the last request for leases, or tells that it was not answered.
    fn repeat_lease(&mut self, now: Time) {
        let Some(pending) = self.leases.back_mut() else { return };
        let Some(timer) = &mut pending.timer else { return };
        match timer.handle_timeout(now) {
            Expiry::Pending => {}
            Expiry::Resend => {
                let again = transmit(pending.server, &pending.request);
                self.send(None, again);
            }
            Expiry::GiveUp => {
                pending.timer = None;
                self.events.push_back(MemberEvent::LeasesUnanswered { request: pending.id });
            }
        }
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    /// Says when [`Member::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let pulls = self.pulls.values().map(|pull| match &pull.state {
            State::ExpectOffer(_, timer) | State::ExpectDownload(_, timer) => {
                timer.poll_timeout().min(pull.deadline)
            }
            State::ExpectAcceptance(_) | State::Over => pull.deadline,
        });
        let lease = self.leases.back().and_then(|pending| Some(pending.timer.as_ref()?.poll_timeout()));
        pulls.chain(self.registrations.poll_timeout()).chain(lease).min()
    }

    /// Ends an exchange because of an authentic message, tells the key server why, and returns the error.
    fn abort(&mut self, id: PullId, error: Error) -> Error {
        if let Some(notify) = error.notify() {
            self.inform(id, notify);
        }
        let reason = match error {
            Error::PeerIncompatible(policy) => PullFailure::Policy(policy),
            Error::ApiMisuse(_)
            | Error::Auth(_)
            | Error::Crypto(_)
            | Error::Decode(_)
            | Error::Limit(_)
            | Error::PeerMisbehaved(_)
            | Error::RepeatedElsewhere
            | Error::Replayed
            | Error::UnknownCookies
            | Error::UnknownExchange => PullFailure::Peer(error),
        };
        self.fail(id, reason);
        error
    }

    fn fail(&mut self, id: PullId, reason: PullFailure) {
        if let Some(pull) = self.pulls.remove(&id) {
            debug!(group = %pull.group, reason = reason.reason(), "the PULL failed");
            self.events.push_back(MemberEvent::PullFailed { pull: id, group: pull.group, reason });
        }
    }

    fn inform(&mut self, id: PullId, notify: NotifyType) {
        let Some(pull) = self.pulls.get(&id) else { return };
        let Some(registration) = self.registrations.get_mut(&pull.cookies) else { return };
        // A notification is a courtesy: when message ids have run out it is not sent.
        if let Ok(octets) = informational::inform(registration, &mut *self.random, notify, pull.message_id) {
            let informational = transmit(pull.server, &octets);
            debug!(notify_type = notify.0, "the key server is informed");
            self.send(None, informational);
        }
    }

    /// Names an exchange in the log of what the caller does with it.
    fn span_of(&self, id: PullId) -> Span {
        self.pulls.get(&id).map_or_else(Span::none, |pull| {
            let peer = self.registrations.get(&pull.cookies).map(|registration| registration.peer());
            log::exchange(ExchangeType::GROUPKEY_PULL, pull.message_id, peer)
        })
    }

    /// Sends a message. `message` is its number in a GROUPKEY-PULL.
    fn send(&mut self, message: Option<u8>, transmit: Transmit) {
        log::message_out(message, &transmit);
        self.transmits.push_back(transmit);
    }
}

fn out_of_state(repeated: bool) -> Error {
    if repeated { Error::Replayed } else { PeerMisbehaved::OutOfState.into() }
}

fn transmit(server: SocketAddr, payload: &[u8]) -> Transmit {
    Transmit { socket: Socket::Port848, source: None, destination: server, payload: payload.to_vec() }
}
