//! For how long a member may use the keys without word from the key server.

use std::time::Duration;

use crate::Role;

/// For how long members may use the keys after the key server has last confirmed that they are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// How long a lease lasts; none, and nobody needs one.
    pub time: Option<Duration>,
    /// Whether receivers need one too.
    pub receivers: bool,
}

impl LeasePolicy {
    /// Nobody needs a lease.
    pub const OFF: Self = Self { time: None, receivers: false };

    /// Makes the default policy for this lifetime of TEKs: senders need a lease, which lasts a sixth of it.
    pub fn for_tek_lifetime(tek_lifetime: Duration) -> Self {
        let seconds = (tek_lifetime.as_secs() / TEK_LIFETIME_PART).clamp(SECONDS_MIN, SECONDS_MAX);
        Self { time: Some(Duration::from_secs(seconds)), receivers: false }
    }

    /// Says how long a lease of a member with this role lasts; none, and it needs none.
    pub fn applies_to(self, role: Role) -> Option<Duration> {
        self.time.filter(|_| role.sends() || self.receivers)
    }

    /// Says whether a lease can last so long: whole seconds that are enough to ask anew in, and travel in 16 bits.
    pub(super) fn may_last(time: Duration) -> bool {
        time.subsec_nanos() == 0 && (SECONDS_MIN..=SECONDS_MAX).contains(&time.as_secs())
    }
}

/// The default lease is the TEK's lifetime divided by this: well before the TEK ends, and asked for seldom.
const TEK_LIFETIME_PART: u64 = 6;

/// The shortest lease: a member asks several times within it, and copes with answers that are lost.
const SECONDS_MIN: u64 = 10;

/// The longest lease: it travels in 16 bits.
const SECONDS_MAX: u64 = u16::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_need_leases_and_receivers_where_the_policy_says_so() {
        let time = Some(Duration::from_secs(600));
        let senders = LeasePolicy { time, receivers: false };
        assert_eq!(
            [Role::Receiver, Role::Sender, Role::Both].map(|r| senders.applies_to(r)),
            [None, time, time]
        );
        let all = LeasePolicy { time, receivers: true };
        assert_eq!([Role::Receiver, Role::Sender, Role::Both].map(|r| all.applies_to(r)), [time; 3]);
        assert_eq!([Role::Receiver, Role::Both].map(|r| LeasePolicy::OFF.applies_to(r)), [None; 2]);
    }

    #[test]
    fn the_default_is_a_sixth_of_the_tek_lifetime_within_bounds() {
        for (tek_lifetime, lease) in [(3600, 600), (3605, 600), (59, 10), (10, 10), (4_294_967_295, 65_535)] {
            let policy = LeasePolicy::for_tek_lifetime(Duration::from_secs(tek_lifetime));
            assert_eq!(policy, LeasePolicy { time: Some(Duration::from_secs(lease)), receivers: false });
        }
    }
}
