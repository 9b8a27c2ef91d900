//! Code points of the binding, from the ranges for private use of <https://www.iana.org/assignments/hip-parameters>.

use std::fmt;

use claviger_hip::iana::{ParameterType, RegFailure, RegType};

/// The Reg Type of a key server that keys by GDOI.
pub const GCKS_GDOI: RegType = RegType(201);

/// The Reg Type of a key server that keys by GSAKMP.
pub const GCKS_GSAKMP: RegType = RegType(202);

/// The Reg Type of a key server that keys by MIKEY.
pub const GCKS_MIKEY: RegType = RegType(203);

/// The parameter that names a multicast group: inside ENCRYPTED only, and not critical.
pub const MCAST_CHANNEL: ParameterType = ParameterType(38418);

/// Says whether a service is a key server, so that keys hang on its registration.
pub const fn is_gcks(reg_type: RegType) -> bool {
    matches!(reg_type, GCKS_GDOI | GCKS_GSAKMP | GCKS_MIKEY)
}

/// The Status of an MCAST_CHANNEL: 1 to 9 are [`RegFailure`] plus one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelStatus(pub u8);

impl ChannelStatus {
    /// Granted, with the role that the parameter says; zero in requests.
    pub const GRANTED: Self = Self(0);
    /// Further credentials are needed.
    pub const ADDITIONAL_CREDENTIALS: Self = Self::of(RegFailure::ADDITIONAL_CREDENTIALS);
    /// The service is not offered.
    pub const TYPE_UNAVAILABLE: Self = Self::of(RegFailure::TYPE_UNAVAILABLE);
    /// The registrar has no room.
    pub const INSUFFICIENT_RESOURCES: Self = Self::of(RegFailure::INSUFFICIENT_RESOURCES);
    /// The certificates could not be validated.
    pub const INVALID_CERTIFICATE: Self = Self::of(RegFailure::INVALID_CERTIFICATE);
    /// A certificate is malformed, its signature does not verify, or a host's certificate issued another.
    pub const BAD_CERTIFICATE: Self = Self::of(RegFailure::BAD_CERTIFICATE);
    /// A certificate is of a type, or uses something, that the key server does not support.
    pub const UNSUPPORTED_CERTIFICATE: Self = Self::of(RegFailure::UNSUPPORTED_CERTIFICATE);
    /// A certificate is no longer valid, or not yet.
    pub const CERTIFICATE_EXPIRED: Self = Self::of(RegFailure::CERTIFICATE_EXPIRED);
    /// A certificate is refused for another reason.
    pub const CERTIFICATE_OTHER: Self = Self::of(RegFailure::CERTIFICATE_OTHER);
    /// No certificate leads to an owner of the group.
    pub const UNKNOWN_CA: Self = Self::of(RegFailure::UNKNOWN_CA);
    /// The group is unknown.
    pub const GROUP_UNKNOWN: Self = Self(201);
    /// The peer is not authorised for the group.
    pub const NOT_AUTHORISED: Self = Self(202);
    /// The peer is not authorised for the role.
    pub const ROLE_NOT_AUTHORISED: Self = Self(203);
    /// The group holds all the members that it may.
    pub const GROUP_FULL: Self = Self(204);
    /// Another key server serves the group.
    pub const SERVED_ELSEWHERE: Self = Self(205);

    /// A certificate is revoked.
    pub const CERTIFICATE_REVOKED: Self = Self(206);
    /// The certificate gives no right to the group.
    pub const CERTIFICATE_FOR_OTHER_GROUPS: Self = Self(207);
    /// The certificate gives other roles in the group.
    pub const CERTIFICATE_FOR_OTHER_ROLES: Self = Self(208);
    /// The certificate is for another key or HIT than the host's.
    pub const CERTIFICATE_OF_OTHER_KEY: Self = Self(209);
    /// The key server does not know whether a certificate is revoked: it lacks a current list of its issuer.
    pub const REVOCATION_UNKNOWN: Self = Self(210);

    /// Says of one group why a service as a whole is refused.
    pub const fn of(failure: RegFailure) -> Self {
        Self(failure.0.saturating_add(1))
    }

    /// Says of the service as a whole why a group is refused, where RFC 8003 has a word for it.
    pub const fn failure(self) -> Option<RegFailure> {
        match self.0 {
            1..=9 => Some(RegFailure(self.0 - 1)),
            206..=210 => Some(RegFailure::INVALID_CERTIFICATE),
            _ => None,
        }
    }

    /// Returns the binding's name of the value, if this implementation knows it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::GRANTED => Some("GRANTED"),
            Self::GROUP_UNKNOWN => Some("GROUP_UNKNOWN"),
            Self::NOT_AUTHORISED => Some("NOT_AUTHORISED"),
            Self::ROLE_NOT_AUTHORISED => Some("ROLE_NOT_AUTHORISED"),
            Self::GROUP_FULL => Some("GROUP_FULL"),
            Self::SERVED_ELSEWHERE => Some("SERVED_ELSEWHERE"),
            Self::CERTIFICATE_REVOKED => Some("CERTIFICATE_REVOKED"),
            Self::CERTIFICATE_FOR_OTHER_GROUPS => Some("CERTIFICATE_FOR_OTHER_GROUPS"),
            Self::CERTIFICATE_FOR_OTHER_ROLES => Some("CERTIFICATE_FOR_OTHER_ROLES"),
            Self::CERTIFICATE_OF_OTHER_KEY => Some("CERTIFICATE_OF_OTHER_KEY"),
            Self::REVOCATION_UNKNOWN => Some("REVOCATION_UNKNOWN"),
            Self(status) => RegFailure(status - 1).name(),
        }
    }
}

impl From<RegFailure> for ChannelStatus {
    fn from(failure: RegFailure) -> Self {
        Self::of(failure)
    }
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_not_critical() {
        assert!(!MCAST_CHANNEL.is_critical());
    }

    #[test]
    fn known_values_show_their_name_and_others_their_number() {
        assert_eq!(ChannelStatus::from(RegFailure::INVALID_CERTIFICATE).to_string(), "INVALID_CERTIFICATE");
        assert_eq!(ChannelStatus::GRANTED.to_string(), "GRANTED");
        assert_eq!(ChannelStatus(10).to_string(), "10");
    }

    #[test]
    fn a_service_is_refused_by_the_failure_of_its_group_or_as_an_invalid_certificate() {
        for failure in 0..9 {
            let failure = RegFailure(failure);
            assert_eq!(ChannelStatus::from(failure).failure(), Some(failure));
        }
        for status in 206..=210 {
            assert_eq!(ChannelStatus(status).failure(), Some(RegFailure::INVALID_CERTIFICATE));
            assert!(ChannelStatus(status).name().is_some());
        }
        for status in [0, 10, 201, 202, 203, 204, 205, 211, 255] {
            assert_eq!(ChannelStatus(status).failure(), None);
        }
    }

    #[test]
    fn the_status_of_a_failure_is_its_number_plus_one() {
        for failure in 0..9 {
            let status = ChannelStatus::from(RegFailure(failure));
            assert_eq!(status.0, failure + 1);
            assert!(status.name().is_some());
            assert_eq!(status.name(), RegFailure(failure).name());
        }
        assert_eq!(ChannelStatus::UNKNOWN_CA.0, 9);
        assert_eq!(ChannelStatus::ADDITIONAL_CREDENTIALS.0, 1);
        assert_eq!(ChannelStatus::TYPE_UNAVAILABLE.0, 2);
        assert_eq!(ChannelStatus::INSUFFICIENT_RESOURCES.0, 3);
    }
}
