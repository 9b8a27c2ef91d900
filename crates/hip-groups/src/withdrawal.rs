//! Why a key server withdraws groups (binding section 3).

use claviger_hip::wire::Lifetime;

use crate::{McastChannel, iana::ChannelStatus};

/// Why a registrar withdraws groups; it is what the status of each says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// The registration ended by itself. The peer may ask for it again.
    Ended,
    /// The peer's role is less than it was: each channel names what remains of it.
    Narrowed,
    /// The peer's certificate does not hold any more, or something else that the status says refuses it from now on.
    Refused(ChannelStatus),
    /// The peer is not authorised any more.
    Revoked,
}

impl Withdrawal {
    /// Reads a status. One that is not known is the end of the authorisation.
    pub fn from_status(status: ChannelStatus) -> Self {
        match status {
            ChannelStatus::GRANTED => Self::Ended,
            ChannelStatus::ROLE_NOT_AUTHORISED => Self::Narrowed,
            ChannelStatus::NOT_AUTHORISED => Self::Revoked,
            ChannelStatus(4..=9 | 206..=210) => Self::Refused(status),
            _ => Self::Revoked,
        }
    }

    /// Returns the status that groups are sent with.
    pub const fn status(self) -> ChannelStatus {
        match self {
            Self::Ended => ChannelStatus::GRANTED,
            Self::Narrowed => ChannelStatus::ROLE_NOT_AUTHORISED,
            Self::Refused(status) => status,
            Self::Revoked => ChannelStatus::NOT_AUTHORISED,
        }
    }

    /// Makes of a channel what withdraws it.
    pub(crate) fn of(self, channel: McastChannel) -> McastChannel {
        McastChannel { lifetime: Lifetime::CANCEL, status: self.status(), ..channel }
    }
}
