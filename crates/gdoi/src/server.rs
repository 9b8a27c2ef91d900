//! Sans-IO endpoint, key server side: answers GROUPKEY-PULLs and requests for leases.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use claviger_crypto::{
    CryptoProvider, Random,
    hash::{Digest, Hash, HashAlgorithm},
};
use claviger_group::{CookiePair, GroupId, MemberId, RegistrationSa};
use claviger_isakmp::{
    Route,
    exchange::{
        Registration, Registrations,
        registration::{check_not_zero, draw_nonce},
    },
    iana::{ExchangeType, NotifyType},
    route,
    wire::Header,
};
use claviger_sansio::{Datagram, Socket, Time, Transmit};
use claviger_wire::DecodeError;
use tracing::{Span, debug};

use crate::{
    error::{ApiMisuse, Error, Limit, PeerMisbehaved},
    event::ServerEvent,
    exchange::{
        LeaseTicket, PullId, informational, lease,
        pull_server::{Answered, ExpectAcknowledgement, ExpectDownload, ExpectOffer, Refused, Request},
        report,
    },
    limits::{EXCHANGE_LIFETIME, EXCHANGES_MAX, MEMBER_MESSAGE_LEN_MAX, RESENDS_MAX},
    log,
    message_ids::{MessageIdChange, MessageIds},
    wire::{InForce, KeyDownload, LeaseAnswer, LeaseRequest, LeaseVerdict, SaPayload},
};

/// The key server's end of GROUPKEY-PULLs under any number of registration SAs.
pub struct Server {
    provider: &'static CryptoProvider,
    random: Box<dyn Random>,
    registrations: Registrations,
    /// All exchanges live equally long, so that the lowest identifier ends first.
    pulls: BTreeMap<PullId, Pull>,
    by_message_id: BTreeMap<(CookiePair, u32), PullId>,
    next_pull: u64,
    message_ids: MessageIds,
    transmits: VecDeque<Transmit>,
    events: VecDeque<ServerEvent>,
}

struct Pull {
    cookies: CookiePair,
    message_id: u32,
    began: Time,
    /// Whether the M-ID was given out to be stored.
    is_noted: bool,
    peer: MemberId,
    group: GroupId,
    /// Where message 1 came from first, then message 3, and to which of our addresses.
    peer_address: SocketAddr,
    own_address: SocketAddr,
    message_1: Digest,
    resends: u32,
    deadline: Time,
    state: State,
}

enum State {
    Answered(Answered),
    ExpectAcknowledgement(ExpectAcknowledgement),
    ExpectDownload(ExpectDownload),
    ExpectOffer(ExpectOffer),
    Refused(Refused),
    /// Stands for a state while its successor is made, and for an exchange that broke.
    Over,
}

impl Server {
    /// Makes an endpoint without registrations.
    pub fn new(provider: &'static CryptoProvider, random: Box<dyn Random>) -> Self {
        Self {
            provider,
            random,
            registrations: Registrations::default(),
            pulls: BTreeMap::new(),
            by_message_id: BTreeMap::new(),
            next_pull: 0,
            message_ids: MessageIds::default(),
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
        Ok(self.registrations.add(self.provider, &sa)?)
    }

    /// Forgets a registration SA and its exchanges.
    pub fn remove_registration(&mut self, cookies: &CookiePair) {
        if self.registrations.contains(cookies) {
            self.message_ids.forget(*cookies);
        }
        self.registrations.remove(cookies);
        let ids: Vec<_> = self.pulls_under(cookies).collect();
        for id in ids {
            self.forget(id);
        }
    }

    /// Forgets a registration SA at `time`, so that its exchanges can end.
    pub fn remove_after(&mut self, cookies: &CookiePair, time: Time) {
        self.registrations.remove_after(cookies, time);
    }

    /// Answers message 1 with the group's policy: message 2. Of its KEK management algorithm only one of private use is
    /// told.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownPull`] if the exchange is over, [`ApiMisuse::WrongState`] if message 1 is answered
    /// already, [`ApiMisuse::MessageTooLong`] if the policy exceeds its limits.
    pub fn offer(&mut self, _now: Time, pull: PullId, sa: &SaPayload) -> Result<(), ApiMisuse> {
        let _exchange = self.span_of(pull).entered();
        let nonce_r = draw_nonce(&mut *self.random);
        let (exchange, registration) = self.exchange(pull)?;
        let State::ExpectOffer(state) = &exchange.state else { return Err(ApiMisuse::WrongState) };
        let offered = state.offer(registration.keys(), nonce_r, sa).map_err(misuse)?;
        let (exchange, _) = self.exchange(pull)?;
        let transmit = exchange.transmit(offered.sent());
        exchange.state = State::ExpectAcknowledgement(offered);
        debug!(kek = sa.kek.is_some(), teks = sa.teks.len(), "the policy is offered; message 3 is awaited");
        self.send(Some(2), transmit);
        Ok(())
    }

    /// Answers message 3 with the keys: message 4. `sequence` is the number of the last GROUPKEY-PUSH under the
    /// offered KEK, zero before the first.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownPull`] if the exchange is over, [`ApiMisuse::WrongState`] if message 3 is not to be
    /// answered, [`ApiMisuse::DownloadMismatch`] unless keys and number fit the policy that was offered,
    /// [`ApiMisuse::MessageTooLong`] if they exceed their limits.
    pub fn download(
        &mut self,
        _now: Time,
        pull: PullId,
        sequence: Option<u32>,
        kd: &KeyDownload,
    ) -> Result<(), ApiMisuse> {
        let _exchange = self.span_of(pull).entered();
        let (exchange, registration) = self.exchange(pull)?;
        let State::ExpectDownload(state) = &exchange.state else { return Err(ApiMisuse::WrongState) };
        let answered = state.download(registration.keys(), sequence, kd).map_err(misuse)?;
        let (exchange, _) = self.exchange(pull)?;
        let transmit = exchange.transmit(&answered.message_4);
        exchange.state = State::Answered(answered);
        exchange.resends = 0;
        debug!(sequence, "the keys are downloaded");
        self.send(Some(4), transmit);
        Ok(())
    }

    /// Answers message 1 or 3 with a notification in an Informational exchange, which ends the pull.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownPull`] if the exchange is over, [`ApiMisuse::WrongState`] if nothing is to be answered,
    /// [`ApiMisuse::TooManyExchanges`] if the registration's message ids are used up.
    pub fn refuse(&mut self, _now: Time, pull: PullId, notify: NotifyType) -> Result<(), ApiMisuse> {
        let _exchange = self.span_of(pull).entered();
        let (exchange, _) = self.exchange(pull)?;
        let message_3 = match &exchange.state {
            State::ExpectOffer(_) => None,
            State::ExpectDownload(state) => Some(state.digest().clone()),
            State::Answered(_) | State::ExpectAcknowledgement(_) | State::Refused(_) | State::Over => {
                return Err(ApiMisuse::WrongState);
            }
        };
        let (cookies, message_id) = (exchange.cookies, exchange.message_id);
        let registration = self.registrations.get_mut(&cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        let informational = informational::inform(registration, &mut *self.random, notify, message_id)
            .map_err(|_| ApiMisuse::TooManyExchanges)?;
        let (exchange, _) = self.exchange(pull)?;
        let transmit = exchange.transmit(&informational);
        exchange.state = State::Refused(Refused { message_3, informational });
        exchange.resends = 0;
        debug!(notify_type = notify.0, "the PULL is refused");
        self.send(None, transmit);
        Ok(())
    }

    /// Reads a datagram of port 848 whose exchange type is GROUPKEY-PULL, Informational, delivery report or lease.
    ///
    /// # Errors
    ///
    /// [`Error`] is for log and counter.
    pub fn handle_datagram(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        let _exchange = log::received(&datagram, &self.registrations);
        self.handle_message(now, datagram).inspect_err(|error| log::dropped(&datagram, error))
    }

    fn handle_message(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        match route(datagram.payload) {
            Route::DeliveryReport(_) => return self.handle_report(now, datagram),
            Route::Lease(cookies) => return self.handle_lease(cookies, datagram),
            Route::DeliveryControl(_)
            | Route::GroupkeyPull(_)
            | Route::GroupkeyPush(_)
            | Route::Ikev2
            | Route::Informational(_)
            | Route::Marked(_)
            | Route::Phase1(_)
            | Route::Unknown => {}
        }
        let (header, ciphertext) = Header::split(datagram.payload)?;
        if !self.registrations.contains(&header.cookies) {
            return Err(Error::UnknownCookies);
        }
        check_not_zero(&header)?;
        if datagram.payload.len() > MEMBER_MESSAGE_LEN_MAX {
            return Err(DecodeError::Length { field: "message" }.into());
        }
        match header.exchange {
            ExchangeType::GROUPKEY_PULL => {
                match self.by_message_id.get(&(header.cookies, header.message_id)) {
                    Some(&id) => self.handle_known(now, id, &header, ciphertext, datagram),
                    None => self.handle_request(now, &header, ciphertext, datagram),
                }
            }
            ExchangeType::INFORMATIONAL => self.handle_informational(now, &header, ciphertext),
            ExchangeType(other) => {
                Err(DecodeError::Value { field: "exchange type", value: other.into() }.into())
            }
        }
    }

    fn handle_report(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        let (header, octets) = Header::split_plain(datagram.payload, ExchangeType::DELIVERY_REPORT)?;
        let registration = self.registrations.get_mut(&header.cookies).ok_or(Error::UnknownCookies)?;
        check_not_zero(&header)?;
        let report = report::read(registration, now, &header, octets)?;
        debug!(length = report.len(), "a member reports what it misses");
        self.events.push_back(ServerEvent::Reported {
            peer: registration.peer().clone(),
            report,
            peer_address: datagram.source,
            own_address: datagram.destination,
        });
        Ok(())
    }

    fn handle_lease(&mut self, cookies: CookiePair, datagram: Datagram<'_>) -> Result<(), Error> {
        let registration = self.registrations.get(&cookies).ok_or(Error::UnknownCookies)?;
        let LeaseRequest { nonce, groups } = lease::open(registration.keys(), datagram.payload)?;
        let (peer_address, own_address) = (datagram.source, datagram.destination);
        let ticket = LeaseTicket { cookies, nonce, peer_address, own_address };
        let peer = registration.peer().clone();
        self.events.push_back(ServerEvent::LeasesRequested { ticket, peer, groups });
        Ok(())
    }

    /// Answers a request for leases, group by group, with what is in force. Nothing of it is remembered: the same request
    /// once more is asked and answered anew.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownRegistration`] if the registration has ended, [`ApiMisuse::MessageTooLong`] if there are more
    /// groups than were asked for.
    pub fn answer_leases(
        &mut self,
        ticket: LeaseTicket,
        groups: Vec<(GroupId, LeaseVerdict, InForce)>,
    ) -> Result<(), ApiMisuse> {
        let LeaseTicket { cookies, nonce, peer_address, own_address } = ticket;
        let registration = self.registrations.get(&cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        let answer = lease::seal(registration.keys(), &LeaseAnswer { nonce, groups }).map_err(misuse)?;
        self.send(None, transmit(peer_address, own_address, &answer));
        Ok(())
    }

    /// Reads message 1 of a new exchange.
    fn handle_request(
        &mut self,
        now: Time,
        header: &Header,
        ciphertext: &[u8],
        datagram: Datagram<'_>,
    ) -> Result<(), Error> {
        let is_cut_off = self.message_ids.is_cut_off(now, header.cookies, header.message_id);
        let registration = self.registrations.get_mut(&header.cookies).ok_or(Error::UnknownCookies)?;
        if !is_cut_off {
            registration.check_message_id(header.message_id)?;
        }
        let context = Request::context(registration.keys(), header.message_id);
        let request = registration
            .open(now, context, header, ciphertext, |message| Request::read(&message))?
            .inspect_err(|_| registration.remember(header.message_id))?;
        registration.remember(header.message_id);
        self.message_ids.resumed(header.cookies, header.message_id);
        let peer = registration.peer().clone();
        self.make_room(&header.cookies)?;
        let (group, state) = request.requested(header.message_id, datagram.payload);

        let id = PullId(self.next_pull);
        self.next_pull += 1;
        let pull = Pull {
            cookies: header.cookies,
            message_id: header.message_id,
            began: now,
            is_noted: false,
            peer: peer.clone(),
            group: group.clone(),
            peer_address: datagram.source,
            own_address: datagram.destination,
            message_1: self.digest(datagram.payload)?,
            resends: 0,
            deadline: now + EXCHANGE_LIFETIME,
            state: State::ExpectOffer(state),
        };
        self.pulls.insert(id, pull);
        self.by_message_id.insert((header.cookies, header.message_id), id);
        debug!(%group, "message 1 is authentic; the policy is to be offered");
        let (cookies, peer_address) = (header.cookies, datagram.source);
        self.events.push_back(ServerEvent::PullRequested { pull: id, peer, cookies, group, peer_address });
        Ok(())
    }

    /// Makes room for an exchange, in place of the oldest whose message 3 has not come: a message 1 may be a recording, of
    /// which there can be many, and message 3 proves that the peer is live.
    fn make_room(&mut self, cookies: &CookiePair) -> Result<(), Error> {
        if self.pulls_under(cookies).count() < EXCHANGES_MAX {
            return Ok(());
        }
        let is_unconfirmed = |id: &PullId| {
            matches!(
                self.pulls[id].state,
                State::ExpectOffer(_) | State::ExpectAcknowledgement(_) | State::Over
            )
        };
        let oldest = self.pulls_under(cookies).filter(is_unconfirmed).min().ok_or(Limit::Exchanges)?;
        debug!(pull = %oldest, "gives way to a later exchange");
        self.forget(oldest);
        self.events.push_back(ServerEvent::PullDisplaced { pull: oldest });
        Ok(())
    }

    /// Reads message 3, or a repetition of message 1 or 3.
    fn handle_known(
        &mut self,
        now: Time,
        id: PullId,
        header: &Header,
        ciphertext: &[u8],
        datagram: Datagram<'_>,
    ) -> Result<(), Error> {
        let digest = self.digest(datagram.payload)?;
        let pull = self.pulls.get_mut(&id).ok_or(Error::UnknownExchange)?;
        let registration = self.registrations.get_mut(&header.cookies).ok_or(Error::UnknownCookies)?;
        let is = |known: &Digest| known.ct_eq(&digest);
        let (message, again) = match &pull.state {
            State::ExpectOffer(_) if is(&pull.message_1) => return Ok(()),
            State::ExpectAcknowledgement(state) if is(&pull.message_1) => (Some(2), state.sent()),
            State::ExpectAcknowledgement(state) => {
                let sender_ids = state.with_context(|context| {
                    registration.open(now, context, header, ciphertext, |m| ExpectAcknowledgement::read(&m))
                })?;
                let sender_ids = match sender_ids {
                    Ok(sender_ids) => sender_ids,
                    Err(error) => {
                        pull.state = State::Over;
                        return Err(error);
                    }
                };
                self.acknowledged(id, sender_ids, digest, datagram);
                return Ok(());
            }
            State::ExpectDownload(state) if is(state.digest()) => return Ok(()),
            State::Answered(state) if is(&state.message_3) => (Some(4), &state.message_4[..]),
            State::Refused(state) if is(state.message_3.as_ref().unwrap_or(&pull.message_1)) => {
                (None, &state.informational[..])
            }
            State::Answered(_)
            | State::ExpectDownload(_)
            | State::ExpectOffer(_)
            | State::Refused(_)
            | State::Over => {
                let replayed = is(&pull.message_1);
                return Err(if replayed { Error::Replayed } else { PeerMisbehaved::OutOfState.into() });
            }
        };
        let (to, from) = (datagram.source, datagram.destination);
        // Ports do not count: NATs change them.
        if to.ip() != pull.peer_address.ip() {
            return Err(Error::RepeatedElsewhere);
        }
        if pull.resends >= RESENDS_MAX {
            return Err(Limit::Resends.into());
        }
        pull.resends += 1;
        debug!(resends = pull.resends, "the message is repeated, and its answer");
        let again = transmit(to, from, again);
        self.send(message, again);
        Ok(())
    }

    fn acknowledged(&mut self, id: PullId, sender_ids: Option<u16>, digest: Digest, datagram: Datagram<'_>) {
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        if let State::ExpectAcknowledgement(state) = std::mem::replace(&mut pull.state, State::Over) {
            pull.state = State::ExpectDownload(state.acknowledged(datagram.payload, digest));
            let asked_from = std::mem::replace(&mut pull.peer_address, datagram.source).ip();
            pull.own_address = datagram.destination;
            pull.is_noted = true;
            self.message_ids.take(pull.cookies, pull.message_id, pull.began);
            debug!(group = %pull.group, sender_ids, "message 3 is authentic; the keys are to be downloaded");
            self.events.push_back(ServerEvent::PullConfirmed {
                pull: id,
                peer: pull.peer.clone(),
                cookies: pull.cookies,
                group: pull.group.clone(),
                sender_ids,
                proven_address: Some(asked_from).filter(|asked_from| *asked_from == datagram.source.ip()),
            });
        }
    }

    fn handle_informational(&mut self, now: Time, header: &Header, ciphertext: &[u8]) -> Result<(), Error> {
        let registration = self.registrations.get_mut(&header.cookies).ok_or(Error::UnknownCookies)?;
        let notification = informational::read(registration, now, header, ciphertext)?;
        self.message_ids.take(header.cookies, header.message_id, now);
        let mut concerned = self.pulls_under(&header.cookies).filter(|id| {
            notification.message_id.is_none_or(|message_id| self.pulls[id].message_id == message_id)
        });
        let (Some(id), None) = (concerned.next(), concerned.next()) else {
            return Err(Error::UnknownExchange);
        };
        drop(concerned);
        let pull = self.pulls.get_mut(&id).ok_or(Error::UnknownExchange)?;
        if notification.notify.is_error() {
            pull.state = State::Over;
            debug!(group = %pull.group, notify_type = notification.notify.0, "the peer declines");
            let (peer, group) = (pull.peer.clone(), pull.group.clone());
            self.events.push_back(ServerEvent::PullDeclined {
                pull: id,
                peer,
                group,
                notify: notification.notify,
            });
        }
        Ok(())
    }

    /// Ends what took too long.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(cookies) = self.registrations.due(now) {
            debug!(%cookies, "a registration SA has ended");
            self.remove_registration(&cookies);
        }
        while let Some((&id, pull)) = self.pulls.first_key_value().filter(|(_, pull)| pull.deadline <= now) {
            if !pull.is_noted {
                self.message_ids.take(pull.cookies, pull.message_id, pull.began);
            }
            self.forget(id);
        }
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next change of what is to be stored of M-IDs: with what this endpoint sends meanwhile, or before.
    pub fn poll_message_id(&mut self) -> Option<MessageIdChange> {
        self.message_ids.poll()
    }

    /// Takes up, after a restart, that an M-ID was taken by an exchange that began then. Says whether there is such a
    /// registration.
    pub fn restore_message_id(
        &mut self,
        now: Time,
        cookies: &CookiePair,
        message_id: u32,
        began: Time,
    ) -> bool {
        let Some(registration) = self.registrations.get_mut(cookies) else { return false };
        registration.remember(message_id);
        self.message_ids.restored(now, *cookies, message_id, began);
        true
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Says when [`Server::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let exchange = self.pulls.first_key_value().map(|(_, pull)| pull.deadline);
        exchange.into_iter().chain(self.registrations.poll_timeout()).min()
    }

    fn exchange(&mut self, id: PullId) -> Result<(&mut Pull, &mut Registration), ApiMisuse> {
        let pull = self.pulls.get_mut(&id).ok_or(ApiMisuse::UnknownPull)?;
        let registration = self.registrations.get_mut(&pull.cookies).ok_or(ApiMisuse::UnknownRegistration)?;
        Ok((pull, registration))
    }

    fn pulls_under<'a>(&'a self, cookies: &CookiePair) -> impl Iterator<Item = PullId> + use<'a> {
        self.by_message_id.range((*cookies, 0)..=(*cookies, u32::MAX)).map(|(_, id)| *id)
    }

    /// Names an exchange in the log of what the caller does with it.
    fn span_of(&self, id: PullId) -> Span {
        let pull = self.pulls.get(&id);
        pull.map_or_else(Span::none, |pull| {
            log::exchange(ExchangeType::GROUPKEY_PULL, pull.message_id, Some(&pull.peer))
        })
    }

    /// Sends a message. `message` is its number in a GROUPKEY-PULL.
    fn send(&mut self, message: Option<u8>, transmit: Transmit) {
        log::message_out(message, &transmit);
        self.transmits.push_back(transmit);
    }

    fn forget(&mut self, id: PullId) {
        if let Some(pull) = self.pulls.remove(&id) {
            self.by_message_id.remove(&(pull.cookies, pull.message_id));
        }
    }

    //= rfc6407#section-7.2.5
    //# GCKS implementations SHOULD keep a record of recently received
    //# GROUPKEY-PULL messages (e.g., a hash of the packet) and reject
    //# messages that have already been processed.
    fn digest(&self, datagram: &[u8]) -> Result<Digest, Error> {
        let hash: &dyn Hash = self.provider.hash(HashAlgorithm::Sha256)?;
        Ok(hash.digest(&[datagram]))
    }
}

impl Pull {
    fn transmit(&self, payload: &[u8]) -> Transmit {
        transmit(self.peer_address, self.own_address, payload)
    }
}

/// Sends an answer to where the question came from, from where it arrived.
fn transmit(to: SocketAddr, from: SocketAddr, payload: &[u8]) -> Transmit {
    let source = Some(from).filter(|from| !from.ip().is_unspecified() && !from.ip().is_multicast());
    Transmit { socket: Socket::Port848, source, destination: to, payload: payload.to_vec() }
}

fn misuse(error: Error) -> ApiMisuse {
    error.misuse_or(ApiMisuse::UnsupportedAlgorithm)
}
