//! What a Responder offers in its R1, and what this host takes of it (RFC 7401 section 6.8, steps 6 to 15).

use claviger_identity::{Hit, HitSuite, HostId};
use claviger_sansio::Time;
use claviger_wire::DecodeError;

use crate::{
    config::{HostConfig, TransportFormats},
    error::{AuthError, Error, FailReason, LimitError, PeerIncompatible, PeerMisbehaved},
    iana::{EspSuite, ParameterType},
    item::Item,
    registration::RegistrationRequest,
    security::Security,
    verification::Budget,
    wire::{
        DhGroupList, DiffieHellman, EchoRequestSigned, EchoRequestUnsigned, EspTransform, HipCipher,
        HitSuiteList, Packet, Presigned, Puzzle, R1Counter, RegInfo, TransportFormatList,
    },
};

/// An R1 that is genuine and acceptable.
pub(super) struct Offer {
    pub(super) counter: Option<R1Counter>,
    /// Whether the Responder's identity is anonymous. This host called it by its HIT, and goes on (RFC 7401 section 6.8 step 9).
    pub(super) anonymous: bool,
    pub(super) puzzle: Puzzle,
    pub(super) public_value: Vec<u8>,
    pub(super) host_id: HostId,
    /// HOST_ID as it came, which HIP_MAC_2 covers.
    pub(super) host_id_parameter: Vec<u8>,
    pub(super) security: Security,
    pub(super) services: Option<RegInfo>,
    pub(super) esp: Option<EspSuite>,
    pub(super) echo_signed: Option<EchoRequestSigned>,
    pub(super) echo_unsigned: Vec<EchoRequestUnsigned>,
}

/// Why a signed R1 leads to no I2.
#[derive(Clone, Copy)]
pub(super) enum Weighed {
    /// It is malformed.
    Malformed(DecodeError),
    /// There is nothing in it that this host accepts.
    Unacceptable(FailReason),
}

impl From<DecodeError> for Weighed {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<PeerIncompatible> for Weighed {
    fn from(reason: PeerIncompatible) -> Self {
        Self::Unacceptable(FailReason::Incompatible(reason))
    }
}

impl From<Weighed> for Error {
    fn from(weighed: Weighed) -> Self {
        match weighed {
            Weighed::Malformed(error) => error.into(),
            Weighed::Unacceptable(reason) => reason.into(),
        }
    }
}

/// An R1 of the host that was called: its key has the HIT that was called, and signed it.
pub(super) struct GenuineR1<'p> {
    packet: Presigned<'p>,
    host_id: HostId,
}

impl<'p> GenuineR1<'p> {
    /// Verifies an R1 (RFC 7401 section 6.8 steps 4 and 10), if `budget` permits.
    pub(super) fn open(
        config: &HostConfig,
        now: Time,
        budget: &mut Budget,
        peer: Hit,
        packet: &'p Packet<'p>,
    ) -> Result<Self, Error> {
        let host_id: HostId = packet.one()?;
        if host_id.hit(config.provider)? != peer {
            return Err(PeerMisbehaved::HitMismatch.into());
        }
        let permit = budget.permit(&config.public_key_limits, now)?;
        let packet =
            packet.verify_signature_2(permit, config.provider, &host_id).map_err(|_| AuthError::Signature)?;
        Ok(Self { packet, host_id })
    }
}

impl Offer {
    /// Chooses from an R1, in the order of RFC 7401 section 6.8, steps 6 to 15.
    pub(super) fn weigh<I: Item>(
        config: &HostConfig,
        request: Option<&RegistrationRequest<I>>,
        r1: GenuineR1<'_>,
        peer: Hit,
    ) -> Result<Self, Weighed> {
        let GenuineR1 { packet, host_id } = r1;
        let (security, public_value) = agree(config, &packet, peer)?;
        let services = packet.find::<RegInfo>()?;
        if let Some(request) = request {
            check_service(config, request, services.as_ref(), security)?;
        }
        let esp = choose_esp(config, &packet, request.is_some())?;
        let puzzle: Puzzle = packet.one()?;
        if puzzle.k > config.puzzle_difficulty_max {
            return Err(Weighed::Unacceptable(FailReason::Limit(LimitError::Puzzle)));
        }
        let host_id_parameter = packet.parameters().raw(ParameterType::HOST_ID);
        Ok(Self {
            counter: packet.find()?,
            anonymous: packet.controls().is_anonymous(),
            puzzle,
            public_value,
            host_id,
            host_id_parameter: host_id_parameter.map_or_else(Vec::new, |raw| raw.octets().to_vec()),
            security,
            services,
            esp,
            echo_signed: packet.find()?,
            echo_unsigned: packet.all()?,
        })
    }
}

/// Chooses HIT suites, group and cipher; returns the Responder's public value beside them.
fn agree(config: &HostConfig, r1: &Presigned<'_>, peer: Hit) -> Result<(Security, Vec<u8>), Weighed> {
    let suites: HitSuiteList = r1.one()?;
    if !suites.contains(config.own_suite()) {
        return Err(PeerIncompatible::OwnHitSuite.into());
    }
    let peer_hit_suite = HitSuite::of_hit(peer).filter(|suite| config.hit_suites.contains(suite));
    let peer_hit_suite = peer_hit_suite.ok_or(PeerIncompatible::HitSuite)?;

    let DhGroupList(groups) = r1.one()?;
    let DiffieHellman { group, public_value } = r1.one()?;
    //= rfc7401#section-4.1.3
    //# The Initiator continues the BEX only
    //# if the Group ID of the public DH value of the Responder is the most
    //# preferred of the IDs supported by both the Initiator and Responder.
    let best = DhGroupList::choose(&groups, &config.dh_groups).ok_or(PeerIncompatible::DhGroup)?;
    if group != best {
        return Err(Weighed::Unacceptable(FailReason::Misbehaved(PeerMisbehaved::DhDowngrade)));
    }

    let ciphers: HipCipher = r1.one()?;
    let cipher = config.ciphers.iter().copied().find(|cipher| ciphers.accepted().contains(cipher));
    let cipher = cipher.ok_or(PeerIncompatible::Cipher)?;
    Ok((Security { cipher, dh_group: group, hit_suite: peer_hit_suite, peer_hit_suite }, public_value))
}

/// Refuses a Responder that does not offer the service that is wanted, or not with the strength that it needs.
fn check_service<I: Item>(
    config: &HostConfig,
    request: &RegistrationRequest<I>,
    services: Option<&RegInfo>,
    security: Security,
) -> Result<(), PeerIncompatible> {
    if !services.is_some_and(|services| services.types.contains(&request.reg_type)) {
        return Err(PeerIncompatible::Service);
    }
    // As the registrar will see it.
    let security = Security { peer_hit_suite: config.own_suite(), ..security };
    if !I::is_protected(request.reg_type, &security) {
        return Err(PeerIncompatible::TooWeak);
    }
    Ok(())
}

/// Chooses the ESP suite, if there is to be ESP. Who only registers needs no transport.
fn choose_esp(config: &HostConfig, r1: &Presigned<'_>, registers: bool) -> Result<Option<EspSuite>, Weighed> {
    let TransportFormatList(formats) = r1.one()?;
    match &config.transport {
        TransportFormats::Esp(suites) if formats.contains(&ParameterType::ESP_TRANSFORM) => {
            let EspTransform(offered) = r1.one()?;
            let chosen = suites.iter().copied().find(|suite| offered.contains(suite));
            Ok(Some(chosen.ok_or(PeerIncompatible::EspSuite)?))
        }
        TransportFormats::Esp(_) if !registers && !formats.is_empty() => {
            Err(PeerIncompatible::TransportFormat.into())
        }
        TransportFormats::Esp(_) | TransportFormats::RegistrationOnly => Ok(None),
    }
}
