//! Everything that is decided about a group.

mod check;
mod lease;

use std::{net::IpAddr, time::Duration};

use claviger_crypto::{cipher::CipherAlgorithm, sign::KeyAlgorithm};

pub use self::{check::PolicyError, lease::LeasePolicy};
use crate::{
    Channel, Encapsulation, EspTransform, GroupPlace, KekManagement, PushAuthentication, place::place_at,
};

/// The policy of one group; one object for every protocol that keys it.
///
/// Code that writes a policy down takes every part apart field by field, and code that reads one builds every part by a
/// literal, so that a forgotten field does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPolicy {
    /// What is protected, and how.
    pub data: DataPolicy,
    /// How the keys are replaced.
    pub rekey: RekeyPolicy,
    /// How the keys of the members hang together.
    pub tree: TreePolicy,
    /// How long keys are used.
    pub times: Times,
    /// Who may be in it, and how long.
    pub access: AccessPolicy,
    /// How long members may use the keys without word from the key server.
    pub lease: LeasePolicy,
}

/// What a group protects, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPolicy {
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
    /// Whether it is put up with that outsiders repeat packets: true where algorithms, encapsulation and channel do not
    /// refuse that ([`EspTransform::refuses_replays`]), and only there.
    pub replayable: bool,
    /// How many bits of the IV name the sender: 8, 12 or 16 (RFC 6054 section 3).
    pub sender_id_bits: u8,
}

impl DataPolicy {
    /// Says whether outsiders who repeat a packet are refused.
    pub fn refuses_replays(&self) -> bool {
        self.transform.refuses_replays(&self.channel, self.encapsulation)
    }
}

/// How a group's keys are replaced: by which messages, how they are protected, and for how many changes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyPolicy {
    /// Where GROUPKEY-PUSH messages go; `None` is the channel's own group address.
    pub address: Option<IpAddr>,
    /// The UDP port that GROUPKEY-PUSH messages go to; `None` leaves it to [`GroupPolicy::push_port_at`].
    pub port: Option<u16>,
    /// The cipher of the KEK and of every key in the tree.
    pub kek_cipher: CipherAlgorithm,
    /// The kind of the group's signing key.
    pub signature: KeyAlgorithm,
    /// What a signature of GROUPKEY-PUSH messages is over.
    pub authentication: PushAuthentication,
    /// How the keys of the tree travel.
    pub management: KekManagement,
    /// How long joins and departures are gathered before the group is rekeyed; zero rekeys at once. Evictions are
    /// never waited with.
    pub batch_interval: Duration,
    /// How many joins and departures are gathered at most, within that time.
    pub batch_max: u32,
}

/// How the keys of a group's members hang together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePolicy {
    /// The degree k of the key tree, 2 to 8.
    pub degree: u8,
    /// The places that the key tree follows; members at none of them are elsewhere. None, and the tree follows nothing.
    pub places: Vec<GroupPlace>,
}

/// How long a group's keys are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
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
}

/// Who may be in a group, and how long; by name they are on a list beside the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessPolicy {
    /// The most members that the group admits.
    pub members_max: u32,
    /// How long a registration lasts unless it is renewed.
    pub registration_lifetime: Duration,
}

/// The most places of a group. Each adds some forty octets to what is stored at a rekey.
pub const PLACES_MAX: usize = 1024;

impl GroupPolicy {
    /// Makes the default policy for a channel.
    pub fn new(channel: Channel) -> Self {
        let tek_lifetime = Duration::from_secs(3600);
        Self {
            data: DataPolicy {
                channel,
                encapsulation: Encapsulation::UdpTransport,
                encapsulation_port: 4500,
                application_port: 0,
                transform: EspTransform::Aes128Gcm16,
                replayable: false,
                sender_id_bits: 16,
            },
            rekey: RekeyPolicy {
                address: None,
                port: None,
                kek_cipher: CipherAlgorithm::Aes128Cbc,
                signature: KeyAlgorithm::EcdsaP256,
                authentication: PushAuthentication::Message,
                management: KekManagement::Lkh,
                batch_interval: Duration::ZERO,
                batch_max: 10_000,
            },
            tree: TreePolicy { degree: 4, places: Vec::new() },
            times: Times {
                tek_lifetime,
                tek_rekey: Duration::from_secs(1800),
                kek_lifetime: Duration::from_secs(86_400),
                kek_rekey: Duration::from_secs(43_200),
                activation_delay: Duration::from_secs(1),
                deactivation_delay: Duration::from_secs(5),
            },
            access: AccessPolicy { members_max: 10_000, registration_lifetime: Duration::from_secs(86_400) },
            lease: LeasePolicy::for_tek_lifetime(tek_lifetime),
        }
    }

    /// Says at which of the places a host with this address is; the longest prefix decides. None is elsewhere.
    pub fn place_at(&self, address: IpAddr) -> Option<usize> {
        place_at(&self.tree.places, address)
    }

    /// Shows the address that GROUPKEY-PUSH messages go to.
    pub fn push_destination(&self) -> IpAddr {
        self.rekey.address.unwrap_or(self.data.channel.group())
    }

    /// Says which port GROUPKEY-PUSH messages go to, at a server with this GDOI port: the same, as RFC 6407 section
    /// 2.2 allows, but for groups whose members need no privilege one that needs none to listen on.
    pub fn push_port_at(&self, gdoi_port: u16) -> u16 {
        let unprivileged = gdoi_port < FIRST_UNPRIVILEGED_PORT && self.data.encapsulation.is_udp();
        self.rekey.port.unwrap_or(if unprivileged { UNPRIVILEGED_PUSH_PORT } else { gdoi_port })
    }
}

/// Ports below need a privilege to listen on.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Where GROUPKEY-PUSHes go instead of a privileged port. The SA KEK tells members, so the number is ours to choose.
const UNPRIVILEGED_PUSH_PORT: u16 = 10_848;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_go_where_members_may_listen() {
        let channel = Channel::new("239.192.0.1".parse().unwrap(), None).unwrap();
        let mut policy = GroupPolicy::new(channel);
        assert_eq!((policy.push_port_at(848), policy.push_port_at(8480)), (10_848, 8480));
        policy.data.encapsulation = Encapsulation::Transport;
        assert_eq!(policy.push_port_at(848), 848, "whoever has raw sockets may listen on any port");
        policy.rekey.port = Some(999);
        assert_eq!(policy.push_port_at(848), 999);
    }
}
