//! What the machine tells its program.

use std::net::{IpAddr, SocketAddr};

use claviger_gdoi::error::PeerIncompatible;
use claviger_group::{Channel, CookiePair, Encapsulation, GroupId, Role, Spi};
use claviger_hip::{ApiMisuse, FailReason};
use claviger_hip_groups::iana::ChannelStatus;
use claviger_sansio::Time;

use crate::error::SaFault;

/// A change that the program acts on or the user sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key server granted a role in a group.
    Registered {
        /// The group.
        group: GroupId,
        /// The role granted.
        role: Role,
    },
    /// The member holds keys and must listen where the group speaks: sent after the first PULL, and again when the
    /// key server changed the places.
    Listen {
        /// The group.
        group: GroupId,
        /// Where data and GROUPKEY-PUSHes go.
        places: Places,
    },
    /// New keys are in force or staged.
    Rekeyed {
        /// The group.
        group: GroupId,
        /// How they came.
        by: Source,
        /// The rekey SA.
        kek: CookiePair,
        /// The last sequence number under it.
        sequence: u32,
        /// The TEK that came, if one did.
        tek: Option<Spi>,
        /// From when this member sends under it.
        activates: Option<Time>,
    },
    /// The member fetches its keys again, and why.
    PullAgain {
        /// The group.
        group: GroupId,
        /// Why.
        reason: PullReason,
    },
    /// The key server refused a group; the member keeps nothing of it.
    Refused {
        /// The group.
        group: GroupId,
        /// Why.
        refusal: Refusal,
    },
    /// The key server left the member less than its role. It goes on in what remains.
    Narrowed {
        /// The group.
        group: GroupId,
        /// What remains.
        role: Role,
    },
    /// The registration to a group ended at the key server, which has put nobody out. The member keeps its keys to their
    /// lifetimes and registers again.
    RegistrationEnded {
        /// The group.
        group: GroupId,
    },
    /// The key server has not confirmed the keys for as long as their lease lasts: nothing is sent, nor accepted where the
    /// lease is for that too, until it does.
    LeaseEnded {
        /// The group.
        group: GroupId,
    },
    /// The key server has confirmed the keys after their lease had ended.
    LeaseResumed {
        /// The group.
        group: GroupId,
    },
    /// The key server put the member out; its keys are deleted.
    Evicted {
        /// The group.
        group: GroupId,
    },
    /// The key server does not answer; the member keeps its keys to their lifetimes and tries again.
    Unreachable {
        /// How many attempts have failed in a row.
        attempts: u32,
        /// What failed last.
        cause: FailedAttempt,
    },
    /// The key server knows of this host's move.
    Moved,
    /// The association was closed in good order.
    Closed,
}

/// Where a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The data's channel.
    pub channel: Channel,
    /// How ESP travels.
    pub encapsulation: Encapsulation,
    /// The UDP port of ESP, where the encapsulation is UDP.
    pub encapsulation_port: u16,
    /// The UDP port inside that the group protects; zero is any.
    pub application_port: u16,
    /// Where GROUPKEY-PUSHes go.
    pub push: Option<SocketAddr>,
    /// Where GROUPKEY-PUSHes go besides that only members at this member's place need; the same as `push` if it is at
    /// none, and `None` if the group has no places.
    pub place: Option<SocketAddr>,
    /// The source of GROUPKEY-PUSHes, which members of source-specific channels join.
    pub push_source: Option<IpAddr>,
}

/// How keys came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// By GROUPKEY-PULL.
    Pull,
    /// By GROUPKEY-PUSH.
    Push,
}

/// Why a member fetches its keys again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullReason {
    /// The key server named newer keys than are held when it was asked about them, or for a lease.
    Behind,
    /// The key server deleted the SAs and expects a new PULL.
    Deleted,
    /// The key server gives no lease: this host is no member that may have one, or not any more.
    LeaseRefused,
    /// A lifetime nears its end and nothing new has come.
    LifetimeEnding,
    /// GROUPKEY-PUSH numbers were skipped.
    SequenceGap,
    /// This machine goes on from an earlier state.
    Restored,
    /// The sender id's counter is nearly spent.
    SenderIdSpent,
    /// A GROUPKEY-PUSH came under an unknown rekey SA.
    UnknownRekeySa,
    /// Data came under an unknown SPI.
    UnknownSpi,
    /// GROUPKEY-PUSHes were dropped unverified, because many before them were forged.
    UnverifiedPush,
    /// The member's address changed, and with it perhaps its place.
    Moved,
}

impl PullReason {
    /// Says whether the sender ids that are held are good for what the PULL brings: nothing is known to have ended. What
    /// anybody could bring about must spend none.
    pub(crate) const fn keeps_sender_ids(self) -> bool {
        match self {
            Self::Behind | Self::UnknownRekeySa | Self::UnknownSpi | Self::UnverifiedPush => true,
            Self::Deleted
            | Self::LeaseRefused
            | Self::LifetimeEnding
            | Self::SequenceGap
            | Self::Restored
            | Self::SenderIdSpent
            | Self::Moved => false,
        }
    }

    /// Names the reason for counters and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Deleted => "deleted",
            Self::LeaseRefused => "lease_refused",
            Self::LifetimeEnding => "lifetime_ending",
            Self::SequenceGap => "sequence_gap",
            Self::Restored => "restored",
            Self::SenderIdSpent => "sender_id_spent",
            Self::UnknownRekeySa => "unknown_rekey_sa",
            Self::UnknownSpi => "unknown_spi",
            Self::UnverifiedPush => "unverified_push",
            Self::Moved => "moved",
        }
    }
}

/// Why a group was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The server: this host is not authorised for the group, or there is none.
    NotAuthorised,
    /// The server: authorised, but not for the role.
    NotForRole,
    /// The server: the certificate is over, or not valid yet.
    CertificateExpired,
    /// The server: the certificate gives nothing in this group.
    CertificateForOtherGroups,
    /// The server: the certificate gives less in this group than was asked for.
    CertificateForOtherRoles,
    /// The server: the certificate, or one of its chain, is malformed, forged, missing, or was issued by no CA.
    CertificateMalformed,
    /// The server: a certificate is needed, and none was shown.
    CertificateMissing,
    /// The server: the certificate is another host's.
    CertificateOfOtherKey,
    /// The server: the certificate breaks a rule that the answer does not name.
    CertificateOther,
    /// The server: the certificate is revoked.
    CertificateRevoked,
    /// The server: the certificates lead to no owner of the group, or there is no such group.
    CertificateUnknownCa,
    /// The server: the certificate is of a type, or needs something, that the server does not support.
    CertificateUnsupported,
    /// The server: it has no current list by which the certificate could be known to be revoked.
    RevocationUnknown,
    /// The server: the group is full.
    GroupFull,
    /// The server: another key server serves the group.
    Elsewhere,
    /// The server: the group's keys are stronger than the association.
    WeakAssociation,
    /// The server: some other status of the binding, section 2.
    Status(ChannelStatus),
    /// The server does not offer GDOI registration.
    NoService,
    /// This member: the key server may not be one of the group, by the word of the group's owner.
    KeyServer(KeyServerFault),
    /// This member: the group's ESP is not what its data plane carries.
    Encapsulation(Encapsulation),
    /// This member: the group needs an extension that it was told to refuse, or something that it does not know.
    Incompatible(PeerIncompatible),
    /// This member: the policy, or a key that belongs to it, is something that it cannot follow.
    Policy(PolicyFault),
}

impl From<ChannelStatus> for Refusal {
    fn from(status: ChannelStatus) -> Self {
        match status {
            // So a key server answers a host whose association is too weak (binding section 4).
            ChannelStatus::ADDITIONAL_CREDENTIALS => Self::WeakAssociation,
            ChannelStatus::BAD_CERTIFICATE => Self::CertificateMalformed,
            ChannelStatus::CERTIFICATE_EXPIRED => Self::CertificateExpired,
            ChannelStatus::CERTIFICATE_FOR_OTHER_GROUPS => Self::CertificateForOtherGroups,
            ChannelStatus::CERTIFICATE_FOR_OTHER_ROLES => Self::CertificateForOtherRoles,
            ChannelStatus::CERTIFICATE_OF_OTHER_KEY => Self::CertificateOfOtherKey,
            ChannelStatus::CERTIFICATE_OTHER => Self::CertificateOther,
            ChannelStatus::CERTIFICATE_REVOKED => Self::CertificateRevoked,
            ChannelStatus::GROUP_FULL => Self::GroupFull,
            ChannelStatus::INVALID_CERTIFICATE => Self::CertificateMissing,
            ChannelStatus::REVOCATION_UNKNOWN => Self::RevocationUnknown,
            ChannelStatus::UNKNOWN_CA => Self::CertificateUnknownCa,
            ChannelStatus::UNSUPPORTED_CERTIFICATE => Self::CertificateUnsupported,
            ChannelStatus::NOT_AUTHORISED | ChannelStatus::GROUP_UNKNOWN => Self::NotAuthorised,
            ChannelStatus::ROLE_NOT_AUTHORISED => Self::NotForRole,
            ChannelStatus::SERVED_ELSEWHERE => Self::Elsewhere,
            other => Self::Status(other),
        }
    }
}

/// Why a key server may not be one of a group, as a member of it judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyServerFault {
    /// Its certificate is over.
    Expired,
    /// Its certificate gives nothing in this group.
    ForOtherGroups,
    /// Its certificate names an issuer whose signature it does not bear.
    Forged,
    /// The packet lacks certificates of a chain, or has one twice.
    Incomplete,
    /// What it shows is no certificate.
    Malformed,
    /// It shows no certificate.
    Missing,
    /// Its certificate is that of a member of the group, and not of a key server.
    NotKeyServer,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// Its certificate was issued by somebody who is no CA.
    OfNoCa,
    /// The certificate is another host's.
    OfOtherKey,
    /// Its certificate breaks another rule of RFC 5280.
    Other,
    /// Its certificate is revoked.
    Revoked,
    /// There is no current list by which its certificate could be known to be revoked.
    RevocationUnknown,
    /// Its certificates do not lead to the owner.
    UnknownCa,
    /// Its certificate is of a type, or needs something, that is not supported.
    Unsupported,
}

/// Why a member does not follow a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFault {
    /// The data plane does not take a data SA.
    DataPlane,
    /// A data SA cannot be held beside the others.
    DataSa(SaFault),
    /// GDOI refuses a key.
    Gdoi(claviger_gdoi::Error),
    /// The KEK is weaker than the traffic keys.
    KekWeaker,
    /// The download lacks something that the policy asserts.
    Missing(Missing),
    /// Rekey messages for a place do not go to a multicast address of the group's family.
    PlaceAddress,
    /// Rekey messages for a place go to port 0.
    PlacePort,
    /// Rekey messages do not go to a multicast address.
    PushAddress,
    /// Rekey messages go to port 0.
    PushPort,
    /// The data SAs have different addresses.
    TekAddresses,
    /// There are more data SAs than this member holds.
    TooManyTeks,
    /// 256-bit keys would travel under a weaker registration.
    WeakRegistration,
    /// The rekey SA has a zero cookie.
    ZeroCookie,
}

/// What a download lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A data SA.
    DataSa,
    /// The KEK.
    Kek,
    /// A sender id of a size that the data plane can use.
    SenderId,
    /// The sequence number of the rekey SA.
    SequenceNumber,
    /// The key that signs rekey messages.
    SigningKey,
    /// The keys of a data SA.
    Tek,
}

/// Why an attempt to register failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedAttempt {
    /// The base exchange came to nothing.
    BaseExchange(FailReason),
    /// The key server stopped answering over the association.
    Silence,
    /// HIP did not take the request.
    Request(ApiMisuse),
}
