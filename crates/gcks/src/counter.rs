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
        /// A host asked for a group at an address that is not the group's.
        ChannelUnknown => "channel_unknown": Drop, Registrations;
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
        /// A host asked for a role that it is not allowed in a group whose list it is on.
        RoleNotAuthorised => "role_not_authorised": Drop, Registrations;
        /// A sender asked for more sender ids than its share, or than others have left.
        SenderIdsRefused => "sender_ids_refused": Drop, Exchanges;
        /// A host asked too often within a short time.
        TooOften => "too_often": Drop, Registrations;
        /// A host asked for a group whose keys are stronger than its association.
        WeakAssociation => "weak_association": Drop, Registrations;
    }
}

impl From<RefusalReason> for Counter {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::ChannelUnknown => Self::ChannelUnknown,
            RefusalReason::GroupFull => Self::GroupFull,
            RefusalReason::GroupUnknown => Self::GroupUnknown,
            RefusalReason::NotAuthorised => Self::NotAuthorised,
            RefusalReason::RoleNotAuthorised => Self::RoleNotAuthorised,
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
