//! What a key server counts.

use claviger_sansio::{
    counter::{Counts, Figure},
    counters,
};

use crate::event::RefusalReason;

counters! {
    /// What a key server has done, and what it refused.
    pub enum Counter of "gcks" {
        /// Renewals of the keys of associations.
        AssociationRekeys => "association_rekeys": Done, Exchanges;
        /// Members that departed, for whatever reason.
        Departures => "departures": Done, Members;
        /// Requests of members for leases, or whether their keys are in force, each about one group or several, repetitions among
        /// them.
        LeaseRequests => "lease_requests": Done, Messages;
        /// Members that joined.
        Joins => "joins": Done, Members;
        /// Changes of address that hosts announced and proved.
        Moves => "moves": Done, Moves;
        /// Keys that rekey messages carried.
        PushKeys => "push_keys": Done, WrappedKeys;
        /// Octets of rekey messages, copies not counted.
        PushOctets => "push_octets": Done, Octets;
        /// Rekey messages, copies not counted.
        Pushes => "pushes": Done, Messages;
        /// Rekeys, by which groups got new keys.
        Rekeys => "rekeys": Done, Rekeys;
        /// Members that moved to another place of their group's tree.
        Relocations => "relocations": Done, Members;
        /// Members that began anew under keys made for them: they had registered anew, or used their share of sender ids.
        Returns => "returns": Done, Members;
        /// A host showed a certificate that is over.
        CertificateExpired => "certificate_expired": Drop, Registrations;
        /// A host showed a certificate that names an issuer whose signature it does not bear.
        CertificateForged => "certificate_forged": Drop, Registrations;
        /// A host showed a certificate that gives nothing in the group.
        CertificateForOtherGroups => "certificate_for_other_groups": Drop, Registrations;
        /// A host showed a certificate that gives less in the group than was asked for.
        CertificateForOtherRoles => "certificate_for_other_roles": Drop, Registrations;
        /// A packet lacked certificates of a chain, or had one twice.
        CertificateIncomplete => "certificate_incomplete": Drop, Registrations;
        /// A host showed what is no certificate.
        CertificateMalformed => "certificate_malformed": Drop, Registrations;
        /// A host showed no certificate, and the group wants one.
        CertificateMissing => "certificate_missing": Drop, Registrations;
        /// A host showed a certificate that is not valid yet.
        CertificateNotYetValid => "certificate_not_yet_valid": Drop, Registrations;
        /// A host showed a certificate that was issued by somebody who is no CA.
        CertificateOfNoCa => "certificate_of_no_ca": Drop, Registrations;
        /// A host showed a certificate about another key than its own, or for another HIT.
        CertificateOfOtherKey => "certificate_of_other_key": Drop, Registrations;
        /// A host showed a certificate that breaks another rule of RFC 5280.
        CertificateOther => "certificate_other": Drop, Registrations;
        /// A host showed a certificate that is revoked, or is a member by one that was revoked since.
        CertificateRevoked => "certificate_revoked": Drop, Registrations;
        /// A host showed certificates that do not lead to the owner of the group.
        CertificateUnknownCa => "certificate_unknown_ca": Drop, Registrations;
        /// A host showed a certificate of a type, or with a need, that is not supported.
        CertificateUnsupported => "certificate_unsupported": Drop, Registrations;
        /// A host asked for a group at an address that is not the group's.
        ChannelUnknown => "channel_unknown": Drop, Registrations;
        /// A host asked for a group that it was put out of, though its certificate holds.
        Denied => "denied": Drop, Registrations;
        /// A report on a delivery came from another address than the member was shown to be at.
        ReportElsewhere => "delivery_reports_elsewhere": Drop, Messages;
        /// A host asked for a group that is full.
        GroupFull => "group_full": Drop, Registrations;
        /// A host asked for a group that does not exist.
        GroupUnknown => "group_unknown": Drop, Registrations;
        /// A host asked for a group whose list it is not on.
        NotAuthorised => "not_authorised": Drop, Registrations;
        /// A PULL was answered by a refusal: the grant is gone, or the group was rekeyed meanwhile.
        PullRefused => "pull_refused": Drop, Exchanges;
        /// A member ended its PULL because it cannot follow the group's policy.
        PullsDeclined => "pulls_declined": Drop, Exchanges;
        /// Rekey messages that could not leave for long and are not sent any more.
        PushesDropped => "pushes_dropped": Drop, Messages;
        /// There was no current list of the issuer by which a certificate that a host showed could be known to be revoked.
        RevocationUnknown => "revocation_unknown": Drop, Registrations;
        /// A host asked for a role that it is not allowed in a group whose list it is on.
        RoleNotAuthorised => "role_not_authorised": Drop, Registrations;
        /// A sender asked for more sender ids than its share, or than others have left.
        SenderIdsRefused => "sender_ids_refused": Drop, Exchanges;
        /// A host asked at once for groups of more owners than its certificates are judged for.
        TooManyOwners => "too_many_owners": Drop, Registrations;
        /// A host asked too often within a short time.
        TooOften => "too_often": Drop, Registrations;
        /// A host asked for a group whose keys are stronger than its association.
        WeakAssociation => "weak_association": Drop, Registrations;
    }
}

impl From<RefusalReason> for Counter {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::CertificateExpired => Self::CertificateExpired,
            RefusalReason::CertificateForOtherGroups => Self::CertificateForOtherGroups,
            RefusalReason::CertificateForOtherRoles => Self::CertificateForOtherRoles,
            RefusalReason::CertificateForged => Self::CertificateForged,
            RefusalReason::CertificateIncomplete => Self::CertificateIncomplete,
            RefusalReason::CertificateMalformed => Self::CertificateMalformed,
            RefusalReason::CertificateMissing => Self::CertificateMissing,
            RefusalReason::CertificateNotYetValid => Self::CertificateNotYetValid,
            RefusalReason::CertificateOfNoCa => Self::CertificateOfNoCa,
            RefusalReason::CertificateOfOtherKey => Self::CertificateOfOtherKey,
            RefusalReason::CertificateOther => Self::CertificateOther,
            RefusalReason::CertificateRevoked => Self::CertificateRevoked,
            RefusalReason::CertificateUnknownCa => Self::CertificateUnknownCa,
            RefusalReason::CertificateUnsupported => Self::CertificateUnsupported,
            RefusalReason::ChannelUnknown => Self::ChannelUnknown,
            RefusalReason::Denied => Self::Denied,
            RefusalReason::GroupFull => Self::GroupFull,
            RefusalReason::GroupUnknown => Self::GroupUnknown,
            RefusalReason::NotAuthorised => Self::NotAuthorised,
            RefusalReason::RevocationUnknown => Self::RevocationUnknown,
            RefusalReason::RoleNotAuthorised => Self::RoleNotAuthorised,
            RefusalReason::TooManyOwners => Self::TooManyOwners,
            RefusalReason::TooOften => Self::TooOften,
            RefusalReason::WeakAssociation => Self::WeakAssociation,
        }
    }
}

/// What a key server counts, by the machine inside it that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// What the delivery of long rekeys did and refused.
    pub delivery: Counts<claviger_delivery::Counter>,
    /// What the key server itself did and refused.
    pub gcks: Counts<Counter>,
    /// What GDOI dropped.
    pub gdoi: Counts<claviger_gdoi::Counter>,
    /// What HIP dropped.
    pub hip: Counts<claviger_hip::Counter>,
    /// What is for a protocol that this key server does not speak.
    pub isakmp: Counts<claviger_isakmp::Counter>,
}

impl Counters {
    /// Shows every counter with its count.
    pub fn figures(&self) -> impl Iterator<Item = Figure> {
        let Self { delivery, gcks, gdoi, hip, isakmp } = self;
        let protocols = gdoi.figures().chain(hip.figures()).chain(isakmp.figures());
        delivery.figures().chain(gcks.figures()).chain(protocols)
    }
}
