//! What HIP must know of a group to carry it.

use claviger_hip::{
    Item, Security,
    iana::{RegFailure, RegType},
    wire::Lifetime,
};
use claviger_wire::DecodeError;

use crate::{
    McastChannel, Withdrawal,
    iana::{ChannelStatus, is_gcks},
    keys,
    wire::mcast_channel::CHANNELS_MAX,
};

impl Item for McastChannel {
    const NAME: &'static str = "MCAST_CHANNEL";
    const COUNT_MAX: usize = CHANNELS_MAX;

    fn reg_type(&self) -> RegType {
        self.reg_type
    }

    fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    fn is_granted(&self) -> bool {
        self.status == ChannelStatus::GRANTED
    }

    fn is_same(&self, other: &Self) -> bool {
        let source = |channel: &Self| channel.channel.and_then(|channel| channel.source());
        self.group == other.group && source(self) == source(other)
    }

    fn refused(&self, failure: RegFailure) -> Self {
        self.answer(failure.into(), self.role, Lifetime::CANCEL)
    }

    fn must_be_acknowledged(&self) -> bool {
        match Withdrawal::from_status(self.status) {
            // A peer whose registration merely ended finds out when it renews, or uses it.
            Withdrawal::Ended => false,
            Withdrawal::Narrowed | Withdrawal::Refused(_) | Withdrawal::Revoked => true,
        }
    }

    fn check_all(items: &[Self]) -> Result<(), DecodeError> {
        Self::check_all(items)
    }

    fn is_protected(reg_type: RegType, security: &Security) -> bool {
        !is_gcks(reg_type) || keys::allows_keys(security)
    }
}
