//! What a Responder offers in its R1, and what this host takes of it (RFC 7401 section 6.8, steps 6 to 15).

use claviger_identity::{Hit, HitSuite, HostId};
use claviger_wire::DecodeError;

use crate::{
    config::{HostConfig, TransportFormats},
    error::{Error, FailReason, LimitError, PeerIncompatible, PeerMisbehaved},
    event::Security,
    iana::{EspSuite, ParameterType},
    registration::RegistrationRequest,
    wire::{
        DhGroupList, DiffieHellman, EchoRequestSigned, EchoRequestUnsigned, EspTransform, HipCipher,
        HitSuiteList, Packet, Puzzle, R1Counter, RegInfo, TransportFormatList,
    },
};

/// An R1 that is genuine and acceptable.
pub(super) struct Offer {
    pub(super) counter: Option<R1Counter>,
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

impl Offer {
    /// Chooses from a genuine R1, in the order of RFC 7401 section 6.8, steps 6 to 15.
    pub(super) fn weigh(
        config: &HostConfig,
        request: Option<&RegistrationRequest>,
        packet: &Packet<'_>,
        host_id: HostId,
        peer: Hit,
    ) -> Result<Self, Weighed> {
        let suites: HitSuiteList = packet.one()?;
        if !suites.contains(config.own_suite()) {
            return Err(PeerIncompatible::OwnHitSuite.into());
        }
        let peer_hit_suite = HitSuite::of_hit(peer).filter(|suite| config.hit_suites.contains(suite));
        let peer_hit_suite = peer_hit_suite.ok_or(PeerIncompatible::HitSuite)?;

        let DhGroupList(groups) = packet.one()?;
        let DiffieHellman { group, public_value } = packet.one()?;
        //= rfc7401#section-4.1.3
        //# The Initiator continues the BEX only
        //# if the Group ID of the public DH value of the Responder is the most
        //# preferred of the IDs supported by both the Initiator and Responder.
        let best = DhGroupList::choose(&groups, &config.dh_groups).ok_or(PeerIncompatible::DhGroup)?;
        if group != best {
            return Err(Weighed::Unacceptable(FailReason::Misbehaved(PeerMisbehaved::DhDowngrade)));
        }

        let ciphers: HipCipher = packet.one()?;
        let cipher = config.ciphers.iter().copied().find(|cipher| ciphers.accepted().contains(cipher));
        let cipher = cipher.ok_or(PeerIncompatible::Cipher)?;
        let security = Security { cipher, dh_group: group, hit_suite: peer_hit_suite, peer_hit_suite };

        let services = packet.find::<RegInfo>()?;
        if let Some(request) = request {
            let offered =
                services.as_ref().is_some_and(|services| services.types.contains(&request.reg_type));
            if !offered {
                return Err(PeerIncompatible::Service.into());
            }
            let own_is_weak = config.own_suite() == HitSuite::EcdsaLowSha1;
            if request.reg_type.is_gcks() && (!security.allows_keys() || own_is_weak) {
                return Err(PeerIncompatible::TooWeak.into());
            }
        }

        let TransportFormatList(formats) = packet.one()?;
        let esp = match &config.transport {
            TransportFormats::Esp(suites) if formats.contains(&ParameterType::ESP_TRANSFORM) => {
                let EspTransform(offered) = packet.one()?;
                let chosen = suites.iter().copied().find(|suite| offered.contains(suite));
                Some(chosen.ok_or(PeerIncompatible::EspSuite)?)
            }
            TransportFormats::Esp(_) if request.is_none() && !formats.is_empty() => {
                return Err(PeerIncompatible::TransportFormat.into());
            }
            _ => None,
        };

        let puzzle: Puzzle = packet.one()?;
        if puzzle.k > config.puzzle_difficulty_max {
            return Err(Weighed::Unacceptable(FailReason::Limit(LimitError::Puzzle)));
        }
        let host_id_parameter = packet.parameters().raw(ParameterType::HOST_ID);
        Ok(Self {
            counter: packet.find()?,
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
