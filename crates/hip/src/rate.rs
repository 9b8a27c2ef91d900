//! How often one address is answered.

use std::{collections::BTreeMap, net::IpAddr};

use claviger_sansio::Time;

/// Addresses counted within one second. A storm from more of them starts the count anew: memory stays bounded,
/// and honest peers are still answered.
const ADDRESSES_MAX: usize = 1 << 16;

/// Counts answers to each address, and to all, within the running second.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_address_max: u32,
    total_max: u32,
    second: u64,
    total: u32,
    answers: BTreeMap<IpAddr, u32>,
}

impl RateLimit {
    pub(crate) fn new(per_address_max: u32, total_max: u32) -> Self {
        Self { per_address_max, total_max, second: 0, total: 0, answers: BTreeMap::new() }
    }

    /// Says whether `address` may be answered once more, and counts the answer if so.
    pub(crate) fn allow(&mut self, now: Time, address: IpAddr) -> bool {
        if now.as_secs() != self.second {
            self.second = now.as_secs();
            self.total = 0;
            self.answers.clear();
        } else if self.answers.len() >= ADDRESSES_MAX {
            self.answers.clear();
        }
        let answers = self.answers.entry(address).or_default();
        if *answers >= self.per_address_max || self.total >= self.total_max {
            return false;
        }
        *answers += 1;
        self.total += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_within_a_second() {
        let mut limit = RateLimit::new(2, 4);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let now = Time::from_secs(9);
        assert!(limit.allow(now, one) && limit.allow(now, one));
        assert!(!limit.allow(now, one));
        assert!(limit.allow(now, other) && limit.allow(now, other));
        assert!(!limit.allow(now, [192, 0, 2, 3].into()), "no more than four in all");
        assert!(limit.allow(Time::from_secs(10), one));
    }

    #[test]
    fn a_storm_of_addresses_is_bounded_in_memory() {
        let mut limit = RateLimit::new(1, u32::MAX);
        for address in 0..=2 * ADDRESSES_MAX as u32 {
            assert!(limit.allow(Time::EPOCH, IpAddr::from(address.to_be_bytes())));
            assert!(limit.answers.len() <= ADDRESSES_MAX);
        }
    }
}
