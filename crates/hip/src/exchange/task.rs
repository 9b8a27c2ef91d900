//! The UPDATEs of an association: what is outstanding, what waits, and what was answered last.

use std::{collections::VecDeque, net::IpAddr};

use claviger_crypto::{random, secret::ct_eq};
use claviger_sansio::{Retransmit, Time};

use crate::{
    error::{Error, PeerMisbehaved},
    event::Ticket,
    exchange::{Shared, deciding::Deciding},
    iana::RegType,
    item::Item,
    path::Path,
    registration::{RegistrationAnswer, RegistrationRequest},
    wire::{Authentic, EchoRequestSigned, EchoResponseSigned},
};

/// The octets by which the answer to a verification is known: nobody guesses them.
pub(crate) const NONCE_LEN: usize = 16;

/// What an own UPDATE is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task<I> {
    /// Announces services to a Responder, which saw no R1.
    Announce,
    /// Answers the peer's request of this Update ID.
    Answer { to: u32, answers: Vec<RegistrationAnswer<I>> },
    /// Lets the peer hear that the new keys are in use.
    Confirm,
    /// Announces this host's address.
    Locate { address: IpAddr },
    /// Asks for new keys.
    Rekey,
    /// Asks the peer for a registration.
    Request(RegistrationRequest<I>),
    /// Withdraws items, or a whole type.
    Revoke { reg_type: RegType, items: Vec<I> },
    /// Makes sure that the peer is reached where it says.
    Verify(Verification),
}

impl<I: Item> Task<I> {
    /// Names what the UPDATE is for in the log.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Announce => "announce services",
            Self::Answer { .. } => "answer",
            Self::Confirm => "confirm keys",
            Self::Locate { .. } => "announce address",
            Self::Rekey => "renew keys",
            Self::Request(_) => "request",
            Self::Revoke { .. } => "withdraw",
            Self::Verify(_) => "verify address",
        }
    }

    /// Says whether the association is lost if the peer never acknowledges. RFC 7401 section 5.3.5: a sender may choose not to
    /// care.
    pub(super) fn must_be_acknowledged(&self) -> bool {
        match self {
            // Behind it nobody knows which keys the peer has.
            Self::Confirm | Self::Locate { .. } | Self::Request(_) => true,
            Self::Revoke { items, .. } => items.is_empty() || items.iter().any(I::must_be_acknowledged),
            // The peer asks again if it wants the answer, an address that was never verified is forgotten, and a peer need
            // not know how keys are renewed.
            Self::Announce | Self::Answer { .. } | Self::Rekey | Self::Verify(_) => false,
        }
    }
}

/// An own UPDATE that waits for its ACK.
#[derive(Debug)]
pub(crate) struct Outgoing<I> {
    pub(crate) id: u32,
    pub(crate) task: Task<I>,
    pub(crate) octets: Vec<u8>,
    pub(crate) path: Path,
    pub(crate) retransmit: Retransmit,
}

/// The peer's UPDATE that was processed last, and what was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Processed {
    pub(crate) id: u32,
    pub(crate) digest: [u8; 32],
    pub(crate) answer: Vec<u8>,
}

/// The peer's UPDATE as it is to be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) id: u32,
    pub(crate) digest: [u8; 32],
    /// What is to be echoed.
    pub(crate) echo: Option<EchoRequestSigned>,
}

/// A request of the peer that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asked<I> {
    pub(crate) received: Received,
    pub(crate) path: Path,
    pub(crate) deciding: Deciding<I>,
}

/// The UPDATEs of an association.
#[derive(Debug)]
pub(crate) struct Updates<I> {
    pub(crate) next_id: u32,
    pub(crate) expected_id: u32,
    pub(crate) outgoing: Option<Outgoing<I>>,
    pub(crate) queue: VecDeque<Task<I>>,
    pub(crate) processed: Option<Processed>,
    pub(crate) asked: Option<Asked<I>>,
}

impl<I> Default for Updates<I> {
    fn default() -> Self {
        Self {
            next_id: 0,
            expected_id: 0,
            outgoing: None,
            queue: VecDeque::new(),
            processed: None,
            asked: None,
        }
    }
}

impl<I: Item> Updates<I> {
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let outgoing = self.outgoing.as_ref()?;
        let over = match &outgoing.task {
            Task::Verify(verification) => verification.candidate.until,
            Task::Announce
            | Task::Answer { .. }
            | Task::Confirm
            | Task::Locate { .. }
            | Task::Rekey
            | Task::Request(_)
            | Task::Revoke { .. } => None,
        };
        over.into_iter().chain([outgoing.retransmit.poll_timeout()]).min()
    }

    /// Has what waits or is repeated leave from another address.
    pub(crate) fn leave_from(&mut self, address: IpAddr) {
        let outgoing = self.outgoing.iter_mut().map(|outgoing| &mut outgoing.path);
        let asked = self.asked.iter_mut().map(|asked| &mut asked.path);
        outgoing.chain(asked).for_each(|path| path.leave_from(address));
    }

    /// Remembers what was answered to the peer's UPDATE. One that is answered late changes nothing of those after it.
    pub(super) fn remember(&mut self, received: &Received, answer: &[u8]) {
        let Received { id, digest, .. } = *received;
        if id.wrapping_sub(self.expected_id) < 1 << 31 {
            self.expected_id = id.wrapping_add(1);
            self.processed = Some(Processed { id, digest, answer: answer.to_vec() });
        }
    }

    /// Drops everything that waits.
    pub(crate) fn forget(&mut self) {
        self.outgoing = None;
        self.queue.clear();
        self.asked = None;
    }

    /// Whether a registration that this host asked for is unanswered.
    pub(crate) fn has_request(&self) -> bool {
        let outgoing = self.outgoing.iter().map(|outgoing| &outgoing.task);
        outgoing.chain(&self.queue).any(|task| matches!(task, Task::Request(_)))
    }

    /// Whether the peer has not acknowledged yet that something was withdrawn.
    pub(crate) fn has_withdrawal(&self) -> bool {
        let outgoing = self.outgoing.iter().map(|outgoing| &outgoing.task);
        outgoing.chain(&self.queue).any(|task| matches!(task, Task::Revoke { .. }))
    }

    /// Finds the own UPDATE that is outstanding, if it has one of these Update IDs.
    pub(crate) fn acknowledged(&self, acks: &[u32]) -> Option<&Outgoing<I>> {
        self.outgoing.as_ref().filter(|outgoing| acks.contains(&outgoing.id))
    }

    /// Whether the program holds this ticket.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.deciding.awaits(ticket))
    }
}

/// An address of the peer whose reachability is being verified (RFC 8046 section 5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verification {
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) candidate: Candidate,
    /// The announcement that the UPDATE acknowledges.
    pub(crate) announcement: Option<Received>,
}

/// An address that the peer may have moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) path: Path,
    /// Whether the peer itself named the address; it cannot know that of its NAT.
    pub(crate) is_listed: bool,
    /// When the locator's lifetime ends.
    pub(crate) until: Option<Time>,
}

impl Verification {
    pub(crate) fn new<I: Item>(
        shared: &mut Shared<I>,
        candidate: Candidate,
        announcement: Option<Received>,
    ) -> Self {
        let nonce = random::array(&mut *shared.random);
        Self { nonce, candidate, announcement }
    }

    /// Checks the answer: the nonce, from where it was sent to.
    pub(crate) fn check(&self, back: &Path, packet: &Authentic<'_>) -> Result<(), Error> {
        let echoed = packet.find::<EchoResponseSigned>()?;
        if !echoed.is_some_and(|EchoResponseSigned(echoed)| ct_eq(&echoed, &self.nonce)) {
            return Err(PeerMisbehaved::EchoForeign.into());
        }
        if back.remote != self.candidate.path.remote {
            return Err(PeerMisbehaved::EchoElsewhere.into());
        }
        Ok(())
    }

    /// Says whether the locator's lifetime is over.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.candidate.until.is_some_and(|until| until <= now)
    }
}
