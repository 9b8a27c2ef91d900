//! Everything that is decided about a group.

use std::{collections::BTreeSet, fmt, net::IpAddr, time::Duration};

use claviger_crypto::{cipher::CipherAlgorithm, sign::KeyAlgorithm};

use crate::{
    Channel, Encapsulation, EspTransform, GroupPlace, KekManagement, PushAuthentication, place::place_at,
};

/// The policy of one group; one object for every protocol that keys it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPolicy {
    /// Where data goes.
    pub channel: Channel,
    /// How ESP travels.
    pub encapsulation: Encapsulation,
    /// The UDP port of ESP where the encapsulation is UDP.
    pub encapsulation_port: u16,
    /// The UDP destination port inside that the group protects; zero protects everything sent to the channel.
    pub application_port: u16,
    /// The ESP algorithms.
    pub transform: EspTransform,
    /// Where GROUPKEY-PUSH messages go; `None` is the channel's own group address.
    pub push_address: Option<IpAddr>,
    /// The UDP port that GROUPKEY-PUSH messages go to; `None` leaves it to [`GroupPolicy::push_port_at`].
    pub push_port: Option<u16>,
    /// The cipher of the KEK and of every key in the tree.
    pub kek_cipher: CipherAlgorithm,
    /// The kind of the group's signing key.
    pub push_signature: KeyAlgorithm,
    /// What a signature of GROUPKEY-PUSH messages is over.
    pub push_authentication: PushAuthentication,
    /// How the keys of the tree travel.
    pub kek_management: KekManagement,
    /// The degree k of the key tree, 2 to 8.
    pub degree: u8,
    /// The most members that the group admits.
    pub members_max: u32,
    /// How many bits of the IV name the sender: 8, 12 or 16 (RFC 6054 section 3).
    pub sender_id_bits: u8,
    /// How long a TEK may be used.
    pub tek_lifetime: Duration,
    /// How long after a TEK was issued the next one is: well before the lifetime ends.
    pub tek_rekey: Duration,
    /// How long a KEK may be used.
    pub kek_lifetime: Duration,
    /// How long after a KEK was issued the next one is: well before the lifetime ends.
    pub kek_rekey: Duration,
    /// ACTIVATION_TIME_DELAY: how long senders keep the old TEK after a new one arrived. The group's eviction delay.
    pub activation_delay: Duration,
    /// DEACTIVATION_TIME_DELAY: how long receivers keep the old TEK after a new one arrived.
    pub deactivation_delay: Duration,
    /// How long joins and departures are gathered before the group is rekeyed; zero rekeys at once. Evictions are
    /// never waited with.
    pub batch_interval: Duration,
    /// How many joins and departures are gathered at most, within that time.
    pub batch_max: u32,
    /// How long a registration lasts unless it is renewed.
    pub registration_lifetime: Duration,
    /// The places that the key tree follows; members at none of them are elsewhere. None, and the tree follows nothing.
    pub places: Vec<GroupPlace>,
}

/// The most places of a group. Each adds some forty octets to what is stored at a rekey.
pub const PLACES_MAX: usize = 1024;

/// A policy that contradicts itself or a limit. Each variant names the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// `batch_max` is zero.
    BatchMax,
    /// `activation_delay` or `deactivation_delay` is no whole number of seconds up to 65,535.
    Delay,
    /// `deactivation_delay` is shorter than `activation_delay` and packets would be lost (RFC 6407 section 5.4.1).
    DelayOrder,
    /// `degree` is not 2 to 8.
    Degree,
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
            Self::SenderIdBits => f.write_str("sender ids have 8, 12 or 16 bits"),
            Self::WeakKek => f.write_str("a group with 256-bit traffic keys needs a 256-bit KEK"),
        }
    }
}

impl std::error::Error for PolicyError {}

impl GroupPolicy {
    /// Makes the default policy for a channel.
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            encapsulation: Encapsulation::UdpTransport,
            encapsulation_port: 4500,
            application_port: 0,
            transform: EspTransform::Aes128Gcm16,
            push_address: None,
            push_port: None,
            kek_cipher: CipherAlgorithm::Aes128Cbc,
            push_signature: KeyAlgorithm::EcdsaP256,
            push_authentication: PushAuthentication::Message,
            kek_management: KekManagement::Lkh,
            degree: 4,
            members_max: 10_000,
            sender_id_bits: 16,
            tek_lifetime: Duration::from_secs(3600),
            tek_rekey: Duration::from_secs(1800),
            kek_lifetime: Duration::from_secs(86_400),
            kek_rekey: Duration::from_secs(43_200),
            activation_delay: Duration::from_secs(1),
            deactivation_delay: Duration::from_secs(5),
            batch_interval: Duration::ZERO,
            batch_max: 10_000,
            registration_lifetime: Duration::from_secs(86_400),
            places: Vec::new(),
        }
    }

    /// Says whether the policy is coherent; `members_limit` is what the key tree's identifiers can name.
    pub fn check(&self, members_limit: u32) -> Result<(), PolicyError> {
        let delay = |d: Duration| d.subsec_nanos() == 0 && d.as_secs() <= u16::MAX.into();
        let lifetime = |d: Duration| (10..=u32::MAX.into()).contains(&d.as_secs());
        let rekey =
            |interval: Duration, lifetime: Duration| !interval.is_zero() && interval * 4 <= lifetime * 3;
        let rules = [
            ((2..=8).contains(&self.degree), PolicyError::Degree),
            (delay(self.activation_delay) && delay(self.deactivation_delay), PolicyError::Delay),
            (self.deactivation_delay >= self.activation_delay, PolicyError::DelayOrder),
            (lifetime(self.tek_lifetime) && lifetime(self.kek_lifetime), PolicyError::Lifetime),
            (lifetime(self.registration_lifetime), PolicyError::Lifetime),
            (rekey(self.tek_rekey, self.tek_lifetime), PolicyError::RekeyInterval),
            (rekey(self.kek_rekey, self.kek_lifetime), PolicyError::RekeyInterval),
            (
                (1..=members_limit).contains(&self.members_max),
                PolicyError::MembersMax { limit: members_limit },
            ),
            (matches!(self.sender_id_bits, 8 | 12 | 16), PolicyError::SenderIdBits),
            (self.encapsulation_port != 0 && self.push_port != Some(0), PolicyError::Port),
            (self.push_address.is_none_or(|a| self.may_push_to(a)), PolicyError::PushAddress),
            (self.batch_max > 0, PolicyError::BatchMax),
            (self.kek_cipher.key_len() * 8 >= self.transform.key_bits().into(), PolicyError::WeakKek),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, error)| Err(error))?;
        self.check_places()
    }

    fn check_places(&self) -> Result<(), PolicyError> {
        if self.places.is_empty() {
            return Ok(());
        }
        if self.places.len() > PLACES_MAX {
            return Err(PolicyError::PlacesMax);
        }
        if (self.kek_management, self.push_authentication)
            != (KekManagement::Lkh32, PushAuthentication::Batch)
        {
            return Err(PolicyError::PlacesForm);
        }
        // Whoever listens for the group would hear what is for one place.
        let mut addresses = BTreeSet::from([self.channel.group(), self.push_destination()]);
        let mut prefixes = BTreeSet::new();
        for place in &self.places {
            if !self.may_push_to(place.push_address) || !addresses.insert(place.push_address) {
                return Err(PolicyError::PlaceAddress);
            }
            if !prefixes.insert(place.prefix) {
                return Err(PolicyError::PlacePrefix);
            }
            if !(1..=self.members_max).contains(&place.members) {
                return Err(PolicyError::PlaceMembers);
            }
        }
        Ok(())
    }

    /// Says at which of the places a host with this address is; the longest prefix decides. None is elsewhere.
    pub fn place_at(&self, address: IpAddr) -> Option<usize> {
        place_at(&self.places, address)
    }

    /// Shows the address that GROUPKEY-PUSH messages go to.
    pub fn push_destination(&self) -> IpAddr {
        self.push_address.unwrap_or(self.channel.group())
    }

    /// Says which port GROUPKEY-PUSH messages go to, at a server with this GDOI port: the same, as RFC 6407 section
    /// 2.2 allows, but for groups whose members need no privilege one that needs none to listen on.
    pub fn push_port_at(&self, gdoi_port: u16) -> u16 {
        let unprivileged = gdoi_port < FIRST_UNPRIVILEGED_PORT && self.encapsulation.is_udp();
        self.push_port.unwrap_or(if unprivileged { UNPRIVILEGED_PUSH_PORT } else { gdoi_port })
    }

    fn may_push_to(&self, address: IpAddr) -> bool {
        address.is_multicast() && address.is_ipv4() == self.channel.group().is_ipv4()
    }
}

/// Ports below need a privilege to listen on.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Where GROUPKEY-PUSHes go instead of a privileged port. The SA KEK tells members, so the number is ours to choose.
const UNPRIVILEGED_PUSH_PORT: u16 = 10_848;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> GroupPolicy {
        GroupPolicy::new(Channel::new("239.192.0.1".parse().unwrap(), None).unwrap())
    }

    #[test]
    fn the_default_policy_is_coherent() {
        assert_eq!(policy().check(49_152), Ok(()));
    }

    #[test]
    fn pushes_go_where_members_may_listen() {
        let mut policy = policy();
        assert_eq!((policy.push_port_at(848), policy.push_port_at(8480)), (10_848, 8480));
        policy.encapsulation = Encapsulation::Transport;
        assert_eq!(policy.push_port_at(848), 848, "whoever has raw sockets may listen on any port");
        policy.push_port = Some(999);
        assert_eq!(policy.push_port_at(848), 999);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        type Breaking = fn(&mut GroupPolicy);
        let broken: [(Breaking, PolicyError); 9] = [
            (|p| p.degree = 9, PolicyError::Degree),
            (|p| p.activation_delay = Duration::from_millis(1500), PolicyError::Delay),
            (|p| p.deactivation_delay = Duration::ZERO, PolicyError::DelayOrder),
            (|p| p.tek_rekey = p.tek_lifetime, PolicyError::RekeyInterval),
            (|p| p.kek_lifetime = Duration::ZERO, PolicyError::Lifetime),
            (|p| p.members_max = 50_000, PolicyError::MembersMax { limit: 49_152 }),
            (|p| p.sender_id_bits = 10, PolicyError::SenderIdBits),
            (|p| p.push_address = Some("ff15::1".parse().unwrap()), PolicyError::PushAddress),
            (|p| p.transform = EspTransform::Aes256Gcm16, PolicyError::WeakKek),
        ];
        for (breaking, error) in broken {
            let mut policy = policy();
            breaking(&mut policy);
            assert_eq!(policy.check(49_152), Err(error));
        }
    }

    #[test]
    fn places_have_prefixes_and_addresses_of_their_own() {
        let place = |number: u8| GroupPlace {
            prefix: format!("10.{number}.0.0/16").parse().unwrap(),
            push_address: [239, 192, 1, number].into(),
            members: 64,
        };
        let placed = |places: Vec<GroupPlace>| GroupPolicy {
            kek_management: KekManagement::Lkh32,
            push_authentication: PushAuthentication::Batch,
            places,
            ..policy()
        };
        let check = |policy: &GroupPolicy| policy.check(49_152);
        let good = placed(vec![place(1), place(2)]);
        assert_eq!(check(&good), Ok(()));
        assert_eq!(good.place_at([10, 2, 3, 4].into()), Some(1));
        assert_eq!(good.place_at([192, 0, 2, 1].into()), None);
        let form = GroupPolicy { kek_management: KekManagement::Lkh, ..good.clone() };
        assert_eq!(check(&form), Err(PolicyError::PlacesForm));
        let form = GroupPolicy { push_authentication: PushAuthentication::Message, ..good.clone() };
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
