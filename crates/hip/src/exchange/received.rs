//! UPDATE as it is received (RFC 7401 section 6.12): opened, interpreted, and only then applied.
//!
//! ```text
//! Packet -- open_update --> AuthenticUpdate -- interpret --> Effects<I> -- apply --> the association
//! ```
//!
//! Nothing changes before all of an UPDATE is verified and understood: only the last step changes anything.

use claviger_identity::HostId;
use claviger_sansio::Time;
use claviger_wire::Encode;
use tracing::debug;

use crate::{
    association::{Association, Contents, SignedUnderMac},
    certificates::Certificates,
    error::{Error, LimitError, PeerMisbehaved},
    event::Event,
    exchange::{
        Shared,
        deciding::Deciding,
        mobility::Announcement,
        notify,
        rekeying::Offer,
        task::{Asked, Outgoing, Received, Task},
    },
    iana::{NotifyType, RegType},
    item::Item,
    path::Path,
    registration::{self, RegistrationAnswer, RegistrationRequest, Side},
    wire::{
        Ack, Authentic, EchoRequestSigned, LocatorSet, Notification, Packet, RegFailed, RegInfo, RegRequest,
        RegResponse, Seq,
    },
};

/// How far a peer's Update ID may be ahead of the next one: it may have given up some.
const WINDOW: u32 = 16;

/// An UPDATE that is the peer's.
enum Opened<'p> {
    New(AuthenticUpdate<'p>),
    /// It is an UPDATE that was taken before.
    Repeated {
        id: u32,
        packet: Authentic<'p>,
    },
}

/// An UPDATE that is the peer's and was not taken before.
struct AuthenticUpdate<'p> {
    packet: Authentic<'p>,
    seq: Option<u32>,
    acks: Vec<u32>,
    digest: [u8; 32],
}

/// What an UPDATE changes. Only [`Association::interpret`] makes it.
struct Effects<I> {
    /// Whether it acknowledges the outstanding UPDATE.
    acknowledges: bool,
    /// What it says to the request in that UPDATE.
    answer: Option<RegistrationAnswer<I>>,
    /// What it shows beside a request or an answer.
    certificates: Certificates,
    services: Option<RegInfo>,
    announcement: Option<Announcement>,
    /// What it says of new keys.
    offer: Offer,
    content: Content<I>,
    /// What is to be acknowledged, if the UPDATE has a SEQ.
    received: Option<Received>,
}

/// What an UPDATE asks for beyond its ACK.
enum Content<I> {
    /// It wants a registration.
    Requests(Vec<RegistrationRequest<I>>),
    /// It withdraws registrations.
    Revocations(Vec<(RegType, Vec<I>)>),
    /// Nothing that this host acts on.
    Nothing,
}

impl<I: Item> Content<I> {
    /// Names it in the log.
    const fn name(&self) -> &'static str {
        match self {
            Self::Requests(_) => "requests",
            Self::Revocations(_) => "withdrawals",
            Self::Nothing => "none",
        }
    }
}

impl<I: Item> Association<I> {
    /// Processes a received UPDATE (RFC 7401 section 6.12).
    pub(crate) fn handle_update(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        packet: &Packet<'_>,
    ) -> Result<(), Error> {
        if !self.is_live() {
            return Err(PeerMisbehaved::Unassociated.into());
        }
        match self.open_update(shared, now, packet)? {
            Opened::New(update) => {
                self.note_keys(shared, now, &update.packet);
                let effects = self.interpret(shared, now, back, update)?;
                self.apply_update(shared, now, back, effects)
            }
            Opened::Repeated { id, packet } => {
                self.note_keys(shared, now, &packet);
                debug!(update_id = id, "UPDATE is repeated");
                self.repeat(shared, now, back, &packet, id)?;
                self.heard(now);
                Ok(())
            }
        }
    }

    /// Verifies an UPDATE. What is known by its MAC to be of no use costs no verification: a repetition, whatever signature it
    /// has now, and an acknowledgement of nothing.
    fn open_update<'p>(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        packet: &'p Packet<'p>,
    ) -> Result<Opened<'p>, Error> {
        // RFC 7401 section 6.12.1 step 2: the MAC is verified for retransmissions too.
        let packet = self.verify_mac(packet)?;
        let seq = packet.find::<Seq>()?.map(|Seq(id)| id);
        let acks = packet.find::<Ack>()?.map(|Ack(ids)| ids).unwrap_or_default();
        let own = self.updates.acknowledged(&acks);
        if seq.is_none() && own.is_none() {
            return Err(PeerMisbehaved::AckUnasked.into());
        }
        let signed = match own.is_some_and(|own| own.task.must_be_acknowledged()) {
            true => SignedUnderMac::Acknowledgement,
            false => SignedUnderMac::Update,
        };
        let digest = packet.digest_covered(shared.config.provider)?;
        if let Some(id) = seq
            && let Some(known) = self.recognise(id)?.copied()
        {
            let packet = match packet.repeats(&digest, &known) {
                Ok(packet) => packet,
                // The peer says it in other octets.
                Err(packet) => self.verify_signature(shared, now, signed, packet)?,
            };
            return Ok(Opened::Repeated { id, packet });
        }
        let packet = self.verify_signature(shared, now, signed, packet)?;
        Ok(Opened::New(AuthenticUpdate { packet, seq, acks, digest }))
    }

    /// Finds the digest of the UPDATE that has an Update ID and is undecided or was processed last; `None` if the ID is
    /// new.
    fn recognise(&self, id: u32) -> Result<Option<&[u8; 32]>, Error> {
        if let Some(asked) = &self.updates.asked
            && asked.received.id == id
        {
            return Ok(Some(&asked.received.digest));
        }
        if let Some(processed) = &self.updates.processed
            && processed.id == id
        {
            return Ok(Some(&processed.digest));
        }
        match id.wrapping_sub(self.updates.expected_id) {
            0..WINDOW => Ok(None),
            ahead if ahead < 1 << 31 => Err(PeerMisbehaved::UpdateAhead.into()),
            _ => Err(PeerMisbehaved::UpdateOld.into()),
        }
    }

    /// Answers a repeated UPDATE as it was answered; one that is undecided waits.
    fn repeat(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        packet: &Authentic<'_>,
        id: u32,
    ) -> Result<(), Error> {
        if self.updates.processed.as_ref().is_none_or(|processed| processed.id != id)
            || self.repeat_verification(shared, now, back, packet)?
        {
            return Ok(());
        }
        if let Some(processed) = &self.updates.processed {
            // A host that recorded it may send it again in anybody's name.
            if back.remote == self.path.remote {
                if !self.budgets.may_repeat(now) {
                    return Err(LimitError::Repetitions.into());
                }
                shared.out.send(back, &processed.answer);
            } else {
                shared.probe(now, back, &processed.answer);
            }
        }
        Ok(())
    }

    /// Reads what an UPDATE says; nothing changes by it.
    fn interpret(
        &self,
        shared: &Shared<I>,
        now: Time,
        back: &Path,
        update: AuthenticUpdate<'_>,
    ) -> Result<Effects<I>, Error> {
        let AuthenticUpdate { packet, seq, acks, digest } = update;
        //= rfc8046#section-4.3
        //# If the UPDATE includes the HOST_ID parameter, the receiving
        //# host MUST verify that the HOST_ID corresponds to the HOST_ID that was
        //# used to establish the HIP association
        if packet.find::<HostId>()?.is_some_and(|host_id| host_id != self.host_id) {
            return Err(PeerMisbehaved::HitMismatch.into());
        }
        let Contents { certificates, items, .. } = Contents::read(shared, self.keys_of(&packet), &packet)?;
        let echo = packet.find::<EchoRequestSigned>()?;
        let announcement = self.read_locators(now, back, &packet)?;
        let services = packet.find::<RegInfo>()?;

        let own = self.updates.acknowledged(&acks);
        let answer = match own.map(|own| &own.task) {
            Some(Task::Request(request)) => registration::read_answer(&packet, items.clone(), request)?,
            Some(Task::Verify(verification)) => {
                verification.check(back, &packet)?;
                None
            }
            Some(
                Task::Announce
                | Task::Answer { .. }
                | Task::Confirm
                | Task::Locate { .. }
                | Task::Rekey
                | Task::Revoke { .. },
            )
            | None => None,
        };
        let content = self.content(shared, &packet, items, answer.is_some())?;
        if matches!(content, Content::Requests(_)) && (seq.is_none() || self.updates.asked.is_some()) {
            return Err(PeerMisbehaved::RequestOutstanding.into());
        }
        let alone = matches!(content, Content::Nothing) && answer.is_none() && announcement.is_none();
        let offer = self.read_offer(&packet, own.map(|own| &own.task), alone)?;
        let received = seq.map(|id| Received { id, digest, echo });
        Ok(Effects {
            acknowledges: own.is_some(),
            answer,
            certificates,
            services,
            announcement,
            offer,
            content,
            received,
        })
    }

    /// Sorts what an UPDATE wants beyond its ACK.
    fn content(
        &self,
        shared: &Shared<I>,
        packet: &Authentic<'_>,
        items: Vec<I>,
        answered: bool,
    ) -> Result<Content<I>, Error> {
        let asks = !packet.all::<RegRequest>()?.is_empty();
        let responses = packet.all::<RegResponse>()?;
        let answers = !responses.is_empty() || !packet.all::<RegFailed>()?.is_empty();
        match (asks, answers) {
            (true, true) => Err(PeerMisbehaved::RequestInAnswer.into()),
            (true, false) if answered => Err(PeerMisbehaved::RequestInAnswer.into()),
            (true, false) => {
                Ok(Content::Requests(registration::read_requests(&shared.config, packet, items)?))
            }
            _ if answered => Ok(Content::Nothing),
            (false, true) => self.revocations(&responses, items),
            (false, false) if items.is_empty() => Ok(Content::Nothing),
            (false, false) => Err(PeerMisbehaved::ItemTypeForeign.into()),
        }
    }

    /// Reads what a registrar withdraws: REG_RESPONSE, and for each item lifetime zero.
    fn revocations(&self, responses: &[RegResponse], items: Vec<I>) -> Result<Content<I>, Error> {
        let mut revocations = Vec::new();
        for response in responses {
            for &reg_type in &response.types {
                let own: Vec<_> = items.iter().filter(|item| item.reg_type() == reg_type).cloned().collect();
                let withdraws = own.iter().all(|item| item.lifetime().is_cancel())
                    && (!own.is_empty() || response.lifetime.is_cancel());
                if !withdraws {
                    return Err(PeerMisbehaved::AnswerUnasked.into());
                }
                revocations.push((reg_type, own));
            }
        }
        let named =
            |item: &I| revocations.iter().any(|(reg_type, _): &(RegType, _)| *reg_type == item.reg_type());
        if revocations.is_empty() || !items.iter().all(named) {
            return Err(PeerMisbehaved::AnswerUnasked.into());
        }
        I::check_all(&items)?;
        Ok(Content::Revocations(revocations))
    }

    /// Lets an UPDATE take effect, and answers it.
    fn apply_update(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        effects: Effects<I>,
    ) -> Result<(), Error> {
        let Effects { acknowledges, answer, certificates, services, announcement, offer, content, received } =
            effects;
        // It may still fail, and comes before all that cannot.
        let value = match offer {
            Offer::Begins(theirs) => match self.answer_rekey(shared, now, &theirs)? {
                None => return Ok(()),
                value => value,
            },
            Offer::Answers(theirs) => {
                self.confirm_rekey(shared, now, &theirs)?;
                None
            }
            Offer::Refuses => {
                self.rekey_failed(&shared.config, now);
                None
            }
            Offer::None => None,
        };
        let update_id = received.as_ref().map(|received| received.id);
        debug!(
            update_id,
            acknowledges,
            content = content.name(),
            moves = announcement.is_some(),
            "UPDATE takes effect"
        );
        self.heard(now);
        if let Some(services) = services {
            self.take_services(shared, now, services);
        }
        if acknowledges {
            self.complete(shared, now, answer, certificates.clone());
        }
        let Some(received) = received else {
            self.send_next(shared, now)?;
            self.tell_changed(shared);
            return Ok(());
        };
        if let Some(announcement) = &announcement {
            self.report_unsupported(shared, now, back, announcement);
        }
        match content {
            Content::Requests(requests) => {
                let deciding = Deciding::new(requests, certificates);
                return self.take_requests(shared, now, back, deciding, received, announcement.as_ref());
            }
            Content::Revocations(revocations) => self.take_revocations(shared, revocations),
            Content::Nothing => {}
        }
        let unacknowledged = match &announcement {
            Some(announcement) => self.take_up_locators(shared, now, announcement, received)?,
            None => Some(received),
        };
        if let Some(received) = unacknowledged {
            self.acknowledge(shared, back, &received, value.as_ref())?;
        }
        self.send_next(shared, now)
    }

    /// Notes what the peer offers, and asks for what waited for that.
    fn take_services(&mut self, shared: &mut Shared<I>, now: Time, services: RegInfo) {
        self.services = Some(services);
        if let Some(request) = self.deferred.take() {
            let reg_type = request.reg_type;
            if self.request(shared, now, request).is_err() {
                let (answer, certificates) = (RegistrationAnswer::nothing(reg_type), Certificates::None);
                shared.out.tell(Event::Registered { peer: self.peer, answer, certificates });
            }
        }
    }

    /// Names to the peer the locators whose type is unknown (RFC 8046 section 5.3). Whatever else was announced counts.
    fn report_unsupported(
        &self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        announcement: &Announcement,
    ) {
        if announcement.unsupported.is_empty() {
            return;
        }
        let notify_type = NotifyType::LOCATOR_TYPE_UNSUPPORTED;
        let data = LocatorSet(announcement.unsupported.clone()).to_octets();
        notify::report(shared, now, back, self.peer, &Notification { notify_type, data });
    }

    /// Has the program decide about requests. A new address is verified behind the answer.
    fn take_requests(
        &mut self,
        shared: &mut Shared<I>,
        now: Time,
        back: &Path,
        deciding: Deciding<I>,
        received: Received,
        announcement: Option<&Announcement>,
    ) -> Result<(), Error> {
        // A peer that asks anew has the answer to what it asked before.
        if matches!(&self.updates.outgoing, Some(Outgoing { task: Task::Answer { .. }, .. })) {
            self.updates.outgoing = None;
        }
        if announcement.is_some() {
            self.supersede_verification();
        }
        self.updates.asked = Some(Asked { received, path: *back, deciding });
        self.decide(shared, now)?;
        match announcement {
            Some(announcement) => self.verify_later(shared, now, announcement),
            None => Ok(()),
        }
    }

    /// Ends what the registrar withdraws.
    fn take_revocations(&mut self, shared: &mut Shared<I>, revocations: Vec<(RegType, Vec<I>)>) {
        for (reg_type, items) in revocations {
            // What gave way to a verification comes again under another Update ID.
            if !self.grants.contains_key(&(Side::Requester, reg_type)) {
                continue;
            }
            if items.is_empty() {
                self.grants.remove(&(Side::Requester, reg_type));
            }
            shared.out.tell(Event::Revoked { peer: self.peer, reg_type, items });
        }
    }
}
