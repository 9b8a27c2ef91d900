//! How much of anything is held, and why no more.

use std::time::Duration;

use claviger_isakmp::limits::MESSAGE_LEN_MAX;
use claviger_sansio::RetransmitPolicy;

/// The most Delete payloads of a GROUPKEY-PUSH: each may name many SPIs of one protocol, and there are two.
pub const DELETES_MAX: usize = 8;

/// How many messages share a signature where nothing else is said: the signature costs a few hundredths of the hashing
/// then, and a branch 320 octets. Twice as many would spend 32 more of each datagram to save the half of that.
pub const BATCH_LEN: usize = 1024;

/// The most batches of which a member remembers that their signature is good: the batches of one rekey may come mixed.
pub const BATCHES_REMEMBERED_MAX: usize = 16;

/// The most messages of a batch that go out in plain copies. Of a longer one no member needs most messages, so that
/// repair on request costs less than copies of all; a shorter one is through before anybody could ask.
pub const COPIED_BATCH_MAX: u16 = 8;

/// The most signatures over delivery controls that a member remembers as good: those of a round may come mixed.
pub const CONTROL_SIGNATURES_REMEMBERED_MAX: usize = 64;

/// The longest delivery report in octets: its 28 octets of fields and 64 entries of 4, and room for what may be added.
pub const REPORT_LEN_MAX: usize = 1024;

/// The longest message about leases in octets: what every IPv6 path carries in UDP.
pub const LEASE_LEN_MAX: usize = 1280 - 40 - 8;

/// The most groups of a message about leases: as many as a registration names at once.
pub const LEASE_GROUPS_MAX: usize = 32;

/// How patient a member is with a request for leases, until it makes another: a key server that is back after an outage
/// hears from it within 2 s.
pub const LEASE_RETRANSMIT: RetransmitPolicy =
    RetransmitPolicy { initial: Duration::from_millis(500), maximum: Duration::from_secs(2), attempts: 3 };

/// The most requests for leases of which a member remembers that they may be answered: a key server whose disk takes seconds
/// answers when the third is made.
pub const LEASE_REQUESTS_MAX: usize = 4;

/// The most SPIs of a Delete payload: an old set of TEKs for each SA TEK that a message can hold.
pub const DELETE_SPIS_MAX: usize = 256;

/// The most SA TEKs of a message: the streams of a session, each with an old and a new SA.
pub const SA_TEKS_MAX: usize = 64;

/// The most keys of one LKH array: 16-bit identifiers make a binary tree at most 16 levels deep; foreign trees
/// may be less balanced.
pub const LKH_KEYS_MAX: usize = 64;

/// The most keys of a path in a tree with 32-bit node ids: it has 32 levels.
pub const LKH_32_PATH_MAX: usize = 32;

/// The most LKH update arrays of a message: no datagram holds more of the smallest (56 octets each).
pub const LKH_UPDATES_MAX: usize = MESSAGE_LEN_MAX / 56;

/// The most sender ids that a member gets at once: one for each cryptographic module of a large router.
pub const SENDER_IDS_MAX: usize = 64;

/// How long a GROUPKEY-PULL may take from its first message, and how long its answers are kept for repetition:
/// more than a member with the default retransmission policy waits.
pub const EXCHANGE_LIFETIME: Duration = Duration::from_secs(60);

/// The most exchanges under one cookie pair that are in progress, or whose answers are kept: a registration names up
/// to 32 groups at once, and each may be pulled twice within [`EXCHANGE_LIFETIME`].
pub const EXCHANGES_MAX: usize = 64;

/// The longest message of a member in octets that a key server decrypts: the longest nonce and name of a group, and a
/// SHA-512 HASH, have half of that.
pub const MEMBER_MESSAGE_LEN_MAX: usize = 1_024;

/// The most messages 2 that a member takes in one exchange, each under a nonce of its own: the first, and one for each
/// time that the default retransmission policy repeats message 3. A key server makes a new one only if it was started
/// again in the meantime.
pub const OFFERS_MAX: usize = 7;

/// How often one stored answer is repeated: a little more than a patient member asks.
pub const RESENDS_MAX: u32 = 16;
