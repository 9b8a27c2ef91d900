//! Requests that wait for the registrar's decision, in an I2 or an UPDATE.

use std::collections::VecDeque;

use claviger_identity::{Hit, HostId};

use crate::{
    certificates::Certificates,
    error::ApiMisuse,
    event::{Event, Ticket},
    exchange::Shared,
    iana::RegFailure,
    item::Item,
    registration::{RegistrationAnswer, RegistrationRequest},
    security::Security,
};

/// Requests of one packet that are decided one after the other.
#[derive(Debug)]
pub(crate) struct Deciding<I> {
    requests: VecDeque<RegistrationRequest<I>>,
    /// What the packet showed beside them.
    certificates: Certificates,
    answers: Vec<RegistrationAnswer<I>>,
    ticket: Option<Ticket>,
}

/// Who asks, and over what.
pub(crate) struct Asker<'a> {
    pub(crate) peer: Hit,
    pub(crate) host_id: &'a HostId,
    pub(crate) anonymous: bool,
    pub(crate) security: Security,
    pub(crate) fresh: bool,
}

impl<I: Item> Deciding<I> {
    pub(crate) fn new(requests: Vec<RegistrationRequest<I>>, certificates: Certificates) -> Self {
        Self { requests: requests.into(), certificates, answers: Vec::new(), ticket: None }
    }

    /// Refuses what needs no decision and asks the program about the rest, one request at a time. Returns whether all
    /// is decided.
    pub(crate) fn advance(&mut self, shared: &mut Shared<I>, asker: &Asker<'_>) -> bool {
        while let Some(request) = self.requests.front_mut() {
            if self.ticket.is_some() {
                return false;
            }
            let offered = shared.config.services.contains(&request.reg_type);
            let strong = I::is_protected(request.reg_type, &asker.security);
            if offered && strong {
                let (min, max) =
                    (shared.config.registration_lifetime_min, shared.config.registration_lifetime_max);
                if !request.lifetime.is_zero() {
                    request.lifetime = request.lifetime.clamp(min, max);
                }
                let ticket = shared.ticket(asker.peer);
                self.ticket = Some(ticket);
                shared.out.tell(Event::RegistrationRequested {
                    ticket,
                    peer: asker.peer,
                    host_id: Box::new(asker.host_id.clone()),
                    request: request.clone(),
                    certificates: self.certificates.clone(),
                    anonymous: asker.anonymous,
                    security: asker.security,
                    fresh: asker.fresh,
                });
                return false;
            }
            self.answers.push(request.refuse(RegFailure::TYPE_UNAVAILABLE));
            self.requests.pop_front();
        }
        true
    }

    /// Says whether the program holds this ticket.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        self.ticket == Some(ticket)
    }

    /// Takes the program's answer to the outstanding request.
    pub(crate) fn answer(&mut self, mut answer: RegistrationAnswer<I>) -> Result<(), ApiMisuse> {
        let request = self.requests.front().ok_or(ApiMisuse::UnknownTicket)?;
        // Who refuses the service as a whole need not repeat the items.
        if let (Some(failure), true) = (answer.failure, answer.items.is_empty()) {
            answer.items = request.refuse(failure).items;
        }
        if !answer.fits(request) {
            return Err(ApiMisuse::AnswerMismatch);
        }
        self.requests.pop_front();
        self.ticket = None;
        self.answers.push(answer);
        Ok(())
    }

    /// Gives the answers away when all is decided.
    pub(crate) fn take_answers(&mut self) -> Vec<RegistrationAnswer<I>> {
        std::mem::take(&mut self.answers)
    }
}
