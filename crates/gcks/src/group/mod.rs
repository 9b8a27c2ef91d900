//! What one group holds: members, key tree, KEK, TEKs, sender ids, places. How its keys travel is not known here.
//!
//! | module | what |
//! |---|---|
//! | [`announced`] | what newcomers are told of the rekeys to come |
//! | [`arrival`] | as what a host comes that is given keys by a rekey of its own |
//! | [`epoch`] | one change of keys: what is new, what it supersedes, and for whom |
//! | [`sa`], [`member`] | the SAs of a group and its members, as they are stored |
//! | [`teks`] | from when until when each TEK is used |
//! | [`sender_ids`], [`allotment`] | which sender ids are whose, and how many a member may have |
//! | [`lease`] | until when each member may go on under older keys |
//! | [`place`] | where members are, and which keys are needed there only |
//! | [`change`] | what of it is stored |
//! | [`distribution`] | by which protocol its keys travel, and what a request is called there |

pub(crate) mod allotment;
pub(crate) mod announced;
pub(crate) mod arrival;
pub(crate) mod change;
pub(crate) mod distribution;
pub(crate) mod epoch;
pub(crate) mod lease;
pub(crate) mod member;
pub(crate) mod place;
pub(crate) mod sa;
pub(crate) mod sender_ids;
pub(crate) mod teks;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_crypto::{CryptoError, CryptoProvider, Random, cipher::CipherAlgorithm, sign::SigningKey};
use claviger_group::{GroupId, GroupPolicy, KekManagement, MemberId, Role, policy::PolicyError};
use claviger_keytree::{
    CAPACITY_MAX, Degree, Joining, KeyLength, KeyTree, LkhIds, TreeConfig, capacity_16_bit,
    place::{Place, Places},
};
use claviger_sansio::Time;

use announced::{Announced, Announcements};
use arrival::Arrival;
use distribution::{Distribution, RequestId};
use lease::{LeaseNeed, Leases};
use member::Membership;
use sa::{IssuedTek, RekeySa};
use sender_ids::{HeldIds, SenderIds};

use crate::{event::RekeyId, record::group::GroupRecord};

/// One group as the key server keeps it.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) policy: GroupPolicy,
    pub(crate) signing_key: SigningKey,
    /// The hosts that completed a PULL.
    pub(crate) members: BTreeMap<MemberId, Membership>,
    pub(crate) tree: KeyTree,
    pub(crate) lkh_ids: LkhIds,
    /// Which subtrees are whose, where the policy has places.
    pub(crate) places: Option<Places>,
    /// The rekey SA; a group whose members are told nothing has none.
    pub(crate) kek: Option<RekeySa>,
    /// How its keys travel.
    pub(crate) distribution: Distribution,
    /// Oldest first; the last is the current one.
    pub(crate) teks: Vec<IssuedTek>,
    /// How many were issued since the start: their numbers.
    pub(crate) teks_issued: u64,
    pub(crate) leases: Leases,
    pub(crate) sender_ids: SenderIds,
    pub(crate) announcements: Announcements,
    pub(crate) waiting: Waiting,
    /// When the last planned copy of a rekey message leaves, if none has to wait for its way to be open. Long ago where
    /// there never was one.
    pub(crate) quiet_at: Time,
    /// The rekey that tells the current TEK, while copies of its messages are to leave.
    pub(crate) tek_under_way: Option<RekeyId>,
}

/// By how much the network may delay one message more than the next.
pub(crate) const OVERTAKING_MAX: Duration = Duration::from_millis(40);

/// What the next rekey is to do.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) joins: Vec<WaitingJoin>,
    /// Those who were told of the rekey after it.
    pub(crate) later: Vec<WaitingJoin>,
    pub(crate) departures: BTreeSet<MemberId>,
    /// Whether somebody was put out: that waits for nothing.
    pub(crate) evicts: bool,
    pub(crate) due: Option<Time>,
}

/// A host that is to be a member, or a member that is to move, by the next rekey.
#[derive(Debug, Clone)]
pub(crate) struct WaitingJoin {
    /// What it is answered under.
    pub(crate) request: RequestId,
    pub(crate) host: MemberId,
    pub(crate) role: Role,
    /// How many sender ids it asks for.
    pub(crate) sender_ids: u16,
    /// Where it is, in a group that has places.
    pub(crate) place: Place,
    pub(crate) arrival: Arrival,
    /// Whether it was told that it needs a lease.
    pub(crate) lease: LeaseNeed,
}

impl Waiting {
    /// Goes through the joins of all rekeys to come.
    pub(crate) fn all_joins(&self) -> impl Iterator<Item = &WaitingJoin> {
        self.joins.iter().chain(&self.later)
    }

    /// Goes through the joins of all rekeys to come, to change them.
    pub(crate) fn all_joins_mut(&mut self) -> impl Iterator<Item = &mut WaitingJoin> {
        self.joins.iter_mut().chain(&mut self.later)
    }

    /// Forgets that a host waits to join or to move.
    pub(crate) fn forget_join(&mut self, host: &MemberId) {
        self.joins.retain(|join| join.host != *host);
        self.later.retain(|join| join.host != *host);
    }

    /// Says how many joins and departures wait.
    fn len(&self) -> usize {
        self.joins.len() + self.later.len() + self.departures.len()
    }
}

impl Group {
    /// Makes an empty group under a coherent policy.
    pub(crate) fn new(
        id: GroupId,
        policy: GroupPolicy,
        provider: &CryptoProvider,
        random: &mut dyn Random,
        now: Time,
    ) -> Result<Self, NewError> {
        let degree = degree(&policy)?;
        let config = TreeConfig {
            degree,
            key_length: match policy.rekey.kek_cipher {
                CipherAlgorithm::Aes256Cbc => KeyLength::Octets32,
                CipherAlgorithm::Aes128Cbc => KeyLength::Octets16,
            },
            // Places have subtrees of their own, which need not be full.
            capacity: if policy.tree.places.is_empty() { policy.access.members_max } else { CAPACITY_MAX },
            joining: match policy.rekey.management {
                KekManagement::Lkh => Joining::Replace,
                KekManagement::Lkh32 => Joining::Advance,
            },
        };
        let tree = KeyTree::new(config, random);
        let places = place::bound(&policy, config)?;
        let signing_key = SigningKey::generate(provider, policy.rekey.signature, random)?;
        let first = Announced::draw(random);
        let mut group = Self {
            id,
            signing_key,
            members: BTreeMap::new(),
            tree,
            lkh_ids: LkhIds::new(degree),
            places,
            kek: Some(RekeySa { spi: first.kek, sequence: 0, issued: now, pushes: 0 }),
            distribution: Distribution::Gdoi,
            teks: Vec::new(),
            teks_issued: 0,
            leases: Leases::default(),
            sender_ids: SenderIds::new(policy.data.sender_id_bits),
            announcements: Announcements::new(random),
            waiting: Waiting::default(),
            quiet_at: Time::EPOCH,
            tek_under_way: None,
            policy,
        };
        group.issue_tek(first.tek, random, now);
        Ok(group)
    }

    /// Takes up a stored group, with members and tree.
    pub(crate) fn restore(
        id: GroupId,
        record: GroupRecord,
        tree: KeyTree,
        places: Option<Places>,
        random: &mut dyn Random,
    ) -> Self {
        let bits = record.policy.data.sender_id_bits;
        Self {
            id,
            lkh_ids: LkhIds::new(tree.degree()),
            policy: record.policy,
            signing_key: record.signing_key,
            members: BTreeMap::new(),
            tree,
            places,
            kek: record.kek,
            distribution: record.distribution,
            teks_issued: record.teks.len() as u64,
            teks: record.teks,
            leases: Leases::default(),
            sender_ids: SenderIds::restore(bits, record.sender_ids),
            announcements: Announcements::new(random),
            waiting: Waiting::default(),
            quiet_at: Time::EPOCH,
            tek_under_way: None,
        }
    }

    /// Says whether another member would exceed the policy's limit.
    pub(crate) fn is_full(&self) -> bool {
        let joins = self.waiting.all_joins().filter(|join| !join.arrival.is_member()).count();
        self.members.len() + joins >= self.policy.access.members_max as usize
    }

    /// Plans a change of membership: now, or when the batch is due unless it is full or somebody is put out.
    pub(crate) fn schedule_rekey(&mut self, now: Time) {
        let rekey = &self.policy.rekey;
        let waits = !self.waiting.evicts && self.waiting.len() < rekey.batch_max as usize;
        let due = if waits { now + rekey.batch_interval } else { now };
        self.waiting.due = Some(self.waiting.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Says until when a change of membership that is due waits for others, so that any number of hosts that come or go
    /// meanwhile cost one rekey: until the copies of earlier messages have left, behind which its own would wait anyway;
    /// until those listen who were let in before; joins alone until members have forgotten enough TEKs; and until those
    /// have answered who were told of it. An eviction does not wait.
    pub(crate) fn waits_until(&mut self, now: Time, random: &mut dyn Random) -> Option<Time> {
        if self.waiting.joins.is_empty() && !self.waiting.later.is_empty() {
            // Nobody is left of those who were told of what is closed.
            self.announcements.drop_closed();
            self.waiting.joins = std::mem::take(&mut self.waiting.later);
        }
        let full_until = self.members_are_full_until().filter(|_| self.waiting.departures.is_empty());
        let listen_from = self.announcements.listen_from().map(|at| at + OVERTAKING_MAX);
        let earliest = [full_until, listen_from].into_iter().flatten().fold(self.messages_from(), Time::max);
        if earliest > now && !self.waiting.evicts {
            return Some(earliest);
        }
        if self.waiting.joins.is_empty() {
            return None;
        }
        self.announcements.close(random);
        self.announcements.awaits_until(now).filter(|_| !self.waiting.evicts)
    }

    /// Says from when on messages of another rekey may leave. Copies of the last one are not overtaken on the way: who has
    /// followed a later KEK reads nothing under the one before.
    pub(crate) fn messages_from(&self) -> Time {
        self.quiet_at + OVERTAKING_MAX
    }

    /// Notes that a host has answered message 2, or will not: a rekey that is due may have waited for it alone.
    pub(crate) fn answered(&mut self, now: Time, host: &MemberId) {
        self.announcements.answered(now, host);
        if self.announcements.is_closed() && self.waiting.due.is_some() {
            self.waiting.due = Some(now);
        }
    }

    /// Says what the timers of the group wait for: the batch, the next TEK, the next KEK.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let timed = |due: Option<Time>| due.filter(|_| !self.members.is_empty());
        [self.waiting.due, timed(Some(self.tek_due())), timed(self.kek_due())].into_iter().flatten().min()
    }

    /// Says when the KEK is to be replaced; a group without one has none to replace.
    pub(crate) fn kek_due(&self) -> Option<Time> {
        self.kek.map(|kek| kek.issued + self.policy.times.kek_rekey)
    }

    /// Says whether so many sender ids are within a member's share, and free for it: under the TEKs in force from a number
    /// on, or under the one that its arrival brings.
    pub(crate) fn may_have_sender_ids(
        &self,
        host: &MemberId,
        count: u16,
        standing: Standing,
    ) -> SenderIdVerdict {
        let none = HeldIds::default();
        let held = self.members.get(host).map_or(&none, |member| &member.sender_ids);
        let (kept, free) = match standing {
            Standing::Arrives(arrival) if arrival.begins_anew() => {
                (0, self.free_for_arrivals(host) + held.len())
            }
            Standing::Arrives(_) => (held.len(), self.free_for_arrivals(host)),
            Standing::Stays { first_tek } => (held.len(), self.sender_ids.free(first_tek)),
        };
        if kept + u32::from(count) > self.sender_ids.allotment(held) {
            SenderIdVerdict::BeyondShare
        } else if free < count.into() {
            SenderIdVerdict::NoneLeft
        } else {
            SenderIdVerdict::Granted
        }
    }

    /// Says how many sender ids the next TEK has for a host that comes, beside those that others who wait are to have.
    fn free_for_arrivals(&self, host: &MemberId) -> u32 {
        let others = self.waiting.all_joins().filter(|join| join.host != *host && join.role.sends());
        let claimed: u32 = others.map(|join| u32::from(join.sender_ids.max(1))).sum();
        self.sender_ids.free_under_next().saturating_sub(claimed)
    }

    /// Gives a member sender ids for a PULL that downloads TEKs from this number on; none if too few are free.
    pub(crate) fn give_sender_ids(
        &mut self,
        host: &MemberId,
        count: u16,
        first_tek: u64,
    ) -> Option<Vec<u32>> {
        let member = self.members.get_mut(host)?;
        self.sender_ids.give(&mut member.sender_ids, count, first_tek)
    }

    /// Takes a member's sender ids back. The next TEK is not told to what it was.
    fn take_sender_ids_back(&mut self, member: &mut Membership) {
        let oldest = self.teks.first().map_or(0, |issued| issued.number);
        let newest = self.current_tek().number;
        self.sender_ids.give_back(&mut member.sender_ids, newest, oldest);
    }

    /// Takes up the sender ids of members that were restored.
    pub(crate) fn take_up_sender_ids(&mut self) {
        self.members.values().for_each(|member| self.sender_ids.take_up(&member.sender_ids));
        self.sender_ids.taken_up(self.current_tek().number);
    }
}

/// Under which TEKs a member is to have sender ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Under the one that its arrival brings.
    Arrives(Arrival),
    /// Under those in force.
    Stays {
        /// The number of the first that it is given.
        first_tek: u64,
    },
}

/// Whether a member may have the sender ids that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SenderIdVerdict {
    /// It may.
    Granted,
    /// It would have more than its share.
    BeyondShare,
    /// Others have them.
    NoneLeft,
}

/// Why a group cannot be made.
pub(crate) enum NewError {
    Policy(PolicyError),
    Crypto(CryptoError),
}

impl From<PolicyError> for NewError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl From<CryptoError> for NewError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

/// Checks a policy and returns the tree's degree.
pub(crate) fn degree(policy: &GroupPolicy) -> Result<Degree, PolicyError> {
    let degree = Degree::new(policy.tree.degree).map_err(|_| PolicyError::Degree)?;
    let limit = match policy.rekey.management {
        KekManagement::Lkh => capacity_16_bit(degree),
        KekManagement::Lkh32 => CAPACITY_MAX,
    };
    policy.check(limit)?;
    Ok(degree)
}

/// Chooses the KEK management that everybody knows if it holds as many members as the policy admits and there are no
/// places, and otherwise the one that does.
pub fn kek_management_for(policy: &GroupPolicy) -> KekManagement {
    let limit = Degree::new(policy.tree.degree).map_or(u32::MAX, capacity_16_bit);
    let lkh = policy.access.members_max <= limit && policy.tree.places.is_empty();
    if lkh { KekManagement::Lkh } else { KekManagement::Lkh32 }
}
