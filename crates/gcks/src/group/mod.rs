//! One group: members, key tree, epochs, rekeys.
//!
//! | module | what |
//! |---|---|
//! | [`offer`] | what a PULL announces and downloads |
//! | [`rekey`] | one change of keys and the messages that tell it |
//! | [`place`] | where members are, and what goes there only |
//! | [`update`] | the new keys of a tree, as either KEK management sends them |
//! | [`link`] | nodes and keys as GDOI names them |
//! | [`change`] | what of it is stored |

pub(crate) mod change;
pub(crate) mod link;
pub(crate) mod offer;
pub(crate) mod place;
pub(crate) mod rekey;
pub(crate) mod update;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_crypto::{
    CryptoError, CryptoProvider, Random, cipher::CipherAlgorithm, random, sign::SigningKey,
};
use claviger_gdoi::PullId;
use claviger_group::{
    CookiePair, GroupId, GroupPolicy, KekManagement, Role, Spi, Tek, policy::PolicyError, tek::TekKeys,
};
use claviger_identity::Hit;
use claviger_keytree::{
    CAPACITY_MAX, Degree, Joining, KeyLength, KeyTree, Leaf, LkhIds, TreeConfig, capacity_16_bit,
    place::{Place, Places},
};
use claviger_sansio::Time;

use crate::{departure::Departed, event::RekeyId};

/// One group as the key server keeps it.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) policy: GroupPolicy,
    pub(crate) signing_key: SigningKey,
    /// The list of hosts that may register, and as what.
    pub(crate) access: BTreeMap<Hit, Role>,
    /// The hosts that completed a PULL.
    pub(crate) members: BTreeMap<Hit, Membership>,
    pub(crate) tree: KeyTree,
    pub(crate) lkh_ids: LkhIds,
    /// Which subtrees are whose, where the policy has places.
    pub(crate) places: Option<Places>,
    pub(crate) kek: RekeyState,
    /// Oldest first; the last is the current one.
    pub(crate) teks: Vec<IssuedTek>,
    /// Sender ids given out under the current data SAs (RFC 6407 section 3.5).
    pub(crate) sender_ids_issued: u32,
    /// What the next change of membership will be announced as.
    pub(crate) next: Announced,
    pub(crate) waiting: Waiting,
    /// When the last planned copy of a GROUPKEY-PUSH leaves, if none has to wait for its way to be open.
    pub(crate) quiet_at: Time,
    /// The rekey that tells the current TEK, while copies of its messages are to leave.
    pub(crate) tek_under_way: Option<RekeyId>,
    /// Who departed, as far as it is remembered.
    pub(crate) departed: BTreeMap<Hit, Departed>,
    /// From when on nothing that is sent is readable to all those whose rekeys have left.
    pub(crate) unreadable_from: Time,
}

/// A completed PULL's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) leaf: Leaf,
    pub(crate) role: Role,
    pub(crate) since: Time,
    pub(crate) last_pull: Time,
    /// The sender ids of its last PULL.
    pub(crate) sender_ids: Vec<u32>,
}

/// The rekey SA; its key is the tree's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RekeyState {
    pub(crate) spi: CookiePair,
    /// The last number used under this SPI.
    pub(crate) sequence: u32,
    pub(crate) issued: Time,
    /// Messages sent for the group since it was made, which orders them across rekey SAs.
    pub(crate) pushes: u64,
}

/// A TEK that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssuedTek {
    pub(crate) tek: Tek,
    pub(crate) issued: Time,
    /// When its successor was issued.
    pub(crate) superseded: Option<Time>,
}

/// SPIs that message 2 of a PULL names before message 3 makes them true. Nothing is stored of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) kek: CookiePair,
    pub(crate) tek: Spi,
}

/// What the next rekey is to do.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) joins: Vec<WaitingJoin>,
    pub(crate) departures: BTreeSet<Hit>,
    pub(crate) due: Option<Time>,
}

/// A PULL whose message 3 was valid and whose message 4 waits for the rekey.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitingJoin {
    pub(crate) pull: PullId,
    pub(crate) hit: Hit,
    pub(crate) role: Role,
    pub(crate) sender_ids: u16,
    /// Where it is, in a group that has places.
    pub(crate) place: Place,
    /// Whether it is a member already that has come from another place.
    pub(crate) moves: bool,
}

impl Announced {
    fn draw(random: &mut dyn Random) -> Self {
        let kek = loop {
            let cookies = CookiePair(random::array(random));
            if !cookies.has_zero() {
                break cookies;
            }
        };
        Self { kek, tek: Spi::random(random) }
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
            access: BTreeMap::new(),
            members: BTreeMap::new(),
            tree,
            lkh_ids: LkhIds::new(degree),
            places,
            kek: RekeyState { spi: first.kek, sequence: 0, issued: now, pushes: 0 },
            teks: Vec::new(),
            sender_ids_issued: 0,
            next: Announced::draw(random),
            waiting: Waiting::default(),
            quiet_at: now,
            tek_under_way: None,
            departed: BTreeMap::new(),
            unreadable_from: now,
            policy,
        };
        group.issue_tek(first.tek, random, now);
        Ok(group)
    }

    /// Takes up a stored group, with members and tree.
    pub(crate) fn restore(
        id: GroupId,
        record: crate::record::group::GroupRecord,
        tree: KeyTree,
        places: Option<Places>,
        random: &mut dyn Random,
        now: Time,
    ) -> Self {
        Self {
            id,
            lkh_ids: LkhIds::new(tree.degree()),
            policy: record.policy,
            signing_key: record.signing_key,
            access: BTreeMap::new(),
            members: BTreeMap::new(),
            tree,
            places,
            kek: record.kek,
            teks: record.teks,
            sender_ids_issued: record.sender_ids_issued,
            next: Announced::draw(random),
            waiting: Waiting::default(),
            quiet_at: now,
            tek_under_way: None,
            departed: BTreeMap::new(),
            unreadable_from: now,
        }
    }

    /// Says which role the list allows a host.
    pub(crate) fn allowed(&self, hit: &Hit) -> Option<Role> {
        self.access.get(hit).copied()
    }

    /// Says whether another member would exceed the policy's limit.
    pub(crate) fn is_full(&self) -> bool {
        let joins = self.waiting.joins.iter().filter(|join| !join.moves).count();
        self.members.len() + joins >= self.policy.access.members_max as usize
    }

    /// Shows the current TEK.
    pub(crate) fn current_tek(&self) -> &IssuedTek {
        self.teks.last().expect("a group has a TEK from its making on")
    }

    /// Issues a TEK; what was current before is superseded and lives on for the deactivation delay.
    pub(crate) fn issue_tek(&mut self, spi: Spi, random: &mut dyn Random, now: Time) {
        self.retire_teks(now);
        if let Some(previous) = self.teks.last_mut() {
            previous.superseded.get_or_insert(now);
        }
        let policy = &self.policy;
        let tek = Tek {
            spi,
            transform: policy.data.transform,
            keys: TekKeys::generate(policy.data.transform, random),
            channel: policy.data.channel,
            encapsulation: policy.data.encapsulation,
            encapsulation_port: policy.data.encapsulation_port,
            application_port: policy.data.application_port,
            lifetime: policy.times.tek_lifetime,
        };
        self.teks.push(IssuedTek { tek, issued: now, superseded: None });
        let surplus = self.teks.len().saturating_sub(crate::record::group::TEKS_MAX);
        self.teks.drain(..surplus);
    }

    /// Forgets TEKs that no receiver holds any more.
    pub(crate) fn retire_teks(&mut self, now: Time) {
        let delay = self.policy.times.deactivation_delay;
        self.teks.retain(|issued| issued.superseded.is_none_or(|at| at + delay > now));
    }

    /// Plans a change of membership: when the batch is due, or else, if it is full or `at_once`, when earlier messages
    /// have left, behind which its own would wait anyway. So any number of hosts that come or go meanwhile cost one rekey.
    pub(crate) fn schedule_rekey(&mut self, now: Time, at_once: bool) {
        let waiting = self.waiting.joins.len() + self.waiting.departures.len();
        let due = if at_once
            || self.policy.rekey.batch_interval.is_zero()
            || waiting >= self.policy.rekey.batch_max as usize
        {
            self.quiet_at.max(now)
        } else {
            now + self.policy.rekey.batch_interval
        };
        self.waiting.due = Some(self.waiting.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Says what the timers of the group wait for: the batch, the next TEK, the next KEK.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let timed = (!self.members.is_empty()).then(|| self.tek_due().min(self.kek_due()));
        [self.waiting.due, timed].into_iter().flatten().min()
    }

    pub(crate) fn tek_due(&self) -> Time {
        self.current_tek().issued + self.policy.times.tek_rekey
    }

    pub(crate) fn kek_due(&self) -> Time {
        self.kek.issued + self.policy.times.kek_rekey
    }

    /// Says what remains of a lifetime, at least one second: zero would mean none at all.
    fn remaining(lifetime: Duration, issued: Time, now: Time) -> Duration {
        lifetime.saturating_sub(now.since(issued)).max(Duration::from_secs(1))
    }

    /// Allocates sender ids for one PULL; `None` if they are exhausted and the group must start over.
    pub(crate) fn allocate_sender_ids(&mut self, count: u16) -> Option<Vec<u32>> {
        let first = self.sender_ids_issued;
        let next = first + u32::from(count.max(1));
        if next > 1 << self.policy.data.sender_id_bits {
            return None;
        }
        self.sender_ids_issued = next;
        Some((first..next).collect())
    }
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

/// What a group needs of its server for a step.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) provider: &'static CryptoProvider,
    pub(crate) random: &'a mut dyn Random,
    pub(crate) gdoi_port: u16,
    pub(crate) push_source: Option<std::net::IpAddr>,
}
