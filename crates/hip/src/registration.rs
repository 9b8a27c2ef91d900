//! What is asked for and granted in a registration (RFC 8003, and the binding of group keying to HIP).

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use claviger_identity::{Hit, HostId};
use claviger_wire::{DecodeError, Encode};

use crate::{
    config::HostConfig,
    error::{ApiMisuse, Error, PeerMisbehaved},
    event::{Event, Security, Ticket},
    exchange::Shared,
    iana::{ChannelStatus, RegFailure, RegType},
    wire::{Authentic, Lifetime, McastChannel, RegFailed, RegRequest, RegResponse, packet::PACKET_LEN_MAX},
};

/// Which side of a registration a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It grants: of group keys, the key server.
    Registrar,
    /// It asked: of group keys, the member.
    Requester,
}

/// What a member asks of a registrar.
///
/// Who names groups speaks of those groups only, each with its own lifetime: zero leaves it, and the lifetime of the
/// request is that of the service. Who names none speaks of the service as a whole: zero leaves all groups, and
/// another lifetime renews all and joins none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRequest {
    /// The service.
    pub reg_type: RegType,
    /// How long; zero leaves. It travels rounded down to an eighth of a power of two seconds.
    pub lifetime: Duration,
    /// The groups, all of this service.
    pub channels: Vec<McastChannel>,
}

/// What a registrar says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationAnswer {
    /// The service.
    pub reg_type: RegType,
    /// For how long the service is granted, if it is; zero confirms that all groups are left.
    pub granted: Option<Duration>,
    /// Why it is refused, if it is. Neither grant nor failure: the peer does not know registrations.
    pub failure: Option<RegFailure>,
    /// The groups of the request, each with its status.
    pub channels: Vec<McastChannel>,
}

impl RegistrationRequest {
    /// Refuses a request that no registrar could understand.
    pub(crate) fn check(&self) -> Result<(), ApiMisuse> {
        let own = |channel: &McastChannel| {
            channel.reg_type == self.reg_type && channel.status == ChannelStatus::GRANTED
        };
        if !self.channels.iter().all(own) || McastChannel::check_all(&self.channels).is_err() {
            return Err(ApiMisuse::Channels);
        }
        Ok(())
    }

    /// Makes REG_REQUEST. Leaving single groups must not read as leaving all, so it asks for the shortest lifetime.
    pub(crate) fn parameter(&self) -> RegRequest {
        let lifetime = match self.lifetime {
            Duration::ZERO if self.channels.is_empty() => Lifetime::CANCEL,
            lifetime => Lifetime::at_most(lifetime),
        };
        RegRequest { lifetime, types: vec![self.reg_type] }
    }

    fn names(&self, channel: &McastChannel) -> bool {
        self.channels.iter().any(|own| same_channel(own, channel))
    }

    /// Refuses the request as a whole.
    fn refuse(&self, failure: RegFailure) -> RegistrationAnswer {
        let refused = |channel: &McastChannel| channel.answer(failure.into(), channel.role, Lifetime::CANCEL);
        RegistrationAnswer {
            reg_type: self.reg_type,
            granted: None,
            failure: Some(failure),
            channels: self.channels.iter().map(refused).collect(),
        }
    }
}

impl RegistrationAnswer {
    /// Says that the peer answered nothing.
    pub(crate) fn nothing(reg_type: RegType) -> Self {
        Self { reg_type, granted: None, failure: None, channels: Vec::new() }
    }

    /// Returns how long keys may hang on the answer: the longest of its lifetimes.
    pub(crate) fn longest(&self) -> Duration {
        let granted = |channel: &&McastChannel| channel.status == ChannelStatus::GRANTED;
        let channels = self.channels.iter().filter(granted).map(|channel| channel.lifetime.duration());
        channels.chain(self.granted).max().unwrap_or_default()
    }

    fn fits(&self, request: &RegistrationRequest) -> bool {
        let every_channel = if request.channels.is_empty() {
            self.channels.iter().all(|channel| channel.reg_type == request.reg_type)
        } else {
            self.channels.len() == request.channels.len()
                && self.channels.iter().all(|channel| request.names(channel))
        };
        self.reg_type == request.reg_type
            && self.granted.is_some() != self.failure.is_some()
            && self.failure.is_none_or(|failure| failure.0 < ChannelStatus::GROUP_UNKNOWN.0)
            && McastChannel::check_all(&self.channels).is_ok()
            && every_channel
    }
}

/// Why a registrar withdraws groups; it is what the status of each says (binding section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// The registration ended by itself. The peer may ask for it again.
    Ended,
    /// The peer's role is less than it was: each channel names what remains of it.
    Narrowed,
    /// The peer is not authorised any more.
    Revoked,
}

impl Withdrawal {
    /// Reads a status. One that is not known is the end of the authorisation.
    pub fn from_status(status: ChannelStatus) -> Self {
        match status {
            ChannelStatus::GRANTED => Self::Ended,
            ChannelStatus::ROLE_NOT_AUTHORISED => Self::Narrowed,
            _ => Self::Revoked,
        }
    }

    /// Returns the status that groups are sent with.
    pub const fn status(self) -> ChannelStatus {
        match self {
            Self::Ended => ChannelStatus::GRANTED,
            Self::Narrowed => ChannelStatus::ROLE_NOT_AUTHORISED,
            Self::Revoked => ChannelStatus::NOT_AUTHORISED,
        }
    }
}

fn same_channel(one: &McastChannel, other: &McastChannel) -> bool {
    let source = |channel: &McastChannel| channel.channel.and_then(|channel| channel.source());
    one.reg_type == other.reg_type && one.group == other.group && source(one) == source(other)
}

/// Requests of one packet that are decided one after the other.
#[derive(Debug)]
pub(crate) struct Deciding {
    requests: VecDeque<RegistrationRequest>,
    answers: Vec<RegistrationAnswer>,
    ticket: Option<Ticket>,
}

/// Who asks, and over what.
pub(crate) struct Asker<'a> {
    pub(crate) peer: Hit,
    pub(crate) host_id: &'a HostId,
    pub(crate) security: Security,
    pub(crate) fresh: bool,
}

impl Deciding {
    pub(crate) fn new(requests: Vec<RegistrationRequest>) -> Self {
        Self { requests: requests.into(), answers: Vec::new(), ticket: None }
    }

    /// Refuses what needs no decision and asks the program about the rest, one request at a time. Returns whether all
    /// is decided.
    pub(crate) fn advance(&mut self, shared: &mut Shared, asker: &Asker<'_>) -> bool {
        while let Some(request) = self.requests.front_mut() {
            if self.ticket.is_some() {
                return false;
            }
            let offered = shared.config.services.contains(&request.reg_type);
            let strong = asker.security.allows_keys() || !request.reg_type.is_gcks();
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
    pub(crate) fn answer(&mut self, mut answer: RegistrationAnswer) -> Result<(), ApiMisuse> {
        let request = self.requests.front().ok_or(ApiMisuse::UnknownTicket)?;
        // Who refuses the service as a whole need not repeat the groups.
        if let (Some(failure), true) = (answer.failure, answer.channels.is_empty()) {
            answer.channels = request.refuse(failure).channels;
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
    pub(crate) fn take_answers(&mut self) -> Vec<RegistrationAnswer> {
        std::mem::take(&mut self.answers)
    }
}

/// Reads the requests of an I2 or UPDATE, with the channels that it encrypted.
pub(crate) fn read_requests(
    config: &HostConfig,
    packet: &Authentic<'_>,
    channels: Vec<McastChannel>,
) -> Result<Vec<RegistrationRequest>, Error> {
    let mut requests = Vec::new();
    let mut types = BTreeSet::new();
    for request in packet.all::<RegRequest>()? {
        for reg_type in request.types {
            if !types.insert(reg_type) {
                return Err(DecodeError::Unexpected { what: "repeated Reg Type" }.into());
            }
            let channels = channels.iter().filter(|channel| channel.reg_type == reg_type).cloned().collect();
            requests.push(RegistrationRequest { reg_type, lifetime: request.lifetime.duration(), channels });
        }
    }
    if channels.iter().any(|channel| !types.contains(&channel.reg_type)) {
        return Err(PeerMisbehaved::ChannelTypeForeign.into());
    }
    if channels.iter().any(|channel| channel.status != ChannelStatus::GRANTED) {
        return Err(DecodeError::Unexpected { what: "status in a request" }.into());
    }
    McastChannel::check_all(&channels)?;
    if answer_len_max(config, &requests) > PACKET_LEN_MAX {
        return Err(DecodeError::TooMany { what: "groups for one answer", limit: PACKET_LEN_MAX }.into());
    }
    Ok(requests)
}

/// Reads the answer to `request` out of an R2 or UPDATE; `None` if the packet answers nothing.
pub(crate) fn read_answer(
    packet: &Authentic<'_>,
    channels: Vec<McastChannel>,
    request: &RegistrationRequest,
) -> Result<Option<RegistrationAnswer>, Error> {
    let mut granted = None;
    let mut failure = None;
    for response in packet.all::<RegResponse>()? {
        if response.types.iter().any(|reg_type| *reg_type != request.reg_type) {
            return Err(PeerMisbehaved::AnswerUnasked.into());
        }
        if !response.types.is_empty() {
            granted = Some(response.lifetime.duration());
        }
    }
    for failed in packet.all::<RegFailed>()? {
        if failed.types.iter().any(|reg_type| *reg_type != request.reg_type) {
            return Err(PeerMisbehaved::AnswerUnasked.into());
        }
        if !failed.types.is_empty() {
            failure = Some(failed.failure);
        }
    }
    if granted.is_some() && failure.is_some() {
        return Err(DecodeError::Unexpected { what: "REG_FAILED beside REG_RESPONSE" }.into());
    }
    McastChannel::check_all(&channels)?;
    let asked = |channel: &McastChannel| {
        channel.reg_type == request.reg_type && (request.channels.is_empty() || request.names(channel))
    };
    if !channels.iter().all(asked) {
        return Err(PeerMisbehaved::AnswerUnasked.into());
    }
    if granted.is_none() && failure.is_none() && channels.is_empty() {
        return Ok(None);
    }
    Ok(Some(RegistrationAnswer { reg_type: request.reg_type, granted, failure, channels }))
}

/// The parameters of a registrar's answers: one REG_RESPONSE (RFC 8003 section 4.4), unless several requests of one
/// packet end in different lifetimes, and a REG_FAILED for each reason.
#[derive(Default)]
pub(crate) struct AnswerParameters {
    pub(crate) channels: Vec<McastChannel>,
    pub(crate) responses: Vec<RegResponse>,
    pub(crate) failed: Vec<RegFailed>,
}

impl AnswerParameters {
    pub(crate) fn of(answers: &[RegistrationAnswer]) -> Self {
        let mut parameters = Self::default();
        for answer in answers {
            let types = vec![answer.reg_type];
            parameters.channels.extend_from_slice(&answer.channels);
            if let Some(granted) = answer.granted {
                let lifetime = lifetime(granted);
                match parameters.responses.iter_mut().find(|response| response.lifetime == lifetime) {
                    Some(response) => response.types.push(answer.reg_type),
                    None => parameters.responses.push(RegResponse { lifetime, types }),
                }
            } else if let Some(failure) = answer.failure {
                match parameters.failed.iter_mut().find(|failed| failed.failure == failure) {
                    Some(failed) => failed.types.push(answer.reg_type),
                    None => parameters.failed.push(RegFailed { failure, types }),
                }
            }
        }
        parameters
    }
}

/// Rounds a lifetime to its code; only zero becomes zero.
pub(crate) fn lifetime(duration: Duration) -> Lifetime {
    if duration.is_zero() { Lifetime::CANCEL } else { Lifetime::at_most(duration) }
}

/// Says how long a packet could become that answers `requests`: a request that leaves no room for its answer is
/// refused when it comes.
fn answer_len_max(config: &HostConfig, requests: &[RegistrationRequest]) -> usize {
    /// Header, ESP_INFO, SEQ, ACK, ENCRYPTED's own fields and padding, an echo of 64 octets, MAC, algorithm.
    const FIXED: usize = 40 + 16 + 8 + 8 + 48 + 72 + 56 + 16;
    let parameter_len = |length: usize| (4 + length).next_multiple_of(8);
    let channels = requests.iter().flat_map(|request| &request.channels);
    let channels_len: usize = channels.map(|channel| parameter_len(channel.to_octets().len())).sum();
    let signature_len = match config.identity.host_id().public_key() {
        Ok(claviger_crypto::sign::PublicKey::Rsa { modulus, .. }) => modulus.len(),
        _ => 96,
    };
    FIXED + channels_len + 16 * requests.len() + signature_len
}
