//! What a member counts.

use claviger_sansio::{
    counter::{Counts, Figure},
    counters,
};

use crate::{Error, Event, error::SaFault};

counters! {
    /// What has happened to a member, and why it dropped messages itself.
    pub enum Counter of "member" {
        /// Evictions: the key server put this host out of a group, and its keys were deleted.
        Evictions => "evictions": Done, Registrations;
        /// Attempts to register that failed.
        FailedRegistrations => "failed_registrations": Done, Attempts;
        /// Leases that ended: the key server did not confirm the keys for as long as one lasts, and nothing was sent until it
        /// did.
        LeasesEnded => "leases_ended": Done, Leases;
        /// Moves of this host that the key server knows of.
        Moves => "moves": Done, Moves;
        /// PULLs that were begun because something was missed, or nears its end.
        PullsAgain => "pulls_again": Done, Exchanges;
        /// Groups that were refused, by the key server or by this member.
        Refusals => "refusals": Done, Registrations;
        /// Registrations to a group that were granted.
        Registrations => "registrations": Done, Registrations;
        /// Registrations to a group that ended at the key server while the host stays on the list.
        RegistrationsEnded => "registrations_ended": Done, Registrations;
        /// New keys that came, by PULL or PUSH.
        Rekeys => "rekeys": Done, Rekeys;
        /// Roles that the key server took from this host.
        RolesLost => "roles_lost": Done, Registrations;
        /// A message brought a data SA with the key of another one: counter modes would repeat their nonces (RFC 6407
        /// section 3.5).
        KeyReused => "key_reused": Drop, Messages;
        /// A message for a group that this member did not ask for, or holds no keys of.
        NotKeyed => "not_keyed": Drop, Messages;
        /// A rekey message under a rekey SA that was announced, and whose keys have not all come.
        RekeySaIncomplete => "rekey_sa_incomplete": Drop, Messages;
        /// A rekey message under cookies that no group of this member has.
        RekeySaUnknown => "rekey_sa_unknown": Drop, Messages;
        /// A message brought a data SA for sender ids of another length than this member has.
        SenderIdBits => "sender_id_bits": Drop, Messages;
        /// A message brought a data SA with the SPI of another one and other keys.
        SpiInUse => "spi_in_use": Drop, Messages;
        /// A message brought a data SA beyond as many as a member holds.
        TooManySas => "too_many_sas": Drop, Messages;
    }
}

impl Counter {
    /// Names what counts an event, if anything does.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Closed | Event::Listen { .. } => None,
            Event::Evicted { .. } => Some(Self::Evictions),
            Event::LeaseEnded { .. } => Some(Self::LeasesEnded),
            Event::LeaseResumed { .. } => None,
            Event::Moved => Some(Self::Moves),
            Event::Narrowed { .. } => Some(Self::RolesLost),
            Event::PullAgain { .. } => Some(Self::PullsAgain),
            Event::Refused { .. } => Some(Self::Refusals),
            Event::Registered { .. } => Some(Self::Registrations),
            Event::RegistrationEnded { .. } => Some(Self::RegistrationsEnded),
            Event::Rekeyed { .. } => Some(Self::Rekeys),
            Event::Unreachable { .. } => Some(Self::FailedRegistrations),
        }
    }
}

impl From<&SaFault> for Counter {
    fn from(fault: &SaFault) -> Self {
        match fault {
            SaFault::KeyReused(_) => Self::KeyReused,
            SaFault::SenderIdBits => Self::SenderIdBits,
            SaFault::SpiInUse(_) => Self::SpiInUse,
            SaFault::TooManySas => Self::TooManySas,
        }
    }
}

/// What a member counts, by the machine inside it that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Which repairs and controls of deliveries were of no use.
    pub delivery: Counts<claviger_delivery::Counter>,
    /// What GDOI dropped.
    pub gdoi: Counts<claviger_gdoi::Counter>,
    /// What HIP dropped.
    pub hip: Counts<claviger_hip::Counter>,
    /// What is for a protocol that this member does not speak.
    pub isakmp: Counts<claviger_isakmp::Counter>,
    /// What the member itself did and dropped.
    pub member: Counts<Counter>,
}

impl Counters {
    pub(crate) fn count_drop(&mut self, error: &Error) {
        match error {
            Error::Delivery(error) => self.delivery.count(error.into()),
            Error::DataSa(fault) => self.member.count(fault.into()),
            Error::Gdoi(error) => self.gdoi.count(error.into()),
            Error::Hip(error) => self.hip.count(error.into()),
            Error::NotKeyed(_) => self.member.count(Counter::NotKeyed),
            Error::RekeySaIncomplete => self.member.count(Counter::RekeySaIncomplete),
            Error::RekeySaUnknown => self.member.count(Counter::RekeySaUnknown),
            Error::Unread(unread) => self.isakmp.count((*unread).into()),
        }
    }

    /// Shows every counter with its count.
    pub fn figures(&self) -> impl Iterator<Item = Figure> {
        let Self { delivery, gdoi, hip, isakmp, member } = self;
        let protocols = gdoi.figures().chain(hip.figures()).chain(isakmp.figures());
        delivery.figures().chain(protocols).chain(member.figures())
    }
}
