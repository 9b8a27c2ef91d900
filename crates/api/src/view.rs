//! Requests and answers about groups and members.

use std::net::{IpAddr, SocketAddr};

use claviger_group::{GroupId, MemberId, Prefix, Role};
use claviger_sansio::Time;
use serde::{Deserialize, Serialize};

use crate::{
    ApiError, GrantedByView, GroupPolicyOptions, OwnerOptions, OwnerView, PolicyView, micros, name::Name,
    status::GroupKeys, text,
};

/// Asks for a new group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupAdd {
    /// The group's name.
    #[serde(with = "text")]
    pub name: GroupId,
    /// What is chosen about it.
    #[serde(default)]
    pub policy: GroupPolicyOptions,
    /// Whose certificates let hosts in; nobody's otherwise. It is left out then, so that an earlier key server understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerOptions>,
}

/// Answers with the new group, and how hosts come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAdded {
    /// The group.
    pub group: GroupView,
    /// The command that a host runs to join.
    pub join_command: String,
    /// The command that lets a host in; `HIT` stands for the host's own.
    pub allow_command: String,
    /// What members need beyond what the default policy asks of them.
    pub member_needs: Vec<String>,
}

/// One group of a key server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    /// The group's name.
    #[serde(with = "text")]
    pub name: GroupId,
    /// Everything that is decided about it.
    pub policy: PolicyView,
    /// How many hosts are on its list.
    pub allowed: u32,
    /// How many hosts hold its keys.
    pub members: u32,
    /// How many of them hold them as senders.
    pub senders: u32,
    /// Whose certificates let hosts in; null if nobody's.
    #[serde(default)]
    pub owner: Option<OwnerView>,
    /// The keys in force.
    pub keys: GroupKeys,
}

/// Answers that a group is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRemoved {
    /// The group's name.
    #[serde(with = "text")]
    pub name: GroupId,
    /// How many members were told to delete their keys.
    pub members: u32,
}

/// Lets a host in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAllow {
    /// What the host may do.
    #[serde(with = "crate::name")]
    pub role: Role,
    /// Whether it may send without a lease, as members of other makers must that know none.
    #[serde(default)]
    pub without_lease: bool,
}

impl From<Role> for MemberAllow {
    /// Lets a host have a role, and send under a lease where the group has them.
    fn from(role: Role) -> Self {
        Self { role, without_lease: false }
    }
}

/// How far a host on a group's list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// May join and has not.
    Allowed,
    /// May not join, though it may have a certificate: it was put out of a group with an owner.
    Denied,
    /// Holds the group's keys.
    Member,
    /// Is registered and has not fetched keys.
    Registered,
}

impl Name for MemberState {
    const WHAT: &'static str = "a member's state";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("allowed", Self::Allowed),
        ("denied", Self::Denied),
        ("member", Self::Member),
        ("registered", Self::Registered),
    ];
}

/// One host that is in a group, or on its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// The host. JSON has called it `hit` since all hosts were named by HITs.
    #[serde(rename = "hit", with = "text")]
    pub host: MemberId,
    /// What the list lets it do; null if it is on the list no more.
    #[serde(with = "crate::name::option")]
    pub allowed: Option<Role>,
    /// Whether the list lets it send without a lease.
    pub without_lease: bool,
    /// Whether it was put out of a group with an owner, and not allowed again since: its certificate does not let it in.
    #[serde(default)]
    pub denied: bool,
    /// What its present registration grants it; null if it has none.
    #[serde(with = "crate::name::option")]
    pub granted: Option<Role>,
    /// The certificate that the grant rests on; null if that is the list alone.
    #[serde(default)]
    pub certificate: Option<GrantedByView>,
    /// What it holds the group's keys as; null if it does not.
    #[serde(with = "crate::name::option")]
    pub role: Option<Role>,
    /// How far it has come.
    pub state: MemberState,
    /// Where it registered from, or has proven to be since.
    pub address: Option<SocketAddr>,
    /// The place of the group that it is served at; null if that is none of the policy's.
    #[serde(with = "text::option")]
    pub place: Option<Prefix>,
    /// When it first received the group's keys in its present membership.
    #[serde(with = "micros::option")]
    pub joined_at_us: Option<Time>,
    /// When it last fetched keys by PULL.
    #[serde(with = "micros::option")]
    pub pulled_at_us: Option<Time>,
    /// When its registration ends unless it is renewed.
    #[serde(with = "micros::option")]
    pub registered_until_us: Option<Time>,
}

/// Says that a host is out, and from when on it can read nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictedView {
    /// The host. JSON has called it `hit` since all hosts were named by HITs.
    #[serde(rename = "hit", with = "text")]
    pub host: MemberId,
    /// Whether it held keys. If not, nothing had to be rekeyed.
    pub was_member: bool,
    /// The instant from which nothing is readable to it that those send who heard the rekey: when the last copy of its
    /// messages had left, and the activation delay later. Null while copies are to leave.
    #[serde(with = "micros::option")]
    pub deaf_at_us: Option<Time>,
    /// The KEK and sequence number of the last PUSH that put it out; null if nothing was rekeyed, or that was long ago.
    pub epoch: Option<crate::status::EpochView>,
    /// The instant from which nothing at all is readable to it that any honest member sends, whoever missed the rekey: when
    /// all of them had stated so, or when the last of their leases or older TEKs ends. Null where an earlier version put it
    /// out and did not note that.
    #[serde(with = "micros::option")]
    pub silent_from_us: Option<Time>,
    /// The instant from which nothing that it sends itself is accepted, by any honest member.
    #[serde(with = "micros::option")]
    pub unheard_from_us: Option<Time>,
    /// How many members there are that need leases of the keys, or do without. Null where the group has no leases, or the
    /// key server was started again since.
    pub counted: Option<u32>,
    /// How many of them have stated that they use no older keys any more.
    pub stated: Option<u32>,
    /// Those that have not, and may still do so.
    pub laggards: Vec<LaggardView>,
    /// When the last of the others stated it.
    #[serde(with = "micros::option")]
    pub stated_at_us: Option<Time>,
    /// What time it is at the key server.
    #[serde(with = "micros")]
    pub now_us: Time,
    /// Where a subject of certificates was evicted, the hosts that were in by it. The key server leaves this empty; who
    /// evicts fills it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Self>,
}

impl EvictedView {
    /// Says whether nothing more is to be waited for: nobody is left whose lease is running.
    pub fn is_over(&self) -> bool {
        self.deaf_at_us.is_some() && self.laggards.iter().all(|laggard| laggard.without_lease)
    }
}

/// A member that has not stated that it uses no older keys any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaggardView {
    /// Who.
    #[serde(with = "text")]
    pub host: MemberId,
    /// When its last lease under older keys ends; if it does without leases, the last of these keys.
    #[serde(with = "micros")]
    pub until_us: Time,
    /// Whether it does without leases: nobody waits for it.
    pub without_lease: bool,
}

/// What a caller waits for that puts a host out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvictWait {
    /// Nothing but that it is stored.
    No,
    /// That nothing is readable to the host which those send who heard the rekey.
    #[default]
    Deaf,
}

/// A host that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedView {
    /// The host, as its registration has proven it. JSON has called it `hit` since all hosts were named by HITs.
    #[serde(rename = "hit", with = "text")]
    pub host: MemberId,
    /// The group that it asked for, as it can be shown; it need not exist.
    pub group: String,
    /// What it asked for, where that is known.
    #[serde(with = "crate::name::option")]
    pub role: Option<Role>,
    /// Where it asked from.
    pub address: Option<IpAddr>,
    /// When it was refused.
    #[serde(with = "micros")]
    pub at_us: Time,
    /// Why, as a sentence without a full stop.
    pub reason: String,
    /// The command that would let it in, if its group exists.
    pub allow_command: Option<String>,
    /// What else would let it in, where a command of the key server does not.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Which key an order replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RekeyKey {
    /// The KEK, and the traffic keys after it.
    Kek,
    /// The traffic keys only.
    #[default]
    Tek,
}

impl Name for RekeyKey {
    const WHAT: &'static str = "a key";
    const NAMES: &'static [(&'static str, Self)] = &[("tek", Self::Tek), ("kek", Self::Kek)];
}

/// Orders keys replaced now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RekeyOrder {
    /// Which key.
    #[serde(default)]
    pub key: RekeyKey,
}

/// Answers that keys were replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyView {
    /// The group.
    #[serde(with = "text")]
    pub group: GroupId,
    /// Which key.
    pub key: RekeyKey,
    /// How many GROUPKEY-PUSH messages it took, repetitions not counted.
    pub messages: u32,
    /// Their octets together, repetitions not counted.
    pub octets: u64,
    /// How many encrypted keys they carried.
    pub keys: u32,
    /// When senders change over.
    #[serde(with = "micros")]
    pub active_at_us: Time,
    /// The keys in force from then on.
    pub now: GroupKeys,
}

/// Answers that a stream of payloads was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SendSummary {
    /// Payloads that left.
    pub datagrams: u64,
    /// Their octets, before protection.
    pub octets: u64,
    /// Payloads that could not be sent: too long, or refused by the system.
    pub failed: u64,
}

/// Answers that the member daemon left its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftView {
    /// The group.
    #[serde(with = "text")]
    pub group: GroupId,
    /// Whether the key server acknowledged the CLOSE.
    pub acknowledged: bool,
}

/// What a call returns.
pub type Answer<T> = Result<T, ApiError>;
