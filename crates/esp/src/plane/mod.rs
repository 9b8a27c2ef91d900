//! The group's data plane at one member: old and new associations side by side.
//!
//! A new association receives from its installation on and sends from its activation on; the one before it sends
//! until then and receives until it is deactivated (RFC 5374 section 4.2.1). Once a newer association has sent,
//! an older one never sends again, whatever becomes of the newer: a member that was put out may hold the old key. The
//! older ones may have to stop before the newer is to begin; then nothing is sent in between.

mod config;
mod event;
mod sa;

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::IpAddr,
};

use claviger_crypto::{CryptoProvider, Random};
use claviger_group::{Lease, Role, Spi, Tek};
use claviger_sansio::{Counts, Time};
use tracing::{Level, debug, enabled, trace};

pub use config::PlaneConfig;
pub use event::Event;
pub use sa::{SaStatus, Stage};

use crate::{Counter, Error, Opened, SenderId, outbound::Ledger};
use sa::Sa;

/// How many associations a member holds at most: a rekey each second, each with a minute and more to drain.
pub const SAS_MAX: usize = 128;

/// How many ended associations are remembered, so that their late packets do not look like keys that were missed
/// and their numbers are not used again should a key server hand them out once more.
pub const RETIRED_MAX: usize = 256;

/// How many events wait to be polled at most; the oldest makes room. Only a caller that never polls loses any.
pub const EVENTS_MAX: usize = 1024;

/// When an association sends that only receives.
const NEVER: Time = Time::from_micros(u64::MAX);

/// The data plane of one group at one member.
pub struct Plane {
    provider: CryptoProvider,
    config: PlaneConfig,
    random: Box<dyn Random>,
    sas: BTreeMap<Spi, Sa>,
    /// The association that sends.
    current: Option<Spi>,
    /// The order of the newest association that was superseded, or has sent: up to there none begins to send any more.
    superseded: Option<u64>,
    /// The order of the next association.
    order: u64,
    retired: VecDeque<(Spi, Ledger)>,
    /// Until when packets pass, if not without end.
    lease: Option<Lease>,
    /// Whether the end of the lease was told.
    lease_told: bool,
    /// When the next timer of any association is due, or the lease ends.
    deadline: Option<Time>,
    unknown_spi_silent_until: Time,
    events: VecDeque<Event>,
    counts: Counts<Counter>,
}

impl Plane {
    /// Makes a plane that holds no key. `random` makes the initialization vectors of AES-CBC.
    pub fn new(provider: &CryptoProvider, config: PlaneConfig, random: Box<dyn Random>) -> Self {
        Self {
            provider: *provider,
            config,
            random,
            sas: BTreeMap::new(),
            current: None,
            superseded: None,
            order: 0,
            retired: VecDeque::new(),
            lease: None,
            lease_told: false,
            deadline: None,
            unknown_spi_silent_until: Time::EPOCH,
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Installs a TEK: it receives at once and sends from `activate_at` on. Of several, the oldest goes first.
    ///
    /// Without `sender_ids` a counter-mode association receives only; if the member is a sender it raises
    /// [`Event::Exhausting`], for it must register to get one (RFC 6407 section 5.6.4.3). An association that
    /// is installed already takes over the new lifetime and sender ids and the earlier activation; its replay
    /// windows and its numbers stay, and so does a deactivation.
    ///
    /// # Errors
    ///
    /// [`Error::SenderIdBits`], [`Error::SpiInUse`], [`Error::KeyReused`], [`Error::TooManySas`], or
    /// [`Error::Crypto`] if the keys are not the transform's; then nothing is installed.
    pub fn install(
        &mut self,
        now: Time,
        tek: Tek,
        activate_at: Time,
        sender_ids: &[SenderId],
    ) -> Result<(), Error> {
        self.advance(now);
        self.check_sender_ids(sender_ids)?;
        let spi = tek.spi;
        if let Some(sa) = self.sas.get_mut(&spi) {
            sa.install_again(now, &tek, activate_at)?;
            debug!(%spi, %activate_at, "an SA that is installed is given again");
        } else {
            self.check_new(&tek)?;
            let transform = tek.transform;
            debug!(%spi, %transform, %activate_at, sender_ids = sender_ids.len(), "an SA is installed");
            let mut sa = Sa::new(&self.provider, &self.config, now, tek, activate_at, self.order)?;
            sa.remember(self.recall(spi));
            self.order += 1;
            self.sas.insert(spi, sa);
        }
        self.give_sender_ids(spi, sender_ids)?;
        self.handle_timeout(now);
        Ok(())
    }

    /// Installs a TEK that receives at once, and sends once [`Plane::activate`] says when.
    ///
    /// # Errors
    ///
    /// Those of [`Plane::install`].
    pub fn install_inbound(&mut self, now: Time, tek: Tek, sender_ids: &[SenderId]) -> Result<(), Error> {
        self.install(now, tek, NEVER, sender_ids)
    }

    /// Has an association send from `at` on. Of two such times the earlier counts, and of several associations the oldest
    /// goes first.
    pub fn activate(&mut self, now: Time, spi: Spi, at: Time) {
        if let Some(sa) = self.sas.get_mut(&spi) {
            debug!(%spi, %at, "an SA is to send from then on");
            sa.activate_at = sa.activate_at.min(at);
        }
        self.handle_timeout(now);
    }

    /// Replaces the sender ids of every association by those of a new registration.
    ///
    /// Each association goes on with the first of them, from its first number unless it sent under that id before.
    /// An association that had no sender id can send from now on.
    ///
    /// # Errors
    ///
    /// [`Error::SenderIdBits`], and then nothing changes.
    pub fn set_sender_ids(&mut self, sender_ids: &[SenderId]) -> Result<(), Error> {
        self.check_sender_ids(sender_ids)?;
        let spis: Vec<Spi> = self.sas.keys().copied().collect();
        spis.into_iter().try_for_each(|spi| self.give_sender_ids(spi, sender_ids))
    }

    /// Leaves the member only what of its role is in `role`; a plane of which nothing is left is not narrowed, but
    /// dropped. Whoever is no sender any more sends nothing from this call on.
    pub fn narrow(&mut self, role: Role) {
        if let Some(left) = self.config.role.intersection(role) {
            self.config.role = left;
            debug!(role = %left, "the plane is narrowed");
        }
    }

    /// Has packets leave, and where the lease is for that too come in, until it ends; without one there is no such end. It
    /// takes the place of an earlier one, whether it ends sooner or later.
    pub fn lease(&mut self, now: Time, lease: Option<Lease>) {
        self.lease = lease;
        self.lease_told = false;
        self.handle_timeout(now);
    }

    /// Says whether a packet would leave.
    pub fn sends(&self, now: Time) -> bool {
        self.config.role.sends() && self.current.is_some() && !self.lease_ended(now)
    }

    /// Goes on behind `sent` packets under an association's active sender id, if fewer were sent.
    ///
    /// It is for a member that restarts and gets a TEK again that it sent under before, without counter mode: no
    /// sender id tells receivers of the restart, and they take the numbers that they saw for replays.
    pub fn resume(&mut self, spi: Spi, sent: u32) {
        if let Some(outbound) = self.sas.get_mut(&spi).and_then(|sa| sa.outbound.as_mut()) {
            outbound.resume(sent);
        }
    }

    /// Lets no association that is older than this one send from `at` on, whether or not this one sends by then. Of two
    /// such times the earlier counts.
    ///
    /// It is for a member that learns late of a change-over: when others stop to send under the old TEK is one thing, and
    /// when all of them can receive under the new one is another.
    pub fn supersede_older(&mut self, now: Time, spi: Spi, at: Time) {
        if let Some(sa) = self.sas.get_mut(&spi) {
            debug!(%spi, %at, "older SAs send no longer from then on");
            sa.supersedes_at = Some(sa.supersedes_at.map_or(at, |before| before.min(at)));
        }
        self.handle_timeout(now);
    }

    /// Removes an association at a time, in both directions; of two such times the earlier counts.
    pub fn deactivate(&mut self, now: Time, spi: Spi, at: Time) {
        if let Some(sa) = self.sas.get_mut(&spi) {
            debug!(%spi, %at, "an SA is to be removed");
            sa.deactivate_at = Some(sa.deactivate_at.map_or(at, |before| before.min(at)));
        }
        self.handle_timeout(now);
    }

    /// Removes every association at once: the member has left, or was put out.
    pub fn delete_all(&mut self) {
        debug!(sas = self.sas.len(), "every SA is removed");
        while let Some((spi, sa)) = self.sas.pop_first() {
            self.retire(spi, sa);
        }
        self.deadline = self.lease.filter(|_| !self.lease_told).map(|lease| lease.until);
    }

    /// Protects a payload of protocol `next_header` under the newest active association.
    ///
    /// # Errors
    ///
    /// [`Error::NotSender`], [`Error::NotActive`], [`Error::NoSenderId`], [`Error::Exhausted`] or
    /// [`Error::TooLong`]; each is counted.
    pub fn seal(&mut self, now: Time, next_header: u8, payload: &[u8]) -> Result<Vec<u8>, Error> {
        self.seal_parts(now, next_header, &[payload])
    }

    /// Does what [`Self::seal`] does with the concatenation of `payload`: a UDP header and its data, say.
    ///
    /// # Errors
    ///
    /// Those of [`Self::seal`].
    pub fn seal_parts(&mut self, now: Time, next_header: u8, payload: &[&[u8]]) -> Result<Vec<u8>, Error> {
        self.advance(now);
        let sealed = self.seal_under_current(now, next_header, payload);
        self.counts.count(match &sealed {
            Ok(_) => Counter::Sealed,
            Err(error) => error.into(),
        });
        if enabled!(Level::TRACE) {
            log_sealed(&sealed, next_header, payload);
        }
        sealed
    }

    /// Authenticates and decrypts a packet that came from `source`, from its SPI to its integrity check value, for callers
    /// to whom every such packet fits; see [`Self::open_checked`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::open_checked`].
    pub fn open(&mut self, now: Time, source: IpAddr, esp: &[u8]) -> Result<Opened, Error> {
        let Ok(opened) = self.open_checked(now, source, esp, Ok::<_, Infallible>)?;
        Ok(opened)
    }

    /// Authenticates and decrypts a packet that came from `source`, from its SPI to its integrity check value, and has the
    /// caller say whether what was inside fits what was outside: only then was the sender heard. See
    /// [`InboundSa::open_checked`](crate::InboundSa::open_checked).
    ///
    /// # Errors
    ///
    /// The reason to drop it, which is counted, within it that of `check`, which is the caller's to count. [`Error::Dummy`]
    /// is no fault and has a counter of its own.
    pub fn open_checked<T, E>(
        &mut self,
        now: Time,
        source: IpAddr,
        esp: &[u8],
        check: impl FnOnce(Opened) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        self.advance(now);
        let checked = self.open_by_spi(now, source, esp, check);
        match &checked {
            Ok(Ok(_)) => self.counts.count(Counter::Opened),
            Ok(Err(_)) => {}
            Err(error) => self.counts.count(error.into()),
        }
        if enabled!(Level::TRACE) {
            log_opened(checked.as_ref().map(Result::is_ok), source, esp);
        }
        checked
    }

    /// Activates and removes what is due. [`Self::seal`] and [`Self::open`] do so too, so a late call loses nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        self.supersede_due(now);
        let mut due: Vec<(u64, Spi)> = self
            .sas
            .iter()
            .filter(|(_, sa)| !sa.active && sa.activate_at <= now)
            .map(|(spi, sa)| (sa.order, *spi))
            .collect();
        due.sort_unstable();
        for (order, spi) in due {
            self.make_current(order, spi);
        }

        let over: Vec<Spi> =
            self.sas.iter().filter(|(_, sa)| sa.ends() <= now).map(|(spi, _)| *spi).collect();
        for spi in over {
            let sa = self.sas.remove(&spi).expect("the association was found above");
            self.tell(if sa.expires <= now { Event::Expired(spi) } else { Event::Deactivated(spi) });
            self.retire(spi, sa);
        }
        if self.lease_ended(now) && !std::mem::replace(&mut self.lease_told, true) {
            self.tell(Event::LeaseEnded);
        }
        let lease = self.lease.filter(|_| !self.lease_told).map(|lease| lease.until);
        self.deadline = self.sas.values().map(Sa::deadline).chain(lease).min();
    }

    /// Says when [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadline
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Describes every association, the oldest first.
    pub fn status(&self) -> Vec<SaStatus> {
        let mut sas: Vec<&Sa> = self.sas.values().collect();
        sas.sort_unstable_by_key(|sa| sa.order);
        sas.into_iter().map(|sa| sa.status(self.current)).collect()
    }

    /// Shows how many packets passed, and how many did not and why.
    pub fn counts(&self) -> &Counts<Counter> {
        &self.counts
    }

    /// Says whether there was a lease, and its end has come.
    fn lease_ended(&self, now: Time) -> bool {
        self.lease.is_some_and(|lease| lease.until <= now)
    }

    fn seal_under_current(
        &mut self,
        now: Time,
        next_header: u8,
        payload: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        if !self.config.role.sends() {
            return Err(Error::NotSender);
        }
        if self.lease_ended(now) {
            return Err(Error::LeaseEnded);
        }
        let spi = self.current.ok_or(Error::NotActive)?;
        let sa = self.sas.get_mut(&spi).expect("the current association is installed");
        let outbound = sa.outbound.as_mut().ok_or(Error::NoSenderId)?;
        let sealed = outbound.seal_parts(&mut *self.random, next_header, payload);
        if !sa.exhausting && outbound.remaining() < self.config.exhausting_below {
            sa.exhausting = true;
            self.tell(Event::Exhausting(spi));
        }
        sealed
    }

    fn open_by_spi<T, E>(
        &mut self,
        now: Time,
        source: IpAddr,
        esp: &[u8],
        check: impl FnOnce(Opened) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        let number = u32::from_be_bytes(*esp.first_chunk().ok_or(Error::Truncated)?);
        let Some(spi) = Spi::new(number) else {
            return Err(Error::UnknownSpi(number));
        };
        if let Some(sa) = self.sas.get_mut(&spi) {
            // Of what is not accepted nothing is remembered: it may come again once there is a lease.
            let is_over = self.lease.is_some_and(|lease| lease.receives && lease.until <= now);
            return if is_over {
                Err(Error::LeaseEnded)
            } else {
                sa.inbound.open_checked(source, esp, check)
            };
        }
        if self.retired.iter().any(|(retired, _)| *retired == spi) {
            return Err(Error::RetiredSpi(spi));
        }
        // Anybody can send an unknown SPI, so it may ask for attention only now and then.
        if now >= self.unknown_spi_silent_until {
            self.unknown_spi_silent_until = now + self.config.unknown_spi_interval;
            self.tell(Event::UnknownSpi(number));
        }
        Err(Error::UnknownSpi(number))
    }

    /// Makes an association the current one unless a newer one was.
    fn make_current(&mut self, order: u64, spi: Spi) {
        self.sas.get_mut(&spi).expect("the association was found by its SPI").active = true;
        if self.superseded.is_none_or(|superseded| order > superseded) {
            self.superseded = Some(order);
            self.current = Some(spi);
            self.tell(Event::Activated(spi));
        }
    }

    /// Ends the sending of associations whose successor demands it by now.
    fn supersede_due(&mut self, now: Time) {
        let due = |sa: &mut Sa| sa.supersedes_at.take_if(|at| *at <= now).map(|_| sa.order);
        let Some(order) = self.sas.values_mut().filter_map(due).max() else { return };
        self.superseded = self.superseded.max(order.checked_sub(1));
        self.current.take_if(|current| self.sas[current].order < order);
    }

    fn give_sender_ids(&mut self, spi: Spi, sender_ids: &[SenderId]) -> Result<(), Error> {
        let sa = self.sas.get_mut(&spi).expect("the association was found by its SPI");
        if !self.config.role.sends() {
            return Ok(());
        }
        if !sender_ids.is_empty() || !sa.tek.transform.is_counter_mode() {
            sa.set_sender_ids(sender_ids)?;
        } else if sa.outbound.is_none() && !sa.exhausting {
            sa.exhausting = true;
            self.tell(Event::Exhausting(spi));
        }
        Ok(())
    }

    fn check_sender_ids(&self, sender_ids: &[SenderId]) -> Result<(), Error> {
        let fit = sender_ids.iter().all(|id| id.bits() == self.config.sender_id_bits);
        if fit { Ok(()) } else { Err(Error::SenderIdBits) }
    }

    fn check_new(&self, tek: &Tek) -> Result<(), Error> {
        if self.sas.len() >= SAS_MAX {
            return Err(Error::TooManySas);
        }
        match self.sas.values().find(|sa| sa.tek.keys.encryption == tek.keys.encryption) {
            Some(sa) => Err(Error::KeyReused(sa.tek.spi)),
            None => Ok(()),
        }
    }

    /// Drops an association's keys and remembers its numbers.
    fn retire(&mut self, spi: Spi, sa: Sa) {
        if self.current == Some(spi) {
            self.current = None;
        }
        if self.retired.len() == RETIRED_MAX {
            self.retired.pop_front();
        }
        self.retired.push_back((spi, sa.into_ledger()));
    }

    /// Says what was sent under an SPI before it was retired.
    fn recall(&mut self, spi: Spi) -> Ledger {
        match self.retired.iter().position(|(retired, _)| *retired == spi) {
            Some(position) => self.retired.remove(position).map(|(_, ledger)| ledger).unwrap_or_default(),
            None => Ledger::default(),
        }
    }

    fn advance(&mut self, now: Time) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.handle_timeout(now);
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Activated(spi) => debug!(%spi, "an SA sends from now on"),
            Event::Deactivated(spi) => debug!(%spi, "an SA was removed at its time"),
            Event::Exhausting(spi) => {
                debug!(%spi, "a sender's numbers are nearly spent, or it has no sender id")
            }
            Event::LeaseEnded => debug!("the lease has ended: nothing is sent until there is another"),
            Event::Expired(spi) => debug!(%spi, "the lifetime of an SA has ended"),
            Event::UnknownSpi(spi) => {
                debug!(spi = format_args!("{spi:08x}"), "data comes under an unknown SPI")
            }
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// Logs a packet that was made, or why it was not. It stands apart so that it costs the path of packets nothing.
#[cold]
fn log_sealed(sealed: &Result<Vec<u8>, Error>, next_header: u8, payload: &[&[u8]]) {
    let payload_length: usize = payload.iter().map(|part| part.len()).sum();
    match sealed {
        Ok(esp) => {
            let (spi, sequence) = numbers(esp);
            trace!(spi, sequence, next_header, payload_length, length = esp.len(), "packet out");
        }
        Err(error) => trace!(next_header, payload_length, reason = error.reason(), %error, "not sent"),
    }
}

/// Logs a packet that came: whether what is inside fits, or why it was dropped before.
#[cold]
fn log_opened(opened: Result<bool, &Error>, source: IpAddr, esp: &[u8]) {
    let (spi, sequence) = numbers(esp);
    let length = esp.len();
    match opened {
        Ok(fits) => trace!(%source, spi, sequence, length, fits, "packet in"),
        Err(error) => trace!(%source, spi, sequence, length, reason = error.reason(), %error, "dropped"),
    }
}

/// Reads SPI, as it is written elsewhere, and sequence number of a packet, as far as it has them.
fn numbers(esp: &[u8]) -> (Option<String>, Option<u32>) {
    let word = |at: usize| Some(u32::from_be_bytes(*esp.get(at..)?.first_chunk()?));
    (word(0).map(|spi| format!("{spi:08x}")), word(4))
}
