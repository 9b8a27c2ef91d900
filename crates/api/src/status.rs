//! What daemons say about themselves.

use std::{collections::BTreeMap, net::SocketAddr};

use claviger_group::{EspTransform, GroupId, Role};
use claviger_identity::Hit;
use claviger_sansio::{Counted, Time, counter::Figure};
use serde::{Deserialize, Serialize};

use crate::{CertifiedView, micros, name, name::Name, text};

/// The state of a daemon, of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "daemon", rename_all = "kebab-case")]
pub enum StatusView {
    /// A member daemon.
    Member(Box<MemberStatus>),
    /// A key server.
    Server(ServerStatus),
}

/// The state of a key server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its identity.
    #[serde(with = "text")]
    pub hit: Hit,
    /// The version of its program.
    pub version: String,
    /// When it started.
    #[serde(with = "micros")]
    pub started_at_us: Time,
    /// Where it listens.
    pub listens: Vec<ListenView>,
    /// How many HIP associations it holds.
    pub associations: u32,
    /// The certificates that it shows to hosts.
    #[serde(default)]
    pub certificates: Vec<CertifiedView>,
    /// The files of its directory of revocation lists.
    #[serde(default)]
    pub revocation_lists: Vec<RevocationListView>,
    /// Its groups.
    pub groups: Vec<GroupStatus>,
    /// What was dropped or refused since it started.
    pub drops: CountsView,
    /// What was done since it started.
    pub counters: CountsView,
}

/// Counts by the machine that counts and by the counter's name; what was never counted is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CountsView(BTreeMap<String, BTreeMap<String, u64>>);

impl CountsView {
    /// Shows a count.
    pub fn get<C: Counted>(&self, counter: C) -> u64 {
        let machine = self.0.get(C::MACHINE);
        machine.and_then(|counts| counts.get(counter.name())).copied().unwrap_or(0)
    }

    /// Goes through the counts by machine and name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let machines = self.0.iter();
        machines.flat_map(|(machine, counts)| {
            counts.iter().map(move |(name, count)| (machine.as_str(), name.as_str(), *count))
        })
    }
}

/// Sums up what the same counter has counted in several places.
impl FromIterator<Figure> for CountsView {
    fn from_iter<T: IntoIterator<Item = Figure>>(figures: T) -> Self {
        let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for Figure { machine, name, count, .. } in figures.into_iter().filter(|figure| figure.count > 0) {
            *counts.entry(machine.to_owned()).or_default().entry(name.to_owned()).or_default() += count;
        }
        Self(counts)
    }
}

/// One place where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenView {
    /// What is spoken there: `hip-udp`, `hip-raw`, `gdoi`.
    pub protocol: String,
    /// The address; the port is zero for IP protocols.
    pub address: SocketAddr,
}

/// A group at a key server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group's name.
    #[serde(with = "text")]
    pub name: GroupId,
    /// How many hosts hold its keys.
    pub members: u32,
    /// Whether outsiders can repeat packets.
    pub replayable: bool,
    /// The keys in force.
    pub keys: GroupKeys,
    /// When it was rekeyed last.
    #[serde(with = "micros::option")]
    pub last_rekey_at_us: Option<Time>,
    /// When it will be rekeyed, if nobody joins or leaves before.
    #[serde(with = "micros::option")]
    pub next_rekey_at_us: Option<Time>,
    /// The rekey messages that do not leave the key server; null if all leave.
    pub unsent: Option<UnsentView>,
}

/// A file of a key server's directory of revocation lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationListView {
    /// Its name.
    pub file: String,
    /// What was read of it last.
    pub lists: Vec<ReadListView>,
    /// Why it cannot be read now; what was read before holds on.
    pub error: Option<String>,
}

/// A list of revoked certificates that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadListView {
    /// Whose list it is, as RFC 4514 writes names. Whether they signed it, groups' owners decide.
    pub issuer: String,
    /// Its number, if it has one.
    pub number: Option<u64>,
    /// How many certificates stand on it.
    pub revoked: u32,
    /// When it was issued.
    #[serde(with = "micros")]
    pub since_us: Time,
    /// Until when it holds; null if it never does.
    #[serde(with = "micros::option")]
    pub until_us: Option<Time>,
}

/// Rekey messages that the system does not send. They are tried again until they have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsentView {
    /// How many messages wait.
    pub messages: u32,
    /// Since when none leaves.
    #[serde(with = "micros")]
    pub since_us: Time,
    /// Why, as the system says it.
    pub error: String,
}

/// The state of a member daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its identity.
    #[serde(with = "text")]
    pub hit: Hit,
    /// The version of its program.
    pub version: String,
    /// When it started.
    #[serde(with = "micros")]
    pub started_at_us: Time,
    /// The key server's identity.
    #[serde(with = "text")]
    pub server_hit: Hit,
    /// The key server's HIP address.
    pub server_address: SocketAddr,
    /// The group.
    #[serde(with = "text")]
    pub group: GroupId,
    /// What it may do there.
    #[serde(with = "name")]
    pub role: Role,
    /// How far it has come.
    pub state: MembershipState,
    /// The keys that it holds.
    pub keys: GroupKeys,
    /// How many keys of the group's key tree it holds: one for each node from its leaf to the root.
    pub tree_keys: usize,
    /// When it last took new keys.
    #[serde(with = "micros::option")]
    pub last_rekey_at_us: Option<Time>,
    /// Until when it may send before the key server has confirmed the keys again, and accept, if receivers need leases too;
    /// null where it needs none.
    #[serde(with = "micros::option")]
    #[serde(default)]
    pub leased_until_us: Option<Time>,
    /// How many seconds are left until then; zero if it is over.
    #[serde(default)]
    pub leased_for_s: Option<u64>,
    /// When it will renew its registration.
    #[serde(with = "micros::option")]
    pub reregisters_at_us: Option<Time>,
    /// How many seconds are left until then; what people look at first.
    pub reregisters_in_s: Option<u64>,
    /// Where it sends to and receives from.
    pub data_address: Option<SocketAddr>,
    /// The TUN device, if that is its data plane.
    pub tun: Option<String>,
    /// What was dropped or refused since it started.
    pub drops: CountsView,
    /// What was done since it started.
    pub counters: CountsView,
}

/// How far a member daemon has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MembershipState {
    /// Was put out by the key server.
    Evicted,
    /// Holds keys and can work.
    Keyed,
    /// Is registered and waits for keys.
    Pulling,
    /// Was refused.
    Refused,
    /// Has begun a base exchange.
    Registering,
    /// Holds keys, but the key server does not answer.
    Unreachable,
}

impl Name for MembershipState {
    const WHAT: &'static str = "a membership's state";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("evicted", Self::Evicted),
        ("keyed", Self::Keyed),
        ("pulling", Self::Pulling),
        ("refused", Self::Refused),
        ("registering", Self::Registering),
        ("unreachable", Self::Unreachable),
    ];
}

/// The keys of a group by name and number, never by octets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupKeys {
    /// The KEK and the last sequence number under it; null before there is one.
    pub epoch: Option<EpochView>,
    /// The data security associations.
    pub sas: Vec<SaView>,
}

/// Where a group's rekeys stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochView {
    /// The SPI of the KEK: the cookie pair of GROUPKEY-PUSH.
    #[serde(with = "hex16")]
    pub kek_spi: [u8; 16],
    /// The number of the last GROUPKEY-PUSH under it.
    pub sequence: u32,
    /// How old the KEK is.
    pub age_s: u64,
    /// How long it may be used in all.
    pub lifetime_s: u64,
}

/// One data security association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaView {
    /// The SPI, as eight hexadecimal digits.
    pub spi: String,
    /// Its algorithms.
    #[serde(with = "name")]
    pub transform: EspTransform,
    /// What it is used for now.
    pub state: SaState,
    /// How old it is.
    pub age_s: u64,
    /// How long it may be used in all.
    pub lifetime_s: u64,
    /// Datagrams that it protected or opened here; null at a key server, which sees none.
    pub datagrams: Option<u64>,
}

/// What a data security association is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaState {
    /// Sends and receives.
    Current,
    /// Receives; sends when its activation delay ends.
    Incoming,
    /// Receives only, until its deactivation delay ends.
    Outgoing,
}

impl Name for SaState {
    const WHAT: &'static str = "an SA's state";
    const NAMES: &'static [(&'static str, Self)] =
        &[("current", Self::Current), ("incoming", Self::Incoming), ("outgoing", Self::Outgoing)];
}

/// Cookie pairs stand in JSON as 32 hexadecimal digits.
mod hex16 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(octets: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*octets)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let digits = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&digits, 16).map_err(D::Error::custom)?;
        Ok(number.to_be_bytes())
    }
}
