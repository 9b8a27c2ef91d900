//! What is asked for and granted in a registration (RFC 8003).

use std::{collections::BTreeSet, time::Duration};

use claviger_wire::{DecodeError, Encode};

use crate::{
    certificates::{self, CertificateChain, ITEMS_ROOM_MIN},
    config::HostConfig,
    error::{ApiMisuse, Error, PeerMisbehaved},
    iana::{RegFailure, RegType},
    item::Item,
    wire::{Authentic, Lifetime, RegFailed, RegRequest, RegResponse, packet::PACKET_LEN_MAX, parameter},
};

/// Which side of a registration a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It grants.
    Registrar,
    /// It asked.
    Requester,
}

/// What a requester asks of a registrar.
///
/// A request that names items speaks of those only, each with its own lifetime: zero leaves it, and the lifetime of the
/// request is that of the service. One that names none speaks of the service as a whole: zero leaves all of it, and
/// another lifetime renews all and adds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRequest<I> {
    /// The service.
    pub reg_type: RegType,
    /// How long; zero leaves. It travels rounded down to an eighth of a power of two seconds.
    pub lifetime: Duration,
    /// What is asked for within the service.
    pub items: Vec<I>,
}

/// What a registrar says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationAnswer<I> {
    /// The service.
    pub reg_type: RegType,
    /// For how long the service is granted, if it is; zero confirms that all of it is left.
    pub granted: Option<Duration>,
    /// Why it is refused, if it is. Neither grant nor failure: the peer does not know registrations.
    pub failure: Option<RegFailure>,
    /// The items of the request, each with what the registrar says to it.
    pub items: Vec<I>,
}

impl<I: Item> RegistrationRequest<I> {
    /// Refuses a request that no registrar could understand.
    pub(crate) fn check(&self) -> Result<(), ApiMisuse> {
        let own = |item: &I| item.reg_type() == self.reg_type && item.is_granted();
        if !self.items.iter().all(own) || I::check_all(&self.items).is_err() {
            return Err(ApiMisuse::Items);
        }
        Ok(())
    }

    /// Makes REG_REQUEST. Leaving single items must not read as leaving all, so it asks for the shortest lifetime.
    pub(crate) fn parameter(&self) -> RegRequest {
        let lifetime = match self.lifetime {
            Duration::ZERO if self.items.is_empty() => Lifetime::CANCEL,
            lifetime => Lifetime::at_most(lifetime),
        };
        RegRequest { lifetime, types: vec![self.reg_type] }
    }

    fn names(&self, item: &I) -> bool {
        self.items.iter().any(|own| own.reg_type() == item.reg_type() && own.is_same(item))
    }

    /// Refuses the request as a whole.
    pub(crate) fn refuse(&self, failure: RegFailure) -> RegistrationAnswer<I> {
        RegistrationAnswer {
            reg_type: self.reg_type,
            granted: None,
            failure: Some(failure),
            items: self.items.iter().map(|item| item.refused(failure)).collect(),
        }
    }
}

impl<I: Item> RegistrationAnswer<I> {
    /// Says that the peer answered nothing.
    pub(crate) fn nothing(reg_type: RegType) -> Self {
        Self { reg_type, granted: None, failure: None, items: Vec::new() }
    }

    /// Returns how long keys may hang on the answer: the longest of its lifetimes.
    pub(crate) fn longest(&self) -> Duration {
        let granted = |item: &&I| item.is_granted();
        let items = self.items.iter().filter(granted).map(|item| item.lifetime().duration());
        items.chain(self.granted).max().unwrap_or_default()
    }

    /// Says whether it answers a request.
    pub(crate) fn fits(&self, request: &RegistrationRequest<I>) -> bool {
        let every_item = if request.items.is_empty() {
            self.items.iter().all(|item| item.reg_type() == request.reg_type)
        } else {
            self.items.len() == request.items.len() && self.items.iter().all(|item| request.names(item))
        };
        self.reg_type == request.reg_type
            && self.granted.is_some() != self.failure.is_some()
            && self.failure.is_none_or(|failure| !failure.is_private())
            && I::check_all(&self.items).is_ok()
            && every_item
    }
}

/// Reads the requests of an I2 or UPDATE, with what services have encrypted in it.
pub(crate) fn read_requests<I: Item>(
    config: &HostConfig,
    packet: &Authentic<'_>,
    items: Vec<I>,
) -> Result<Vec<RegistrationRequest<I>>, Error> {
    let mut requests = Vec::new();
    let mut types = BTreeSet::new();
    for request in packet.all::<RegRequest>()? {
        for reg_type in request.types {
            if !types.insert(reg_type) {
                return Err(DecodeError::Unexpected { what: "repeated Reg Type" }.into());
            }
            let items = items.iter().filter(|item| item.reg_type() == reg_type).cloned().collect();
            requests.push(RegistrationRequest { reg_type, lifetime: request.lifetime.duration(), items });
        }
    }
    if items.iter().any(|item| !types.contains(&item.reg_type())) {
        return Err(PeerMisbehaved::ItemTypeForeign.into());
    }
    if items.iter().any(|item| !item.is_granted()) {
        return Err(DecodeError::Unexpected { what: "status in a request" }.into());
    }
    I::check_all(&items)?;
    if answer_len_max(config, &requests) > PACKET_LEN_MAX {
        return Err(DecodeError::TooMany { what: "items for one answer", limit: PACKET_LEN_MAX }.into());
    }
    Ok(requests)
}

/// Reads the answer to `request` out of an R2 or UPDATE; `None` if the packet answers nothing.
pub(crate) fn read_answer<I: Item>(
    packet: &Authentic<'_>,
    items: Vec<I>,
    request: &RegistrationRequest<I>,
) -> Result<Option<RegistrationAnswer<I>>, Error> {
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
    I::check_all(&items)?;
    let asked =
        |item: &I| item.reg_type() == request.reg_type && (request.items.is_empty() || request.names(item));
    if !items.iter().all(asked) {
        return Err(PeerMisbehaved::AnswerUnasked.into());
    }
    if granted.is_none() && failure.is_none() && items.is_empty() {
        return Ok(None);
    }
    Ok(Some(RegistrationAnswer { reg_type: request.reg_type, granted, failure, items }))
}

/// The parameters of a registrar's answers: one REG_RESPONSE (RFC 8003 section 4.4), unless several requests of one
/// packet end in different lifetimes, and a REG_FAILED for each reason.
pub(crate) struct AnswerParameters<I> {
    pub(crate) items: Vec<I>,
    pub(crate) responses: Vec<RegResponse>,
    pub(crate) failed: Vec<RegFailed>,
}

impl<I: Item> AnswerParameters<I> {
    pub(crate) fn of(answers: &[RegistrationAnswer<I>]) -> Self {
        let mut parameters = Self { items: Vec::new(), responses: Vec::new(), failed: Vec::new() };
        for answer in answers {
            let types = vec![answer.reg_type];
            parameters.items.extend_from_slice(&answer.items);
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

/// What a request or its answer has at most besides HOST_ID, items, certificates and signature: header, ESP_INFO, SEQ, ACK,
/// ENCRYPTED's own fields and padding, an echo of 64 octets, MAC, algorithm.
const FIXED_LEN: usize = 40 + 16 + 8 + 8 + 48 + 72 + 56 + 16;

/// What an I2 has besides, but for HOST_ID and DIFFIE_HELLMAN: R1_COUNTER, SOLUTION, HIP_CIPHER, REG_REQUEST,
/// TRANSPORT_FORMAT_LIST, ESP_TRANSFORM.
const I2_FIXED_LEN: usize = 16 + 104 + 8 + 8 + 8 + 8;

/// Says how long a packet could become that answers `requests`: a request that leaves no room for its answer is
/// refused when it comes.
fn answer_len_max<I: Item>(config: &HostConfig, requests: &[RegistrationRequest<I>]) -> usize {
    let items = requests.iter().flat_map(|request| &request.items);
    let items_len: usize = items.map(|item| parameter::padded_len(item.to_octets().len())).sum();
    answer_len(config, requests.len(), &config.certificates) + items_len
}

fn answer_len(config: &HostConfig, requests: usize, chains: &[CertificateChain]) -> usize {
    FIXED_LEN + 16 * requests + signature_len_max(config) + certificates::len(chains)
}

/// Refuses chains that a host could not show beside what services say.
pub(crate) fn check_certificates(config: &HostConfig, chains: &[CertificateChain]) -> Result<(), ApiMisuse> {
    let fit = chains.is_empty() || items_room(config, chains) >= ITEMS_ROOM_MIN;
    if certificates::can_be_shown(chains) && fit { Ok(()) } else { Err(ApiMisuse::Certificates) }
}

/// Says how many octets of a packet are left to items when a host shows these chains of its own: in an answer, if it offers
/// services, and otherwise in an I2, which is longer than a request in an UPDATE.
fn items_room(config: &HostConfig, chains: &[CertificateChain]) -> usize {
    let mut len = answer_len(config, config.services.len().max(1), chains);
    if config.services.is_empty() {
        let host_id_len = parameter::padded_len(config.identity.host_id().to_octets().len());
        let groups = config.dh_groups.iter().filter_map(|group| config.provider.kx_group(group.kx()?).ok());
        let public_len = groups.map(|group| group.public_len()).max().unwrap_or_default();
        // DIFFIE_HELLMAN has its group and a length before the value.
        len += I2_FIXED_LEN + host_id_len + parameter::padded_len(3 + public_len);
    }
    PACKET_LEN_MAX.saturating_sub(len)
}

fn signature_len_max(config: &HostConfig) -> usize {
    match config.identity.host_id().public_key() {
        Ok(claviger_crypto::sign::PublicKey::Rsa { modulus, .. }) => modulus.len(),
        _ => 96,
    }
}
