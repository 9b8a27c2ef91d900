//! UPDATE (RFC 7401 sections 5.3.5, 6.11 and 6.12): registrations on a live association; moves are in
//! [`super::mobility`].
//!
//! ```text
//! UPDATE { SEQ, ENCRYPTED{ CERTs, items }, REG_REQUEST, HIP_MAC, HIP_SIGNATURE }          -->
//!        <--    UPDATE { SEQ, ACK, ENCRYPTED{...}, REG_RESPONSE, REG_FAILED, HIP_MAC, HIP_SIGNATURE }
//! UPDATE { ACK, HIP_MAC, HIP_SIGNATURE }                                                  -->
//! ```
//!
//! A host has one UPDATE of its own outstanding; others wait behind it. It processes the peer's in ascending order
//! and keeps what it answered to the last, so that a repeated one changes nothing.

use claviger_sansio::{Retransmit, Time, retransmit::Expiry};
use tracing::debug;

use crate::{
    association::Association,
    certificates::Certificates,
    error::{ApiMisuse, Error, LimitError},
    event::Event,
    exchange::{
        Shared,
        deciding::Asker,
        task::{Outgoing, Received, Task, Verification},
    },
    iana::{PacketType, RegType},
    item::Item,
    path::Path,
    registration::{AnswerParameters, RegistrationAnswer, RegistrationRequest, Side},
    wire::{
        Ack, DiffieHellman, EchoRequestSigned, EchoResponseSigned, Lifetime, PacketBuilder, RegResponse, Seq,
    },
};

/// Own UPDATEs that wait behind the outstanding one. A program that queues more does not wait for its events.
const QUEUE_MAX: usize = 64;

impl<I: Item> Association<I> {
    /// Asks the peer for a registration (RFC 8003 section 4.3).
    pub(crate) fn request(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        request: RegistrationRequest<I>,
    ) -> Result<(), Error> {
        request.check()?;
        if self.updates.has_request() || self.deferred.is_some() {
            return Err(ApiMisuse::RequestOutstanding.into());
        }
        if !I::is_protected(request.reg_type, &self.security) {
            return Err(ApiMisuse::TooWeak.into());
        }
        if self.services.as_ref().is_some_and(|services| !services.types.contains(&request.reg_type)) {
            return Err(ApiMisuse::UnknownService.into());
        }
        self.build(shared, 0, &Task::Request(request.clone()))?;
        self.enqueue(shared, now, Task::Request(request))
    }

    /// Withdraws items, or the whole type if none is named.
    pub(crate) fn cancel(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        reg_type: RegType,
        items: Vec<I>,
    ) -> Result<(), Error> {
        let withdraws = |item: &I| item.reg_type() == reg_type && item.lifetime().is_cancel();
        if !items.iter().all(withdraws) || I::check_all(&items).is_err() {
            return Err(ApiMisuse::Items.into());
        }
        let task = Task::Revoke { reg_type, items };
        self.build(shared, 0, &task)?;
        if let Task::Revoke { items, .. } = &task
            && items.is_empty()
        {
            self.grants.remove(&(Side::Registrar, reg_type));
        }
        self.enqueue(shared, now, task)
    }

    /// Takes the program's decision about the peer's request.
    pub(crate) fn answer_update(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        answer: RegistrationAnswer<I>,
    ) -> Result<(), Error> {
        let asked = self.updates.asked.as_mut().ok_or(ApiMisuse::UnknownTicket)?;
        asked.deciding.answer(answer)?;
        self.decide(shared, now)
    }

    /// Puts an own UPDATE behind the others, or sends it.
    pub(crate) fn enqueue(&mut self, shared: &mut Shared<I>, now: Time, task: Task<I>) -> Result<(), Error> {
        if self.updates.queue.len() >= QUEUE_MAX {
            return Err(LimitError::UpdateQueue.into());
        }
        self.rekey_gives_way();
        self.updates.queue.push_back(task);
        self.send_next(shared, now)?;
        self.tell_changed(shared);
        Ok(())
    }

    /// Sends the outstanding UPDATE again, or gives it up; returns whether the association is lost by that.
    pub(crate) fn handle_update_timeout(&mut self, shared: &mut Shared<I>, now: Time) -> bool {
        let is_over = |outgoing: &mut Outgoing<I>| matches!(&outgoing.task, Task::Verify(verification) if verification.is_over(now));
        if self.updates.outgoing.take_if(is_over).is_some() {
            debug!("the address expired before it was verified");
            // What waits was built once before it was queued; a failure leaves it waiting.
            let _ = self.send_next(shared, now);
            self.tell_changed(shared);
            return false;
        }
        let Some(outgoing) = &mut self.updates.outgoing else {
            return false;
        };
        let (update_id, task) = (outgoing.id, outgoing.task.name());
        match outgoing.retransmit.handle_timeout(now) {
            Expiry::Pending => false,
            Expiry::Resend => {
                debug!(
                    update_id,
                    task,
                    sent = outgoing.retransmit.sent(),
                    "no ACK has come; UPDATE is sent again"
                );
                match outgoing.task {
                    Task::Verify(_) => shared.probe(now, &outgoing.path, &outgoing.octets),
                    Task::Announce
                    | Task::Answer { .. }
                    | Task::Confirm
                    | Task::Locate { .. }
                    | Task::Rekey
                    | Task::Request(_)
                    | Task::Revoke { .. } => shared.out.send(&outgoing.path, &outgoing.octets),
                }
                false
            }
            Expiry::GiveUp if outgoing.task.must_be_acknowledged() => {
                debug!(update_id, task, "UPDATE was never acknowledged; the association is lost");
                shared.out.tell(Event::Lost { peer: self.peer });
                true
            }
            Expiry::GiveUp => {
                debug!(update_id, task, "UPDATE was never acknowledged");
                if matches!(outgoing.task, Task::Rekey) {
                    self.rekey_failed(&shared.config, now);
                }
                self.updates.outgoing = None;
                // As above.
                let _ = self.send_next(shared, now);
                self.tell_changed(shared);
                false
            }
        }
    }

    /// Ends the outstanding UPDATE, which the peer has acknowledged.
    pub(super) fn complete(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        answer: Option<RegistrationAnswer<I>>,
        certificates: Certificates,
    ) {
        let Some(outgoing) = self.updates.outgoing.take() else {
            return;
        };
        debug!(update_id = outgoing.id, task = outgoing.task.name(), "UPDATE is acknowledged");
        match outgoing.task {
            Task::Request(request) => {
                let answer = answer.unwrap_or_else(|| RegistrationAnswer::nothing(request.reg_type));
                self.apply(now, Side::Requester, &answer);
                shared.out.tell(Event::Registered { peer: self.peer, answer, certificates });
            }
            Task::Locate { .. } => shared.out.tell(Event::MoveAcknowledged { peer: self.peer }),
            Task::Revoke { .. } => shared.out.tell(Event::RevokeAcknowledged { peer: self.peer }),
            Task::Verify(verification) => self.follow(shared, verification.candidate),
            Task::Announce | Task::Answer { .. } | Task::Confirm | Task::Rekey => {}
        }
    }

    /// Lets the program decide, and queues the answer when all is decided.
    pub(super) fn decide(&mut self, shared: &mut Shared<I>, now: Time) -> Result<(), Error> {
        let Some(asked) = &mut self.updates.asked else {
            return Ok(());
        };
        let asker = Asker {
            peer: self.peer,
            host_id: &self.host_id,
            anonymous: self.anonymous,
            security: self.security,
            fresh: false,
        };
        if !asked.deciding.advance(shared, &asker) {
            return Ok(());
        }
        let (to, answers) = (asked.received.id, asked.deciding.take_answers());
        for answer in &answers {
            self.apply(now, Side::Registrar, answer);
        }
        self.enqueue(shared, now, Task::Answer { to, answers })
    }

    /// Acknowledges an UPDATE, with this host's value if it renews the keys, and remembers how.
    pub(super) fn acknowledge(
        &mut self,
        shared: &mut Shared<I>,
        back: &Path,
        received: &Received,
        value: Option<&DiffieHellman>,
    ) -> Result<(), Error> {
        let mut builder = PacketBuilder::new(PacketType::UPDATE, shared.config.identity.hit(), self.peer);
        builder.add(&Ack(vec![received.id]));
        if let Some(value) = value {
            builder.add(value);
        }
        if let Some(EchoRequestSigned(echo)) = &received.echo {
            builder.add(&EchoResponseSigned(echo.clone()));
        }
        let answer = self.finish(shared, &mut builder)?;
        shared.out.send(back, &answer);
        self.updates.remember(received, &answer);
        self.tell_changed(shared);
        Ok(())
    }

    /// Sends the next own UPDATE if none is outstanding.
    pub(crate) fn send_next(&mut self, shared: &mut Shared<I>, now: Time) -> Result<(), Error> {
        self.retire_old_keys();
        if self.updates.outgoing.is_some() || !self.is_live() {
            return Ok(());
        }
        let Some(task) = self.updates.queue.pop_front() else {
            return Ok(());
        };
        let id = self.updates.next_id;
        let octets = self.build(shared, id, &task)?;
        debug!(update_id = id, task = task.name(), waiting = self.updates.queue.len(), "UPDATE is sent");
        let mut path = self.path;
        match &task {
            Task::Answer { to, .. } => {
                if let Some(asked) = self.updates.asked.take_if(|asked| asked.received.id == *to) {
                    path = asked.path;
                    self.updates.remember(&asked.received, &octets);
                }
                shared.out.send(&path, &octets);
            }
            Task::Verify(verification) => {
                path = verification.candidate.path;
                if let Some(announcement) = &verification.announcement {
                    self.updates.remember(announcement, &octets);
                }
                shared.probe(now, &path, &octets);
            }
            Task::Announce
            | Task::Confirm
            | Task::Locate { .. }
            | Task::Rekey
            | Task::Request(_)
            | Task::Revoke { .. } => shared.out.send(&path, &octets),
        }
        self.updates.next_id = id.wrapping_add(1);
        let retransmit = Retransmit::new(shared.config.retransmit, now);
        self.updates.outgoing = Some(Outgoing { id, task, octets, path, retransmit });
        Ok(())
    }

    /// Builds an own UPDATE.
    pub(crate) fn build(&self, shared: &mut Shared<I>, id: u32, task: &Task<I>) -> Result<Vec<u8>, Error> {
        let mut builder = PacketBuilder::new(PacketType::UPDATE, shared.config.identity.hit(), self.peer);
        if matches!(task, Task::Locate { .. } | Task::Verify(_))
            && let Some(esp_info) = self.unchanged_esp()
        {
            builder.add(&esp_info);
        }
        if let Task::Locate { address } = task {
            builder.add(&self.locator_set(*address));
        }
        builder.add(&Seq(id));
        match task {
            Task::Confirm | Task::Locate { .. } => {}
            Task::Rekey => {
                if let Some(value) = self.offered_value() {
                    builder.add(&value);
                }
            }
            Task::Verify(Verification { nonce, announcement, .. }) => {
                if let Some(announcement) = announcement {
                    builder.add(&Ack(vec![announcement.id]));
                }
                builder.add(&EchoRequestSigned(nonce.to_vec()));
                let echo = announcement.as_ref().and_then(|announcement| announcement.echo.clone());
                if let Some(EchoRequestSigned(echo)) = echo {
                    builder.add(&EchoResponseSigned(echo));
                }
            }
            Task::Announce => {
                builder.add(&shared.config.reg_info());
            }
            Task::Answer { to, answers } => {
                builder.add(&Ack(vec![*to]));
                let AnswerParameters { items, responses, failed } = AnswerParameters::of(answers);
                if let Some(encrypted) = self.encrypt_with_certificates(shared, &items)? {
                    builder.add(&encrypted);
                }
                for response in &responses {
                    builder.add(response);
                }
                for failed in &failed {
                    builder.add(failed);
                }
                let asked = self.updates.asked.as_ref().filter(|asked| asked.received.id == *to);
                if let Some(EchoRequestSigned(echo)) = asked.and_then(|asked| asked.received.echo.clone()) {
                    builder.add(&EchoResponseSigned(echo));
                }
            }
            Task::Request(request) => {
                if let Some(encrypted) = self.encrypt_with_certificates(shared, &request.items)? {
                    builder.add(&encrypted);
                }
                builder.add(&request.parameter());
            }
            Task::Revoke { reg_type, items } => {
                if let Some(encrypted) = self.encrypt(shared, items)? {
                    builder.add(&encrypted);
                }
                builder.add(&RegResponse { lifetime: Lifetime::CANCEL, types: vec![*reg_type] });
            }
        }
        self.finish(shared, &mut builder)
    }
}
