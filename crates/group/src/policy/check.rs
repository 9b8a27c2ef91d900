//! Says whether a policy is coherent.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Duration};

use super::{GroupPolicy, LeasePolicy, PLACES_MAX};
use crate::{KekManagement, PushAuthentication, sender_id::SENDER_ID_BITS};

/// A policy that contradicts itself or a limit. Each variant names the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyError {
    /// `batch_max` is zero.
    BatchMax,
    /// `activation_delay` or `deactivation_delay` is no whole number of seconds up to 65,535.
    Delay,
    /// `deactivation_delay` is shorter than `activation_delay` and packets would be lost (RFC 6407 section 5.4.1).
    DelayOrder,
    /// `degree` is not 2 to 8.
    Degree,
    /// `lease.time` is no whole number of seconds from 10 to 65,535, or is longer than `tek_lifetime`.
    Lease,
    /// `data.replayable` is true, but replays are refused.
    NotReplayable,
    /// A rekey interval is not shorter than three quarters of its lifetime.
    RekeyInterval,
    /// A lifetime is shorter than ten seconds or does not fit 32 bits of seconds.
    Lifetime,
    /// `members_max` is zero or exceeds what the key tree's ids can name at this degree.
    MembersMax {
        /// The most that is possible.
        limit: u32,
    },
    /// `push_address` is not a multicast address of the channel's family.
    PushAddress,
    /// A port is zero that must not be.
    Port,
    /// The push address of a place is no multicast address of the channel's family, or not its own.
    PlaceAddress,
    /// `members` of a place is zero, or more than the group admits.
    PlaceMembers,
    /// A prefix stands for two places.
    PlacePrefix,
    /// There are places, but the KEK management is not LKH-32 or the push authentication is not the batch.
    PlacesForm,
    /// There are more than [`PLACES_MAX`] places.
    PlacesMax,
    /// Receivers need leases, but there are none.
    ReceiverLease,
    /// Outsiders could repeat packets, and `data.replayable` is false.
    Replayable,
    /// `sender_id_bits` is not 8, 12 or 16.
    SenderIdBits,
    /// The KEK is weaker than the traffic keys that it protects.
    WeakKek,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BatchMax => f.write_str("a batch holds at least one join or departure"),
            Self::Delay => f.write_str("activation and deactivation delays are whole seconds up to 65535"),
            Self::DelayOrder => {
                f.write_str("the deactivation delay must not be shorter than the activation delay")
            }
            Self::Degree => f.write_str("the tree's degree is 2 to 8"),
            Self::Lease => f.write_str(
                "a lease is 10 to 65535 whole seconds, and not longer than the TEK's lifetime",
            ),
            Self::NotReplayable => f.write_str("the group refuses replays, and so it is not replayable"),
            Self::RekeyInterval => {
                f.write_str("a rekey interval must be at most three quarters of its lifetime")
            }
            Self::Lifetime => f.write_str("a lifetime is at least 10 seconds and at most 4294967295"),
            Self::MembersMax { limit } => {
                write!(f, "the group holds 1 to {limit} members at this degree and KEK management")
            }
            Self::PushAddress => {
                f.write_str("the push address must be a multicast address of the channel's address family")
            }
            Self::Port => f.write_str("a port must not be zero"),
            Self::PlaceAddress => f.write_str(
                "each place needs a push address of its own, a multicast address of the channel's address family",
            ),
            Self::PlaceMembers => {
                f.write_str("a place expects at least one member and at most as many as the group holds")
            }
            Self::PlacePrefix => f.write_str("each place needs a prefix of its own"),
            Self::PlacesForm => f.write_str("places need KEK management lkh-32 and push authentication batch"),
            Self::PlacesMax => write!(f, "a group has at most {PLACES_MAX} places"),
            Self::ReceiverLease => f.write_str("receivers cannot need leases where there are none"),
            Self::Replayable => f.write_str(
                "with AES-CBC in transport mode and any source nothing authenticates who sent a packet, and whoever \
                 recorded one can replay it under another source address, without a key and as often as he likes",
            ),
            Self::SenderIdBits => f.write_str("sender ids have 8, 12 or 16 bits"),
            Self::WeakKek => f.write_str("a group with 256-bit traffic keys needs a 256-bit KEK"),
        }
    }
}

impl std::error::Error for PolicyError {}

impl GroupPolicy {
    /// Says whether the policy is coherent; `members_limit` is what the key tree's identifiers can name.
    pub fn check(&self, members_limit: u32) -> Result<(), PolicyError> {
        let delay = |d: Duration| d.subsec_nanos() == 0 && d.as_secs() <= u16::MAX.into();
        let lifetime = |d: Duration| (10..=u32::MAX.into()).contains(&d.as_secs());
        let rekey =
            |interval: Duration, lifetime: Duration| !interval.is_zero() && interval * 4 <= lifetime * 3;
        let rules = [
            ((2..=8).contains(&self.tree.degree), PolicyError::Degree),
            (delay(self.times.activation_delay) && delay(self.times.deactivation_delay), PolicyError::Delay),
            (self.times.deactivation_delay >= self.times.activation_delay, PolicyError::DelayOrder),
            (lifetime(self.times.tek_lifetime) && lifetime(self.times.kek_lifetime), PolicyError::Lifetime),
            (lifetime(self.access.registration_lifetime), PolicyError::Lifetime),
            (rekey(self.times.tek_rekey, self.times.tek_lifetime), PolicyError::RekeyInterval),
            (rekey(self.times.kek_rekey, self.times.kek_lifetime), PolicyError::RekeyInterval),
            (
                (1..=members_limit).contains(&self.access.members_max),
                PolicyError::MembersMax { limit: members_limit },
            ),
            (SENDER_ID_BITS.contains(&self.data.sender_id_bits), PolicyError::SenderIdBits),
            (self.data.replayable || self.data.refuses_replays(), PolicyError::Replayable),
            (!self.data.replayable || !self.data.refuses_replays(), PolicyError::NotReplayable),
            (self.data.encapsulation_port != 0 && self.rekey.port != Some(0), PolicyError::Port),
            (self.rekey.address.is_none_or(|a| self.may_push_to(a)), PolicyError::PushAddress),
            (self.rekey.batch_max > 0, PolicyError::BatchMax),
            (
                self.rekey.kek_cipher.key_len() * 8 >= self.data.transform.key_bits().into(),
                PolicyError::WeakKek,
            ),
            (
                self.lease
                    .time
                    .is_none_or(|time| LeasePolicy::may_last(time) && time <= self.times.tek_lifetime),
                PolicyError::Lease,
            ),
            (self.lease.time.is_some() || !self.lease.receivers, PolicyError::ReceiverLease),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, error)| Err(error))?;
        self.check_places()
    }

    fn check_places(&self) -> Result<(), PolicyError> {
        if self.tree.places.is_empty() {
            return Ok(());
        }
        if self.tree.places.len() > PLACES_MAX {
            return Err(PolicyError::PlacesMax);
        }
        if (self.rekey.management, self.rekey.authentication)
            != (KekManagement::Lkh32, PushAuthentication::Batch)
        {
            return Err(PolicyError::PlacesForm);
        }
        // Whoever listens for the group would hear what is for one place.
        let mut addresses = BTreeSet::from([self.data.channel.group(), self.push_destination()]);
        let mut prefixes = BTreeSet::new();
        for place in &self.tree.places {
            if !self.may_push_to(place.push_address) || !addresses.insert(place.push_address) {
                return Err(PolicyError::PlaceAddress);
            }
            if !prefixes.insert(place.prefix) {
                return Err(PolicyError::PlacePrefix);
            }
            if !(1..=self.access.members_max).contains(&place.members) {
                return Err(PolicyError::PlaceMembers);
            }
        }
        Ok(())
    }

    fn may_push_to(&self, address: IpAddr) -> bool {
        address.is_multicast() && address.is_ipv4() == self.data.channel.group().is_ipv4()
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::cipher::CipherAlgorithm;

    use super::*;
    use crate::{Channel, Encapsulation, EspTransform, GroupPlace, policy::DataPolicy};

    fn policy() -> GroupPolicy {
        GroupPolicy::new(Channel::new("239.192.0.1".parse().unwrap(), None).unwrap())
    }

    #[test]
    fn the_default_policy_is_coherent() {
        assert_eq!(policy().check(49_152), Ok(()));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        type Breaking = fn(&mut GroupPolicy);
        let broken: [(Breaking, PolicyError); 16] = [
            (|p| p.tree.degree = 9, PolicyError::Degree),
            (|p| p.times.activation_delay = Duration::from_millis(1500), PolicyError::Delay),
            (|p| p.times.deactivation_delay = Duration::ZERO, PolicyError::DelayOrder),
            (|p| p.times.tek_rekey = p.times.tek_lifetime, PolicyError::RekeyInterval),
            (|p| p.times.kek_lifetime = Duration::ZERO, PolicyError::Lifetime),
            (|p| p.access.members_max = 50_000, PolicyError::MembersMax { limit: 49_152 }),
            (|p| p.data.sender_id_bits = 10, PolicyError::SenderIdBits),
            (|p| p.data.transform = EspTransform::Aes128CbcHmacSha256, PolicyError::Replayable),
            (|p| p.data.replayable = true, PolicyError::NotReplayable),
            (|p| p.rekey.address = Some("ff15::1".parse().unwrap()), PolicyError::PushAddress),
            (|p| p.data.transform = EspTransform::Aes256Gcm16, PolicyError::WeakKek),
            (|p| p.lease.time = Some(Duration::from_secs(9)), PolicyError::Lease),
            (|p| p.lease.time = Some(Duration::from_secs(65_536)), PolicyError::Lease),
            (|p| p.lease.time = Some(Duration::from_millis(10_500)), PolicyError::Lease),
            (|p| p.lease.time = Some(p.times.tek_lifetime + Duration::from_secs(1)), PolicyError::Lease),
            (|p| p.lease = LeasePolicy { time: None, receivers: true }, PolicyError::ReceiverLease),
        ];
        for (breaking, error) in broken {
            let mut policy = policy();
            breaking(&mut policy);
            assert_eq!(policy.check(49_152), Err(error));
        }
    }

    #[test]
    fn a_group_whose_packets_outsiders_can_replay_is_asked_for_by_name() {
        let any = policy().data.channel;
        let one = Channel::new("232.1.1.1".parse().unwrap(), Some("192.0.2.1".parse().unwrap())).unwrap();
        for transform in EspTransform::ALL {
            for encapsulation in [1, 2, 3, 4].map(|value| Encapsulation::from_value(value).unwrap()) {
                for channel in [any, one] {
                    let is_replayable =
                        !transform.is_counter_mode() && !encapsulation.is_tunnel() && channel == any;
                    for replayable in [false, true] {
                        let mut policy = policy();
                        policy.rekey.kek_cipher = CipherAlgorithm::Aes256Cbc;
                        policy.data =
                            DataPolicy { channel, encapsulation, transform, replayable, ..policy.data };
                        let expected = match (is_replayable, replayable) {
                            (true, false) => Err(PolicyError::Replayable),
                            (false, true) => Err(PolicyError::NotReplayable),
                            (true, true) | (false, false) => Ok(()),
                        };
                        assert_eq!(policy.check(49_152), expected, "{:?}", policy.data);
                    }
                }
            }
        }
    }

    #[test]
    fn a_lease_may_last_as_long_as_a_tek_or_be_off() {
        let mut policy = policy();
        for time in [Some(Duration::from_secs(10)), Some(policy.times.tek_lifetime), None] {
            policy.lease.time = time;
            assert_eq!(policy.check(49_152), Ok(()), "{time:?}");
        }
    }

    #[test]
    fn places_have_prefixes_and_addresses_of_their_own() {
        let place = |number: u8| GroupPlace {
            prefix: format!("10.{number}.0.0/16").parse().unwrap(),
            push_address: [239, 192, 1, number].into(),
            members: 64,
        };
        let placed = |places: Vec<GroupPlace>| {
            let mut policy = policy();
            policy.rekey.management = KekManagement::Lkh32;
            policy.rekey.authentication = PushAuthentication::Batch;
            policy.tree.places = places;
            policy
        };
        let check = |policy: &GroupPolicy| policy.check(49_152);
        let good = placed(vec![place(1), place(2)]);
        assert_eq!(check(&good), Ok(()));
        assert_eq!(good.place_at([10, 2, 3, 4].into()), Some(1));
        assert_eq!(good.place_at([192, 0, 2, 1].into()), None);
        let mut form = good.clone();
        form.rekey.management = KekManagement::Lkh;
        assert_eq!(check(&form), Err(PolicyError::PlacesForm));
        let mut form = good.clone();
        form.rekey.authentication = PushAuthentication::Message;
        assert_eq!(check(&form), Err(PolicyError::PlacesForm));
        for (wrong, error) in [
            (GroupPlace { prefix: place(1).prefix, ..place(2) }, PolicyError::PlacePrefix),
            (GroupPlace { push_address: place(1).push_address, ..place(2) }, PolicyError::PlaceAddress),
            (GroupPlace { push_address: [239, 192, 0, 1].into(), ..place(2) }, PolicyError::PlaceAddress),
            (GroupPlace { push_address: [10, 0, 0, 1].into(), ..place(2) }, PolicyError::PlaceAddress),
            (GroupPlace { push_address: "ff15::1".parse().unwrap(), ..place(2) }, PolicyError::PlaceAddress),
            (GroupPlace { members: 0, ..place(2) }, PolicyError::PlaceMembers),
            (GroupPlace { members: 10_001, ..place(2) }, PolicyError::PlaceMembers),
        ] {
            assert_eq!(check(&placed(vec![place(1), wrong])), Err(error), "{wrong:?}");
        }
        assert_eq!(check(&placed(vec![place(1); PLACES_MAX + 1])), Err(PolicyError::PlacesMax));
    }
}
